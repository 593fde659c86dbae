/* SPDX-License-Identifier: MIT */
/* The shared table: exact in one process and with several at once, all or nothing, bounded, and usable after
 * a process was killed in the middle of it. */
#include "fake_host.h"

#include "memstore.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint64_t now = 1000 * SECOND;

struct table {
    struct memory memory;
    void *mapping;
    size_t bytes;
};

static struct table table_create(uint64_t keys)
{
    struct table t = {.bytes = memory_bytes(keys)};
    t.mapping = mmap(NULL, t.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(t.mapping != MAP_FAILED);
    assert_int_equal(memory_attach(&t.memory, t.mapping, keys), 0);
    return t;
}

static void table_destroy(struct table *t)
{
    assert_int_equal(munmap(t->mapping, t->bytes), 0);
}

static struct gcra rate(uint64_t burst)
{
    struct gcra g;
    assert_int_equal(gcra_init(&g, burst, 3600 * SECOND, burst), GCRA_OK);
    return g;
}

static struct hash128 id_of(const struct table *t, unsigned long key)
{
    return memory_hash(&t->memory, &key, sizeof(key));
}

static bool charge_one(struct table *t, unsigned long key, const struct gcra *g, uint64_t at,
                       unsigned *evicted)
{
    struct memory_charge c = {.id = id_of(t, key), .rate = g, .units = 1};
    return memory_decide(&t->memory, &c, 1, at, evicted) == MEMORY_ALLOWED;
}

static uint64_t allowed(struct table *t, unsigned long key, const struct gcra *g, uint64_t at)
{
    uint64_t n = 0;
    unsigned evicted;
    while (charge_one(t, key, g, at, &evicted))
        n++;
    return n;
}

static void exact(void **state)
{
    struct table t = table_create(1000);
    struct gcra g = rate(100);

    (void)state;
    for (unsigned long key = 0; key < 50; key++)
        assert_int_equal(allowed(&t, key, &g, now), 100);
    for (unsigned long key = 0; key < 50; key++)
        assert_int_equal(allowed(&t, key, &g, now), 0);
    assert_int_equal(allowed(&t, 7, &g, now + 36 * SECOND), 1);
    table_destroy(&t);
}

static void all_or_nothing(void **state)
{
    struct table t = table_create(1000);
    struct gcra wide = rate(100), narrow = rate(3), slow = rate(2);
    struct memory_charge c[3] = {{.id = id_of(&t, 1), .rate = &wide, .units = 1},
                                 {.id = id_of(&t, 2), .rate = &narrow, .units = 1},
                                 {.id = id_of(&t, 3), .rate = &slow, .units = 1}};
    unsigned evicted;

    (void)state;
    assert_int_equal(memory_decide(&t.memory, c, 2, now, &evicted), MEMORY_ALLOWED);
    assert_int_equal(memory_decide(&t.memory, c, 3, now, &evicted), MEMORY_ALLOWED);
    assert_int_equal(memory_decide(&t.memory, c, 3, now, &evicted), MEMORY_ALLOWED);
    for (int i = 0; i < 10; i++) /* both refuse: the one to wait longest for is named */
        assert_int_equal(memory_decide(&t.memory, c, 3, now, &evicted), 2);
    assert_int_equal(c[2].result.wait_us, 1800 * SECOND);
    assert_int_equal(allowed(&t, 1, &wide, now), 97); /* nothing of the refused ones was kept */
    table_destroy(&t);
}

static void giving_back(void **state)
{
    struct table t = table_create(1000);
    struct gcra g = rate(10);
    struct memory_charge c = {.id = id_of(&t, 1), .rate = &g, .units = 4};
    unsigned evicted;

    (void)state;
    assert_int_equal(memory_decide(&t.memory, &c, 1, now, &evicted), MEMORY_ALLOWED);
    memory_give_back(&t.memory, c.id, &g, 3, gcra_end_us(c.result.tat), now);
    assert_int_equal(allowed(&t, 1, &g, now), 9);
    memory_give_back(&t.memory, c.id, &g, 1000, UINT64_C(1) << 50, now); /* never below nothing */
    assert_int_equal(allowed(&t, 1, &g, now), 10);
    memory_give_back(&t.memory, id_of(&t, 99), &g, 1, now + SECOND, now); /* nobody knows it */
    assert_int_equal(allowed(&t, 99, &g, now), 10);
    table_destroy(&t);
}

/* RE-22: strangers may invent as many keys as they like. Who has charges makes room last. */
static void bounded(void **state)
{
    enum { KEYS = 64, INVENTED = 100000 };
    struct table t = table_create(KEYS);
    struct gcra g = rate(10);
    unsigned evicted, sum = 0;

    (void)state;
    assert_in_range(memory_capacity(KEYS), KEYS, KEYS * 4);
    for (unsigned long key = 0; key < INVENTED; key++) {
        assert_true(charge_one(&t, key, &g, now, &evicted));
        sum += evicted;
    }
    assert_int_equal(sum, INVENTED - memory_capacity(KEYS));
    table_destroy(&t);

    t = table_create(KEYS);
    for (unsigned long key = 0; key < 8; key++) /* eight keys that are used up for an hour */
        assert_int_equal(allowed(&t, key, &g, now), 10);
    struct gcra quick;
    assert_int_equal(gcra_init(&quick, 1000, SECOND, 1000), GCRA_OK);
    for (unsigned long key = 100; key < 50000; key++) /* strangers that are idle again at once */
        assert_true(charge_one(&t, key, &quick, now + (key - 100) * 2000, &evicted));
    for (unsigned long key = 0; key < 8; key++)
        assert_int_equal(allowed(&t, key, &g, now + 100 * SECOND), 0);
    table_destroy(&t);
}

static void other_rate_other_key(void **state)
{
    struct table t = table_create(64), other = table_create(64);

    (void)state;
    assert_memory_equal(t.mapping, t.mapping, 16);
    assert_memory_not_equal(t.mapping, other.mapping, 16); /* the hash keys are random */
    struct memory again;
    struct hash128 before = id_of(&t, 5);
    assert_int_equal(memory_attach(&again, t.mapping, 64), 0); /* and stay, whoever comes later */
    struct hash128 after = memory_hash(&again, &(unsigned long){5}, sizeof(unsigned long));
    assert_memory_equal(&before, &after, sizeof(before));
    table_destroy(&t);
    table_destroy(&other);
}

/* ---- several processes ---- */

enum { WORKERS = 4, RACERS = 2, ROUNDS = 1000, ROUND_BURST = 3, SPINS = 500 };

struct tally {
    uint64_t allowed[WORKERS];
    uint64_t arrived, of_round[ROUNDS];
};

/* Runs `work` in WORKERS processes and waits for them. */
static void hammer(struct table *t, struct tally *tally,
                   void (*work)(struct table *t, unsigned me, struct tally *))
{
    pid_t workers[WORKERS];

    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = fork();
        assert_true(workers[i] >= 0);
        if (workers[i] == 0) {
            work(t, i, tally);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        int status;
        assert_int_equal(waitpid(workers[i], &status, 0), workers[i]);
        assert_int_equal(status, 0);
    }
}

static struct tally *tally_create(void)
{
    void *p = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    return p;
}

enum { HAMMERED_KEYS = 8, HAMMERED_BURST = 5000 };

static void work_exact(struct table *t, unsigned me, struct tally *tally)
{
    struct gcra g;
    unsigned evicted;
    if (gcra_init(&g, HAMMERED_BURST, 3600 * SECOND, HAMMERED_BURST) != GCRA_OK)
        _exit(1);
    for (unsigned i = 0; i < HAMMERED_KEYS * HAMMERED_BURST; i++)
        tally->allowed[me] += charge_one(t, i % HAMMERED_KEYS, &g, now, &evicted);
}

static void workers_together(void **state)
{
    struct table t = table_create(1000);
    struct tally *tally = tally_create();
    uint64_t sum = 0;

    (void)state;
    hammer(&t, tally, work_exact);
    for (unsigned i = 0; i < WORKERS; i++)
        sum += tally->allowed[i];
    assert_int_equal(sum, HAMMERED_KEYS * HAMMERED_BURST);
    munmap(tally, sizeof(*tally));
    table_destroy(&t);
}

/* Two limits at once, the second nearly always used up, so that reserving the first is often in vain; what
 * was reserved must all be there again in the end. */
enum { PAIRS = 20000, WIDE = 1000000, NARROW = 2 };

static void pair_of(const struct table *t, const struct gcra rates[2], uint64_t units,
                    struct memory_charge c_r[2])
{
    for (unsigned i = 0; i < 2; i++)
        c_r[i] = (struct memory_charge){.id = id_of(t, i), .rate = &rates[i], .units = units};
}

static void work_pairs(struct table *t, unsigned me, struct tally *tally)
{
    struct gcra rates[2];
    struct memory_charge c[2];
    unsigned evicted;

    if (gcra_init(&rates[0], WIDE, 3600 * SECOND, WIDE) != GCRA_OK ||
        gcra_init(&rates[1], NARROW, 3600 * SECOND, NARROW) != GCRA_OK)
        _exit(1);
    for (unsigned i = 0; i < PAIRS; i++) {
        pair_of(t, rates, 1, c);
        if (memory_decide(&t->memory, c, 2, now, &evicted) != MEMORY_ALLOWED)
            continue;
        tally->allowed[me]++;
        for (unsigned j = 0; j < 2; j++)
            memory_give_back(&t->memory, c[j].id, c[j].rate, 1, gcra_end_us(c[j].result.tat), now);
    }
}

static void workers_with_pairs(void **state)
{
    struct table t = table_create(1000);
    struct tally *tally = tally_create();
    struct gcra rates[2] = {rate(WIDE), rate(NARROW)};
    struct memory_charge c[2];
    uint64_t sum = 0;
    unsigned evicted;

    (void)state;
    hammer(&t, tally, work_pairs);
    for (unsigned i = 0; i < WORKERS; i++)
        sum += tally->allowed[i];
    assert_true(sum > 0); /* one may find nothing while another sleeps on what it reserved */
    pair_of(&t, rates, 0, c);
    assert_int_equal(memory_decide(&t.memory, c, 2, now, &evicted), MEMORY_ALLOWED);
    assert_int_equal(c[0].result.left, WIDE);
    assert_int_equal(c[1].result.left, NARROW);
    munmap(tally, sizeof(*tally));
    table_destroy(&t);
}

/* In each round all processes bring the same new key into a bucket that is full: it must never stand there
 * twice, or its burst would be had twice. Rounds begin together, so that no process is late with a key
 * evicted meanwhile. */
static void meet(struct tally *tally, uint64_t expected)
{
    (void)__atomic_add_fetch(&tally->arrived, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; __atomic_load_n(&tally->arrived, __ATOMIC_SEQ_CST) < expected; i++)
        if (i > SPINS)
            (void)sched_yield();
}

static void work_rounds(struct table *t, unsigned me, struct tally *tally)
{
    struct gcra g;
    unsigned evicted;
    if (me >= RACERS) /* on few processors more of them only wait for each other */
        return;
    if (gcra_init(&g, ROUND_BURST, 3600 * SECOND, ROUND_BURST) != GCRA_OK)
        _exit(1);
    for (unsigned long round = 0; round < ROUNDS; round++) {
        uint64_t mine = 0;
        meet(tally, (round + 1) * RACERS);
        for (unsigned i = 0; i < ROUND_BURST; i++)
            mine += charge_one(t, round, &g, now, &evicted);
        (void)__atomic_add_fetch(&tally->of_round[round], mine, __ATOMIC_SEQ_CST);
    }
}

static void workers_with_one_new_key(void **state)
{
    struct table t = table_create(64);
    struct tally *tally = tally_create();

    (void)state;
    hammer(&t, tally, work_rounds);
    for (unsigned round = 0; round < ROUNDS; round++)
        assert_int_equal(tally->of_round[round], ROUND_BURST);
    munmap(tally, sizeof(*tally));
    table_destroy(&t);
}

static void work_forever(struct table *t)
{
    struct gcra g;
    unsigned evicted;
    if (gcra_init(&g, 10, 3600 * SECOND, 10) != GCRA_OK)
        _exit(1);
    for (unsigned long key = 0;; key++)
        (void)charge_one(t, key % 5000, &g, now + key, &evicted);
}

static void killed_anywhere(void **state)
{
    struct table t = table_create(64);
    struct gcra g = rate(100);

    (void)state;
    for (int i = 0; i < 30; i++) {
        pid_t worker = fork();
        assert_true(worker >= 0);
        if (worker == 0)
            work_forever(&t);
        usleep((useconds_t)(1000 + i * 37));
        assert_int_equal(kill(worker, SIGKILL), 0);
        assert_int_equal(waitpid(worker, NULL, 0), worker);
        for (unsigned long key = 10000; key < 10020; key++) /* everyone gets through, and exactly */
            assert_int_equal(allowed(&t, key + (unsigned long)i * 20, &g, now + 86400 * SECOND), 100);
    }
    table_destroy(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact),
        cmocka_unit_test(all_or_nothing),
        cmocka_unit_test(giving_back),
        cmocka_unit_test(bounded),
        cmocka_unit_test(other_rate_other_key),
        cmocka_unit_test(workers_together),
        cmocka_unit_test(workers_with_pairs),
        cmocka_unit_test(workers_with_one_new_key),
        cmocka_unit_test(killed_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
