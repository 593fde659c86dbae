/* SPDX-License-Identifier: MIT */
/* Counting clients without locks and without lists.
 *
 *   address -> keyed hash -> set of WAYS words, one of them the client's
 *
 *   sessions:  a table for each worker, written by that worker alone;  word = tag : 48, how many : 16
 *              entering: add to the own table, then sum over all; past the limit take it back
 *              a worker that dies takes its table with it, so nothing stays counted
 *   acts:      one table for all, changed by compare-and-swap;         word = tag : 24, full again at : 40
 *              a word whose time is over is free for anybody
 *
 * The hash is keyed, so that nobody can choose addresses that crowd one set, or that share a word (two in
 * 2^35 do so by chance). When a set is full of others nevertheless, the newcomer is not counted: a table is
 * no reason to send mail away. Pages that were never written cost nothing, so few workers and few clients
 * take little memory.
 *
 * Made before the first fork by the supervisor; each process unmaps its own view. */
#include "proxy/clients.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define SETS 2048u
#define WAYS 16u /* two cache lines */

#define COUNT_BITS 16
#define COUNT_MAX  ((1u << COUNT_BITS) - 1)
#define TIME_BITS  40 /* microseconds: 12 days until they begin anew */
#define TIME_MASK  (((uint64_t)1 << TIME_BITS) - 1)
#define MINUTE_US  ((uint64_t)60 * 1000 * 1000)
#define SPINS_MAX  64 /* of a compare-and-swap that always loses: then once more does not matter */

typedef _Atomic uint64_t word;

struct table {
    _Alignas(64) word words[SETS][WAYS];
};

