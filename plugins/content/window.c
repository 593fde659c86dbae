/* SPDX-License-Identifier: MIT */
/* Long texts in bounded memory. A window belongs to a transaction and is freed when that ends.
 *
 *   first window   |0 ------------------------------------------ cut |== overlap ==|
 *                   matches may begin here .......................    may only end here
 *   next window              |= lookback =|from .................................. cut |== overlap ==|
 *                             seen, not begun in
 *
 * Every place where a match may begin is tried once, with at least WINDOW_OVERLAP bytes after it, and the
 * bytes before it for \b and lookbehind. So nothing is skipped and the work stays linear in the number of
 * windows; only a match longer than the overlap can be lost, when a cut falls into it. */
#include "window.h"

#include <stdlib.h>
#include <string.h>

static int reserve(struct window *w, size_t want)
{
    if (want <= w->size)
        return 0;
    size_t size = w->size ? w->size : 4096;
    while (size < want)
        size *= 2;
    if (size > w->max)
        size = w->max;
    char *p = realloc(w->p, size);
    if (!p)
        return -1;
    w->p = p;
    w->size = size;
    return 0;
}

/* Not into the middle of a UTF-8 character. For bytes that are no UTF-8 any cut is as good. */
static size_t character_start(const struct window *w, size_t at)
{
    for (int back = 0; back < 3 && at > 0 && ((unsigned char)w->p[at] & 0xc0) == 0x80; back++)
        at--;
    return at;
}

static void slide(struct window *w, window_scan scan, void *arg)
{
    size_t cut = character_start(w, w->n - WINDOW_OVERLAP);
    struct subject s = {.p = w->p, .n = w->n, .from = w->from, .to = cut - 1, .last = false};
    scan(arg, &s);
    size_t keep = cut - WINDOW_LOOKBACK;
    memmove(w->p, w->p + keep, w->n - keep);
    w->n -= keep;
    w->from = cut - keep;
}

int window_feed(struct window *w, const char *p, size_t n, window_scan scan, void *arg)
{
    while (n > 0) {
        if (w->n == w->max)
            slide(w, scan, arg);
        size_t take = n < w->max - w->n ? n : w->max - w->n;
        if (reserve(w, w->n + take) < 0)
            return -1;
        memcpy(w->p + w->n, p, take);
        w->n += take;
        p += take;
        n -= take;
    }
    return 0;
}

void window_close(struct window *w, window_scan scan, void *arg)
{
    struct subject s = subject_whole(w->p, w->n);
    s.from = w->from;
    scan(arg, &s);
    window_drop(w);
}

void window_drop(struct window *w)
{
    w->n = w->from = 0;
}

void window_free(struct window *w)
{
    free(w->p);
    w->p = NULL;
    w->size = 0;
    window_drop(w);
}
