/* SPDX-License-Identifier: MIT */
/* The functions that a plugin is given: they turn the public header's view (self, postern_tx) into the
 * engine's (filter_instance, chain_run) and pass the rest to the services.
 *
 *   plugin --host->timer_start(self, …)--> here --services->timer_start(ctx, …)--> daemon, or a test
 *
 * Text is formatted here, so that services deal with finished lines. Nothing is owned here. */
#include "filters/host_edit.h"
#include "filters/instance.h"
#include "filters/run.h"

#include <math.h>
#include <stdarg.h>

#define LINE_MAX_BYTES 1024 /* of a log line or an error text; the rest is cut */

static struct postern_span to_plugin(struct span s)
{
    return (struct postern_span){s.p, s.n};
}

/* ---- log, time, counters ---- */

static void __attribute__((format(printf, 3, 4)))
host_log(void *self, enum postern_log_level level, const char *format, ...)
{
    const struct filter_instance *f = self;
    char text[LINE_MAX_BYTES];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    f->services->log(f->services->ctx, level, f->name, text);
}

static uint64_t host_now_us(void *self)
{
    const struct filter_instance *f = self;
    return f->services->now_us(f->services->ctx);
}

static uint64_t host_wall_us(void *self)
{
    const struct filter_instance *f = self;
    return f->services->wall_us(f->services->ctx);
}

static void host_count(void *self, const char *name, uint64_t add)
{
    const struct filter_instance *f = self;
    f->services->count(f->services->ctx, f->name, name, add);
}

/* ---- configuration ---- */

/* Where an error is shown: at its node, or at the filter's block when the node is a default that nobody
 * wrote. */
static const struct postern_node *place(const struct filter_instance *f, const struct postern_node *at)
{
    return at && at->line ? at : f->block;
}

static void __attribute__((format(printf, 4, 5)))
host_config_error(void *self, const struct postern_node *at, size_t column_add, const char *format, ...)
{
    struct filter_instance *f = self;
    const struct postern_node *shown = place(f, at);
    char text[LINE_MAX_BYTES];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    uint32_t column = shown ? shown->column : 0;
    if (shown && shown == at)
        column += (uint32_t)column_add;
    instance_config_error(f, shown ? shown->file : NULL, shown ? shown->line : 0, column, text);
}

static void __attribute__((format(printf, 5, 6)))
host_file_error(void *self, const char *file, uint32_t line, uint32_t column, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    instance_config_error(self, file, line, column, text);
}

static int host_read_file(void *self, struct postern_span name, struct postern_span *bytes_r,
                          const char **name_r, const char **error_r)
{
    struct filter_instance *f = self;
    struct span bytes = SPAN_NONE;
    const char *path = NULL, *error = "files are read while configuring only";
    int result = -1;

    if (f->configuring)
        result =
            f->services->read_file(f->services->ctx, (struct span){name.p, name.n}, &bytes, &path, &error);
    if (result == 0) {
        path = arena_span(f->paths, path ? span_of(path) : (struct span){name.p, name.n}).p;
        error = path ? NULL : "no memory for the file's name";
        result = path ? 0 : -1;
    }
    if (bytes_r)
        *bytes_r = to_plugin(bytes);
    if (name_r)
        *name_r = path;
    if (error_r)
        *error_r = error;
    return result;
}

static void globbed(void *arg, const char *path)
{
    struct configuring *c = arg;
    const char *copy = arena_span(c->arena, span_of(path)).p;

    if (copy && c->globbed_n == c->globbed_cap) {
        size_t cap = c->globbed_cap ? c->globbed_cap * 2 : 16;
        const char **more = reallocarray(c->globbed, cap, sizeof(*more));
        if (more) {
            c->globbed = more;
            c->globbed_cap = cap;
        }
    }
    if (copy && c->globbed_n < c->globbed_cap)
        c->globbed[c->globbed_n++] = copy;
    else
        c->globbed_lost = true;
}

