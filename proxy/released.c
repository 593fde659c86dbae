/* SPDX-License-Identifier: MIT */
/* A table in shared memory. A place belongs to the worker whose number is in `owner`; nobody else writes to
 * it until it is free again. Its texts are complete when `whole` is set, so that a death in the middle of a
 * note names nothing: the end was not released yet.
 *
 * The mapping belongs to the process; the memory goes with the last of them. */
#include "proxy/released.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define PLACES    8192u
#define TRIES     64u /* then the table counts as full */
#define TEXT_ROOM 80u

struct text {
    uint8_t n;
    char bytes[TEXT_ROOM];
};

struct place {
    _Atomic uint32_t owner; /* 0: free */
    _Atomic bool whole;
    struct text sid, client, from, to;
};

struct released {
    _Atomic uint32_t next; /* where to look first */
    struct place places[PLACES];
};

struct released *released_create(void)
{
    void *at = mmap(NULL, sizeof(struct released), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void released_destroy(struct released **r)
{
    if (*r)
        (void)munmap(*r, sizeof(**r));
    *r = NULL;
}

static void put(struct text *t, struct span s)
{
    s = span_head(s, TEXT_ROOM);
    t->n = (uint8_t)s.n;
    if (s.n)
        memcpy(t->bytes, s.p, s.n);
}

static struct span get(const struct text *t)
{
    return span_make(t->bytes, t->n < TEXT_ROOM ? t->n : TEXT_ROOM);
}

size_t released_note(struct released *r, uint32_t worker, const struct released_message *m)
{
    uint32_t first = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < TRIES; i++) {
        size_t at = (first + i) % PLACES;
        struct place *p = &r->places[at];
        uint32_t nobody = 0;
        if (!atomic_compare_exchange_strong_explicit(&p->owner, &nobody, worker, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        put(&p->sid, m->sid);
        put(&p->client, m->client);
        put(&p->from, m->from);
        put(&p->to, m->to);
        atomic_store_explicit(&p->whole, true, memory_order_release);
        return at;
    }
    return RELEASED_NOWHERE;
}

void released_settle(struct released *r, size_t place)
{
    if (place >= PLACES)
        return;
    atomic_store_explicit(&r->places[place].whole, false, memory_order_relaxed);
    atomic_store_explicit(&r->places[place].owner, 0, memory_order_release);
}

void released_of_the_dead(struct released *r, uint32_t worker,
                          void (*found)(void *arg, const struct released_message *m), void *arg)
{
    for (size_t i = 0; i < PLACES; i++) {
        struct place *p = &r->places[i];
        if (atomic_load_explicit(&p->owner, memory_order_acquire) != worker)
            continue;
        struct released_message m = {get(&p->sid), get(&p->client), get(&p->from), get(&p->to)};
        if (atomic_load_explicit(&p->whole, memory_order_acquire))
            found(arg, &m);
        released_settle(r, i);
    }
}
