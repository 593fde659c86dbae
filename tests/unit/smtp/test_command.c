/* SPDX-License-Identifier: MIT */
/* Command lines: verbs, arguments, octets that may not be in one. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "smtp/command.h"

struct expected {
    struct span line;
    enum command_error error;
    enum verb verb;
    struct span arg;
};

#define ROW(line, error, verb, arg)                                                                          \
    {                                                                                                        \
        {line, sizeof line - 1}, error, verb,                                                                \
        {                                                                                                    \
            arg, sizeof arg - 1                                                                              \
        }                                                                                                    \
    }
static const struct expected table[] = {
    ROW("MAIL FROM:<a@b> SIZE=1", COMMAND_OK, VERB_MAIL, "FROM:<a@b> SIZE=1"),
    ROW("mAiL  FROM:<> \t ", COMMAND_OK, VERB_MAIL, "FROM:<>"),
    ROW("MAIL\tFROM:<>", COMMAND_OK, VERB_MAIL, "FROM:<>"),
    ROW("QUIT", COMMAND_OK, VERB_QUIT, ""),
    ROW("QUIT ", COMMAND_OK, VERB_QUIT, ""),
    ROW("QUIT now", COMMAND_HAS_ARGUMENT, VERB_QUIT, "now"),
    ROW("DATA", COMMAND_OK, VERB_DATA, ""),
    ROW("DATA x", COMMAND_HAS_ARGUMENT, VERB_DATA, "x"), /* CP-12 */
    ROW("RSET x", COMMAND_HAS_ARGUMENT, VERB_RSET, "x"),
    ROW("STARTTLS x", COMMAND_HAS_ARGUMENT, VERB_STARTTLS, "x"),
    ROW("EHLO", COMMAND_NO_ARGUMENT, VERB_EHLO, ""),
    ROW("EHLO  ", COMMAND_NO_ARGUMENT, VERB_EHLO, ""),
    ROW("MAIL", COMMAND_NO_ARGUMENT, VERB_MAIL, ""),
    ROW("NOOP", COMMAND_OK, VERB_NOOP, ""),
    ROW("NOOP a b", COMMAND_OK, VERB_NOOP, "a b"),
    ROW("HELP mail", COMMAND_OK, VERB_HELP, "mail"),
    ROW("VRFY <\xc3\xbc@x.test>", COMMAND_OK, VERB_VRFY, "<\xc3\xbc@x.test>"), /* CP-18 */
    ROW("VRFY", COMMAND_OK, VERB_VRFY, ""), /* what becomes of them is policy */
    ROW("EXPN list", COMMAND_OK, VERB_EXPN, "list"),
    ROW("ETRN @x.test", COMMAND_OK, VERB_ETRN, "@x.test"),
    ROW("ETRN a\x01", COMMAND_SYNTAX, VERB_ETRN, "a\x01"),
    ROW("TURN", COMMAND_UNKNOWN, VERB_TURN, ""),
    ROW("ATRN x", COMMAND_UNKNOWN, VERB_ATRN, "x"),
    ROW("BURL x LAST", COMMAND_UNKNOWN, VERB_BURL, "x LAST"),
    ROW("XCLIENT ADDR=1.2.3.4", COMMAND_OK, VERB_XCLIENT, "ADDR=1.2.3.4"),
    ROW("BDAT 1 LAST", COMMAND_OK, VERB_BDAT, "1 LAST"),
    ROW("XYZZY", COMMAND_UNKNOWN, VERB_UNKNOWN, ""),
    ROW("LHLO x", COMMAND_UNKNOWN, VERB_UNKNOWN, "x"),
    ROW("MAILX a", COMMAND_UNKNOWN, VERB_UNKNOWN, "a"),
    ROW("MAI a", COMMAND_UNKNOWN, VERB_UNKNOWN, "a"),
    ROW("QUIT\xc3\xbc", COMMAND_UNKNOWN, VERB_UNKNOWN, ""),
    ROW("", COMMAND_SYNTAX, VERB_UNKNOWN, ""), /* CP-34 */
    ROW("   ", COMMAND_SYNTAX, VERB_UNKNOWN, ""),
    ROW(" NOOP", COMMAND_SYNTAX, VERB_UNKNOWN, "NOOP"),
    ROW("\tNOOP", COMMAND_SYNTAX, VERB_UNKNOWN, "NOOP"),
    ROW("MAIL FROM:<a\0b@x.test>", COMMAND_SYNTAX, VERB_MAIL, "FROM:<a\0b@x.test>"), /* CP-03 */
    ROW("NOOP \x1b[2J", COMMAND_SYNTAX, VERB_NOOP, "\x1b[2J"),
    ROW("NOOP \x7f", COMMAND_SYNTAX, VERB_NOOP, "\x7f"),
    ROW("RSET\rQUIT", COMMAND_SYNTAX, VERB_UNKNOWN, ""),
    ROW("RCPT TO:<\xc3@x>", COMMAND_UTF8, VERB_RCPT, "TO:<\xc3@x>"), /* CP-04 */
    ROW("RCPT TO:<\xc0\xaf@x>", COMMAND_UTF8, VERB_RCPT, "TO:<\xc0\xaf@x>"),
    ROW("RCPT TO:<\xed\xa0\x80@x>", COMMAND_UTF8, VERB_RCPT, "TO:<\xed\xa0\x80@x>"),
    ROW("RCPT TO:<\xff@x>", COMMAND_UTF8, VERB_RCPT, "TO:<\xff@x>"),
};

