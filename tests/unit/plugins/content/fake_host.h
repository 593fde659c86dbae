/* SPDX-License-Identifier: MIT */
/* A host made of memory, for one instance of the plugin and one session of it. Tests drive the exported
 * descriptor with it, as the real host does: files from memory in, errors, logs, counters and verdicts out.
 * Each test makes its own with fake_new() and ends it with fake_free(). */
#ifndef CONTENT_FAKE_HOST_H
#define CONTENT_FAKE_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "postern/filter.h"
#include <fnmatch.h>

enum { FAKE_FILES = 8, FAKE_OPTIONS = 16, FAKE_OUTPUT = 64 * 1024, FAKE_COUNTERS = 8 };

struct postern_tx {
    const char *helo, *client, *listener, *user;
    uint64_t bytes;
    double score;
    char scores[4096]; /* "name=points;" of every add_score */
    char edits[1024];  /* "add Name: value;" and the like */
    int edits_result;  /* what the host answers */
};

struct fake {
    struct postern_host host;
    struct {
        const char *name;
        struct postern_span bytes;
    } files[FAKE_FILES];
    size_t files_n;
    struct postern_span globbed[FAKE_FILES];
    struct postern_node options[FAKE_OPTIONS], entries[FAKE_FILES], thresholds[2], block;
    size_t options_n, entries_n, thresholds_n;

    char errors[FAKE_OUTPUT]; /* "file:line:column: text\n" */
    char logs[FAKE_OUTPUT];   /* "level text\n" */
    struct {
        char name[32];
        uint64_t value;
    } counters[FAKE_COUNTERS];

    void *filter, *session;
    struct postern_tx tx;
    char text[512], rule[256], enhanced[16]; /* of the last verdict */
};

static inline struct postern_span fake_span(const char *text)
{
    return (struct postern_span){text, text ? strlen(text) : 0};
}

__attribute__((format(printf, 2, 0))) static inline void fake_vadd(char *to, const char *format, va_list args)
{
    size_t n = strlen(to);
    (void)vsnprintf(to + n, FAKE_OUTPUT - n, format, args);
}

__attribute__((format(printf, 2, 3))) static inline void fake_add(char *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fake_vadd(to, format, args);
    va_end(args);
}

/* ---- what the plugin calls ---- */

__attribute__((format(printf, 3, 4))) static inline void fake_log(void *self, enum postern_log_level level,
                                                                  const char *format, ...)
{
    static const char *const levels[] = {"error ", "warn ", "info ", "debug "};
    struct fake *f = self;
    va_list args;
    va_start(args, format);
    fake_add(f->logs, "%s", levels[level]);
    fake_vadd(f->logs, format, args);
    fake_add(f->logs, "\n");
    va_end(args);
}

__attribute__((format(printf, 4, 5))) static inline void
fake_config_error(void *self, const struct postern_node *at, size_t column_add, const char *format, ...)
{
    struct fake *f = self;
    va_list args;
    va_start(args, format);
    fake_add(f->errors, "%s:%u:%zu: ", at->file, at->line, at->column + column_add);
    fake_vadd(f->errors, format, args);
    fake_add(f->errors, "\n");
    va_end(args);
}

__attribute__((format(printf, 5, 6))) static inline void
fake_file_error(void *self, const char *file, uint32_t line, uint32_t column, const char *format, ...)
{
    struct fake *f = self;
    va_list args;
    va_start(args, format);
    fake_add(f->errors, "%s:%u:%u: ", file, line, column);
    fake_vadd(f->errors, format, args);
    fake_add(f->errors, "\n");
    va_end(args);
}

static inline int fake_read_file(void *self, struct postern_span name, struct postern_span *bytes_r,
                                 const char **name_r, const char **error_r)
{
    struct fake *f = self;
    for (size_t i = 0; i < f->files_n; i++)
        if (strlen(f->files[i].name) == name.n && memcmp(f->files[i].name, name.p, name.n) == 0) {
            *bytes_r = f->files[i].bytes;
            *name_r = f->files[i].name;
            return 0;
        }
    *error_r = "no such file";
    return -1;
}

