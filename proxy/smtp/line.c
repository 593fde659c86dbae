/* SPDX-License-Identifier: MIT */
/* The line splitter. Its owner (a connection's state, a reply parser) holds the struct; only a line that is
 * cut by the end of an input is kept here, until the call after the one that gave it out.
 *
 *   in:  "MAIL FROM:<a@b>\r\nRC"  -->  READY "MAIL FROM:<a@b>"      (a span of the input)
 *   in:  "PT TO:<c@d>\r\n"        -->  READY "RCPT TO:<c@d>"        (a span of `held`)
 *
 * `seen` counts the octets of the line so far. Past `max` they are counted and not kept. */
#include "smtp/line.h"

void line_init(struct line *l, size_t max, size_t flood)
{
    *l = (struct line){.max = max, .flood = flood};
}

void line_free(struct line *l)
{
    buf_free(&l->held);
    l->seen = 0;
    l->cr = false;
}

static bool is_special(const struct line *l, char c)
{
    return c == '\n' || c == '\r' || (c == '\0' && !l->nul_ok);
}

/* Octets before the next CR, LF or NUL. */
static size_t plain_run(const struct line *l, struct span in)
{
    size_t n = 0;
    while (n < in.n && !is_special(l, in.p[n]))
        n++;
    return n;
}

/* The stream is not to be trusted. A caller who reads on all the same must not get the second half of this
 * line as a line of its own, so it is marked as too long. */
static enum line_result spoil(struct line *l, enum line_result what)
{
    buf_free(&l->held);
    if (l->seen <= l->max)
        l->seen = l->max + 1;
    l->cr = false;
    return what;
}

/* Adds a piece to the line; past `max` only its length. */
static bool keep(struct line *l, struct span piece)
{
    if (l->seen <= l->max)
        return buf_append(&l->held, piece);
    buf_free(&l->held);
    return true;
}

/* CRLF has come. `tail` is the part of the line inside this input. */
static enum line_result end_line(struct line *l, struct span tail, struct span *line_r)
{
    size_t seen = l->seen;
    l->cr = false;
    if (seen > l->max) {
        buf_free(&l->held);
        l->seen = 0;
        return LINE_TOO_LONG;
    }
    if (buf_len(&l->held) == 0) {
        *line_r = tail;
    } else {
        if (!buf_append(&l->held, tail))
            return LINE_NO_MEMORY;
        *line_r = buf_span(&l->held);
    }
    l->seen = 0;
    return LINE_READY;
}

/* The last input ended in CR. */
static enum line_result after_cr(struct line *l, struct span *in, struct span *line_r)
{
    if (in->p[0] != '\n')
        return spoil(l, LINE_BARE_CR);
    struct span nothing = span_head(*in, 0);
    *in = span_skip(*in, 1);
    return end_line(l, nothing, line_r);
}

/* `run` ends in front of a special octet, which stands first in *in. */
static enum line_result at_special(struct line *l, struct span run, struct span *in, struct span *line_r)
{
    char c = in->p[0];
    if (c == '\r' && in->n == 1) {
        *in = span_skip(*in, 1);
        l->cr = true;
        return keep(l, run) ? LINE_MORE : LINE_NO_MEMORY;
    }
    if (c == '\r' && in->p[1] == '\n') {
        *in = span_skip(*in, 2);
        return end_line(l, run, line_r);
    }
    *in = span_skip(*in, 1);
    if (c == '\r')
        return spoil(l, LINE_BARE_CR);
    return spoil(l, c == '\n' ? LINE_BARE_LF : LINE_NUL);
}

enum line_result line_feed(struct line *l, struct span *in, struct span *line_r)
{
    if (!line_partial(l))
        buf_free(&l->held); /* the line that was given out */
    if (in->n == 0)
        return LINE_MORE;
    if (l->cr)
        return after_cr(l, in, line_r);

    struct span run = span_head(*in, plain_run(l, *in));
    if (run.n > l->flood || l->seen > l->flood - run.n) {
        if (l->seen <= l->flood)
            *in = span_skip(*in, l->flood + 1 - l->seen);
        l->seen = l->flood + 1;
        buf_free(&l->held);
        return LINE_FLOOD;
    }
    l->seen += run.n;
    *in = span_skip(*in, run.n);
    if (in->n)
        return at_special(l, run, in, line_r);
    return keep(l, run) ? LINE_MORE : LINE_NO_MEMORY;
}
