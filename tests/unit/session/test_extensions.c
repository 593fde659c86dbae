/* SPDX-License-Identifier: MIT */
/* What transcripts cannot say of the engine's extensions and limits: TLS on both legs, kept connections, a
 * client that does not read, filters that make it wait, a policy that changes between two messages. */
#include "base/attr.h"
#include "unit/session/scripted.h"

/* What the client got since this was last asked; good until then. */
static const char *said(struct bench *b)
{
    static char got[8192];
    struct span s = buf_span(&b->w.to_client);
    (void)snprintf(got, sizeof(got), "%.*s", (int)s.n, s.n ? s.p : "");
    buf_consume(&b->w.to_client, s.n);
    return got;
}

/* Did the server get this, ever? */
static bool server_heard(const struct bench *b, const char *text)
{
    struct span all = buf_span(&b->w.to_upstream), wanted = span_of(text);
    for (size_t i = 0; i + wanted.n <= all.n; i++)
        if (memcmp(all.p + i, wanted.p, wanted.n) == 0)
            return true;
    return false;
}

/* ---- REQUIRETLS (RFC 8689) ---- */

static void secure_client(struct bench *b, const char *offer)
{
    prepare(b, POSTERN_PHASES, POSTERN_CONTINUE);
    b->w.policy.offer_starttls = true;
    ehlo_take(&b->w.offer, span_of(offer));
    world_begin(&b->w);
    client(b, "EHLO c\r\n");
    assert_null(strstr(said(b), "REQUIRETLS"));
    client(b, "STARTTLS\r\n");
    assert_true(b->w.client_tls);
    session_secured(b->w.session, SPAN_LIT("TLSv1.3"));
    (void)said(b);
    client(b, "EHLO c\r\n");
}

/* The server's greeting and offer, and then its replies. */
static void server_says(struct bench *b, const char *offer, const char *replies)
{
    upstream(b, "220 up\r\n");
    upstream(b, "250-up\r\n250-PIPELINING\r\n");
    upstream(b, offer);
    if (b->w.leg)
        upstream(b, replies);
}

static void test_requiretls_over_tls(void **state)
{
    struct bench b = {0};
    (void)state;
    secure_client(&b, "REQUIRETLS");
    assert_non_null(strstr(said(&b), "REQUIRETLS\r\n"));
    b.w.leg_config.tls = UPLEG_IMPLICIT;
    b.w.leg_config.verified = true;
    client(&b, "MAIL FROM:<a@x.test> requiretls SIZE=5\r\n");
    server_says(&b, "250-SIZE\r\n250 REQUIRETLS\r\n", "250 m\r\n");
    assert_true(server_heard(&b, "MAIL FROM:<a@x.test> SIZE=5 REQUIRETLS\r\n"));
    expect(&b, "250 m\r\n");
    end(&b);
}

