/* SPDX-License-Identifier: MIT */
/* Whoever wants the engine to lie, to lose its count or to wait for ever: clients that send holes and
 * trickle, servers that answer chunks and recipients as they like, filters that think about a message's last
 * octet. */
#include "unit/session/scripted.h"

#define SERVER   "250-up\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 PRDR\r\n"
#define LINE     "0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n"
#define NO_PHASE POSTERN_PHASES

static bool upstream_has(const struct bench *b, const char *text)
{
    struct span all = buf_span(&b->w.to_upstream), wanted = span_of(text);
    for (size_t i = 0; i + wanted.n <= all.n; i++)
        if (span_eq(span_head(span_skip(all, i), wanted.n), wanted))
            return true;
    return false;
}

static void forget_output(struct bench *b)
{
    buf_consume(&b->w.to_upstream, buf_len(&b->w.to_upstream));
    buf_consume(&b->w.to_client, buf_len(&b->w.to_client));
}

static void prepare_server(struct bench *b, enum postern_phase phase, enum postern_action action)
{
    prepare(b, phase, action);
    b->w.policy.limits.message_bytes = 10 << 20;
    b->w.offer.caps |= CAP_PRDR | CAP_CHUNKING;
}

/* As far as the reply to the last RCPT. */
static void open_envelope(struct bench *b, const char *mail, const char *server, size_t recipients)
{
    world_begin(&b->w);
    client(b, "EHLO c\r\n");
    client(b, mail);
    upstream(b, "220 up\r\n");
    upstream(b, server);
    upstream(b, "250 ok\r\n");
    for (size_t i = 0; i < recipients; i++) {
        client(b, "RCPT TO:<b@y.test>\r\n");
        upstream(b, "250 ok\r\n");
    }
    forget_output(b);
}

static void start(struct bench *b, enum postern_phase phase, enum postern_action action)
{
    prepare_server(b, phase, action);
    open_envelope(b, "MAIL FROM:<a@x.test>\r\n", SERVER, 1);
}

/* A body in chunks, one of which at least is out. */
static void stream_chunks(struct bench *b)
{
    b->w.policy.limits.hold = 4;
    client(b, "BDAT 80000\r\n");
    for (int i = 0; i < 80000 / 10; i++)
        client(b, "12345678\r\n");
    assert_true(upstream_has(b, "BDAT "));
}

static void later(enum postern_action action)
{
    struct postern_verdict v = {.size = sizeof(v), .action = action};
    script.host->resume(script.self, script.ticket, &v);
}

/* What follows a chunk that was refused is a message with a hole, whatever was mended meanwhile. */
static void test_no_message_with_a_hole(void **state)
{
    struct bench b = {0};
    (void)state;
    prepare_server(&b, NO_PHASE, POSTERN_CONTINUE);
    open_envelope(&b, "MAIL FROM:<a@x.test>\r\n", SERVER, 0);
    client(&b, "RCPT TO:<b@y.test>\r\n");
    upstream(&b, "550 no\r\n");
    client(&b, "BDAT 5\r\nhelloRCPT TO:<c@y.test>\r\n");
    upstream(&b, "250 ok\r\n");
    forget_output(&b);
    client(&b, "BDAT 7 LAST\r\nworld\r\n");
    assert_false(upstream_has(&b, "BDAT"));
    assert_true(span_istarts(buf_span(&b.w.to_client), SPAN_LIT("554 ")));
    end(&b);
}

/* A reply that nobody waits for any more says as well that a chunk was refused. */
static void test_spent_though_forgotten(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, NO_PHASE, POSTERN_CONTINUE);
    stream_chunks(&b);
    client(&b, "RSET\r\n");
    assert_non_null(b.w.leg);
    upstream(&b, "552 5.3.4 too much\r\n");
    assert_non_null(b.w.leg);
    assert_true(upleg_marks(b.w.leg)->spent);
    end(&b);
}

/* The last octet of a message, a CR that becomes a blank, ends the header section: its filter thinks first.
 */
static void test_headers_end_with_the_message(void **state)
{
    struct bench b = {0};
    (void)state;
    prepare_server(&b, POSTERN_ON_HEADERS, POSTERN_PENDING);
    b.w.policy.normalize_newlines = true;
    open_envelope(&b, "MAIL FROM:<a@x.test>\r\n", SERVER, 1);
    client(&b, "BDAT 1 LAST\r\n\rNOOP\r\n");
    expect(&b, "");
    assert_int_equal(script.calls[POSTERN_ON_HEADERS], 1);
    assert_int_equal(script.calls[POSTERN_ON_END], 0);
    later(POSTERN_REJECT);
    world_offer_bytes(&b.w);
    assert_true(span_istarts(buf_span(&b.w.to_client), SPAN_LIT("550 ")));
    assert_false(upstream_has(&b, "BDAT"));
    end(&b);
}

