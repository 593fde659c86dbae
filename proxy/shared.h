/* SPDX-License-Identifier: MIT */
/* Memory that filters share between workers, found by name and size. The supervisor makes it while it checks
 * a generation; workers map the descriptors that come with the generation. The same name and size in the next
 * generation is the same memory.
 *
 *   generation 1 (supervisor) --memfd--> worker 1, worker 2
 *        | adopt: same name, same size
 *   generation 2 (supervisor) --memfd--> worker 1, worker 2 */
#ifndef PROXY_SHARED_H
#define PROXY_SHARED_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARED_MAX       64 /* memories of one generation */
#define SHARED_NAME_MAX  255
#define SHARED_BYTES_MAX ((size_t)4 * 1024 * 1024 * 1024) /* of one generation, in all */

struct shared_memory {
    char name[SHARED_NAME_MAX + 1];
    size_t bytes;
    int fd;
    void *at;
};

struct shared_set { /* zeroed: empty. Each set has mappings and descriptors of its own */
    struct shared_memory items[SHARED_MAX];
    size_t n;
    size_t total;
    const struct shared_set *older; /* where memories are adopted from; NULL: nowhere */
    bool may_create;                /* the supervisor */
};

/* The memory with this name and size: known, adopted, or new (zeroed). NULL: not there and not to be had. */
MUST_CHECK void *shared_get(struct shared_set *s, const char *name, size_t bytes);
/* A worker takes a descriptor that it was sent; it is closed on failure. false: it cannot be mapped. */
MUST_CHECK bool shared_take(struct shared_set *s, const char *name, size_t bytes, int fd);
void shared_free(struct shared_set *s); /* unmaps, closes, empties */

#endif
