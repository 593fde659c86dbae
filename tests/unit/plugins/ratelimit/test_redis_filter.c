/* SPDX-License-Identifier: MIT */
/* The filter with Redis as its store, the test playing Redis: verdicts that come later, what on_error means,
 * and answers that come when nobody waits any more. */
#include "fake_host.h"

enum { DEADLINE = 50000, DEADLINE_MOST = 150000 };
static const char allowed_one[] = "*3\r\n:1\r\n:5000000000\r\n:0\r\n",
                  allowed_two[] = "*5\r\n:1\r\n:5000000000\r\n:0\r\n:5000000000\r\n:0\r\n";

struct policy {
    struct fake *fake;
    struct postern_node *block, *store, *limits;
    void *filter;
    struct fake_session s;
};

static int setup(void **state)
{
    struct policy *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->fake = fake_create();
    p->block = fake_map(p->fake, NULL, "filter");
    p->store = fake_map(p->fake, p->block, "store");
    fake_number(p->fake, p->store, "type", 1);
    fake_number(p->fake, p->store, "keys", 1000);
    fake_text(p->fake, p->store, "server", "redis.example:6379");
    p->limits = fake_map(p->fake, p->block, "limits");
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct policy *p = *state;
    if (p->s.session)
        session_close(&p->s);
    postern_filter.release(p->filter);
    fake_destroy(p->fake);
    free(p);
    return 0;
}

static struct postern_node *limit(struct policy *p, const char *name, const char *keys, int count, int64_t n)
{
    return fake_limit(p->fake, p->limits, name, keys, count, n, 3600 * SECOND);
}

static void begin_down(struct policy *p)
{
    if (postern_filter.configure(&p->fake->host, p->fake, p->block, &p->filter) != 0)
        fail_msg("%s", p->fake->errors);
    assert_int_equal(p->fake->streams, 0); /* configure() only checks */
    postern_filter.start(p->filter);
    session_open(&p->s, p->fake, p->filter);
}

static void begin(struct policy *p)
{
    begin_down(p);
    fake_connected(p->fake);
    fake_reply(p->fake, "+PONG\r\n");
    fake_sent_clear(p->fake);
}

static const struct fake_resumed *resumed(struct policy *p)
{
    assert_true(p->fake->resumed_n > 0);
    return &p->fake->resumed[p->fake->resumed_n - 1];
}

static void assert_pending(struct policy *p, enum postern_action action)
{
    assert_int_equal(action, POSTERN_PENDING);
    assert_true(p->s.verdict.delay_us > DEADLINE && p->s.verdict.delay_us <= DEADLINE_MOST);
}

static size_t give_backs(const struct policy *p)
{
    /* its third argument is the charge's end; a charge has 0 there */
    return fake_sent_times(p->fake, "\r\n5000000000\r\n");
}

/* ---- in time ---- */

static void allowed_later(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", MESSAGES, 10);
    begin(p);
    assert_pending(p, session_mail(&p->s, "Ann@x.test"));
    assert_int_equal(fake_sent_times(p->fake, "postern:m:10/3600000000:10:ann@x.test\r\n"), 1);
    assert_int_equal(p->fake->resumed_n, 0);
    for (size_t i = 0; i < sizeof(allowed_one) - 1; i++)
        fake_feed(p->fake, allowed_one + i, 1);
    assert_int_equal(p->fake->resumed_n, 1);
    assert_int_equal(resumed(p)->ticket, p->s.tx.ticket);
    assert_int_equal(resumed(p)->action, POSTERN_CONTINUE);
    assert_int_equal(fake_counter(p->fake, "allowed"), 1);
    session_message(&p->s, 250);
    assert_int_equal(give_backs(p), 0);
}

