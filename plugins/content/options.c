/* SPDX-License-Identifier: MIT */
/* The option table, and the reading of it. Runs inside configure() only; what it makes belongs to the
 * instance. */
#include "options.h"

#include "scan.h"
#include "window.h"

#include <stdlib.h>
#include <string.h>

static const struct postern_option score_options[] = {
    {.name = "reject",
     .type = POSTERN_REAL,
     .min = 0.001,
     .max = 1e6,
     .help = "Refuse for good (550) a message whose score reaches this."},
    {.name = "defer",
     .type = POSTERN_REAL,
     .min = 0.001,
     .max = 1e6,
     .help = "Refuse for now (450) a message whose score reaches this."},
    {.name = NULL},
};

const struct postern_option content_options[] = {
    {.name = "rules",
     .type = POSTERN_STRING,
     .flags = POSTERN_REQUIRED | POSTERN_LIST,
     .help = "Rule files, by name or with wildcards, relative to the configuration."},
    {.name = "score",
     .type = POSTERN_BLOCK,
     .children = score_options,
     .help = "What happens at the end of a message by the sum of its SCORE rules; without it nothing does."},
    {.name = "max_text",
     .type = POSTERN_SIZE,
     .fallback = "1MiB",
     .min = WINDOW_MIN,
     .max = 256.0 * 1024 * 1024,
     .help =
         "How much of a text part or a body line is matched at once; longer ones in overlapping windows."},
    {.name = "match_limit",
     .type = POSTERN_COUNT,
     .fallback = "100000",
     .min = 1,
     .max = 1e9,
     .help = "How often PCRE2 may go back and try again in one match before it gives up with an error."},
    {.name = "match_heap",
     .type = POSTERN_SIZE,
     .fallback = "512KiB",
     .min = 1024,
     .max = 1024.0 * 1024 * 1024,
     .help = "Memory for one match where PCRE2 has no JIT compiler."},
    {.name = "jit_stack",
     .type = POSTERN_SIZE,
     .fallback = "512KiB",
     .min = 4096,
     .max = 64.0 * 1024 * 1024,
     .help = "Stack for one match by code of PCRE2's JIT compiler."},
    {.name = "on_match_error",
     .type = POSTERN_ENUM,
     .fallback = "tempfail",
     .values = "tempfail|skip|reject",
     .help =
         "What it means when a match reaches a limit: refuse for now, pass over the rule, refuse for good."},
    {.name = "rule_time",
     .type = POSTERN_DURATION,
     .fallback = "20ms",
     .min = 1000,
     .max = 10e6,
     .help = "Processor time that a slow rule may take of one message, and all of them twice that; more is "
             "an error of matching."},
    {.name = "engine",
     .type = POSTERN_ENUM,
     .fallback = "auto",
     .values = "auto|vectorscan|automaton|none",
     .help = "What finds the rules that may match, before PCRE2 tries them; none: PCRE2 tries every rule."},
    {.name = "skip_dkim",
     .type = POSTERN_BOOL,
     .fallback = "no",
     .help =
         "Leaves the header section of messages with a DKIM-Signature alone: HEADER and SUBJECT do nothing."},
    {.name = NULL},
};

static const struct postern_node *find(const struct postern_node *map, const char *name)
{
    size_t n = strlen(name); /* our own constant */
    if (!map)
        return NULL;
    for (const struct postern_node *at = map->first; at; at = at->next)
        if (at->name.n == n && memcmp(at->name.p, name, n) == 0)
            return at;
    return NULL;
}

static int64_t number(const struct postern_node *block, const char *name, int64_t otherwise)
{
    const struct postern_node *node = find(block, name);
    return node ? node->number : otherwise;
}

static struct threshold threshold(const struct postern_node *score, const char *name)
{
    const struct postern_node *node = find(score, name);
    return (struct threshold){.set = node != NULL, .points = node ? node->real : 0};
}

/* ---- rule files ---- */

struct seen_file { /* a file that two entries name is read once, else its scores would count twice */
    struct seen_file *next;
    const char *name;
};

static bool seen_before(struct seen_file **files, const char *name, bool *no_memory_r)
{
    for (const struct seen_file *at = *files; at; at = at->next)
        if (strcmp(at->name, name) == 0)
            return true;
    struct seen_file *made = malloc(sizeof *made);
    *no_memory_r = !made;
    if (made) {
        *made = (struct seen_file){.next = *files, .name = name};
        *files = made;
    }
    return false;
}

