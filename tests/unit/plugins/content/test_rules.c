/* SPDX-License-Identifier: MIT */
/* Rule files: what is good loads, and every error is told with its place, all in one run. */
#include "fake_host.h"

/* Does this one file load? `expected`: the places and beginnings of the errors, a line each. */
static void check_errors(const char *rules, const char *expected)
{
    struct fake *f = fake_new();
    fake_file(f, "r", rules);
    fake_rules(f, "r");
    assert_int_equal(fake_configure(f), -1);
    const char *got = f->errors;
    while (*expected) {
        size_t want_n = strcspn(expected, "\n");
        if (strncmp(got, expected, want_n) != 0)
            fail_msg("expected: %.*s\ngot: %s\nfor: %s", (int)want_n, expected, got, rules);
        got += strcspn(got, "\n");
        got += *got == '\n';
        expected += want_n;
        expected += *expected == '\n';
    }
    if (*got)
        fail_msg("one error too many: %s\nfor: %s", got, rules);
    fake_free(f);
}

static void check_loads(const char *rules)
{
    struct fake *f = fake_with(rules);
    assert_string_equal(f->errors, "");
    fake_free(f);
}

static void good_files_load(void **state)
{
    (void)state;
    check_loads("");
    check_loads("# nothing\n\n   \n\t# nothing\n");
    check_loads("\xef\xbb\xbf[text]\n/a/ REJECT\n");
    check_loads("[text]\r\n/a/ REJECT no\r\n\r\n");
    check_loads("[ text ]  \n/a/ REJECT");
    check_loads(
        "[helo]\n/a/ WARN\n[from]\n/a/ WARN\n[to]\n/a/ WARN\n[header]\n/a/ WARN\n[header:X-Y]\n/a/ WARN\n"
        "[body]\n/a/ WARN\n[text]\n/a/ WARN\n[filename]\n/a/ WARN\n");
    check_loads(
        "[text]\n/a/imsxAEU REJECT 554 5.6.0 no\n|a/b|i DEFER 451 try\n!/a/ DISCARD\n! %a% SCORE -2.5 x\n"
        "/a\\/b/ WARN slash\n/a/ SCORE +.5\n/a/ reject lower case words will do\n");
    check_loads("[text]\n/(*UCP)\\bx/ REJECT\n");
    check_loads("[text]\n/a/ REJECT 1000 thanks, 5.7 and 5.7.1.2 are text, and so is $1 %s\n");
}

/* The example of the design document. */
static void example_of_the_design_loads(void **state)
{
    (void)state;
    struct fake *f =
        fake_with("# rules/example.rules: one rule a line; [scope] lines say where the next rules look\n"
                  "[header:Subject]\n"
                  "/^(re: )?cheap\\s+meds/i             REJECT 5.7.1 Not here, thanks\n"
                  "[text]\n"
                  "/XJS\\*C4JDBQADN1\\.NSBN3\\*2IDNEN\\*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL\\*C\\.34X/   "
                  "REJECT 5.7.1 GTUBE\n"
                  "/\\bwallet\\s+recovery\\b/i            SCORE 2.5 wallet\n"
                  "[filename]\n"
                  "/\\.(exe|scr|js)$/i                  REJECT 5.7.1 No programs by mail\n");
    (void)fake_mail(f, "a@example.org");
    fake_header(f, "subject", "Re: Cheap  meds");
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 550);
    assert_string_equal(f->text, "Not here, thanks");
    assert_string_equal(f->enhanced, "5.7.1");
    assert_string_equal(f->rule, "r:3");
    fake_free(f);
}

