/* SPDX-License-Identifier: MIT */
/* The smuggling matrix on the whole engine: every string of up to 5 octets over CR, LF, dot, NUL and a
 * letter, in the middle of a body and as its first bytes, before commands that a smuggler wants obeyed.
 *
 *   client: … DATA | body STRING evil commands . |  ->  engine  ->  a server that reads by the letter
 *
 * The reference says where the message ends; up to there the client gets one reply, and the server has got
 * that one message or none, and never a command of the smuggler's. Both policies, whole and byte by byte; and
 * for shorter strings by BDAT on either side, in two chunks cut within the string, held and streamed. */
#include "base/attr.h"
#include "support/engine.h"
#include "unit/smtp/data_reference.h"
#include "unit/smtp/strict_reader.h"
#include "unit/smtp/wire_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define LONGEST      5 /* one more with POSTERN_LONG=1 */
#define LONGEST_WAYS 3 /* in every way; likewise */
#define ROOM         512
#define EVIL         "MAIL FROM:<evil@x.test>\r\nRCPT TO:<evil@y.test>\r\nDATA\r\npwned\r\n.\r\n"

/* The server: obeys each command, and keeps the message it took last. */
struct server {
    bool in_content;
    bool last;    /* the chunk that it is in ends the message */
    size_t chunk; /* octets of it that have not come */
    unsigned messages;
    char content[ROOM];
    size_t n;
};

struct way {
    bool normalize, chunks, chunks_up, stream;
    size_t slice;
};

struct run {
    struct world w;
    struct server server;
    struct span wire; /* the content as the client sends it, with the end of DATA */
    struct way way;
};

static void fail_run(const struct run *r, const char *what, struct span got)
{
    print_error("%s: %.*s\nin answer to (%s%s%s%s, slice %zu): ", what, SPAN_FMT(got),
                r->way.normalize ? "normalize" : "reject", r->way.chunks ? ", by BDAT" : "",
                r->way.chunks_up ? ", to BDAT" : "", r->way.stream ? ", streamed" : "", r->way.slice);
    for (size_t i = 0; i < r->wire.n; i++)
        print_error(r->wire.p[i] > ' ' && r->wire.p[i] < 127 ? "%c" : "\\x%02x", (unsigned char)r->wire.p[i]);
    print_error("\n");
    fail();
}

/* ---- the server ---- */

static const char *answer(struct run *r, struct span line)
{
    static const struct {
        struct span begins;
        const char *reply;
    } replies[] = {
        {{"EHLO ", 5}, "250-up.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"},
        {{"MAIL FROM:<a@x.test>", 20}, "250 m\r\n"},
        {{"RCPT TO:<b@y.test>", 18}, "250 r\r\n"},
        {{"DATA", 4}, "354 go\r\n"},
        {{"RSET", 4}, "250 reset\r\n"},
        {{"NOOP", 4}, "250 noop\r\n"},
        {{"QUIT", 4}, "221 bye\r\n"},
    };
    if (r->way.chunks_up && span_eq(span_head(line, 5), SPAN_LIT("EHLO ")))
        return "250-up.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
    for (size_t i = 0; i < COUNT_OF(replies); i++)
        if (span_eq(span_head(line, replies[i].begins.n), replies[i].begins))
            return replies[i].reply;
    fail_run(r, "the server got", line);
    return NULL;
}

static void keep(struct run *r, const char *reply)
{
    r->server.messages++;
    world_upstream(&r->w, span_of(reply), 0);
}

/* false: the content has not ended. */
static bool serve_content(struct run *r)
{
    struct span all = buf_span(&r->w.to_upstream);
    assert_true(all.n <= ROOM);
    struct strict_reading got = strict_read(all, r->server.content);
    if (got.end == SIZE_MAX)
        return false;
    if (got.nul || wire_fault(span_head(all, got.end)))
        fail_run(r, "the server got content", span_head(all, got.end));
    buf_consume(&r->w.to_upstream, got.end);
    r->server.in_content = false;
    r->server.n = got.n;
    keep(r, "250 kept\r\n");
    return true;
}

/* false: the chunk is not whole. */
static bool serve_chunk(struct run *r)
{
    struct server *v = &r->server;
    struct span now = span_head(buf_span(&r->w.to_upstream), v->chunk);
    assert_true(v->n + now.n <= ROOM);
    if (now.n)
        memcpy(v->content + v->n, now.p, now.n);
    v->n += now.n;
    v->chunk -= now.n;
    buf_consume(&r->w.to_upstream, now.n);
    if (v->chunk)
        return false;
    v->in_content = false;
    if (v->last)
        keep(r, "250 kept\r\n");
    else
        world_upstream(&r->w, SPAN_LIT("250 chunk\r\n"), 0);
    return true;
}

