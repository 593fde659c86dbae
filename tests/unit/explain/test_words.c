/* SPDX-License-Identifier: MIT */
/* Strangers' text for a terminal, and the words behind `postern explain`. */
#include "unit/base/check.h"

#include "explain/account.h"
#include "explain/request.h"
#include "explain/visible.h"

static void shows(struct span in, size_t most, const char *want)
{
    struct buf out = {0};
    assert_true(visible(&out, in, most));
    assert_spans_eq(buf_span(&out), span_of(want));
    buf_free(&out);
}

static void escapes(void **state)
{
    (void)state;
    shows(SPAN_LIT("plain caf\xc3\xa9"), 99, "plain caf\xc3\xa9");
    shows(SPAN_LIT("a\x1b[2J\x07\x7f\r\n\t\0z"), 99, "a\\x1b[2J\\x07\\x7f\\r\\n\\t\\x00z");
    shows(SPAN_LIT("\xc2\x9b"
                   "31m"),
          99, "\\x9b31m");
    shows(SPAN_LIT("x\xe2\x80\xae"
                   "y\xe2\x80\x8bz"),
          99, "x<U+202E>y<U+200B>z");
    shows(SPAN_LIT("\xff\xc3"), 99, "\\xff\\xc3");
    shows(SPAN_LIT("\xc3\xa9\xc3\xa9\xc3\xa9"), 2, "\xc3\xa9\xc3\xa9...");
    shows(SPAN_LIT("ab"), 2, "ab");
}

static bool reads(struct request *r, char why[REQUEST_WHY], const char *words)
{
    static char text[400];
    char *argv[20], *save = NULL;
    int argc = 0;
    (void)snprintf(text, sizeof text, "explain %s", words);
    for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    argv[argc] = NULL;
    return request_read(argc, argv, r, why);
}

static void requests(void **state)
{
    struct request r;
    char why[REQUEST_WHY];
    (void)state;
    assert_true(reads(&r, why, "m.eml -c p"));
    assert_string_equal(r.message, "m.eml");
    assert_spans_eq(r.from.domain, SPAN_LIT("example.org"));
    assert_int_equal(r.to_n, 1);
    assert_true(reads(
        &r, why, "-c p --from <> --to a@b.example --to <C@D.example> --client ::ffff:192.0.2.7 - --json"));
    assert_int_equal(r.from.mailbox.n, 0);
    assert_int_equal(r.to_n, 2);
    assert_spans_eq(r.to[1].domain, SPAN_LIT("D.example"));
    assert_string_equal(r.client, "192.0.2.7");
    assert_int_equal(r.ip_n, 4);
    assert_true(r.json);
    assert_true(reads(&r, why, "m -c p --client 2001:DB8::1"));
    assert_string_equal(r.client, "2001:db8::1");
}

static void wrong_requests(void **state)
{
    static const char *const cases[] = {"",
                                        "m",
                                        "-c p",
                                        "a b -c p",
                                        "m -c p --policy x --listener y",
                                        "m -c p --from a@@b",
                                        "m -c p --from a@",
                                        "m -c p --to <>",
                                        "m -c p --client mail.example.org"};
    struct request r;
    char why[REQUEST_WHY];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_false(reads(&r, why, cases[i]));
        assert_true(*why);
    }
}

static void scores(void **state)
{
    struct span list = SPAN_LIT("wallet=2.5 other=-4"), name, points;
    (void)state;
    assert_true(account_score(&list, &name, &points));
    assert_spans_eq(name, SPAN_LIT("wallet"));
    assert_spans_eq(points, SPAN_LIT("2.5"));
    assert_true(account_score(&list, &name, &points));
    assert_spans_eq(points, SPAN_LIT("-4"));
    assert_false(account_score(&list, &name, &points));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(escapes), cmocka_unit_test(requests),
                                       cmocka_unit_test(wrong_requests), cmocka_unit_test(scores)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
