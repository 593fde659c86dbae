/* SPDX-License-Identifier: MIT */
/* Ties one session to its client's connection and to the upstream of its listener.
 *
 *   client conn --data, events--> session --ops--> client conn
 *                                   `--ops--> upstream_get / upstream_put --> legs
 *
 * The upstream is the listener's, or with `intercept` the server that the client meant to reach.
 *
 * A relay owns its conn and its session. It dies after the session's ops.close, at the end of the loop turn:
 * never while a callback of either is on the stack. It holds a reference on the runtime of each policy that
 * its session uses, and on the one whose upstream its leg is from. */
#include "proxy/relay.h"

#include "base/clock.h"
#include "net/address.h"
#include "net/conn.h"
#include "proxy/admission.h"
#include "proxy/front.h"
#include "proxy/intercept.h"
#include "proxy/preface.h"
#include "proxy/txlog.h"

#include <stdlib.h>
#include <unistd.h>

struct relay {
    struct relay *next, **prev;
    struct relays *all;
    struct conn *conn; /* NULL: the client is gone, or handed over for closing */
    struct session *session;
    struct front *front; /* the session begins when it is read */
    struct runtime_listener *listener;
    struct runtime *runtime;     /* of the listener's entry above */
    struct runtime *leg_runtime; /* of the wait, or the leg and what the log says of it */
    char id[40];                 /* of its session */
    struct intercept way;
    struct upleg *leg; /* while the session has it */
    struct admission_pass pass;
    struct upstream_wait *wait;
    struct span leg_address; /* of the last leg */
    struct tls_info leg_tls;
    size_t released; /* the place of its message there, while its outcome is open */
    uint64_t tls_handshake_us;
    struct loop_timer timer;
    struct loop_deferred burial;
    uint32_t limits_logged; /* bits of enum session_counter */
    bool securing;          /* STARTTLS was answered, and TLS is not there yet */
    bool over;
};

struct relays {
    struct relays_env env;
    struct admission *admission;
    struct relay *first;
    size_t count, most;
    uint32_t began_ms; /* of this worker; wraps */
    uint64_t serial;
    bool draining;
    size_t counters[SESSION_COUNTERS];
    size_t count_sessions;
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
    struct admission_env admission = {
        .log = env->log, .counters = env->counters, .clients = env->clients, .worker = env->worker};
    r->admission = admission_create(&admission);
    if (!r->admission) {
        free(r);
        return NULL;
    }
    r->began_ms = (uint32_t)(clock_wall_us() / US_PER_MS);
    for (int i = 0; i < SESSION_COUNTERS; i++) {
        char name[64];
        int n = snprintf(name, sizeof(name), "session.%s", session_counter_name((enum session_counter)i));
        r->counters[i] = n > 0 ? counters_find(env->counters, name) : 0;
    }
    r->count_sessions = counters_find(env->counters, "session.sessions");
    return r;
}