static void refused_later(void **state)
{
    struct policy *p = *state;
    limit(p, "first", "sender", MESSAGES, 10);
    limit(p, "second", "client", MESSAGES, 10);
    begin(p);
    assert_pending(p, session_mail(&p->s, "ann@x.test"));
    fake_reply(p->fake, "*4\r\n:0\r\n:2\r\n:1500001\r\n:0\r\n");
    assert_int_equal(resumed(p)->action, POSTERN_TEMPFAIL);
    assert_int_equal(resumed(p)->code, 450);
    assert_string_equal(resumed(p)->text, "Rate limit second: try again in 2 seconds");
    assert_string_equal(resumed(p)->rule, "second");
    assert_non_null(strstr(p->fake->log, "limit=second refused: key="));
    session_abort(&p->s);
    assert_int_equal(give_backs(p), 0); /* nothing was charged */
}

static void one_round_trip_for_all(void **state)
{
    struct policy *p = *state;
    limit(p, "a", "sender", RECIPIENTS, 10);
    limit(p, "b", "recipient_domain", MESSAGES, 10);
    limit(p, "c", "user", RECIPIENTS, 10);
    begin(p);
    assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_CONTINUE); /* nothing to ask here */
    assert_pending(p, session_rcpt(&p->s, "b@y.test"));
    assert_int_equal(fake_sent_times(p->fake, "EVALSHA"), 1);
    fake_reply(p->fake, allowed_two);
    session_rcpt_reply(&p->s, "b@y.test", 250);
    assert_pending(p, session_rcpt(&p->s, "c@y.test")); /* b is charged for y.test already */
    assert_int_equal(fake_sent_times(p->fake, ":y.test\r\n"), 1);
    fake_reply(p->fake, allowed_one);
    session_message(&p->s, 250);
    assert_int_equal(give_backs(p), 0);
}

static void recipients_given_back(void **state)
{
    struct policy *p = *state;
    limit(p, "a", "sender", RECIPIENTS, 10);
    begin(p);
    (void)session_mail(&p->s, "ann@x.test");
    for (int i = 0; i < 3; i++) {
        (void)session_rcpt(&p->s, "b@y.test");
        fake_reply(p->fake, allowed_one);
    }
    session_rcpt_reply(&p->s, "b@y.test", 550);
    assert_int_equal(give_backs(p), 1);
    assert_int_equal(fake_sent_times(p->fake, "$12\r\n368640000000\r\n"), 3 + 1); /* one unit is 360 s */
    session_rcpt_reply(&p->s, "b@y.test", 250);
    session_rcpt_reply(&p->s, "b@y.test", 250);
    session_abort(&p->s);
    assert_int_equal(give_backs(p), 2); /* both units in one command */
    assert_int_equal(fake_sent_times(p->fake, "$12\r\n737280000000\r\n"), 1);
    fake_reply(p->fake, "*1\r\n:1\r\n*1\r\n:1\r\n");
    assert_int_equal(fake_counter(p->fake, "given_back"), 3);
    assert_true(p->fake->stream.open);
}

static void no_script_loses_nothing(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", MESSAGES, 10);
    begin(p);
    assert_pending(p, session_mail(&p->s, "ann@x.test"));
    fake_reply(p->fake, "-NOSCRIPT x\r\n");
    assert_int_equal(p->fake->resumed_n, 0);
    fake_reply(p->fake, allowed_one);
    assert_int_equal(resumed(p)->action, POSTERN_CONTINUE);
    assert_int_equal(fake_counter(p->fake, "fallback"), 0);
}

/* ---- on_error ---- */

/* RD-11: while Redis is away, this host counts for itself. */
static void local_while_down(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", MESSAGES, 3);
    begin_down(p);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(session_mail(&p->s, "ann@x.test"), i < 3 ? POSTERN_CONTINUE : POSTERN_TEMPFAIL);
        session_message(&p->s, i < 3 ? 250 : 450);
    }
    assert_int_equal(p->s.verdict.code, 0);
    assert_int_equal(fake_counter(p->fake, "fallback"), 5);
    assert_int_equal(fake_counter(p->fake, "refused"), 2);
}