static size_t host_glob(void *self, struct postern_span pattern)
{
    struct filter_instance *f = self;
    struct configuring *c = f->configuring;

    if (!c)
        return 0;
    c->globbed_n = 0;
    c->globbed_lost = false;
    f->services->glob(f->services->ctx, (struct span){pattern.p, pattern.n}, globbed, c);
    if (c->globbed_lost) /* a rule file left out in silence would be a policy left out */
        host_config_error(f, NULL, 0, "no memory for the names that '%.*s' finds", (int)pattern.n, pattern.p);
    return c->globbed_n;
}

static struct postern_span host_glob_name(void *self, size_t i)
{
    const struct filter_instance *f = self;
    const struct configuring *c = f->configuring;
    return c && i < c->globbed_n ? to_plugin(span_of(c->globbed[i])) : (struct postern_span){NULL, 0};
}

/* Names are the filter's own: two filters of one plugin do not share what both call "counters". */
static void *host_shared(void *self, const char *name, size_t bytes)
{
    const struct filter_instance *f = self;
    char full[256];

    if (!f->configuring || !f->services->shared ||
        snprintf(full, sizeof(full), "%s/%s", f->name, name) >= (int)sizeof(full))
        return NULL;
    return f->services->shared(f->services->ctx, full, bytes);
}

static void host_wants(void *self, unsigned wants)
{
    struct filter_instance *f = self;
    if (f->configuring)
        f->plugin.wants &= wants;
}

/* ---- timers and streams: absent in a process where no mail flows ---- */

static struct postern_timer *host_timer_start(void *self, uint64_t after_us, void (*fire)(void *arg),
                                              void *arg)
{
    const struct filter_instance *f = self;
    if (!f->services->timer_start)
        return NULL;
    return f->services->timer_start(f->services->ctx, after_us, fire, arg);
}

static void host_timer_stop(void *self, struct postern_timer *t)
{
    const struct filter_instance *f = self;
    if (t && f->services->timer_stop)
        f->services->timer_stop(f->services->ctx, t);
}

static struct postern_stream *host_stream_open(void *self, const struct postern_stream_target *to,
                                               const struct postern_stream_events *events, void *arg)
{
    const struct filter_instance *f = self;
    if (!f->services->stream_open)
        return NULL;
    return f->services->stream_open(f->services->ctx, to, events, arg);
}

static int no_stream_write(struct postern_stream *s, struct postern_span bytes)
{
    (void)s, (void)bytes;
    return -1;
}

static void no_stream_close(struct postern_stream *s)
{
    (void)s;
}

/* ---- the transaction ---- */

static const struct txview *view_of(const struct postern_tx *tx)
{
    return tx->run->view;
}

static struct postern_span host_get(const struct postern_tx *tx, enum postern_field field)
{
    static const size_t places[] = {
        [POSTERN_F_SESSION_ID] = offsetof(struct txview, session_id),
        [POSTERN_F_LISTENER] = offsetof(struct txview, listener),
        [POSTERN_F_CLIENT_ADDRESS] = offsetof(struct txview, client_address),
        [POSTERN_F_HELO] = offsetof(struct txview, helo),
        [POSTERN_F_USER] = offsetof(struct txview, user),
        [POSTERN_F_SENDER] = offsetof(struct txview, sender),
        [POSTERN_F_SENDER_DOMAIN] = offsetof(struct txview, sender_domain),
        [POSTERN_F_RCPT] = offsetof(struct txview, rcpt),
        [POSTERN_F_RCPT_DOMAIN] = offsetof(struct txview, rcpt_domain),
        [POSTERN_F_TLS] = offsetof(struct txview, tls),
    };
    if ((unsigned)field >= COUNT_OF(places))
        return (struct postern_span){NULL, 0};
    const char *view = (const char *)view_of(tx);
    return to_plugin(*(const struct span *)(const void *)(view + places[field]));
}

