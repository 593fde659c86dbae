/* SPDX-License-Identifier: MIT */
/* The arena: a list of chunks, the newest first; only the first one is filled further.
 *
 *   arena -> [ used | free ] -> [ full ] -> [ one large thing ] -> NULL
 *
 * The creator owns the arena; the arena owns its chunks and all that was allocated. Nothing outlives
 * arena_reset or arena_destroy. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CHUNK   1024u /* a small transaction fits */
#define LARGEST_CHUNK 65536u
#define ALIGNMENT     alignof(max_align_t)

struct chunk {
    struct chunk *next;
    size_t used, size; /* of data */
    alignas(max_align_t) char data[];
};

struct arena {
    struct chunk *chunks;
    size_t limit, held;
    size_t next_size; /* of the next chunk, its head included */
};

struct arena *arena_create(size_t limit)
{
    struct arena *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->limit = limit;
    a->next_size = FIRST_CHUNK;
    return a;
}

void arena_reset(struct arena *a)
{
    struct chunk *next;
    for (struct chunk *c = a->chunks; c; c = next) {
        next = c->next;
        free(c);
    }
    *a = (struct arena){.limit = a->limit, .next_size = FIRST_CHUNK};
}

void arena_destroy(struct arena **a)
{
    if (!*a)
        return;
    arena_reset(*a);
    free(*a);
    *a = NULL;
}

/* Takes a chunk with room for n, as large as is usual where the limit allows it. */
static struct chunk *take_chunk(struct arena *a, size_t n)
{
    size_t left = a->limit - a->held;
    if (left < sizeof(struct chunk) || n > left - sizeof(struct chunk))
        return NULL;
    size_t size = sizeof(struct chunk) + n;
    if (size < a->next_size)
        size = a->next_size < left ? a->next_size : left;
    struct chunk *c = calloc(1, size);
    if (!c)
        return NULL;
    c->size = size - sizeof *c;
    a->held += size;
    if (a->next_size < LARGEST_CHUNK)
        a->next_size *= 2;
    return c;
}

/* The chunk with more free space stays in front, so that one large thing does not waste the rest of it. */
static void add_chunk(struct arena *a, struct chunk *c, size_t will_use)
{
    struct chunk *front = a->chunks;
    if (front && front->size - front->used > c->size - will_use) {
        c->next = front->next;
        front->next = c;
    } else {
        c->next = front;
        a->chunks = c;
    }
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX - ALIGNMENT)
        return NULL;
    n = (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (n == 0)
        n = ALIGNMENT; /* so that two things never share an address */

    struct chunk *c = a->chunks;
    if (!c || c->size - c->used < n) {
        c = take_chunk(a, n);
        if (!c)
            return NULL;
        add_chunk(a, c, n);
    }
    void *p = c->data + c->used;
    c->used += n;
    return p;
}

struct span arena_span(struct arena *a, struct span s)
{
    char *copy = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;
    if (!copy)
        return SPAN_NONE;
    if (s.n)
        memcpy(copy, s.p, s.n);
    return span_make(copy, s.n);
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char *text = NULL;
    int n = vsnprintf(NULL, 0, format, args);
    if (n >= 0)
        text = arena_alloc(a, (size_t)n + 1);
    if (text && vsnprintf(text, (size_t)n + 1, format, again) != n)
        text = NULL;
    va_end(again);
    va_end(args);
    return text;
}

size_t arena_bytes(const struct arena *a)
{
    return a->held;
}
