/* SPDX-License-Identifier: MIT */
/* Tickets: numbers that name who waits, safe to hold after the waiter is gone. A ticket is a place in a table
 * and a sequence number that is never given twice, so a late answer finds its waiter or nobody, in constant
 * time. */
#ifndef FILTERS_TICKET_H
#define FILTERS_TICKET_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ticket_slot {
    uint64_t ticket; /* 0: free */
    void *waiter;
    size_t next_free;
};

struct tickets { /* zeroed: empty */
    struct ticket_slot *slots;
    size_t n, used, first_free; /* first_free counts from 1; 0: none */
    uint64_t sequence;
};

/* 0, which is never a ticket: no memory, or too many wait. */
MUST_CHECK uint64_t ticket_issue(struct tickets *t, void *waiter);
void *ticket_waiter(const struct tickets *t, uint64_t ticket); /* NULL: nobody */
void ticket_revoke(struct tickets *t, uint64_t ticket);        /* takes 0 and dead ones */
void tickets_free(struct tickets *t);

#endif
