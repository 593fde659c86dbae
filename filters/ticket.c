/* SPDX-License-Identifier: MIT */
/* The table behind tickets. It belongs to a filter instance and grows to the most that ever waited at once.
 *
 *    63            sequence            20 19   place   0
 *   +------------------------------------+--------------+      a slot that is used again gets a new sequence,
 *   |  1, 2, 3, … never the same again   |  of the slot |      so the old ticket no longer matches it
 *   +------------------------------------+--------------+ */
#include "filters/ticket.h"

#include <stdlib.h>

#define PLACE_BITS 20
#define PLACES     ((size_t)1 << PLACE_BITS)

static struct ticket_slot *find(const struct tickets *t, uint64_t ticket)
{
    size_t place = ticket & (PLACES - 1);
    return ticket && place < t->used && t->slots[place].ticket == ticket ? &t->slots[place] : NULL;
}

static bool grow(struct tickets *t)
{
    size_t n = t->n ? t->n * 2 : 16;
    if (n > PLACES)
        return false;
    struct ticket_slot *slots = reallocarray(t->slots, n, sizeof(*slots));
    if (!slots)
        return false;
    t->slots = slots;
    t->n = n;
    return true;
}

uint64_t ticket_issue(struct tickets *t, void *waiter)
{
    size_t place;

    if (t->first_free) {
        place = t->first_free - 1;
        t->first_free = t->slots[place].next_free;
    } else {
        if (t->used == t->n && !grow(t))
            return 0;
        place = t->used++;
    }
    uint64_t ticket = ++t->sequence << PLACE_BITS | place;
    t->slots[place] = (struct ticket_slot){.ticket = ticket, .waiter = waiter};
    return ticket;
}

void *ticket_waiter(const struct tickets *t, uint64_t ticket)
{
    const struct ticket_slot *slot = find(t, ticket);
    return slot ? slot->waiter : NULL;
}

void ticket_revoke(struct tickets *t, uint64_t ticket)
{
    struct ticket_slot *slot = find(t, ticket);
    if (!slot)
        return;
    *slot = (struct ticket_slot){.next_free = t->first_free};
    t->first_free = (size_t)(slot - t->slots) + 1;
}

void tickets_free(struct tickets *t)
{
    free(t->slots);
    *t = (struct tickets){0};
}
