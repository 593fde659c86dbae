/* SPDX-License-Identifier: MIT */
/* Content on its way through a chain: the order of HEADER, HEADERS, BODY, PART and TEXT, waiting in the
 * middle of a piece, and that BODY hooks see every byte once. */
#include "unit/filters/script.h"

static void add_hooks(struct script *s, postern_hook hook)
{
    s->plugin.hooks[POSTERN_ON_HEADER] = s->plugin.hooks[POSTERN_ON_HEADERS] =
        s->plugin.hooks[POSTERN_ON_BODY] = s->plugin.hooks[POSTERN_ON_PART] =
            s->plugin.hooks[POSTERN_ON_TEXT] = hook;
}

static void begin(struct bench *b, size_t n)
{
    bench_begin(b, n);
    for (size_t i = 0; i < n; i++)
        add_hooks(&b->scripts[i], script_hook);
}

static void start(struct bench *b)
{
    bench_start(b);
    (void)ask(b, POSTERN_ON_MAIL, NULL);
    buf_free(&b->trace);
}

static void a_piece_becomes_events_in_order(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 1);
    start(&b);
    (void)content(&b, "A: b\r\n\r\ntext");
    (void)ask(&b, POSTERN_ON_END, NULL);
    assert_collected(&b.trace,
                     "a:HEADER b\na:BODY A: b\r\n\r\n\na:HEADERS\na:PART\na:BODY text\na:TEXT text\na:END\n");
    bench_end(&b);
}

static void keep_body(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                      struct postern_verdict *v)
{
    struct script *s = filter;
    (void)session, (void)tx, (void)v;
    assert_true(ev->text.n > 0);
    assert_true(buf_append(&s->bench->trace, (struct span){ev->text.p, ev->text.n}));
}

/* With the message model and without it. */
static void any_cut_gives_the_same_body(void **state)
{
    const struct span message = SPAN_LIT("Subject: x\r\n y\r\n\r\nline\r\n\r\nlast");
    (void)state;
    for (size_t step = 1; step <= 2 * message.n; step++) {
        struct bench b;
        struct verdict v;
        bench_begin(&b, 1);
        b.quiet = true;
        b.scripts[0].plugin.hooks[POSTERN_ON_BODY] = keep_body;
        b.scripts[0].plugin.hooks[POSTERN_ON_HEADERS] = step > message.n ? script_hook : NULL;
        start(&b);
        for (struct span left = message; left.n; left = span_skip(left, step % message.n + 1))
            assert_int_equal(chain_content(b.run, span_head(left, step % message.n + 1), &v), CHAIN_DONE);
        assert_spans_eq(buf_span(&b.trace), message);
        bench_end(&b);
    }
}

/* CT-17: a message without a header section, without a body, without anything. */
static void every_message_has_its_headers_phase(void **state)
{
    static const struct {
        const char *content, *want;
    } cases[] = {
        {NULL, "a:HEADERS\na:PART\na:END\n"},
        {"\r\n", "a:BODY \r\n\na:HEADERS\na:PART\na:END\n"},
        {"A: b", "a:BODY A: b\na:HEADER b\na:HEADERS\na:PART\na:END\n"},
        {"...\r\n", "a:BODY ...\r\n\na:HEADERS\na:PART\na:TEXT ...\r\n\na:END\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bench b;
        begin(&b, 1);
        start(&b);
        if (cases[i].content)
            (void)content(&b, cases[i].content);
        assert_int_equal(ask(&b, POSTERN_ON_END, NULL).action, POSTERN_CONTINUE);
        assert_spans_eq(buf_span(&b.trace), span_of(cases[i].want));
        bench_end(&b);
    }
}

static void headers_may_refuse(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 2);
    b.scripts[0].answers[POSTERN_ON_HEADERS].action = POSTERN_REJECT;
    start(&b);
    assert_int_equal(content(&b, "A: b\r\n").action, POSTERN_CONTINUE);
    assert_int_equal(content(&b, "\r\nbody").action, POSTERN_REJECT);
    assert_int_equal(content(&b, "more").action, POSTERN_CONTINUE); /* nobody looks at it */
    buf_free(&b.trace);
    struct verdict v = ask(&b, POSTERN_ON_END, NULL); /* a session that asks is told again */
    assert_int_equal(v.action, POSTERN_REJECT);
    assert_span(v.text, "Refused by policy");
    assert_collected(&b.trace, "a:ABORT\nb:ABORT\n");
    (void)ask(&b, POSTERN_ON_MAIL, NULL);
    b.scripts[0].answers[POSTERN_ON_HEADERS].action = POSTERN_CONTINUE;
    assert_int_equal(ask(&b, POSTERN_ON_END, NULL).action, POSTERN_CONTINUE);
    bench_end(&b);
}