static inline size_t fake_glob(void *self, struct postern_span pattern)
{
    struct fake *f = self;
    char text[128];
    size_t n = 0;
    (void)snprintf(text, sizeof text, "%.*s", (int)pattern.n, pattern.p);
    if (!strchr(text, '*')) {
        f->globbed[0] = pattern;
        return 1;
    }
    for (size_t i = 0; i < f->files_n; i++)
        if (fnmatch(text, f->files[i].name, 0) == 0)
            f->globbed[n++] = fake_span(f->files[i].name);
    return n;
}

static inline struct postern_span fake_glob_name(void *self, size_t i)
{
    return ((struct fake *)self)->globbed[i];
}

static inline struct postern_span fake_get(const struct postern_tx *tx, enum postern_field field)
{
    if (field == POSTERN_F_SESSION_ID)
        return fake_span("S1");
    if (field == POSTERN_F_CLIENT_ADDRESS)
        return fake_span(tx->client);
    if (field == POSTERN_F_LISTENER)
        return fake_span(tx->listener);
    if (field == POSTERN_F_USER)
        return fake_span(tx->user);
    return field == POSTERN_F_HELO ? fake_span(tx->helo) : fake_span(NULL);
}

static inline uint64_t fake_message_bytes(const struct postern_tx *tx)
{
    return tx->bytes;
}

static inline void fake_add_score(struct postern_tx *tx, struct postern_span name, double points)
{
    size_t n = strlen(tx->scores);
    tx->score += points;
    if (n + 1 < sizeof tx->scores)
        (void)snprintf(tx->scores + n, sizeof tx->scores - n, "%.*s=%g;", (int)name.n, name.p, points);
}

static inline double fake_score(const struct postern_tx *tx)
{
    return tx->score;
}

static inline void fake_wants(void *self, unsigned wants)
{
    (void)self, (void)wants;
}

static inline void fake_count(void *self, const char *name, uint64_t add)
{
    struct fake *f = self;
    for (size_t i = 0; i < FAKE_COUNTERS; i++) {
        if (!f->counters[i].name[0])
            (void)snprintf(f->counters[i].name, sizeof f->counters[i].name, "%s", name);
        if (strcmp(f->counters[i].name, name) == 0) {
            f->counters[i].value += add;
            return;
        }
    }
}

static inline int fake_edit(struct postern_tx *tx, const char *what, struct postern_span a,
                            struct postern_span b)
{
    size_t n = strlen(tx->edits);
    (void)snprintf(tx->edits + n, sizeof tx->edits - n, "%s %.*s:%.*s;", what, (int)a.n, a.p, (int)b.n,
                   b.p ? b.p : "");
    return tx->edits_result;
}

static inline int fake_header_add(struct postern_tx *tx, struct postern_span name, struct postern_span value)
{
    return fake_edit(tx, "add", name, value);
}

static inline int fake_header_replace(struct postern_tx *tx, struct postern_span name,
                                      struct postern_span value)
{
    return fake_edit(tx, "replace", name, value);
}

static inline int fake_header_remove(struct postern_tx *tx, struct postern_span name)
{
    return fake_edit(tx, "remove", name, fake_span(""));
}

static inline int fake_subject_prefix(struct postern_tx *tx, struct postern_span text)
{
    return fake_edit(tx, "subject", text, fake_span(""));
}

static inline int fake_rcpt_add(struct postern_tx *tx, struct postern_span mailbox)
{
    return fake_edit(tx, "bcc", mailbox, fake_span(""));
}

static inline int fake_rcpt_replace(struct postern_tx *tx, struct postern_span mailbox)
{
    return fake_edit(tx, "redirect", mailbox, fake_span(""));
}

static inline int fake_tag(struct postern_tx *tx, struct postern_span name, struct postern_span value)
{
    return fake_edit(tx, "tag", name, value);
}

/* ---- what a test calls: configuration ---- */

static inline struct fake *fake_new(void)
{
    struct fake *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->host = (struct postern_host){
        .size = sizeof f->host,
        .log = fake_log,
        .config_error = fake_config_error,
        .file_error = fake_file_error,
        .read_file = fake_read_file,
        .glob = fake_glob,
        .glob_name = fake_glob_name,
        .get = fake_get,
        .message_bytes = fake_message_bytes,
        .add_score = fake_add_score,
        .score = fake_score,
        .count = fake_count,
        .wants = fake_wants,
        .header_add = fake_header_add,
        .header_replace = fake_header_replace,
        .header_remove = fake_header_remove,
        .subject_prefix = fake_subject_prefix,
        .rcpt_add = fake_rcpt_add,
        .rcpt_replace = fake_rcpt_replace,
        .tag = fake_tag,
    };
    return f;
}

