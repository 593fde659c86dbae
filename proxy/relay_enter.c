/* SPDX-License-Identifier: MIT */
/* A client comes in, and what its connection tells.
 *
 *   accept --> PROXY header, from a proxy in front --> room? --> intercepted: where to? --> TLS --> session
 *                 `-------------- refused: a last word, a line in the log ----------'
 *
 * Owns nothing: the relay does (relay.c). */
#include "proxy/relay_parts.h"

#include <unistd.h>

/* Ends a client's connection with a last word, if it can read one. */
static void turn_away(struct relay *one, struct span reply, enum conn_end how)
{
    bool readable = one->listener->conf->tls != CONF_TLS_IMPLICIT; /* else it waits for a handshake */
    relay_give_up(one, readable && conn_write(one->conn, reply) ? how : CONN_END_NOW);
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

void relay_log_refused(const struct relay *one, const char *why)
{
    struct log_record r;
    log_begin(&r, one->all->env.log, LOG_AT_INFO, "connection");
    log_str(&r, "client", one->conn ? conn_peer_text(one->conn) : SPAN_NONE);
    log_cstr(&r, "listener", one->listener->conf->name);
    log_cstr(&r, "note", why);
    log_end(&r);
}

/* It is known who the client is: in with it, or away. */
static void admit(struct relay *one, bool full)
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
            relay_give_up(one, CONN_END_NOW);
    } else {
        relay_begin_session(one);
    }
}

/* ---- a proxy in front ---- */

static void front_failed(struct relay *one, const char *why)
{
    relay_log_refused(one, why);
    relay_give_up(one, CONN_END_NOW);
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
        relay_give_up(one, CONN_END_NOW);
}

static void front_data(struct relay *one, struct span bytes)
{
    enum proxy_result r = front_take(one->front, one->conn, bytes);
    if (r == PROXY_MORE)
        return;
    loop_timer_stop(&one->timer);
    if (r == PROXY_READY)
        admit(one, one->all->count > one->all->most);
    else
        front_failed(one, r == PROXY_BAD ? front_why(one->front) : "no memory for a PROXY header");
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
        admit(one, full);
}

/* ---- the client's connection ---- */

static size_t on_data(void *ctx, struct conn *c, struct span bytes)
{
    struct relay *one = ctx;
    (void)c;
    if (front_awaited(one->front)) {
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
        relay_begin_session(one);
}

static void on_closed(struct relay *one, const char *why)
{
    if (one->securing || !one->session)
        relay_log_refused(one, why);
    one->conn = NULL;
    if (one->session)
        session_gone(one->session);
    else
        relay_give_up(one, CONN_END_NOW);
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
    case CONN_TLS_ASKS:
        relay_tls_asks(one);
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
            relay_give_up(one, CONN_END_NOW);
        break;
    case CONN_CLOSED:
        on_closed(one, why);
        break;
    }
}

const struct conn_events relay_client_events = {.data = on_data, .event = on_event};
