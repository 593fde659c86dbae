/* SPDX-License-Identifier: MIT */
/* The byte queue: order, growth, and that an empty one holds no memory. */
#include "unit/base/check.h"

#include "base/buf.h"

static void bytes_come_out_in_order(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_true(buf_append(&b, SPAN_LIT("hello ")));
    assert_true(buf_append(&b, SPAN_LIT("world")));
    assert_span(buf_span(&b), "hello world");
    buf_consume(&b, 6);
    assert_span(buf_span(&b), "world");
    assert_true(buf_printf(&b, "%c%03d", '-', 7));
    assert_span(buf_span(&b), "world-007");
    buf_free(&b);
}

static void empty_means_no_memory(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_true(buf_append(&b, SPAN_LIT("x")));
    assert_non_null(b.data);
    buf_consume(&b, 1);
    assert_null(b.data);
    assert_true(buf_append(&b, SPAN_NONE));
    assert_true(buf_printf(&b, "%s", ""));
    assert_null(b.data);
    assert_non_null(buf_reserve(&b, 10));
    buf_added(&b, 0);
    assert_null(b.data);
}

static void small_growth_is_at_least_512(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_true(buf_append(&b, SPAN_LIT("x")));
    assert_true(buf_room(&b) >= 511);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_span(buf_span(&b), "x"); /* a failure changes nothing */
    buf_free(&b);
}

/* Against a plain array, with all mixtures of lengths: a queue of a counting sequence. */
static void any_mixture_of_appends_and_consumes(void **state)
{
    (void)state;
    struct buf b = {0};
    unsigned char in = 0, out = 0;
    uint32_t random = 1;
    for (int round = 0; round < 5000; round++) {
        random = random * 1664525u + 1013904223u;
        size_t n = random >> 21;
        if (random & 0x10000) {
            char *to = buf_reserve(&b, n + 1);
            assert_non_null(to);
            for (size_t i = 0; i < n; i++)
                to[i] = (char)in++;
            buf_added(&b, n);
        } else {
            n = n < buf_len(&b) ? n : buf_len(&b);
            for (size_t i = 0; i < n; i++)
                assert_int_equal((unsigned char)buf_span(&b).p[i], out++);
            buf_consume(&b, n);
        }
        assert_true(b.start <= b.end && b.end <= b.cap);
        assert_int_equal((unsigned char)(in - out), buf_len(&b) & 0xFF);
    }
    buf_free(&b);
}

/* A reader that is always a little behind: the memory stays near what waits. */
static void a_steady_queue_does_not_grow(void **state)
{
    (void)state;
    struct buf b = {0};
    char block[100] = {0};
    assert_true(buf_append(&b, span_make(block, sizeof block)));
    for (int i = 0; i < 100000; i++) {
        assert_true(buf_append(&b, span_make(block, sizeof block)));
        buf_consume(&b, sizeof block);
    }
    assert_true(b.cap <= 1024);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_in_order),      cmocka_unit_test(empty_means_no_memory),
        cmocka_unit_test(small_growth_is_at_least_512), cmocka_unit_test(any_mixture_of_appends_and_consumes),
        cmocka_unit_test(a_steady_queue_does_not_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
