/* SPDX-License-Identifier: MIT */
/* Runs every transcript of tests/transcripts on the bare engine: whole, byte by byte, and in slices of 7. See
 * the README there for the language. One cmocka test a file; a failure names file and line. */
#include "support/engine.h"

#include <fnmatch.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct script {
    const char *path;
    unsigned line;
    size_t slice;
    bool whole_only;
    struct world w;
    struct buf client_segment, upstream_segment;
    char offer[512];
};

static void fail_at(const struct script *s, const char *what, struct span got)
{
    fprintf(stderr, "%s:%u (slice %zu): %s; got: %.*s\n", s->path, s->line, s->slice, what, SPAN_FMT(got));
    fail();
}

/* ---- text ---- */

static void unescape(const char *text, struct buf *out, bool *no_end)
{
    *no_end = false;
    for (const char *p = text; *p; p++) {
        char c = *p;
        if (c == '\\' && p[1]) {
            p++;
            if (*p == 'c' && !p[1]) {
                *no_end = true;
                return;
            }
            c = *p == 'r' ? '\r' : *p == 'n' ? '\n' : *p == '0' ? '\0' : *p == 't' ? '\t' : *p;
        }
        assert_true(buf_append(out, span_make(&c, 1)));
    }
}

static void add_line(struct buf *segment, const char *text)
{
    bool no_end;
    unescape(text, segment, &no_end);
    if (!no_end)
        assert_true(buf_append(segment, SPAN_LIT("\r\n")));
}

/* Takes one line from what was sent; false: there is none. */
static bool take_line(struct buf *b, char *line, size_t size)
{
    struct span all = buf_span(b);
    for (size_t i = 0; i + 1 < all.n; i++)
        if (all.p[i] == '\r' && all.p[i + 1] == '\n') {
            (void)snprintf(line, size, "%.*s", (int)i, all.p);
            buf_consume(b, i + 2);
            return true;
        }
    return false;
}

static void expect_line(struct script *s, struct buf *from, const char *pattern)
{
    char line[4096];
    if (!take_line(from, line, sizeof(line)))
        fail_at(s, pattern, buf_span(from));
    if (fnmatch(pattern, line, 0) != 0)
        fail_at(s, pattern, span_of(line));
}

/* ---- steps ---- */

static void step_hello(struct script *s)
{
    struct span at = span_of(s->offer);
    char text[700] = "";
    if (!s->w.leg)
        fail_at(s, "a connection to the server", SPAN_NONE);
    world_upstream(&s->w, SPAN_LIT("220 up.test ESMTP\r\n"), s->slice);
    expect_line(s, &s->w.to_upstream, "EHLO *");
    size_t n = (size_t)snprintf(text, sizeof(text), "250%cup.test\r\n", at.n ? '-' : ' ');
    while (at.n) {
        size_t word = span_find(at, ' ');
        bool last = word >= at.n;
        char keyword[64];
        (void)snprintf(keyword, sizeof(keyword), "%.*s", (int)word, at.p);
        for (char *p = keyword; *p; p++)
            if (*p == '=')
                *p = ' ';
        n += (size_t)snprintf(text + n, sizeof(text) - n, "250%c%s\r\n", last ? ' ' : '-', keyword);
        at = span_skip(at, word + 1);
    }
    world_upstream(&s->w, span_make(text, n), s->slice);
}

static void step_client_says(struct script *s, const char *text, bool more)
{
    add_line(&s->client_segment, text);
    if (more)
        return;
    struct buf segment = s->client_segment;
    s->client_segment = (struct buf){0};
    world_client(&s->w, buf_span(&segment), s->slice);
    buf_free(&segment);
}

static void step_upstream_says(struct script *s, const char *text, bool more)
{
    add_line(&s->upstream_segment, text);
    if (more)
        return;
    struct buf segment = s->upstream_segment;
    s->upstream_segment = (struct buf){0};
    world_upstream(&s->w, buf_span(&segment), s->slice);
    buf_free(&segment);
}

static void step_eof(struct script *s, bool of_client)
{
    struct buf *b = of_client ? &s->w.to_client : &s->w.to_upstream;
    bool closed = of_client ? s->w.closed : s->w.leg_closed;
    if (buf_len(b) || !closed)
        fail_at(s, "EOF", buf_span(b));
}

static void step_verdict(struct script *s, const char *wanted)
{
    if (!span_eq(span_of(s->w.verdict), span_of(wanted)))
        fail_at(s, "another verdict in the log", span_of(s->w.verdict));
}

static bool starts(const char *line, const char *word, const char **rest)
{
    size_t n = strlen(word);
    if (strncmp(line, word, n) != 0)
        return false;
    *rest = line + n;
    return true;
}

