/* SPDX-License-Identifier: MIT */
/* Chains and runs: the order of calls, how verdicts combine, how transactions begin and end. Waiting is
 * tested in test_pending.c, content in test_content.c. */
#include "filters/instance.h"
#include "unit/filters/script.h"

#include <math.h>

static void every_filter_is_asked_in_order(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 2);
    bench_start(&b);
    assert_int_equal(ask(&b, POSTERN_ON_CONNECT, NULL).action, POSTERN_CONTINUE);
    assert_int_equal(ask(&b, POSTERN_ON_HELO, "there").action, POSTERN_CONTINUE);
    assert_int_equal(ask(&b, POSTERN_ON_MAIL, "from").action, POSTERN_CONTINUE);
    assert_int_equal(ask(&b, POSTERN_ON_RCPT, "to").action, POSTERN_CONTINUE);
    chain_reply(b.run, POSTERN_ON_RCPT_REPLY, SPAN_LIT("to"), 250, true);
    struct verdict v = ask(&b, POSTERN_ON_DATA, NULL);
    assert_int_equal(v.action, POSTERN_CONTINUE);
    assert_null(v.filter);
    assert_int_equal(ask(&b, POSTERN_ON_END, NULL).action, POSTERN_CONTINUE);
    chain_reply(b.run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, 250, true);
    chain_run_destroy(&b.run);
    assert_collected(&b.trace,
                     "a:CONNECT\nb:CONNECT\na:HELO there\nb:HELO there\na:MAIL from\nb:MAIL from\n"
                     "a:RCPT to\nb:RCPT to\na:RCPT_REPLY to\nb:RCPT_REPLY to\na:DATA\nb:DATA\n"
                     "a:END\nb:END\na:MESSAGE_REPLY\nb:MESSAGE_REPLY\na:DISCONNECT\nb:DISCONNECT\n");
    assert_span(buf_span(&b.fake.counts), "");
    bench_end(&b);
}

static void an_empty_chain_lets_everything_pass(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 0);
    bench_start(&b);
    assert_true(chain_empty(b.chain));
    assert_int_equal(ask(&b, POSTERN_ON_MAIL, "from").action, POSTERN_CONTINUE);
    assert_int_equal(content(&b, "A: b\r\n\r\n").action, POSTERN_CONTINUE);
    assert_int_equal(ask(&b, POSTERN_ON_END, NULL).action, POSTERN_CONTINUE);
    bench_end(&b);
}

static void the_first_refusal_stands(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 3);
    b.scripts[1].answers[POSTERN_ON_HELO].action = POSTERN_REJECT;
    b.scripts[2].answers[POSTERN_ON_HELO].action = POSTERN_TEMPFAIL;
    bench_start(&b);
    struct verdict v = ask(&b, POSTERN_ON_HELO, "x");
    assert_int_equal(v.action, POSTERN_REJECT);
    assert_int_equal(v.code, 550);
    assert_span(v.enhanced, "5.7.1");
    assert_span(v.text, "Refused by policy");
    assert_string_equal(v.filter, "b");
    assert_false(v.failed);
    assert_collected(&b.trace, "a:HELO x\nb:HELO x\n");
    assert_collected(&b.fake.counts, "b.reject\n");
    bench_end(&b);
}

static void actions_are_counted(void **state)
{
    static const struct {
        enum postern_action action;
        const char *counted;
        unsigned code;
    } cases[] = {{POSTERN_CONTINUE, "", 0},           {POSTERN_ACCEPT, "", 0},
                 {POSTERN_REJECT, "a.reject\n", 550}, {POSTERN_TEMPFAIL, "a.tempfail\n", 451},
                 {POSTERN_DISCARD, "a.discard\n", 0}, {POSTERN_DISCONNECT, "a.disconnect\n", 421}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bench b;
        bench_begin(&b, 1);
        b.scripts[0].answers[POSTERN_ON_DATA].action = cases[i].action;
        bench_start(&b);
        (void)ask(&b, POSTERN_ON_MAIL, "f");
        assert_int_equal(ask(&b, POSTERN_ON_DATA, NULL).code, cases[i].code);
        assert_spans_eq(buf_span(&b.fake.counts), span_of(cases[i].counted));
        bench_end(&b);
    }
}