static bool begin_chunk(struct run *r, struct span line)
{
    char text[64], last[8] = "";
    struct server *v = &r->server;
    (void)snprintf(text, sizeof text, "%.*s", SPAN_FMT(line));
    if (!r->way.chunks_up || sscanf(text, "BDAT %zu %7s", &v->chunk, last) < 1)
        return false;
    v->last = strcmp(last, "LAST") == 0;
    v->in_content = true;
    return true;
}

static bool serve_command(struct run *r)
{
    struct span all = buf_span(&r->w.to_upstream);
    const char *crlf = all.n ? memmem(all.p, all.n, "\r\n", 2) : NULL;
    if (!crlf)
        return false;
    struct span line = span_make(all.p, (size_t)(crlf - all.p));
    const char *reply = begin_chunk(r, line) ? NULL : answer(r, line);
    if (span_eq(span_head(line, 5), SPAN_LIT("MAIL ")))
        r->server.n = 0;
    buf_consume(&r->w.to_upstream, line.n + 2);
    if (reply) {
        r->server.in_content = reply[0] == '3';
        world_upstream(&r->w, span_of(reply), r->way.slice);
    }
    return true;
}

static bool serve_next(struct run *r)
{
    if (!r->server.in_content)
        return serve_command(r);
    return r->way.chunks_up ? serve_chunk(r) : serve_content(r);
}

static void serve(struct run *r)
{
    while (serve_next(r))
        ;
}

/* ---- the client ---- */

static void expect(struct run *r, struct span reply)
{
    struct span got = buf_span(&r->w.to_client);
    const char *end = got.n ? memmem(got.p, got.n, "\r\n", 2) : NULL;
    if (!end || !span_eq(span_head(got, reply.n), reply))
        fail_run(r, "the client got", got);
    else
        buf_consume(&r->w.to_client, (size_t)(end - got.p) + 2);
}

static void expect_only(struct run *r, struct span reply)
{
    expect(r, reply);
    if (buf_len(&r->w.to_client))
        fail_run(r, "the client got more", buf_span(&r->w.to_client));
}

static void say(struct run *r, struct span bytes)
{
    world_client(&r->w, bytes, r->way.slice);
    serve(r);
}

static void begin(struct run *r)
{
    world_defaults(&r->w);
    r->w.policy.normalize_newlines = r->way.normalize;
    r->w.leg_config.chunking = UPLEG_CHUNKS_ALWAYS;
    r->w.policy.limits.hold = r->way.stream ? 0 : 1 << 18;
    world_begin(&r->w);
    say(r, SPAN_LIT("EHLO c.test\r\n"));
    say(r, SPAN_LIT("MAIL FROM:<a@x.test>\r\n"));
    world_upstream(&r->w, SPAN_LIT("220 up.test ESMTP\r\n"), r->way.slice);
    serve(r);
    say(r, SPAN_LIT("RCPT TO:<b@y.test>\r\n"));
    buf_free(&r->w.to_client);
}

static void send_data(struct run *r)
{
    say(r, SPAN_LIT("DATA\r\n"));
    expect_only(r, SPAN_LIT("354 "));
    say(r, r->wire);
}

/* The first reply is out of the way afterwards, unless it refuses; then the second says that it comes late.
 */
static void send_chunks(struct run *r, size_t cut)
{
    char text[2 * ROOM];
    struct span first = span_head(r->wire, cut), second = span_skip(r->wire, cut);
    struct buf all = {0};
    int n = snprintf(text, sizeof text, "BDAT %zu\r\n", first.n);
    bool ok = buf_append(&all, span_make(text, (size_t)n)) && buf_append(&all, first);
    n = snprintf(text, sizeof text, "BDAT %zu LAST\r\n", second.n);
    assert_true(ok && buf_append(&all, span_make(text, (size_t)n)) && buf_append(&all, second));
    say(r, buf_span(&all));
    buf_free(&all);
    if (!span_eq(span_head(buf_span(&r->w.to_client), 3), SPAN_LIT("550"))) {
        expect(r, SPAN_LIT("250 "));
        return;
    }
    struct span got = buf_span(&r->w.to_client);
    const char *late = memmem(got.p, got.n, "\r\n503 ", 6);
    if (!late)
        fail_run(r, "the client got", got);
    else
        r->w.to_client.end -= got.n - (size_t)(late - got.p) - 2;
}

