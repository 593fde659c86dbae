/* SPDX-License-Identifier: MIT */
/* Replies (RFC 5321 4.2): a parser for the upstream's, a builder for our own.
 *
 * The parser gives a whole reply, all its lines, as bytes that may be relayed as they are: CRLF line ends,
 * the same code on each line, control characters and NUL replaced by '?'. Text is not judged otherwise:
 * enhanced codes that disagree are the server's affair. */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"
#include "smtp/line.h"

enum reply_result {
    REPLY_MORE,
    REPLY_READY,     /* code and bytes are set, good until the next call */
    REPLY_MALFORMED, /* not a reply (see reply_parser.why); the connection cannot be trusted any further */
    REPLY_TOO_LONG,  /* past max_line, max_lines or max_bytes: likewise */
    REPLY_NO_MEMORY
};

struct reply_parser {
    size_t max_line;  /* octets of a line; 0: 2048 (RFC 5321 says 512, servers say more) */
    size_t max_lines; /* 0: 128 */
    size_t max_bytes; /* 0: 64 KiB */
    /* the reply, after REPLY_READY */
    unsigned code;     /* 200 to 599 */
    struct span bytes; /* every line with its CRLF */
    size_t lines;
    const char *why; /* after MALFORMED or TOO_LONG: a phrase for the log */
    /* private */
    struct line line;
    struct buf text;
    bool done;
};

void reply_parser_init(struct reply_parser *p);
void reply_parser_free(struct reply_parser *p);
/* Takes from the front of *in up to the end of one reply. */
MUST_CHECK enum reply_result reply_feed(struct reply_parser *p, struct span *in);
/* Bytes of an unfinished reply are waiting. */
bool reply_partial(const struct reply_parser *p);

/* Walks the lines of a whole reply: the text after "250-" or "250 ", without CRLF. false at the end. *at
 * starts at 0. */
bool reply_next_line(struct span bytes, size_t *at, struct span *text_r);
/* The enhanced status code at the start of a text ("5.7.1"), or an empty span. */
struct span reply_enhanced(struct span text);

/* A reply of our own. `enhanced` may be empty; `text` may have any length and any bytes: octets outside
 * printable ASCII are replaced (well-formed UTF-8 too: RFC 6531 3.7.4.1 would need the client's consent),
 * long texts become several lines of at most 512 octets, cut at blanks. LF in the text begins a new line. */
MUST_CHECK bool reply_print(struct buf *out, unsigned code, struct span enhanced, struct span text);
/* Is "X.Y.Z" well-formed (RFC 3463) and does its class agree with the code? */
bool reply_enhanced_ok(struct span enhanced, unsigned code);

#endif