/* An octet now and then, each in a chunk of its own, is as slow as within one. */
static void test_trickle_of_chunks(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, NO_PHASE, POSTERN_CONTINUE);
    for (int i = 0; i < 10 && !b.w.closed; i++) {
        client(&b, "BDAT 1\r\nx");
        world_wait(&b.w, 200 * SECOND);
        if (b.w.leg && upleg_owed(b.w.leg))
            upstream(&b, "250 to NOOP\r\n");
    }
    assert_true(b.w.closed);
    assert_string_equal(b.w.verdict, "aborted");
    end(&b);
}

/* Who takes a while between two chunks has the time that any command has. */
static void test_pause_between_chunks(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, NO_PHASE, POSTERN_CONTINUE);
    client(&b, "BDAT 1\r\nx");
    world_wait(&b.w, 290 * SECOND);
    client(&b, "BDAT 10\r\nx");
    world_wait(&b.w, 2 * SECOND);
    assert_false(b.w.closed);
    end(&b);
}

/* The payload of a refused chunk takes as long as it takes, but not for ever. */
static void test_slow_payload_of_refused_chunk(void **state)
{
    struct bench b = {0};
    char block[1 << 16];
    (void)state;
    memset(block, 'x', sizeof(block));
    prepare_server(&b, NO_PHASE, POSTERN_CONTINUE);
    world_begin(&b.w);
    client(&b, "EHLO c\r\n");
    client(&b, "BDAT 1000000\r\n");
    for (int i = 0; i < 10; i++) {
        world_wait(&b.w, 100 * SECOND);
        world_client(&b.w, span_make(block, sizeof(block)), 0);
    }
    assert_false(b.w.closed);
    for (int i = 0; i < 10; i++) {
        world_client(&b.w, SPAN_LIT("x"), 0);
        world_wait(&b.w, 100 * SECOND);
    }
    assert_true(b.w.closed);
    end(&b);
}

/* What was skipped is forgiven by a message that was wanted. */
static void test_skipped_and_forgiven(void **state)
{
    struct bench b = {0};
    char block[1 << 16];
    (void)state;
    memset(block, 'x', sizeof(block));
    prepare_server(&b, NO_PHASE, POSTERN_CONTINUE);
    b.w.policy.limits.message_bytes = 1000;
    b.w.policy.limits.errors = 1000;
    world_begin(&b.w);
    client(&b, "EHLO c\r\n");
    for (int i = 0; i < 5; i++) {
        client(&b, "BDAT 65536\r\n");
        world_client(&b.w, span_make(block, sizeof(block)), 0);
        client(&b, "MAIL FROM:<a@x.test>\r\n");
        upstream(&b, "220 up\r\n");
        upstream(&b, SERVER);
        upstream(&b, "250 ok\r\n");
        client(&b, "RCPT TO:<b@y.test>\r\n");
        upstream(&b, "250 ok\r\n");
        client(&b, "BDAT 3 LAST\r\nx\r\n");
        upstream(&b, "250 queued\r\n");
        forget_output(&b);
    }
    assert_false(b.w.closed);
    assert_int_equal(b.w.counters[SESSION_COUNT_ACCEPTED], 5);
    end(&b);
}

/* 353 is the one reply that promises more of them. */
static void test_prdr_other_3yz(void **state)
{
    struct bench b = {0};
    (void)state;
    prepare_server(&b, NO_PHASE, POSTERN_CONTINUE);
    open_envelope(&b, "MAIL FROM:<a@x.test> PRDR\r\n", SERVER, 1);
    client(&b, "BDAT 3 LAST\r\nx\r\n");
    upstream(&b, "354 go on\r\n250 one\r\n250 all\r\n");
    assert_true(b.w.leg_closed);
    assert_true(span_istarts(buf_span(&b.w.to_client), SPAN_LIT("451 ")));
    end(&b);
}

static void open_lmtp(struct bench *b, size_t recipients)
{
    prepare_server(b, NO_PHASE, POSTERN_CONTINUE);
    b->w.leg_config.lmtp = true;
    b->w.policy.eager = true; /* the leg stays */
    world_begin(&b->w);
    upstream(b, "220 up\r\n");
    upstream(b, SERVER);
    client(b, "EHLO c\r\n");
    client(b, "MAIL FROM:<a@x.test>\r\n");
    upstream(b, "250 ok\r\n");
    for (size_t i = 0; i < recipients; i++) {
        client(b, "RCPT TO:<b@y.test>\r\n");
        upstream(b, "250 ok\r\n");
    }
    forget_output(b);
}

/* A chunk was refused behind the end: how many replies this server has for the end is its secret, and the
 * next message must not be answered by one of them. */
static void test_refused_chunk_and_recipients(void **state)
{
    struct bench b = {0};
    (void)state;
    open_lmtp(&b, 3);
    stream_chunks(&b);
    client(&b, "BDAT 0 LAST\r\n");
    forget_output(&b);
    upstream(&b, "452 4.3.1 full\r\n503 no\r\n");
    assert_true(span_istarts(buf_span(&b.w.to_client), SPAN_LIT("452 4.3.1 full\r\n")));
    assert_true(b.w.leg_closed);
    end(&b);
}

