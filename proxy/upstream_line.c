/* SPDX-License-Identifier: MIT */
/* One connection to a server of an upstream, with its leg.
 *
 *   TLSA records, if they are wanted (dane.h)
 *   dial -> conn: CONNECTED -> preface (a PROXY header) -> leg: greeting, EHLO -> READY
 *             |                                             `--start_tls--> conn: TLS -> leg
 *             `-- CLOSED, or the leg's own close --> DEAD -> freed after the loop turn
 *
 * A line is owned by its upstream object, is in its list from the first moment, and dies when its connection
 * does. */
#include "base/clock.h"
#include "proxy/upstream_parts.h"
#include "smtp/proxyproto.h"

#include <stdlib.h>

#define NO_TLS_US (600 * (uint64_t)US_PER_S) /* how long it is remembered that TLS failed */

static const struct conn_events line_conn_events;
static const struct upleg_ops line_leg_ops;

/* ---- life of a line ---- */

static void bury_line(void *arg)
{
    struct up_line *l = arg;
    struct upstream *u = l->up;
    loop_timer_stop(&l->timer);
    loop_timer_stop(&l->patience);
    *l->prev = l->next;
    if (l->next)
        l->next->prev = l->prev;
    upleg_destroy(&l->leg);
    dane_facts_unref(&l->dane);
    buf_free(&l->preface);
    free(l->tls_name);
    free(l);
    upstream_line_gone(u);
}

/* Its connection is gone already. */
static void line_dies(struct up_line *l)
{
    if (l->role == LINE_KEPT)
        l->up->kept--;
    l->role = LINE_DEAD;
    loop_timer_stop(&l->timer);
    loop_timer_stop(&l->patience);
    dane_cancel(&l->asking);
    loop_defer(l->up->env.loop, &l->burial, bury_line, l);
}

static struct tls_client *tls_of_line(const struct up_line *l)
{
    return l->plain ? NULL : l->up->tls;
}

/* Makes the connection; the leg hears of it by the conn's events. */
static bool dial(struct up_line *l)
{
    struct upstream *u = l->up;
    struct conn_target to = {.host = l->server->host,
                             .port = l->server->port,
                             .deadline_us = u->connect_us,
                             .source = l->source.ip_n ? &l->source : NULL};
    l->conn = conn_connect(u->env.loop, u->env.resolver, &to, &line_conn_events, l);
    if (!l->conn)
        return false;
    counters_add(u->env.counters, u->count_connects, 1);
    return true;
}

/* ---- DANE ---- */

/* What the records ask for is more than the settings do, never less. */
static void obey(struct up_line *l, const struct dane_facts *f)
{
    if (f->verdict != DANE_TLS && f->verdict != DANE_MATCH)
        return;
    l->plain = false;
    l->config.tls = l->up->leg_config.tls == UPLEG_IMPLICIT ? UPLEG_IMPLICIT : UPLEG_REQUIRED;
    l->config.verified = l->config.verified || f->verdict == DANE_MATCH;
}

static void on_dane(void *arg, struct dane_facts *f)
{
    struct up_line *l = arg;
    l->asking = NULL;
    l->dane = dane_facts_ref(f);
    if (!f) {
        upleg_lost(l->leg, "no memory for TLSA records");
    } else if (f->verdict == DANE_FAILS) {
        upleg_lost(l->leg, f->why);
    } else {
        obey(l, f);
        if (!dial(l))
            upleg_lost(l->leg, "no memory or descriptors for a connection");
    }
}

