/* SPDX-License-Identifier: MIT */
/* Text without what nobody sees: zero-width characters, soft hyphens, marks of writing direction. Private to
 * the message model. */
#ifndef FILTERS_CLEAN_H
#define FILTERS_CLEAN_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

struct clean {        /* zeroed: begun */
    bool in_word;     /* inside a word, an invisible character came */
    bool hid;         /* a word was interrupted by an invisible character */
    unsigned letters; /* of the word so far, of an alphabet that needs no such characters */
};

/* Appends UTF-8 of whole characters to `out`. false: no memory. */
MUST_CHECK bool clean_feed(struct clean *c, struct span utf8, struct buf *out);

#endif
