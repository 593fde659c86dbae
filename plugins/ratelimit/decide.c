/* SPDX-License-Identifier: MIT */
/* One decision: all the limits of a phase at once, all or nothing, in the store or by on_error.
 *
 *   decide --memory store-------------------------------> in_memory --------------> verdict
 *      |                                                      ^ `local`
 *      +--redis store--> transit --> redis_call              |
 *                            |          +-- not taken --> without_store ----------> verdict
 *                            |                                ^
 *                            +--> redis_done -- overdue, error, lost
 *                                       |  +-- {1, …} or {0, …} ------------------> resume(verdict)
 *                                       +-- nobody waits any more, but charged ---> give back
 *
 * A transit is a command on its way to Redis: a decision, or units that are given back. It keeps its holdings
 * alive and frees itself with the call's last event, or when the filter is released. Give-backs go to the
 * place where the units were charged; one that cannot be sent is lost, which errs on the side of the limit.
 */
#include "ratelimit.h"

#include <limits.h>

enum { DEADLINE_SLACK_US = 50000 }; /* our own timer comes first; the host's is the net below it */

struct transit {
    struct redis_call call; /* the first: the client gives it back */
    struct ratelimit *filter;
    struct session *session; /* who waits; NULL: nobody (any more) */
    struct transit *next;    /* of the session's */
    struct visit *visit;
    uint64_t ticket;
    struct holding **holdings; /* behind the items */
    struct redis_item items[];
};

static int charge_done(struct redis_call *call, enum redis_event event, const long long *numbers, size_t n);

static struct transit *transit_create(struct ratelimit *f, enum redis_script script, size_t room)
{
    struct transit *t = calloc(1, sizeof(*t) + room * (sizeof(t->items[0]) + sizeof(struct holding *)));

    if (!t)
        return NULL;
    t->filter = f;
    t->call.script = script;
    t->call.items = t->items;
    t->holdings = (struct holding **)(void *)(t->items + room);
    return t;
}

static void transit_add(struct transit *t, struct holding *h, uint64_t cost, uint64_t end_us)
{
    const struct limit *l = h->limit;

    t->holdings[t->call.n] = holding_ref(h);
    t->items[t->call.n++] = (struct redis_item){.prefix = {l->prefix, l->prefix_n},
                                                .text = {h->key.bytes, h->key.n},
                                                .args = {l->rate.burst, cost, end_us}};
}

static void transit_free(struct transit *t)
{
    for (size_t i = 0; i < t->call.n; i++)
        holding_unref(t->holdings[i]);
    free(t);
}

/* ---- giving back ---- */

static int returned(struct redis_call *call, enum redis_event event, const long long *numbers, size_t n)
{
    struct transit *t = (struct transit *)(void *)call;

    if (event == REDIS_OVERDUE)
        return 0;
    int sense =
        event != REDIS_REPLIED || (n == 1 && numbers[0] >= 0 && (size_t)numbers[0] <= call->n) ? 0 : -1;
    transit_free(t);
    return sense;
}

static void send_returns(struct transit *t)
{
    struct ratelimit *f = t->filter;

    t->call.done = returned;
    if (redis_call(f->redis, &t->call) == 0)
        return;
    f->host->count(f->self, "give_back_lost", t->call.n);
    transit_free(t);
}

struct returns {
    struct ratelimit *filter;
    struct transit *gathered; /* NULL: none */
};

static void flush_returns(struct returns *r)
{
    if (r->gathered)
        send_returns(r->gathered);
    r->gathered = NULL;
}

static void return_units(void *arg, struct holding *h, enum place place, uint64_t units)
{
    struct returns *r = arg;
    struct ratelimit *f = r->filter;
    const struct gcra *rate = &h->limit->rate;

    f->host->count(f->self, "given_back", units);
    if (place == IN_MEMORY) {
        memory_give_back(&f->memory, h->id, rate, units, h->at[place].end_us, f->host->now_us(f->self));
        return;
    }
    if (!r->gathered && !(r->gathered = transit_create(f, REDIS_GIVE_BACK, REDIS_ITEMS_MAX))) {
        f->host->count(f->self, "give_back_lost", 1);
        return;
    }
    uint64_t most = rate->burst / rate->interval;
    transit_add(r->gathered, h, (units < most ? units : most) * rate->interval, h->at[place].end_us);
    if (r->gathered->call.n == REDIS_ITEMS_MAX)
        flush_returns(r);
}

