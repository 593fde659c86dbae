/* SPDX-License-Identifier: MIT */
/* Ties one session to its client's connection and to the upstream of its listener.
 *
 *   client conn --data, events--> session --ops--> client conn
 *                                   `--ops--> upstream_get / upstream_put --> legs
 *
 * A relay owns its conn and its session. It dies after the session's ops.close, at the end of the loop turn:
 * never while a callback of either is on the stack. It holds a reference on the runtime of each policy that
 * its session uses, and on the one whose upstream its leg is from. */
#include "proxy/relay.h"

#include "base/clock.h"
#include "net/conn.h"
#include "proxy/txlog.h"

#include <stdlib.h>
#include <unistd.h>

struct relay {
    struct relay *next, **prev;
    struct relays *all;
    struct conn *conn; /* NULL: the client is gone, or handed over for closing */
    struct session *session;
    struct runtime_listener *listener;
    struct runtime *runtime;     /* of the listener's entry above */
    struct runtime *leg_runtime; /* of the wait, or the leg and what the log says of it */
    struct upstream_wait *wait;
    struct span leg_address; /* of the last leg */
    struct tls_info leg_tls;
    uint64_t tls_handshake_us;
    struct loop_timer timer;
    struct loop_deferred burial;
    uint32_t limits_logged; /* bits of enum session_counter */
    bool over;
};

struct relays {
    struct relays_env env;
    struct relay *first;
    size_t count;
    uint32_t began_ms; /* of this worker; wraps */
    uint64_t serial;
    bool draining;
    bool full; /* and the log says so */
    size_t counters[SESSION_COUNTERS];
    size_t count_sessions, count_full;
};

static const struct session_ops ops;
static const struct conn_events client_events;

/* ---- all of them ---- */

struct relays *relays_create(const struct relays_env *env)
{
    struct relays *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->env = *env;
    r->began_ms = (uint32_t)(clock_wall_us() / US_PER_MS);
    for (int i = 0; i < SESSION_COUNTERS; i++) {
        char name[64];
        int n = snprintf(name, sizeof(name), "session.%s", session_counter_name((enum session_counter)i));
        r->counters[i] = n > 0 ? counters_find(env->counters, name) : 0;
    }
    r->count_sessions = counters_find(env->counters, "session.sessions");
    r->count_full = counters_find(env->counters, "session.too_many_sessions");
    return r;
}

size_t relays_count(const struct relays *r)
{
    return r->count;
}

static void for_each(struct relays *r, void (*fn)(struct session *s))
{
    struct relay *next;
    for (struct relay *one = r->first; one; one = next) {
        next = one->next; /* a relay is freed at the end of the turn, so next stays good */
        if (one->session)
            fn(one->session);
    }
}

void relays_drain(struct relays *r)
{
    r->draining = true;
    for_each(r, session_drain);
}

void relays_kill(struct relays *r)
{
    r->draining = true;
    for_each(r, session_kill);
}

/* ---- life of one ---- */

static void relay_free(struct relay *one)
{
    struct relays *all = one->all;
    loop_timer_stop(&one->timer);
    session_destroy(&one->session); /* may ask for a burial */
    loop_undefer(&one->burial);
    if (one->conn)
        conn_close(&one->conn, CONN_END_NOW);
    runtime_unref(&one->leg_runtime);
    runtime_unref(&one->runtime);
    *one->prev = one->next;
    if (one->next)
        one->next->prev = one->prev;
    free(one);
    all->count--;
    if (all->env.changed)
        all->env.changed(all->env.ctx, all->count);
}

static void bury(void *arg)
{
    relay_free(arg);
}

void relays_destroy(struct relays **rp)
{
    struct relays *r = *rp;
    if (!r)
        return;
    r->env.changed = NULL;
    for (struct relay *one = r->first, *next; one; one = next) {
        next = one->next;
        relay_free(one);
    }
    free(r);
    *rp = NULL;
}