static void allow_while_down(void **state)
{
    struct policy *p = *state;
    fake_number(p->fake, p->store, "on_error", ALLOW);
    limit(p, "m", "sender", MESSAGES, 1);
    begin_down(p);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_CONTINUE);
        session_message(&p->s, 250);
    }
}

static void tempfail_while_down(void **state)
{
    struct policy *p = *state;
    limit(p, "soft", "client", MESSAGES, 2);
    fake_number(p->fake, limit(p, "hard", "sender", MESSAGES, 10), "on_error", TEMPFAIL);
    begin_down(p);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_TEMPFAIL);
        assert_int_equal(p->s.verdict.code, 451);
        assert_memory_equal(p->s.verdict.text.p, "Policy service is not available, try again later", 48);
        session_abort(&p->s);
    }
    for (int i = 0; i < 3; i++) { /* the null sender has only the other limit, which was not charged */
        assert_int_equal(session_mail(&p->s, ""), i < 2 ? POSTERN_CONTINUE : POSTERN_TEMPFAIL);
        session_message(&p->s, i < 2 ? 250 : 450);
    }
}

static void each_limit_its_own(void **state)
{
    struct policy *p = *state;
    fake_number(p->fake, p->store, "on_error", TEMPFAIL);
    fake_number(p->fake, limit(p, "open", "sender", MESSAGES, 1), "on_error", ALLOW);
    fake_number(p->fake, limit(p, "local", "client", MESSAGES, 2), "on_error", LOCAL);
    begin_down(p);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(session_mail(&p->s, "ann@x.test"), i < 2 ? POSTERN_CONTINUE : POSTERN_TEMPFAIL);
        if (i == 2)
            assert_memory_equal(p->s.verdict.rule.p, "local", 5);
        session_message(&p->s, i < 2 ? 250 : 450);
    }
}

static void error_reply(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", MESSAGES, 1);
    begin(p);
    for (int i = 0; i < 2; i++) {
        assert_pending(p, session_mail(&p->s, "ann@x.test"));
        fake_reply(p->fake, "-OOM command not allowed\r\n");
        assert_int_equal(resumed(p)->action, i == 0 ? POSTERN_CONTINUE : POSTERN_TEMPFAIL);
        session_message(&p->s, i == 0 ? 250 : 450);
    }
    assert_int_equal(fake_counter(p->fake, "store_error"), 2);
    assert_int_equal(fake_counter(p->fake, "refused"), 1); /* the local count's; an error is no refusal */
    assert_int_equal(give_backs(p), 0);
}

static void senseless_answers(void **state)
{
    static const char *const answers[] = {
        "*1\r\n:1\r\n",
        "*3\r\n:2\r\n:1\r\n:1\r\n",
        "*3\r\n:-1\r\n:1\r\n:1\r\n",
        "*3\r\n:1\r\n:-5\r\n:0\r\n",
        "*3\r\n:1\r\n:9223372036854775807\r\n:0\r\n",
        "*5\r\n:1\r\n:5\r\n:0\r\n:5\r\n:0\r\n",
        "*4\r\n:0\r\n:2\r\n:5\r\n:0\r\n",
        "*4\r\n:0\r\n:0\r\n:5\r\n:0\r\n",
        "*4\r\n:0\r\n:1\r\n:0\r\n:0\r\n",
        "*4\r\n:0\r\n:1\r\n:9223372036854775807\r\n:0\r\n",
        "*4\r\n:0\r\n:1\r\n:5\r\n:-1\r\n",
        "*3\r\n:0\r\n:1\r\n:5\r\n",
    };
    struct policy *p = *state;
    fake_number(p->fake, p->store, "on_error", ALLOW);
    limit(p, "m", "sender", MESSAGES, 1);
    begin(p);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        assert_pending(p, session_mail(&p->s, "ann@x.test"));
        fake_reply(p->fake, answers[i]);
        assert_int_equal(p->fake->resumed_n, i + 1);
        assert_int_equal(resumed(p)->action, POSTERN_CONTINUE);
        assert_false(p->fake->stream.open);
        session_message(&p->s, 250);
        fake_advance(p->fake, 6 * SECOND);
        fake_connected(p->fake);
        fake_reply(p->fake, "+PONG\r\n");
    }
}

