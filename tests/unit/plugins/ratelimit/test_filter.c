/* SPDX-License-Identifier: MIT */
/* The filter with the memory store, hook by hook: what is charged when, given back when, and what a client is
 * told. */
#include "fake_host.h"

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
    fake_number(p->fake, p->store, "keys", 1000);
    p->limits = fake_map(p->fake, p->block, "limits");
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct policy *p = *state;
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

static void begin(struct policy *p)
{
    if (postern_filter.configure(&p->fake->host, p->fake, p->block, &p->filter) != 0)
        fail_msg("%s", p->fake->errors);
    session_open(&p->s, p->fake, p->filter);
}

static void assert_text(const struct fake_session *s, const char *text)
{
    assert_int_equal(s->verdict.text.n, strlen(text));
    assert_memory_equal(s->verdict.text.p, text, strlen(text));
}

/* How many messages the sender may still send now. They are given back again. */
static unsigned room_for_messages(struct policy *p, const char *sender)
{
    struct fake_session many[64];
    unsigned n = 0;
    bool open = true;
    while (open && n < 64) {
        session_open(&many[n], p->fake, p->filter);
        many[n].tx.fields[POSTERN_F_USER] = p->s.tx.fields[POSTERN_F_USER];
        open = session_mail(&many[n++], sender) == POSTERN_CONTINUE;
    }
    for (unsigned i = 0; i < n; i++) {
        session_abort(&many[i]);
        session_close(&many[i]);
    }
    return n - !open;
}

static unsigned room_for_recipients(struct policy *p, const char *sender)
{
    struct fake_session s;
    unsigned n = 0;
    session_open(&s, p->fake, p->filter);
    (void)session_mail(&s, sender);
    while (n < 64 && session_rcpt(&s, "probe@y.test") == POSTERN_CONTINUE)
        n++;
    session_abort(&s);
    session_close(&s);
    return n;
}

static void messages(void **state)
{
    struct policy *p = *state;
    limit(p, "per-sender", "sender", MESSAGES, 3);
    begin(p);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(session_mail(&p->s, "Ann@X.test"), POSTERN_CONTINUE);
        session_message(&p->s, 250);
    }
    assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_TEMPFAIL);
    assert_int_equal(p->s.verdict.code, 450);
    assert_memory_equal(p->s.verdict.enhanced.p, "4.7.1", 5);
    assert_text(&p->s, "Rate limit per-sender: try again in 1200 seconds");
    assert_memory_equal(p->s.verdict.rule.p, "per-sender", 10);
    assert_non_null(strstr(p->fake->log, "session=s1 limit=per-sender refused: key="));
    assert_non_null(strstr(p->fake->log, "left=0 wait=1200s store=memory"));
    assert_null(strstr(p->fake->log, "ann"));
    session_abort(&p->s);
    assert_int_equal(session_mail(&p->s, "bob@x.test"), POSTERN_CONTINUE);
    session_message(&p->s, 250);
    fake_advance(p->fake, 1200 * SECOND - 1);
    assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_TEMPFAIL);
    assert_text(&p->s, "Rate limit per-sender: try again in 1 second");
    session_abort(&p->s);
    fake_advance(p->fake, 1);
    assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_CONTINUE);
    assert_int_equal(fake_counter(p->fake, "allowed"), 5);
    assert_int_equal(fake_counter(p->fake, "refused"), 2);
}

static void no_value_no_limit(void **state)
{
    struct policy *p = *state;
    limit(p, "per-user", "user", MESSAGES, 1);
    limit(p, "per-sender", "sender", MESSAGES, 1);
    limit(p, "per-domain", "sender_domain", RECIPIENTS, 1);
    begin(p);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(session_mail(&p->s, ""), POSTERN_CONTINUE);
        assert_int_equal(session_rcpt(&p->s, "b@y.test"), POSTERN_CONTINUE);
        session_rcpt_reply(&p->s, "b@y.test", 250);
        session_message(&p->s, 250);
    }
    p->s.tx.fields[POSTERN_F_USER] = SPAN("ann");
    assert_int_equal(session_mail(&p->s, ""), POSTERN_CONTINUE);
    session_message(&p->s, 250);
    assert_int_equal(session_mail(&p->s, ""), POSTERN_TEMPFAIL);
}

