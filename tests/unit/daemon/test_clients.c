/* SPDX-License-Identifier: MIT */
/* The table of clients: what is counted, what is given back, what a dead worker leaves, and that strangers
 * without number neither fill it nor slow it down. */
#include "base/clock.h"
#include "base/span.h"
#include "proxy/clients.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECONDS(n) ((uint64_t)(n)*US_PER_S)

static struct clients *made(void)
{
    struct clients *c = clients_create();
    assert_non_null(c);
    return c;
}

static uint64_t key4(const struct clients *c, unsigned host)
{
    unsigned char ip[4] = {10, (unsigned char)(host >> 16), (unsigned char)(host >> 8), (unsigned char)host};
    return clients_key(c, ip, sizeof ip);
}

static uint64_t key6(const struct clients *c, unsigned network, unsigned char host)
{
    unsigned char ip[16] = {0x20, 1, 0xd, 0xb8};
    ip[4] = (unsigned char)(network >> 24);
    ip[5] = (unsigned char)(network >> 16);
    ip[6] = (unsigned char)(network >> 8);
    ip[7] = (unsigned char)network;
    ip[15] = host;
    return clients_key(c, ip, sizeof ip);
}

static void test_keys(void **state)
{
    struct clients *c = made(), *other = made();
    const unsigned char ip[4] = {0};
    (void)state;
    assert_int_equal(key4(c, 1), key4(c, 1));
    assert_int_not_equal(key4(c, 1), key4(c, 2));
    assert_int_equal(key6(c, 7, 1), key6(c, 7, 200)); /* one network, one client */
    assert_int_not_equal(key6(c, 7, 1), key6(c, 8, 1));
    assert_int_not_equal(key4(c, 1), key4(other, 1)); /* nobody knows where a key goes */
    assert_int_equal(clients_key(c, ip, 0), 0);
    assert_int_not_equal(clients_key(c, ip, 4), 0);
    clients_destroy(&c);
    clients_destroy(&other);
    assert_null(other);
    clients_destroy(&other);
}

static void test_sessions_of_all_workers(void **state)
{
    struct clients *c = made();
    uint64_t key = key4(c, 1);
    (void)state;
    assert_int_equal(clients_enter(c, 1, key, 3), CLIENTS_IN);
    assert_int_equal(clients_enter(c, 2, key, 3), CLIENTS_IN);
    assert_int_equal(clients_enter(c, 2, key, 3), CLIENTS_IN);
    assert_int_equal(clients_enter(c, 1, key, 3), CLIENTS_TOO_MANY);
    assert_int_equal(clients_enter(c, 9, key, 3), CLIENTS_TOO_MANY);
    assert_int_equal(clients_enter(c, 1, key4(c, 2), 3), CLIENTS_IN); /* somebody else */
    clients_leave(c, 2, key);
    assert_int_equal(clients_enter(c, 9, key, 3), CLIENTS_IN);
    assert_int_equal(clients_enter(c, 9, key, 3), CLIENTS_TOO_MANY);
    assert_int_equal(clients_enter(c, 9, key, 0), CLIENTS_IN); /* no limit; counted nevertheless */
    assert_int_equal(clients_enter(c, 9, key, 4), CLIENTS_TOO_MANY);
    clients_leave(c, 5, key); /* has none: nothing happens */
    assert_int_equal(clients_enter(c, 9, key, 4), CLIENTS_TOO_MANY);
    clients_destroy(&c);
}

static void test_a_dead_worker_leaves_nothing(void **state)
{
    struct clients *c = made();
    uint64_t key = key6(c, 1, 1);
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(clients_enter(c, 1, key, 10), CLIENTS_IN);
        assert_int_equal(clients_enter(c, 2, key, 10), CLIENTS_IN);
    }
    assert_int_equal(clients_enter(c, 2, key, 10), CLIENTS_TOO_MANY);
    clients_worker_gone(c, 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(clients_enter(c, 1, key, 10), CLIENTS_IN);
    assert_int_equal(clients_enter(c, 1, key, 10), CLIENTS_TOO_MANY);
    clients_destroy(&c);
}

static void test_who_cannot_be_counted(void **state)
{
    struct clients *c = made();
    (void)state;
    assert_int_equal(clients_enter(c, 1, 0, 1), CLIENTS_UNCOUNTED);
    assert_int_equal(clients_enter(c, 0, key4(c, 1), 1), CLIENTS_UNCOUNTED);
    assert_int_equal(clients_enter(c, CLIENTS_WORKERS + 1, key4(c, 1), 1), CLIENTS_UNCOUNTED);
    assert_int_equal(clients_enter(c, CLIENTS_WORKERS, key4(c, 1), 1), CLIENTS_IN);
    clients_leave(c, CLIENTS_WORKERS + 1, key4(c, 1));
    clients_worker_gone(c, 0);
    clients_worker_gone(c, CLIENTS_WORKERS + 1);
    assert_int_equal(clients_enter(c, 1, key4(c, 1), 1), CLIENTS_TOO_MANY);
    for (int i = 0; i < 3; i++)
        assert_true(clients_may(c, CLIENTS_CONNECTION, 0, 1, 5));
    clients_destroy(&c);
}

