/* SPDX-License-Identifier: MIT */
/* Writing and reading bundles.
 *
 *   "PSTBNDL1" count ( kind name_n bytes_n name NUL bytes )*          numbers: 64 bits, in this machine's
 * order
 *
 * A file's bytes are its content; a pattern's are the paths that it named, each ended by a NUL. Both sides
 * run the same program on the same machine, yet the reader believes nothing: a damaged bundle is an error
 * text.
 *
 * A recorder belongs to the check of one generation; a bundle belongs to the generation in a worker. Names
 * are searched one after the other: they are few, and each is asked for once or twice. */
#include "proxy/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = "PSTBNDL1";

enum entry_kind { ENTRY_FILE, ENTRY_PATTERN };

struct entry_head {
    uint64_t kind, name_n, bytes_n;
};

struct entry {
    enum entry_kind kind;
    struct span name, bytes;
};

struct entries {
    struct entry *at;
    size_t n;
};

static const struct entry *entries_find(const struct entries *e, enum entry_kind kind, struct span name)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->at[i].kind == kind && span_eq(e->at[i].name, name))
            return &e->at[i];
    return NULL;
}

/* ---- the recorder ---- */

struct recorder {
    struct conf_source source; /* what it shows */
    const struct conf_source *from;
    struct arena *arena; /* names, and the answers to patterns */
    struct entries entries;
    uint64_t bytes;
    bool failed; /* something was read that the bundle lacks */
};

/* Remembers an entry; the bytes are borrowed. false: too many, too much, or no memory. */
static bool record(struct recorder *r, enum entry_kind kind, struct span name, struct span bytes)
{
    struct span kept = arena_span(r->arena, name);
    if (!kept.p || r->entries.n >= BUNDLE_FILES_MAX || bytes.n > BUNDLE_BYTES_MAX - r->bytes)
        return false;
    r->entries.at[r->entries.n++] = (struct entry){kind, kept, bytes};
    r->bytes += bytes.n;
    return true;
}

static int recorder_read(void *ctx, const char *path, struct span *bytes_r, const char **error_r)
{
    struct recorder *r = ctx;
    const struct entry *known = entries_find(&r->entries, ENTRY_FILE, span_of(path));
    if (known) {
        *bytes_r = known->bytes;
        return 0;
    }
    if (r->from->read(r->from->ctx, path, bytes_r, error_r) != 0)
        return -1;
    if (record(r, ENTRY_FILE, span_of(path), *bytes_r))
        return 0;
    r->failed = true;
    *error_r = "too many files, or too large ones, for one configuration";
    return -1;
}

static void note_path(void *arg, const char *path)
{
    struct buf *list = arg;
    struct span text = {path, strlen(path) + 1};
    if (!buf_append(list, text))
        buf_free(list);
}

static void give_paths(struct span list, void (*found)(void *arg, const char *path), void *arg)
{
    while (list.n) {
        found(arg, list.p);
        list = span_skip(list, strlen(list.p) + 1);
    }
}

static void recorder_glob(void *ctx, const char *pattern, void (*found)(void *arg, const char *path),
                          void *arg)
{
    struct recorder *r = ctx;
    const struct entry *known = entries_find(&r->entries, ENTRY_PATTERN, span_of(pattern));
    if (known) {
        give_paths(known->bytes, found, arg);
        return;
    }
    struct buf list = {0};
    r->from->glob(r->from->ctx, pattern, note_path, &list);
    struct span kept = arena_span(r->arena, buf_span(&list));
    buf_free(&list);
    if (!kept.p || !record(r, ENTRY_PATTERN, span_of(pattern), kept)) {
        r->failed = true;
        return;
    }
    give_paths(kept, found, arg);
}

struct recorder *recorder_create(const struct conf_source *from)
{
    struct recorder *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->from = from;
    r->source = (struct conf_source){.ctx = r, .read = recorder_read, .glob = recorder_glob};
    r->arena = arena_create((size_t)16 * 1024 * 1024);
    r->entries.at = calloc(BUNDLE_FILES_MAX, sizeof *r->entries.at);
    if (!r->arena || !r->entries.at)
        recorder_destroy(&r);
    return r;
}

void recorder_destroy(struct recorder **r)
{
    if (!*r)
        return;
    arena_destroy(&(*r)->arena);
    free((*r)->entries.at);
    free(*r);
    *r = NULL;
}

const struct conf_source *recorder_source(struct recorder *r)
{
    return &r->source;
}