void upstream_line_log_dane(const struct up_line *l, const char *why)
{
    const struct dane_facts *f = l->dane;
    bool must = f && (f->verdict == DANE_MATCH || f->verdict == DANE_TLS);
    bool spoke = l->connected && l->config.tls != l->up->leg_config.tls; /* it may have no TLS at all */
    if (f && f->verdict == DANE_FAILS)
        log_plain(l->up->env.log, LOG_AT_WARN, "upstream %s: server %s fails DANE: %s", l->up->conf->name,
                  l->server->text, why);
    else if (must && (upleg_was_securing(l->leg) || spoke))
        log_plain(l->up->env.log, LOG_AT_WARN,
                  "upstream %s: server %s %s: %s (TLS is a must by its TLSA records: %s)", l->up->conf->name,
                  l->server->text, upleg_was_securing(l->leg) ? "fails DANE" : "cannot be used", why,
                  f->text);
}

/* The first step; the others follow by events. */
static bool begin(struct up_line *l)
{
    struct upstream *u = l->up;
    l->leg = upleg_create(&l->config, &line_leg_ops, l);
    if (!l->leg)
        return false;
    if (!u->dane || !dane_applies(u->conf, l->server))
        return dial(l);
    l->asking = dane_ask(u->dane, l->server, on_dane, l);
    return l->asking != NULL;
}

struct up_line *upstream_line_create(struct upstream *u, const struct conf_address *server, bool plain,
                                     const struct upstream_caller *caller)
{
    struct up_line *l = calloc(1, sizeof(*l));
    if (!l || !buf_append(&l->preface, caller->preface)) {
        free(l);
        return NULL;
    }
    l->up = u;
    l->server = server;
    l->source = caller->source;
    l->tls_name = caller->tls_name ? strdup(caller->tls_name) : NULL;
    l->role = LINE_COMING;
    l->plain = plain;
    l->config = u->leg_config;
    if (plain)
        l->config.tls = UPLEG_PLAIN;
    l->next = u->lines;
    l->prev = &u->lines;
    if (u->lines)
        u->lines->prev = &l->next;
    u->lines = l;
    if (!begin(l)) {
        line_dies(l);
        return NULL;
    }
    upleg_set_name(l->leg, caller->helo);
    return l;
}

struct up_line *upstream_line_of(const struct upleg *leg)
{
    return upleg_owner(leg);
}

struct span upstream_leg_address(const struct upleg *leg)
{
    return span_of(upstream_line_of(leg)->server->text);
}

/* Without memory for it no name is asked for, and the server shows what it shows to anybody. */
void upstream_leg_ask_for(struct upleg *leg, const char *tls_name)
{
    struct up_line *l = upstream_line_of(leg);
    free(l->tls_name);
    l->tls_name = tls_name ? strdup(tls_name) : NULL;
}

struct tls_shown *upstream_leg_shown(const struct upleg *leg)
{
    const struct up_line *l = upstream_line_of(leg);
    return l->conn ? conn_tls_shown(l->conn) : NULL;
}

struct conn *upstream_take_conn(struct upleg *leg)
{
    struct up_line *l = upstream_line_of(leg);
    struct conn *c = l->conn;
    l->conn = NULL;
    upleg_abort(leg, false);
    return c;
}

struct tls_info upstream_leg_tls(const struct upleg *leg)
{
    const struct up_line *l = upstream_line_of(leg);
    return l->conn ? conn_tls_info(l->conn) : (struct tls_info){0};
}

/* ---- the leg's connection ---- */

static bool line_send(void *ctx, struct span bytes)
{
    struct up_line *l = ctx;
    return l->conn && conn_write(l->conn, bytes);
}

static bool line_full(void *ctx)
{
    struct up_line *l = ctx;
    return l->conn && conn_full(l->conn);
}

static void line_start_tls(void *ctx)
{
    struct up_line *l = ctx;
    const struct upstream *u = l->up;
    const struct tls_dane *dane = l->dane && l->dane->verdict == DANE_MATCH ? &l->dane->records : NULL;
    const char *name = u->conf->verify_name   ? u->conf->verify_name
                       : l->tls_name && !dane ? l->tls_name
                                              : l->server->host;
    if (!l->conn || !tls_of_line(l) ||
        !conn_tls_connect(l->conn, tls_of_line(l), name, dane, u->handshake_us))
        upleg_lost(l->leg, "TLS could not be started");
}