static void scope_errors(void **state)
{
    (void)state;
    check_errors("/a/ REJECT\n/b/ REJECT\n", "r:1:1: a rule before any [scope] line\n");
    check_errors("[txt]\n/a/ REJECT\n",
                 "r:1:2: unknown scope 'txt', did you mean text; known are client, listener\n");
    check_errors("[image]\n", "r:1:2: unknown scope 'image'; known are client, listener, user, helo, from\n");
    check_errors("[ htmll ]\n", "r:1:3: unknown scope 'htmll', did you mean html\n");
    check_errors("[Headers:Subject]\n", "r:1:2: unknown scope 'Headers', did you mean header\n");
    check_errors("[]\n", "r:1:2: unknown scope ''\n");
    check_errors("[header:]\n", "r:1:9: the field's name is missing\n");
    check_errors("[header:a b]\n", "r:1:10: no field has such a name\n");
    check_errors("[body:x]\n", "r:1:6: only [header:NAME] and its like take a name, [body] does not\n");
    check_errors("[text\n", "r:1:6: the ']' of this [scope] line is missing\n");
    check_errors("[text] x\n", "r:1:8: a [scope] stands alone on its line\n");
    check_errors("[text]\n  /a/ REJECT\n", "r:2:3: a [scope] stands alone on its line\n");
    /* Rules below a bad scope are still read for their own errors. */
    check_errors("[txt]\n/a/ REJCT\n",
                 "r:1:2: unknown scope\nr:2:5: unknown action 'REJCT', did you mean REJECT\n");
}

static void pattern_errors(void **state)
{
    (void)state;
    check_errors("[text]\n/a REJECT\n", "r:2:1: the pattern that begins here has no second '/'\n");
    check_errors("[text]\n/a\\/ REJECT\n", "r:2:1: the pattern that begins here has no second '/'\n");
    check_errors("[text]\n/a\\", "r:2:1: the pattern that begins here has no second '/'\n");
    check_errors("[text]\n3 /a/\nabc\n\\a\\ WARN\n",
                 "r:2:1: a rule begins with its pattern\nr:3:1: a rule begins\nr:4:1: a rule begins\n");
    check_errors("[text]\n!\n", "r:2:2: a rule begins with its pattern\n");
    check_errors("[text]\n! /a(b/ WARN\n", "r:2:7: missing closing parenthesis\n");
    check_errors("[text]\n/ab(c/ WARN\n", "r:2:6: missing closing parenthesis\n");
    check_errors("[text]\n/a**/ WARN\n/*a/ WARN\n",
                 "r:2:4: quantifier does not follow a repeatable item\nr:3:2: quantifier\n");
    check_errors("[text]\n// WARN\n", "r:2:2: the pattern is empty\n");
    check_errors("[text]\n/a\\Cb/ WARN\n", "r:2:5: using \\C is disabled\n");
    check_errors("[body]\n/(*UTF)a/ WARN\n", "r:2:8: using UTF is disabled\n");
    check_errors("[text]\n/a\xff/ WARN\n", "r:2:3: UTF-8 error\n");
    check_errors("[text]\n/a/iqX WARN\n",
                 "r:2:5: unknown flag 'q'; flags turn on: i (\nr:2:6: unknown flag 'X'\n");
    check_errors("[text]\n/(?<=a{300})b/ WARN\n",
                 "r:2:2: the pattern looks 300 characters behind, at most 255\n");
    check_errors("[text]\n/a(/iq REJCT\n",
                 "r:2:6: unknown flag\nr:2:4: missing closing parenthesis\nr:2:8: unknown action 'REJCT'\n");
}

static void continuation_lines_keep_their_columns(void **state)
{
    (void)state;
    check_errors("  /a/ WARN\n", "r:1:1: a line that begins with white space continues a rule, but none\n");
    check_errors(
        "[text]\n/a b/x\n\n# note\n   REJECT\n \tno\n/a\n  b(/x WARN\n/c/\n   FOO\n",
        "r:8:5: missing closing parenthesis\nr:10:4: unknown action 'FOO'; known are REJECT, DEFER\n");
    check_errors("[text]\n/a/\n  SCORE\n     x y\n", "r:4:6: 'x' is no number of points\n");
    struct fake *f = fake_with("[text]\n/a\n b/\n   REJECT one\n   two\n");
    assert_int_equal(fake_message(f, "xa b"), 550);
    assert_string_equal(f->text, "one   two");
    assert_string_equal(f->rule, "r:2");
    fake_free(f);
}

