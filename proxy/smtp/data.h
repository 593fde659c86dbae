/* SPDX-License-Identifier: MIT */
/* The content of a message on the wire: the decoder on the client's side, and the one emitter towards the
 * upstream. Each knows both forms, so that they convert into each other:
 *
 *   DATA (RFC 5321 4.5.2)  dots are stuffed; only CRLF "." CRLF ends a message (or "." CRLF as the very first
 *                          line), and everything else that looks like an end is content
 *   BDAT (RFC 3030)        octets are counted by whoever holds the decoder; dots mean nothing
 *
 *   client bytes -> data_decode -> content (unstuffed, CRLF) -> … -> data_emit -> upstream bytes
 *
 * The emitter trusts nobody: whatever it is given, it writes CRLF line ends, and for DATA a stuffed dot at
 * every line start and exactly one end. Only what was declared BINARYMIME passes as it is, and only in BDAT.
 */
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

enum data_form {
    DATA_DOTS,   /* DATA */
    DATA_CHUNKS, /* BDAT */
    DATA_BINARY  /* BDAT with BODY=BINARYMIME: any octets */
};

struct data_decoder {
    enum data_form form;
    bool normalize; /* bare LF becomes CRLF, bare CR a space; else they pass and are only noted */
    /* what was seen */
    bool bare_lf, bare_cr, nul, eight_bit;
    uint64_t octets; /* as received, the end not counted */
    uint64_t lines;  /* true line ends */
    /* private */
    unsigned state;
};

void data_decoder_init(struct data_decoder *d, enum data_form form, bool normalize);
MUST_CHECK enum data_result data_decode(struct data_decoder *d, struct span *in, struct span *content_r);
/* The last chunk is over: what is left to say of it, perhaps nothing. */
struct span data_decode_last(struct data_decoder *d);

struct data_emitter { /* private */
    enum data_form form;
    bool mid_line; /* else at a line start, as before the first byte */
    bool cr;       /* a CR was taken and not written: what follows decides what it is */
};

void data_emitter_init(struct data_emitter *e, enum data_form form);
/* Appends at most `room` bytes of wire form to `out` and takes what it wrote from *content. A room below 2
 * may take nothing, because a line end and a stuffed dot are not cut. false: no memory. */
MUST_CHECK bool data_emit(struct data_emitter *e, struct span *content, struct buf *out, size_t room);
/* Is this content its own wire form? Then it counts as emitted, and its owner writes it without a copy. */
MUST_CHECK bool data_emit_as_is(struct data_emitter *e, struct span content);
/* The end of the message. DATA: ends an unfinished line and writes ".\r\n". BDAT: what still waits; LAST says
 * the rest. */
MUST_CHECK bool data_emit_end(struct data_emitter *e, struct buf *out);

#endif
