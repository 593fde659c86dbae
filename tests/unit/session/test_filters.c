/* SPDX-License-Identifier: MIT */
/* The engine with filters: a refusal in each phase, verdicts that come late, too late or never, and what the
 * filter hears of the outcome. One filter with a script stands for all. */
#include "unit/session/bench.h"

/* What the filter does in the phase that is set, and what it saw. */
static struct scripted {
    enum postern_phase phase;
    struct postern_verdict verdict;
    const struct postern_host *host;
    void *self;
    uint64_t ticket;
    unsigned calls[POSTERN_PHASES];
    unsigned rcpt_codes[8], rcpt_replies;
    unsigned message_code;
    int message_from_upstream;
} script;

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    (void)block;
    script.host = host;
    script.self = self;
    *filter_r = &script;
    return 0;
}

static void hook(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                 struct postern_verdict *v)
{
    (void)filter;
    (void)session;
    script.calls[ev->phase]++;
    if (ev->phase == POSTERN_ON_RCPT_REPLY && script.rcpt_replies < 8)
        script.rcpt_codes[script.rcpt_replies++] = ev->code;
    if (ev->phase == POSTERN_ON_MESSAGE_REPLY) {
        script.message_code = ev->code;
        script.message_from_upstream = ev->from_upstream;
    }
    if (ev->phase != script.phase)
        return;
    *v = script.verdict;
    v->size = sizeof(*v);
    if (v->action == POSTERN_PENDING)
        script.ticket = script.host->ticket(tx);
}

static const struct postern_filter scripted_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "scripted",
    .help = "does what the test says",
    .configure = configure,
    .hooks = {[POSTERN_ON_CONNECT] = hook,
              [POSTERN_ON_HELO] = hook,
              [POSTERN_ON_AUTH] = hook,
              [POSTERN_ON_MAIL] = hook,
              [POSTERN_ON_RCPT] = hook,
              [POSTERN_ON_DATA] = hook,
              [POSTERN_ON_HEADERS] = hook,
              [POSTERN_ON_BODY] = hook,
              [POSTERN_ON_END] = hook,
              [POSTERN_ON_RCPT_REPLY] = hook,
              [POSTERN_ON_MESSAGE_REPLY] = hook,
              [POSTERN_ON_ABORT] = hook,
              [POSTERN_ON_DISCONNECT] = hook},
};

static void begin(struct bench *b, enum postern_phase phase, enum postern_action action)
{
    memset(&script, 0, sizeof(script));
    script.phase = phase;
    script.verdict.action = action;
    script.verdict.text = (struct postern_span){"because", 7};
    bench_prepare(b, &scripted_filter, 5000000);
    world_begin(&b->w);
}

static void end(struct bench *b)
{
    bench_end(b, script.calls);
}

/* The client's replies so far must contain this; they are taken. */
static void expect(struct bench *b, const char *part)
{
    char text[4096];
    struct span got = buf_span(&b->w.to_client);
    (void)snprintf(text, sizeof(text), "%.*s", (int)got.n, got.n ? got.p : "");
    if (!strstr(text, part))
        fail_msg("wanted \"%s\", got \"%s\"", part, text);
    buf_consume(&b->w.to_client, got.n);
}

static void expect_nothing(struct bench *b)
{
    assert_int_equal(buf_len(&b->w.to_client), 0);
}

static void to_data(struct bench *b)
{
    client(b, "EHLO c\r\n");
    client(b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    hello(b);
    upstream(b, "250 m\r\n250 r\r\n");
    client(b, "DATA\r\n");
    expect(b, "354 ");
}

static void resume(enum postern_action action)
{
    struct postern_verdict v = {.size = sizeof(v), .action = action};
    script.host->resume(script.self, script.ticket, &v);
}

/* ---- a refusal in each phase ---- */

static void test_refused_at_connect(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_CONNECT, POSTERN_REJECT);
    expect(&b, "550 5.7.1 because (sid1)\r\n");
    assert_true(b.w.closed);
    assert_string_equal(b.w.stage, "connect");
    end(&b);
}

