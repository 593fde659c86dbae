/* SPDX-License-Identifier: MIT */
/* Host services for filters. One hostsvc a generation and process; it owns the timers that filters started
 * and, through hoststream.c, their streams. It goes after the filters, with their generation.
 *
 *   plugin -> filters/host.c -> hostsvc -> loop_timer, conn, log record, counter, shared memory */
#include "proxy/hostsvc.h"

#include "base/clock.h"
#include "proxy/hoststream.h"

struct postern_timer {
    struct loop_timer timer;
    struct postern_timer *next, **prev;
    void (*fire)(void *arg);
    void *arg;
};

struct hostsvc {
    struct hostsvc_env env;
    struct hoststreams *streams; /* NULL without a loop */
    struct postern_timer *timers;
};

/* ---- log, time, counters, shared memory ---- */

static void service_log(void *ctx, enum postern_log_level level, const char *filter, const char *text)
{
    static const enum log_level levels[] = {[POSTERN_LOG_ERROR] = LOG_AT_ERROR,
                                            [POSTERN_LOG_WARN] = LOG_AT_WARN,
                                            [POSTERN_LOG_INFO] = LOG_AT_INFO,
                                            [POSTERN_LOG_DEBUG] = LOG_AT_DEBUG};
    const struct hostsvc *h = ctx;
    struct log_record r;
    log_begin(&r, h->env.log, (size_t)level < COUNT_OF(levels) ? levels[level] : LOG_AT_INFO, "filter");
    log_cstr(&r, "filter", filter);
    log_cstr(&r, "msg", text);
    log_end(&r);
}

static uint64_t service_now_us(void *ctx)
{
    const struct hostsvc *h = ctx;
    return h->env.loop ? loop_now_us(h->env.loop) : clock_mono_us();
}

static uint64_t service_wall_us(void *ctx)
{
    (void)ctx;
    return clock_wall_us();
}

static void service_count(void *ctx, const char *filter, const char *counter, uint64_t add)
{
    const struct hostsvc *h = ctx;
    char name[128];
    if (!h->env.counters || snprintf(name, sizeof name, "filter.%s.%s", filter, counter) < 0)
        return;
    counters_add(h->env.counters, counters_find(h->env.counters, name), add);
}

static void *service_shared(void *ctx, const char *name, size_t bytes)
{
    const struct hostsvc *h = ctx;
    return h->env.shared ? shared_get(h->env.shared, name, bytes) : NULL;
}

/* ---- timers ---- */

static void timer_free(struct postern_timer *t)
{
    loop_timer_stop(&t->timer);
    *t->prev = t->next;
    if (t->next)
        t->next->prev = t->prev;
    free(t);
}

/* The handle is dead when the filter's function begins, so that it may start the next one. */
static void timer_fired(void *arg)
{
    struct postern_timer *t = arg;
    void (*fire)(void *arg) = t->fire;
    void *fire_arg = t->arg;
    timer_free(t);
    fire(fire_arg);
}

static struct postern_timer *service_timer_start(void *ctx, uint64_t after_us, void (*fire)(void *arg),
                                                 void *arg)
{
    struct hostsvc *h = ctx;
    struct postern_timer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->fire = fire;
    t->arg = arg;
    t->next = h->timers;
    t->prev = &h->timers;
    if (t->next)
        t->next->prev = &t->next;
    h->timers = t;
    loop_timer_start(h->env.loop, &t->timer, after_us, timer_fired, t);
    return t;
}

static void service_timer_stop(void *ctx, struct postern_timer *t)
{
    (void)ctx;
    timer_free(t);
}

/* ---- streams ---- */

static struct postern_stream *service_stream_open(void *ctx, const struct postern_stream_target *to,
                                                  const struct postern_stream_events *events, void *arg)
{
    const struct hostsvc *h = ctx;
    return hoststream_open(h->streams, to, events, arg);
}

/* ---- life ---- */

struct hostsvc *hostsvc_create(const struct hostsvc_env *env)
{
    struct hostsvc *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->env = *env;
    h->streams = env->loop ? hoststreams_create(env) : NULL;
    if (env->loop && !h->streams)
        hostsvc_destroy(&h);
    return h;
}

void hostsvc_destroy(struct hostsvc **h)
{
    if (!*h)
        return;
    struct postern_timer *next;
    for (struct postern_timer *t = (*h)->timers; t; t = next) {
        next = t->next;
        timer_free(t);
    }
    hoststreams_destroy(&(*h)->streams);
    free(*h);
    *h = NULL;
}

void hostsvc_fill(struct hostsvc *h, struct filter_services *services_r)
{
    *services_r = (struct filter_services){
        .ctx = h,
        .log = service_log,
        .now_us = service_now_us,
        .wall_us = service_wall_us,
        .count = service_count,
        .shared = service_shared,
    };
    if (!h->env.loop)
        return;
    services_r->timer_start = service_timer_start;
    services_r->timer_stop = service_timer_stop;
    services_r->stream_open = service_stream_open;
    services_r->stream_write = hoststream_write;
    services_r->stream_close = hoststream_close;
}