/* Worker, the millisecond at which it began, running number, in hexadecimal: unique on this machine, also
 * when a worker is replaced, and short enough to be read out. */
static struct span session_id(struct relays *r, char *room, size_t size)
{
    int n = snprintf(room, size, "%x%08x%04llx", (unsigned)(r->env.worker & 0xff), r->began_ms,
                     (unsigned long long)++r->serial);
    return span_make(room, n > 0 ? (size_t)n : 0);
}

static struct span address_without_port(struct span with_port)
{
    size_t end = with_port.n;
    while (end && with_port.p[end - 1] != ':')
        end--;
    struct span host = span_head(with_port, end ? end - 1 : 0);
    if (host.n >= 2 && host.p[0] == '[')
        host = span_make(host.p + 1, host.n - 2);
    return host;
}

/* Ends a relay that never got a session. */
static void give_up(struct relay *one, enum conn_end how)
{
    if (one->conn)
        conn_close(&one->conn, how);
    loop_defer(one->all->env.loop, &one->burial, bury, one);
}

static void begin_session(struct relay *one)
{
    char id[40];
    struct tls_info tls = conn_tls_info(one->conn);
    struct session_client client = {
        .session_id = session_id(one->all, id, sizeof(id)),
        .address = address_without_port(conn_peer_text(one->conn)),
        .in_tls = tls.version != NULL,
        .tls_version = span_of(tls.version),
    };
    client.ip_n = conn_peer_ip(one->conn, client.ip);
    one->session = session_create(&ops, one, &client);
    if (!one->session) {
        give_up(one, CONN_END_NOW);
        return;
    }
    if (one->all->draining)
        session_drain(one->session);
    session_start(one->session);
}

/* A flood fills the counter, not the log: one line until there is room again. */
static void log_full(struct relay *one)
{
    struct log_record r;
    if (one->all->full)
        return;
    one->all->full = true;
    log_begin(&r, one->all->env.log, LOG_AT_WARN, "limit");
    log_cstr(&r, "limit", "too_many_sessions");
    log_cstr(&r, "listener", one->listener->conf->name);
    log_str(&r, "client", conn_peer_text(one->conn));
    log_end(&r);
}

static void refuse_client(struct relay *one)
{
    counters_add(one->all->env.counters, one->all->count_full, 1);
    log_full(one);
    if (conn_write(one->conn, SPAN_LIT("421 4.7.0 Too many sessions; try again later\r\n")))
        give_up(one, CONN_END_FLUSH);
    else
        give_up(one, CONN_END_NOW);
}

static struct relay *relay_create(struct relays *r, struct runtime_listener *l, int fd)
{
    struct relay *one = calloc(1, sizeof(*one));
    if (!one) {
        close(fd);
        return NULL;
    }
    one->all = r;
    one->listener = l;
    one->runtime = runtime_ref(*r->env.current);
    one->tls_handshake_us = one->runtime->conf->timeouts.tls_handshake;
    one->next = r->first;
    one->prev = &r->first;
    if (r->first)
        r->first->prev = &one->next;
    r->first = one;
    r->count++;
    counters_add(r->env.counters, r->count_sessions, 1);
    one->conn = conn_accept(r->env.loop, fd, &client_events, one);
    if (!one->conn) {
        relay_free(one);
        return NULL;
    }
    return one;
}

void relays_accept(struct relays *r, const char *listener, int fd)
{
    struct runtime_listener *l = runtime_listener(*r->env.current, listener);
    if (!l) {
        close(fd); /* the listener went by a reload while the client was on its way */
        return;
    }
    bool full = r->count >= (*r->env.current)->conf->limits.sessions;
    r->full = r->full && full;
    struct relay *one = relay_create(r, l, fd);
    if (!one)
        return;
    if (full) {
        refuse_client(one);
    } else if (l->conf->tls == CONF_TLS_IMPLICIT) {
        if (!l->tls || !conn_tls_accept(one->conn, l->tls, one->tls_handshake_us))
            give_up(one, CONN_END_NOW);
    } else {
        begin_session(one);
    }
}

