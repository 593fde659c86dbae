/* SPDX-License-Identifier: MIT */
/* The memory store: a table of GCRA states that all workers share, of fixed size and without locks.
 *
 * The table lies in memory that the host made before the workers; a handle is only a view of it. Whatever
 * instruction a process is killed at, the others go on: what it began is either done by the next who comes
 * by, or is one charge that waiting pays back. */
#ifndef RATELIMIT_MEMSTORE_H
#define RATELIMIT_MEMSTORE_H

#include "gcra.h"
#include "hash.h"

#define MEMORY_LAYOUT 1 /* changes with the layout: it is part of the shared memory's name */

struct memory {
    struct memory_header *header;
    struct memory_bucket *buckets;
    uint64_t mask; /* number of buckets less one */
};

/* How many bytes a table for so many keys needs. Room is half as much again, so that keys seldom crowd. */
size_t memory_bytes(uint64_t keys);
/* How many keys fit at most. */
uint64_t memory_capacity(uint64_t keys);
/* `mapping`: memory_bytes(keys) bytes, at a multiple of 64, zeroed when new. -1: no random numbers were to be
 * had. */
MUST_CHECK int memory_attach(struct memory *m, void *mapping, uint64_t keys);

/* Where a key lies. The hash is keyed by the table, so that strangers cannot choose keys that collide. */
struct hash128 memory_hash(const struct memory *m, const void *key, size_t n);

struct memory_charge {
    struct hash128 id;
    const struct gcra *rate;
    uint64_t units;
    struct gcra_result result;
};

#define MEMORY_ALLOWED (-1)

/* Charges all or nothing. Returns MEMORY_ALLOWED, or which one refused (the one to wait longest for); then
 * nothing is charged. *evicted_r: how many keys with charges on them had to make room. */
int memory_decide(struct memory *m, struct memory_charge *charges, size_t n, uint64_t now_us,
                  unsigned *evicted_r);
void memory_give_back(struct memory *m, struct hash128 id, const struct gcra *rate, uint64_t units,
                      uint64_t end_us, uint64_t now_us);

#endif
