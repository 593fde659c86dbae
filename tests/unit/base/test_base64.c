/* SPDX-License-Identifier: MIT */
/* base64 (RFC 4648): right and wrong forms, and the way there and back. */
#include "unit/base/coder.h"

#include "base/attr.h"
#include "base/base64.h"

static void base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xfe\xfd", "//79"}};
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        check_coder(base64_encode, span_of(pairs[i][0]), pairs[i][1]);
        check_coder(base64_decode, span_of(pairs[i][1]), pairs[i][0]);
    }
    static const char *const bad[] = {"Z",    "Zg",   "Zg=",     "Z===", "====", "Zg==Zg==", "Zm9v\r\n",
                                      "Zm 9", "=Zg=", "Zm9\x80", "Z=8=", "*",    "="};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        check_coder(base64_decode, span_of(bad[i]), NULL);
    check_coder(base64_decode, SPAN_LIT("Zh=="), "f"); /* spare bits are nobody's */
}

static void base64_of_every_octet(void **state)
{
    (void)state;
    char all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)i;
    for (size_t n = 0; n <= sizeof all; n++) {
        struct buf coded = {0}, back = {0};
        assert_true(base64_encode(span_make(all, n), &coded));
        assert_int_equal(buf_len(&coded), (n + 2) / 3 * 4);
        assert_true(base64_decode(buf_span(&coded), &back));
        assert_spans_eq(buf_span(&back), span_make(all, n));
        buf_free(&coded);
        buf_free(&back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64),
        cmocka_unit_test(base64_of_every_octet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
