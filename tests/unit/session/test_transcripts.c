/* SPDX-License-Identifier: MIT */
/* Runs every transcript of tests/transcripts on the bare engine, and every one again with the bytes of both
 * parties cut in other places: byte by byte, in slices of 7, and at random. Each run must say, byte for byte,
 * what the whole one said to either party. See the README there for the language. One cmocka test a file; a
 * failure names file, line and cut.
 *
 * POSTERN_SEED=N begins the random cuts with seed N; POSTERN_LONG=1 makes many more of them. */
#include "base/attr.h"
#include "support/engine.h"

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define SEEDS      64
#define SEEDS_LONG 2000

/* How the bytes of a step are cut. */
struct cut {
    size_t slice;  /* 0: not at all */
    uint32_t seed; /* not 0: at random instead */
};

struct script {
    const char *path;
    unsigned line;
    struct cut cut;
    uint32_t random;
    bool whole_only;
    struct world w;
    struct buf client_segment, upstream_segment;
    struct buf said; /* every line that a party got, in the order of the transcript */
    char offer[512];
};

static void fail_at(const struct script *s, const char *what, struct span got)
{
    fprintf(stderr, "%s:%u (slice %zu, seed %u): %s; got: %.*s\n", s->path, s->line, s->cut.slice,
            s->cut.seed, what, SPAN_FMT(got));
    fail();
}

/* ---- cuts ---- */

/* Mostly a few bytes; sometimes many, or all that there is. */
static size_t random_piece(struct script *s, size_t left)
{
    static const size_t most[] = {1, 2, 3, 5, 20, 200};
    s->random = s->random * 1664525u + 1013904223u;
    size_t choice = (s->random >> 8) % (COUNT_OF(most) + 1);
    return choice < COUNT_OF(most) ? 1 + (s->random >> 12) % most[choice] : left;
}

static void feed(struct script *s, bool from_client, struct span bytes)
{
    while (bytes.n) {
        size_t n = s->cut.seed ? random_piece(s, bytes.n) : s->cut.slice ? s->cut.slice : bytes.n;
        struct span piece = span_head(bytes, n);
        bytes = span_skip(bytes, piece.n);
        if (from_client)
            world_client(&s->w, piece, 0);
        else
            world_upstream(&s->w, piece, 0);
    }
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
    assert_true(buf_printf(&s->said, "%c %s\n", from == &s->w.to_client ? 'C' : 'U', line));
}

/* ---- steps ---- */

static void step_hello(struct script *s)
{
    struct span at = span_of(s->offer);
    char text[700] = "";
    if (!s->w.leg)
        fail_at(s, "a connection to the server", SPAN_NONE);
    feed(s, false, SPAN_LIT("220 up.test ESMTP\r\n"));
    expect_line(s, &s->w.to_upstream, "?HLO *");
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
    feed(s, false, span_make(text, n));
}

static void step_says(struct script *s, bool is_client, const char *text, bool more)
{
    struct buf *waiting = is_client ? &s->client_segment : &s->upstream_segment;
    add_line(waiting, text);
    if (more)
        return;
    struct buf segment = *waiting;
    *waiting = (struct buf){0};
    feed(s, is_client, buf_span(&segment));
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
        step_says(s, true, rest, line[2] == '>');
    else if (starts(line, "U> ", &rest) || starts(line, "U>> ", &rest))
        step_says(s, false, rest, line[2] == '>');
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

static bool take_limit(struct script *s, const char *line)
{
    struct session_limits *l = &s->w.policy.limits;
    const struct {
        const char *name;
        uint32_t *small;
        uint64_t *large;
    } limits[] = {
        {"recipients ", &l->recipients, NULL},
        {"errors ", &l->errors, NULL},
        {"commands ", &l->commands, NULL},
        {"pipelined ", &l->pipelined, NULL},
        {"hops ", &l->hops, NULL},
        {"message ", NULL, &l->message_bytes},
        {"hold ", NULL, &l->hold},
    };
    const char *number;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        if (!starts(line, limits[i].name, &number))
            continue;
        if (limits[i].small)
            *limits[i].small = (uint32_t)strtoul(number, NULL, 10);
        else
            *limits[i].large = strtoull(number, NULL, 10);
        return true;
    }
    return false;
}

static bool take_query(struct script *s, const char *line)
{
    static const char *const policies[] = {[SESSION_QUERY_REFUSE] = "refuse",
                                           [SESSION_QUERY_RELAY] = "relay",
                                           [SESSION_QUERY_ANSWER] = "answer"};
    const char *policy;
    enum session_query *query = starts(line, "vrfy ", &policy)   ? &s->w.policy.vrfy
                                : starts(line, "expn ", &policy) ? &s->w.policy.expn
                                : starts(line, "etrn ", &policy) ? &s->w.policy.etrn
                                                                 : NULL;
    for (size_t i = 0; i < COUNT_OF(policies) && query; i++)
        if (strcmp(policy, policies[i]) == 0)
            *query = (enum session_query)i;
    return query != NULL;
}

