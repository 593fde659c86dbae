/* SPDX-License-Identifier: MIT */
/* xtext (RFC 3461 4): right and wrong forms, and the way there and back. */
#include "unit/base/coder.h"

#include "base/attr.h"
#include "smtp/text.h"

static void xtext(void **state)
{
    (void)state;
    static const char *const bad[] = {"+",   "+4",  "+GG", "+G0",    "+0",    "a=b",      "a b",
                                      "+00", "+0A", "+0D", "+0d+0a", "a\x7f", "\xc3\xbc", "a\tb"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(xtext_ok(span_of(bad[i])));
        check_coder(xtext_decode, span_of(bad[i]), NULL);
    }
    assert_true(xtext_ok(SPAN_LIT("")));
    assert_false(xtext_ok(SPAN_LIT("a\0")));
    check_coder(xtext_decode, SPAN_LIT("a+2Bb+3Dc+40+c3+BC"), "a+b=c@\xc3\xbc");
    check_coder(xtext_decode, SPAN_LIT(""), "");
    check_coder(xtext_encode, SPAN_LIT("a+b=c d\r\n\0\xff"), "a+2Bb+3Dc+20d+0D+0A+00+FF");
    check_coder(xtext_encode, SPAN_LIT(""), "");
}

static void wiped(void **state)
{
    (void)state;
    char secret[] = "secret";
    wipe(secret, sizeof secret);
    for (size_t i = 0; i < sizeof secret; i++)
        assert_int_equal(secret[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xtext),
        cmocka_unit_test(wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