static void accept_skips_the_rest_of_its_phase(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 2);
    b.scripts[0].answers[POSTERN_ON_RCPT].action = POSTERN_ACCEPT;
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_MAIL, "f");
    assert_int_equal(ask(&b, POSTERN_ON_RCPT, "t").action, POSTERN_CONTINUE);
    chain_reply(b.run, POSTERN_ON_RCPT_REPLY, SPAN_LIT("t"), 250, true);
    (void)ask(&b, POSTERN_ON_DATA, NULL);
    (void)ask(&b, POSTERN_ON_END, NULL);
    assert_collected(&b.trace,
                     "a:MAIL f\nb:MAIL f\na:RCPT t\na:RCPT_REPLY t\na:DATA\nb:DATA\na:END\nb:END\n");
    bench_end(&b);
}

static void accept_at_mail_lasts_for_one_transaction(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 3);
    b.scripts[1].answers[POSTERN_ON_MAIL].action = POSTERN_ACCEPT;
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_MAIL, "1");
    (void)ask(&b, POSTERN_ON_RCPT, "t");
    chain_abort(b.run);
    assert_collected(&b.trace, "a:MAIL 1\nb:MAIL 1\na:RCPT t\nb:RCPT t\na:RCPT_REPLY t\nb:RCPT_REPLY t\n"
                               "a:ABORT\nb:ABORT\n");
    b.scripts[1].answers[POSTERN_ON_MAIL].action = POSTERN_CONTINUE;
    (void)ask(&b, POSTERN_ON_MAIL, "2");
    (void)ask(&b, POSTERN_ON_END, NULL);
    assert_collected(&b.trace, "a:MAIL 2\nb:MAIL 2\nc:MAIL 2\na:END\nb:END\nc:END\n");
    bench_end(&b);
}

static void who_is_skipped_at_the_end_is_told_of_an_abort(void **state)
{
    static const enum postern_action actions[] = {POSTERN_ACCEPT, POSTERN_REJECT, POSTERN_TEMPFAIL,
                                                  POSTERN_DISCARD, POSTERN_DISCONNECT};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        struct bench b;
        bench_begin(&b, 2);
        b.scripts[0].answers[POSTERN_ON_END].action = actions[i];
        bench_start(&b);
        (void)ask(&b, POSTERN_ON_MAIL, "f");
        (void)ask(&b, POSTERN_ON_END, NULL);
        chain_reply(b.run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, 250, true);
        chain_reply(b.run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, 250, true); /* only one counts */
        chain_abort(b.run);
        assert_collected(&b.trace, "a:MAIL f\nb:MAIL f\na:END\nb:ABORT\na:MESSAGE_REPLY\n");
        bench_end(&b);
    }
}

static void a_refused_sender_is_no_transaction(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 2);
    b.scripts[1].answers[POSTERN_ON_MAIL].action = POSTERN_TEMPFAIL;
    bench_start(&b);
    assert_int_equal(ask(&b, POSTERN_ON_MAIL, "f").code, 451);
    assert_collected(&b.trace, "a:MAIL f\nb:MAIL f\na:ABORT\nb:ABORT\n");
    (void)ask(&b, POSTERN_ON_RCPT, "t"); /* nobody is in a transaction */
    chain_abort(b.run);
    assert_collected(&b.trace, "");
    bench_end(&b);
}

static void a_new_transaction_ends_the_old_one(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_MAIL, "1");
    (void)ask(&b, POSTERN_ON_MAIL, "2");
    chain_run_destroy(&b.run);
    assert_collected(&b.trace, "a:MAIL 1\na:ABORT\na:MAIL 2\na:ABORT\na:DISCONNECT\n");
    bench_end(&b);
}

