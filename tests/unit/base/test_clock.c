/* SPDX-License-Identifier: MIT */
/* The clocks: the monotonic one never goes back, the wall clock agrees with time(2), and the text form is
 * exact. */
#include "unit/base/check.h"

#include "base/clock.h"

static void text_of_known_times(void **state)
{
    (void)state;
    char out[CLOCK_TEXT];
    clock_text(0, out);
    assert_string_equal(out, "1970-01-01T00:00:00.000Z");
    clock_text(UINT64_C(1795439137123999), out);
    assert_string_equal(out, "2026-11-23T13:05:37.123Z");
    clock_text(UINT64_C(1709208000000000), out); /* a leap day */
    assert_string_equal(out, "2024-02-29T12:00:00.000Z");
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    uint64_t before = clock_mono_us();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_us();
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_wall_us() > UINT64_C(1700000000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_known_times),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
