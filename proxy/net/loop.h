/* SPDX-License-Identifier: MIT */
/* The event loop of a process: a thin wrapper of libev. Timers are embedded in their owners; work that must
 * not run inside a callback (freeing, flushing) is deferred to the end of the loop turn. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "base/attr.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;

MUST_CHECK struct loop *loop_create(void); /* NULL: no memory or no poller */
void loop_destroy(struct loop **l);        /* runs what is deferred first */
void loop_run(struct loop *l);             /* until loop_stop */
void loop_stop(struct loop *l);
struct ev_loop *loop_ev(struct loop *l);
uint64_t loop_now_us(struct loop *l); /* monotonic */

/* How patient its connections are; may be changed at any time. */
struct loop_patience {
    uint64_t close_us;  /* the end: for what was written last; 2/5 of it for the peer's own end. 5 s */
    uint64_t silent_us; /* a peer that acknowledges nothing, for sockets made from now on. 2 min */
};
struct loop_patience *loop_patience(struct loop *l);

/* One shot. Owned and zeroed by whoever embeds it; must be stopped before its memory goes. */
struct loop_timer {
    ev_timer w;
    struct loop *loop;
    void (*fire)(void *arg);
    void *arg;
};
void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t after_us, void (*fire)(void *arg),
                      void *arg);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_active(const struct loop_timer *t);

/* Calls fn(arg) once, after the callbacks of this turn, before the loop sleeps. The node is embedded in its
 * owner; deferring twice is once. */
struct loop_deferred {
    struct loop_deferred *next, **prev; /* private */
    void (*fn)(void *arg);
    void *arg;
};
void loop_defer(struct loop *l, struct loop_deferred *d, void (*fn)(void *arg), void *arg);
void loop_undefer(struct loop_deferred *d);

/* Where every read lands first: one buffer a loop, LOOP_READ_SIZE bytes, so that idle connections hold none.
 */
#define LOOP_READ_SIZE ((size_t)256 * 1024)
char *loop_read_buffer(struct loop *l);

#endif