static void command_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct command c;
        enum command_error e = command_parse(table[i].line, &c);
        if (e != table[i].error || c.verb != table[i].verb)
            print_error("line \"%.*s\"\n", SPAN_FMT(table[i].line));
        assert_int_equal(e, table[i].error);
        assert_int_equal(c.verb, table[i].verb);
        assert_spans_eq(c.arg, table[i].arg);
    }
}

static void every_verb_is_found_in_any_case(void **state)
{
    (void)state;
    for (unsigned v = 1; v < VERBS; v++) {
        const struct verb_info *info = verb_info((enum verb)v);
        char line[40];
        size_t n = info->word.n;
        assert_in_range(n, 4, 20);
        for (size_t i = 0; i < n; i++)
            line[i] = i % 2 ? ascii_lower(info->word.p[i]) : info->word.p[i];
        memcpy(line + n, " x", 2);
        struct command c;
        enum command_error e = command_parse(span_make(line, n + 2), &c);
        assert_int_equal(c.verb, v);
        assert_int_equal(e == COMMAND_UNKNOWN, (info->flags & VERB_IS_REFUSED) != 0);
        assert_int_equal(e == COMMAND_HAS_ARGUMENT, info->argument == VERB_ARG_NONE);
        assert_spans_eq(c.word, span_make(line, n));
    }
    assert_int_equal(verb_info(VERB_UNKNOWN)->word.n, 0);
    assert_ptr_equal(verb_info(VERBS), verb_info(VERB_UNKNOWN));
    assert_int_equal(verb_info(VERB_EHLO)->flags, VERB_IS_SYNC | VERB_IS_OPEN | VERB_IS_NOTLS);
}

static void helo_names(void **state) /* CP-28 */
{
    (void)state;
    static const char *const good[] = {
        "x", "mail.example.org", "[1.2.3.4]", "[IPv6:::1]", "-bad", "%n%s", "$(x)", "m\xc3\xbcnchen.example"};
    static const char *const bad[] = {"", "a b", "a\tb", "a\r", "a\x01", "\x7f", "\xc3", "\xff"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(helo_name_ok(span_of(good[i])));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(helo_name_ok(span_of(bad[i])));
    char name[256];
    memset(name, 'a', sizeof name);
    assert_true(helo_name_ok(span_make(name, 255)));
    assert_false(helo_name_ok(span_make(name, 256)));
    assert_false(helo_name_ok(SPAN_LIT("a\0b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_lines),
        cmocka_unit_test(every_verb_is_found_in_any_case),
        cmocka_unit_test(helo_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
