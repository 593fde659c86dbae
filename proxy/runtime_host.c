/* SPDX-License-Identifier: MIT */
/* Services of a runtime: most calls go on to the daemon's; files, patterns and errors are answered here, from
 * the source and into the diagnostics of the build. Owned by its runtime. */
#include "proxy/runtime_host.h"

/* ---- on to the daemon ---- */

static void host_log(void *ctx, enum postern_log_level level, const char *filter, const char *text)
{
    const struct runtime_host *h = ctx;
    h->daemon.log(h->daemon.ctx, level, filter, text);
}

static uint64_t host_now_us(void *ctx)
{
    const struct runtime_host *h = ctx;
    return h->daemon.now_us(h->daemon.ctx);
}

static uint64_t host_wall_us(void *ctx)
{
    const struct runtime_host *h = ctx;
    return h->daemon.wall_us(h->daemon.ctx);
}

static void host_count(void *ctx, const char *filter, const char *counter, uint64_t add)
{
    const struct runtime_host *h = ctx;
    h->daemon.count(h->daemon.ctx, filter, counter, add);
}

static void *host_shared(void *ctx, const char *name, size_t bytes)
{
    const struct runtime_host *h = ctx;
    return h->diags && h->daemon.shared ? h->daemon.shared(h->daemon.ctx, name, bytes) : NULL;
}

static struct postern_timer *host_timer_start(void *ctx, uint64_t after_us, void (*fire)(void *arg),
                                              void *arg)
{
    const struct runtime_host *h = ctx;
    return h->daemon.timer_start(h->daemon.ctx, after_us, fire, arg);
}

static void host_timer_stop(void *ctx, struct postern_timer *t)
{
    const struct runtime_host *h = ctx;
    h->daemon.timer_stop(h->daemon.ctx, t);
}

static struct postern_stream *host_stream_open(void *ctx, const struct postern_stream_target *to,
                                               const struct postern_stream_events *events, void *arg)
{
    const struct runtime_host *h = ctx;
    return h->daemon.stream_open(h->daemon.ctx, to, events, arg);
}

static void host_hit(void *ctx, const char *filter, struct span rule, struct span matched)
{
    const struct runtime_host *h = ctx;
    h->daemon.hit(h->daemon.ctx, filter, rule, matched);
}

static void host_answered(void *ctx, const char *filter, enum postern_phase phase, const struct verdict *v)
{
    const struct runtime_host *h = ctx;
    h->daemon.answered(h->daemon.ctx, filter, phase, v);
}

/* ---- while configuring ---- */

static void host_config_error(void *ctx, const char *file, uint32_t line, uint32_t column, const char *text)
{
    const struct runtime_host *h = ctx;
    if (h->diags)
        diag_add(h->diags, DIAG_ERROR, file ? file : h->file, line, column, "%s", text);
}

static int host_read_file(void *ctx, struct span name, struct span *bytes_r, const char **path_r,
                          const char **error_r)
{
    const struct runtime_host *h = ctx;
    *error_r = "files are read while configuring only";
    if (!h->diags)
        return -1;
    char *path = conf_path(h->arena, h->file, name);
    *path_r = path;
    *error_r = "no memory for the file's name";
    return path ? h->source->read(h->source->ctx, path, bytes_r, error_r) : -1;
}

static void host_glob(void *ctx, struct span pattern, void (*found)(void *arg, const char *path), void *arg)
{
    const struct runtime_host *h = ctx;
    char *path = h->diags ? conf_path(h->arena, h->file, pattern) : NULL;
    if (path)
        h->source->glob(h->source->ctx, path, found, arg);
    else if (h->diags)
        diag_add(h->diags, DIAG_ERROR, h->file, 0, 0, "no memory for a file pattern");
}

struct filter_services runtime_host_services(struct runtime_host *h)
{
    struct filter_services s = {
        .ctx = h,
        .log = host_log,
        .now_us = host_now_us,
        .wall_us = host_wall_us,
        .count = host_count,
        .config_error = host_config_error,
        .read_file = host_read_file,
        .glob = host_glob,
        .shared = host_shared,
    };
    if (h->daemon.timer_start) {
        s.timer_start = host_timer_start;
        s.timer_stop = host_timer_stop;
    }
    if (h->daemon.stream_open) {
        s.stream_open = host_stream_open;
        s.stream_write = h->daemon.stream_write;
        s.stream_close = h->daemon.stream_close;
    }
    if (h->daemon.hit)
        s.hit = host_hit;
    if (h->daemon.answered)
        s.answered = host_answered;
    return s;
}