/* The server that was got cannot keep the promise: nothing is sent, and the client may try again. */
static void test_requiretls_with_another_server(void **state)
{
    static const struct {
        enum upleg_tls tls;
        bool verified;
        const char *offer;
    } cases[] = {
        {UPLEG_IMPLICIT, true, "250 SIZE\r\n"},
        {UPLEG_IMPLICIT, false, "250 REQUIRETLS\r\n"},
        {UPLEG_PLAIN, true, "250 REQUIRETLS\r\n"},
        {UPLEG_OPPORTUNISTIC, true, "250 REQUIRETLS\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bench b = {0};
        secure_client(&b, "REQUIRETLS");
        (void)said(&b);
        b.w.leg_config.tls = cases[i].tls;
        b.w.leg_config.verified = cases[i].verified;
        client(&b, "MAIL FROM:<a@x.test> REQUIRETLS\r\n");
        server_says(&b, cases[i].offer, "");
        assert_false(server_heard(&b, "MAIL"));
        assert_int_equal(strncmp(said(&b), "451 4.3.0", 9), 0);
        end(&b);
    }
}

/* ---- LIMITS (RFC 9422) ---- */

static void test_limits_are_told_and_kept(void **state)
{
    struct bench b = {0};
    (void)state;
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    ehlo_take(&b.w.offer, SPAN_LIT("LIMITS RCPTMAX=300 MAILMAX=9 RCPTDOMAINMAX=4"));
    b.w.policy.limits.transactions = 1;
    world_begin(&b.w);
    client(&b, "EHLO c\r\n");
    assert_non_null(strstr(said(&b), "250-LIMITS RCPTMAX=100 MAILMAX=1 RCPTDOMAINMAX=4\r\n"));
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    hello(&b);
    upstream(&b, "250 m\r\n");
    client(&b, "RSET\r\n");
    (void)said(&b);
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    assert_int_equal(strncmp(said(&b), "421 4.7.0", 9), 0);
    assert_true(b.w.closed);
    end(&b);
}

/* ---- VRFY over a kept connection ---- */

static void begin_vrfy(struct bench *b)
{
    prepare(b, POSTERN_PHASES, POSTERN_CONTINUE);
    b->w.policy.vrfy = SESSION_QUERY_RELAY;
    world_begin(&b->w);
    client(b, "EHLO c\r\n");
    client(b, "VRFY a\r\n");
    hello(b);
    (void)said(b);
}

static void test_query_over_a_stale_connection(void **state)
{
    struct bench b = {0};
    (void)state;
    begin_vrfy(&b);
    upleg_marks(b.w.leg)->used = true;
    upleg_lost(b.w.leg, "closed");
    assert_int_equal(b.w.connects, 2);
    hello(&b);
    assert_true(server_heard(&b, "VRFY a\r\n"));
    upstream(&b, "252 a\r\n");
    expect(&b, "252 a\r\n");
    assert_null(b.w.leg); /* given back */
    end(&b);
}

static void test_query_without_a_server(void **state)
{
    struct bench b = {0};
    (void)state;
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    b.w.policy.vrfy = SESSION_QUERY_RELAY;
    world_begin(&b.w);
    client(&b, "EHLO c\r\n");
    (void)said(&b);
    b.w.refuse_connect = true;
    client(&b, "VRFY a\r\n");
    assert_int_equal(strncmp(said(&b), "451 4.3.2", 9), 0);
    b.w.offer_state = SESSION_OFFER_DOWN; /* not even asked for */
    client(&b, "VRFY a\r\n");
    assert_int_equal(strncmp(said(&b), "451 4.3.2", 9), 0);
    assert_int_equal(b.w.connects, 1);
    client(&b, "VRFY \xc3\xbc@x.test\r\n"); /* SMTPUTF8 was offered, so that is an argument like any other */
    assert_int_equal(strncmp(said(&b), "451 4.3.2", 9), 0);
    end(&b);
}

/* ---- replies ---- */

static void expect_broken_by(uint32_t lines, uint32_t bytes, const char *reply, const char *answer)
{
    struct bench b = {0};
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    b.w.leg_config.reply_lines = lines;
    b.w.leg_config.reply_bytes = bytes;
    world_begin(&b.w);
    client(&b, "EHLO c\r\n");
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    hello(&b);
    (void)said(&b);
    upstream(&b, reply);
    assert_int_equal(strncmp(said(&b), answer, strlen(answer)), 0);
    end(&b);
}

static void test_limits_of_a_reply(void **state)
{
    (void)state;
    expect_broken_by(3, 0, "250-a\r\n250-b\r\n250 c\r\n", "250-a");
    expect_broken_by(3, 0, "250-a\r\n250-b\r\n250-c\r\n250 d\r\n", "451 4.3.0");
    expect_broken_by(0, 60, "250-a\r\n250 b\r\n", "250-a");
    expect_broken_by(0, 60, "250-0123456789012345678901234567890\r\n250 0123456789012345678901234\r\n",
                     "451 4.3.0");
}

/* ---- time ---- */

/* RE-07: replies that nobody reads stop the session from taking more, and then end it. */
static void test_client_that_does_not_read(void **state)
{
    struct bench b = {0};
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    client(&b, "EHLO c\r\n");
    b.w.client_full = true;
    for (int i = 0; i < 1000; i++)
        client(&b, "RSET\r\nRSET\r\nRSET\r\n");
    assert_true(buf_len(&b.w.from_client) > 2000 * 6); /* all but what may be read ahead */
    world_wait(&b.w, 299 * SECOND);
    assert_false(b.w.closed);
    world_wait(&b.w, 2 * SECOND);
    assert_true(b.w.closed);
    end(&b);
}

static void test_wait_for_the_first_probe(void **state)
{
    struct bench b = {0};
    (void)state;
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    b.w.offer_state = SESSION_OFFER_UNKNOWN;
    b.w.policy.limits.greeting_us = 3 * SECOND;
    world_begin(&b.w);
    world_wait(&b.w, 2 * SECOND);
    expect(&b, "");
    world_wait(&b.w, 2 * SECOND);
    assert_int_equal(strncmp(said(&b), "421 4.3.2", 9), 0);
    assert_true(b.w.closed);
    end(&b);
}

static void test_line_flood(void **state)
{
    struct bench b = {0};
    char line[5001];
    (void)state;
    memset(line, 'x', 5000);
    line[5000] = '\0';
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    b.w.policy.limits.auth_line = 2048;
    b.w.policy.limits.line_flood = 6000;
    world_begin(&b.w);
    (void)said(&b);
    client(&b, line);
    client(&b, "\r\n");
    assert_int_equal(strncmp(said(&b), "500 5.5.2", 9), 0);
    assert_false(b.w.closed);
    client(&b, line);
    client(&b, line);
    assert_int_equal(strncmp(said(&b), "500 5.5.2", 9), 0);
    assert_true(b.w.closed);
    end(&b);
}

/* The time for which a filter makes the client wait is not the client's. */
static void test_data_rate_and_a_filter_that_thinks(void **state)
{
    struct bench b = {0};
    struct postern_verdict v = {.action = POSTERN_CONTINUE};
    (void)state;
    begin(&b, POSTERN_ON_HEADERS, POSTERN_PENDING);
    client(&b, "EHLO c\r\n");
    client(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    hello(&b);
    upstream(&b, "250 m\r\n250 r\r\n");
    client(&b, "DATA\r\n");
    (void)said(&b);
    world_wait(&b.w, 100 * SECOND);
    client(&b, "Subject: x\r\n\r\n");
    world_wait(&b.w, 500 * SECOND);
    assert_false(b.w.closed);
    script.host->resume(script.self, script.ticket, &v);
    world_wait(&b.w, 79 * SECOND);
    client(&b, "x");
    assert_false(b.w.closed);
    world_wait(&b.w, 2 * SECOND);
    assert_int_equal(strncmp(said(&b), "421 4.4.2 Too little", 20), 0);
    assert_true(b.w.closed);
    end(&b);
}

static void test_no_data_rate(void **state)
{
    struct bench b = {0};
    (void)state;
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    b.w.policy.limits.data_rate = 0;
    world_begin(&b.w);
    client(&b, "EHLO c\r\n");
    client(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    hello(&b);
    upstream(&b, "250 m\r\n250 r\r\n");
    client(&b, "DATA\r\n");
    for (int i = 0; i < 20; i++) {
        world_wait(&b.w, 100 * SECOND);
        client(&b, "x");
    }
    assert_false(b.w.closed);
    end(&b);
}

/* ---- what the policy says of this client ---- */

static const struct network its_network = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2},
                                           .bits = 120};
static const struct network another = {.ip = {0x20, 0x01, 0x0d, 0xb8}, .bits = 32};

/* Decided anew with each policy; another's network changes nothing. */
static void test_lenience_comes_and_goes_with_the_policy(void **state)
{
    struct bench b = {0};
    (void)state;
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    b.w.policy.lenient_sync = (struct networks){&its_network, 1};
    world_begin(&b.w);
    (void)said(&b);
    client(&b, "EHLO c\r\nNOOP\r\nNOOP\r\n");
    assert_int_equal(b.w.counters[SESSION_COUNT_SYNC_VIOLATIONS], 0);
    assert_false(b.w.closed);

    struct session_policy next = b.w.policy;
    next.lenient_sync = (struct networks){&another, 1};
    b.w.newest = &next;
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    hello(&b);
    upstream(&b, "250 m\r\n");
    (void)said(&b);
    client(&b, "NOOP\r\nNOOP\r\n");
    assert_int_equal(b.w.counters[SESSION_COUNT_SYNC_VIOLATIONS], 1);
    assert_int_equal(strncmp(said(&b), "554 5.5.0", 9), 0);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requiretls_over_tls),
        cmocka_unit_test(test_requiretls_with_another_server),
        cmocka_unit_test(test_limits_are_told_and_kept),
        cmocka_unit_test(test_query_over_a_stale_connection),
        cmocka_unit_test(test_query_without_a_server),
        cmocka_unit_test(test_limits_of_a_reply),
        cmocka_unit_test(test_client_that_does_not_read),
        cmocka_unit_test(test_wait_for_the_first_probe),
        cmocka_unit_test(test_line_flood),
        cmocka_unit_test(test_data_rate_and_a_filter_that_thinks),
        cmocka_unit_test(test_no_data_rate),
        cmocka_unit_test(test_lenience_comes_and_goes_with_the_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
