/* SPDX-License-Identifier: MIT */
#include "filters/message.h"

#include <stdlib.h>

struct message {
    const struct message_events *events;
    void *ctx;
    bool over;
    unsigned flags;
};
struct message *message_create(const struct message_limits *limits, const struct message_events *events,
                               void *ctx)
{
    struct message *m = calloc(1, sizeof(*m));
    (void)limits;
    if (m) {
        m->events = events;
        m->ctx = ctx;
    }
    return m;
}
void message_destroy(struct message **m)
{
    free(*m);
    *m = NULL;
}
bool message_feed(struct message *m, struct span *in)
{
    (void)m;
    *in = span_skip(*in, in->n);
    return true;
}
bool message_end(struct message *m)
{
    if (!m->over) {
        m->over = true;
        m->events->headers_end(m->ctx);
    }
    return true;
}
unsigned message_flags(const struct message *m)
{
    return m->flags;
}
