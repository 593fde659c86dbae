/* SPDX-License-Identifier: MIT */
/* From readers to events, within the limits of the message. */
#include "filters/sink.h"

void sink_text(struct sink *s, struct span utf8)
{
    if (utf8.n && s->events.text)
        s->events.text(s->ctx, &s->part, utf8);
}
