/* SPDX-License-Identifier: MIT */
/* Where the lines of [body] come from. A body belongs to a transaction and is freed with it.
 *
 *   START --field--> IN_HEADER --blank line--> IN_LINES --> each line to `scan`
 *     |                  |                        ^
 *     +------------------+--- a line that is no field: the header section ended without saying so
 *
 * A reader that takes the last way sees such lines as body, so they are scanned: what one of two readings
 * would show is never left out. */
#include "body.h"

#include <string.h>

enum { FIELD_NAME_MAX = 1024 }; /* a line without a colon in so many bytes is no field */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_field(enum body_state state, const char *p, size_t n)
{
    if (is_blank(p[0]))
        return state == BODY_IN_HEADER; /* a continuation, if there is something to continue */
    if (state == BODY_START && n >= 5 && memcmp(p, "From ", 5) == 0)
        return true; /* an mbox line, which some programs leave there */
    size_t i = 0;
    while (i < n && p[i] > ' ' && p[i] <= '~' && p[i] != ':')
        i++;
    size_t name = i;
    while (i < n && is_blank(p[i]))
        i++;
    return name > 0 && i < n && p[i] == ':';
}

static void decide(struct body *b)
{
    b->passing = is_field(b->state, b->line.p, b->line.n);
    b->state = b->passing ? BODY_IN_HEADER : BODY_IN_LINES;
    if (b->passing)
        window_drop(&b->line);
}

/* A piece of one line, without its end. */
static int put(struct body *b, const char *p, size_t n, window_scan scan, void *arg)
{
    if (b->passing)
        return 0;
    if (b->state != BODY_IN_LINES) {
        size_t room = FIELD_NAME_MAX - b->line.n;
        size_t head = n < room ? n : room;
        if (window_feed(&b->line, p, head, scan, arg) < 0)
            return -1;
        if (b->line.n < FIELD_NAME_MAX)
            return 0;
        decide(b);
        if (b->passing)
            return 0;
        p += head;
        n -= head;
    }
    return window_feed(&b->line, p, n, scan, arg);
}

static void line_end(struct body *b, window_scan scan, void *arg)
{
    struct window *line = &b->line;
    if (line->n > 0 && line->p[line->n - 1] == '\r')
        line->n--;
    if (b->state != BODY_IN_LINES && !b->passing) {
        if (line->n == 0) {
            b->state = BODY_IN_LINES;
            return;
        }
        decide(b);
    }
    if (!b->passing)
        window_close(line, scan, arg);
    b->passing = false;
}

int body_feed(struct body *b, struct postern_span bytes, window_scan scan, void *arg)
{
    while (bytes.n > 0) {
        const char *feed = memchr(bytes.p, '\n', bytes.n);
        size_t n = feed ? (size_t)(feed - bytes.p) : bytes.n;
        if (put(b, bytes.p, n, scan, arg) < 0)
            return -1;
        if (!feed)
            break;
        line_end(b, scan, arg);
        bytes.p += n + 1;
        bytes.n -= n + 1;
    }
    return 0;
}

void body_close(struct body *b, window_scan scan, void *arg)
{
    if (b->line.n > 0)
        line_end(b, scan, arg);
}

void body_free(struct body *b)
{
    window_free(&b->line);
    b->state = BODY_START;
    b->passing = false;
}
