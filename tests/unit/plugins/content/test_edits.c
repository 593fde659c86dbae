/* SPDX-License-Identifier: MIT */
/* Actions that change a message: what is asked of the host, when, and what follows where it cannot be done.
 */
#include "fake_host.h"

static void each_action(void **state)
{
    (void)state;
    struct fake *f =
        fake_with("[text]\n/a/ HEADER ADD X-A: b: c \n/a/ header replace X-B: \n/a/ HEADER REMOVE X-C\n"
                  "/a/ SUBJECT [sp\xc3\xa4m]\n/a/ REDIRECT q@example.org\n/a/ BCC b@example.org\n"
                  "/a/ TAG one\n/a/ TAG two=2 3\n");
    assert_int_equal(fake_message(f, "a"), 0);
    assert_string_equal(f->tx.edits, "add X-A:b: c;replace X-B:;remove X-C:;subject [sp\xc3\xa4m]:;"
                                     "redirect q@example.org:;bcc b@example.org:;tag one:;tag two:2 3;");
    assert_int_equal(fake_message(f, "b"), 0);
    assert_string_equal(f->tx.edits, "");
    fake_free(f);
}

static void what_cannot_be_done(void **state)
{
    (void)state;
    struct fake *f = fake_with("[text]\n/a/ SUBJECT x\n/b/ REDIRECT q@example.org\n");
    f->tx.edits_result = -1;
    assert_int_equal(fake_message(f, "a"), 0);
    assert_int_equal(fake_counter(f, "edits_failed"), 1);
    assert_string_equal(f->logs, "warn session S1: r:2: the message could not be changed\n");
    assert_int_equal(fake_message(f, "b"), 451);
    assert_string_equal(f->rule, "r:3");
    fake_free(f);
}

static void signed_messages(void **state)
{
    (void)state;
    for (int skip = 0; skip < 2; skip++)
        for (int is_signed = 0; is_signed < 2; is_signed++) {
            struct fake *f = fake_new();
            fake_file(
                f, "r",
                "[from]\n/a/ HEADER ADD X: early\n[header:Subject]\n/s/ TAG t\n[text]\n/a/ SUBJECT late\n");
            fake_rules(f, "r");
            fake_option(f, "skip_dkim", skip);
            assert_int_equal(fake_configure(f), 0);
            fake_open(f);
            (void)fake_mail(f, "a@example.org");
            fake_header(f, "Subject", "s");
            fake_header(f, is_signed ? "DKIM-Signature" : "X-DKIM-Signature", "v=1");
            assert_string_equal(f->tx.edits, skip ? "tag t:;" : "add X:early;tag t:;");
            (void)fake_phase(f, POSTERN_ON_HEADERS, NULL);
            fake_text(f, 0, "a", 1, 1);
            (void)fake_end(f);
            assert_string_equal(f->tx.edits, !skip       ? "add X:early;tag t:;subject late:;"
                                             : is_signed ? "tag t:;"
                                                         : "tag t:;add X:early;subject late:;");
            assert_int_equal(fake_counter(f, "edits_skipped"), skip && is_signed ? 2 : 0);
            fake_free(f);
        }
}

static void check_error(const char *action, const char *expected)
{
    char rules[256];
    struct fake *f = fake_new();
    (void)snprintf(rules, sizeof rules, "[text]\n/a/ %s\n", action);
    fake_file(f, "r", rules);
    fake_rules(f, "r");
    assert_int_equal(fake_configure(f), -1);
    if (strstr(f->errors, expected) != f->errors)
        fail_msg("expected: %s\ngot: %s", expected, f->errors);
    fake_free(f);
}

static void mistakes(void **state)
{
    (void)state;
    check_error("HEADER X: y", "r:2:12: HEADER wants ADD, REPLACE or REMOVE");
    check_error("HEADER ADD X", "r:2:17: a ':' and the field's value are missing");
    check_error("HEADER ADD X y: z", "r:2:16: no field has such a name");
    check_error("HEADER ADD : z", "r:2:16: no field has such a name");
    check_error("HEADER REMOVE X: z", "r:2:20: HEADER REMOVE takes the field's name alone");
    check_error("HEADER ADD X: \xc3\xa4", "r:2:19: byte 0xc3");
    check_error("SUBJECT", "r:2:12: SUBJECT wants what to put in front");
    check_error("SUBJECT \xc3x", "r:2:13: byte 0xc3: a prefix is printable text in UTF-8");
    check_error("SUBJECT a\x01", "r:2:14: byte 0x01");
    check_error("REDIRECT here", "r:2:14: REDIRECT wants one mailbox");
    check_error("BCC a@b, c@d", "r:2:9: BCC wants one mailbox");
    check_error("BCC @b", "r:2:9: BCC wants one mailbox");
    check_error("TAG", "r:2:8: TAG wants a name");
    check_error("TAG a b", "r:2:9: TAG wants a name");
    check_error("REDIRCT a@b", "r:2:5: unknown action 'REDIRCT', did you mean REDIRECT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_action),
        cmocka_unit_test(what_cannot_be_done),
        cmocka_unit_test(signed_messages),
        cmocka_unit_test(mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