void decide_return_visit(struct ratelimit *f, const struct visit *visit)
{
    struct returns r = {.filter = f};
    booking_return_visit(visit, return_units, &r);
    flush_returns(&r);
}

void decide_return_all(struct ratelimit *f, struct booking *b)
{
    struct returns r = {.filter = f};
    booking_return_all(b, return_units, &r);
    flush_returns(&r);
}

/* ---- with the memory store ---- */

static void book(struct session *s, struct visit *visit, struct holding *h, enum place place, uint64_t end_us)
{
    struct returns r = {.filter = s->filter};

    if (!booking_charged(visit, h, place, end_us))
        return;
    struct held kept = h->at[place]; /* the surplus unit has its own end */
    h->at[place].end_us = end_us;
    return_units(&r, h, place, 1);
    h->at[place] = kept;
    flush_returns(&r);
}

static void in_memory(struct session *s, struct visit *visit, struct holding *const *wanted, size_t n,
                      struct postern_verdict *v)
{
    struct ratelimit *f = s->filter;
    struct memory_charge charges[LIMITS_MAX];
    unsigned evicted;

    for (size_t i = 0; i < n; i++)
        charges[i] = (struct memory_charge){.id = wanted[i]->id, .rate = &wanted[i]->limit->rate, .units = 1};
    int refused = memory_decide(&f->memory, charges, n, f->host->now_us(f->self), &evicted);
    if (evicted)
        f->host->count(f->self, "evicted", evicted);
    if (refused != MEMORY_ALLOWED) {
        const struct gcra_result *result = &charges[refused].result;
        answer_refused(s, &(struct refusal){wanted[refused], "memory", result->wait_us, result->left}, v);
        return;
    }
    f->host->count(f->self, "allowed", 1);
    for (size_t i = 0; i < n; i++) {
        answer_allowed(s, wanted[i], "memory", charges[i].result.left);
        book(s, visit, wanted[i], IN_MEMORY, gcra_end_us(charges[i].result.tat));
    }
}

/* ---- with Redis ---- */

/* Each limit does what its on_error says: one that asks for it defers all; the local ones are decided
 * together. */
static void without_store(struct session *s, struct visit *visit, struct holding *const *wanted, size_t n,
                          struct postern_verdict *v)
{
    struct ratelimit *f = s->filter;
    struct holding *local[LIMITS_MAX];
    size_t locals = 0;

    f->host->count(f->self, "fallback", 1);
    for (size_t i = 0; i < n; i++) {
        if (wanted[i]->limit->on_error == ON_ERROR_TEMPFAIL) {
            answer_unavailable(wanted[i]->limit, v);
            return;
        }
        if (wanted[i]->limit->on_error == ON_ERROR_LOCAL)
            local[locals++] = wanted[i];
    }
    if (locals)
        in_memory(s, visit, local, locals, v);
}

static int ask_redis(struct session *s, const struct postern_tx *tx, struct visit *visit,
                     struct holding *const *wanted, size_t n)
{
    struct ratelimit *f = s->filter;
    struct transit *t = transit_create(f, REDIS_CHARGE, n);

    if (!t)
        return -1;
    for (size_t i = 0; i < n; i++)
        transit_add(t, wanted[i], wanted[i]->limit->rate.interval, 0);
    t->call.done = charge_done;
    if (redis_call(f->redis, &t->call) != 0) {
        transit_free(t);
        return -1;
    }
    t->session = s;
    t->visit = visit;
    t->ticket = f->host->ticket(tx);
    t->next = s->waiting;
    s->waiting = t;
    return 0;
}

/* Can this be the script's answer? Its shape: script.h. */
static bool makes_sense(const struct transit *t, const long long *numbers, size_t n)
{
    if (numbers[0] == 0)
        return n == 4 && numbers[1] >= 1 && (size_t)numbers[1] <= t->call.n && numbers[2] >= 1 &&
               (uint64_t)numbers[2] <= GCRA_BURST_MAX && numbers[3] >= 0;
    if (numbers[0] != 1 || n != 1 + 2 * t->call.n)
        return false;
    for (size_t i = 1; i < n; i++)
        if (numbers[i] < 0 || numbers[i] > (LLONG_MAX >> 10)) /* µs that fit into ticks */
            return false;
    return true;
}

