/* SPDX-License-Identifier: MIT */
/* The schema with the plugins found in the folder where they are installed or built. A plugin that cannot be
 * loaded is told on stderr and left out. Everything is freed before the function returns. */
#include "proxy/schema_out.h"

#include "conf/conf.h"
#include "filters/loader.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PLUGINS_MAX    256
#define DEFAULT_FOLDER "/usr/lib/postern/plugins"

struct found {
    char folder[PATH_MAX];
    char *names[PLUGINS_MAX + 1]; /* NULL-ended, sorted */
    const struct postern_option *options[PLUGINS_MAX];
    size_t n;
};

/* The folder "plugins" beside the program (a build tree), if there is one. */
static void choose_folder(struct found *f)
{
    ssize_t n = readlink("/proc/self/exe", f->folder, sizeof f->folder - sizeof "/plugins");
    f->folder[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(f->folder, '/');
    if (slash)
        memcpy(slash, "/plugins", sizeof "/plugins");
    if (!slash || access(f->folder, R_OK | X_OK) != 0)
        memcpy(f->folder, DEFAULT_FOLDER, sizeof DEFAULT_FOLDER);
}

static int is_plugin(const struct dirent *e)
{
    struct span name = span_of(e->d_name);
    return name.n > 3 && span_eq(span_skip(name, name.n - 3), SPAN_LIT(".so"));
}

static void load(struct found *f, struct span name)
{
    static const struct postern_option none[] = {{0}};
    char error[512];
    if (f->n == PLUGINS_MAX)
        return;
    const struct postern_filter *p = loader_open(f->folder, name, error, sizeof error);
    if (!p) {
        (void)fprintf(stderr, "postern: plugin %.*s is left out: %s\n", SPAN_FMT(name), error);
        return;
    }
    f->names[f->n] = strndup(name.p, name.n);
    f->options[f->n] = p->options ? p->options : none;
    if (f->names[f->n])
        f->n++;
}

static void load_all(struct found *f)
{
    struct dirent **entries = NULL;
    int n = scandir(f->folder, &entries, is_plugin, alphasort);
    for (int i = 0; i < n; i++) {
        struct span name = span_of(entries[i]->d_name);
        load(f, span_head(name, name.n - 3));
        free(entries[i]);
    }
    free(entries);
}

bool schema_out(struct buf *out)
{
    struct found *f = calloc(1, sizeof *f);
    if (!f)
        return false;
    choose_folder(f);
    load_all(f);
    bool good = conf_json_schema(out, (const char *const *)f->names, f->options);
    for (size_t i = 0; i < f->n; i++)
        free(f->names[i]);
    free(f);
    return good;
}
