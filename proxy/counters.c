/* SPDX-License-Identifier: MIT */
/* Counters in memory that the supervisor and its workers share.
 *
 *   name -> hash -> slot: [ hash | named | value | name ]    open addressing, slots are never given back
 *
 * A slot belongs to whoever puts its hash there by one compare-and-swap; the name is written after that. A
 * process that dies between the two does no harm: the next one that looks for this name writes it again. So
 * nobody ever waits for anybody. Two names with one 64-bit hash would be counted together, which no set of
 * names of ours will ever see.
 *
 * Made before the first fork by the supervisor; each process unmaps its own view. */
#include "proxy/counters.h"

#include "base/span.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#define SLOTS          1024u
#define OVERFLOW       SLOTS /* one slot more, for all names that found no place */
#define NAME_MAX_BYTES 96

struct slot {
    _Atomic uint64_t hash; /* 0: free */
    _Atomic uint64_t value;
    _Atomic uint32_t named;
    char name[NAME_MAX_BYTES];
};

struct counters {
    struct slot slots[SLOTS + 1];
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counters are shared between processes and need real atomics");

static void slot_name(struct slot *s, struct span name)
{
    if (atomic_load_explicit(&s->named, memory_order_acquire))
        return;
    if (name.n)
        memcpy(s->name, name.p, name.n); /* every writer writes the same bytes; the rest is zero already */
    atomic_store_explicit(&s->named, 1, memory_order_release);
}

struct counters *counters_create(void)
{
    void *at = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    struct counters *c = at;
    slot_name(&c->slots[OVERFLOW], SPAN_LIT("overflow"));
    return c;
}

void counters_destroy(struct counters **c)
{
    if (*c)
        (void)munmap(*c, sizeof **c);
    *c = NULL;
}

static struct span clipped(const char *name)
{
    return span_head(span_of(name), NAME_MAX_BYTES - 1);
}

static uint64_t hash_of(struct span s) /* FNV-1a; never 0 */
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 1099511628211u;
    return h ? h : 1;
}

size_t counters_find(struct counters *c, const char *name)
{
    struct span text = clipped(name);
    uint64_t hash = hash_of(text);
    for (size_t i = 0; i < SLOTS; i++) {
        size_t place = (hash + i) % SLOTS;
        struct slot *s = &c->slots[place];
        uint64_t there = atomic_load_explicit(&s->hash, memory_order_relaxed);
        if (there == 0 && atomic_compare_exchange_strong(&s->hash, &there, hash))
            there = hash;
        if (there != hash)
            continue;
        slot_name(s, text);
        return place;
    }
    return OVERFLOW;
}

void counters_add(struct counters *c, size_t place, uint64_t n)
{
    atomic_fetch_add_explicit(&c->slots[place <= OVERFLOW ? place : OVERFLOW].value, n, memory_order_relaxed);
}

uint64_t counters_value(const struct counters *c, const char *name)
{
    struct span text = clipped(name);
    uint64_t hash = hash_of(text);
    if (span_eq(text, SPAN_LIT("overflow")))
        return atomic_load_explicit(&c->slots[OVERFLOW].value, memory_order_relaxed);
    for (size_t i = 0; i < SLOTS; i++) {
        const struct slot *s = &c->slots[(hash + i) % SLOTS];
        uint64_t there = atomic_load_explicit(&s->hash, memory_order_relaxed);
        if (there == hash)
            return atomic_load_explicit(&s->value, memory_order_relaxed);
        if (there == 0)
            break;
    }
    return 0;
}

void counters_each(const struct counters *c, void (*fn)(void *arg, const char *name, uint64_t value),
                   void *arg)
{
    for (size_t i = 0; i <= OVERFLOW; i++) {
        const struct slot *s = &c->slots[i];
        if (atomic_load_explicit(&s->named, memory_order_acquire))
            fn(arg, s->name, atomic_load_explicit(&s->value, memory_order_relaxed));
    }
}