static void action_errors(void **state)
{
    (void)state;
    check_errors("[text]\n/a/\n/a/i  \n",
                 "r:2:4: no action after the pattern\nr:3:7: no action after the pattern\n");
    check_errors("[text]\n/a/ OK\n/a/ DEFFER\n", "r:2:5: unknown action 'OK'; known\n"
                                                 "r:3:5: unknown action 'DEFFER', did you mean DEFER\n");
    check_errors("[text]\n/a/ REJECT 450 no\n", "r:2:12: REJECT cannot answer 450\n");
    check_errors("[text]\n/a/ REJECT 570 no\n", "r:2:12: REJECT cannot answer 570\n");
    check_errors("[text]\n/a/ DEFER 550\n", "r:2:11: DEFER cannot answer 550\n");
    check_errors("[text]\n/a/ REJECT 4.7.1 no\n", "r:2:12: REJECT cannot answer 4.7.1\n");
    check_errors("[text]\n/a/ REJECT 250 2.0.0 x\n",
                 "r:2:12: REJECT cannot answer 250\nr:2:16: REJECT cannot answer 2.0.0\n");
    check_errors("[text]\n/a/ REJECT caf\xc3\xa9\n", "r:2:15: byte 0xc3: a text may have printable ASCII\n");
    check_errors("[text]\n/a/ WARN a\x01\n", "r:2:11: byte 0x01\n");
    check_errors("[text]\n/a/ SCORE\n", "r:2:10: SCORE wants points\n");
    check_errors("[text]\n/a/ SCORE two\n/a/ SCORE 1e3\n/a/ SCORE 1.2.3\n/a/ SCORE inf\n/a/ SCORE "
                 "9999999\n/a/ SCORE -\n",
                 "r:2:11: 'two' is no number\nr:3:11: '1e3' is\nr:4:11: '1.2.3' is\nr:5:11: 'inf' is\n"
                 "r:6:11: '9999999' is\nr:7:11: '-' is\n");
    check_errors("[text]\n/a/ SCORE 2 two words\n/a/ SCORE 2 a=b\n",
                 "r:2:16: a score's name is one word\nr:3:14: a score's\n");
}

/* Bounds: of a text, a name, a pattern, a rule, and of all rules. (CT-04) */
static void bounds(void **state)
{
    (void)state;
    static char rules[64 * 1024];
    char *filler = malloc(20000);
    assert_non_null(filler);
    memset(filler, 'x', 19999);
    filler[19999] = '\0';
    (void)snprintf(rules, sizeof rules, "[text]\n/a/ REJECT %.512s\n/a/ SCORE 1 %.64s\n/%.8192s/ WARN\n",
                   filler, filler, filler);
    check_loads(rules);
    (void)snprintf(rules, sizeof rules, "[text]\n/a/ REJECT %.513s\n/a/ SCORE 1 %.65s\n/%.8193s/ WARN\n",
                   filler, filler, filler);
    check_errors(rules, "r:2:524: the text is too long\nr:3:13: the score's name is too long\n"
                        "r:4:2: the pattern is too long\n");
    (void)snprintf(rules, sizeof rules, "[text]\n/%s/ WARN\n  x\n/b/ FOO\n", filler);
    check_errors(rules, "r:2:1: the rule grows too long here\nr:4:5: unknown action\n");
    (void)snprintf(rules, sizeof rules, "[text]\n/%.9000s\n  %.9000s\n  /\n/b/ FOO\n", filler, filler);
    check_errors(rules, "r:3:1: the rule grows too long here\nr:5:5: unknown action\n");
    memset(filler, '(', 300);
    memset(filler + 300, ')', 300);
    (void)snprintf(rules, sizeof rules, "[text]\n/%.600s/ WARN\n", filler);
    check_errors(rules, "r:2:253: parentheses are too deeply nested\n");
    check_errors("[text]\n/((a{1000}){1000}){1000}/ WARN\n", "r:2:25: regular expression is too large\n");
    free(filler);
}

static void too_many_rules(void **state)
{
    (void)state;
    static const char line[] = "/a/ WARN\n";
    size_t n = 7 + 100001 * (sizeof line - 1);
    char *rules = malloc(n + 1);
    assert_non_null(rules);
    memcpy(rules, "[text]\n", 8);
    for (size_t at = 7; at < n; at += sizeof line - 1)
        memcpy(rules + at, line, sizeof line);
    check_errors(rules, "r:100002:1: too many rules: at most 100000\n");
    free(rules);
}

