/* SPDX-License-Identifier: MIT */
/* Memory that goes at once: what belongs to a transaction, a configuration, a parse. Allocation is a bump of
 * a pointer in chunks; nothing is freed alone. An arena has a limit, and past it allocation fails. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "attr.h"
#include "span.h"

struct arena; /* owned by its creator */

/* `limit`: most bytes it may hold in all. NULL: no memory. No chunk is taken before the first allocation. */
MUST_CHECK struct arena *arena_create(size_t limit);
void arena_destroy(struct arena **a); /* takes NULL; sets *a to NULL */
void arena_reset(struct arena *a);    /* empties it and gives every chunk back */

/* Zeroed, aligned for any type. NULL: the limit, or no memory. */
MUST_CHECK void *arena_alloc(struct arena *a, size_t n);
/* A copy, with a NUL behind it that is not counted. On failure p is NULL (also for an empty span: p is not
 * NULL on success). */
MUST_CHECK struct span arena_span(struct arena *a, struct span s);
MUST_CHECK char *arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
size_t arena_bytes(const struct arena *a); /* held now, chunks included */

#endif