void relays_limit(struct relays *r, size_t sessions)
{
    r->most = sessions;
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
    front_destroy(&one->front);
    session_destroy(&one->session); /* may ask for a burial */
    loop_undefer(&one->burial);
    if (one->conn)
        conn_close(&one->conn, CONN_END_NOW);
    admission_leave(all->admission, &one->pass);
    intercept_release(&one->way);
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
    admission_destroy(&r->admission);
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

/* Ends a relay that never got a session. */
static void give_up(struct relay *one, enum conn_end how)
{
    if (one->conn)
        conn_close(&one->conn, how);
    loop_defer(one->all->env.loop, &one->burial, bury, one);
}

/* `front_tls`: what a proxy in front said of the client's TLS; empty: none. */
static void begin_session(struct relay *one, struct span front_tls)
{
    char here[CONN_ADDRESS_TEXT];
    unsigned char ip[16];
    struct tls_info tls = conn_tls_info(one->conn);
    struct session_client client = {
        .session_id = session_id(one->all, one->id, sizeof(one->id)),
        .address = address_host(conn_peer_text(one->conn)),
        .port = conn_peer_port(one->conn),
        .destination = address_host(span_make(here, conn_local_text(one->conn, here))),
        .in_tls = tls.version != NULL || front_tls.n,
        .tls_version = tls.version ? span_of(tls.version) : front_tls,
    };
    client.ip_n = conn_peer_ip(one->conn, client.ip);
    (void)conn_local_ip(one->conn, ip, &client.destination_port);
    one->session = session_create(&ops, one, &client);
    if (!one->session) {
        give_up(one, CONN_END_NOW);
        return;
    }
    if (one->all->draining)
        session_drain(one->session);
    session_start(one->session);
}

/* Ends a client's connection with a last word, if it can read one. */
static void turn_away(struct relay *one, struct span reply, enum conn_end how)
{
    bool readable = one->listener->conf->tls != CONF_TLS_IMPLICIT; /* else it waits for a handshake */
    give_up(one, readable && conn_write(one->conn, reply) ? how : CONN_END_NOW);
}

static struct upstream *upstream_of(const struct relay *one)
{
    const struct destination *d = one->way.destination;
    return d ? destination_upstream(d) : one->listener->upstream;
}

static struct relay *relay_create(struct relays *r, struct runtime_listener *l, int fd)
{
    struct relay *one = calloc(1, sizeof(*one));
    if (!one) {
        close(fd);
        return NULL;
    }
    one->all = r;
    one->released = RELEASED_NOWHERE;
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

/* May this client have one connection more, and with implicit TLS one handshake more? */
static enum admission_answer find_room(struct relay *one, bool full)
{
    const struct conf_limits *limits = &one->runtime->conf->limits;
    unsigned char ip[16];
    size_t ip_n = conn_peer_ip(one->conn, ip);
    one->pass = (struct admission_pass){
        .listener = one->listener->conf->name, .client = conn_peer_text(one->conn), .full = full};
    enum admission_answer a = admission_enter(one->all->admission, &one->pass, limits, ip, ip_n);
    bool implicit = one->listener->conf->tls == CONF_TLS_IMPLICIT;
    if (a == ADMISSION_GRANTED && implicit && !admission_handshake(one->all->admission, &one->pass, limits))
        a = ADMISSION_HANDSHAKES;
    return a;
}

/* A connection that came to nothing. */
static void log_refused(const struct relay *one, const char *why)
{
    struct log_record r;
    log_begin(&r, one->all->env.log, LOG_AT_INFO, "connection");
    log_str(&r, "client", one->conn ? conn_peer_text(one->conn) : SPAN_NONE);
    log_cstr(&r, "listener", one->listener->conf->name);
    log_cstr(&r, "note", why);
    log_end(&r);
}

/* ---- a proxy in front ---- */

static void front_failed(struct relay *one, const char *why)
{
    log_refused(one, why);
    give_up(one, CONN_END_NOW);
}

static void front_late(void *arg)
{
    front_failed(arg, "no PROXY header in time");
}

static void await_front(struct relay *one)
{
    struct loop *loop = one->all->env.loop;
    one->front = front_create(one->conn);
    if (one->front)
        loop_timer_start(loop, &one->timer, one->runtime->conf->timeouts.proxy_header, front_late, one);
    else
        give_up(one, CONN_END_NOW);
}

static void admit(struct relay *one, bool full, struct span front_tls);

static void front_data(struct relay *one, struct span bytes)
{
    struct span tls;
    enum proxy_result r = front_take(one->front, one->conn, bytes, &tls);
    if (r == PROXY_MORE)
        return;
    loop_timer_stop(&one->timer);
    if (r == PROXY_READY)
        admit(one, one->all->count > one->all->most, tls);
    else
        front_failed(one, r == PROXY_BAD ? front_why(one->front) : "no memory for a PROXY header");
    front_destroy(&one->front);
}

/* It is known who the client is: in with it, or away. */
static void admit(struct relay *one, bool full, struct span front_tls)
{
    struct runtime_listener *l = one->listener;
    enum admission_answer admission = find_room(one, full);
    if (admission != ADMISSION_GRANTED) { /* a flood must not hold descriptors */
        turn_away(one, admission_reply(admission), CONN_END_BRISK);
        return;
    }
    const char *refusal = intercept_find(&one->way, one->runtime, l, one->conn, one->all->env.log);
    if (refusal) {
        turn_away(one, span_of(refusal), CONN_END_FLUSH);
    } else if (l->conf->tls == CONF_TLS_IMPLICIT) {
        if (!l->tls || !conn_tls_accept(one->conn, l->tls, one->tls_handshake_us))
            give_up(one, CONN_END_NOW);
    } else {
        begin_session(one, front_tls);
    }
}

void relays_accept(struct relays *r, const char *listener, int fd)
{
    struct runtime_listener *l = runtime_listener(*r->env.current, listener);
    if (!l) {
        close(fd); /* the listener went by a reload while the client was on its way */
        return;
    }
    bool full = r->count >= r->most;
    struct intercept way;
    intercept_look(&way, l->conf, fd);
    struct relay *one = relay_create(r, l, fd);
    if (!one)
        return;
    one->way = way;
    if (front_is_expected(l->conf, one->conn))
        await_front(one);
    else
        admit(one, full, SPAN_NONE);
}

/* ---- the client's connection ---- */

static size_t on_data(void *ctx, struct conn *c, struct span bytes)
{
    struct relay *one = ctx;
    (void)c;
    if (one->front) {
        front_data(one, bytes);
        return bytes.n;
    }
    return one->session && !one->over ? session_feed(one->session, bytes) : bytes.n;
}

static void on_tls(struct relay *one)
{
    struct tls_info tls = conn_tls_info(one->conn);
    one->securing = false;
    if (tls.resumed)
        admission_resumed(one->all->admission, &one->pass, &one->runtime->conf->limits);
    if (one->session)
        session_secured(one->session, span_of(tls.version));
    else
        begin_session(one, SPAN_NONE);
}

static void on_closed(struct relay *one, const char *why)
{
    if (one->securing || !one->session)
        log_refused(one, why);
    one->conn = NULL;
    if (one->session)
        session_gone(one->session);
    else
        give_up(one, CONN_END_NOW);
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
    if (one->conn)
        (void)!conn_write(one->conn, bytes); /* CONN_CLOSED follows where it fails */
}

static bool op_full(void *ctx)
{
    struct relay *one = ctx;
    return one->conn && conn_full(one->conn);
}

static bool op_tls_allowed(void *ctx)
{
    struct relay *one = ctx;
    if (one->conn) /* the log wants the name of the listener that is current */
        one->pass.listener = one->listener->conf->name;
    return !one->conn || admission_handshake(one->all->admission, &one->pass, &one->runtime->conf->limits);
}

static void op_start_tls(void *ctx)
{
    struct relay *one = ctx;
    one->securing = true;
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

/* A PROXY header to the server will name it too. */
static void op_identified(void *ctx, const unsigned char *ip, size_t ip_n, uint16_t port)
{
    struct relay *one = ctx;
    if (one->conn)
        conn_set_peer(one->conn, ip, ip_n, port);
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
    return upstream_offer(upstream_of(one), offer_r);
}

static void got_leg(void *arg, struct upleg *leg, const char *why)
{
    struct relay *one = arg;
    one->wait = NULL;
    if (leg) {
        one->leg_address = upstream_leg_address(leg);
        one->leg_tls = upstream_leg_tls(leg);
        one->leg = leg;
    } else {
        runtime_unref(&one->leg_runtime);
    }
    session_upstream(one->session, leg, why);
}

static void op_upstream_get(void *ctx, bool fresh)
{
    struct relay *one = ctx;
    bool mirrored = one->listener->policy.mirror_tls && one->conn && conn_tls_info(one->conn).version;
    unsigned wish = (fresh ? UPSTREAM_FRESH : UPSTREAM_ANY) | (mirrored ? UPSTREAM_SECURE : UPSTREAM_ANY);
    runtime_unref(&one->leg_runtime);
    one->leg_runtime = runtime_ref(one->runtime);
    const struct conf_upstream *u = one->listener->conf->upstream;
    struct buf preface = {0};
    struct upstream_wait *w = NULL;
    if (preface_print(u ? u->identity : CONF_IDENTITY_NONE, one->conn, span_of(one->id), &preface))
        w = upstream_get(upstream_of(one), wish, buf_span(&preface), got_leg, one);
    else
        got_leg(one, NULL, "no memory for a connection");
    buf_free(&preface);
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
    struct relay *one = ctx;
    one->leg = NULL;
    upstream_put(leg);
}

/* ---- policy, reports ---- */

/* Does the listener of another generation still serve sessions of this kind? */
static bool serves(const struct relay *one, const struct runtime_listener *l)
{
    return one->way.destination ? l->conf->intercept != CONF_INTERCEPT_NONE : l->upstream != NULL;
}

/* A session goes over to the newest generation between two transactions, as long as its listener is in it. */
static const struct session_policy *op_policy_get(void *ctx)
{
    struct relay *one = ctx;
    struct runtime *newest = *one->all->env.current;
    struct runtime_listener *l = runtime_listener(newest, one->listener->conf->name);
    if (l && newest != one->runtime && serves(one, l)) {
        runtime_unref(&one->runtime);
        one->runtime = runtime_ref(newest);
        one->listener = l;
    }
    runtime_ref(one->runtime);
    return one->way.destination ? &one->listener->intercepted : &one->listener->policy;
}

static void op_policy_put(void *ctx, const struct session_policy *p)
{
    struct runtime *r = p->owner;
    (void)ctx;
    runtime_unref(&r);
}

static void op_released(void *ctx, const struct txview *view)
{
    struct relay *one = ctx;
    struct released_message m = {view->session_id, view->client_address, view->sender,
                                 view->rcpt_count ? view->rcpts[0] : SPAN_NONE};
    one->released = released_note(one->all->env.released, one->all->env.worker, &m);
}

static void op_report(void *ctx, const struct session_report *r)
{
    struct relay *one = ctx;
    struct txlog_extra extra = {0};
    if (one->conn)
        extra.client_tls = conn_tls_info(one->conn);
    if (one->leg && upstream_leg_tls(one->leg).version)
        one->leg_tls =
            upstream_leg_tls(one->leg); /* an intercepted one begins it when its client says EHLO */
    if (r->upstream_used) {
        extra.upstream = one->leg_address;
        extra.upstream_tls = one->leg_tls;
    }
    txlog_report(one->all->env.log, r, &extra);
    released_settle(one->all->env.released, one->released);
    one->released = RELEASED_NOWHERE;
}

/* A limit that was reached has its line in the log, once a session. */
static void op_count(void *ctx, enum session_counter c, const struct txview *view)
{
    struct relay *one = ctx;
    counters_add(one->all->env.counters, one->all->counters[c], 1);
    if (!session_counter_is_limit(c) || (one->limits_logged & (1u << c)))
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
    .tls_allowed = op_tls_allowed,
    .start_tls = op_start_tls,
    .resume = op_resume,
    .close = op_close,
    .identified = op_identified,
    .now_us = op_now,
    .timer = op_timer,
    .offer = op_offer,
    .upstream_get = op_upstream_get,
    .upstream_cancel = op_upstream_cancel,
    .upstream_put = op_upstream_put,
    .policy_get = op_policy_get,
    .policy_put = op_policy_put,
    .report = op_report,
    .released = op_released,
    .count = op_count,
    .budget = op_budget,
};
