/* SPDX-License-Identifier: MIT */
/* Messages whose end was released and whose outcome is not known yet, in memory that outlives a worker: when
 * it dies, the supervisor can name them. They are the only ones that a death can make arrive twice.
 *
 *   worker: note -> (the upstream's reply) -> settle          supervisor, after a death: each one that is
 * left
 */
#ifndef PROXY_RELEASED_H
#define PROXY_RELEASED_H

#include "base/attr.h"
#include "base/span.h"

#include <stdint.h>

struct released; /* made by the supervisor before the first fork; mapped by all */

MUST_CHECK struct released *released_create(void); /* NULL: no memory */
void released_destroy(struct released **r);        /* this process's view */

struct released_message { /* texts are cut where they are long */
    struct span sid, client, from, to;
};

#define RELEASED_NOWHERE SIZE_MAX
/* Workers are numbered from 1. RELEASED_NOWHERE: all places are taken, and this one will not be named. */
MUST_CHECK size_t released_note(struct released *r, uint32_t worker, const struct released_message *m);
void released_settle(struct released *r, size_t place); /* also of NOWHERE */
/* The worker is dead: each of its messages, which are then forgotten. */
void released_of_the_dead(struct released *r, uint32_t worker,
                          void (*found)(void *arg, const struct released_message *m), void *arg);

#endif
