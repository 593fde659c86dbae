/* SPDX-License-Identifier: MIT */
/* Bodies that are larger than what is held: they flow upstream before their verdict, as fast as the server
 * takes them, and their end never before it. */
#include "unit/session/scripted.h"

#define LINE "0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n"

/* As far as the first line of a body; `chunking`: the server knows BDAT. */
static void open_message(struct bench *b, bool chunking)
{
    b->w.policy.limits.hold = 4;
    b->w.policy.limits.message_bytes = 10 << 20;
    client(b, "EHLO c\r\n");
    client(b, "MAIL FROM:<a@x.test>\r\n");
    upstream(b, "220 up\r\n");
    upstream(b, chunking ? "250-up\r\n250-PIPELINING\r\n250 CHUNKING\r\n" : "250-up\r\n250 PIPELINING\r\n");
    client(b, "RCPT TO:<b@y.test>\r\n");
    upstream(b, "250 ok\r\n250 ok\r\n");
    client(b, "DATA\r\n");
    buf_consume(&b->w.to_upstream, buf_len(&b->w.to_upstream));
    buf_consume(&b->w.to_client, buf_len(&b->w.to_client));
    client(b, "Subject: t\r\n\r\n");
}

static bool upstream_has(const struct bench *b, const char *text)
{
    struct span all = buf_span(&b->w.to_upstream), wanted = span_of(text);
    for (size_t i = 0; i + wanted.n <= all.n; i++)
        if (span_eq(span_head(span_skip(all, i), wanted.n), wanted))
            return true;
    return false;
}

static size_t held(const struct bench *b)
{
    return (size_t)b->w.budget.memory_used;
}

static void start(struct bench *b, enum postern_phase phase, enum postern_action action, bool chunking)
{
    prepare(b, phase, action);
    world_begin(&b->w);
    open_message(b, chunking);
}

static void test_end_waits_for_the_verdict(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, POSTERN_ON_END, POSTERN_PENDING, false);
    upstream(&b, "354 go\r\n");
    assert_true(upstream_has(&b, "Subject: t\r\n"));
    client(&b, "body\r\n.\r\n");
    assert_true(upstream_has(&b, "body\r\n"));
    assert_false(upstream_has(&b, "\r\n.\r\n"));
    struct postern_verdict v = {.size = sizeof(v), .action = POSTERN_CONTINUE};
    script.host->resume(script.self, script.ticket, &v);
    assert_true(upstream_has(&b, "body\r\n.\r\n"));
    upstream(&b, "250 queued\r\n");
    expect(&b, "250 queued\r\n");
    assert_int_equal(script.message_code, 250);
    end(&b);
}

static void test_refused_after_data(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, POSTERN_ON_END, POSTERN_REJECT, false);
    upstream(&b, "354 go\r\n");
    client(&b, "body\r\n.\r\n");
    assert_true(b.w.leg_closed && b.w.leg_reset);
    assert_false(upstream_has(&b, "\r\n.\r\n"));
    assert_true(span_istarts(buf_span(&b.w.to_client), SPAN_LIT("550 ")));
    end(&b);
}

static void test_refused_between_chunks(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, POSTERN_ON_END, POSTERN_REJECT, true);
    for (int i = 0; i < 1000; i++)
        client(&b, LINE);
    assert_true(upstream_has(&b, "BDAT "));
    client(&b, ".\r\n");
    assert_true(upstream_has(&b, "RSET\r\n"));
    assert_false(upstream_has(&b, "LAST"));
    assert_false(b.w.leg_closed);
    end(&b);
}

/* The server does not read: neither do we, and what is held does not grow. */
static void test_back_pressure(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, POSTERN_PHASES, POSTERN_CONTINUE, false);
    upstream(&b, "354 go\r\n");
    b.w.leg_full = true;
    for (int i = 0; i < 1000; i++)
        client(&b, LINE);
    assert_true(held(&b) < 1000);
    assert_true(buf_len(&b.w.from_client) > 1000 * (sizeof(LINE) - 1) - 1000);
    b.w.leg_full = false;
    upleg_drained(b.w.leg);
    world_offer_bytes(&b.w);
    assert_int_equal(buf_len(&b.w.from_client), 0);
    client(&b, ".\r\n");
    assert_true(upstream_has(&b, LINE ".\r\n"));
    upstream(&b, "250 queued\r\n");
    expect(&b, "250 queued\r\n");
    end(&b);
}

