/* SPDX-License-Identifier: MIT */
/* Orders of events that leave somebody out: a filter that thinks while the server refuses or goes, a client
 * that goes while its message is out, an output that nobody reads. Each session must go on or end, and each
 * filter must hear what the client heard. One filter with a script stands for all. */
#include "unit/session/scripted.h"

static void forget(struct bench *b)
{
    buf_consume(&b->w.to_client, buf_len(&b->w.to_client));
    buf_consume(&b->w.to_upstream, buf_len(&b->w.to_upstream));
}

static void to_mail(struct bench *b, const char *envelope)
{
    client(b, "EHLO c\r\n");
    forget(b);
    client(b, envelope);
    hello(b);
    forget(b);
}

static void to_data(struct bench *b)
{
    to_mail(b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    upstream(b, "250 m\r\n250 r\r\n");
    client(b, "DATA\r\n");
    forget(b);
}

static void to_auth(struct bench *b)
{
    client(b, "EHLO c\r\n");
    client(b, "AUTH PLAIN AHUAcA==\r\n");
    hello(b);
    upstream(b, "235 2.7.0 in\r\n");
    forget(b);
}

static void resume(enum postern_action action)
{
    struct postern_verdict v = {.size = sizeof(v), .action = action};
    script.host->resume(script.self, script.ticket, &v);
}

#define LOST "421 4.3.2 Lost the mail server; try again later (sid1)\r\n"

/* ---- a filter thinks, and meanwhile… ---- */

static void test_mail_is_refused_while_rcpt_thinks(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_RCPT, POSTERN_PENDING);
    to_mail(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    upstream(&b, "550 5.7.1 not you\r\n");
    expect(&b, "550 5.7.1 not you\r\n503 5.5.1 Need MAIL first\r\n");
    assert_int_equal(script.rcpt_code, 503);
    assert_string_equal(b.w.verdict, "rejected");
    resume(POSTERN_CONTINUE); /* finds nobody */
    client(&b, "NOOP\r\n");
    expect(&b, "250 2.0.0 Ok\r\n");
    end(&b);
}

static void test_server_offers_less_while_rcpt_thinks(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_RCPT, POSTERN_PENDING);
    to_mail(&b, "MAIL FROM:<a@x.test> RET=HDRS\r\nRCPT TO:<b@y.test>\r\n");
    client(&b, "");
    assert_string_equal(b.w.verdict, "deferred");
    assert_int_equal(script.rcpt_code, 503);
    client(&b, "NOOP\r\n");
    expect(&b, "250 2.0.0 Ok\r\n");
    end(&b);
}

static void test_server_goes_while_rcpt_thinks(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_RCPT, POSTERN_PENDING);
    to_mail(&b, "MAIL FROM:<a@x.test>\r\n");
    upstream(&b, "250 m\r\n");
    client(&b, "RCPT TO:<b@y.test>\r\n");
    forget(&b);
    upleg_lost(b.w.leg, "gone");
    resume(POSTERN_CONTINUE);
    expect(&b, LOST);
    assert_int_equal(script.rcpt_code, 421);
    assert_true(b.w.closed);
    end(&b);
}

static void test_server_of_a_user_goes_while_mail_thinks(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_MAIL, POSTERN_PENDING);
    to_auth(&b);
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    upleg_lost(b.w.leg, "gone");
    resume(POSTERN_CONTINUE);
    assert_int_equal(b.w.connects, 1); /* no other connection: it would not be the user's */
    expect(&b, LOST);
    assert_true(b.w.closed);
    end(&b);
}

static void test_client_is_silent_after_headers_were_judged(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_HEADERS, POSTERN_PENDING);
    to_data(&b);
    client(&b, "A: b\r\n\r\nbody\r\n");
    upleg_lost(b.w.leg, "gone");
    world_wait(&b.w, 200 * SECOND);
    resume(POSTERN_CONTINUE);
    world_wait(&b.w, 200 * SECOND);
    assert_true(b.w.closed);
    end(&b);
}

static void test_content_comes_early_while_data_thinks(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_DATA, POSTERN_PENDING);
    to_data(&b);
    client(&b, "Subject: early\r\n");
    resume(POSTERN_CONTINUE);
    expect(&b, "554 5.5.0 You sent commands before it was your turn\r\n");
    assert_true(b.w.closed);
    end(&b);
}

/* ---- the client leaves ---- */

