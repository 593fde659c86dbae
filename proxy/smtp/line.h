/* SPDX-License-Identifier: MIT */
/* The line splitter for commands, SASL responses and replies: bytes in, lines out. A line ends in CRLF and in
 * nothing else (RFC 5321 2.3.8); a bare LF, a bare CR or a NUL is an event of its own, because what one peer
 * takes for a line end and another does not is how commands are smuggled.
 *
 * The input may be cut at any byte; the events are the same. A whole line inside one input is not copied. */
#ifndef SMTP_LINE_H
#define SMTP_LINE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

enum line_result {
    LINE_MORE,     /* all input taken, no line yet */
    LINE_READY,    /* *line_r is a line without its CRLF, good until the next call and while `in` lives */
    LINE_TOO_LONG, /* a line longer than max has ended in CRLF; it was skipped */
    LINE_FLOOD,    /* a line went on past `flood`: give up the connection */
    /* After these three the stream cannot be trusted any further. A line that is already longer than max when
     * they come reports them all the same. Who reads on sees no line before a true CRLF: the rest of the
     * spoiled one is skipped as TOO_LONG. */
    LINE_BARE_LF,
    LINE_BARE_CR,
    LINE_NUL,
    LINE_NO_MEMORY
};

struct line {
    size_t max;   /* octets of a line without CRLF; may be changed between lines */
    size_t flood; /* octets after which an over-long line is not even skipped */
    bool nul_ok;  /* a NUL is an octet like any other (replies, which replace it) */
    /* private */
    struct buf held;
    size_t seen; /* octets of the current line so far */
    bool cr;
};

void line_init(struct line *l, size_t max, size_t flood);
void line_free(struct line *l); /* forgets the line it is in, and holds no memory */
/* Takes from the front of *in and moves it forward. The call that says MORE has given back what the line
 * before it needed, so that an idle splitter holds no memory. */
MUST_CHECK enum line_result line_feed(struct line *l, struct span *in, struct span *line_r);
/* A line has begun and not ended. */
static inline bool line_partial(const struct line *l)
{
    return l->seen > 0 || l->cr;
}

#endif