/* ---- the outcome ---- */

static void check_message(struct run *r, struct span meant)
{
    char normal[2 * ROOM];
    struct span want = wire_normal(meant, normal);
    if (r->server.messages != 1 || !span_eq(span_make(r->server.content, r->server.n), want))
        fail_run(r, "the server keeps", span_make(r->server.content, r->server.n));
}

static void check_outcome(struct run *r, struct span meant, bool bare)
{
    bool nul = meant.n && memchr(meant.p, '\0', meant.n);
    bare = bare && !r->way.normalize;
    if (nul || bare) {
        expect_only(r, nul && bare ? SPAN_LIT("550 5.")
                       : nul       ? SPAN_LIT("550 5.6.0")
                                   : SPAN_LIT("550 5.5.2"));
        if (r->server.messages)
            fail_run(r, "refused, and yet kept", SPAN_NONE);
    } else {
        expect_only(r, SPAN_LIT("250 kept"));
        check_message(r, meant);
    }
    world_wait(&r->w, 1000000);
    say(r, SPAN_LIT("NOOP\r\n")); /* the session has not lost its place, and nothing came by itself */
    expect_only(r, SPAN_LIT("250 "));
}

static void play_data(struct span wire, const struct way *way)
{
    char room[2 * ROOM];
    struct run r = {.way = *way};
    struct reference meant = {.content = room};
    reference_decode(wire, way->normalize, &meant);
    assert_true(meant.end <= wire.n);
    r.wire = span_head(wire, meant.end);
    begin(&r);
    send_data(&r);
    check_outcome(&r, span_make(meant.content, meant.n), meant.bare_cr || meant.bare_lf);
    world_end(&r.w);
}

static void play_chunks(struct span wire, const struct way *way, size_t cut)
{
    char room[2 * ROOM];
    struct run r = {.way = *way, .wire = wire};
    begin(&r);
    send_chunks(&r, cut);
    check_outcome(&r, wire, !span_eq(wire_normal(wire, room), wire));
    world_end(&r.w);
}

/* ---- the strings ---- */

static void in_both_modes(struct span wire)
{
    for (size_t i = 0; i < 4; i++) {
        struct way way = {.normalize = i & 1, .slice = i >> 1};
        play_data(wire, &way);
    }
}

static void in_every_way(struct span wire, size_t cut)
{
    for (size_t i = 0; i < 32; i++) {
        struct way way = {
            .normalize = i & 1, .chunks = i & 2, .chunks_up = i & 4, .stream = i & 8, .slice = i >> 4};
        if (way.chunks)
            play_chunks(wire, &way, cut);
        else
            play_data(wire, &way);
    }
}

static size_t longest(size_t n)
{
    return n + (getenv("POSTERN_LONG") != NULL);
}

static void check_length(size_t n, struct span before)
{
    static const char alphabet[] = {'\r', '\n', '.', '\0', 'a'};
    char in[ROOM];
    size_t strings = 1, size = before.n + n + sizeof EVIL - 1;
    memcpy(in, before.p, before.n);
    memcpy(in + before.n + n, EVIL, sizeof EVIL - 1);
    memcpy(in + size, "\r\n.\r\n", 5);
    for (size_t i = 0; i < n; i++)
        strings *= sizeof alphabet;
    for (size_t x = 0; x < strings; x++) {
        for (size_t i = 0, rest = x; i < n; i++, rest /= sizeof alphabet)
            in[before.n + i] = alphabet[rest % sizeof alphabet];
        if (n <= longest(LONGEST_WAYS))
            in_every_way(span_make(in, size + 5), before.n + (n + 1) / 2);
        else
            in_both_modes(span_make(in, size + 5));
    }
}

static void in_the_middle_of_a_body(void **state)
{
    (void)state;
    for (size_t n = 0; n <= longest(LONGEST); n++)
        check_length(n, SPAN_LIT("Subject: t\r\n\r\nbody"));
}

static void right_behind_354(void **state)
{
    (void)state;
    for (size_t n = 0; n <= longest(LONGEST); n++)
        check_length(n, SPAN_LIT(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_middle_of_a_body),
        cmocka_unit_test(right_behind_354),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
