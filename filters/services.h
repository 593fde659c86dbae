/* SPDX-License-Identifier: MIT */
/* What the filter engine needs from its host: the real one stands in proxy/hostsvc.c, a fake one in the
 * tests. Every function gets `ctx` back. Functions of the second group may be NULL where no mail flows (the
 * supervisor's check): a plugin that calls them from configure() gets a failure. */
#ifndef FILTERS_SERVICES_H
#define FILTERS_SERVICES_H

#include "base/span.h"
#include "postern/filter.h"

#include <stdint.h>

struct verdict; /* chain.h */

struct filter_services {
    void *ctx;
    void (*log)(void *ctx, enum postern_log_level level, const char *filter, const char *text);
    uint64_t (*now_us)(void *ctx);
    uint64_t (*wall_us)(void *ctx);
    void (*count)(void *ctx, const char *filter, const char *counter, uint64_t add);

    /* while configuring */
    void (*config_error)(void *ctx, const char *file, uint32_t line, uint32_t column, const char *text);
    int (*read_file)(void *ctx, struct span name, struct span *bytes_r, const char **path_r,
                     const char **error_r);
    void (*glob)(void *ctx, struct span pattern, void (*found)(void *arg, const char *path), void *arg);
    void *(*shared)(void *ctx, const char *name, size_t bytes);

    /* while running: may be NULL */
    struct postern_timer *(*timer_start)(void *ctx, uint64_t after_us, void (*fire)(void *arg), void *arg);
    void (*timer_stop)(void *ctx, struct postern_timer *t);
    struct postern_stream *(*stream_open)(void *ctx, const struct postern_stream_target *to,
                                          const struct postern_stream_events *events, void *arg);
    int (*stream_write)(struct postern_stream *s, struct postern_span bytes);
    void (*stream_close)(struct postern_stream *s);

    /* for who looks on, as `postern explain` does: may be NULL */
    /* `matched`: the text that the rule was about; empty: the filter does not say. */
    void (*hit)(void *ctx, const char *filter, struct span rule, struct span matched);
    /* A filter has answered in a phase, or its failure was put in place of an answer. In shadow mode, too. */
    void (*answered)(void *ctx, const char *filter, enum postern_phase phase, const struct verdict *v);
};

#endif
