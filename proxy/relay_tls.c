/* SPDX-License-Identifier: MIT */
/* TLS with a relay's client: ended here, or passed on to its server.
 *
 *   relay_start_tls --> the listener's certificates --> CONN_TLS --> session_secured
 *                             ... ASKS --> TLS with the server, over the session's leg or an early one
 *   relay_present_tls --> its certificate, copied --> CONN_TLS --> session_secured
 *   relay_pass -------> tunnel: client conn <--> server conn --> a line in the log, and the relay's end
 *
 * Owns nothing: the relay does (relay.c). */
#include "proxy/relay_parts.h"

#include "base/clock.h"

void relay_start_tls(void *ctx)
{
    struct relay *one = ctx;
    one->securing = true;
    if (one->conn && !conn_tls_accept(one->conn, one->listener->tls, one->tls_handshake_us)) {
        conn_close(&one->conn, CONN_END_NOW);
        session_gone(one->session);
    }
}

/* ---- like the server's ---- */

static void leave(struct relay *one)
{
    if (one->conn)
        conn_close(&one->conn, CONN_END_NOW);
    if (one->session)
        session_gone(one->session);
    else
        relay_give_up(one, CONN_END_NOW);
}

void relay_present_tls(void *ctx)
{
    struct relay *one = ctx;
    const struct upleg *leg = one->leg ? one->leg : one->early;
    struct tls_shown *shown = leg ? upstream_leg_shown(leg) : NULL;
    bool good = one->conn && shown && conn_tls_present(one->conn, shown);
    tls_shown_unref(&shown);
    if (good)
        return;
    relay_log_refused(one, "the server's certificate cannot be copied");
    leave(one);
}

static void early_lost(void *ctx, struct upleg *leg, const char *why, unsigned code, struct span bytes)
{
    struct relay *one = ctx;
    (void)leg;
    (void)code;
    (void)bytes;
    one->early = NULL;
    relay_log_refused(one, why);
    leave(one);
}

static const struct upleg_user early_user = {.lost = early_lost};

static void got_early(void *arg, struct upleg *leg, const char *why, unsigned code, struct span bytes)
{
    struct relay *one = arg;
    (void)code;
    (void)bytes;
    one->wait = NULL;
    if (!leg) {
        relay_log_refused(one, why);
        leave(one);
        return;
    }
    one->early = leg;
    upleg_use(leg, &early_user, one);
    relay_present_tls(one);
}

struct upleg *relay_take_early(struct relay *one)
{
    struct upleg *leg = one->early;
    one->early = NULL;
    if (leg)
        upleg_use(leg, NULL, NULL);
    return leg;
}

/* With implicit TLS there is no session yet: its first leg is got before it. */
void relay_tls_asks(struct relay *one)
{
    if (!one->session) {
        relay_dial(one, UPSTREAM_FRESH, SPAN_NONE, got_early);
        return;
    }
    if (one->leg)
        upstream_leg_ask_for(one->leg, conn_tls_sni(one->conn));
    session_tls_asks(one->session);
}

/* ---- passed on ---- */

static void log_tunnel(const struct relay *one, const struct tunnel_report *r)
{
    struct log_record line;
    log_begin(&line, one->all->env.log, LOG_AT_INFO, "tunnel");
    log_cstr(&line, "sid", one->id);
    log_cstr(&line, "listener", one->listener->conf->name);
    log_str(&line, "client", r->client);
    log_str(&line, "upstream", one->leg_address);
    log_int(&line, "from_client", (int64_t)(r->from_client));
    log_int(&line, "from_server", (int64_t)(r->from_server));
    log_int(&line, "ms", (int64_t)(r->us / US_PER_MS));
    log_cstr(&line, "note", r->why);
    log_end(&line);
}

static void tunnel_over(void *arg, const struct tunnel_report *r)
{
    struct relay *one = arg;
    log_tunnel(one, r);
    loop_defer(one->all->env.loop, &one->burial, relay_bury, one);
}

void relay_pass(void *ctx, struct upleg *leg)
{
    struct relay *one = ctx;
    struct conn *client = one->conn, *server = upstream_take_conn(leg);
    uint64_t idle_us = one->runtime->conf->timeouts.upstream_final; /* nobody may be silent for longer */
    one->over = true;
    one->leg = NULL;
    if (client && server) {
        one->conn = NULL;
        one->tunnel = tunnel_create(one->all->env.loop, client, server, idle_us, tunnel_over, one);
        counters_add(one->all->env.counters, one->all->count_tunnels, 1);
    } else if (server) {
        conn_close(&server, CONN_END_NOW);
    }
    if (!one->tunnel)
        relay_give_up(one, CONN_END_NOW);
}
