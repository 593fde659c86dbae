/* SPDX-License-Identifier: MIT */
/* What rules want changed of a message: asked of the host. */
#ifndef CONTENT_EDIT_H
#define CONTENT_EDIT_H

#include "content.h"

struct edits {                   /* zeroed: a transaction without any */
    const struct rule **waiting; /* header edits before it is known whether the message is signed */
    size_t n, size;
    bool is_signed;   /* a DKIM-Signature was seen */
    bool header_over; /* is_signed is settled */
};

/* 0, or -1: it cannot be done; that is logged and counted. A wish may wait until the header section is over.
 */
MUST_CHECK int edits_ask(struct edits *e, const struct content *c, struct postern_tx *tx,
                         const struct rule *rule);
void edits_header_over(struct edits *e, const struct content *c, struct postern_tx *tx);
void edits_end(struct edits *e);
bool edits_in(const struct rule_set *rules); /* some rule may change a message */

#endif