static void all_or_nothing(void **state)
{
    struct policy *p = *state;
    limit(p, "wide", "sender_domain", MESSAGES, 10);
    limit(p, "narrow", "sender", MESSAGES, 2);
    begin(p);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(session_mail(&p->s, "ann@x.test"), i < 2 ? POSTERN_CONTINUE : POSTERN_TEMPFAIL);
        session_message(&p->s, i < 2 ? 250 : 450);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(session_mail(&p->s, "bob@x.test"), POSTERN_CONTINUE);
        session_message(&p->s, 250);
    }
    for (int i = 0; i < 6; i++) { /* 4 of 10 are used: refusals cost the domain nothing */
        static const char *const senders[] = {"c@x.test", "d@x.test", "e@x.test"};
        assert_int_equal(session_mail(&p->s, senders[i / 2]), POSTERN_CONTINUE);
        session_message(&p->s, 250);
    }
    assert_int_equal(session_mail(&p->s, "f@x.test"), POSTERN_TEMPFAIL);
    assert_memory_equal(p->s.verdict.rule.p, "wide", 4);
}

static void recipients(void **state)
{
    struct policy *p = *state;
    limit(p, "rcpts", "sender", RECIPIENTS, 4);
    begin(p);
    (void)session_mail(&p->s, "ann@x.test");
    for (int i = 0; i < 4; i++)
        assert_int_equal(session_rcpt(&p->s, "b@y.test"), POSTERN_CONTINUE);
    assert_int_equal(session_rcpt(&p->s, "b@y.test"), POSTERN_TEMPFAIL);
    session_rcpt_reply(&p->s, "b@y.test", 250); /* pipelined: replies come later, in order */
    session_rcpt_reply(&p->s, "b@y.test", 550);
    session_rcpt_reply(&p->s, "b@y.test", 0);
    session_rcpt_reply(&p->s, "b@y.test", 252);
    session_rcpt_reply(&p->s, "b@y.test", 450); /* our own refusal: it had taken nothing */
    session_rcpt_reply(&p->s, "b@y.test", 550); /* none that we know */
    assert_int_equal(room_for_recipients(p, "ann@x.test"), 2);
    session_message(&p->s, 250);
    assert_int_equal(room_for_recipients(p, "ann@x.test"), 2);
}

static void outcomes(void **state)
{
    static const struct {
        unsigned code, left;
    } cases[] = {{250, 2}, {0, 2}, {451, 5}, {550, 5}, {354, 5}};
    struct policy *p = *state;
    limit(p, "messages", "sender", MESSAGES, 3);
    limit(p, "rcpts", "sender", RECIPIENTS, 5);
    begin(p);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_advance(p->fake, 7200 * SECOND);
        (void)session_mail(&p->s, "ann@x.test");
        for (int j = 0; j < 3; j++) {
            assert_int_equal(session_rcpt(&p->s, "b@y.test"), POSTERN_CONTINUE);
            session_rcpt_reply(&p->s, "b@y.test", 250);
        }
        session_message(&p->s, cases[i].code);
        assert_int_equal(room_for_recipients(p, "ann@x.test"), cases[i].left);
        assert_int_equal(room_for_messages(p, "ann@x.test"), cases[i].left == 5 ? 3 : 2);
    }
}

/* RD-09: whatever ends a transaction before END gives all back, once. */
static void aborted(void **state)
{
    struct policy *p = *state;
    struct fake_session other;
    limit(p, "messages", "sender", MESSAGES, 3);
    limit(p, "rcpts", "sender", RECIPIENTS, 5);
    begin(p);
    (void)session_mail(&p->s, "ann@x.test");
    (void)session_rcpt(&p->s, "b@y.test");
    session_rcpt_reply(&p->s, "b@y.test", 250);
    (void)session_rcpt(&p->s, "c@y.test"); /* its reply never comes */
    session_abort(&p->s);
    session_abort(&p->s);
    assert_int_equal(room_for_messages(p, "ann@x.test"), 3);
    assert_int_equal(room_for_recipients(p, "ann@x.test"), 5);

    session_open(&other, p->fake, p->filter); /* gone without an ABORT */
    (void)session_mail(&other, "ann@x.test");
    (void)session_rcpt(&other, "b@y.test");
    session_close(&other);
    assert_int_equal(room_for_messages(p, "ann@x.test"), 3);
    assert_int_equal(room_for_recipients(p, "ann@x.test"), 5);

    session_open(&other, p->fake, p->filter); /* gone after END: nobody knows, the charge stays */
    (void)session_mail(&other, "ann@x.test");
    (void)session_hook(&other, POSTERN_ON_END, "", 0);
    session_close(&other);
    assert_int_equal(room_for_messages(p, "ann@x.test"), 2);
}

