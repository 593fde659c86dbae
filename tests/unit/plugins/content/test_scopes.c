/* SPDX-License-Identifier: MIT */
/* Where rules look, and when their verdict is told. Content is fed whole and byte by byte. */
#include "fake_host.h"

static const size_t steps[] = {1, 2, 3, 7, 1 << 20};
enum { STEPS = sizeof steps / sizeof steps[0] };

static void envelope(void **state)
{
    (void)state;
    struct fake *f =
        fake_with("[helo]\n/^dyn-/ REJECT helo\n[from]\n/@spam\\./ REJECT from\n/^$/ DEFER null\n"
                  "[to]\n/^trap@/ REJECT to\n");
    assert_int_equal(fake_helo(f, "dyn-1.example"), 550);
    assert_string_equal(f->rule, "r:2");
    assert_int_equal(fake_helo(f, "mail.example"), 0);
    assert_int_equal(fake_mail(f, "a@spam.example"), 550);
    assert_string_equal(f->rule, "r:4");
    assert_int_equal(fake_mail(f, ""), 450);
    assert_int_equal(fake_mail(f, "dyn-@example.org"), 0);
    assert_int_equal(fake_phase(f, POSTERN_ON_RCPT, "b@example.org"), 0);
    assert_int_equal(fake_phase(f, POSTERN_ON_RCPT, "trap@example.org"), 550);
    assert_string_equal(f->text, "to");
    assert_int_equal(fake_phase(f, POSTERN_ON_RCPT, "c@example.org"), 0);
    assert_int_equal(fake_end(f), 0);
    fake_free(f);
}

/* HELO comes once a session; its scores and discards work in each transaction. */
static void helo_lasts_for_the_session(void **state)
{
    (void)state;
    struct fake *f = fake_with("[helo]\n/dyn/ SCORE 3 dyn\n/sink/ DISCARD\n/dyn/ WARN hello\n");
    assert_int_equal(fake_helo(f, "dyn.example"), 0);
    assert_string_equal(f->tx.scores, "");
    assert_string_equal(f->logs, "warn session S1: r:4: hello\n");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fake_mail(f, "a@example.org"), 0);
        assert_string_equal(f->tx.scores, "dyn=3;");
        assert_int_equal(fake_end(f), 0);
    }
    assert_int_equal(fake_helo(f, "sink.example"), 0);
    assert_int_equal(fake_mail(f, "a@example.org"), 250);
    assert_string_equal(f->rule, "r:3");
    assert_int_equal(fake_phase(f, POSTERN_ON_ABORT, NULL), 0);
    fake_free(f);
}

static void header_fields(void **state)
{
    (void)state;
    struct fake *f =
        fake_with("[header:Subject]\n/^meds$/i REJECT named\n[header]\n/^X-Bad: yes/ REJECT any\n");
    (void)fake_mail(f, "a@example.org");
    fake_header(f, "From", "meds");
    fake_header(f, "X-Subject", "meds");
    fake_header(f, "Subject", "no meds");
    fake_header(f, "X-Bad", "no");
    fake_header(f, "", "meds"); /* ": meds" has no name (CT-12) */
    fake_header(f, "Subject", "");
    struct postern_event nul = {
        .phase = POSTERN_ON_HEADER, .name = {"Subject\0Subject\0", 16}, .text = fake_span("meds")};
    (void)fake_hook(f, &nul, NULL);
    nul.name = (struct postern_span){"\0", 1};
    (void)fake_hook(f, &nul, NULL);
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 0);
    assert_int_equal(fake_end(f), 0);

    (void)fake_mail(f, "a@example.org");
    fake_header(f, "SUBJECT ", "MEDS");
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 550);
    assert_string_equal(f->text, "named");

    (void)fake_mail(f, "a@example.org");
    fake_header(f, "X-Bad", "yes");
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 550);
    assert_string_equal(f->text, "any");
    fake_free(f);
}

/* Which rule does this content hit, at every cut? NULL: none. */
static void check_body(const char *rules, const char *content, const char *rule)
{
    struct fake *f = fake_with(rules);
    for (size_t i = 0; i < STEPS; i++) {
        (void)fake_mail(f, "a@example.org");
        fake_body(f, content, strlen(content), steps[i]);
        unsigned code = fake_end(f);
        if (code != (rule ? 550u : 0u) || strcmp(f->rule, rule ? rule : "") != 0)
            fail_msg("step %zu: %u by '%s', expected '%s' for: %s", steps[i], code, f->rule, rule ? rule : "",
                     content);
    }
    fake_free(f);
}

