/* SPDX-License-Identifier: MIT */
/* The arena: alignment, zeroing, its limit, and that a reset gives everything back. */
#include "unit/base/check.h"

#include "base/arena.h"

static void nothing_is_held_before_the_first_use(void **state)
{
    (void)state;
    struct arena *a = arena_create(1 << 20);
    assert_non_null(a);
    assert_int_equal(arena_bytes(a), 0);
    arena_destroy(&a);
    assert_null(a);
    arena_destroy(&a);
}

static void allocations_are_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena *a = arena_create(1 << 20);
    char *things[200];
    for (size_t i = 0; i < 200; i++) {
        things[i] = arena_alloc(a, i);
        assert_non_null(things[i]);
        assert_int_equal((uintptr_t)things[i] % 16, 0);
        for (size_t k = 0; k < i; k++)
            assert_int_equal(things[i][k], 0);
        memset(things[i], 0x55, i);
    }
    for (size_t i = 0; i < 200; i++) /* nobody wrote into another's bytes */
        for (size_t k = 0; k < i; k++)
            assert_int_equal(things[i][k], 0x55);
    assert_ptr_not_equal(things[0], things[1]);
    arena_destroy(&a);
}

static void the_limit_is_kept_and_reset_gives_back(void **state)
{
    (void)state;
    struct arena *a = arena_create(10000);
    assert_null(arena_alloc(a, 10000)); /* the head of the chunk counts too */
    assert_null(arena_alloc(a, SIZE_MAX));
    size_t got = 0;
    while (arena_alloc(a, 100))
        got++;
    assert_in_range(got, 80, 100);
    assert_true(arena_bytes(a) <= 10000);
    arena_reset(a);
    assert_int_equal(arena_bytes(a), 0);
    assert_non_null(arena_alloc(a, 9000));
    arena_destroy(&a);
}

static void a_large_thing_does_not_waste_the_rest(void **state)
{
    (void)state;
    struct arena *a = arena_create(1 << 20);
    assert_non_null(arena_alloc(a, 16));
    assert_non_null(arena_alloc(a, 30000));
    size_t before = arena_bytes(a);
    assert_non_null(arena_alloc(a, 500)); /* fits into the first chunk */
    assert_int_equal(arena_bytes(a), before);
    arena_destroy(&a);
}

static void texts(void **state)
{
    (void)state;
    struct arena *a = arena_create(4096);
    struct span copy = arena_span(a, SPAN_LIT("a\0b"));
    assert_span(copy, "a\0b");
    assert_int_equal(copy.p[3], '\0');
    assert_non_null(arena_span(a, SPAN_NONE).p);
    assert_string_equal(arena_printf(a, "%s=%d", "n", 42), "n=42");
    assert_null(arena_printf(a, "%5000d", 1));
    assert_null(arena_span(a, span_make("", SIZE_MAX)).p);
    arena_destroy(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_held_before_the_first_use),
        cmocka_unit_test(allocations_are_zeroed_aligned_and_apart),
        cmocka_unit_test(the_limit_is_kept_and_reset_gives_back),
        cmocka_unit_test(a_large_thing_does_not_waste_the_rest),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
