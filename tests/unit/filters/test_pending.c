/* SPDX-License-Identifier: MIT */
/* Waiting for filters: late answers, answers that come too late, deadlines, delays, and what may happen
 * inside `done`. At the end a storm of random events, after which the promises of the public header must
 * hold. */
#include "unit/filters/script.h"

static void an_answer_comes_later(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 3);
    b.scripts[1].answers[POSTERN_ON_RCPT].action = POSTERN_PENDING;
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_MAIL, "f");
    char text[] = "to";
    ask_and_wait(&b, POSTERN_ON_RCPT, text);
    memset(text, '!', 2); /* the chain has kept it */
    fake_pass(&b.fake, 1000);
    assert_int_equal(b.dones, 0);
    resume(&b.scripts[1], POSTERN_CONTINUE);
    assert_int_equal(b.dones, 1);
    assert_int_equal(b.done.action, POSTERN_CONTINUE);
    resume(&b.scripts[1], POSTERN_REJECT); /* nobody waits any more */
    assert_int_equal(b.dones, 1);
    assert_collected(&b.trace, "a:MAIL f\nb:MAIL f\nc:MAIL f\na:RCPT to\nb:RCPT to\nc:RCPT to\n");
    assert_null(b.fake.timers);
    bench_end(&b);
}

static void a_late_refusal_stands(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 2);
    b.scripts[0].answers[POSTERN_ON_HELO].action = POSTERN_PENDING;
    bench_start(&b);
    ask_and_wait(&b, POSTERN_ON_HELO, "x");
    char text[] = "on a list";
    struct postern_verdict v = {.size = sizeof(v), .action = POSTERN_REJECT, .text = {text, 9}};
    b.scripts[0].host->resume(b.scripts[0].self, b.scripts[0].ticket, &v);
    memset(text, '!', 9);
    assert_int_equal(b.done.action, POSTERN_REJECT);
    assert_span(b.done.text, "on a list");
    assert_string_equal(b.done.filter, "a");
    assert_collected(&b.trace, "a:HELO x\n");
    bench_end(&b);
}

static void every_filter_may_wait(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 3);
    for (size_t i = 0; i < b.n; i++)
        b.scripts[i].answers[POSTERN_ON_HELO].action = POSTERN_PENDING;
    bench_start(&b);
    ask_and_wait(&b, POSTERN_ON_HELO, "x");
    for (size_t i = 0; i < b.n; i++) {
        assert_int_equal(b.dones, 0);
        resume(&b.scripts[i], POSTERN_CONTINUE);
    }
    assert_int_equal(b.dones, 1);
    assert_collected(&b.trace, "a:HELO x\nb:HELO x\nc:HELO x\n");
    bench_end(&b);
}

static void an_answer_from_inside_the_hook_counts(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    b.scripts[0].answers[POSTERN_ON_HELO].action = POSTERN_PENDING;
    b.scripts[0].answer_inside = true;
    b.scripts[0].inside.action = POSTERN_TEMPFAIL;
    bench_start(&b);
    assert_int_equal(ask(&b, POSTERN_ON_HELO, "x").action, POSTERN_TEMPFAIL);
    resume(&b.scripts[0], POSTERN_REJECT);
    assert_int_equal(b.dones, 0);
    assert_null(b.fake.timers);
    bench_end(&b);
}

static void an_answer_that_is_none_is_a_failure(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct bench b;
        bench_begin(&b, 1);
        b.scripts[0].answers[POSTERN_ON_HELO].action = POSTERN_PENDING;
        bench_start(&b);
        ask_and_wait(&b, POSTERN_ON_HELO, "x");
        const struct postern_verdict sizeless = {.action = POSTERN_CONTINUE};
        if (i == 0)
            resume(&b.scripts[0], POSTERN_PENDING);
        else
            b.scripts[0].host->resume(b.scripts[0].self, b.scripts[0].ticket, i == 1 ? NULL : &sizeless);
        assert_int_equal(b.dones, 1);
        assert_int_equal(b.done.code, 451);
        assert_true(b.done.failed);
        bench_end(&b);
    }
}

