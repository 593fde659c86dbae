/* SPDX-License-Identifier: MIT */
/* What is told to who looks on: each rule that hits, and the text that it was about. */
#include "fake_host.h"

static char traced[1024];

static void on_trace(void *self, struct postern_span rule, struct postern_span matched)
{
    size_t n = strlen(traced);
    (void)self;
    (void)snprintf(traced + n, sizeof traced - n, "%.*s=%.*s;", (int)rule.n, rule.p, (int)matched.n,
                   matched.p ? matched.p : "");
}

static void is_traced(const char *rules, const char *text, const char *want)
{
    struct fake *f = fake_new();
    f->host.trace = on_trace;
    traced[0] = '\0';
    fake_file(f, "r", rules);
    fake_rules(f, "r");
    assert_int_equal(fake_configure(f), 0);
    fake_open(f);
    (void)fake_message(f, text);
    assert_string_equal(traced, want);
    fake_free(f);
}

static void what_matched(void **state)
{
    (void)state;
    is_traced("[text]\n/wal+et/ SCORE 1 w\n/none/ SCORE 1 n\n/re.overy\\b/ REJECT no\n",
              "a walllet recovery now", "r:2=walllet;r:4=recovery;");
    is_traced("[text]\n/b\\Kc/ SCORE 1\n", "abcd", "r:2=c;");
}

static void what_has_no_text(void **state)
{
    (void)state;
    is_traced("[text]\n!/absent/ SCORE 1 a\n[size]\n>= 0 SCORE 1 s\n", "some text", "r:2=;r:4=;");
    is_traced("[text]\nONE = /a/\nTWO = /b/\n[meta]\n(ONE && TWO) REJECT no\n", "a b", "r:2=a;r:3=b;r:5=;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_matched), cmocka_unit_test(what_has_no_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
