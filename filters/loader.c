/* SPDX-License-Identifier: MIT */
/* From a plugin's name to its descriptor: find the file, load it, ask for the one symbol, check that both
 * sides speak the same ABI. Nothing is owned here: a descriptor is a constant of its shared object, and
 * shared objects stay for the life of the process (see loader.h). */
#include "filters/loader.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdarg.h>

#define SYMBOL    "postern_filter"
#define HOOKS_1_0 16 /* CONNECT to DISCONNECT: the descriptor of 1.0 ended with them */

/* The descriptor's size in each minor of this major: what a plugin built for it must state. */
static const size_t descriptor_sizes[POSTERN_ABI_MINOR + 1] = {
    [0] = offsetof(struct postern_filter, hooks) + HOOKS_1_0 * sizeof(postern_hook),
    [1] = sizeof(struct postern_filter),
};
_Static_assert(POSTERN_PHASES <= POSTERN_HOOKS, "a place for every phase's hook");

/* Always false, so that a check can return it. */
static bool PRINTF_LIKE(3, 4) fail(char *error, size_t error_size, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(error, error_size, format, ap);
    va_end(ap);
    return false;
}

bool loader_check(const struct postern_filter *f, char *error, size_t error_size)
{
    if (f->magic != POSTERN_FILTER_MAGIC)
        return fail(error, error_size, "its '" SYMBOL "' is no filter descriptor (magic %08x, not %08x)",
                    f->magic, POSTERN_FILTER_MAGIC);
    if (f->abi_major != POSTERN_ABI_MAJOR || f->abi_minor > POSTERN_ABI_MINOR)
        return fail(error, error_size,
                    "built for ABI %u.%u, but this postern has %u.%u: build the plugin again", f->abi_major,
                    f->abi_minor, POSTERN_ABI_MAJOR, POSTERN_ABI_MINOR);
    if (f->size != descriptor_sizes[f->abi_minor])
        return fail(error, error_size, "its descriptor says %zu bytes, but ABI %u.%u has %zu: build it again",
                    f->size, f->abi_major, f->abi_minor, descriptor_sizes[f->abi_minor]);
    if (!f->name || !f->configure)
        return fail(error, error_size, "its descriptor lacks %s", f->name ? "configure()" : "a name");
    return true;
}

void loader_copy(const struct postern_filter *f, struct postern_filter *out)
{
    size_t n = f->size < sizeof(*out) ? f->size : sizeof(*out);

    *out = (struct postern_filter){0};
    memcpy(out, f, n);
}

/* A name, never a path: the folder is the administrator's choice, not the filter section's. */
static bool name_ok(struct span name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!(c >= 'a' && c <= 'z') && !ascii_digit(c) && c != '_' && c != '-')
            return false;
    }
    return name.n > 0 && name.n <= NAME_MAX - sizeof(".so");
}

const struct postern_filter *loader_open(const char *dir, struct span name, char *error, size_t error_size)
{
    char path[PATH_MAX];

    if (!name_ok(name)) {
        (void)fail(error, error_size,
                   "a plugin's name has only a-z, 0-9, '_' and '-', no path and no suffix");
        return NULL;
    }
    if (snprintf(path, sizeof(path), "%s/%.*s.so", dir, SPAN_FMT(name)) >= (int)sizeof(path)) {
        (void)fail(error, error_size, "the path of the plugin folder is too long");
        return NULL;
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        (void)fail(error, error_size, "cannot be loaded: %s", dlerror());
        return NULL;
    }
    const struct postern_filter *f = dlsym(object, SYMBOL);
    if (!f) {
        (void)fail(error, error_size, "%s exports no '" SYMBOL "': not a plugin for postern", path);
        return NULL;
    }
    return loader_check(f, error, error_size) ? f : NULL;
}