static int read_file(struct content *c, const struct postern_node *entry, struct postern_span file,
                     struct seen_file **files)
{
    const struct postern_host *host = c->host;
    struct postern_span bytes = {NULL, 0};
    const char *name = NULL, *error = NULL;
    bool no_memory = false;
    if (host->read_file(c->self, file, &bytes, &name, &error) < 0) {
        host->config_error(c->self, entry, 0, "cannot read the rule file '%.*s': %s", (int)file.n, file.p,
                           error ? error : "no reason known");
        return -1;
    }
    if (seen_before(files, name, &no_memory)) {
        host->log(c->self, POSTERN_LOG_WARN, "rule file %s is named twice; it is read once", name);
        return 0;
    }
    if (no_memory) {
        host->config_error(c->self, entry, 0, "out of memory");
        return -1;
    }
    return rules_read(&c->rules, host, c->self, name, bytes);
}

static int read_entry(struct content *c, const struct postern_node *entry, struct seen_file **files)
{
    int result = 0;
    size_t n = c->host->glob(c->self, entry->text);
    if (n == 0) {
        c->host->config_error(c->self, entry, 0, "no rule file matches '%.*s'", (int)entry->text.n,
                              entry->text.p);
        return -1;
    }
    for (size_t i = 0; i < n; i++)
        if (read_file(c, entry, c->host->glob_name(c->self, i), files) < 0)
            result = -1;
    return result;
}

static int finish_rules(struct content *c, const struct postern_node *rules)
{
    if (rules_finish(&c->rules, c->host, c->self) < 0)
        return -1;
    if (c->engine == ENGINE_VECTORSCAN && !finder_has_vectorscan()) {
        c->host->config_error(
            c->self, rules, 0,
            "engine: vectorscan is not built in, or this processor cannot run it; write auto");
        return -1;
    }
    if (scanners_make(&c->rules, c->engine) == 0)
        return 0;
    c->host->config_error(c->self, rules, 0, "out of memory");
    return -1;
}

static int read_rules(struct content *c, const struct postern_node *rules)
{
    struct seen_file *files = NULL;
    int result = 0;
    if (rules && rules->kind == POSTERN_NODE_SCALAR)
        result = read_entry(c, rules, &files);
    else
        for (const struct postern_node *entry = rules ? rules->first : NULL; entry; entry = entry->next)
            if (read_entry(c, entry, &files) < 0)
                result = -1;
    while (files) {
        struct seen_file *gone = files;
        files = gone->next;
        free(gone);
    }
    return result < 0 ? -1 : finish_rules(c, rules);
}

/* ---- all of it ---- */

static int read_score(struct content *c, const struct postern_node *score)
{
    c->reject = threshold(score, "reject");
    c->defer = threshold(score, "defer");
    if (!c->reject.set || !c->defer.set || c->defer.points < c->reject.points)
        return 0;
    c->host->config_error(
        c->self, find(score, "defer"), 0,
        "defer is not below reject (%g), so it would never be reached; lower it or leave it out",
        c->reject.points);
    return -1;
}

static int make_matcher(struct content *c, const struct postern_node *block)
{
    struct matcher_limits limits = {
        .match_limit = (uint32_t)number(block, "match_limit", 100000),
        .heap = (size_t)number(block, "match_heap", INT64_C(512) * 1024),
        .jit_stack = (size_t)number(block, "jit_stack", INT64_C(512) * 1024),
    };
    c->matcher = matcher_create(&limits);
    if (c->matcher)
        return 0;
    c->host->config_error(c->self, block, 0, "no memory for matching; lower jit_stack");
    return -1;
}

int options_read(struct content *c, const struct postern_node *block)
{
    c->max_text = (size_t)number(block, "max_text", INT64_C(1024) * 1024);
    c->on_match_error = (enum on_match_error)number(block, "on_match_error", ON_ERROR_TEMPFAIL);
    c->rule_time_us = (uint64_t)number(block, "rule_time", 20000);
    c->engine = (enum finder_engine)number(block, "engine", ENGINE_AUTO);
    c->skip_dkim = number(block, "skip_dkim", 0) != 0;
    int score = read_score(c, find(block, "score"));
    int matcher = make_matcher(c, block);
    int rules = read_rules(c, find(block, "rules"));
    return score < 0 || matcher < 0 || rules < 0 ? -1 : 0;
}