static void test_half_closed_client_cannot_send_content(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    to_mail(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n");
    session_eof(b.w.session);
    upstream(&b, "250 m\r\n250 r\r\n");
    assert_true(b.w.closed);
    end(&b);
}

static void test_half_closed_client_cannot_respond(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    to_mail(&b, "AUTH LOGIN\r\n");
    session_eof(b.w.session);
    upstream(&b, "334 VXNlcm5hbWU6\r\n");
    assert_true(b.w.closed);
    end(&b);
}

static void test_nothing_is_begun_for_a_client_that_left(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    to_data(&b);
    client(&b, "x\r\n.\r\nMAIL FROM:<c@x.test>\r\nRCPT TO:<d@y.test>\r\nDATA\r\n");
    upstream(&b, "354 go\r\n");
    session_gone(b.w.session);
    assert_false(b.w.closed);
    upstream(&b, "250 queued\r\n");
    assert_true(b.w.closed);
    assert_int_equal(b.w.counters[SESSION_COUNT_UNDELIVERED], 1);
    assert_int_equal(script.calls[POSTERN_ON_MAIL], 1);
    end(&b);
}

static void test_killed_after_the_end_was_released(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    to_data(&b);
    client(&b, "x\r\n.\r\n");
    upstream(&b, "354 go\r\n");
    session_kill(b.w.session);
    assert_string_equal(b.w.verdict, "unknown");
    assert_string_equal(b.w.stage, "upstream");
    assert_int_equal(script.message_code, 0);
    end(&b);
}

static void test_filters_hear_of_what_was_not_released(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    to_data(&b);
    client(&b, "x\r\n.\r\n");
    session_gone(b.w.session);
    assert_string_equal(b.w.verdict, "aborted");
    assert_int_equal(script.message_code, 421);
    end(&b);
}

static void test_filters_hear_of_a_lost_server(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    to_data(&b);
    upleg_lost(b.w.leg, "gone");
    client(&b, "x\r\n.\r\n");
    expect(&b, "451 4.4.2 Lost the mail server; try again later (sid1)\r\n");
    assert_int_equal(script.message_code, 451);
    end(&b);
}

/* ---- what is shown ---- */

static void test_recipient_is_not_shown_after_its_command(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    script.read_rcpt = true;
    to_data(&b);
    client(&b, "A: b\r\n\r\nx\r\n.\r\n");
    assert_int_equal(script.calls[POSTERN_ON_END], 1);
    assert_string_equal(script.rcpt, "");
    end(&b);
}

static void test_the_log_says_where_a_message_was_discarded(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_RCPT, POSTERN_DISCARD);
    to_mail(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    upstream(&b, "250 m\r\n");
    client(&b, "DATA\r\n");
    forget(&b);
    client(&b, "x\r\n.\r\n");
    expect(&b, "250 2.0.0 Ok\r\n");
    assert_string_equal(b.w.verdict, "discarded");
    assert_string_equal(b.w.stage, "rcpt");
    end(&b);
}

/* 421 says that the connection is closed, whoever says it. */
static void test_a_filters_421_closes(void **state)
{
    const enum postern_phase phases[] = {POSTERN_ON_MAIL, POSTERN_ON_HEADERS};
    (void)state;
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        struct bench b;
        prepare(&b, phases[i], POSTERN_TEMPFAIL);
        script.code = 421;
        world_begin(&b.w);
        client(&b, "EHLO c\r\n");
        client(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
        hello(&b);
        upstream(&b, "250 m\r\n250 r\r\n");
        client(&b, "DATA\r\n");
        client(&b, "A: b\r\n\r\nx\r\n.\r\n");
        assert_true(b.w.closed);
        assert_int_equal(b.w.code, 421);
        end(&b);
    }
}

/* A body that was refused by its headers leaves the budget to others while the rest of it comes. */
static void test_refused_content_holds_nothing(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_HEADERS, POSTERN_REJECT);
    to_data(&b);
    client(&b, "A: b\r\n\r\nbody\r\n");
    assert_int_equal(b.w.budget.memory_used, 0);
    end(&b);
}

/* ---- time ---- */

static void test_connecting_is_not_the_clients_idleness(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    client(&b, "EHLO c\r\n");
    world_wait(&b.w, 290 * SECOND);
    client(&b, "AUTH PLAIN AHUAcA==\r\n");
    world_wait(&b.w, 20 * SECOND);
    assert_false(b.w.closed);
    end(&b);
}

/* ---- back-pressure ---- */

static bool output_full;

static bool always_full(void *ctx)
{
    (void)ctx;
    return output_full;
}

static void test_client_that_reads_nothing_times_out(void **state)
{
    struct bench b;
    struct session_ops ops = world_ops;
    struct session_client who = {.session_id = SPAN_LIT("sid1"), .address = SPAN_LIT("192.0.2.1")};
    (void)state;
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    ops.full = always_full;
    output_full = false;
    b.w.session = session_create(&ops, &b.w, &who);
    session_start(b.w.session);
    client(&b, "HELO c\r\n");
    output_full = true;
    client(&b, "RSET\r\nRSET\r\nRSET\r\n");
    world_wait(&b.w, 400 * SECOND);
    assert_true(b.w.closed);
    assert_int_equal(b.w.counters[SESSION_COUNT_TIMEOUTS], 1);
    end(&b);
}

