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
#include "proxy/relay_parts.h"

#include "base/clock.h"
#include "net/address.h"

#include <stdlib.h>
#include <unistd.h>

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
    r->count_tunnels = counters_find(env->counters, "session.tunnels");
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

static void for_each(struct relays *r, void (*fn)(struct relay *one))
{
    struct relay *next;
    for (struct relay *one = r->first; one; one = next) {
        next = one->next; /* a relay is freed at the end of the turn, so next stays good */
        fn(one);
    }
}

static void drain(struct relay *one)
{
    if (one->session)
        session_drain(one->session);
}

void relays_drain(struct relays *r)
{
    r->draining = true;
    for_each(r, drain);
}

static void kill_one(struct relay *one)
{
    if (one->tunnel)
        tunnel_end(one->tunnel, "shutting down");
    else if (one->session)
        session_kill(one->session);
}

void relays_kill(struct relays *r)
{
    r->draining = true;
    for_each(r, kill_one);
}

/* ---- life of one ---- */

static void relay_free(struct relay *one)
{
    struct relays *all = one->all;
    loop_timer_stop(&one->timer);
    front_destroy(&one->front);
    tunnel_destroy(&one->tunnel);
    session_destroy(&one->session); /* may ask for a burial */
    struct upleg *early = relay_take_early(one);
    if (early)
        upstream_put(early);
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

void relay_bury(void *arg)
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

void relay_give_up(struct relay *one, enum conn_end how)
{
    if (one->conn)
        conn_close(&one->conn, how);
    upstream_cancel(&one->wait);
    loop_defer(one->all->env.loop, &one->burial, relay_bury, one);
}

void relay_begin_session(struct relay *one)
{
    char here[CONN_ADDRESS_TEXT];
    unsigned char ip[16];
    struct tls_info tls = conn_tls_info(one->conn);
    struct span in_front = front_tls(one->front);
    struct session_client client = {
        .session_id = session_id(one->all, one->id, sizeof(one->id)),
        .address = address_host(conn_peer_text(one->conn)),
        .port = conn_peer_port(one->conn),
        .destination = address_host(span_make(here, conn_local_text(one->conn, here))),
        .in_tls = tls.version != NULL || in_front.n,
        .tls_version = tls.version ? span_of(tls.version) : in_front,
    };
    client.ip_n = conn_peer_ip(one->conn, client.ip);
    (void)conn_local_ip(one->conn, ip, &client.destination_port);
    one->session = session_create(&relay_session_ops, one, &client);
    if (!one->session) {
        relay_give_up(one, CONN_END_NOW);
        return;
    }
    if (one->all->draining)
        session_drain(one->session);
    session_start(one->session);
}

struct upstream *relay_upstream(const struct relay *one)
{
    const struct destination *d = one->way.destination;
    return d ? destination_upstream(d) : one->listener->upstream;
}

struct relay *relay_create(struct relays *r, struct runtime_listener *l, int fd)
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
    one->conn = conn_accept(r->env.loop, fd, &relay_client_events, one);
    if (!one->conn) {
        relay_free(one);
        return NULL;
    }
    return one;
}