static void late_return_saves_nothing_up(void **state)
{
    struct policy *p = *state;
    limit(p, "messages", "sender", MESSAGES, 3);
    begin(p);
    (void)session_mail(&p->s, "ann@x.test");
    fake_advance(p->fake, 3600 * SECOND);
    for (int i = 0; i < 3; i++) {
        struct fake_session other;
        session_open(&other, p->fake, p->filter);
        assert_int_equal(session_mail(&other, "ann@x.test"), POSTERN_CONTINUE);
        session_message(&other, 250);
        session_close(&other);
    }
    session_abort(&p->s);
    assert_int_equal(room_for_messages(p, "ann@x.test"), 0);
}

/* A limit on messages by recipient's domain: one unit for a domain, however many recipients it has. */
static void messages_by_recipient(void **state)
{
    struct policy *p = *state;
    limit(p, "to-domain", "recipient_domain", MESSAGES, 2);
    begin(p);
    for (int i = 0; i < 2; i++) {
        (void)session_mail(&p->s, "ann@x.test");
        for (int j = 0; j < 10; j++) {
            assert_int_equal(session_rcpt(&p->s, "b@y.test"), POSTERN_CONTINUE);
            session_rcpt_reply(&p->s, "b@y.test", 250);
        }
        assert_int_equal(session_rcpt(&p->s, "b@z.test"), POSTERN_CONTINUE);
        session_rcpt_reply(&p->s, "b@z.test", 550); /* the only one in that domain: given back */
        session_message(&p->s, 250);
    }
    (void)session_mail(&p->s, "ann@x.test");
    assert_int_equal(session_rcpt(&p->s, "b@y.test"), POSTERN_TEMPFAIL);
    session_rcpt_reply(&p->s, "b@y.test", 450);
    assert_int_equal(session_rcpt(&p->s, "b@z.test"), POSTERN_CONTINUE);
}

static void shared_unit_returns_with_the_last(void **state)
{
    struct policy *p = *state;
    limit(p, "to-domain", "recipient_domain", MESSAGES, 1);
    begin(p);
    (void)session_mail(&p->s, "ann@x.test");
    assert_int_equal(session_rcpt(&p->s, "a@y.test"), POSTERN_CONTINUE);
    assert_int_equal(session_rcpt(&p->s, "b@y.test"), POSTERN_CONTINUE);
    session_rcpt_reply(&p->s, "a@y.test", 550);
    struct fake_session other;
    session_open(&other, p->fake, p->filter);
    (void)session_mail(&other, "ann@x.test");
    assert_int_equal(session_rcpt(&other, "c@y.test"), POSTERN_TEMPFAIL); /* b still holds it */
    session_rcpt_reply(&other, "c@y.test", 450);
    session_rcpt_reply(&p->s, "b@y.test", 550);
    assert_int_equal(session_rcpt(&other, "c@y.test"), POSTERN_CONTINUE);
    assert_int_equal(session_rcpt(&p->s, "b@y.test"), POSTERN_TEMPFAIL);
    session_abort(&other);
    session_close(&other);
}

static void messages_at_rcpt(void **state)
{
    struct policy *p = *state;
    fake_number(p->fake, limit(p, "later", "sender", MESSAGES, 1), "at", 2);
    begin(p);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_CONTINUE);
        session_abort(&p->s);
    }
    assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_CONTINUE);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(session_rcpt(&p->s, "b@y.test"), POSTERN_CONTINUE);
        session_rcpt_reply(&p->s, "b@y.test", 250);
    }
    session_message(&p->s, 250);
    assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_CONTINUE);
    assert_int_equal(session_rcpt(&p->s, "b@y.test"), POSTERN_TEMPFAIL);
}