static void headers_may_refuse_at_the_end(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 2);
    b.scripts[1].answers[POSTERN_ON_HEADERS].action = POSTERN_TEMPFAIL;
    start(&b);
    (void)content(&b, "A: b");
    buf_free(&b.trace);
    assert_int_equal(ask(&b, POSTERN_ON_END, NULL).action, POSTERN_TEMPFAIL);
    assert_collected(&b.trace, "a:HEADER b\nb:HEADER b\na:HEADERS\nb:HEADERS\na:ABORT\nb:ABORT\n");
    bench_end(&b);
}

static void wait_in_content(struct bench *b, char *piece)
{
    struct verdict v;
    assert_int_equal(chain_content(b->run, span_of(piece), &v), CHAIN_PENDING);
    memset(piece, '!', strlen(piece)); /* the chain has kept the rest */
}

static void headers_may_wait(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 2);
    b.scripts[0].answers[POSTERN_ON_HEADERS].action = POSTERN_PENDING;
    start(&b);
    char piece[] = "A: b\r\n\r\nbody";
    wait_in_content(&b, piece);
    assert_collected(&b.trace,
                     "a:HEADER b\nb:HEADER b\na:BODY A: b\r\n\r\n\nb:BODY A: b\r\n\r\n\na:HEADERS\n");
    resume(&b.scripts[0], POSTERN_CONTINUE);
    assert_int_equal(b.dones, 1);
    assert_int_equal(b.done.action, POSTERN_CONTINUE);
    assert_collected(&b.trace, "b:HEADERS\na:PART\nb:PART\na:BODY body\nb:BODY body\n");
    (void)content(&b, "more");
    assert_int_equal(ask(&b, POSTERN_ON_END, NULL).action, POSTERN_CONTINUE);
    assert_collected(&b.trace, "a:BODY more\nb:BODY more\na:TEXT bodymore\nb:TEXT bodymore\na:END\nb:END\n");
    bench_end(&b);
}

static void headers_may_wait_and_refuse(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 1);
    b.scripts[0].answers[POSTERN_ON_HEADERS].action = POSTERN_PENDING;
    start(&b);
    char piece[] = "A: b\r\n\r\nbody";
    wait_in_content(&b, piece);
    buf_free(&b.trace);
    resume(&b.scripts[0], POSTERN_REJECT);
    assert_int_equal(b.done.action, POSTERN_REJECT);
    assert_collected(&b.trace, "");
    chain_abort(b.run);
    assert_collected(&b.trace, "a:ABORT\n");
    bench_end(&b);
}

/* HEADERS comes with END, waits, and END follows without being asked again. */
static void headers_and_end_may_both_wait(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 1);
    b.scripts[0].answers[POSTERN_ON_HEADERS].action = POSTERN_PENDING;
    b.scripts[0].answers[POSTERN_ON_END].action = POSTERN_PENDING;
    start(&b);
    ask_and_wait(&b, POSTERN_ON_END, NULL);
    resume(&b.scripts[0], POSTERN_CONTINUE);
    assert_int_equal(b.dones, 0);
    resume(&b.scripts[0], POSTERN_DISCARD);
    assert_int_equal(b.dones, 1);
    assert_int_equal(b.done.action, POSTERN_DISCARD);
    assert_collected(&b.trace, "a:HEADERS\na:PART\na:END\n");
    bench_end(&b);
}

/* A message that nobody has judged must not pass. */
static void a_cancelled_headers_phase_refuses(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 1);
    b.scripts[0].answers[POSTERN_ON_HEADERS].action = POSTERN_PENDING;
    start(&b);
    char piece[] = "A: b\r\n\r\nbody";
    wait_in_content(&b, piece);
    chain_cancel(b.run);
    struct verdict v = ask(&b, POSTERN_ON_END, NULL);
    assert_int_equal(v.code, 451);
    assert_true(v.failed);
    assert_string_equal(v.filter, "postern");
    bench_end(&b);
}