static void lost_in_between(void **state)
{
    struct policy *p = *state;
    struct fake_session others[3];
    limit(p, "m", "sender", MESSAGES, 2);
    begin(p);
    for (int i = 0; i < 3; i++) {
        session_open(&others[i], p->fake, p->filter);
        assert_int_equal(session_mail(&others[i], "ann@x.test"), POSTERN_PENDING);
    }
    fake_closed(p->fake, "connection reset");
    assert_int_equal(p->fake->resumed_n, 3); /* at once, not at the deadline */
    assert_int_equal(p->fake->resumed[0].action, POSTERN_CONTINUE);
    assert_int_equal(p->fake->resumed[1].action, POSTERN_CONTINUE);
    assert_int_equal(p->fake->resumed[2].action, POSTERN_TEMPFAIL);
    for (int i = 0; i < 3; i++)
        session_close(&others[i]);
}

/* RD-13: no waiting line. */
static void too_many(void **state)
{
    struct policy *p = *state;
    static struct fake_session many[1001];
    limit(p, "m", "sender", MESSAGES, 1);
    begin(p);
    for (size_t i = 0; i < 1000; i++) {
        session_open(&many[i], p->fake, p->filter);
        assert_int_equal(session_mail(&many[i], "ann@x.test"), POSTERN_PENDING);
    }
    session_open(&many[1000], p->fake, p->filter);
    assert_int_equal(session_mail(&many[1000], "ann@x.test"), POSTERN_CONTINUE); /* the local share */
    assert_int_equal(fake_counter(p->fake, "fallback"), 1);
    for (size_t i = 0; i < 1001; i++)
        session_close(&many[i]);
}

/* ---- late ---- */

static void late_answer_is_given_back(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", MESSAGES, 1);
    begin(p);
    assert_pending(p, session_mail(&p->s, "ann@x.test"));
    fake_advance(p->fake, DEADLINE);
    assert_int_equal(p->fake->resumed_n, 1); /* by on_error: charged here */
    assert_int_equal(resumed(p)->action, POSTERN_CONTINUE);
    fake_reply(p->fake, allowed_one);
    assert_int_equal(p->fake->resumed_n, 1);
    assert_int_equal(give_backs(p), 1);
    fake_reply(p->fake, "*1\r\n:1\r\n");
    session_message(&p->s, 451); /* what was charged here is given back here */
    assert_int_equal(give_backs(p), 1);
    fake_closed(p->fake, "gone");
    assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_CONTINUE);
    session_abort(&p->s);
}

static void late_refusal_is_nothing(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", MESSAGES, 1);
    begin(p);
    assert_pending(p, session_mail(&p->s, "ann@x.test"));
    fake_advance(p->fake, DEADLINE);
    fake_reply(p->fake, "*4\r\n:0\r\n:1\r\n:5\r\n:0\r\n");
    assert_int_equal(p->fake->resumed_n, 1);
    assert_int_equal(give_backs(p), 0);
}

static void cancelled(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", MESSAGES, 1);
    begin(p);
    assert_pending(p, session_mail(&p->s, "ann@x.test"));
    postern_filter.cancel(p->filter, p->s.session, p->s.tx.ticket + 1); /* another one */
    postern_filter.cancel(p->filter, p->s.session, p->s.tx.ticket);
    fake_reply(p->fake, allowed_one);
    assert_int_equal(p->fake->resumed_n, 0);
    assert_int_equal(give_backs(p), 1);
    session_abort(&p->s);
    assert_int_equal(give_backs(p), 1);
}

static void session_gone(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", RECIPIENTS, 1);
    begin(p);
    (void)session_mail(&p->s, "ann@x.test");
    assert_pending(p, session_rcpt(&p->s, "b@y.test"));
    session_close(&p->s);
    p->s.session = NULL;
    fake_reply(p->fake, allowed_one);
    assert_int_equal(p->fake->resumed_n, 0);
    assert_int_equal(give_backs(p), 1);
}