static void clients_and_listeners(void **state)
{
    struct policy *p = *state;
    static const char neighbour[4] = {(char)192, 0, 2, 77}, stranger[4] = {(char)192, 0, 3, 1};
    limit(p, "net", "client/24 listener", MESSAGES, 1);
    begin(p);
    assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_CONTINUE);
    session_message(&p->s, 250);
    p->s.tx.ip.p = neighbour;
    assert_int_equal(session_mail(&p->s, "bob@x.test"), POSTERN_TEMPFAIL);
    p->s.tx.ip.p = stranger;
    assert_int_equal(session_mail(&p->s, "bob@x.test"), POSTERN_CONTINUE);
    session_message(&p->s, 250);
    p->s.tx.fields[POSTERN_F_LISTENER] = SPAN("gateway");
    assert_int_equal(session_mail(&p->s, "bob@x.test"), POSTERN_CONTINUE);
}

static void codes_and_texts(void **state)
{
    struct policy *p = *state;
    struct postern_node *hard = limit(p, "hard", "sender", MESSAGES, 1),
                        *close = limit(p, "close", "user", MESSAGES, 1);
    fake_number(p->fake, hard, "code", 554);
    fake_text(p->fake, hard, "text", "Go away");
    fake_number(p->fake, close, "code", 421);
    begin(p);
    p->s.tx.fields[POSTERN_F_USER] = SPAN("u");
    (void)session_mail(&p->s, "ann@x.test");
    session_message(&p->s, 250);
    assert_int_equal(session_mail(&p->s, "bob@x.test"), POSTERN_DISCONNECT);
    assert_int_equal(p->s.verdict.code, 421);
    p->s.tx.fields[POSTERN_F_USER] = SPAN("v");
    assert_int_equal(session_mail(&p->s, "ann@x.test"), POSTERN_REJECT);
    assert_int_equal(p->s.verdict.code, 554);
    assert_memory_equal(p->s.verdict.enhanced.p, "5.7.1", 5);
    assert_text(&p->s, "Go away");
}

/* A reload: identical limits keep their counts, a changed one starts anew. */
static void reloads(void **state)
{
    struct policy *p = *state;
    struct postern_node *kept = limit(p, "kept", "sender", MESSAGES, 2),
                        *changed = limit(p, "changed", "user", MESSAGES, 2);
    (void)kept;
    begin(p);
    (void)session_mail(&p->s, "ann@x.test");
    session_message(&p->s, 250);
    p->s.tx.fields[POSTERN_F_USER] = SPAN("u");
    (void)session_mail(&p->s, "");
    session_message(&p->s, 250);
    session_close(&p->s);
    postern_filter.release(p->filter);
    for (const struct postern_node *n = changed->first; n; n = n->next)
        if (span_equal(n->name, SPAN("rate")))
            ((struct postern_node *)(uintptr_t)n)->number = 3;
    begin(p);
    assert_int_equal(room_for_messages(p, "ann@x.test"), 1);
    p->s.tx.fields[POSTERN_F_USER] = SPAN("u");
    assert_int_equal(room_for_messages(p, ""), 3);
}

/* RE-22: as many keys as strangers like cost no more memory; each transaction's own is freed with it. */
static void many_recipients(void **state)
{
    struct policy *p = *state;
    static char names[1000][32];
    limit(p, "each", "recipient", MESSAGES, 1);
    limit(p, "all", "sender", RECIPIENTS, 5000);
    begin(p);
    for (int i = 0; i < 1000; i++)
        (void)snprintf(names[i], sizeof(names[i]), "user%d@y.test", i);
    for (int round = 0; round < 3; round++) {
        (void)session_mail(&p->s, "ann@x.test");
        for (int i = 0; i < 1000; i++)
            assert_int_equal(session_rcpt(&p->s, names[i]), POSTERN_CONTINUE);
        for (int i = 0; i < 1000; i++)
            session_rcpt_reply(&p->s, names[i], i % 2 ? 250 : 550);
        session_message(&p->s, 451);
    }
    assert_int_equal(fake_counter(p->fake, "given_back"), 6000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages),
        TEST(no_value_no_limit),
        TEST(all_or_nothing),
        TEST(recipients),
        TEST(outcomes),
        TEST(aborted),
        TEST(late_return_saves_nothing_up),
        TEST(messages_by_recipient),
        TEST(shared_unit_returns_with_the_last),
        TEST(messages_at_rcpt),
        TEST(clients_and_listeners),
        TEST(codes_and_texts),
        TEST(reloads),
        TEST(many_recipients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
