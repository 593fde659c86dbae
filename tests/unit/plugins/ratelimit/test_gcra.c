/* SPDX-License-Identifier: MIT */
/* The arithmetic of limits: exact at the edges, without drift, never below zero. */
#include "fake_host.h"

#include "gcra.h"

enum { FORTY_DAYS = 3456000 };

static const uint64_t start = 1000 * SECOND;

static struct gcra rate(uint64_t count, uint64_t window, uint64_t burst)
{
    struct gcra g;
    assert_int_equal(gcra_init(&g, count, window, burst), GCRA_OK);
    return g;
}

/* Charges one by one until refused. */
static uint64_t allowed_at(const struct gcra *g, uint64_t *tat, uint64_t now)
{
    uint64_t n = 0;
    for (;;) {
        struct gcra_result r = gcra_charge(g, *tat, now, 1);
        *tat = r.tat;
        if (!r.allowed)
            return n;
        n++;
    }
}

static void burst_is_exact(void **state)
{
    static const uint64_t counts[] = {1, 3, 7, 60, 97, 1000, 9999, 99991};
    static const uint64_t windows[] = {1, 10, 60, 3600, 86400};

    (void)state;
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < 5; j++)
            for (uint64_t burst = 1; burst <= 1000; burst = burst * 3 + 1) {
                if (burst * windows[j] / counts[i] > FORTY_DAYS)
                    continue; /* longer than is allowed */
                struct gcra g = rate(counts[i], windows[j] * SECOND, burst);
                uint64_t tat = 0;
                assert_int_equal(allowed_at(&g, &tat, start), burst);
            }
}

static void window_edge(void **state)
{
    struct gcra g = rate(100, 3600 * SECOND, 20); /* one in 36 s */
    uint64_t tat = 0;

    (void)state;
    assert_int_equal(allowed_at(&g, &tat, start), 20);
    struct gcra_result r = gcra_charge(&g, tat, start, 1);
    assert_int_equal(r.wait_us, 36 * SECOND);
    assert_int_equal(r.left, 0);
    assert_int_equal(r.tat, tat); /* a refusal costs nothing */
    assert_false(gcra_charge(&g, tat, start + 36 * SECOND - 1, 1).allowed);
    assert_true(gcra_charge(&g, tat, start + 36 * SECOND, 1).allowed);
    assert_int_equal(allowed_at(&g, &tat, start + 36 * SECOND), 1);
    assert_int_equal(allowed_at(&g, &tat, start + 216 * SECOND), 5);
    assert_int_equal(allowed_at(&g, &tat, start + 36000 * SECOND), 20);
}

/* Asking each µs or so for a long time yields the rate, not a unit more. */
static void no_drift(void **state)
{
    struct gcra g = rate(7, SECOND, 1);
    uint64_t tat = 0, n = 0;

    (void)state;
    for (uint64_t t = 0; t < 100 * SECOND; t += 37)
        n += allowed_at(&g, &tat, start + t);
    assert_in_range(n, 700 - 1, 700); /* 37 µs late each time at most */
}

static void many_units(void **state)
{
    struct gcra g = rate(10, 10 * SECOND, 10);
    struct gcra_result r = gcra_charge(&g, 0, start, 4);

    (void)state;
    assert_true(r.allowed);
    assert_int_equal(r.left, 6);
    struct gcra_result seven = gcra_charge(&g, r.tat, start, 7);
    assert_false(seven.allowed);
    assert_int_equal(seven.wait_us, SECOND);
    assert_int_equal(seven.left, 6);
    assert_true(gcra_charge(&g, r.tat, start, 6).allowed);
    assert_false(gcra_charge(&g, 0, start, 11).allowed);
    assert_false(gcra_charge(&g, 0, start, UINT64_MAX).allowed);
}

static void giving_back(void **state)
{
    struct gcra g = rate(10, 10 * SECOND, 10);
    struct gcra_result one = gcra_charge(&g, 0, start, 1), two = gcra_charge(&g, one.tat, start, 1);

    (void)state;
    uint64_t tat = gcra_give_back(&g, two.tat, start, 1, gcra_end_us(two.tat));
    assert_int_equal(tat, one.tat);
    tat = gcra_give_back(&g, tat, start, 5, gcra_end_us(two.tat)); /* more than is there */
    assert_int_equal(tat, start * GCRA_TICKS);
    assert_int_equal(allowed_at(&g, &tat, start), 10); /* full, and not more than full */
}

/* A charge that waiting has paid back is not given back as well: else an open transaction saves up credit. */
static void no_saving_up(void **state)
{
    struct gcra g = rate(10, 10 * SECOND, 10);
    struct gcra_result old = gcra_charge(&g, 0, start, 10);
    uint64_t later = start + 10 * SECOND, tat = old.tat;

    (void)state;
    assert_int_equal(allowed_at(&g, &tat, later), 10);
    tat = gcra_give_back(&g, tat, later, 10, gcra_end_us(old.tat));
    assert_int_equal(allowed_at(&g, &tat, later), 0);

    tat = old.tat; /* half of it is paid back: the other half is given back */
    uint64_t half = start + 5 * SECOND;
    assert_int_equal(allowed_at(&g, &tat, half), 5);
    tat = gcra_give_back(&g, tat, half, 10, gcra_end_us(old.tat));
    assert_int_equal(allowed_at(&g, &tat, half), 5);
}

static void clock_that_went_back(void **state)
{
    struct gcra g = rate(10, 10 * SECOND, 10);
    uint64_t tat = (start + 1000000 * SECOND) * GCRA_TICKS;

    (void)state;
    struct gcra_result r = gcra_charge(&g, tat, start, 1);
    assert_false(r.allowed);
    assert_int_equal(r.wait_us, SECOND);
}

static void bad_rates(void **state)
{
    struct gcra g;

    (void)state;
    assert_int_equal(gcra_init(&g, 0, SECOND, 1), GCRA_NO_RATE);
    assert_int_equal(gcra_init(&g, 1, 0, 1), GCRA_NO_RATE);
    assert_int_equal(gcra_init(&g, 1, SECOND, 0), GCRA_NO_BURST);
    assert_int_equal(gcra_init(&g, 3000, 1, 1), GCRA_TOO_FAST);
    assert_int_equal(gcra_init(&g, 1000, 1, 1), GCRA_OK);
    assert_int_equal(gcra_init(&g, 1, UINT64_MAX, 1), GCRA_TOO_LONG);
    assert_int_equal(gcra_init(&g, 1, 86400 * SECOND, 51), GCRA_TOO_LONG);
    assert_int_equal(gcra_init(&g, 1, 86400 * SECOND, 50), GCRA_OK);
    assert_int_equal(gcra_init(&g, 10000, 2592000 * SECOND, 10000), GCRA_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_is_exact), cmocka_unit_test(window_edge),
        cmocka_unit_test(no_drift),       cmocka_unit_test(many_units),
        cmocka_unit_test(giving_back),    cmocka_unit_test(no_saving_up),
        cmocka_unit_test(bad_rates),      cmocka_unit_test(clock_that_went_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