static void discarded_content_is_not_read(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 2);
    b.scripts[0].answers[POSTERN_ON_RCPT].action = POSTERN_DISCARD;
    start(&b);
    assert_int_equal(ask(&b, POSTERN_ON_RCPT, "t").action, POSTERN_DISCARD);
    buf_free(&b.trace);
    assert_int_equal(content(&b, "A: b\r\n\r\nbody").action, POSTERN_CONTINUE);
    struct verdict v = ask(&b, POSTERN_ON_END, NULL);
    assert_int_equal(v.action, POSTERN_DISCARD);
    assert_string_equal(v.filter, "a");
    assert_collected(&b.trace, "a:RCPT_REPLY t\na:ABORT\nb:ABORT\n");
    bench_end(&b);
}

static void who_was_skipped_reads_nothing(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 2);
    b.scripts[0].answers[POSTERN_ON_MAIL].action = POSTERN_ACCEPT;
    add_hooks(&b.scripts[0], NULL);
    start(&b);
    (void)content(&b, "A: b\r\n\r\nbody");
    (void)ask(&b, POSTERN_ON_END, NULL);
    assert_collected(&b.trace, "a:END\n");
    bench_end(&b);
}

static void content_outside_a_transaction_is_nobodys(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 1);
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_HELO, "x");
    buf_free(&b.trace);
    assert_int_equal(content(&b, "A: b\r\n\r\nbody").action, POSTERN_CONTINUE);
    assert_collected(&b.trace, "");
    bench_end(&b);
}

static void one_message_after_the_other(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 1);
    bench_start(&b);
    for (int i = 0; i < 3; i++) {
        (void)ask(&b, POSTERN_ON_MAIL, NULL);
        (void)content(&b, "A: b\r\n");
        if (i == 1)
            chain_abort(b.run);
        else
            (void)ask(&b, POSTERN_ON_END, NULL);
    }
    assert_collected(&b.trace, "a:MAIL\na:BODY A: b\r\n\na:HEADER b\na:HEADERS\na:PART\na:END\n"
                               "a:MAIL\na:BODY A: b\r\n\na:ABORT\n"
                               "a:MAIL\na:BODY A: b\r\n\na:HEADER b\na:HEADERS\na:PART\na:END\n");
    bench_end(&b);
}

static void note_event(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                       struct postern_verdict *v)
{
    struct script *s = filter;
    (void)session, (void)tx, (void)v;
    if (ev->part) {
        assert_true(buf_printf(&s->bench->trace, "%u %u %.*s %.*s|", ev->part->index, ev->part->depth,
                               (int)ev->part->type.n, ev->part->type.p, (int)ev->part->filename.n,
                               ev->part->filename.p ? ev->part->filename.p : ""));
        return;
    }
    assert_true(buf_printf(&s->bench->trace, "%.*s=%.*s(%.*s)|", (int)ev->name.n, ev->name.p, (int)ev->text.n,
                           ev->text.p, (int)ev->raw.n, ev->raw.p));
}

static void events_carry_names_and_parts(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    b.scripts[0].plugin.hooks[POSTERN_ON_HEADER] = b.scripts[0].plugin.hooks[POSTERN_ON_PART] = note_event;
    start(&b);
    (void)content(&b, "Content-Type: text/html;\r\n name=\"=?utf-8?q?a=2Eexe?=\"\r\n\r\n");
    (void)ask(&b, POSTERN_ON_END, NULL);
    assert_collected(&b.trace, "Content-Type=text/html; name=\"a.exe\"(Content-Type: text/html;\r\n "
                               "name=\"=?utf-8?q?a=2Eexe?=\"\r\n)|0 0 text/html a.exe|a:END\n");
    bench_end(&b);
}

/* What a filter was not shown does not pass as "nothing found". */
#define CONTRADICTION "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n"

