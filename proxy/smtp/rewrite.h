/* SPDX-License-Identifier: MIT */
/* The header section of a message, changed on its way to the emitter.
 *
 *   content -> rewrite_feed -> the same content, its fields added, replaced, removed -> data_emit
 *
 * Only the first header section is looked at, and of it only the names of fields; what no edit names goes
 * through as it came, octet by octet, and so does everything behind the section. The section ends where the
 * filters' reader of messages (filters/header.c) ends it: at an empty line, or before a line that is no
 * field. Pure; content may be cut at any octet. */
#ifndef SMTP_REWRITE_H
#define SMTP_REWRITE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#include <stdint.h>

enum header_edit_kind {
    HEADER_ADD,     /* `field` at the top of the section */
    HEADER_REPLACE, /* `field` in place of the first of the name, the others go; none there: at the end */
    HEADER_REMOVE,  /* all fields of the name go */
    HEADER_PREFIX   /* `text` in front of the value of each field of the name; none there: `field` at the end
                     */
};

struct header_edit {
    enum header_edit_kind kind;
    struct span name;
    struct span field; /* "Name: value" CRLF, folded: as it will stand in the message */
    /* PREFIX */
    struct span text; /* in front of a value */
    struct span
        before_word;  /* the same, in front of a value that begins with an encoded word: the blank
                         between two of them is not shown (RFC 2047 6.2), so this ends in one of its own */
    struct span join; /* between it and the value: a blank, or a fold */
};

#define REWRITE_EDITS_MAX 64  /* edits of one message */
#define REWRITE_NAME_MAX  998 /* a line without a colon in so many octets is no field */

/* At most one edit of a name may be other than HEADER_ADD. The edits are the caller's and outlive it. */
struct rewriter { /* private */
    const struct header_edit *edits;
    size_t n;
    uint64_t used;                    /* by edit: it has found its field */
    const struct header_edit *prefix; /* of the field whose value is about to begin */
    unsigned state;
    bool cr;      /* a CR was taken: half of a line end, or not */
    bool dropped; /* the field that is being read goes */
    bool any_line, first_line, any_field;
    bool begun;        /* the fields at the top are written */
    bool ours, theirs; /* a field of ours, or of the message, was written */
    size_t line_n;
    char line[REWRITE_NAME_MAX]; /* the start of a line that is not known to be a field yet */
};

void rewrite_begin(struct rewriter *r, const struct header_edit *edits, size_t n);
/* Takes from the front of *in, up to the end of the header section, and appends what it becomes. false: no
 * memory. */
MUST_CHECK bool rewrite_feed(struct rewriter *r, struct span *in, struct buf *out);
/* The message is over. */
MUST_CHECK bool rewrite_end(struct rewriter *r, struct buf *out);
/* The section is over: what follows needs no rewriter. */
bool rewrite_over(const struct rewriter *r);

#endif
