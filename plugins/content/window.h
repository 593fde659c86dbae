/* SPDX-License-Identifier: MIT */
/* Text that comes in pieces, kept up to a limit and handed on as subjects. */
#ifndef CONTENT_WINDOW_H
#define CONTENT_WINDOW_H

#include "match.h"

enum {
    WINDOW_OVERLAP = 4096, /* a match of up to so many bytes is found wherever the text is cut */
    WINDOW_LOOKBACK = 4 * PATTERN_LOOKBACK + 4, /* bytes kept for looking behind: four a character */
    WINDOW_MIN = 16 * 1024
};

struct window {
    char *p;
    size_t n, size; /* bytes held; bytes allocated */
    size_t max;     /* bytes held at most, WINDOW_MIN or more */
    size_t from;    /* where the first match not yet looked for may begin */
};

typedef void (*window_scan)(void *arg, const struct subject *s);

/* Takes p[0..n); calls `scan` each time the window is full and more comes. -1: no memory, nothing was taken.
 */
MUST_CHECK int window_feed(struct window *w, const char *p, size_t n, window_scan scan, void *arg);
/* The text is complete: scans what is left. The memory stays for the next text. */
void window_close(struct window *w, window_scan scan, void *arg);
/* Forgets the text without a scan. */
void window_drop(struct window *w);
void window_free(struct window *w);

#endif
