/* SPDX-License-Identifier: MIT */
/* What tests of the configuration feed it with: a source in memory and plugins that consist of their option
 * tables only. `loaded` holds one load and all that it gave. */
#ifndef TESTS_CONF_FAKE_H
#define TESTS_CONF_FAKE_H

#include "conf/conf.h"

#include <stdio.h>
#include <string.h>

struct fake_file {
    struct span text;
};

static inline int fake_read(void *ctx, const char *path, struct span *bytes_r, const char **error_r)
{
    const struct fake_file *file = ctx;
    if (strcmp(path, "missing.yaml") == 0) {
        *error_r = "No such file or directory";
        return -1;
    }
    *bytes_r = file->text;
    return 0;
}

static inline void fake_glob(void *ctx, const char *pattern, void (*found)(void *arg, const char *path),
                             void *arg)
{
    (void)ctx;
    found(arg, pattern);
}

static const struct postern_option fake_store[] = {
    {.name = "type",
     .type = POSTERN_ENUM,
     .values = "memory|redis",
     .fallback = "memory",
     .help = "Which store."},
    {.name = "server", .type = POSTERN_STRING, .help = "Where redis is."},
    {.name = "password", .type = POSTERN_SECRET, .help = "What it wants to hear."},
    {.name = "on_error",
     .type = POSTERN_ENUM,
     .values = "local|allow|tempfail",
     .fallback = "local",
     .help = "Without it."},
    {.name = "deadline",
     .type = POSTERN_DURATION,
     .fallback = "50ms",
     .min = 1000,
     .max = 60e6,
     .help = "For one call."},
    {.name = NULL}};

static const struct postern_option fake_limit[] = {
    {.name = "key",
     .type = POSTERN_STRING,
     .flags = POSTERN_LIST | POSTERN_REQUIRED,
     .help = "Who is counted."},
    {.name = "count",
     .type = POSTERN_ENUM,
     .values = "messages|recipients|bytes|connections",
     .fallback = "messages",
     .help = "What is counted."},
    {.name = "rate", .type = POSTERN_RATE, .flags = POSTERN_REQUIRED, .help = "How many in which time."},
    {.name = "burst", .type = POSTERN_COUNT, .min = 1, .max = 1e6, .fallback = "10", .help = "At once."},
    {.name = NULL}};

static const struct postern_option fake_ratelimit[] = {
    {.name = "store", .type = POSTERN_BLOCK, .children = fake_store, .fallback = "{}", .help = "Counters."},
    {.name = "limits",
     .type = POSTERN_MAP,
     .flags = POSTERN_REQUIRED,
     .children = fake_limit,
     .help = "The limits, by name."},
    {.name = NULL}};

static const struct postern_option fake_score[] = {
    {.name = "reject", .type = POSTERN_REAL, .min = -1000, .max = 1000, .help = "From here 5yz."},
    {.name = "defer", .type = POSTERN_REAL, .help = "From here 4yz."},
    {.name = NULL}};

static const struct postern_option fake_content[] = {
    {.name = "rules",
     .type = POSTERN_STRING,
     .flags = POSTERN_LIST | POSTERN_REQUIRED,
     .help = "Files with rules."},
    {.name = "score", .type = POSTERN_BLOCK, .children = fake_score, .help = "Thresholds."},
    {.name = "max_text",
     .type = POSTERN_SIZE,
     .fallback = "1MiB",
     .min = 1,
     .help = "How much text is read."},
    {.name = "scopes",
     .type = POSTERN_ENUM,
     .flags = POSTERN_LIST,
     .values = "text|body|header",
     .fallback = "[text, header]",
     .help = "Where."},
    {.name = NULL}};

static const struct postern_option fake_clash[] = {{.name = "mode", .type = POSTERN_STRING}, {.name = NULL}};

static const char *const fake_plugin_names[] = {"ratelimit", "content", NULL};
static const struct postern_option *const fake_plugin_options[] = {fake_ratelimit, fake_content, NULL};

static inline const struct postern_option *fake_options(void *ctx, const char *plugins_path,
                                                        struct span plugin, const char **error_r)
{
    (void)ctx, (void)plugins_path;
    for (size_t i = 0; fake_plugin_names[i]; i++)
        if (span_eq(plugin, span_of(fake_plugin_names[i])))
            return fake_plugin_options[i];
    if (span_eq(plugin, SPAN_LIT("clash")))
        return fake_clash;
    if (!span_eq(plugin, SPAN_LIT("hello"))) /* hello has no options */
        *error_r = "there is no such file";
    return NULL;
}

struct loaded {
    struct conf *conf;
    struct diags diags;
    char report[32768]; /* the findings as printed */
};

static inline void fake_put(void *ctx, const char *line)
{
    struct loaded *l = ctx;
    size_t n = strlen(l->report);
    (void)snprintf(l->report + n, sizeof l->report - n, "%s\n", line);
}

static inline void load_file(struct loaded *l, const char *file, struct span text)
{
    struct fake_file memory = {text};
    const struct conf_source source = {&memory, fake_read, fake_glob};
    const struct conf_plugins plugins = {NULL, fake_options};
    l->conf = NULL;
    l->diags = (struct diags){0};
    l->report[0] = '\0';
    l->conf = conf_load(file, &source, &plugins, &l->diags);
    diag_print(&l->diags, fake_put, l);
}

static inline void load_text(struct loaded *l, const char *text)
{
    load_file(l, "/etc/p/a.yaml", span_of(text));
}

static inline void unload(struct loaded *l)
{
    conf_free(&l->conf);
    diag_free(&l->diags);
}

#endif