/* A message whose reply is out is not given up because of an old silence of the client. */
static void test_full_output_does_not_end_a_released_message(void **state)
{
    struct bench b;
    struct session_ops ops = world_ops;
    struct session_client who = {.session_id = SPAN_LIT("sid1"), .address = SPAN_LIT("192.0.2.1")};
    (void)state;
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    ops.full = always_full;
    output_full = false;
    b.w.session = session_create(&ops, &b.w, &who);
    session_start(b.w.session);
    to_data(&b);
    client(&b, "x\r\n.\r\n");
    upstream(&b, "354 go\r\n");
    output_full = true;
    world_wait(&b.w, 500 * SECOND);
    assert_false(b.w.closed);
    upstream(&b, "250 queued\r\n");
    assert_string_equal(b.w.verdict, "accepted");
    end(&b);
}

/* ---- the leg ---- */

/* The only byte of a reply came before the end of the message was written. */
static void test_reply_begun_in_the_content_acknowledges_nothing(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    to_data(&b);
    client(&b, "x\r\n.\r\n");
    b.w.leg_full = true;
    upstream(&b, "354 go\r\n");
    upstream(&b, "2");
    b.w.leg_full = false;
    if (b.w.leg)
        upleg_drained(b.w.leg);
    upstream(&b, "50 queued\r\n");
    assert_int_equal(b.w.counters[SESSION_COUNT_ACCEPTED], 0);
    end(&b);
}

/* The client left while DATA, relayed without a recipient, was out: a 354 to it finds nobody. */
static void test_forgotten_data_is_not_kept_open(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    to_mail(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    upstream(&b, "250 m\r\n550 r\r\n");
    client(&b, "DATA\r\n");
    session_gone(b.w.session);
    upstream(&b, "354 go\r\n");
    assert_null(b.w.leg);
    assert_true(b.w.leg_reset);
    end(&b);
}

static void test_connection_that_took_a_recipient_is_reset(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    to_mail(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    forget(&b);
    upstream(&b, "550 m\r\n250 strange\r\n");
    assert_true(span_eq(buf_span(&b.w.to_upstream), SPAN_LIT("RSET\r\n")));
    end(&b);
}

/* ---- the beginning ---- */

static void test_drained_before_it_began(void **state)
{
    struct bench b;
    struct session_client who = {.session_id = SPAN_LIT("sid1"), .address = SPAN_LIT("192.0.2.1")};
    (void)state;
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    b.w.session = session_create(&world_ops, &b.w, &who);
    session_drain(b.w.session);
    assert_int_equal(b.w.session_timer, 0);
    session_start(b.w.session);
    expect(&b, "421 4.3.2 Service is shutting down; try again later\r\n");
    assert_true(b.w.closed);
    end(&b);
}

static void test_tls_forgets_the_user(void **state)
{
    struct bench b;
    (void)state;
    prepare(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    b.w.policy.offer_starttls = true;
    world_begin(&b.w);
    to_auth(&b);
    client(&b, "STARTTLS\r\n");
    session_secured(b.w.session, SPAN_LIT("TLSv1.3"));
    assert_null(b.w.leg); /* it spoke for whoever authenticated in the clear */
    forget(&b);
    client(&b, "EHLO c\r\nAUTH PLAIN AHUAcA==\r\n");
    hello(&b);
    upstream(&b, "235 2.7.0 again\r\n");
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_is_refused_while_rcpt_thinks),
        cmocka_unit_test(test_server_offers_less_while_rcpt_thinks),
        cmocka_unit_test(test_server_goes_while_rcpt_thinks),
        cmocka_unit_test(test_server_of_a_user_goes_while_mail_thinks),
        cmocka_unit_test(test_client_is_silent_after_headers_were_judged),
        cmocka_unit_test(test_content_comes_early_while_data_thinks),
        cmocka_unit_test(test_half_closed_client_cannot_send_content),
        cmocka_unit_test(test_half_closed_client_cannot_respond),
        cmocka_unit_test(test_nothing_is_begun_for_a_client_that_left),
        cmocka_unit_test(test_killed_after_the_end_was_released),
        cmocka_unit_test(test_filters_hear_of_what_was_not_released),
        cmocka_unit_test(test_filters_hear_of_a_lost_server),
        cmocka_unit_test(test_recipient_is_not_shown_after_its_command),
        cmocka_unit_test(test_the_log_says_where_a_message_was_discarded),
        cmocka_unit_test(test_a_filters_421_closes),
        cmocka_unit_test(test_refused_content_holds_nothing),
        cmocka_unit_test(test_connecting_is_not_the_clients_idleness),
        cmocka_unit_test(test_client_that_reads_nothing_times_out),
        cmocka_unit_test(test_full_output_does_not_end_a_released_message),
        cmocka_unit_test(test_reply_begun_in_the_content_acknowledges_nothing),
        cmocka_unit_test(test_forgotten_data_is_not_kept_open),
        cmocka_unit_test(test_connection_that_took_a_recipient_is_reset),
        cmocka_unit_test(test_drained_before_it_began),
        cmocka_unit_test(test_tls_forgets_the_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