/* A server that never answers chunks: only so many are out. */
static void test_chunks_owed(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, POSTERN_PHASES, POSTERN_CONTINUE, true);
    for (int i = 0; i < 20000; i++)
        client(&b, LINE);
    assert_true(buf_len(&b.w.from_client) > 0);
    assert_true(upleg_owed(b.w.leg) <= 8);
    assert_true(held(&b) < 1000);
    for (int i = 0; i < 100 && upleg_owed(b.w.leg); i++)
        upstream(&b, "250 chunk\r\n");
    assert_int_equal(buf_len(&b.w.from_client), 0);
    client(&b, ".\r\n");
    assert_true(upstream_has(&b, " LAST\r\n"));
    upstream(&b, "250 queued\r\n");
    expect(&b, "250 queued\r\n");
    end(&b);
}

/* A chunk is refused in the middle: the client hears it after its end, once, and nothing is committed. */
static void test_chunk_refused(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, POSTERN_PHASES, POSTERN_CONTINUE, true);
    for (int i = 0; i < 1000; i++)
        client(&b, LINE);
    upstream(&b, "552 5.3.4 too much\r\n");
    for (int i = 0; i < 1000; i++)
        client(&b, LINE);
    client(&b, ".\r\nNOOP\r\n");
    assert_true(upstream_has(&b, "RSET\r\n"));
    assert_false(upstream_has(&b, "LAST"));
    expect(&b, "552 5.3.4 too much\r\n250 2.0.0 Ok\r\n");
    end(&b);
}

/* The last chunk was sent behind one that is refused: whatever the server says to it, the message lacks a
 * piece. */
static void test_chunk_refused_behind_the_end(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, POSTERN_PHASES, POSTERN_CONTINUE, true);
    for (int i = 0; i < 1000; i++)
        client(&b, LINE);
    client(&b, ".\r\n");
    assert_true(upstream_has(&b, " LAST\r\n"));
    upstream(&b, "452 4.3.1 full\r\n250 queued\r\n");
    expect(&b, "452 4.3.1 full\r\n");
    end(&b);
}

/* A client that trickles: the server gets what there is, and hears of us. */
static void test_slow_client(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, POSTERN_PHASES, POSTERN_CONTINUE, true);
    b.w.policy.limits.data_rate = 0;
    client(&b, LINE);
    assert_false(upstream_has(&b, "BDAT"));
    for (int i = 0; i < 10; i++) {
        world_wait(&b.w, 100 * SECOND);
        client(&b, LINE LINE);
    }
    assert_true(upstream_has(&b, "BDAT"));
    assert_false(b.w.closed);
    world_wait(&b.w, 200 * SECOND);
    assert_true(b.w.closed);
    end(&b);
}

/* The server stops taking content for good: the client is told 451 at its end, and no dot was sent. */
static void test_stalled_server(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, POSTERN_PHASES, POSTERN_CONTINUE, false);
    upstream(&b, "354 go\r\n");
    b.w.leg_full = true;
    client(&b, LINE LINE);
    world_wait(&b.w, 200 * SECOND);
    assert_true(b.w.leg_closed && b.w.leg_reset);
    world_offer_bytes(&b.w);
    client(&b, ".\r\n");
    assert_true(span_istarts(buf_span(&b.w.to_client), SPAN_LIT("451 4.4.2 ")));
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_waits_for_the_verdict),
        cmocka_unit_test(test_refused_after_data),
        cmocka_unit_test(test_refused_between_chunks),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_chunks_owed),
        cmocka_unit_test(test_chunk_refused),
        cmocka_unit_test(test_chunk_refused_behind_the_end),
        cmocka_unit_test(test_slow_client),
        cmocka_unit_test(test_stalled_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