/* The server refuses a chunk and goes: the refusal is what the client hears. */
static void test_refused_chunk_and_gone(void **state)
{
    struct bench b = {0};
    (void)state;
    start(&b, NO_PHASE, POSTERN_CONTINUE);
    stream_chunks(&b);
    client(&b, "BDAT 0 LAST\r\n");
    forget_output(&b);
    upstream(&b, "552 5.3.4 too much\r\n");
    upleg_lost(b.w.leg, "closed");
    expect(&b, "552 5.3.4 too much\r\n");
    assert_string_equal(b.w.verdict, "rejected");
    end(&b);
}

/* A server without PIPELINING has one command at a time, chunks too. */
static void test_chunks_without_pipelining(void **state)
{
    struct bench b = {0};
    (void)state;
    prepare_server(&b, NO_PHASE, POSTERN_CONTINUE);
    open_envelope(&b, "MAIL FROM:<a@x.test>\r\n", "250-up\r\n250 CHUNKING\r\n", 1);
    b.w.policy.limits.hold = 4;
    client(&b, "BDAT 400000\r\n");
    for (int i = 0; i < 5000; i++)
        client(&b, LINE "12");
    assert_int_equal(upleg_owed(b.w.leg), 1);
    for (int i = 0; i < 100 && upleg_owed(b.w.leg); i++) {
        upstream(&b, "250 chunk\r\n");
        assert_true(upleg_owed(b.w.leg) <= 1);
    }
    assert_int_equal(buf_len(&b.w.from_client), 0);
    client(&b, "BDAT 0 LAST\r\n");
    for (int i = 0; i < 9 && b.w.leg && upleg_owed(b.w.leg); i++)
        upstream(&b, "250 fine\r\n");
    assert_int_equal(b.w.counters[SESSION_COUNT_ACCEPTED], 1);
    end(&b);
}

/* The reply to a NOOP of ours lets the end go, where it had to wait for it. */
static void test_end_behind_noop(void **state)
{
    struct bench b = {0};
    (void)state;
    prepare_server(&b, NO_PHASE, POSTERN_CONTINUE);
    open_envelope(&b, "MAIL FROM:<a@x.test>\r\n", "250-up\r\n250 CHUNKING\r\n", 1);
    client(&b, "BDAT 1\r\nx");
    world_wait(&b.w, 70 * SECOND);
    assert_true(upstream_has(&b, "NOOP\r\n"));
    client(&b, "BDAT 2 LAST\r\n\r\n");
    assert_false(upstream_has(&b, "BDAT"));
    upstream(&b, "250 still here\r\n");
    assert_true(upstream_has(&b, "BDAT 3 LAST\r\nx\r\n"));
    upstream(&b, "250 queued\r\n");
    assert_int_equal(b.w.counters[SESSION_COUNT_ACCEPTED], 1);
    end(&b);
}

/* A server that takes all at once does not get all at once: other sessions wait. */
static void test_large_body_in_turns(void **state)
{
    enum { SIZE = 4 << 20 };
    struct bench b = {0};
    char block[1 << 16];
    (void)state;
    memset(block, 'x', sizeof(block));
    prepare_server(&b, NO_PHASE, POSTERN_CONTINUE);
    b.w.policy.limits.hold = b.w.policy.limits.body_memory = b.w.budget.memory_max = 8u << 20;
    open_envelope(&b, "MAIL FROM:<a@x.test>\r\n", SERVER, 1);
    client(&b, "DATA\r\n");
    for (size_t i = 0; i < SIZE / sizeof(block); i++)
        world_client(&b.w, span_make(block, sizeof(block)), 0);
    client(&b, "\r\n.\r\n");
    upstream(&b, "354 go\r\n");
    assert_true(buf_len(&b.w.to_upstream) < SIZE / 2);
    world_wait(&b.w, 1);
    assert_true(buf_len(&b.w.to_upstream) > SIZE);
    upstream(&b, "250 queued\r\n");
    assert_int_equal(b.w.counters[SESSION_COUNT_ACCEPTED], 1);
    end(&b);
}

/* Every recipient has the same reply: it says so in the server's words. */
static void test_recipients_all_alike(void **state)
{
    struct bench b = {0};
    (void)state;
    open_lmtp(&b, 2);
    client(&b, "BDAT 3 LAST\r\nx\r\n");
    upstream(&b, "452 4.3.1 full\r\n452 4.3.1 full\r\n");
    expect(&b, "452 4.3.1 full\r\n");
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_message_with_a_hole),
        cmocka_unit_test(test_spent_though_forgotten),
        cmocka_unit_test(test_headers_end_with_the_message),
        cmocka_unit_test(test_trickle_of_chunks),
        cmocka_unit_test(test_pause_between_chunks),
        cmocka_unit_test(test_slow_payload_of_refused_chunk),
        cmocka_unit_test(test_skipped_and_forgiven),
        cmocka_unit_test(test_prdr_other_3yz),
        cmocka_unit_test(test_refused_chunk_and_recipients),
        cmocka_unit_test(test_refused_chunk_and_gone),
        cmocka_unit_test(test_chunks_without_pipelining),
        cmocka_unit_test(test_end_behind_noop),
        cmocka_unit_test(test_large_body_in_turns),
        cmocka_unit_test(test_recipients_all_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
