/* SPDX-License-Identifier: MIT */
/* One header section, read from tokens: text without line ends, and line ends. Finds the fields and the
 * section's end, an empty line or a line that is no field. Bounded by `limit`. Private to the message model.
 */
#ifndef FILTERS_HEADER_H
#define FILTERS_HEADER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#include <stdint.h>

#define HEADER_NAME_MAX 998 /* a line without a colon in so many bytes is no field */

enum header_result {
    HEADER_MORE,
    HEADER_OVER,     /* the empty line was read */
    HEADER_NO_FIELD, /* the section ended before this line: header_line() is its start */
    HEADER_NO_MEMORY
};

/* The field's name, its value with the folds still in it, and all of it with its line ends. Spans are
 * borrowed. false: no memory. */
typedef bool (*header_field)(void *ctx, struct span name, struct span value, struct span raw);

struct header {   /* set by header_begin */
    size_t limit; /* bytes of the section that are read; fields behind it are skipped */
    header_field field;
    void *ctx;
    uint64_t flags; /* MESSAGE_HEADER_LIMIT, MESSAGE_BAD_HEADER */
    /* private */
    unsigned mode;
    size_t seen;               /* bytes of the section so far */
    size_t name_n, value_at;   /* of the field that is being read */
    struct buf raw;            /* it; empty: none */
    bool any_line, first_line; /* a line was begun; this is the first */
    bool only_blanks;          /* this line continues a field, with nothing so far */
    size_t line_n;             /* bytes of a line that is not known to be a field yet */
    char line[HEADER_NAME_MAX];
};

/* Takes over what an earlier section left behind. */
void header_begin(struct header *h, size_t limit, header_field field, void *ctx);
/* Takes from the front of *in; it does not take more of a line that is no field than header_line() has. */
MUST_CHECK enum header_result header_text(struct header *h, struct span *in);
MUST_CHECK enum header_result header_eol(struct header *h, struct span eol);
MUST_CHECK bool header_end(struct header *h); /* nothing more comes: gives the last field */
void header_free(struct header *h);

static inline struct span header_line(const struct header *h)
{
    return (struct span){h->line, h->line_n};
}

#endif