/* The same recipient twice, replies out of order, one filter that was never asked. */
static void replies_go_to_who_was_asked(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 2);
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_MAIL, "f");
    (void)ask(&b, POSTERN_ON_RCPT, "1");
    b.scripts[0].answers[POSTERN_ON_RCPT].action = POSTERN_REJECT;
    (void)ask(&b, POSTERN_ON_RCPT, "2");
    b.scripts[0].answers[POSTERN_ON_RCPT].action = POSTERN_CONTINUE;
    (void)ask(&b, POSTERN_ON_RCPT, "1");
    buf_free(&b.trace);
    chain_reply(b.run, POSTERN_ON_RCPT_REPLY, SPAN_LIT("2"), 550, false);
    chain_reply(b.run, POSTERN_ON_RCPT_REPLY, SPAN_LIT("1"), 250, true);
    chain_reply(b.run, POSTERN_ON_RCPT_REPLY, SPAN_LIT("unknown"), 250, true);
    chain_reply(b.run, POSTERN_ON_RCPT_REPLY, SPAN_LIT("1"), 250, true);
    chain_reply(b.run, POSTERN_ON_RCPT_REPLY, SPAN_LIT("1"), 250, true);
    assert_collected(&b.trace, "a:RCPT_REPLY 2\na:RCPT_REPLY 1\nb:RCPT_REPLY 1\na:RCPT_REPLY 1\n"
                               "b:RCPT_REPLY 1\n");
    bench_end(&b);
}