static void body_lines(void **state)
{
    (void)state;
    const char *rules = "[body]\n/^evil$/ REJECT\n/^$/ REJECT\n/a.b|\\r/s REJECT\n";
    check_body(rules, "Subject: x\r\n\r\nhello\r\nevil\r\n", "r:2");
    check_body(rules, "Subject: x\r\n\r\nevil", "r:2"); /* no line end at the end */
    check_body(rules, "Subject: x\r\n\r\nevil\r", "r:2");
    check_body(rules, "Subject: x\n\nevil\n", "r:2"); /* bare line feeds */
    check_body(rules, "\r\nevil\r\n", "r:2");         /* no header */
    check_body(rules, "Subject: x\r\n\r\nx evil\r\nevil x\r\n", NULL);
    check_body(rules, "evil: x\r\n evil\r\n\r\nx\r\n", NULL); /* in the header */
    check_body(rules, "Subject: x\r\n\r\na\r\nb\r\n", NULL);  /* one line at a time */
    check_body(rules, "Subject: x\r\n\r\nx\r\n\r\n", "r:3");  /* an empty line is a line */
    check_body(rules, "Subject: x\r\n\r\nx\ry\r\n", "r:4");   /* a bare CR ends nothing */
    check_body(rules, "Subject: x\r\n\r\n", NULL);
    check_body(rules, "", NULL);
    check_body(rules, "\r\n", NULL);
}

/* Where the header section ends without a blank line, what follows is body. (CT-09, CT-17) */
static void ambiguous_header_sections(void **state)
{
    (void)state;
    const char *rules = "[body]\n/evil/ REJECT\n";
    check_body(rules, "Subject: x\r\nevil\r\n", "r:2");
    check_body(rules, "Subject: x\r\nno field\r\nX: evil\r\n", "r:2");
    check_body(rules, " evil\r\n\r\nx", "r:2");
    check_body(rules, ": evil\r\n", "r:2");
    check_body(rules, "From evil Mon\r\nSubject : evil\r\n\tevil\r\n\r\nx", NULL);
    check_body(rules, "Subject: x\r\nFrom evil Mon\r\n", "r:2");

    char *content = malloc(20000);
    assert_non_null(content);
    memset(content, 'x', 19999);
    content[19999] = '\0';
    memcpy(content, "Subject: ", 9);
    memcpy(content + 15000, "\nevil: x\n", 9);
    check_body(rules, content, NULL); /* a field of 15 kB, then one of 4 */
    memcpy(content + 15000, "\n evil x\n", 9);
    memcpy(content + 15009, "X: x\n", 5);
    check_body(rules, content, NULL); /* nor in its continuation */
    memcpy(content + 15000, "\nevil! x\n", 9);
    check_body(rules, content, "r:2");
    memset(content, 'x', 9);
    memcpy(content + 14000, "evil", 4);
    check_body(rules, content, "r:2"); /* a first line that never shows a colon */
    free(content);
}

static void text_parts(void **state)
{
    (void)state;
    struct fake *f =
        fake_with("[text]\n/one.*two/s REJECT both\n/^start/ REJECT start\n/stop$/ REJECT stop\n");
    for (size_t i = 0; i < STEPS; i++) {
        (void)fake_mail(f, "a@example.org");
        fake_text(f, 0, "x one\n", 6, steps[i]);
        fake_text(f, 1, "two x", 5, steps[i]); /* another part: they do not join */
        assert_int_equal(fake_end(f), 0);
        (void)fake_mail(f, "a@example.org");
        fake_text(f, 3, "x one\n", 6, steps[i]);
        fake_text(f, 3, "two x", 5, steps[i]);
        assert_int_equal(fake_end(f), 550);
        assert_string_equal(f->text, "both");
        (void)fake_mail(f, "a@example.org");
        fake_text(f, 0, "no start", 8, steps[i]);
        fake_text(f, 1, "start", 5, steps[i]);
        fake_text(f, 2, "x", 1, 1);
        assert_int_equal(fake_end(f), 550);
        assert_string_equal(f->text, "start");
        (void)fake_mail(f, "a@example.org");
        fake_text(f, 0, "stop here, do not stop", 22, steps[i]);
        assert_int_equal(fake_end(f), 550);
        assert_string_equal(f->text, "stop");
    }
    fake_free(f);
}