/* A NUL is a byte like others: no word ends there. */
static void nul_bytes(void **state)
{
    (void)state;
    static const char rules[] = "[text]\n/a\0b/ WARN\n/a/ WARN\0WARN\n[text\0text]\n[header:a\0]\n";
    struct fake *f = fake_new();
    fake_file_bytes(f, "r", rules, sizeof rules - 1);
    fake_rules(f, "r");
    assert_int_equal(fake_configure(f), -1);
    assert_int_equal(fake_lines(f->errors), 3);
    assert_non_null(strstr(f->errors, "r:3:5: unknown action 'WARN"));
    assert_non_null(strstr(f->errors, "r:4:2: unknown scope 'text"));
    assert_non_null(strstr(f->errors, "r:5:10: no field has such a name"));
    fake_free(f);
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    (void)state;
    check_errors("[text]\n/a/ \x1b[31mred\n", "r:2:5: unknown action '?[31mred'\n");
}

/* ---- the entries of `rules` ---- */

static void entries_name_files(void **state)
{
    (void)state;
    struct fake *f = fake_new();
    fake_file(f, "d/a.rules", "[text]\n/one/ REJECT\n/x( FOO\n");
    fake_file(f, "d/b.rules", "/two/ REJECT\n");
    fake_rules(f, "d/*.rules");
    fake_rules(f, "e/*.rules");
    fake_rules(f, "missing.rules");
    assert_int_equal(fake_configure(f), -1);
    assert_string_equal(f->errors,
                        "d/a.rules:3:1: the pattern that begins here has no second '/'\n"
                        "d/b.rules:1:1: a rule before any [scope] line: say first where it looks, as in "
                        "[header:Subject]\n"
                        "p.yaml:11:5: no rule file matches 'e/*.rules'\n"
                        "p.yaml:12:5: cannot read the rule file 'missing.rules': no such file\n");
    fake_free(f);
}

static void a_file_named_twice_counts_once(void **state)
{
    (void)state;
    struct fake *f = fake_new();
    fake_file(f, "a.rules", "[text]\n/one/ SCORE 2 x\n");
    fake_rules(f, "*.rules");
    fake_rules(f, "a.rules");
    assert_int_equal(fake_configure(f), 0);
    assert_non_null(strstr(f->logs, "warn rule file a.rules is named twice"));
    fake_open(f);
    assert_int_equal(fake_message(f, "one"), 0);
    assert_string_equal(f->tx.scores, "x=2;");
    fake_free(f);
}

static void thresholds_must_make_sense(void **state)
{
    (void)state;
    struct fake *f = fake_new();
    fake_file(f, "r", "[text]\n");
    fake_rules(f, "r");
    fake_threshold(f, "reject", 5);
    fake_threshold(f, "defer", 5);
    assert_int_equal(fake_configure(f), -1);
    assert_ptr_equal(strstr(f->errors, "p.yaml:21:7: defer is not below reject (5)"), f->errors);
    fake_free(f);
}

static void the_descriptor_is_whole(void **state)
{
    (void)state;
    assert_int_equal(postern_filter.magic, POSTERN_FILTER_MAGIC);
    assert_int_equal(postern_filter.abi_major, POSTERN_ABI_MAJOR);
    assert_int_equal(postern_filter.size, sizeof(struct postern_filter));
    assert_string_equal(postern_filter.name, "content");
    for (const struct postern_option *o = postern_filter.options; o->name; o++)
        assert_true(o->help && strlen(o->help) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_load),
        cmocka_unit_test(example_of_the_design_loads),
        cmocka_unit_test(scope_errors),
        cmocka_unit_test(pattern_errors),
        cmocka_unit_test(continuation_lines_keep_their_columns),
        cmocka_unit_test(action_errors),
        cmocka_unit_test(bounds),
        cmocka_unit_test(too_many_rules),
        cmocka_unit_test(nul_bytes),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(entries_name_files),
        cmocka_unit_test(a_file_named_twice_counts_once),
        cmocka_unit_test(thresholds_must_make_sense),
        cmocka_unit_test(the_descriptor_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