static void test_refused_at_mail_without_upstream(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_MAIL, POSTERN_TEMPFAIL);
    client(&b, "EHLO c\r\n");
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    expect(&b, "451 4.7.1 because (sid1)\r\n");
    assert_int_equal(b.w.connects, 0);
    assert_string_equal(b.w.verdict, "deferred");
    end(&b);
}

static void test_refused_at_rcpt(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_RCPT, POSTERN_REJECT);
    client(&b, "EHLO c\r\n");
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    hello(&b);
    upstream(&b, "250 m\r\n");
    client(&b, "RCPT TO:<b@y.test>\r\n");
    expect(&b, "550 5.7.1 because");
    assert_int_equal(script.rcpt_codes[0], 550);
    client(&b, "RSET\r\n");
    assert_string_equal(b.w.verdict, "rejected");
    end(&b);
}

static void test_refused_at_headers_is_told_at_the_end(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_HEADERS, POSTERN_REJECT);
    to_data(&b);
    client(&b, "Subject: x\r\n\r\nbody\r\n");
    expect_nothing(&b);
    client(&b, ".\r\n");
    expect(&b, "550 5.7.1 because");
    assert_string_equal(b.w.stage, "headers");
    assert_int_equal(script.calls[POSTERN_ON_END], 0);
    end(&b);
}

static void test_refused_at_end_costs_a_reset(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_END, POSTERN_REJECT);
    to_data(&b);
    buf_consume(&b.w.to_upstream, buf_len(&b.w.to_upstream));
    client(&b, "Subject: x\r\n\r\nbody\r\n.\r\n");
    expect(&b, "550 5.7.1 because");
    assert_true(span_eq(buf_span(&b.w.to_upstream), SPAN_LIT("RSET\r\n")));
    assert_int_equal(script.message_code, 550);
    assert_int_equal(script.message_from_upstream, 0);
    end(&b);
}

static void test_refused_after_auth(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_AUTH, POSTERN_REJECT);
    client(&b, "EHLO c\r\n");
    expect(&b, "AUTH PLAIN");
    client(&b, "AUTH PLAIN AHUAcA==\r\n");
    hello(&b);
    upstream(&b, "235 2.7.0 in\r\n");
    expect(&b, "550 5.7.1 because");
    assert_true(b.w.closed);
    end(&b);
}

static void test_discarded(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_END, POSTERN_DISCARD);
    to_data(&b);
    buf_consume(&b.w.to_upstream, buf_len(&b.w.to_upstream));
    client(&b, "x\r\n.\r\n");
    expect(&b, "250 2.0.0 Ok");
    assert_true(span_eq(buf_span(&b.w.to_upstream), SPAN_LIT("RSET\r\n")));
    assert_string_equal(b.w.verdict, "discarded");
    end(&b);
}

static void test_disconnect(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_HELO, POSTERN_DISCONNECT);
    client(&b, "EHLO c\r\n");
    expect(&b, "421 ");
    assert_true(b.w.closed);
    end(&b);
}

/* ---- late verdicts ---- */

static void test_pending_holds_what_follows(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_MAIL, POSTERN_PENDING);
    client(&b, "EHLO c\r\n");
    expect(&b, "250 ");
    client(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    expect_nothing(&b);
    assert_int_equal(script.calls[POSTERN_ON_RCPT], 0);
    resume(POSTERN_CONTINUE);
    assert_int_equal(b.w.connects, 1);
    hello(&b);
    upstream(&b, "250 m\r\n250 r\r\n");
    expect(&b, "250 m\r\n250 r\r\n");
    end(&b);
}

static void test_pending_at_headers_pauses_content(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_HEADERS, POSTERN_PENDING);
    to_data(&b);
    client(&b, "Subject: x\r\n\r\nbody\r\n");
    client(&b, "more\r\n.\r\n");
    expect_nothing(&b);
    assert_true(buf_len(&b.w.from_client) > 0);
    resume(POSTERN_CONTINUE);
    world_offer_bytes(&b.w);
    upstream(&b, "354 go\r\n");
    upstream(&b, "250 queued\r\n");
    expect(&b, "250 queued");
    end(&b);
}