static inline void fake_file_bytes(struct fake *f, const char *name, const char *p, size_t n)
{
    assert_true(f->files_n < FAKE_FILES);
    f->files[f->files_n].name = name;
    f->files[f->files_n++].bytes = (struct postern_span){p, n};
}

static inline void fake_file(struct fake *f, const char *name, const char *text)
{
    fake_file_bytes(f, name, text, strlen(text));
}

/* An entry of `rules`; the first stands in line 10 of the configuration. */
static inline void fake_rules(struct fake *f, const char *pattern)
{
    size_t i = f->entries_n++;
    f->entries[i] = (struct postern_node){.kind = POSTERN_NODE_SCALAR,
                                          .text = fake_span(pattern),
                                          .file = "p.yaml",
                                          .line = 10 + (uint32_t)i,
                                          .column = 5};
    if (i > 0)
        f->entries[i - 1].next = &f->entries[i];
}

static inline void fake_option(struct fake *f, const char *name, int64_t number)
{
    assert_true(f->options_n < FAKE_OPTIONS);
    f->options[f->options_n++] =
        (struct postern_node){.kind = POSTERN_NODE_SCALAR, .name = fake_span(name), .number = number};
}

static inline void fake_threshold(struct fake *f, const char *name, double points)
{
    size_t i = f->thresholds_n++;
    f->thresholds[i] = (struct postern_node){.kind = POSTERN_NODE_SCALAR,
                                             .name = fake_span(name),
                                             .real = points,
                                             .file = "p.yaml",
                                             .line = 20 + (uint32_t)i,
                                             .column = 7};
    if (i > 0)
        f->thresholds[i - 1].next = &f->thresholds[i];
}

/* A default as its option table has it: a number, a size, or the name of a value. */
static inline int64_t fake_fallback(const struct postern_option *o)
{
    char *end = NULL;
    int64_t number = strtoll(o->fallback, &end, 10);
    if (strcmp(end, "KiB") == 0)
        return number * 1024;
    if (strcmp(end, "MiB") == 0)
        return number * 1024 * 1024;
    if (strcmp(end, "ms") == 0)
        return number * 1000;
    assert_true(o->type != POSTERN_ENUM || strncmp(o->values, o->fallback, strlen(o->fallback)) == 0);
    return number;
}

static inline void fake_defaults(struct fake *f)
{
    for (const struct postern_option *o = postern_filter.options; o->name; o++) {
        bool written = false;
        for (size_t i = 0; i < f->options_n; i++)
            written = written || strcmp(f->options[i].name.p, o->name) == 0;
        if (o->fallback && !written)
            fake_option(f, o->name, fake_fallback(o));
    }
}

/* Configures the plugin with what was given. */
static inline int fake_configure(struct fake *f)
{
    fake_defaults(f);
    fake_option(f, "rules", 0);
    f->options[f->options_n - 1].kind = POSTERN_NODE_LIST;
    f->options[f->options_n - 1].first = f->entries_n ? &f->entries[0] : NULL;
    if (f->thresholds_n) {
        fake_option(f, "score", 0);
        f->options[f->options_n - 1].kind = POSTERN_NODE_MAP;
        f->options[f->options_n - 1].first = &f->thresholds[0];
    }
    for (size_t i = 0; i + 1 < f->options_n; i++)
        f->options[i].next = &f->options[i + 1];
    f->block = (struct postern_node){.kind = POSTERN_NODE_MAP, .first = &f->options[0], .file = "p.yaml"};
    f->block.line = f->block.column = 1;
    return postern_filter.configure(&f->host, f, &f->block, &f->filter);
}

static inline void fake_free(struct fake *f)
{
    if (f->session)
        postern_filter.session_end(f->filter, f->session);
    if (f->filter)
        postern_filter.release(f->filter);
    free(f);
}

/* ---- what a test calls: mail ---- */

static inline void fake_open(struct fake *f)
{
    assert_int_equal(postern_filter.session_begin(f->filter, &f->tx, &f->session), 0);
}

/* One rule file with this text, and an open session. */
static inline struct fake *fake_with(const char *rules)
{
    struct fake *f = fake_new();
    fake_file(f, "r", rules);
    fake_rules(f, "r");
    if (fake_configure(f) < 0)
        fail_msg("%s", f->errors);
    fake_open(f);
    return f;
}