static void shadow_is_seen_and_not_felt(void **state)
{
    static const struct {
        enum postern_action action;
        const char *counted, *logged;
    } cases[] = {
        {POSTERN_REJECT, "a.shadow_reject\n", "would have rejected, session S1, rule r:1, code 550: no"},
        {POSTERN_TEMPFAIL, "a.shadow_tempfail\n", "would have deferred"},
        {POSTERN_DISCARD, "a.shadow_discard\n", "would have discarded"},
        {POSTERN_DISCONNECT, "a.shadow_disconnect\n", "would have disconnected"},
        {POSTERN_ACCEPT, "a.shadow_accept\n", "would have accepted"},
        {POSTERN_DELAY, "a.shadow_delay\n", "would have delayed"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bench b;
        bench_begin(&b, 2);
        b.scripts[0].settings.shadow = true;
        b.scripts[0].answers[POSTERN_ON_HELO] = (struct postern_verdict){
            .action = cases[i].action, .text = {"no", 2}, .rule = {"r:1", 3}, .delay_us = 1000};
        bench_start(&b);
        struct verdict v = ask(&b, POSTERN_ON_HELO, "x");
        assert_int_equal(v.action, POSTERN_CONTINUE);
        assert_null(v.filter);
        assert_collected(&b.trace, "a:HELO x\nb:HELO x\n");
        assert_spans_eq(buf_span(&b.fake.counts), span_of(cases[i].counted));
        assert_true(contains(&b.fake.log, cases[i].logged));
        bench_end(&b);
    }
}

static void a_filter_without_a_session_fails(void **state)
{
    static const struct {
        enum filter_on_error on_error;
        bool shadow;
        enum postern_action action;
        unsigned code;
    } cases[] = {{FILTER_ON_ERROR_TEMPFAIL, false, POSTERN_TEMPFAIL, 451},
                 {FILTER_ON_ERROR_ACCEPT, false, POSTERN_CONTINUE, 0},
                 {FILTER_ON_ERROR_REJECT, false, POSTERN_REJECT, 550},
                 {FILTER_ON_ERROR_REJECT, true, POSTERN_CONTINUE, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bench b;
        bench_begin(&b, 1);
        b.scripts[0].no_session = true;
        b.scripts[0].plugin.hooks[POSTERN_ON_CONNECT] = NULL;
        b.scripts[0].settings.on_error = cases[i].on_error;
        b.scripts[0].settings.shadow = cases[i].shadow;
        bench_start(&b);
        assert_int_equal(ask(&b, POSTERN_ON_CONNECT, NULL).action, POSTERN_CONTINUE); /* has no hook there */
        struct verdict v = ask(&b, POSTERN_ON_HELO, "x");
        assert_int_equal(v.action, cases[i].action);
        assert_int_equal(v.code, cases[i].code);
        assert_int_equal(v.failed, v.action != POSTERN_CONTINUE);
        (void)ask(&b, POSTERN_ON_MAIL, "f");
        chain_abort(b.run);
        assert_collected(&b.trace, ""); /* and it is not called again */
        assert_collected(&b.fake.counts, "a.failed\na.failed\n");
        assert_true(contains(&b.fake.log, "a: its session could not begin, session S1"));
        assert_int_equal(b.scripts[0].begins, 1);
        bench_end(&b);
    }
}

static void no_verdict_is_a_failure(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    b.scripts[0].answers[POSTERN_ON_HELO].action = (enum postern_action)99;
    bench_start(&b);
    struct verdict v = ask(&b, POSTERN_ON_HELO, "x");
    assert_int_equal(v.code, 451);
    assert_true(v.failed);
    assert_collected(&b.fake.counts, "a.failed\n");
    bench_end(&b);
}

/* CT-15: what a plugin says about codes and texts is washed. */
static void verdicts_are_washed(void **state)
{
    static const struct {
        enum postern_action action;
        unsigned code;
        const char *enhanced, *text;
        unsigned want_code;
        const char *want_enhanced, *want_text;
    } cases[] = {
        {POSTERN_REJECT, 554, "5.6.0", "fine", 554, "5.6.0", "fine"},
        {POSTERN_REJECT, 250, "2.0.0", "ok", 550, "5.7.1", "ok"},
        {POSTERN_REJECT, 450, "4.7.1", "x", 550, "5.7.1", "x"},
        {POSTERN_REJECT, 599, "", "x", 550, "5.7.1", "x"},
        {POSTERN_REJECT, 42, "5.7", "x", 550, "5.7.1", "x"},
        {POSTERN_REJECT, 0, "5.7.1000", "x", 550, "5.7.1", "x"},
        {POSTERN_REJECT, 0, "5.1.1\r\n", "a\r\nb%s\tc\x7f\xc3\xa4", 550, "5.7.1", "a??b%s?c???"},
        {POSTERN_TEMPFAIL, 0, "", "", 451, "4.7.1", "Not now, try again later"},
        {POSTERN_TEMPFAIL, 452, "4.3.1", "full", 452, "4.3.1", "full"},
        {POSTERN_TEMPFAIL, 550, "5.7.1", "x", 451, "4.7.1", "x"},
        {POSTERN_DISCONNECT, 0, "", "", 421, "4.7.1", "Closing the connection"},
        {POSTERN_DISCONNECT, 554, "5.3.2", "x", 554, "5.3.2", "x"},
        {POSTERN_DISCONNECT, 354, "", "x", 421, "4.7.1", "x"},
        {POSTERN_DISCONNECT, 471, "", "x", 421, "4.7.1", "x"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bench b;
        struct span enhanced = span_of(cases[i].enhanced), text = span_of(cases[i].text);
        bench_begin(&b, 1);
        b.scripts[0].answers[POSTERN_ON_HELO] = (struct postern_verdict){.action = cases[i].action,
                                                                         .code = cases[i].code,
                                                                         .enhanced = {enhanced.p, enhanced.n},
                                                                         .text = {text.p, text.n}};
        bench_start(&b);
        struct verdict v = ask(&b, POSTERN_ON_HELO, "x");
        assert_int_equal(v.code, cases[i].want_code);
        assert_spans_eq(v.enhanced, span_of(cases[i].want_enhanced));
        assert_spans_eq(v.text, span_of(cases[i].want_text));
        bench_end(&b);
    }
}

static void long_texts_are_cut(void **state)
{
    struct bench b;
    char text[2000];
    (void)state;
    memset(text, 'x', sizeof(text));
    bench_begin(&b, 1);
    b.scripts[0].answers[POSTERN_ON_HELO] = (struct postern_verdict){
        .action = POSTERN_REJECT, .text = {text, sizeof(text)}, .rule = {text, sizeof(text)}};
    bench_start(&b);
    struct verdict v = ask(&b, POSTERN_ON_HELO, "x");
    assert_int_equal(v.text.n, 900);
    assert_int_equal(v.rule.n, 200);
    bench_end(&b);
}

static void scores_are_summed_by_name(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 2);
    b.scripts[0].score = 2.5;
    b.scripts[1].score = -1;
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_MAIL, "f");
    assert_span(chain_score_text(b.run), "");
    (void)ask(&b, POSTERN_ON_END, NULL);
    assert_true(chain_score(b.run) > 1.49 && chain_score(b.run) < 1.51);
    assert_span(chain_score_text(b.run), "a=2.5 b=-1");
    (void)ask(&b, POSTERN_ON_MAIL, "g");
    assert_true(chain_score(b.run) == 0);
    bench_end(&b);
}

static void note_score(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                       struct postern_verdict *v)
{
    struct script *s = filter;
    (void)session, (void)ev, (void)v;
    s->host->add_score(tx, (struct postern_span){s->name, 1}, 4);
    s->score = s->host->score(tx);
}

/* Points of a filter that is being tried out are in the log; nobody else acts on them. */
static void scores_in_shadow_weigh_nothing(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 3);
    for (size_t i = 0; i < 3; i++)
        b.scripts[i].plugin.hooks[POSTERN_ON_DATA] = note_score;
    b.scripts[1].settings.shadow = true;
    bench_start(&b);
    for (int message = 0; message < 2; message++) {
        (void)ask(&b, POSTERN_ON_MAIL, "f");
        (void)ask(&b, POSTERN_ON_DATA, NULL);
        assert_true(b.scripts[0].score == 4);
        assert_true(b.scripts[1].score == 8);
        assert_true(b.scripts[2].score == 8);
        assert_true(chain_score(b.run) == 12);
        chain_abort(b.run);
    }
    bench_end(&b);
}

