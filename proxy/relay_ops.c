/* SPDX-License-Identifier: MIT */
/* What a session asks of the world: its client's connection, its upstream, its policy, a report.
 *
 * Owns nothing: the relay does (relay.c). */
#include "proxy/relay_parts.h"

#include "proxy/preface.h"
#include "proxy/txlog.h"

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
    loop_defer(one->all->env.loop, &one->burial, relay_bury, one);
}

/* It is counted in the place of whoever spoke for it; a client that nobody knows is not. */
static enum admission_answer count_as(struct relay *one, const struct identity_end *client)
{
    struct admission *all = one->all->admission;
    if (!client->ip_n)
        return ADMISSION_GRANTED;
    admission_leave(all, &one->pass);
    one->pass =
        (struct admission_pass){.listener = one->listener->conf->name, .client = conn_peer_text(one->conn)};
    return admission_enter(all, &one->pass, &one->runtime->conf->limits, client->ip, client->ip_n);
}

/* A PROXY header to the server will name it too. */
static struct span op_identified(void *ctx, const struct identity_end *client,
                                 const struct identity_end *reached)
{
    struct relay *one = ctx;
    if (!one->conn)
        return SPAN_NONE;
    conn_set_peer(one->conn, client->ip, client->ip_n, client->port);
    if (reached->ip_n)
        conn_set_local(one->conn, reached->ip, reached->ip_n, reached->port);
    enum admission_answer a = count_as(one, client);
    return a == ADMISSION_GRANTED ? SPAN_NONE : admission_reply(a);
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
    return upstream_offer(relay_upstream(one), offer_r);
}

/* A named upstream that is down has its line in the log from upstream.c; what one client alone could not
 * reach has none. */
static void log_unreached(const struct relay *one, const char *why)
{
    const struct runtime_listener *l = one->listener;
    if (one->conn && (one->way.destination || l->policy.identity == SESSION_IDENTITY_CONNECTION))
        intercept_log(&one->way, l, one->conn, one->all->env.log, why);
}

static void got_leg(void *arg, struct upleg *leg, const char *why, unsigned code, struct span bytes)
{
    struct relay *one = arg;
    one->wait = NULL;
    if (leg) {
        one->leg_address = upstream_leg_address(leg);
        one->leg_tls = upstream_leg_tls(leg);
        one->leg = leg;
    } else {
        log_unreached(one, why);
        runtime_unref(&one->leg_runtime);
    }
    session_upstream(one->session, leg, why, code, bytes);
}

/* false: no memory. `preface` is what a PROXY header is printed to. */
static bool introduce(const struct relay *one, struct span helo, struct buf *preface,
                      struct upstream_caller *caller_r)
{
    const struct conf_listener *l = one->listener->conf;
    enum conf_identity identity = l->upstream ? l->upstream->identity : CONF_IDENTITY_NONE;
    struct preface_client client = {one->conn, front_header(one->front), span_of(one->id)};
    bool printed = preface_print(identity, &client, preface);
    *caller_r = (struct upstream_caller){
        .preface = buf_span(preface), .helo = helo, .tls_name = conn_tls_sni(one->conn)};
    if (conf_source_is_client(l, one->way.destination != NULL))
        caller_r->source = conn_peer(one->conn);
    return printed;
}

void relay_dial(struct relay *one, unsigned wish, struct span helo, upstream_got *got)
{
    struct buf preface = {0};
    struct upstream_caller caller;
    struct upstream_wait *w = NULL;
    runtime_unref(&one->leg_runtime);
    one->leg_runtime = runtime_ref(one->runtime);
    if (!one->conn)
        got(one, NULL, "the client is gone", 0, SPAN_NONE);
    else if (!introduce(one, helo, &preface, &caller))
        got(one, NULL, "no memory for a connection", 0, SPAN_NONE);
    else
        w = upstream_get(relay_upstream(one), wish, &caller, got, one);
    buf_free(&preface);
    if (w)
        one->wait = w;
}

static void op_upstream_get(void *ctx, bool fresh, struct span helo)
{
    struct relay *one = ctx;
    struct upleg *early = relay_take_early(one);
    bool in_tls = (one->conn && conn_tls_info(one->conn).version) || front_tls(one->front).n;
    bool mirrored = one->listener->policy.mirror_tls && in_tls;
    if (early)
        got_leg(one, early, NULL, 0, SPAN_NONE);
    else
        relay_dial(one, (fresh ? UPSTREAM_FRESH : UPSTREAM_ANY) | (mirrored ? UPSTREAM_SECURE : UPSTREAM_ANY),
                   helo, got_leg);
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

const struct session_ops relay_session_ops = {
    .send = op_send,
    .full = op_full,
    .tls_allowed = op_tls_allowed,
    .start_tls = relay_start_tls,
    .present_tls = relay_present_tls,
    .pass = relay_pass,
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
