/* SPDX-License-Identifier: MIT */
/* STARTTLS of intercepted sessions: like the server's, and passed to it; in every order in which the three
 * may speak or go. */
#include "unit/session/scripted.h"

#define OFFER "250-up\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
#define LOST  "421 4.3.2 Lost the mail server; try again later (sid1)\r\n"

static void forget(struct bench *b)
{
    buf_consume(&b->w.to_client, buf_len(&b->w.to_client));
    buf_consume(&b->w.to_upstream, buf_len(&b->w.to_upstream));
}

/* An intercepted session whose client has heard EHLO's answer. */
static void intercepted(struct bench *b, bool pass)
{
    prepare(b, POSTERN_ON_CONNECT, POSTERN_CONTINUE);
    struct session_policy *p = &b->w.policy;
    p->eager = p->relay_greeting = p->offer_starttls = true;
    p->mirror_tls = !pass;
    p->pass_tls = pass;
    b->w.leg_config.relay = true;
    b->w.leg_config.tls = UPLEG_OPPORTUNISTIC;
    world_begin(&b->w);
    upstream(b, "220 up\r\n");
    client(b, "EHLO c\r\n");
    upstream(b, OFFER);
    forget(b);
}

static void expect_upstream(struct bench *b, const char *text)
{
    struct span said = buf_span(&b->w.to_upstream);
    assert_int_equal(said.n, strlen(text));
    assert_memory_equal(said.p, text, said.n);
    buf_consume(&b->w.to_upstream, said.n);
}

/* ---- like the server's ---- */

static void asked(struct bench *b)
{
    intercepted(b, false);
    client(b, "STARTTLS\r\n");
    expect(b, "220 2.0.0 Ready to start TLS\r\n");
    expect_upstream(b, ""); /* not before it is known what the client asks for */
    session_tls_asks(b->w.session);
    expect_upstream(b, "STARTTLS\r\n");
}

static void test_like_the_servers(void **state)
{
    struct bench b;
    (void)state;
    asked(&b);
    upstream(&b, "220 go\r\n");
    assert_int_equal(b.w.presented, 0);
    upleg_secured(b.w.leg);
    assert_int_equal(b.w.presented, 1);
    expect_upstream(&b, ""); /* EHLO is for the client to say */
    session_secured(b.w.session, SPAN_LIT("TLSv1.3"));
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    expect(&b, "503 5.5.1 Say EHLO first\r\n");
    client(&b, "EHLO again\r\n");
    expect_upstream(&b, "EHLO again\r\n");
    upstream(&b, "250-up\r\n250 SIZE 99\r\n");
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    expect_upstream(&b, "MAIL FROM:<a@x.test>\r\n");
    end(&b);
}

/* `required` toward the server, say: TLS was there before the client wanted it. */
static void test_the_leg_is_in_tls(void **state)
{
    struct bench b;
    (void)state;
    intercepted(&b, false);
    assert_true(upleg_secure(b.w.leg));
    upstream(&b, "220 go\r\n");
    upleg_secured(b.w.leg); /* nobody asked: nothing is shown */
    assert_int_equal(b.w.presented, 0);
    assert_false(upleg_secure(b.w.leg));
    client(&b, "STARTTLS\r\n");
    session_tls_asks(b.w.session);
    assert_int_equal(b.w.presented, 1);
    end(&b);
}

static void test_the_server_refuses(void **state)
{
    struct bench b;
    (void)state;
    asked(&b);
    upstream(&b, "454 4.7.0 no\r\n");
    assert_true(b.w.closed); /* as a handshake that fails; the client cannot read a reply now */
    assert_int_equal(b.w.presented, 0);
    expect(&b, "");
    end(&b);
}

static void test_the_server_goes(void **state)
{
    struct bench b;
    (void)state;
    asked(&b);
    upstream(&b, "220 go\r\n");
    upleg_lost(b.w.leg, "handshake failed");
    assert_true(b.w.closed);
    expect(&b, "");
    end(&b);
}

static void test_the_server_says_nothing(void **state)
{
    struct bench b;
    (void)state;
    asked(&b);
    world_wait(&b.w, 1000 * SECOND);
    assert_true(b.w.closed);
    end(&b);
}

static void test_the_server_goes_before_it_is_asked(void **state)
{
    struct bench b;
    (void)state;
    intercepted(&b, false);
    client(&b, "STARTTLS\r\n");
    upleg_lost(b.w.leg, "gone");
    session_tls_asks(b.w.session);
    assert_true(b.w.closed);
    end(&b);
}

static void test_the_client_goes(void **state)
{
    struct bench b;
    (void)state;
    asked(&b);
    session_gone(b.w.session);
    assert_true(b.w.closed);
    assert_int_equal(b.w.presented, 0);
    end(&b);
}

/* ---- passed ---- */

static void test_passed(void **state)
{
    struct bench b;
    (void)state;
    intercepted(&b, true);
    client(&b, "RSET\r\nSTARTTLS\r\n");
    expect_upstream(&b, "RSET\r\n");
    upstream(&b, "250 fine\r\n");
    expect_upstream(&b, "STARTTLS\r\n");
    assert_false(b.w.passed);
    upstream(&b, "220 yours\r\n");
    expect(&b, "250 fine\r\n220 yours\r\n");
    assert_true(b.w.passed);
    end(&b);
}

static void test_not_passed(void **state)
{
    struct bench b;
    (void)state;
    intercepted(&b, true);
    client(&b, "STARTTLS\r\n");
    upstream(&b, "454 4.7.0 no\r\n");
    expect(&b, "454 4.7.0 no\r\n");
    assert_false(b.w.passed);
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    upstream(&b, "250 m\r\n");
    expect(&b, "250 m\r\n");
    client(&b, "STARTTLS\r\n");
    expect(&b, "503 5.5.1 Not during a mail transaction\r\n");
    end(&b);
}

/* Only 220 begins TLS: behind any other 2yz the dialogue goes on. */
static void test_an_odd_reply(void **state)
{
    struct bench b;
    (void)state;
    intercepted(&b, true);
    client(&b, "STARTTLS\r\n");
    upstream(&b, "250 what?\r\n");
    expect(&b, "250 what?\r\n");
    assert_false(b.w.passed);
    end(&b);
}

static void test_lost_while_passing(void **state)
{
    struct bench b;
    (void)state;
    intercepted(&b, true);
    client(&b, "STARTTLS\r\n");
    upleg_lost(b.w.leg, "gone");
    expect(&b, LOST);
    assert_false(b.w.passed);
    end(&b);
}

static void test_the_client_is_gone_when_it_may(void **state)
{
    struct bench b;
    (void)state;
    intercepted(&b, true);
    client(&b, "STARTTLS\r\n");
    session_gone(b.w.session);
    assert_true(b.w.closed);
    assert_false(b.w.passed);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_the_servers),
        cmocka_unit_test(test_the_leg_is_in_tls),
        cmocka_unit_test(test_the_server_refuses),
        cmocka_unit_test(test_the_server_goes),
        cmocka_unit_test(test_the_server_says_nothing),
        cmocka_unit_test(test_the_server_goes_before_it_is_asked),
        cmocka_unit_test(test_the_client_goes),
        cmocka_unit_test(test_passed),
        cmocka_unit_test(test_not_passed),
        cmocka_unit_test(test_an_odd_reply),
        cmocka_unit_test(test_lost_while_passing),
        cmocka_unit_test(test_the_client_is_gone_when_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
