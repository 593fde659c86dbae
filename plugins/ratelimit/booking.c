/* SPDX-License-Identifier: MIT */
/* See booking.h. A booking lives from MAIL to the end of its transaction and belongs to the session. A
 * holding lives until the booking and all that is on its way for it have let go. */
#include "booking.h"

struct booking *booking_create(size_t visit_room)
{
    struct booking *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->last = &b->first;
    b->visit_room = visit_room;
    return b;
}

void booking_destroy(struct booking **b)
{
    if (!*b)
        return;
    for (struct visit *v = (*b)->first, *next; v; v = next) {
        next = v->next;
        free(v);
    }
    for (size_t i = 0; i < BOOKING_BUCKETS; i++)
        for (struct holding *h = (*b)->holdings[i], *next; h; h = next) {
            next = h->next;
            holding_unref(h);
        }
    free(*b);
    *b = NULL;
}

/* ---- holdings ---- */

struct holding *booking_holding(struct booking *b, const struct limit *limit, struct hash128 id,
                                const struct key_text *key)
{
    struct holding **bucket = &b->holdings[id.lo % BOOKING_BUCKETS];
    struct holding *h = *bucket;

    while (h && (h->limit != limit || h->id.lo != id.lo || h->id.hi != id.hi))
        h = h->next;
    if (h || !(h = calloc(1, sizeof(*h))))
        return h;
    h->refs = 1;
    h->limit = limit;
    h->id = id;
    h->key = *key;
    h->next = *bucket;
    *bucket = h;
    return h;
}

void holding_unref(struct holding *h)
{
    if (--h->refs == 0)
        free(h);
}

bool holding_held(const struct holding *h)
{
    for (size_t i = 0; i < PLACES; i++)
        if (h->at[i].units)
            return true;
    return false;
}

/* ---- visits ---- */

struct visit *booking_visit(struct booking *b, struct hash128 recipient)
{
    struct visit *v = calloc(1, sizeof(*v) + b->visit_room * sizeof(v->holds[0]));
    if (!v)
        return NULL;
    v->recipient = recipient;
    *b->last = v;
    b->last = &v->next;
    return v;
}

void visit_hold(struct visit *v, struct holding *h, enum place place)
{
    if (h->limit->per_message)
        h->visits++;
    v->holds[v->n++] = (struct visit_hold){h, place};
}

/* Replies come in the order of the commands, so that the first one is nearly always it. */
struct visit *booking_leave(struct booking *b, struct hash128 recipient)
{
    struct visit **at = &b->first;

    while (*at && ((*at)->recipient.lo != recipient.lo || (*at)->recipient.hi != recipient.hi))
        at = &(*at)->next;
    struct visit *v = *at;
    if (!v)
        return NULL;
    *at = v->next;
    if (b->last == &v->next)
        b->last = at;
    return v;
}

/* ---- units ---- */

bool booking_charged(struct visit *v, struct holding *h, enum place place, uint64_t end_us)
{
    bool shared = v && h->limit->per_message;
    bool surplus = shared && holding_held(h);

    if (v)
        visit_hold(v, h, place);
    if (surplus)
        return true;
    h->at[place].units++;
    h->at[place].end_us = end_us;
    return false;
}

static void return_units(struct holding *h, enum place place, uint64_t units, booking_returns *returns,
                         void *arg)
{
    if (units > h->at[place].units)
        units = h->at[place].units;
    if (units == 0)
        return;
    h->at[place].units -= units;
    returns(arg, h, place, units);
}

static void return_holding(struct holding *h, booking_returns *returns, void *arg)
{
    for (size_t i = 0; i < PLACES; i++)
        return_units(h, (enum place)i, h->at[i].units, returns, arg);
}

void booking_return_visit(const struct visit *v, booking_returns *returns, void *arg)
{
    for (size_t i = 0; i < v->n; i++) {
        struct holding *h = v->holds[i].holding;
        if (!h->limit->per_message)
            return_units(h, v->holds[i].place, 1, returns, arg);
        else if (--h->visits == 0)
            return_holding(h, returns, arg);
    }
}

void booking_return_all(struct booking *b, booking_returns *returns, void *arg)
{
    for (size_t i = 0; i < BOOKING_BUCKETS; i++)
        for (struct holding *h = b->holdings[i]; h; h = h->next)
            return_holding(h, returns, arg);
}
