/* SPDX-License-Identifier: MIT */
/* The event loop: libev, and a list of work for the end of each turn.
 *
 *   poll -> callbacks of sockets and timers -> deferred work -> poll
 *                       |                          ^   |
 *                       +------- loop_defer -------+   +-- loop_defer: next turn, which does not sleep
 *
 * Deferred work runs in a prepare watcher, which libev calls last before it polls. What is deferred while
 * that runs waits for the next turn, so that nobody who always has more to do keeps the loop from its
 * sockets. The loop is owned by its process; nodes and timers are owned by whoever embeds them. */
#include "net/loop.h"
#include "base/clock.h"
#include "net/loop_end.h"

#include <stdlib.h>

enum { LAST_ROUNDS = 8 };

struct loop {
    struct ev_loop *ev;
    ev_prepare before_sleep;
    ev_idle no_sleep; /* active while deferred work waits: libev then polls without waiting */
    struct loop_deferred turn, at_end; /* heads of circles */
    struct loop_patience patience;
    char read_buffer[LOOP_READ_SIZE];
};

/* The list is a circle through its head. prev points at the `next` that points here, so a node leaves without
 * knowing which list it is in. */
static void circle_init(struct loop_deferred *head)
{
    head->next = head;
    head->prev = &head->next;
}

static bool circle_empty(const struct loop_deferred *head)
{
    return head->next == head;
}

static void circle_append(struct loop_deferred *head, struct loop_deferred *d)
{
    d->next = head;
    d->prev = head->prev;
    *head->prev = d;
    head->prev = &d->next;
}

/* Moves all nodes of `from` into the empty circle `to`. */
static void circle_take(struct loop_deferred *to, struct loop_deferred *from)
{
    circle_init(to);
    if (circle_empty(from))
        return;
    to->next = from->next;
    to->next->prev = &to->next;
    to->prev = from->prev;
    *to->prev = to;
    circle_init(from);
}

static void circle_run(struct loop_deferred *from)
{
    struct loop_deferred batch;
    circle_take(&batch, from);
    while (!circle_empty(&batch)) {
        struct loop_deferred *d = batch.next;
        loop_undefer(d);
        d->fn(d->arg);
    }
}

static void defer_on(struct loop_deferred *head, struct loop_deferred *d, void (*fn)(void *arg), void *arg)
{
    d->fn = fn;
    d->arg = arg;
    if (!d->next)
        circle_append(head, d);
}

void loop_defer(struct loop *l, struct loop_deferred *d, void (*fn)(void *arg), void *arg)
{
    defer_on(&l->turn, d, fn, arg);
}

void loop_at_end(struct loop *l, struct loop_deferred *d, void (*fn)(void *arg), void *arg)
{
    defer_on(&l->at_end, d, fn, arg);
}

void loop_undefer(struct loop_deferred *d)
{
    if (!d->next)
        return;
    *d->prev = d->next;
    d->next->prev = d->prev;
    d->next = NULL;
    d->prev = NULL;
}

static void on_before_sleep(struct ev_loop *ev, ev_prepare *w, int revents)
{
    struct loop *l = w->data;
    (void)revents;
    circle_run(&l->turn);
    if (circle_empty(&l->turn))
        ev_idle_stop(ev, &l->no_sleep);
    else
        ev_idle_start(ev, &l->no_sleep);
}

static void on_idle(struct ev_loop *ev, ev_idle *w, int revents)
{
    (void)ev;
    (void)w;
    (void)revents;
}

struct loop *loop_create(void)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (!l->ev) {
        free(l);
        return NULL;
    }
    circle_init(&l->turn);
    circle_init(&l->at_end);
    l->patience =
        (struct loop_patience){.close_us = 5 * (uint64_t)US_PER_S, .silent_us = 120 * (uint64_t)US_PER_S};
    ev_idle_init(&l->no_sleep, on_idle);
    ev_prepare_init(&l->before_sleep, on_before_sleep);
    l->before_sleep.data = l;
    ev_prepare_start(l->ev, &l->before_sleep);
    return l;
}

void loop_destroy(struct loop **lp)
{
    struct loop *l = *lp;
    *lp = NULL;
    if (!l)
        return;
    /* First what was still to be sent, then those who live in the background, then what these have deferred.
     */
    for (int i = 0; i < LAST_ROUNDS; i++) {
        circle_run(&l->turn);
        circle_run(&l->at_end);
    }
    ev_loop_destroy(l->ev);
    free(l);
}

void loop_run(struct loop *l)
{
    ev_run(l->ev, 0);
    circle_run(&l->turn);
}

void loop_stop(struct loop *l)
{
    ev_break(l->ev, EVBREAK_ALL);
}
struct ev_loop *loop_ev(struct loop *l)
{
    return l->ev;
}
struct loop_patience *loop_patience(struct loop *l)
{
    return &l->patience;
}
char *loop_read_buffer(struct loop *l)
{
    return l->read_buffer;
}

uint64_t loop_now_us(struct loop *l)
{
    (void)l;
    return clock_mono_us();
}

static void on_timer(struct ev_loop *ev, ev_timer *w, int revents)
{
    struct loop_timer *t = w->data;
    (void)ev;
    (void)revents;
    t->fire(t->arg);
}

void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t after_us, void (*fire)(void *arg),
                      void *arg)
{
    loop_timer_stop(t);
    t->loop = l;
    t->fire = fire;
    t->arg = arg;
    /* libev counts from the time it read last, which is old when this turn was long. */
    ev_now_update(l->ev);
    ev_timer_init(&t->w, on_timer, (double)after_us / US_PER_S, 0.);
    t->w.data = t;
    ev_timer_start(l->ev, &t->w);
}

void loop_timer_stop(struct loop_timer *t)
{
    if (t->loop)
        ev_timer_stop(t->loop->ev, &t->w);
}

/* Not ev_is_active, which casts the const away. */
bool loop_timer_active(const struct loop_timer *t)
{
    return t->loop && t->w.active;
}