/* More clients at once than there are places: those who find none come in; the others are counted rightly. */
static void test_a_full_table(void **state)
{
    enum { MANY = 60000 };
    struct clients *c = made();
    unsigned char *in = calloc(MANY, 1);
    unsigned uncounted = 0, first = MANY;
    (void)state;
    assert_non_null(in);
    for (unsigned i = 0; i < MANY; i++) {
        enum clients_answer a = clients_enter(c, 1, key6(c, i, 1), 1);
        assert_int_not_equal(a, CLIENTS_TOO_MANY);
        in[i] = a == CLIENTS_IN;
        uncounted += !in[i];
        if (!in[i] && first == MANY)
            first = i;
    }
    assert_true(first > 10000); /* the hash spreads them */
    assert_in_range(uncounted, 20000, MANY - 30000);
    for (unsigned i = 0; i < MANY; i++)
        if (in[i])
            assert_int_equal(clients_enter(c, 1, key6(c, i, 1), 1), CLIENTS_TOO_MANY);
    for (unsigned i = 0; i < MANY; i++)
        if (in[i])
            clients_leave(c, 1, key6(c, i, 1));
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(clients_enter(c, 1, key6(c, i, 1), 1), CLIENTS_IN);
    free(in);
    clients_destroy(&c);
}

/* A million sources that each come once. */
static void test_a_million_sources(void **state)
{
    struct clients *c = made();
    uint64_t began = clock_mono_us();
    unsigned mistaken = 0; /* for another one */
    (void)state;
    for (unsigned i = 0; i < 1000000; i++) {
        uint64_t key = key6(c, i, 1);
        mistaken += !clients_may(c, CLIENTS_CONNECTION, key, 1, i);
        if (clients_enter(c, 1, key, 1) == CLIENTS_IN)
            clients_leave(c, 1, key);
    }
    assert_in_range(mistaken, 0, 30);
    assert_true(clock_mono_us() - began < SECONDS(20)); /* some tenths of a second without a sanitizer */
    clients_destroy(&c);
}

static void test_rates(void **state)
{
    struct clients *c = made();
    uint64_t key = key4(c, 1), now = SECONDS(1000);
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(clients_may(c, CLIENTS_CONNECTION, key, 3, now));
    assert_false(clients_may(c, CLIENTS_CONNECTION, key, 3, now));
    assert_true(clients_may(c, CLIENTS_HANDSHAKE, key, 3, now)); /* another act */
    assert_true(clients_may(c, CLIENTS_CONNECTION, key4(c, 2), 3, now));
    assert_false(clients_may(c, CLIENTS_CONNECTION, key, 3, now + SECONDS(19)));
    assert_true(clients_may(c, CLIENTS_CONNECTION, key, 3, now + SECONDS(20)));
    assert_false(clients_may(c, CLIENTS_CONNECTION, key, 3, now + SECONDS(20)));
    assert_true(clients_may(c, CLIENTS_CONNECTION, key, 0, now + SECONDS(20)));
    now += SECONDS(200); /* all of it is there again, and not more */
    for (int i = 0; i < 3; i++)
        assert_true(clients_may(c, CLIENTS_CONNECTION, key, 3, now));
    assert_false(clients_may(c, CLIENTS_CONNECTION, key, 3, now));
    clients_destroy(&c);
}

static void test_giving_back(void **state)
{
    struct clients *c = made();
    uint64_t key = key4(c, 1);
    (void)state;
    clients_give_back(c, CLIENTS_HANDSHAKE, key, 2, 5); /* nobody took any */
    assert_true(clients_may(c, CLIENTS_HANDSHAKE, key, 2, 5));
    assert_true(clients_may(c, CLIENTS_HANDSHAKE, key, 2, 5));
    assert_false(clients_may(c, CLIENTS_HANDSHAKE, key, 2, 5));
    clients_give_back(c, CLIENTS_HANDSHAKE, key, 2, 5);
    assert_true(clients_may(c, CLIENTS_HANDSHAKE, key, 2, 5));
    assert_false(clients_may(c, CLIENTS_HANDSHAKE, key, 2, 5));
    for (int i = 0; i < 9; i++)
        clients_give_back(c, CLIENTS_HANDSHAKE, key, 2, 5);
    assert_true(clients_may(c, CLIENTS_HANDSHAKE, key, 2, 5)); /* never more than there was */
    assert_true(clients_may(c, CLIENTS_HANDSHAKE, key, 2, 5));
    assert_false(clients_may(c, CLIENTS_HANDSHAKE, key, 2, 5));
    clients_destroy(&c);
}

