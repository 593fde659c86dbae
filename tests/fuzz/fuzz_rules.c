/* SPDX-License-Identifier: MIT */
/* Any bytes as a rule file of the content plugin. What must hold: a file fails exactly when it has an error;
 * every error has a place inside the file and a text of one printable line; every rule made is whole; a line
 * end of CRLF and a comment at the end change nothing; and whatever pattern was taken, a match of it ends
 * within its limits. */
#include "fuzz/fuzz.h"

#include "rules.h"

#include <math.h>
#include <stdarg.h>

#define MATCHES   16 /* patterns tried of one file */
#define SUBJECT   400
#define TEXT_ROOM 1200

struct seen {
    struct span file;
    size_t lines;
    struct buf trace;
    unsigned errors;
};

/* Line `number` (from 1) of the file; the one behind the last is empty. */
static struct span line_of(struct span file, uint32_t number)
{
    for (; number > 1; number--)
        file = span_skip(file, span_find(file, '\n') + 1);
    return span_head(file, span_find(file, '\n'));
}

__attribute__((format(printf, 5, 6))) static void on_error(void *self, const char *file, uint32_t line,
                                                           uint32_t column, const char *format, ...)
{
    struct seen *s = self;
    char text[TEXT_ROOM];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->errors++;
    REQUIRE(n > 0 && (size_t)n < sizeof text && (file[0] == 'r' || file[0] == 'l'));
    for (int i = 0; i < n; i++)
        REQUIRE((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
    REQUIRE(line >= 1 && line <= s->lines + 1);
    REQUIRE(column >= 1 && column <= line_of(s->file, line).n + 1);
    REQUIRE(buf_printf(&s->trace, "%u:%u: %s\n", line, column, text));
}

/* ---- the rules made ---- */

static void check_action(const struct rule *r)
{
    REQUIRE(!r->text || strnlen(r->text, RULE_TEXT_MAX + 1) <= RULE_TEXT_MAX);
    for (const char *p = r->action == RULE_SUBJECT ? NULL : r->text; p && *p; p++)
        REQUIRE(*p == '\t' || (*p >= ' ' && *p <= '~'));
    if (r->action == RULE_REJECT)
        REQUIRE(r->code >= 500 && r->code <= 599 && r->enhanced[0] == '5');
    if (r->action == RULE_DEFER)
        REQUIRE(r->code >= 400 && r->code <= 499 && r->enhanced[0] == '4');
    if (r->action == RULE_SCORE)
        REQUIRE(isfinite(r->points));
}

/* How many; their indexes are below `count`. */
static uint32_t trace_list(struct seen *s, const struct rule_list *list, uint32_t count)
{
    uint32_t n = 0;
    for (const struct rule *r = list->first; r; r = r->next, n++) {
        REQUIRE(r->test != TEST_NOTHING && r->place && r->index < count && r->at == n);
        REQUIRE(r->test != TEST_PATTERN || r->pattern);
        REQUIRE(r->next || list->last == r);
        check_action(r);
        REQUIRE(buf_printf(&s->trace, " %s %d %d %u %s %f %s\n", r->place, r->negated, r->action, r->code,
                           r->enhanced, r->points, r->text ? r->text : "-"));
    }
    return n;
}

static void trace_rules(struct seen *s, const struct rule_set *set)
{
    uint32_t n = 0;
    for (int i = 0; i < SCOPES; i++) {
        REQUIRE(buf_printf(&s->trace, "scope %d\n", i));
        n += trace_list(s, &set->scopes[i], set->count);
    }
    for (const struct rule_field *f = set->fields; f; f = f->next) {
        REQUIRE(f->name[0] != '\0' && buf_printf(&s->trace, "field %s\n", f->name));
        n += trace_list(s, &f->rules, set->count);
    }
    REQUIRE(n == set->count);
}

/* ---- matching ---- */

static void try_list(struct matcher *m, const struct rule_list *list, struct span on)
{
    size_t tried = 0;
    for (const struct rule *r = list->first; r && tried < MATCHES; r = r->next, tried++) {
        if (r->test != TEST_PATTERN)
            continue;
        struct subject whole = subject_whole(on.p, on.n);
        struct subject window = {.p = on.p, .n = on.n, .from = on.n / 3, .to = on.n / 2, .last = false};
        char text[256] = "";
        struct budget budget = {.left_ns = 20000000};
        int rc = matcher_try(m, r->pattern, &whole, &budget);
        REQUIRE(rc <= 1);
        if (rc < 0) {
            matcher_error(rc, text, sizeof text);
            REQUIRE(text[0] != '\0');
        }
        REQUIRE(matcher_try(m, r->pattern, &window, &budget) <= 1);
    }
}

static void try_rules(const struct rule_set *set, struct span on)
{
    static const struct matcher_limits limits = {
        .match_limit = 10000, .heap = (size_t)512 * 1024, .jit_stack = (size_t)256 * 1024};
    struct matcher *m = matcher_create(&limits);
    REQUIRE(m);
    try_list(m, &set->scopes[SCOPE_BODY], on);
    try_list(m, &set->scopes[SCOPE_TEXT], on);
    try_list(m, &set->scopes[SCOPE_FROM], on);
    matcher_destroy(&m);
}

/* ---- one file ---- */

/* Every list has the bytes of the rules themselves: any bytes will do. */
static int on_read_file(void *self, struct postern_span name, struct postern_span *bytes_r,
                        const char **name_r, const char **error_r)
{
    struct seen *s = self;
    *error_r = "no such file";
    *name_r = "l";
    *bytes_r = (struct postern_span){s->file.p, s->file.n};
    return name.n % 2 ? 0 : -1;
}

/* The trace of errors and rules; the caller frees it. */
static struct buf read_file(struct span file, bool match)
{
    const struct postern_host host = {.size = sizeof host, .file_error = on_error, .read_file = on_read_file};
    struct seen s = {.file = file};
    struct rule_set set = {0};
    for (size_t i = 0; i < file.n; i++)
        s.lines += file.p[i] == '\n';
    int rc = rules_read(&set, &host, &s, "r", (struct postern_span){file.p, file.n});
    REQUIRE((rc == -1) == (s.errors > 0));
    if (rc == 0)
        rc = rules_finish(&set, &host, &s);
    REQUIRE((rc == -1) == (s.errors > 0));
    trace_rules(&s, &set);
    if (match)
        try_rules(&set, span_head(file, SUBJECT));
    rules_free(&set);
    return s.trace;
}

static void check_same(struct span whole, struct buf *file)
{
    struct buf other = read_file(buf_span(file), false);
    REQUIRE(span_eq(whole, buf_span(&other)));
    buf_free(&other);
    buf_free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size), left = in;
    struct buf trace = read_file(in, true), commented = {0}, crlf = {0};

    REQUIRE(buf_append(&commented, in) && buf_append(&commented, SPAN_LIT("\n# the end\n")));
    check_same(buf_span(&trace), &commented);

    for (size_t n; (n = span_find(left, '\n')) < left.n; left = span_skip(left, n + 1))
        REQUIRE(buf_append(&crlf, span_head(left, n)) && buf_append(&crlf, SPAN_LIT("\r\n")));
    REQUIRE(buf_append(&crlf, left));
    check_same(buf_span(&trace), &crlf);

    buf_free(&trace);
    return 0;
}
