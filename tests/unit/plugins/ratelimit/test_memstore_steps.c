/* SPDX-License-Identifier: MIT */
/* The shared table step by step: what one process leaves when it stops at a step that chance seldom hits,
 * another must be able to go on from. Sees the table's inside. */
#include "fake_host.h"

#include "memstore.c" /* NOLINT(bugprone-suspicious-include): for its private parts */

static const uint64_t now = 1000 * SECOND;
static struct gcra rate;
static _Alignas(128) unsigned char mapping[128 * 64];

static struct memory fresh(void)
{
    struct memory m;
    memset(mapping, 0, sizeof(mapping));
    assert_true(memory_bytes(7) <= sizeof(mapping));
    assert_int_equal(memory_attach(&m, mapping, 7), 0);
    assert_int_equal(gcra_init(&rate, 10, 3600 * SECOND, 10), GCRA_OK);
    return m;
}

static bool charge_one(struct memory *m, struct hash128 id)
{
    struct memory_charge c = {.id = id, .rate = &rate, .units = 1};
    unsigned evicted;
    return memory_decide(m, &c, 1, now, &evicted) == MEMORY_ALLOWED;
}

static struct hash128 key(uint64_t n)
{
    return (struct hash128){.lo = n, .hi = 0};
} /* all in bucket 0 */

static size_t cells_of(const struct memory_bucket *b, uint64_t tag)
{
    size_t n = 0;
    for (size_t i = 0; i < CELLS; i++)
        n += b->cells[i].half.tag == tag;
    return n;
}

/* It died after making a claim, before the cell. */
static void claimed_and_died(void **state)
{
    struct memory m = fresh();
    struct memory_bucket *b = &m.buckets[0];

    (void)state;
    assert_true(cell_swap(&b->claim, claim_read(b), claim_next(claim_read(b), 5, 3)));
    assert_true(charge_one(&m, key(9)));
    assert_false(claim_busy(claim_read(b)));
    assert_int_equal(b->cells[3].half.tag, 5); /* the dead one's key was brought in, uncharged */
    assert_int_equal(b->cells[3].half.value, now * GCRA_TICKS);
    assert_int_equal(cells_of(b, 9), 1);
}

/* It died after the cell, before ending the claim; the cell has been charged since. */
static void placed_and_died(void **state)
{
    struct memory m = fresh();
    struct memory_bucket *b = &m.buckets[0];

    (void)state;
    assert_true(cell_swap(&b->claim, claim_read(b), claim_next(claim_read(b), 5, 3)));
    b->cells[3] = cell_of(5, now * GCRA_TICKS);
    for (int i = 0; i < 10; i++)
        assert_true(charge_one(&m, key(5)));
    assert_true(charge_one(&m, key(9)));
    assert_false(charge_one(&m, key(5))); /* going on for the dead one did not reset it */
    assert_int_equal(cells_of(b, 5), 1);
}

/* It slept between reading the claim and finishing it: the cell belongs to another by now. */
static void finishing_comes_late(void **state)
{
    struct memory m = fresh();
    struct memory_bucket *b = &m.buckets[0];
    union cell old = claim_next(claim_read(b), 5, 0);

    (void)state;
    assert_true(cell_swap(&b->claim, claim_read(b), old));
    claim_finish(b, old, now * GCRA_TICKS);
    for (uint64_t i = 10; i < 10 + CELLS; i++) /* seven others, charged: 5 is idle and goes */
        assert_true(charge_one(&m, key(i)));
    assert_int_equal(cells_of(b, 5), 0);
    union cell before = b->cells[0];
    claim_finish(b, old, now * GCRA_TICKS);
    assert_memory_equal(&before, &b->cells[0], sizeof(before));
    assert_int_equal(cells_of(b, 5), 0);
}

/* Another brought the same key in after this one had searched: its claim must fail. */
static void both_search_then_one_claims(void **state)
{
    struct memory m = fresh();
    struct memory_bucket *b = &m.buckets[0];
    union cell seen = claim_read(b);

    (void)state;
    assert_null(find(b, 5));
    assert_true(charge_one(&m, key(5)));
    unsigned evicted = 0;
    add(b, seen, 5, now * GCRA_TICKS, &evicted);
    assert_false(cell_swap(&b->claim, seen, claim_next(seen, 5, 1)));
    add(b, claim_read(b), 5, now * GCRA_TICKS, &evicted); /* it came between the search and the claim */
    assert_int_equal(cells_of(b, 5), 1);
}

/* The second limit was used up after all seemed well: the first gets its unit back. */
static void refused_after_the_look(void **state)
{
    struct memory m = fresh();
    struct memory_charge c[3] = {{.id = key(1), .rate = &rate, .units = 2},
                                 {.id = key(2), .rate = &rate, .units = 1},
                                 {.id = key(3), .rate = &rate, .units = 11}};
    unsigned evicted = 0;

    (void)state;
    assert_int_equal(reserve_all(&m, c, 3, now, &evicted), 2);
    for (uint64_t k = 1; k <= 3; k++)
        for (int i = 0; i < 11; i++)
            assert_int_equal(charge_one(&m, key(k)), i < 10);
}

/* The key was evicted between reading its cell and charging it: the charge must not land on the new owner. */
static void evicted_before_the_charge(void **state)
{
    struct memory m = fresh();
    struct memory_bucket *b = &m.buckets[0];

    (void)state;
    assert_true(charge_one(&m, key(5)));
    union cell *cell = find(b, 5);
    union cell seen = *cell;
    *cell = cell_of(6, seen.half.value); /* even with the same tat */
    assert_false(cell_swap(cell, seen, cell_of(5, seen.half.value + rate.interval)));
    assert_int_equal(cell->half.value, seen.half.value);
}

/* A key whose hash begins with 64 zero bits is still a key. */
static void tag_of_zero(void **state)
{
    struct memory m = fresh();

    (void)state;
    for (int i = 0; i < 12; i++)
        assert_int_equal(charge_one(&m, key(0)), i < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claimed_and_died),
        cmocka_unit_test(placed_and_died),
        cmocka_unit_test(finishing_comes_late),
        cmocka_unit_test(both_search_then_one_claims),
        cmocka_unit_test(tag_of_zero),
        cmocka_unit_test(refused_after_the_look),
        cmocka_unit_test(evicted_before_the_charge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