static void test_deadline_passes(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_ON_END, POSTERN_PENDING);
    to_data(&b);
    client(&b, "x\r\n.\r\n");
    expect_nothing(&b);
    world_wait(&b.w, 6000000);
    expect(&b, "451 ");
    resume(POSTERN_CONTINUE); /* finds nobody */
    assert_string_equal(b.w.verdict, "deferred");
    end(&b);
}

static void test_client_leaves_while_pending(void **state)
{
    const enum postern_phase phases[] = {POSTERN_ON_CONNECT, POSTERN_ON_HELO, POSTERN_ON_MAIL,
                                         POSTERN_ON_HEADERS, POSTERN_ON_END};
    (void)state;
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        struct bench b;
        begin(&b, phases[i], POSTERN_PENDING);
        client(&b, "EHLO c\r\n");
        client(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
        hello(&b);
        upstream(&b, "250 m\r\n250 r\r\n");
        client(&b, "DATA\r\n");
        client(&b, "A: b\r\n\r\nx\r\n.\r\n");
        session_gone(b.w.session);
        assert_true(b.w.closed);
        resume(POSTERN_REJECT);
        assert_int_equal(b.w.counters[SESSION_COUNT_ACCEPTED], 0);
        end(&b);
    }
}

/* ---- outcomes ---- */

static void test_hears_of_recipients_and_message(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    client(&b, "EHLO c\r\n");
    client(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nRCPT TO:<c@y.test>\r\n");
    hello(&b);
    upstream(&b, "250 m\r\n550 no\r\n250 yes\r\n");
    assert_int_equal(script.rcpt_codes[0], 550);
    assert_int_equal(script.rcpt_codes[1], 250);
    client(&b, "DATA\r\n");
    client(&b, "x\r\n.\r\n");
    upstream(&b, "354 go\r\n");
    upstream(&b, "452 full\r\n");
    assert_int_equal(script.message_code, 452);
    assert_int_equal(script.message_from_upstream, 1);
    end(&b);
}

static void test_refused_mail_aborts(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    client(&b, "EHLO c\r\n");
    client(&b, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    hello(&b);
    upstream(&b, "550 m\r\n503 r\r\n");
    assert_int_equal(script.calls[POSTERN_ON_ABORT], 1);
    assert_int_equal(script.rcpt_codes[0], 503);
    end(&b);
}

static void test_unknown_outcome(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    script.message_code = 999;
    to_data(&b);
    client(&b, "x\r\n.\r\n");
    upstream(&b, "354 go\r\n");
    upleg_lost(b.w.leg, "gone");
    expect(&b, "451 4.4.2");
    assert_int_equal(script.message_code, 0);
    assert_string_equal(b.w.verdict, "unknown");
    end(&b);
}

static void test_new_policy_is_taken_at_mail(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, POSTERN_PHASES, POSTERN_CONTINUE);
    client(&b, "EHLO c\r\n");
    buf_consume(&b.w.to_client, buf_len(&b.w.to_client));
    assert_int_equal(script.calls[POSTERN_ON_HELO], 1);
    struct session_policy newer = b.w.policy;
    newer.generation = 2;
    b.w.newest = &newer;
    client(&b, "MAIL FROM:<a@x.test>\r\n");
    assert_int_equal(script.calls[POSTERN_ON_HELO], 2); /* the newer filters are shown what they missed */
    assert_int_equal(script.calls[POSTERN_ON_MAIL], 1);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_at_connect),
        cmocka_unit_test(test_refused_at_mail_without_upstream),
        cmocka_unit_test(test_refused_at_rcpt),
        cmocka_unit_test(test_refused_at_headers_is_told_at_the_end),
        cmocka_unit_test(test_refused_at_end_costs_a_reset),
        cmocka_unit_test(test_refused_after_auth),
        cmocka_unit_test(test_discarded),
        cmocka_unit_test(test_disconnect),
        cmocka_unit_test(test_pending_holds_what_follows),
        cmocka_unit_test(test_pending_at_headers_pauses_content),
        cmocka_unit_test(test_deadline_passes),
        cmocka_unit_test(test_client_leaves_while_pending),
        cmocka_unit_test(test_hears_of_recipients_and_message),
        cmocka_unit_test(test_refused_mail_aborts),
        cmocka_unit_test(test_unknown_outcome),
        cmocka_unit_test(test_new_policy_is_taken_at_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
