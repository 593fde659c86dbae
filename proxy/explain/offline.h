/* SPDX-License-Identifier: MIT */
/* The services that filters get where there is no world: time that passes only when nothing else is left to
 * do, timers on it, streams that break at once, and memory that nobody shares. What filters say and do is
 * passed on to who looks on. */
#ifndef EXPLAIN_OFFLINE_H
#define EXPLAIN_OFFLINE_H

#include "base/attr.h"
#include "filters/services.h"
#include "proxy/shared.h"

struct offline_timer;

struct offline_watch {
    void *ctx;
    void (*log)(void *ctx, enum postern_log_level level, const char *filter, const char *text);
    void (*hit)(void *ctx, const char *filter, struct span rule, struct span matched);
    void (*answered)(void *ctx, const char *filter, enum postern_phase phase, const struct verdict *v);
};

struct offline { /* private */
    struct offline_watch watch;
    struct shared_set shared;
    uint64_t now_us;
    struct offline_timer *timers;
    struct postern_stream *streams;
};

void offline_begin(struct offline *o, const struct offline_watch *watch);
void offline_end(struct offline *o); /* after the filters */
/* `o` must outlive their use. */
struct filter_services offline_services(struct offline *o);
/* Lets time pass to the next timer and fires it. false: there is none, or none within `us` from now. */
MUST_CHECK bool offline_step(struct offline *o, uint64_t us);

#endif
