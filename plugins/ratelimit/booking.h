/* SPDX-License-Identifier: MIT */
/* What a transaction has reserved, and for which recipients.
 *
 *   booking (one transaction)
 *     holdings: one for each limit and key that it met: units held in each place
 *         ^ ^
 *     visits: the recipients whose reply is still owed, in order; each points to what it holds
 *
 * A visit that ends with 2xx leaves its units to the transaction; one that does not gives them back. A limit
 * on messages that counts by recipient is charged once for a key, and given back when the last recipient with
 * that key is gone. */
#ifndef RATELIMIT_BOOKING_H
#define RATELIMIT_BOOKING_H

#include "hash.h"
#include "limit.h"

/* Where units were charged, and so must be given back. */
enum place { IN_MEMORY, IN_REDIS, PLACES };

struct holding {
    struct holding *next; /* of the bucket */
    unsigned refs;        /* the booking's, and one for each decision or give-back on its way */
    unsigned visits;      /* recipients that share one unit: limits on messages at RCPT */
    const struct limit *limit;
    struct hash128 id;
    struct held {
        uint64_t units, end_us; /* end_us: of the last charge, by the place's clock */
    } at[PLACES];
    struct key_text key;
};

struct visit {
    struct visit *next;
    struct hash128 recipient;
    size_t n;
    struct visit_hold {
        struct holding *holding;
        enum place place;
    } holds[]; /* room for all limits that are charged at RCPT */
};

#define BOOKING_BUCKETS 64

struct booking {
    struct holding *holdings[BOOKING_BUCKETS];
    struct visit *first, **last;
    size_t visit_room;
};

MUST_CHECK struct booking *booking_create(size_t visit_room);
/* Forgets all without giving back. */
void booking_destroy(struct booking **b);

/* The holding of that limit and key, made if there is none; NULL: no memory. It stays the booking's. */
struct holding *booking_holding(struct booking *b, const struct limit *limit, struct hash128 id,
                                const struct key_text *key);
static inline struct holding *holding_ref(struct holding *h)
{
    h->refs++;
    return h;
}
void holding_unref(struct holding *h);
bool holding_held(const struct holding *h);

MUST_CHECK struct visit *booking_visit(struct booking *b, struct hash128 recipient); /* NULL: no memory */
void visit_hold(struct visit *v, struct holding *h, enum place place);
/* The oldest visit of that recipient, taken out of the line; the caller frees it. NULL: there is none. */
struct visit *booking_leave(struct booking *b, struct hash128 recipient);

/* A charge of one unit went through, for a visit or (NULL) for the transaction. Returns true if it was one
 * too many and must be given back: the unit was charged for another recipient meanwhile. */
bool booking_charged(struct visit *v, struct holding *h, enum place place, uint64_t end_us);

/* What must be given back: called for each holding and place with units. The holding's own count is 0 then.
 */
typedef void booking_returns(void *arg, struct holding *h, enum place place, uint64_t units);
void booking_return_visit(const struct visit *v, booking_returns *returns, void *arg);
void booking_return_all(struct booking *b, booking_returns *returns, void *arg);

#endif
