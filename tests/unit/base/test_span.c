/* SPDX-License-Identifier: MIT */
/* Spans and UTF-8: the borrowed bytes that everything else is made of. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "base/utf8.h"

static void equality_ignores_case_only_where_asked(void **state)
{
    (void)state;
    assert_true(span_eq(SPAN_LIT("abc"), SPAN_LIT("abc")));
    assert_false(span_eq(SPAN_LIT("abc"), SPAN_LIT("abC")));
    assert_true(span_ieq(SPAN_LIT("aBc[1"), SPAN_LIT("AbC[1")));
    assert_false(span_ieq(SPAN_LIT("a{"), SPAN_LIT("a["))); /* 32 apart, and no letters */
    assert_true(span_eq(SPAN_NONE, SPAN_LIT("")));
    assert_true(span_istarts(SPAN_LIT("FROM:<>"), SPAN_LIT("from:")));
    assert_false(span_istarts(SPAN_LIT("FR"), SPAN_LIT("from:")));
}

static void parts_never_leave_the_span(void **state)
{
    (void)state;
    assert_span(span_skip(SPAN_LIT("abc"), 9), "");
    assert_span(span_head(SPAN_LIT("abc"), 9), "abc");
    assert_span(span_trim(SPAN_LIT(" \t a b \t")), "a b");
    assert_span(span_trim(SPAN_LIT("  ")), "");
    assert_int_equal(span_find(SPAN_LIT("abc"), 'c'), 2);
    assert_int_equal(span_find(SPAN_LIT("abc"), 'x'), 3);
    assert_int_equal(span_find(SPAN_NONE, 'x'), 0);
    assert_null(span_skip(SPAN_NONE, 3).p);
}

static void utf8_characters(void **state)
{
    (void)state;
    static const struct {
        const char *octets;
        size_t n;
        uint32_t point;
    } good[] = {{"a", 1, 'a'},
                {"\x7f", 1, 0x7F},
                {"\xc2\x80", 2, 0x80},
                {"\xdf\xbf", 2, 0x7FF},
                {"\xe0\xa0\x80", 3, 0x800},
                {"\xed\x9f\xbf", 3, 0xD7FF},
                {"\xee\x80\x80", 3, 0xE000},
                {"\xef\xbf\xbf", 3, 0xFFFF},
                {"\xf0\x90\x80\x80", 4, 0x10000},
                {"\xf4\x8f\xbf\xbf", 4, 0x10FFFF}};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        uint32_t point = 0;
        assert_int_equal(utf8_take(span_make(good[i].octets, good[i].n), &point), good[i].n);
        assert_int_equal(point, good[i].point);
        if (good[i].n > 1)
            assert_int_equal(utf8_take(span_make(good[i].octets, good[i].n - 1), &point), 0);
    }
}

static void utf8_that_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xc3(",
                                      "\xe2\x82(",
                                      "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf5\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xff",
                                      "\xfe"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint32_t point;
        assert_int_equal(utf8_take(span_of(bad[i]), &point), 0);
    }
    uint32_t point;
    assert_int_equal(utf8_take(SPAN_NONE, &point), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_ignores_case_only_where_asked),
        cmocka_unit_test(parts_never_leave_the_span),
        cmocka_unit_test(utf8_characters),
        cmocka_unit_test(utf8_that_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
