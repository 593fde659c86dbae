/* SPDX-License-Identifier: MIT */
/* A queue of bytes: appended at the end, consumed from the start. It holds memory only while it holds bytes,
 * so an idle connection costs nothing.
 *
 *      data        start            end         cap
 *       |  consumed  |    waiting    |   free    |          start <= end <= cap
 *
 * A span of it is good until the next call on the buf. Memory that holds as little as the lines of a dialogue
 * is wiped before it is given back: one of them may be a password. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "attr.h"
#include "span.h"

#define BUF_WIPED ((size_t)16 * 1024) /* the largest memory that is wiped; content comes in larger pieces */

struct buf { /* zeroed: empty. Fields are private */
    char *data;
    size_t start, end, cap;
};

MUST_CHECK bool buf_append(struct buf *b, struct span s);
MUST_CHECK bool buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Room for at least n bytes behind the end (n > 0); buf_added says how many were used. NULL: no memory. */
MUST_CHECK char *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* frees the memory when nothing is left */
void buf_free(struct buf *b);

static inline struct span buf_span(const struct buf *b)
{
    return b->data ? (struct span){b->data + b->start, b->end - b->start} : SPAN_NONE;
}
static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}
/* How much can be added without a copy or an allocation. */
static inline size_t buf_room(const struct buf *b)
{
    return b->cap - b->end;
}

#endif
