/* SPDX-License-Identifier: MIT */
/* The byte queue of buf.h. Its owner holds the struct; the memory behind it lives from the first byte that is
 * added until the last one is consumed, or buf_free.
 *
 *   reserve/append --> [ consumed | waiting | free ] --> span/consume */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SMALLEST 512u

static void give_back(struct buf *b)
{
    if (b->data && b->cap <= BUF_WIPED)
        explicit_bzero(b->data, b->cap);
    free(b->data);
}

/* Moves what waits to memory with room for n more. It grows by doubling, so that n appends copy O(n) bytes.
 */
static bool grow(struct buf *b, size_t n)
{
    size_t len = buf_len(b);
    if (n > SIZE_MAX / 4 - len)
        return false;
    size_t cap = len * 2 > len + n ? len * 2 : len + n;
    if (cap < SMALLEST)
        cap = SMALLEST;
    char *data = malloc(cap);
    if (!data)
        return false;
    if (len)
        memcpy(data, b->data + b->start, len);
    give_back(b);
    *b = (struct buf){.data = data, .end = len, .cap = cap};
    return true;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (buf_room(b) < n) {
        size_t len = buf_len(b);
        /* Moving to the front is paid for by the bytes that were consumed, so it costs O(1) for each. */
        if (b->start >= len && b->cap - len >= n) {
            memmove(b->data, b->data + b->start, len);
            b->start = 0;
            b->end = len;
        } else if (!grow(b, n)) {
            return NULL;
        }
    }
    return b->data + b->end;
}

void buf_added(struct buf *b, size_t n)
{
    b->end += n;
    if (b->start == b->end)
        buf_free(b); /* reserved, and then nothing came */
}

bool buf_append(struct buf *b, struct span s)
{
    if (s.n == 0)
        return true;
    char *to = buf_reserve(b, s.n);
    if (!to)
        return false;
    memcpy(to, s.p, s.n);
    buf_added(b, s.n);
    return true;
}

bool buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    char *to = n >= 0 ? buf_reserve(b, (size_t)n + 1) : NULL;
    bool good = to && vsnprintf(to, (size_t)n + 1, format, again) == n;
    if (to)
        buf_added(b, good ? (size_t)n : 0);
    va_end(again);
    va_end(args);
    return good;
}

void buf_consume(struct buf *b, size_t n)
{
    b->start += n;
    if (b->start >= b->end)
        buf_free(b);
}

void buf_free(struct buf *b)
{
    give_back(b);
    *b = (struct buf){0};
}