/* ---- the client's connection ---- */

static size_t on_data(void *ctx, struct conn *c, struct span bytes)
{
    struct relay *one = ctx;
    (void)c;
    return one->session && !one->over ? session_feed(one->session, bytes) : bytes.n;
}

static void on_tls(struct relay *one)
{
    struct tls_info tls = conn_tls_info(one->conn);
    if (one->session)
        session_secured(one->session, span_of(tls.version));
    else
        begin_session(one);
}

static void log_lost_handshake(const struct relay *one, const char *why)
{
    struct log_record r;
    log_begin(&r, one->all->env.log, LOG_AT_INFO, "connection");
    log_str(&r, "client", one->conn ? conn_peer_text(one->conn) : SPAN_NONE);
    log_cstr(&r, "listener", one->listener->conf->name);
    log_cstr(&r, "note", why);
    log_end(&r);
}

static void on_closed(struct relay *one, const char *why)
{
    if (!one->session) {
        log_lost_handshake(one, why);
        one->conn = NULL;
        give_up(one, CONN_END_NOW);
        return;
    }
    one->conn = NULL;
    session_gone(one->session);
}

static void on_event(void *ctx, struct conn *c, enum conn_event e, const char *why)
{
    struct relay *one = ctx;
    (void)c;
    if (one->over && e != CONN_CLOSED)
        return;
    switch (e) {
    case CONN_CONNECTED:
        break;
    case CONN_TLS:
        on_tls(one);
        break;
    case CONN_DRAINED:
        if (one->session)
            session_drained(one->session);
        break;
    case CONN_EOF:
        if (one->session)
            session_eof(one->session);
        else
            give_up(one, CONN_END_NOW);
        break;
    case CONN_CLOSED:
        on_closed(one, why);
        break;
    }
}

static const struct conn_events client_events = {.data = on_data, .event = on_event};

/* ---- what the session asks for: its client ---- */

static void op_send(void *ctx, struct span bytes)
{
    struct relay *one = ctx;
    if (one->conn && !conn_write(one->conn, bytes))
        return; /* CONN_CLOSED follows */
}

static bool op_full(void *ctx)
{
    struct relay *one = ctx;
    return one->conn && conn_full(one->conn);
}

static void op_start_tls(void *ctx)
{
    struct relay *one = ctx;
    if (one->conn && !conn_tls_accept(one->conn, one->listener->tls, one->tls_handshake_us)) {
        conn_close(&one->conn, CONN_END_NOW);
        session_gone(one->session);
    }
}

static void op_resume(void *ctx)
{
    struct relay *one = ctx;
    if (one->conn)
        conn_resume(one->conn);
}

static void op_close(void *ctx, enum session_close how, const char *why)
{
    struct relay *one = ctx;
    (void)why;
    one->over = true;
    if (one->conn)
        conn_close(&one->conn, how == SESSION_CLOSE_RESET ? CONN_END_NOW : CONN_END_FLUSH);
    loop_defer(one->all->env.loop, &one->burial, bury, one);
}

static uint64_t op_now(void *ctx)
{
    const struct relay *one = ctx;
    return loop_now_us(one->all->env.loop);
}

static void time_is_up(void *arg)
{
    struct relay *one = arg;
    session_timeout(one->session);
}

static void op_timer(void *ctx, uint64_t at_us)
{
    struct relay *one = ctx;
    uint64_t now = op_now(one);
    loop_timer_stop(&one->timer);
    if (at_us)
        loop_timer_start(one->all->env.loop, &one->timer, at_us > now ? at_us - now : 0, time_is_up, one);
}

/* ---- its upstream ---- */

static enum session_offer op_offer(void *ctx, struct ehlo *offer_r)
{
    struct relay *one = ctx;
    return upstream_offer(one->listener->upstream, offer_r);
}