static void deadlines(void **state)
{
    static const struct {
        uint64_t own, named, passes;
        enum postern_timeout on_timeout;
        enum filter_on_error on_error;
        unsigned code;
    } cases[] = {
        {5000, 0, 5000, POSTERN_TIMEOUT_ON_ERROR, FILTER_ON_ERROR_TEMPFAIL, 451},
        {5000, 9000, 5000, POSTERN_TIMEOUT_ON_ERROR, FILTER_ON_ERROR_REJECT, 550},
        {5000, 200, 200, POSTERN_TIMEOUT_ON_ERROR, FILTER_ON_ERROR_ACCEPT, 0},
        {5000, 200, 200, POSTERN_TIMEOUT_OPEN, FILTER_ON_ERROR_REJECT, 0},
        {5000, 200, 200, POSTERN_TIMEOUT_TEMPFAIL, FILTER_ON_ERROR_REJECT, 451},
        {0, 0, 5000000, POSTERN_TIMEOUT_REJECT, FILTER_ON_ERROR_ACCEPT, 550},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bench b;
        bench_begin(&b, 1);
        b.scripts[0].settings.deadline_us = cases[i].own;
        b.scripts[0].settings.on_error = cases[i].on_error;
        b.scripts[0].answers[POSTERN_ON_HELO] = (struct postern_verdict){
            .action = POSTERN_PENDING, .delay_us = cases[i].named, .on_timeout = cases[i].on_timeout};
        bench_start(&b);
        ask_and_wait(&b, POSTERN_ON_HELO, "x");
        fake_pass(&b.fake, cases[i].passes - 1);
        assert_int_equal(b.dones, 0);
        fake_pass(&b.fake, 1);
        assert_int_equal(b.dones, 1);
        assert_int_equal(b.done.code, cases[i].code);
        assert_int_equal(b.done.failed, cases[i].code != 0);
        resume(&b.scripts[0], POSTERN_REJECT);
        assert_int_equal(b.dones, 1);
        assert_collected(&b.trace, "a:HELO x\na:cancel\n");
        assert_collected(&b.fake.counts, "a.timeout\n");
        assert_true(contains(&b.fake.log, "no verdict before the deadline, session S1"));
        bench_end(&b);
    }
}

static void shadow_waits_and_forgets(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    b.scripts[0].settings.shadow = true;
    b.scripts[0].answers[POSTERN_ON_HELO].action = POSTERN_PENDING;
    bench_start(&b);
    ask_and_wait(&b, POSTERN_ON_HELO, "x");
    resume(&b.scripts[0], POSTERN_REJECT);
    assert_int_equal(b.done.action, POSTERN_CONTINUE);
    assert_collected(&b.fake.counts, "a.shadow_reject\n");
    ask_and_wait(&b, POSTERN_ON_HELO, "x");
    fake_pass(&b.fake, 5000000);
    assert_int_equal(b.done.action, POSTERN_CONTINUE);
    assert_collected(&b.fake.counts, "a.timeout\n");
    assert_true(contains(&b.fake.log, "(shadow: not enforced)"));
    bench_end(&b);
}

static void delays(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 2);
    b.scripts[0].answers[POSTERN_ON_HELO] =
        (struct postern_verdict){.action = POSTERN_DELAY, .delay_us = 700};
    bench_start(&b);
    ask_and_wait(&b, POSTERN_ON_HELO, "x");
    assert_collected(&b.trace, "a:HELO x\n");
    fake_pass(&b.fake, 700);
    assert_int_equal(b.done.action, POSTERN_CONTINUE);
    assert_collected(&b.trace, "b:HELO x\n");
    b.scripts[0].answers[POSTERN_ON_HELO].delay_us = 400000000; /* five minutes are enough */
    ask_and_wait(&b, POSTERN_ON_HELO, "x");
    fake_pass(&b.fake, 299999999);
    assert_int_equal(b.dones, 1);
    fake_pass(&b.fake, 1);
    assert_int_equal(b.dones, 2);
    b.scripts[0].answers[POSTERN_ON_HELO].delay_us = 0;
    (void)ask(&b, POSTERN_ON_HELO, "x");
    b.scripts[0].answers[POSTERN_ON_HELO] = (struct postern_verdict){.action = POSTERN_PENDING};
    ask_and_wait(&b, POSTERN_ON_HELO, "x");
    resume(&b.scripts[0], POSTERN_DELAY); /* of no time */
    assert_int_equal(b.dones, 3);
    buf_free(&b.trace);
    b.scripts[0].answers[POSTERN_ON_HELO] =
        (struct postern_verdict){.action = POSTERN_DELAY, .delay_us = 700};
    ask_and_wait(&b, POSTERN_ON_HELO, "x");
    chain_cancel(b.run); /* nobody is asked to cancel a delay */
    assert_collected(&b.trace, "a:HELO x\n");
    bench_end(&b);
}