static struct postern_span host_client_ip(const struct postern_tx *tx)
{
    const struct txview *view = view_of(tx);
    return (struct postern_span){(const char *)view->ip, view->ip_n};
}

static size_t host_rcpt_count(const struct postern_tx *tx)
{
    return view_of(tx)->rcpt_count;
}

static struct postern_span host_rcpt(const struct postern_tx *tx, size_t i)
{
    const struct txview *view = view_of(tx);
    return i < view->rcpt_count ? to_plugin(view->rcpts[i]) : (struct postern_span){NULL, 0};
}

static uint64_t host_message_bytes(const struct postern_tx *tx)
{
    return view_of(tx)->message_bytes;
}

static void host_add_score(struct postern_tx *tx, struct postern_span name, double points)
{
    struct chain_run *r = tx->run;

    if (!isfinite(points))
        return;
    score_add(&r->score, (struct span){name.p, name.n}, points);
    if (run_in_shadow(r))
        r->shadow_points += points;
}

/* A filter that enforces does not act on points of one that is only being tried out. */
static double host_score(const struct postern_tx *tx)
{
    const struct chain_run *r = tx->run;
    return score_sum(&r->score) - (run_in_shadow(r) ? 0 : r->shadow_points);
}

/* ---- who looks on ---- */

static void host_trace(void *self, struct postern_span rule, struct postern_span matched)
{
    const struct filter_instance *f = self;
    f->services->hit(f->services->ctx, f->name, (struct span){rule.p, rule.n},
                     (struct span){matched.p, matched.n});
}

/* ---- late verdicts ---- */

static uint64_t host_ticket(const struct postern_tx *tx)
{
    return run_ticket(tx->run);
}

/* A plugin may be built for an older minor and have a shorter struct: what it lacks is zero. */
static void host_resume(void *self, uint64_t ticket, const struct postern_verdict *v)
{
    struct filter_instance *f = self;
    struct chain_run *waiting = ticket_waiter(&f->tickets, ticket);
    struct postern_verdict full = {.size = sizeof(full), .action = POSTERN_PENDING};

    if (!waiting)
        return;
    if (v && v->size >= sizeof(full)) { /* the size of 1.0 */
        full = *v;
        full.size = sizeof(full);
    } else {
        host_log(self, POSTERN_LOG_ERROR,
                 "resume() with a verdict whose size is not set: the filter has failed");
    }
    run_resume(waiting, &full);
}

struct postern_host host_table(const struct filter_services *services)
{
    static const struct postern_host table = {
        .size = sizeof(struct postern_host),
        .log = host_log,
        .now_us = host_now_us,
        .wall_us = host_wall_us,
        .config_error = host_config_error,
        .file_error = host_file_error,
        .read_file = host_read_file,
        .glob = host_glob,
        .glob_name = host_glob_name,
        .shared = host_shared,
        .timer_start = host_timer_start,
        .timer_stop = host_timer_stop,
        .stream_open = host_stream_open,
        .get = host_get,
        .client_ip = host_client_ip,
        .rcpt_count = host_rcpt_count,
        .rcpt = host_rcpt,
        .message_bytes = host_message_bytes,
        .add_score = host_add_score,
        .score = host_score,
        .ticket = host_ticket,
        .resume = host_resume,
        .count = host_count,
        .header_add = host_header_add,
        .header_replace = host_header_replace,
        .header_remove = host_header_remove,
        .subject_prefix = host_subject_prefix,
        .rcpt_add = host_rcpt_add,
        .rcpt_replace = host_rcpt_replace,
        .tag = host_tag,
        .tag_get = host_tag_get,
        .wants = host_wants,
    };
    struct postern_host host = table;
    host.trace = services->hit ? host_trace : NULL;
    host.stream_write = services->stream_write ? services->stream_write : no_stream_write;
    host.stream_close = services->stream_close ? services->stream_close : no_stream_close;
    return host;
}