static bool write_all(int fd, const void *bytes, size_t n)
{
    const char *at = bytes;
    while (n) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

static bool write_entry(int fd, const struct entry *e)
{
    struct entry_head head = {.kind = e->kind, .name_n = e->name.n, .bytes_n = e->bytes.n};
    return write_all(fd, &head, sizeof head) && write_all(fd, e->name.p, e->name.n) && write_all(fd, "", 1) &&
           write_all(fd, e->bytes.p, e->bytes.n);
}

static bool write_entries(int fd, const struct entries *e)
{
    uint64_t count = e->n;
    bool good = write_all(fd, magic, sizeof magic) && write_all(fd, &count, sizeof count);
    for (size_t i = 0; good && i < e->n; i++)
        good = write_entry(fd, &e->at[i]);
    return good;
}

int bundle_seal(const struct recorder *r)
{
    if (r->failed) {
        errno = E2BIG;
        return -1;
    }
    int fd = memfd_create("postern-bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (write_entries(fd, &r->entries) &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
        return fd;
    int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

/* ---- reading ---- */

struct bundle {
    struct conf_source source;
    struct span map;
    struct entries entries;
};

static int bundle_read(void *ctx, const char *path, struct span *bytes_r, const char **error_r)
{
    const struct bundle *b = ctx;
    const struct entry *e = entries_find(&b->entries, ENTRY_FILE, span_of(path));
    if (!e) {
        *error_r = "the check of this configuration did not read it";
        return -1;
    }
    *bytes_r = e->bytes;
    return 0;
}

static void bundle_glob(void *ctx, const char *pattern, void (*found)(void *arg, const char *path), void *arg)
{
    const struct bundle *b = ctx;
    const struct entry *e = entries_find(&b->entries, ENTRY_PATTERN, span_of(pattern));
    if (e)
        give_paths(e->bytes, found, arg);
}

static bool take(struct span *rest, void *out, size_t n)
{
    if (rest->n < n)
        return false;
    memcpy(out, rest->p, n);
    *rest = span_skip(*rest, n);
    return true;
}

static bool take_span(struct span *rest, struct span *out, uint64_t n)
{
    if (n > rest->n)
        return false;
    *out = span_head(*rest, (size_t)n);
    *rest = span_skip(*rest, (size_t)n);
    return true;
}

static bool take_entry(struct span *rest, struct entry *e)
{
    struct entry_head head;
    struct span end;
    if (!take(rest, &head, sizeof head) || head.kind > ENTRY_PATTERN)
        return false;
    e->kind = (enum entry_kind)head.kind;
    if (!take_span(rest, &e->name, head.name_n) || !take_span(rest, &end, 1) || end.p[0] != '\0' ||
        !take_span(rest, &e->bytes, head.bytes_n))
        return false;
    bool ended = e->bytes.n == 0 || e->bytes.p[e->bytes.n - 1] == '\0';
    return e->kind == ENTRY_FILE || ended; /* give_paths trusts the last NUL */
}

/* NULL, or what is wrong. */
static const char *parse(struct bundle *b)
{
    struct span rest = b->map;
    char start[sizeof magic];
    uint64_t count = 0;
    if (!take(&rest, start, sizeof start) || memcmp(start, magic, sizeof magic) != 0 ||
        !take(&rest, &count, sizeof count))
        return "the bundle has no header";
    if (count > BUNDLE_FILES_MAX)
        return "the bundle has too many files";
    b->entries.at = calloc(count ? (size_t)count : 1, sizeof *b->entries.at);
    if (!b->entries.at)
        return "no memory for the bundle's table";
    for (; b->entries.n < count; b->entries.n++)
        if (!take_entry(&rest, &b->entries.at[b->entries.n]))
            return "the bundle is cut short or damaged";
    return rest.n ? "the bundle has something behind its end" : NULL;
}

static const char *map_file(struct bundle *b, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size <= 0)
        return "the bundle is empty";
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE))
        return "the bundle is not sealed";
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return "the bundle cannot be mapped";
    (void)madvise(at, (size_t)st.st_size, MADV_DONTDUMP); /* private keys are in it */
    b->map = span_make(at, (size_t)st.st_size);
    return NULL;
}

struct bundle *bundle_open(int fd, char *error, size_t error_size)
{
    struct bundle *b = calloc(1, sizeof *b);
    const char *wrong = b ? map_file(b, fd) : "no memory";
    if (!wrong)
        wrong = parse(b);
    if (wrong) {
        (void)snprintf(error, error_size, "%s", wrong);
        bundle_close(&b);
        return NULL;
    }
    b->source = (struct conf_source){.ctx = b, .read = bundle_read, .glob = bundle_glob};
    return b;
}

void bundle_close(struct bundle **b)
{
    if (!*b)
        return;
    if ((*b)->map.p)
        (void)munmap((void *)(uintptr_t)(*b)->map.p, (*b)->map.n);
    free((*b)->entries.at);
    free(*b);
    *b = NULL;
}

const struct conf_source *bundle_source(const struct bundle *b)
{
    return &b->source;
}