static void without_a_timer_nobody_waits(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    b.scripts[0].answers[POSTERN_ON_HELO].action = POSTERN_PENDING;
    bench_start(&b);
    b.fake.no_timers = true;
    struct verdict v = ask(&b, POSTERN_ON_HELO, "x");
    assert_int_equal(v.code, 451);
    assert_true(v.failed);
    resume(&b.scripts[0], POSTERN_REJECT);
    assert_int_equal(b.dones, 0);
    assert_int_equal(b.scripts[0].cancels, 1);
    bench_end(&b);
}

static void cancelled_answers_find_nobody(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 2);
    b.scripts[0].answers[POSTERN_ON_RCPT].action = POSTERN_PENDING;
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_MAIL, "f");
    ask_and_wait(&b, POSTERN_ON_RCPT, "1");
    chain_cancel(b.run);
    chain_cancel(b.run);
    uint64_t old = b.scripts[0].ticket;
    resume(&b.scripts[0], POSTERN_REJECT);
    ask_and_wait(&b, POSTERN_ON_RCPT, "2");
    assert_int_not_equal(b.scripts[0].ticket, old);
    struct postern_verdict v = {.size = sizeof(v), .action = POSTERN_REJECT};
    b.scripts[0].host->resume(b.scripts[0].self, old, &v);
    b.scripts[0].host->resume(b.scripts[0].self, 0, &v);
    b.scripts[0].host->resume(b.scripts[0].self, UINT64_MAX, &v);
    assert_int_equal(b.dones, 0);
    chain_abort(b.run);
    resume(&b.scripts[0], POSTERN_REJECT);
    assert_int_equal(b.dones, 0);
    assert_collected(&b.trace, "a:MAIL f\nb:MAIL f\na:RCPT 1\na:cancel\na:RCPT 2\na:cancel\na:RCPT_REPLY 1\n"
                               "a:RCPT_REPLY 2\na:ABORT\nb:ABORT\n");
    bench_end(&b);
}

static void a_destroyed_run_is_not_found(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    b.scripts[0].answers[POSTERN_ON_HELO].action = POSTERN_PENDING;
    bench_start(&b);
    ask_and_wait(&b, POSTERN_ON_HELO, "x");
    chain_run_destroy(&b.run);
    resume(&b.scripts[0], POSTERN_REJECT);
    fake_pass(&b.fake, 10000000);
    assert_int_equal(b.dones, 0);
    assert_collected(&b.trace, "a:HELO x\na:cancel\na:DISCONNECT\n");
    bench_end(&b);
}

/* Many sessions wait for one filter and are answered in another order. */
static void tickets_are_not_mixed_up(void **state)
{
    enum { SESSIONS = 300 };
    struct bench b;
    struct chain_run *runs[SESSIONS];
    uint64_t tickets[SESSIONS];
    (void)state;
    bench_begin(&b, 1);
    b.quiet = b.many_sessions = true;
    b.scripts[0].answers[POSTERN_ON_HELO].action = POSTERN_PENDING;
    bench_start(&b);
    for (size_t i = 0; i < SESSIONS; i++) {
        struct verdict v;
        runs[i] = chain_run_create(b.chain, &b.fake.services, &b.view, 0, bench_done, &b);
        assert_non_null(runs[i]);
        assert_int_equal(chain_phase(runs[i], POSTERN_ON_HELO, SPAN_LIT("x"), &v), CHAIN_PENDING);
        tickets[i] = b.scripts[0].ticket;
    }
    for (size_t i = 0; i < SESSIONS; i += 2) /* every other session goes away */
        chain_run_destroy(&runs[i]);
    struct postern_verdict v = {.size = sizeof(v), .action = POSTERN_TEMPFAIL};
    for (size_t i = SESSIONS; i-- > 0;)
        b.scripts[0].host->resume(b.scripts[0].self, tickets[i], &v);
    assert_int_equal(b.dones, SESSIONS / 2);
    for (size_t i = 1; i < SESSIONS; i += 2)
        chain_run_destroy(&runs[i]);
    assert_int_equal(b.scripts[0].cancels, SESSIONS / 2);
    bench_end(&b);
}

