/* SPDX-License-Identifier: MIT */
/* What rules do: replies, scores, thresholds, logs, counters, and which of several rules wins. */
#include "fake_host.h"

/* One text rule against a message that it matches. */
static void check_reply(const char *action, unsigned code, const char *enhanced, const char *text)
{
    char rules[256];
    (void)snprintf(rules, sizeof rules, "[text]\n/x/ %s\n", action);
    struct fake *f = fake_with(rules);
    assert_int_equal(fake_message(f, "x"), code);
    assert_string_equal(f->enhanced, enhanced);
    assert_string_equal(f->text, text);
    assert_string_equal(f->rule, "r:2");
    assert_int_equal(fake_counter(f, "hits"), 1);
    fake_free(f);
}

static void replies(void **state)
{
    (void)state;
    check_reply("REJECT", 550, "5.7.1", "Message refused by content policy");
    check_reply("REJECT no $1 way  \t", 550, "5.7.1", "no $1 way");
    check_reply("REJECT 554", 554, "5.7.1", "Message refused by content policy");
    check_reply("REJECT 5.6.0 bad", 550, "5.6.0", "bad");
    check_reply("REJECT 552 5.123.4  too big", 552, "5.123.4", "too big");
    check_reply("REJECT 5.6.0 552 text", 550, "5.6.0", "552 text");
    check_reply("REJECT 5.1234.1 x", 550, "5.7.1", "5.1234.1 x");
    check_reply("DEFER", 450, "4.7.1", "Message deferred by content policy, try again later");
    check_reply("DEFER 421 4.3.2 later", 421, "4.3.2", "later");
    check_reply("DISCARD", 250, "", "");
    check_reply("DISCARD the client must not read this", 250, "", "");
}

static void the_first_that_decides_wins(void **state)
{
    (void)state;
    struct fake *f = fake_with(
        "[text]\n/x/ SCORE 1\n/y/ REJECT y\n/x/ DEFER x\n/x/ SCORE 2 late\n[filename]\n/x/ DISCARD\n");
    assert_int_equal(fake_message(f, "yx"), 550);
    assert_string_equal(f->tx.scores, "r:2=1;");
    assert_int_equal(fake_message(f, "x"), 450);
    (void)fake_mail(f, "a@example.org");
    fake_part(f, 0, "x");
    fake_text(f, 0, "y", 1, 1);
    assert_int_equal(fake_end(f), 250);
    fake_free(f);
}

static void a_rule_scores_once_a_transaction(void **state)
{
    (void)state;
    struct fake *f = fake_with("[body]\n/x/ SCORE 2.5 wallet\n/x/ WARN seen\n[to]\n/@/ SCORE -1\n");
    for (int i = 0; i < 2; i++) {
        (void)fake_mail(f, "a@example.org");
        (void)fake_phase(f, POSTERN_ON_RCPT, "b@example.org");
        (void)fake_phase(f, POSTERN_ON_RCPT, "c@example.org");
        fake_body(f, "\r\nx\r\nx\r\nx\r\n", 11, 4);
        assert_int_equal(fake_end(f), 0);
        assert_string_equal(f->tx.scores, "r:5=-1;wallet=2.5;");
    }
    assert_string_equal(f->logs, "warn session S1: r:3: seen\nwarn session S1: r:3: seen\n");
    assert_int_equal(fake_counter(f, "hits"), 6);
    fake_free(f);
}

static void warn_and_discard_are_logged(void **state)
{
    (void)state;
    struct fake *f = fake_with("[text]\n/x/ WARN\n/x/ DISCARD for the log\n");
    assert_int_equal(fake_message(f, "x"), 250);
    assert_string_equal(f->logs, "warn session S1: r:2: the rule matched\n"
                                 "info session S1: r:3: discarded: for the log\n");
    fake_free(f);
}

static void thresholds(void **state)
{
    (void)state;
    struct fake *f = fake_new();
    fake_file(f, "r", "[text]\n/a/ SCORE 7.5 a\n/b/ SCORE 2.5 b\n/c/ SCORE 0.5 c\n/d/ REJECT rule\n");
    fake_rules(f, "r");
    fake_threshold(f, "reject", 10);
    fake_threshold(f, "defer", 8);
    assert_int_equal(fake_configure(f), 0);
    fake_open(f);
    assert_int_equal(fake_message(f, "a"), 0);
    assert_int_equal(fake_message(f, "a c"), 450);
    assert_string_equal(f->text, "Message deferred by content policy (score 8)");
    assert_string_equal(f->enhanced, "4.7.1");
    assert_string_equal(f->rule, "score.defer");
    assert_int_equal(fake_message(f, "a b c"), 550);
    assert_string_equal(f->text, "Message refused by content policy (score 10.5)");
    assert_string_equal(f->enhanced, "5.7.1");
    assert_string_equal(f->rule, "score.reject");
    assert_int_equal(fake_message(f, "a b d"), 550);
    assert_string_equal(f->text, "rule");

    /* Points of other filters count; before END nothing is said of them. */
    (void)fake_mail(f, "a@example.org");
    f->tx.score = 12;
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 0);
    assert_int_equal(fake_end(f), 550);
    fake_free(f);
}

static void without_thresholds_scores_decide_nothing(void **state)
{
    (void)state;
    struct fake *f = fake_with("[text]\n/a/ SCORE 1000 a\n");
    assert_int_equal(fake_message(f, "a"), 0);
    assert_string_equal(f->tx.scores, "a=1000;");
    fake_free(f);
}

static void one_threshold_alone(void **state)
{
    (void)state;
    struct fake *f = fake_new();
    fake_file(f, "r", "[text]\n/a/ SCORE 9 a\n");
    fake_rules(f, "r");
    fake_threshold(f, "defer", 8);
    assert_int_equal(fake_configure(f), 0);
    fake_open(f);
    assert_int_equal(fake_message(f, "a"), 450);
    fake_free(f);
}

/* Two instances with rules of their own, their sessions interleaved. */
static void instances_are_apart(void **state)
{
    (void)state;
    struct fake *a = fake_with("[text]\n/x/ REJECT a\n/y/ SCORE 1 a\n");
    struct fake *b = fake_with("[text]\n/y/ REJECT b\n/x/ SCORE 1 b\n");
    (void)fake_mail(a, "a@example.org");
    (void)fake_mail(b, "a@example.org");
    fake_text(a, 0, "x", 1, 1);
    fake_text(b, 0, "x", 1, 1);
    assert_int_equal(fake_end(a), 550);
    assert_int_equal(fake_end(b), 0);
    assert_string_equal(b->tx.scores, "b=1;");
    fake_free(a);
    assert_int_equal(fake_message(b, "y"), 550);
    fake_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies),
        cmocka_unit_test(the_first_that_decides_wins),
        cmocka_unit_test(a_rule_scores_once_a_transaction),
        cmocka_unit_test(warn_and_discard_are_logged),
        cmocka_unit_test(thresholds),
        cmocka_unit_test(without_thresholds_scores_decide_nothing),
        cmocka_unit_test(one_threshold_alone),
        cmocka_unit_test(instances_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
