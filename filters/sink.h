/* SPDX-License-Identifier: MIT */
/* Where the readers of one message's bodies leave what they find: the receiver of events, the part that is
 * read, what was raised, and what is left of the limits of the whole message. It belongs to the message.
 * Private to the message model. */
#ifndef FILTERS_SINK_H
#define FILTERS_SINK_H

#include "filters/charset.h"
#include "filters/message.h"

struct sink {
    struct message_events events;
    void *ctx;
    struct message_limits limits;
    struct charset_pool pool;
    struct message_part part; /* of which text comes */
    uint32_t parts, urls;     /* so far */
    uint64_t decoded;         /* bytes of all bodies so far */
    uint64_t raised;          /* flags that were not told yet */
    bool no_memory;           /* where a reader could not say so */
};

void sink_text(struct sink *s, struct span utf8);
void sink_html(struct sink *s, struct span utf8);
bool sink_member(struct sink *s, const struct message_part *part,
                 struct span name);                        /* false: no memory, see there */
MUST_CHECK bool sink_url(struct sink *s, struct span raw); /* as it was written; false: no memory */

#endif
