/* SPDX-License-Identifier: MIT */
/* The body of one message while its verdict is out: first in memory, then in an unlinked file, within the
 * budgets that all bodies of a worker share. A spool is written to its end, then read from its start as often
 * as needed. After kill -9 nothing of it remains.
 *
 *   append --> [ memory up to memory_max ] -- past it --> [ O_TMPFILE in dir ] --> read
 *
 * The file is blocking local disk I/O in slices of at most 64 KiB; it is no network descriptor, and so it
 * lives here rather than in net/. */
#ifndef BASE_SPOOL_H
#define BASE_SPOOL_H

#include "attr.h"
#include "span.h"

#include <stdint.h>

struct spool_budget {    /* one a worker; counts are kept by the spools */
    uint64_t memory_max; /* bytes of all bodies in memory */
    uint64_t disk_max;   /* bytes of all bodies in files */
    uint64_t memory_used, disk_used;
    const char *dir; /* where files are made; NULL: memory only (tests, fuzzers) */
};

enum spool_result {
    SPOOL_OK,
    SPOOL_FULL,  /* a budget is used up: 452 */
    SPOOL_FAILED /* the disk said no (see spool_errno): 452 */
};

struct spool; /* owned by the transaction */

/* `memory_max`: how much of this body stays in memory before all of it moves to a file. NULL: no memory. */
MUST_CHECK struct spool *spool_create(struct spool_budget *budget, size_t memory_max);
void spool_destroy(struct spool **s); /* gives the budget back */
/* After a result other than OK the spool holds nothing that may be sent; it can only be destroyed. */
MUST_CHECK enum spool_result spool_append(struct spool *s, struct span bytes);
uint64_t spool_bytes(const struct spool *s);
int spool_errno(const struct spool *s);
bool spool_in_file(const struct spool *s);
/* The bytes from `offset`, at most `max` of them; good until the next call on the spool. n is 0 at the end;
 * p is NULL when reading failed. */
MUST_CHECK struct span spool_read(struct spool *s, uint64_t offset, size_t max);

#endif