/* Nobody waits, but it was charged. */
static void return_late(struct transit *t, const long long *numbers)
{
    struct transit *back = transit_create(t->filter, REDIS_GIVE_BACK, t->call.n);

    t->filter->host->count(t->filter->self, back ? "given_back" : "give_back_lost", t->call.n);
    if (!back)
        return;
    for (size_t i = 0; i < t->call.n; i++)
        transit_add(back, t->holdings[i], t->holdings[i]->limit->rate.interval, (uint64_t)numbers[1 + 2 * i]);
    send_returns(back);
}

static void answered(struct session *s, struct transit *t, const long long *numbers,
                     struct postern_verdict *v)
{
    if (numbers[0] == 0) {
        struct holding *h = t->holdings[numbers[1] - 1];
        struct refusal why = {h, "redis", (uint64_t)numbers[2],
                              (uint64_t)numbers[3] / h->limit->rate.interval};
        answer_refused(s, &why, v);
        return;
    }
    s->filter->host->count(s->filter->self, "allowed", 1);
    for (size_t i = 0; i < t->call.n; i++) {
        struct holding *h = t->holdings[i];
        answer_allowed(s, h, "redis", (uint64_t)numbers[2 + 2 * i] / h->limit->rate.interval);
        book(s, t->visit, h, IN_REDIS, (uint64_t)numbers[1 + 2 * i]);
    }
}

static void detach(struct session *s, struct transit *t)
{
    struct transit **at = &s->waiting;

    while (*at && *at != t)
        at = &(*at)->next;
    if (*at)
        *at = t->next;
    t->session = NULL;
    t->next = NULL;
}

/* The verdict is made, then the host is told; the session may be gone when resume() returns. */
static void finish(struct transit *t, const long long *numbers)
{
    const struct ratelimit *f = t->filter;
    struct session *s = t->session;
    struct postern_verdict v = {.size = sizeof(v)};

    detach(s, t);
    if (numbers)
        answered(s, t, numbers, &v);
    else
        without_store(s, t->visit, t->holdings, t->call.n, &v);
    t->visit = NULL;
    f->host->resume(f->self, t->ticket, &v);
}

static int charge_done(struct redis_call *call, enum redis_event event, const long long *numbers, size_t n)
{
    struct transit *t = (struct transit *)(void *)call;
    int sense = 0;

    if (event == REDIS_REPLIED && !makes_sense(t, numbers, n)) {
        t->filter->host->count(t->filter->self, "store_error", 1);
        numbers = NULL;
        sense = -1;
    }
    if (t->session)
        finish(t, numbers);
    else if (numbers && numbers[0] == 1)
        return_late(t, numbers);
    if (event != REDIS_OVERDUE)
        transit_free(t);
    return sense;
}

/* ---- the doors ---- */

void decide(struct session *s, const struct postern_tx *tx, struct visit *visit,
            struct holding *const *wanted, size_t n, struct postern_verdict *v)
{
    if (n == 0)
        return;
    if (!s->filter->redis) {
        in_memory(s, visit, wanted, n, v);
        return;
    }
    if (ask_redis(s, tx, visit, wanted, n) != 0) {
        without_store(s, visit, wanted, n, v);
        return;
    }
    v->action = POSTERN_PENDING;
    v->delay_us = s->filter->deadline_us + DEADLINE_SLACK_US;
    v->on_timeout = POSTERN_TIMEOUT_ON_ERROR;
}

void decide_forget(struct session *s, uint64_t ticket)
{
    for (struct transit *t = s->waiting, *next; t; t = next) {
        next = t->next;
        if (t->ticket == ticket)
            detach(s, t);
    }
}

void decide_forget_visit(struct session *s, const struct visit *visit)
{
    for (struct transit *t = s->waiting, *next; t; t = next) {
        next = t->next;
        if (t->visit == visit)
            detach(s, t);
    }
}

void decide_forget_all(struct session *s)
{
    while (s->waiting)
        detach(s, s->waiting);
}
