/* SPDX-License-Identifier: MIT */
/* A source of files in a table, for tests: names are complete paths. */
#ifndef TESTS_DAEMON_FILES_H
#define TESTS_DAEMON_FILES_H

#include "conf/conf.h"

#include <fnmatch.h>

struct file {
    const char *path;
    struct span bytes;
};

struct files {
    struct conf_source source;
    const struct file *at;
    size_t n, reads;
};

static inline int files_read(void *ctx, const char *path, struct span *bytes_r, const char **error_r)
{
    struct files *f = ctx;
    f->reads++;
    for (size_t i = 0; i < f->n; i++)
        if (span_eq(span_of(f->at[i].path), span_of(path))) {
            *bytes_r = f->at[i].bytes;
            return 0;
        }
    *error_r = "No such file or directory";
    return -1;
}

static inline void files_glob(void *ctx, const char *pattern, void (*found)(void *arg, const char *path),
                              void *arg)
{
    const struct files *f = ctx;
    for (size_t i = 0; i < f->n; i++)
        if (fnmatch(pattern, f->at[i].path, FNM_PATHNAME) == 0)
            found(arg, f->at[i].path);
}

static inline void files_init(struct files *f, const struct file *at, size_t n)
{
    *f = (struct files){.source = {.ctx = f, .read = files_read, .glob = files_glob}, .at = at, .n = n};
}

#endif