static inline enum postern_action fake_hook(struct fake *f, struct postern_event *ev, unsigned *code_r)
{
    struct postern_verdict v = {.size = sizeof v};
    ev->size = sizeof *ev;
    postern_filter.hooks[ev->phase](f->filter, f->session, &f->tx, ev, &v);
    (void)snprintf(f->text, sizeof f->text, "%.*s", (int)v.text.n, v.text.p ? v.text.p : "");
    (void)snprintf(f->rule, sizeof f->rule, "%.*s", (int)v.rule.n, v.rule.p ? v.rule.p : "");
    (void)snprintf(f->enhanced, sizeof f->enhanced, "%.*s", (int)v.enhanced.n,
                   v.enhanced.p ? v.enhanced.p : "");
    if (code_r)
        *code_r = v.code;
    return v.action;
}

/* The verdict's code; 0: CONTINUE; 250: DISCARD. */
static inline unsigned fake_phase(struct fake *f, enum postern_phase phase, const char *text)
{
    struct postern_event ev = {.phase = phase, .text = fake_span(text)};
    unsigned code = 0;
    enum postern_action action = fake_hook(f, &ev, &code);
    if (action == POSTERN_DISCARD)
        return 250;
    assert_int_equal(action == POSTERN_REJECT, code / 100 == 5);
    assert_int_equal(action == POSTERN_TEMPFAIL, code / 100 == 4);
    return code;
}

static inline unsigned fake_helo(struct fake *f, const char *name)
{
    f->tx.helo = name;
    return fake_phase(f, POSTERN_ON_HELO, name);
}

static inline unsigned fake_mail(struct fake *f, const char *sender)
{
    f->tx.score = 0;
    f->tx.scores[0] = f->tx.edits[0] = '\0';
    return fake_phase(f, POSTERN_ON_MAIL, sender);
}

static inline void fake_header(struct fake *f, const char *name, const char *value)
{
    struct postern_event ev = {.phase = POSTERN_ON_HEADER, .name = fake_span(name), .text = fake_span(value)};
    (void)fake_hook(f, &ev, NULL);
}

static inline void fake_body(struct fake *f, const char *p, size_t n, size_t step)
{
    for (size_t at = 0; at < n; at += step) {
        struct postern_event ev = {.phase = POSTERN_ON_BODY, .text = {p + at, n - at < step ? n - at : step}};
        (void)fake_hook(f, &ev, NULL);
    }
}

static inline void fake_text(struct fake *f, uint32_t index, const char *p, size_t n, size_t step)
{
    struct postern_part part = {.index = index, .type = fake_span("text/plain")};
    for (size_t at = 0; at < n; at += step) {
        struct postern_event ev = {
            .phase = POSTERN_ON_TEXT, .text = {p + at, n - at < step ? n - at : step}, .part = &part};
        (void)fake_hook(f, &ev, NULL);
    }
}

static inline void fake_part(struct fake *f, uint32_t index, const char *filename)
{
    struct postern_part part = {
        .index = index, .type = fake_span("text/plain"), .filename = fake_span(filename)};
    struct postern_event ev = {.phase = POSTERN_ON_PART, .part = &part};
    (void)fake_hook(f, &ev, NULL);
}

/* An event of one text and one part: URL, MEMBER, FLAG, HTML. */
static inline void fake_event(struct fake *f, enum postern_phase phase, const struct postern_part *part,
                              const char *text)
{
    struct postern_event ev = {.phase = phase, .text = fake_span(text), .part = part};
    (void)fake_hook(f, &ev, NULL);
}

static inline unsigned fake_end(struct fake *f)
{
    return fake_phase(f, POSTERN_ON_END, NULL);
}

/* A whole message of one text part. */
static inline unsigned fake_message(struct fake *f, const char *text)
{
    (void)fake_mail(f, "a@example.org");
    fake_text(f, 0, text, strlen(text), 1024);
    return fake_end(f);
}

static inline uint64_t fake_counter(const struct fake *f, const char *name)
{
    for (size_t i = 0; i < FAKE_COUNTERS; i++)
        if (strcmp(f->counters[i].name, name) == 0)
            return f->counters[i].value;
    return 0;
}

static inline size_t fake_lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

#endif