static void an_unread_message_is_refused(void **state)
{
    static const struct {
        enum filter_on_error on_error;
        bool shadow, reads;
        bool no_end; /* it has its say at HEADERS only */
        const char *message;
        enum postern_action want;
    } cases[] = {
        {FILTER_ON_ERROR_TEMPFAIL, false, true, false, "A: b\r\n\r\n", POSTERN_CONTINUE},
        {FILTER_ON_ERROR_TEMPFAIL, false, true, false, CONTRADICTION, POSTERN_REJECT},
        {FILTER_ON_ERROR_REJECT, false, true, false, CONTRADICTION, POSTERN_REJECT},
        {FILTER_ON_ERROR_ACCEPT, false, true, false, CONTRADICTION, POSTERN_CONTINUE},
        {FILTER_ON_ERROR_TEMPFAIL, true, true, false, CONTRADICTION, POSTERN_CONTINUE},
        {FILTER_ON_ERROR_TEMPFAIL, false, false, false, CONTRADICTION, POSTERN_CONTINUE},
        {FILTER_ON_ERROR_TEMPFAIL, false, true, true, CONTRADICTION, POSTERN_REJECT},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bench b;
        bench_begin(&b, 2);
        b.scripts[0].settings.on_error = cases[i].on_error;
        b.scripts[0].settings.shadow = cases[i].shadow;
        b.scripts[1].settings.shadow = true;
        add_hooks(&b.scripts[cases[i].reads ? 0 : 1], script_hook);
        if (cases[i].no_end)
            b.scripts[0].plugin.hooks[POSTERN_ON_MAIL] = b.scripts[0].plugin.hooks[POSTERN_ON_END] = NULL;
        start(&b);
        (void)content(&b, "Content-Transfer-Encoding: 7bit\r\n");
        (void)content(&b, cases[i].message);
        struct verdict v = ask(&b, POSTERN_ON_END, NULL);
        assert_int_equal(v.action, cases[i].want);
        if (v.action == POSTERN_REJECT) {
            assert_int_equal(v.code, 552);
            assert_span(v.enhanced, "5.3.4");
            assert_span(v.rule, "message.ambiguous");
            assert_string_equal(v.filter, "a");
        }
        assert_int_equal(contains(&b.fake.counts, ".unread"), i > 0);
        bench_end(&b);
    }
}

/* Told once per part, counted once per message, and in the log's text until the next transaction. */
static void flags_are_told_counted_and_logged(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    b.scripts[0].plugin.hooks[POSTERN_ON_FLAG] = script_hook;
    start(&b);
    assert_span(chain_flags_text(b.run), "");
    (void)content(&b, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
                      "Content-Transfer-Encoding: base64\r\n\r\n*\r\n--b\r\n"
                      "Content-Transfer-Encoding: base64\r\n\r\n*\r\n*");
    (void)ask(&b, POSTERN_ON_END, NULL);
    assert_collected(&b.trace, "a:FLAG bad-base64\na:FLAG bad-base64\na:FLAG no-closing-boundary\na:END\n");
    assert_span(buf_span(&b.fake.counts), "message.flag.bad-base64\nmessage.flag.no-closing-boundary\n");
    assert_span(chain_flags_text(b.run), "bad-base64,no-closing-boundary");
    (void)ask(&b, POSTERN_ON_MAIL, NULL);
    assert_span(chain_flags_text(b.run), "");
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unread_message_is_refused),
        cmocka_unit_test(flags_are_told_counted_and_logged),
        cmocka_unit_test(a_piece_becomes_events_in_order),
        cmocka_unit_test(any_cut_gives_the_same_body),
        cmocka_unit_test(every_message_has_its_headers_phase),
        cmocka_unit_test(headers_may_refuse),
        cmocka_unit_test(headers_may_refuse_at_the_end),
        cmocka_unit_test(headers_may_wait),
        cmocka_unit_test(headers_may_wait_and_refuse),
        cmocka_unit_test(headers_and_end_may_both_wait),
        cmocka_unit_test(a_cancelled_headers_phase_refuses),
        cmocka_unit_test(discarded_content_is_not_read),
        cmocka_unit_test(who_was_skipped_reads_nothing),
        cmocka_unit_test(content_outside_a_transaction_is_nobodys),
        cmocka_unit_test(one_message_after_the_other),
        cmocka_unit_test(events_carry_names_and_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