/* The leg is dead: so is its line. */
static void line_close(void *ctx, bool reset)
{
    struct up_line *l = ctx;
    if (l->conn)
        conn_close(&l->conn, reset ? CONN_END_RESET : CONN_END_FLUSH);
    line_dies(l);
}

static uint64_t line_now(void *ctx)
{
    struct up_line *l = ctx;
    return loop_now_us(l->up->env.loop);
}

static void line_time_up(void *arg)
{
    struct up_line *l = arg;
    upleg_timeout(l->leg);
}

static void line_timer(void *ctx, uint64_t at_us)
{
    struct up_line *l = ctx;
    uint64_t now = line_now(l);
    loop_timer_stop(&l->timer);
    if (at_us)
        loop_timer_start(l->up->env.loop, &l->timer, at_us > now ? at_us - now : 0, line_time_up, l);
}

static const struct upleg_ops line_leg_ops = {
    .send = line_send,
    .full = line_full,
    .start_tls = line_start_tls,
    .close = line_close,
    .now_us = line_now,
    .timer = line_timer,
};

static size_t on_data(void *ctx, struct conn *c, struct span bytes)
{
    struct up_line *l = ctx;
    (void)c;
    upleg_feed(l->leg, bytes);
    return bytes.n;
}

/* The daemon's own question, to a server that expects a PROXY header: it is we who ask. Version 1 has no word
 * for that which Postfix would take, so it says the connection's own ends. */
static bool own_preface(struct up_line *l)
{
    struct proxy_header h = {.local = l->up->conf->identity == CONF_IDENTITY_PROXY_V2};
    if (l->up->conf->identity == CONF_IDENTITY_PROXY_V2)
        return proxy_print_v2(&l->preface, &h);
    if (l->up->conf->identity != CONF_IDENTITY_PROXY_V1)
        return true;
    h.from.ip_n = conn_local_ip(l->conn, h.from.ip, &h.from.port);
    h.to.ip_n = conn_peer_ip(l->conn, h.to.ip);
    h.to.port = conn_peer_port(l->conn);
    return proxy_print_v1(&l->preface, &h);
}

static void on_connected(struct up_line *l)
{
    l->connected = true;
    if (!buf_len(&l->preface) && !own_preface(l)) {
        upleg_lost(l->leg, "no memory for a PROXY header");
        return;
    }
    if (buf_len(&l->preface) && !conn_write(l->conn, buf_span(&l->preface)))
        return; /* CONN_CLOSED follows */
    if (l->config.tls == UPLEG_IMPLICIT)
        line_start_tls(l);
    else
        upleg_connected(l->leg);
}

static void on_secured(struct up_line *l)
{
    if (l->config.tls == UPLEG_IMPLICIT)
        upleg_connected(l->leg);
    else
        upleg_secured(l->leg);
}

static void on_conn_event(void *ctx, struct conn *c, enum conn_event e, const char *why)
{
    struct up_line *l = ctx;
    (void)c;
    switch (e) {
    case CONN_CONNECTED:
        on_connected(l);
        break;
    case CONN_TLS_ASKS: /* of servers only */
        break;
    case CONN_TLS:
        on_secured(l);
        break;
    case CONN_DRAINED:
        upleg_drained(l->leg);
        break;
    case CONN_EOF: /* a server that stops talking is gone, whatever it may still read */
        upleg_lost(l->leg, "the server closed the connection");
        break;
    case CONN_CLOSED:
        l->conn = NULL;
        upleg_lost(l->leg, why);
        if (l->up->env.relay && l->config.tls == UPLEG_OPPORTUNISTIC && upleg_was_securing(l->leg))
            l->up->no_tls_until_us = line_now(l) + NO_TLS_US;
        break;
    }
}

static const struct conn_events line_conn_events = {.data = on_data, .event = on_conn_event};