static void crowd_the_score(void *filter, void *session, struct postern_tx *tx,
                            const struct postern_event *ev, struct postern_verdict *v)
{
    const struct script *s = filter;
    (void)session, (void)ev, (void)v;
    for (int i = 0; i < 200; i++) {
        char name[80];
        int n = snprintf(name, sizeof(name), "name %d=\n%060d", i, i);
        s->host->add_score(tx, (struct postern_span){name, (size_t)n}, 1);
    }
    s->host->add_score(tx, (struct postern_span){NULL, 0}, (double)INFINITY);
}

static void names_of_scores_are_bounded(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    b.scripts[0].plugin.hooks[POSTERN_ON_DATA] = crowd_the_score;
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_MAIL, "f");
    (void)ask(&b, POSTERN_ON_DATA, NULL);
    struct span text = chain_score_text(b.run);
    assert_true(chain_score(b.run) == 200);
    assert_true(text.n < (size_t)33 * 48);
    assert_true(memmem(text.p, text.n, "name_0__000", 11) && memmem(text.p, text.n, " other=168", 10));
    bench_end(&b);
}

static void note_answer(void *ctx, const char *filter, enum postern_phase phase, const struct verdict *v)
{
    struct bench *b = ctx;
    assert_true(buf_printf(&b->trace, "%s %s %d %u%s\n", filter, phase_name(phase), (int)v->action, v->code,
                           v->failed ? " failed" : ""));
}

/* The services' ctx is the bench's first member. */
static void who_looks_on_sees_each_answer(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 3);
    b.quiet = true;
    b.fake.services.answered = note_answer;
    b.scripts[0].settings.shadow = true;
    b.scripts[0].answers[POSTERN_ON_HELO].action = POSTERN_REJECT;
    b.scripts[1].answers[POSTERN_ON_HELO].action = (enum postern_action)99;
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_CONNECT, NULL);
    (void)ask(&b, POSTERN_ON_HELO, "x");
    assert_collected(&b.trace,
                     "a CONNECT 0 0\nb CONNECT 0 0\nc CONNECT 0 0\na HELO 2 550\nb HELO 3 451 failed\n");
    bench_end(&b);
}

static void rules_are_traced_only_when_somebody_looks_on(void **state)
{
    struct filter_services nobody = {0};
    (void)state;
    assert_null(host_table(&nobody).trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_filter_is_asked_in_order),
        cmocka_unit_test(an_empty_chain_lets_everything_pass),
        cmocka_unit_test(the_first_refusal_stands),
        cmocka_unit_test(actions_are_counted),
        cmocka_unit_test(accept_skips_the_rest_of_its_phase),
        cmocka_unit_test(accept_at_mail_lasts_for_one_transaction),
        cmocka_unit_test(who_is_skipped_at_the_end_is_told_of_an_abort),
        cmocka_unit_test(a_refused_sender_is_no_transaction),
        cmocka_unit_test(a_new_transaction_ends_the_old_one),
        cmocka_unit_test(replies_go_to_who_was_asked),
        cmocka_unit_test(shadow_is_seen_and_not_felt),
        cmocka_unit_test(a_filter_without_a_session_fails),
        cmocka_unit_test(no_verdict_is_a_failure),
        cmocka_unit_test(verdicts_are_washed),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(scores_are_summed_by_name),
        cmocka_unit_test(scores_in_shadow_weigh_nothing),
        cmocka_unit_test(names_of_scores_are_bounded),
        cmocka_unit_test(who_looks_on_sees_each_answer),
        cmocka_unit_test(rules_are_traced_only_when_somebody_looks_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