/* ---- inside done ---- */

static void ask_next(struct bench *b)
{
    b->on_done = NULL;
    (void)ask(b, POSTERN_ON_MAIL, "inside");
}

static void wait_again(struct bench *b)
{
    b->on_done = NULL;
    ask_and_wait(b, POSTERN_ON_HELO, "again");
}

static void destroy(struct bench *b)
{
    chain_run_destroy(&b->run);
}
static void abort_it(struct bench *b)
{
    chain_abort(b->run);
}

static void done_may_do_anything(void **state)
{
    static void (*const doings[])(struct bench * b) = {ask_next, wait_again, destroy, abort_it};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(doings); i++) {
        for (int timeout = 0; timeout < 2; timeout++) {
            struct bench b;
            bench_begin(&b, 2);
            b.scripts[1].answers[POSTERN_ON_HELO].action = POSTERN_PENDING;
            bench_start(&b);
            b.on_done = doings[i];
            ask_and_wait(&b, POSTERN_ON_HELO, "x");
            if (timeout)
                fake_pass(&b.fake, 5000000);
            else
                resume(&b.scripts[1], POSTERN_REJECT);
            assert_int_equal(b.dones, 1);
            bench_end(&b);
        }
    }
}

static void end_may_wait(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 3);
    b.scripts[1].answers[POSTERN_ON_END].action = POSTERN_PENDING;
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_MAIL, "1");
    ask_and_wait(&b, POSTERN_ON_END, NULL);
    chain_abort(b.run);
    assert_collected(&b.trace, "a:MAIL 1\nb:MAIL 1\nc:MAIL 1\na:END\nb:END\nb:cancel\nc:ABORT\n");
    (void)ask(&b, POSTERN_ON_MAIL, "2");
    ask_and_wait(&b, POSTERN_ON_END, NULL);
    resume(&b.scripts[1], POSTERN_REJECT);
    assert_int_equal(b.done.code, 550);
    assert_collected(&b.trace, "a:MAIL 2\nb:MAIL 2\nc:MAIL 2\na:END\nb:END\nc:ABORT\n");
    bench_end(&b);
}

/* ---- the storm ---- */

struct storm {
    uint32_t random;
    struct bench b;
    bool waiting;
    char rcpts[64];
    size_t rcpt_n;
};

static uint32_t roll(struct storm *s, uint32_t below)
{
    s->random = s->random * 1664525u + 1013904223u;
    return (s->random >> 16) % below;
}

static void roll_answers(struct storm *s)
{
    static const enum postern_action actions[] = {
        POSTERN_CONTINUE, POSTERN_CONTINUE, POSTERN_CONTINUE,       POSTERN_CONTINUE, POSTERN_ACCEPT,
        POSTERN_REJECT,   POSTERN_TEMPFAIL, POSTERN_DISCARD,        POSTERN_DELAY,    POSTERN_DISCONNECT,
        POSTERN_PENDING,  POSTERN_PENDING,  (enum postern_action)77};
    for (size_t i = 0; i < s->b.n; i++) {
        struct script *f = &s->b.scripts[i];
        for (int phase = 0; phase < POSTERN_PHASES; phase++)
            f->answers[phase] = (struct postern_verdict){.action = actions[roll(s, COUNT_OF(actions))],
                                                         .delay_us = (uint64_t)100 * roll(s, 3)};
        f->answer_inside = roll(s, 4) == 0;
        f->inside.action = actions[roll(s, COUNT_OF(actions))];
    }
}

