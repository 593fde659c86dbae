/* SPDX-License-Identifier: MIT */
/* The body of one entity in one reading: transfer decoding, charset, text. Private to the message model. */
#ifndef FILTERS_BODY_H
#define FILTERS_BODY_H

#include "base/buf.h"
#include "filters/clean.h"
#include "filters/html.h"
#include "filters/sink.h"
#include "filters/transfer.h"
#include "filters/url.h"

struct body_reading { /* how it is to be read */
    enum transfer_kind transfer;
    struct span charset; /* borrowed for body_open */
    bool html;
};

struct body { /* zeroed: closed. Private */
    struct sink *sink;
    bool open;
    struct transfer transfer;
    struct charset_decoder charset;
    struct buf text;   /* UTF-8, as it was sent */
    struct html *html; /* NULL: plain text */
    struct buf seen;   /* of HTML, what a reader sees */
    struct clean clean;
    struct url_finder urls;
    bool url_lost; /* no memory for one */
};

/* One body of a message at a time: they share its converters. false: no memory. */
MUST_CHECK bool body_open(struct body *b, struct sink *sink, const struct body_reading *how);
/* Bytes of an open body; others are dropped. false: no memory. */
MUST_CHECK bool body_put(struct body *b, struct span s);
MUST_CHECK bool body_close(struct body *b);
void body_free(struct body *b);

#endif