/* CT-07: text that is not the UTF-8 it should be is still searched, and so is what is. */
static void broken_utf8(void **state)
{
    (void)state;
    struct fake *f = fake_with("[text]\n/evil/ REJECT\n/\xc3\x89t\xc3\xa9/i DEFER\n/^.$/ DEFER one\n");
    assert_int_equal(fake_message(f, "\xff\xfe\x80 evil \xc3"), 550);
    assert_int_equal(fake_message(f, "\xc3 evil"), 550);
    assert_int_equal(fake_message(f, "\xed\xa0\x80\xc0\xaf\xf5\x80\x80\x80"), 0);
    assert_int_equal(fake_message(f, "\xc3\xa9T\xc3\x89"), 450);
    assert_int_equal(fake_message(f, "\xe2\x82\xac"), 450);
    assert_int_equal(fake_counter(f, "match_error"), 0);
    fake_free(f);
}

static void file_names(void **state)
{
    (void)state;
    struct fake *f = fake_with("[filename]\n/\\.exe$/i REJECT\n/^$/ REJECT empty\n");
    (void)fake_mail(f, "a@example.org");
    fake_part(f, 0, NULL);
    fake_part(f, 1, "a.exe.txt");
    assert_int_equal(fake_end(f), 0);
    (void)fake_mail(f, "a@example.org");
    fake_part(f, 0, NULL);
    fake_part(f, 1, "RUN.EXE");
    fake_part(f, 2, "b.txt");
    assert_int_equal(fake_end(f), 550);
    assert_string_equal(f->rule, "r:2");
    fake_free(f);
}

static void negation(void **state)
{
    (void)state;
    struct fake *f =
        fake_with("[from]\n!/@example\\.org$/ REJECT\n[text]\n!/unsubscribe/ SCORE 1 no-way-out\n");
    assert_int_equal(fake_mail(f, "a@example.net"), 550);
    assert_int_equal(fake_message(f, "click to unsubscribe"), 0);
    assert_string_equal(f->tx.scores, "");
    assert_int_equal(fake_message(f, "buy"), 0);
    assert_string_equal(f->tx.scores, "no-way-out=1;");
    fake_free(f);
}

/* What a transaction found does not reach the next one, however it ended. */
static void transactions_are_apart(void **state)
{
    (void)state;
    struct fake *f = fake_with("[header]\n/evil/ REJECT\n[body]\n/evil/ REJECT\n[text]\n/evil/ REJECT\n");
    (void)fake_mail(f, "a@example.org");
    fake_header(f, "X", "evil");
    fake_body(f, "X: evil\r\n\r\nevil\r\n", 17, 100);
    fake_text(f, 0, "evil", 4, 4);
    (void)fake_phase(f, POSTERN_ON_ABORT, NULL);
    (void)fake_mail(f, "a@example.org");
    fake_header(f, "X", "good");
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 0);
    fake_body(f, "X: good\r\n\r\nev", 13, 100);
    fake_text(f, 0, "ev", 2, 2);
    assert_int_equal(fake_end(f), 0);
    (void)fake_mail(f, "a@example.org");
    fake_body(f, "il: x\r\n\r\n", 9, 100);
    fake_text(f, 0, "il", 2, 2);
    assert_int_equal(fake_end(f), 0);
    (void)fake_mail(f, "a@example.org");
    fake_text(f, 0, "ev", 2, 2); /* and the session may end in the middle of one */
    fake_free(f);
}

/* A finding in the content does not come out at HEADERS, nor one in the header at END. */
static void each_phase_tells_its_own(void **state)
{
    (void)state;
    struct fake *f = fake_with("[header]\n/evil/ REJECT header\n[body]\n/evil/ REJECT body\n");
    (void)fake_mail(f, "a@example.org");
    fake_body(f, "X: x\r\n\r\nevil\r\n", 14, 100);
    fake_header(f, "X", "x");
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 0);
    assert_int_equal(fake_end(f), 550);
    assert_string_equal(f->text, "body");
    (void)fake_mail(f, "a@example.org");
    fake_header(f, "X", "evil");
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 550);
    assert_int_equal(fake_end(f), 0);
    fake_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelope),
        cmocka_unit_test(helo_lasts_for_the_session),
        cmocka_unit_test(header_fields),
        cmocka_unit_test(body_lines),
        cmocka_unit_test(ambiguous_header_sections),
        cmocka_unit_test(text_parts),
        cmocka_unit_test(broken_utf8),
        cmocka_unit_test(file_names),
        cmocka_unit_test(negation),
        cmocka_unit_test(transactions_are_apart),
        cmocka_unit_test(each_phase_tells_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