/* The network of the client. */
static const struct network here_list[] = {
    {.ip = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2}, .bits = 96 + 24}};
static const struct networks here = {here_list, 1};

static void take_option(struct script *s, const char *line)
{
    const char *rest;
    if (take_limit(s, line) || take_query(s, line))
        return;
    if (starts(line, "nosync", &rest))
        s->w.policy.enforce_sync = false;
    else if (starts(line, "lenient_sync", &rest))
        s->w.policy.lenient_sync = here;
    else if (starts(line, "lenient_newlines", &rest))
        s->w.policy.normalize_for = here;
    else if (starts(line, "trust_xclient", &rest))
        s->w.policy.trust_xclient = here;
    else if (starts(line, "normalize", &rest))
        s->w.policy.normalize_newlines = true;
    else if (starts(line, "starttls", &rest))
        s->w.policy.offer_starttls = true;
    else if (starts(line, "auth_clear", &rest))
        s->w.policy.auth_needs_tls = false;
    else if (starts(line, "relay", &rest))
        s->w.policy.eager = s->w.policy.relay_greeting = s->w.leg_config.relay = true;
    else if (starts(line, "whole", &rest))
        s->whole_only = true;
    else if (starts(line, "lmtp", &rest))
        s->w.leg_config.lmtp = true;
    else if (starts(line, "bdat_always", &rest))
        s->w.leg_config.chunking = UPLEG_CHUNKS_ALWAYS;
    else if (starts(line, "nochunking", &rest))
        s->w.policy.offer_chunking = false;
    else if (starts(line, "offer", &rest))
        (void)snprintf(s->offer, sizeof(s->offer), "%s", *rest ? rest + 1 : "");
    else
        fail_at(s, "an option that is known", span_of(line));
}

static void set_offer(struct script *s)
{
    struct span at = span_of(s->offer);
    memset(&s->w.offer, 0, sizeof(s->w.offer));
    s->w.offer.caps = s->w.leg_config.lmtp ? CAP_PRDR : 0;
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

/* The first step: the options are known. */
static void begin(struct script *s)
{
    set_offer(s);
    world_begin(&s->w);
}

static void end(struct script *s)
{
    if (buf_len(&s->w.to_client))
        fail_at(s, "nothing more for the client", buf_span(&s->w.to_client));
    world_end(&s->w);
    assert_int_equal(s->w.policies_out, 0);
}

/* What the parties got goes to *said_r, which the caller frees. false: this transcript is not to be cut. */
static bool run_script(const char *path, struct cut cut, struct buf *said_r)
{
    struct script s = {.path = path, .cut = cut, .random = cut.seed};
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
        if (s.whole_only && (cut.slice || cut.seed))
            break;
        if (!begun)
            begin(&s);
        begun = true;
        run_step(&s, line);
    }
    (void)fclose(f);
    if (begun)
        end(&s);
    *said_r = s.said;
    return begun;
}

/* false: this transcript is not to be cut. */
static bool same_when_cut(const char *path, struct cut cut, struct span whole)
{
    struct buf said;
    if (!run_script(path, cut, &said))
        return false;
    bool same = span_eq(buf_span(&said), whole);
    if (!same)
        fprintf(stderr, "%s (slice %zu, seed %u) said\n%.*sbut whole it said\n%.*s", path, cut.slice,
                cut.seed, SPAN_FMT(buf_span(&said)), SPAN_FMT(whole));
    buf_free(&said);
    assert_true(same);
    return true;
}

/* A number from the environment, or the default. */
static uint32_t number_from(const char *name, uint32_t otherwise)
{
    const char *text = getenv(name);
    errno = 0;
    unsigned long n = text && *text ? strtoul(text, NULL, 10) : otherwise;
    assert_true(!errno && n && n <= UINT32_MAX - SEEDS_LONG);
    return (uint32_t)n;
}

static void test_transcript(void **state)
{
    static const size_t slices[] = {1, 7};
    const char *path = *state;
    struct buf whole;
    uint32_t first = number_from("POSTERN_SEED", 1);
    uint32_t seeds = getenv("POSTERN_LONG") ? SEEDS_LONG : SEEDS;
    assert_true(run_script(path, (struct cut){0}, &whole));
    bool cuts = true;
    for (size_t i = 0; i < COUNT_OF(slices) && cuts; i++)
        cuts = same_when_cut(path, (struct cut){.slice = slices[i]}, buf_span(&whole));
    for (uint32_t i = 0; i < seeds && cuts; i++)
        cuts = same_when_cut(path, (struct cut){.seed = first + i}, buf_span(&whole));
    buf_free(&whole);
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