static void storm_phase(struct storm *s)
{
    static const enum postern_phase phases[] = {POSTERN_ON_CONNECT, POSTERN_ON_HELO, POSTERN_ON_AUTH,
                                                POSTERN_ON_MAIL,    POSTERN_ON_RCPT, POSTERN_ON_RCPT,
                                                POSTERN_ON_DATA,    POSTERN_ON_END};
    const char rcpt = (char)('a' + (int)roll(s, 3));
    enum postern_phase phase = phases[roll(s, COUNT_OF(phases))];
    struct verdict v;
    bool is_rcpt = phase == POSTERN_ON_RCPT && s->rcpt_n < sizeof(s->rcpts);
    if (is_rcpt)
        s->rcpts[s->rcpt_n++] = rcpt;
    s->b.dones = 0;
    s->waiting = chain_phase(s->b.run, phase, is_rcpt ? span_make(&rcpt, 1) : SPAN_NONE, &v) == CHAIN_PENDING;
}

static void storm_content(struct storm *s)
{
    static const struct span pieces[] = {SPAN_LIT("A: b\r\n"), SPAN_LIT("\r\n"), SPAN_LIT("text\r\n\r\nmore"),
                                         SPAN_LIT("Subject: x\r\n\r\nbody\r\n")};
    struct verdict v;
    s->b.dones = 0;
    s->waiting = chain_content(s->b.run, pieces[roll(s, COUNT_OF(pieces))], &v) == CHAIN_PENDING;
}

static void storm_step(struct storm *s)
{
    switch (roll(s, 12)) {
    case 0:
        if (s->waiting)
            resume(&s->b.scripts[roll(s, (uint32_t)s->b.n)], POSTERN_CONTINUE);
        break;
    case 1:
        fake_pass(&s->b.fake, roll(s, 400));
        break;
    case 2:
        chain_cancel(s->b.run);
        s->waiting = false;
        break;
    case 3:
        chain_abort(s->b.run);
        s->waiting = false;
        break;
    case 4:
        chain_reply(s->b.run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, 250, true);
        break;
    case 5:
        if (s->rcpt_n)
            chain_reply(s->b.run, POSTERN_ON_RCPT_REPLY, span_make(&s->rcpts[--s->rcpt_n], 1), 250, true);
        break;
    case 6:
    case 7:
        if (!s->waiting)
            storm_content(s);
        break;
    default:
        storm_phase(s);
    }
    if (s->b.dones)
        s->waiting = false;
    assert_true(s->b.dones <= 1);
}

static void promises_hold_in_a_storm(void **state)
{
    static const enum postern_phase of_the_model[] = {POSTERN_ON_HEADER, POSTERN_ON_HEADERS, POSTERN_ON_BODY,
                                                      POSTERN_ON_PART, POSTERN_ON_TEXT};
    (void)state;
    for (uint32_t seed = 0; seed < 600; seed++) {
        struct storm s = {.random = seed};
        bench_begin(&s.b, 1 + seed % FILTERS_MAX);
        s.b.quiet = true;
        for (size_t i = 0; i < s.b.n; i++) {
            struct script *f = &s.b.scripts[i];
            f->settings.on_error = (enum filter_on_error)roll(&s, 3);
            f->settings.shadow = roll(&s, 6) == 0;
            f->settings.deadline_us = 250;
            for (size_t k = 0; k < COUNT_OF(of_the_model); k++)
                f->plugin.hooks[of_the_model[k]] = roll(&s, 2) ? script_hook : NULL;
        }
        bench_start(&s.b);
        for (int i = 0; i < 60; i++) {
            roll_answers(&s);
            storm_step(&s);
        }
        bench_end(&s.b); /* checks the balance of every filter */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_later),
        cmocka_unit_test(a_late_refusal_stands),
        cmocka_unit_test(every_filter_may_wait),
        cmocka_unit_test(an_answer_from_inside_the_hook_counts),
        cmocka_unit_test(an_answer_that_is_none_is_a_failure),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(shadow_waits_and_forgets),
        cmocka_unit_test(delays),
        cmocka_unit_test(without_a_timer_nobody_waits),
        cmocka_unit_test(cancelled_answers_find_nobody),
        cmocka_unit_test(a_destroyed_run_is_not_found),
        cmocka_unit_test(tickets_are_not_mixed_up),
        cmocka_unit_test(done_may_do_anything),
        cmocka_unit_test(end_may_wait),
        cmocka_unit_test(promises_hold_in_a_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
