/* SPDX-License-Identifier: MIT */
/* Time, timers, streams and memory of a process in which nothing happens outside. The clock stands still
 * while filters work and jumps to the next timer when they wait: a deadline of five seconds takes no time,
 * and every run is the same.
 *
 *   filter waits -> offline_step -> clock := the earliest timer -> it fires -> the filter answers
 *   filter opens a stream -> a timer -> closed("…")
 *
 * What filters did not stop or close themselves goes at the end. */
#include "explain/offline.h"

#include "base/clock.h"

#include <stdlib.h>

#define WHY "explain connects to nothing"

struct offline_timer {
    struct offline_timer *next; /* the list is in the order of time */
    uint64_t at_us;
    void (*fire)(void *arg);
    void *arg;
};

struct postern_stream {
    struct offline *o;
    struct postern_stream *next, **prev;
    struct offline_timer *timer;
    struct postern_stream_events events;
    void *arg;
};

/* ---- what is passed on ---- */

static void on_log(void *ctx, enum postern_log_level level, const char *filter, const char *text)
{
    const struct offline *o = ctx;
    if (o->watch.log)
        o->watch.log(o->watch.ctx, level, filter, text);
}

static void on_hit(void *ctx, const char *filter, struct span rule, struct span matched)
{
    const struct offline *o = ctx;
    if (o->watch.hit)
        o->watch.hit(o->watch.ctx, filter, rule, matched);
}

static void on_answered(void *ctx, const char *filter, enum postern_phase phase, const struct verdict *v)
{
    const struct offline *o = ctx;
    if (o->watch.answered)
        o->watch.answered(o->watch.ctx, filter, phase, v);
}

static void on_count(void *ctx, const char *filter, const char *counter, uint64_t add)
{
    (void)ctx, (void)filter, (void)counter, (void)add;
}

/* ---- time and memory ---- */

static uint64_t now_us(void *ctx)
{
    const struct offline *o = ctx;
    return o->now_us;
}

static uint64_t wall_us(void *ctx)
{
    (void)ctx;
    return clock_wall_us();
}

static void *shared(void *ctx, const char *name, size_t bytes)
{
    struct offline *o = ctx;
    return shared_get(&o->shared, name, bytes);
}

static struct offline_timer *timer_add(struct offline *o, uint64_t after_us, void (*fire)(void *arg),
                                       void *arg)
{
    struct offline_timer *t = calloc(1, sizeof *t);
    struct offline_timer **at = &o->timers;
    if (!t)
        return NULL;
    *t = (struct offline_timer){.at_us = o->now_us + after_us + 1, .fire = fire, .arg = arg};
    while (*at && (*at)->at_us <= t->at_us)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
    return t;
}

static void timer_remove(struct offline *o, struct offline_timer *t)
{
    struct offline_timer **at = &o->timers;
    while (*at && *at != t)
        at = &(*at)->next;
    if (*at)
        *at = t->next;
    free(t);
}

static struct postern_timer *timer_start(void *ctx, uint64_t after_us, void (*fire)(void *arg), void *arg)
{
    return (struct postern_timer *)timer_add(ctx, after_us, fire, arg);
}

static void timer_stop(void *ctx, struct postern_timer *t)
{
    timer_remove(ctx, (struct offline_timer *)t);
}

bool offline_step(struct offline *o, uint64_t us)
{
    struct offline_timer *t = o->timers;
    if (!t || t->at_us - o->now_us > us)
        return false;
    struct offline_timer due = *t;
    o->now_us = due.at_us;
    timer_remove(o, t);
    due.fire(due.arg);
    return true;
}

/* ---- streams ---- */

static void stream_unlink(struct postern_stream *s)
{
    *s->prev = s->next;
    if (s->next)
        s->next->prev = s->prev;
}

static void stream_close(struct postern_stream *s)
{
    if (s->timer)
        timer_remove(s->o, s->timer);
    stream_unlink(s);
    free(s);
}

/* The filter knows the stream no more, and closes it no more. */
static void stream_breaks(void *arg)
{
    struct postern_stream *s = arg;
    stream_unlink(s);
    s->events.closed(s->arg, s, WHY);
    free(s);
}

static struct postern_stream *stream_open(void *ctx, const struct postern_stream_target *to,
                                          const struct postern_stream_events *events, void *arg)
{
    struct offline *o = ctx;
    struct postern_stream *s = calloc(1, sizeof *s);
    (void)to;
    if (!s)
        return NULL;
    *s = (struct postern_stream){
        .o = o, .next = o->streams, .prev = &o->streams, .events = *events, .arg = arg};
    if (s->next)
        s->next->prev = &s->next;
    o->streams = s;
    s->timer = timer_add(o, 0, stream_breaks, s);
    if (!s->timer) {
        stream_close(s);
        return NULL;
    }
    return s;
}

static int stream_write(struct postern_stream *s, struct postern_span bytes)
{
    (void)s, (void)bytes;
    return -1;
}

/* ---- life ---- */

void offline_begin(struct offline *o, const struct offline_watch *watch)
{
    *o = (struct offline){.watch = *watch, .now_us = 1000000, .shared = {.may_create = true}};
}

void offline_end(struct offline *o)
{
    struct postern_stream *next_stream;
    struct offline_timer *next_timer;
    for (struct postern_stream *s = o->streams; s; s = next_stream) {
        next_stream = s->next;
        stream_close(s);
    }
    for (struct offline_timer *t = o->timers; t; t = next_timer) {
        next_timer = t->next;
        free(t);
    }
    shared_free(&o->shared);
}

struct filter_services offline_services(struct offline *o)
{
    return (struct filter_services){.ctx = o,
                                    .log = on_log,
                                    .now_us = now_us,
                                    .wall_us = wall_us,
                                    .count = on_count,
                                    .shared = shared,
                                    .timer_start = timer_start,
                                    .timer_stop = timer_stop,
                                    .stream_open = stream_open,
                                    .stream_write = stream_write,
                                    .stream_close = stream_close,
                                    .hit = on_hit,
                                    .answered = on_answered};
}