/* The times in the table begin anew after twelve days: before and after nobody is held to what is past. */
static void test_time_wraps(void **state)
{
    const uint64_t wrap = (uint64_t)1 << 40;
    struct clients *c = made();
    (void)state;
    for (uint64_t now = wrap - SECONDS(70); now < wrap + SECONDS(140); now += SECONDS(10)) {
        uint64_t key = key4(c, (unsigned)(now / US_PER_S));
        assert_true(clients_may(c, CLIENTS_CONNECTION, key, 2, now));
        assert_true(clients_may(c, CLIENTS_CONNECTION, key, 2, now));
        assert_false(clients_may(c, CLIENTS_CONNECTION, key, 2, now));
        assert_false(clients_may(c, CLIENTS_CONNECTION, key, 2, now + SECONDS(29)));
        assert_true(clients_may(c, CLIENTS_CONNECTION, key, 2, now + SECONDS(30)));
    }
    clients_destroy(&c);
}

/* ---- several processes ---- */

enum { PROCESSES = 4 };

struct shared {
    unsigned granted[PROCESSES];
    _Atomic unsigned ready;
};

static struct shared *shared_made(void)
{
    void *at = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

/* All of them begin at the same time, and none outlives the test. */
static void wait_for_all(struct shared *s)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)alarm(60);
    s->ready++;
    while (s->ready < PROCESSES)
        (void)usleep(100);
}

static void test_a_rate_over_processes(void **state)
{
    struct clients *c = made();
    struct shared *s = shared_made();
    uint64_t key = key4(c, 1);
    (void)state;
    assert_true(clients_may(c, CLIENTS_CONNECTION, key, 1000, 7));
    for (int p = 0; p < PROCESSES; p++) {
        if (fork() != 0)
            continue;
        wait_for_all(s);
        for (int i = 0; i < 1000; i++)
            s->granted[p] += clients_may(c, CLIENTS_CONNECTION, key, 1000, 7);
        _exit(0);
    }
    while (wait(NULL) > 0)
        ;
    unsigned sum = 0;
    for (int p = 0; p < PROCESSES; p++)
        sum += s->granted[p];
    assert_int_equal(sum, 999);
    (void)munmap(s, sizeof *s);
    clients_destroy(&c);
}

/* They never have more than the limit together; killed, they leave nothing. */
static void test_sessions_over_processes(void **state)
{
    enum { MOST = 50 };
    struct clients *c = made();
    struct shared *s = shared_made();
    uint64_t key = key4(c, 1);
    pid_t pids[PROCESSES];
    (void)state;
    for (uint32_t p = 0; p < PROCESSES; p++) {
        pids[p] = fork();
        if (pids[p] != 0)
            continue;
        wait_for_all(s);
        for (int i = 0; i < 3000; i++) {
            bool in = clients_enter(c, p + 1, key, MOST) == CLIENTS_IN;
            s->granted[p] += in;
            if (in && i % 3 == 0) { /* some leave again */
                clients_leave(c, p + 1, key);
                s->granted[p]--;
            }
        }
        s->ready++;
        (void)pause();
        _exit(0);
    }
    uint64_t end = clock_mono_us() + SECONDS(20);
    while (s->ready < 2 * PROCESSES && clock_mono_us() < end)
        (void)usleep(1000);
    unsigned sum = 0;
    for (int p = 0; p < PROCESSES; p++)
        sum += s->granted[p];
    assert_in_range(sum, MOST - PROCESSES, MOST);
    for (uint32_t p = 0; p < PROCESSES; p++) {
        assert_int_equal(kill(pids[p], SIGKILL), 0);
        assert_int_equal(waitpid(pids[p], NULL, 0), pids[p]);
        clients_worker_gone(c, p + 1);
    }
    for (int i = 0; i < MOST; i++)
        assert_int_equal(clients_enter(c, 1, key, MOST), CLIENTS_IN);
    assert_int_equal(clients_enter(c, 1, key, MOST), CLIENTS_TOO_MANY);
    (void)munmap(s, sizeof *s);
    clients_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_sessions_of_all_workers),
        cmocka_unit_test(test_a_dead_worker_leaves_nothing),
        cmocka_unit_test(test_who_cannot_be_counted),
        cmocka_unit_test(test_a_full_table),
        cmocka_unit_test(test_a_million_sources),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_giving_back),
        cmocka_unit_test(test_time_wraps),
        cmocka_unit_test(test_a_rate_over_processes),
        cmocka_unit_test(test_sessions_over_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