static void run_step(struct script *s, const char *line)
{
    const char *rest;
    if (starts(line, "C> ", &rest) || starts(line, "C>> ", &rest))
        step_client_says(s, rest, line[2] == '>');
    else if (starts(line, "U> ", &rest) || starts(line, "U>> ", &rest))
        step_upstream_says(s, rest, line[2] == '>');
    else if (starts(line, "C< EOF", &rest) || starts(line, "U< EOF", &rest))
        step_eof(s, line[0] == 'C');
    else if (starts(line, "C< ", &rest))
        expect_line(s, &s->w.to_client, rest);
    else if (starts(line, "U< ", &rest))
        expect_line(s, &s->w.to_upstream, rest);
    else if (starts(line, "U hello", &rest))
        step_hello(s);
    else if (starts(line, "U silent", &rest)) {
        if (buf_len(&s->w.to_upstream))
            fail_at(s, "silence", buf_span(&s->w.to_upstream));
    } else if (starts(line, "C close", &rest))
        session_gone(s->w.session);
    else if (starts(line, "U close", &rest)) {
        if (s->w.leg)
            upleg_lost(s->w.leg, "the server closed the connection");
    } else if (starts(line, "wait ", &rest))
        world_wait(&s->w, (uint64_t)strtoull(rest, NULL, 10) * 1000000);
    else if (starts(line, "verdict ", &rest))
        step_verdict(s, rest);
    else
        fail_at(s, "a step that is known", span_of(line));
    world_bury(&s->w);
}

static void take_option(struct script *s, const char *line)
{
    const char *rest;
    if (starts(line, "nosync", &rest))
        s->w.policy.enforce_sync = false;
    else if (starts(line, "normalize", &rest))
        s->w.policy.normalize_newlines = true;
    else if (starts(line, "starttls", &rest))
        s->w.policy.offer_starttls = true;
    else if (starts(line, "auth_clear", &rest))
        s->w.policy.auth_needs_tls = false;
    else if (starts(line, "whole", &rest))
        s->whole_only = true;
    else if (starts(line, "recipients ", &rest))
        s->w.policy.limits.recipients = (uint32_t)strtoul(rest, NULL, 10);
    else if (starts(line, "errors ", &rest))
        s->w.policy.limits.errors = (uint32_t)strtoul(rest, NULL, 10);
    else if (starts(line, "message ", &rest))
        s->w.policy.limits.message_bytes = strtoull(rest, NULL, 10);
    else if (starts(line, "offer", &rest))
        (void)snprintf(s->offer, sizeof(s->offer), "%s", *rest ? rest + 1 : "");
    else
        fail_at(s, "an option that is known", span_of(line));
}

static void set_offer(struct script *s)
{
    struct span at = span_of(s->offer);
    memset(&s->w.offer, 0, sizeof(s->w.offer));
    while (at.n) {
        char keyword[64];
        size_t word = span_find(at, ' ');
        (void)snprintf(keyword, sizeof(keyword), "%.*s", (int)word, at.p);
        for (char *p = keyword; *p; p++)
            if (*p == '=')
                *p = ' ';
        ehlo_take(&s->w.offer, span_of(keyword));
        at = span_skip(at, word + 1);
    }
}

/* false: this transcript is not for this slicing. */
static bool run_script(const char *path, size_t slice)
{
    struct script s = {.path = path, .slice = slice};
    char line[4096];
    bool begun = false;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    world_defaults(&s.w);
    (void)snprintf(s.offer, sizeof(s.offer),
                   "PIPELINING SIZE=10000000 8BITMIME DSN SMTPUTF8 ENHANCEDSTATUSCODES");
    while (fgets(line, sizeof(line), f)) {
        s.line++;
        line[strcspn(line, "\n")] = '\0';
        if (!line[0] || line[0] == '#')
            continue;
        if (!begun && strncmp(line, "option ", 7) == 0) {
            take_option(&s, line + 7);
            continue;
        }
        if (s.whole_only && slice)
            break;
        if (!begun) {
            set_offer(&s);
            world_begin(&s.w);
            begun = true;
        }
        run_step(&s, line);
    }
    (void)fclose(f);
    if (begun) {
        if (buf_len(&s.w.to_client))
            fail_at(&s, "nothing more for the client", buf_span(&s.w.to_client));
        world_end(&s.w);
        assert_int_equal(s.w.policies_out, 0);
    }
    return begun;
}

static void test_transcript(void **state)
{
    const char *path = *state;
    const size_t slices[] = {0, 1, 7};
    for (size_t i = 0; i < 3; i++)
        if (!run_script(path, slices[i]))
            break;
}

int main(void)
{
    char pattern[1024];
    glob_t found;
    const char *source = getenv("POSTERN_SOURCE");
    (void)snprintf(pattern, sizeof(pattern), "%s/tests/transcripts/*.txt", source ? source : ".");
    if (glob(pattern, 0, NULL, &found) != 0) {
        fprintf(stderr, "no transcripts at %s\n", pattern);
        return 1;
    }
    struct CMUnitTest *tests = calloc(found.gl_pathc, sizeof(*tests));
    if (!tests)
        return 1;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *slash = strrchr(found.gl_pathv[i], '/');
        tests[i] = (struct CMUnitTest){slash + 1, test_transcript, NULL, NULL, found.gl_pathv[i]};
    }
    int failed = _cmocka_run_group_tests("transcripts", tests, found.gl_pathc, NULL, NULL);
    free(tests);
    globfree(&found);
    return failed;
}