static void recipient_gone(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", RECIPIENTS, 1);
    begin(p);
    (void)session_mail(&p->s, "ann@x.test");
    assert_pending(p, session_rcpt(&p->s, "b@y.test"));
    session_rcpt_reply(&p->s, "b@y.test", 451); /* the host's own deadline came first */
    fake_reply(p->fake, allowed_one);
    assert_int_equal(give_backs(p), 1);
}

/* Two recipients asked for at once that share one unit: the second unit is one too many. */
static void shared_unit_charged_twice(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "recipient_domain", MESSAGES, 9);
    begin(p);
    (void)session_mail(&p->s, "ann@x.test");
    assert_pending(p, session_rcpt(&p->s, "b@y.test"));
    assert_pending(p, session_rcpt(&p->s, "c@y.test"));
    fake_reply(p->fake, allowed_one);
    assert_int_equal(give_backs(p), 0);
    fake_reply(p->fake, allowed_one);
    assert_int_equal(give_backs(p), 1);
    session_rcpt_reply(&p->s, "b@y.test", 550);
    assert_int_equal(give_backs(p), 1);
    session_rcpt_reply(&p->s, "c@y.test", 550);
    assert_int_equal(give_backs(p), 2);
}

static void give_back_while_down(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", MESSAGES, 1);
    begin(p);
    (void)session_mail(&p->s, "ann@x.test");
    fake_reply(p->fake, allowed_one);
    fake_closed(p->fake, "gone");
    session_abort(&p->s);
    assert_int_equal(fake_counter(p->fake, "give_back_lost"), 1);
}

/* The host may end the session from within resume(). */
static void end_session(struct fake *f, uint64_t ticket)
{
    struct policy *p = f->test;
    (void)ticket;
    session_close(&p->s);
    p->s.session = NULL;
}

static void ended_from_within_resume(void **state)
{
    struct policy *p = *state;
    limit(p, "m", "sender", MESSAGES, 1);
    begin(p);
    p->fake->test = p;
    p->fake->on_resume = end_session;
    assert_pending(p, session_mail(&p->s, "ann@x.test"));
    fake_reply(p->fake, allowed_one);
    assert_int_equal(p->fake->resumed_n, 1);
    assert_int_equal(give_backs(p), 1); /* it ended without END */
}

static void target(void **state)
{
    struct policy *p = *state;
    fake_number(p->fake, p->store, "tls", 1);
    fake_text(p->fake, p->store, "password", "topsecret");
    limit(p, "m", "sender", MESSAGES, 1);
    begin_down(p);
    assert_int_equal(p->fake->stream.tls, 1);
    assert_string_equal(p->fake->stream.tls_name, "redis.example");
    assert_string_equal(p->fake->stream.server, "redis.example:6379");
    fake_connected(p->fake);
    assert_int_equal(fake_sent_times(p->fake, "*2\r\n$4\r\nAUTH\r\n$9\r\ntopsecret\r\n"), 1);
    fake_closed(p->fake, "gone");
    (void)session_mail(&p->s, "ann@x.test");
    assert_null(strstr(p->fake->log, "topsecret"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(allowed_later),
        TEST(refused_later),
        TEST(one_round_trip_for_all),
        TEST(recipients_given_back),
        TEST(no_script_loses_nothing),
        TEST(local_while_down),
        TEST(allow_while_down),
        TEST(tempfail_while_down),
        TEST(each_limit_its_own),
        TEST(error_reply),
        TEST(senseless_answers),
        TEST(lost_in_between),
        TEST(too_many),
        TEST(late_answer_is_given_back),
        TEST(late_refusal_is_nothing),
        TEST(cancelled),
        TEST(session_gone),
        TEST(recipient_gone),
        TEST(shared_unit_charged_twice),
        TEST(give_back_while_down),
        TEST(ended_from_within_resume),
        TEST(target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
