/* SPDX-License-Identifier: MIT */
/* The body of one entity in one reading: transfer decoding, charset, text. Private to the message model. */
#ifndef FILTERS_BODY_H
#define FILTERS_BODY_H

#include "base/buf.h"
#include "filters/clean.h"
#include "filters/html.h"
#include "filters/parcel.h"
#include "filters/sink.h"
#include "filters/transfer.h"
#include "filters/url.h"
#include "filters/uu.h"

struct body_reading { /* how it is to be read */
    enum transfer_kind transfer;
    struct span charset; /* borrowed for body_open */
    bool text, html;     /* html is text, too */
    bool file;           /* its first bytes are looked at; `claims`: see magic_claims */
    unsigned claims;
};

struct body { /* zeroed: closed. Private */
    struct sink *sink;
    bool open, text_open;
    struct transfer transfer;
    struct charset_decoder charset;
    struct buf text;   /* UTF-8, as it was sent */
    struct html *html; /* NULL: plain text */
    struct buf seen;   /* of HTML, what a reader sees */
    struct clean clean;
    struct url_finder urls;
    struct parcel parcel;
    struct uu uu;
    struct span pending; /* clean text that was not given yet */
    struct message_part uu_part;
    struct parcel uu_parcel;
    bool url_lost; /* no memory for one */
};

/* One body of a message at a time: they share its converters. false: no memory. */
MUST_CHECK bool body_open(struct body *b, struct sink *sink, const struct body_reading *how);
/* Bytes of an open body; others are dropped. false: no memory. */
MUST_CHECK bool body_put(struct body *b, struct span s);
MUST_CHECK bool body_close(struct body *b);
void body_free(struct body *b);

#endif
