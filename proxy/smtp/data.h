/* SPDX-License-Identifier: MIT */
/* The content of a message on the wire (RFC 5321 4.5.2): the decoder on the client's side, and the one
 * emitter towards the upstream. Only CRLF "." CRLF ends a message (or "." CRLF as the very first line);
 * everything else that looks like an end is content.
 *
 *   client bytes -> data_decode -> content (unstuffed, CRLF) -> … -> data_emit -> upstream bytes
 *
 * The emitter trusts nobody: whatever it is given, it writes CRLF line ends, a stuffed dot at every line
 * start, and exactly one end. */
#ifndef SMTP_DATA_H
#define SMTP_DATA_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#include <stdint.h>

enum data_result {
    DATA_MORE,    /* all input taken */
    DATA_CONTENT, /* *content_r is a piece of content, good until the next call and while `in` lives */
    DATA_END      /* the message is over; *in starts with what follows it */
};

struct data_decoder {
    bool normalize; /* bare LF becomes CRLF, bare CR a space; else they pass and are only noted */
    /* what was seen */
    bool bare_lf, bare_cr, nul, eight_bit;
    uint64_t octets; /* as received, the end not counted */
    uint64_t lines;  /* true line ends */
    /* private */
    unsigned state;
};

void data_decoder_init(struct data_decoder *d, bool normalize);
MUST_CHECK enum data_result data_decode(struct data_decoder *d, struct span *in, struct span *content_r);

struct data_emitter { /* private */
    bool mid_line;    /* else at a line start, as before the first byte */
    bool cr;          /* a CR was taken and not written: what follows decides what it is */
};

void data_emitter_init(struct data_emitter *e);
/* Appends at most `room` bytes of wire form to `out` and takes what it wrote from *content. A room below 2
 * may take nothing, because a line end and a stuffed dot are not cut. false: no memory. */
MUST_CHECK bool data_emit(struct data_emitter *e, struct span *content, struct buf *out, size_t room);
/* Ends an unfinished line and writes ".\r\n": the end of the message. */
MUST_CHECK bool data_emit_end(struct data_emitter *e, struct buf *out);

#endif