static void got_leg(void *arg, struct upleg *leg, const char *why)
{
    struct relay *one = arg;
    one->wait = NULL;
    if (leg) {
        one->leg_address = upstream_leg_address(leg);
        one->leg_tls = upstream_leg_tls(leg);
    } else {
        runtime_unref(&one->leg_runtime);
    }
    session_upstream(one->session, leg, why);
}

static void op_upstream_get(void *ctx, bool fresh)
{
    struct relay *one = ctx;
    runtime_unref(&one->leg_runtime);
    one->leg_runtime = runtime_ref(one->runtime);
    struct upstream_wait *w = upstream_get(one->listener->upstream, fresh, got_leg, one);
    if (w)
        one->wait = w;
}

static void op_upstream_cancel(void *ctx)
{
    struct relay *one = ctx;
    upstream_cancel(&one->wait);
    runtime_unref(&one->leg_runtime);
}

/* The transaction may still be reported: its server's address goes with the runtime, at the next leg. */
static void op_upstream_put(void *ctx, struct upleg *leg)
{
    (void)ctx;
    upstream_put(leg);
}

/* ---- policy, reports ---- */

/* A session goes over to the newest generation between two transactions, as long as its listener is in it. */
static const struct session_policy *op_policy_get(void *ctx)
{
    struct relay *one = ctx;
    struct runtime *newest = *one->all->env.current;
    struct runtime_listener *l = runtime_listener(newest, one->listener->conf->name);
    if (l && newest != one->runtime) {
        runtime_unref(&one->runtime);
        one->runtime = runtime_ref(newest);
        one->listener = l;
    }
    runtime_ref(one->runtime);
    return &one->listener->policy;
}

static void op_policy_put(void *ctx, const struct session_policy *p)
{
    struct runtime *r = p->owner;
    (void)ctx;
    runtime_unref(&r);
}

static void op_report(void *ctx, const struct session_report *r)
{
    struct relay *one = ctx;
    struct txlog_extra extra = {0};
    if (one->conn)
        extra.client_tls = conn_tls_info(one->conn);
    if (r->upstream_used) {
        extra.upstream = one->leg_address;
        extra.upstream_tls = one->leg_tls;
    }
    txlog_report(one->all->env.log, r, &extra);
}

/* A limit that was reached has its line in the log, once a session. */
static const bool is_limit[SESSION_COUNTERS] = {
    [SESSION_COUNT_SYNC_VIOLATIONS] = true, [SESSION_COUNT_BARE_NEWLINES] = true,
    [SESSION_COUNT_TOO_MANY_ERRORS] = true, [SESSION_COUNT_TOO_MANY_RCPTS] = true,
    [SESSION_COUNT_TOO_BIG] = true,         [SESSION_COUNT_LINE_TOO_LONG] = true,
    [SESSION_COUNT_NO_SPACE] = true,        [SESSION_COUNT_TIMEOUTS] = true,
};

static void op_count(void *ctx, enum session_counter c, const struct txview *view)
{
    struct relay *one = ctx;
    counters_add(one->all->env.counters, one->all->counters[c], 1);
    if (!is_limit[c] || (one->limits_logged & (1u << c)))
        return;
    one->limits_logged |= 1u << c;
    txlog_limit(one->all->env.log, session_counter_name(c), view);
}

static struct spool_budget *op_budget(void *ctx)
{
    struct relay *one = ctx;
    return one->all->env.budget;
}

static const struct session_ops ops = {
    .send = op_send,
    .full = op_full,
    .start_tls = op_start_tls,
    .resume = op_resume,
    .close = op_close,
    .now_us = op_now,
    .timer = op_timer,
    .offer = op_offer,
    .upstream_get = op_upstream_get,
    .upstream_cancel = op_upstream_cancel,
    .upstream_put = op_upstream_put,
    .policy_get = op_policy_get,
    .policy_put = op_policy_put,
    .report = op_report,
    .count = op_count,
    .budget = op_budget,
};