struct clients {
    uint64_t secret[2];
    _Atomic uint32_t workers; /* the highest number that was ever used */
    struct table acts[CLIENTS_ACTS];
    struct table sessions[CLIENTS_WORKERS];
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared between processes: real atomics are needed");

struct clients *clients_create(void)
{
    void *at = mmap(NULL, sizeof(struct clients), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    struct clients *c = at;
    if (getrandom(c->secret, sizeof c->secret, 0) != (ssize_t)sizeof c->secret)
        clients_destroy(&c);
    return c;
}

void clients_destroy(struct clients **c)
{
    if (*c)
        (void)munmap(*c, sizeof **c);
    *c = NULL;
}

/* ---- who ---- */

static uint64_t rotated(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

/* SipHash's round, on its four words. */
static void stir(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotated(v[1], 13) ^ v[0];
    v[3] = rotated(v[3], 16) ^ v[2];
    v[0] = rotated(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotated(v[1], 17) ^ v[2];
    v[3] = rotated(v[3], 21) ^ v[0];
    v[2] = rotated(v[2], 32);
}

/* SipHash-1-3 of two words. */
static uint64_t hash_of(const uint64_t secret[2], const uint64_t message[2])
{
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du,
                     secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u};
    for (int i = 0; i < 2; i++) {
        v[3] ^= message[i];
        stir(v);
        v[0] ^= message[i];
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        stir(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t clients_key(const struct clients *c, const unsigned char *ip, size_t ip_n)
{
    uint64_t message[2] = {ip_n, 0};
    if (ip_n != 4 && ip_n != 16)
        return 0;
    memcpy(&message[1], ip, ip_n == 4 ? 4 : 8);
    uint64_t key = hash_of(c->secret, message);
    return key ? key : 1;
}

/* The low bits choose the set, the high ones are the tag; no tag is 0, so that no word in use is. */
static word *set_of(struct table *t, uint64_t key)
{
    return t->words[key % SETS];
}

static uint64_t tag_of(uint64_t key, int bits_below)
{
    uint64_t tag = key >> bits_below << bits_below;
    return tag ? tag : (uint64_t)1 << bits_below;
}

/* ---- sessions ---- */

/* The client's word; NULL: it has none. */
static word *session_word(struct table *t, uint64_t key)
{
    word *set = set_of(t, key);
    uint64_t tag = tag_of(key, COUNT_BITS);
    for (size_t i = 0; i < WAYS; i++)
        if ((atomic_load(&set[i]) & ~(uint64_t)COUNT_MAX) == tag)
            return &set[i];
    return NULL;
}

static word *free_word(struct table *t, uint64_t key)
{
    word *set = set_of(t, key);
    for (size_t i = 0; i < WAYS; i++)
        if (atomic_load(&set[i]) == 0)
            return &set[i];
    return NULL;
}

static uint64_t count_of(uint64_t value)
{
    return value & COUNT_MAX;
}

static uint64_t sessions_of(struct clients *c, uint64_t key)
{
    uint64_t sum = 0;
    uint32_t workers = atomic_load(&c->workers);
    for (uint32_t i = 0; i < workers; i++) {
        const word *w = session_word(&c->sessions[i], key);
        sum += w ? count_of(atomic_load(w)) : 0;
    }
    return sum;
}

static void note_worker(struct clients *c, uint32_t worker)
{
    uint32_t known = atomic_load(&c->workers);
    while (known < worker && !atomic_compare_exchange_weak(&c->workers, &known, worker))
        ;
}

static struct table *table_of(struct clients *c, uint32_t worker)
{
    return worker >= 1 && worker <= CLIENTS_WORKERS ? &c->sessions[worker - 1] : NULL;
}

/* One less; the last one gives the word back. */
static void take_off(word *w)
{
    uint64_t value = atomic_load(w);
    atomic_store(w, count_of(value) > 1 ? value - 1 : 0);
}

enum clients_answer clients_enter(struct clients *c, uint32_t worker, uint64_t key, uint32_t most)
{
    struct table *own = table_of(c, worker);
    if (!own || !key)
        return CLIENTS_UNCOUNTED;
    note_worker(c, worker);
    word *w = session_word(own, key);
    if (!w)
        w = free_word(own, key);
    uint64_t before = w ? atomic_load(w) : 0;
    if (!w || count_of(before) == COUNT_MAX)
        return CLIENTS_UNCOUNTED;
    /* First added, then summed: of two workers at the limit at the same time at least one sees both. */
    atomic_store(w, (before ? before : tag_of(key, COUNT_BITS)) + 1);
    if (!most || sessions_of(c, key) <= most)
        return CLIENTS_IN;
    take_off(w);
    return CLIENTS_TOO_MANY;
}

void clients_leave(struct clients *c, uint32_t worker, uint64_t key)
{
    struct table *own = table_of(c, worker);
    word *w = own && key ? session_word(own, key) : NULL;
    if (w)
        take_off(w);
}

void clients_worker_gone(struct clients *c, uint32_t worker)
{
    struct table *own = table_of(c, worker);
    for (size_t i = 0; own && i < SETS; i++)
        for (size_t j = 0; j < WAYS; j++)
            if (atomic_load(&own->words[i][j]) != 0) /* a page that nobody wrote to stays unwritten */
                atomic_store(&own->words[i][j], 0);
}

/* ---- acts ---- */

/* What is still owed of an allowance, in microseconds; 0: all of it is there again. A time that lies further
 * ahead than a minute is one of long ago. */
static uint64_t owed(uint64_t value, uint64_t now_us)
{
    uint64_t ahead = ((value & TIME_MASK) - now_us) & TIME_MASK;
    return value && ahead <= MINUTE_US ? ahead : 0;
}

/* The client's word, else one that is of no use to its client any more. */
static word *act_word(struct table *t, uint64_t key, uint64_t now_us)
{
    word *set = set_of(t, key), *unused = NULL;
    uint64_t tag = tag_of(key, TIME_BITS);
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t value = atomic_load(&set[i]);
        if ((value & ~TIME_MASK) == tag)
            return &set[i];
        if (!owed(value, now_us))
            unused = &set[i];
    }
    return unused;
}

bool clients_may(struct clients *c, enum clients_act act, uint64_t key, uint32_t a_minute, uint64_t now_us)
{
    uint64_t tag = tag_of(key, TIME_BITS);
    if (!a_minute || !key)
        return true;
    uint64_t cost = MINUTE_US / a_minute;
    for (int i = 0; i < SPINS_MAX; i++) {
        word *w = act_word(&c->acts[act], key, now_us);
        uint64_t before = w ? atomic_load(w) : 0;
        uint64_t debt = (before & ~TIME_MASK) == tag ? owed(before, now_us) : 0;
        if (w && debt + cost > MINUTE_US)
            return false;
        if (!w || atomic_compare_exchange_strong(w, &before, tag | ((now_us + debt + cost) & TIME_MASK)))
            return true;
    }
    return true;
}

void clients_give_back(struct clients *c, enum clients_act act, uint64_t key, uint32_t a_minute,
                       uint64_t now_us)
{
    uint64_t tag = tag_of(key, TIME_BITS);
    if (!a_minute || !key)
        return;
    uint64_t cost = MINUTE_US / a_minute;
    for (int i = 0; i < SPINS_MAX; i++) {
        word *w = act_word(&c->acts[act], key, now_us);
        uint64_t before = w ? atomic_load(w) : 0;
        uint64_t debt = owed(before, now_us);
        if (!w || (before & ~TIME_MASK) != tag || !debt)
            return;
        uint64_t left = debt > cost ? debt - cost : 0;
        if (atomic_compare_exchange_strong(w, &before, tag | ((now_us + left) & TIME_MASK)))
            return;
    }
}
