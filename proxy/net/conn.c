/* SPDX-License-Identifier: MIT */
/* A connection: its life, its watchers, and the one step that goes on with whatever there is to do.
 *
 *   socket event, deadline, end of turn -> conn_step -> (connect | handshake | write | read | end) -> re-arm
 *
 * Owned by whoever accepted or connected it, until conn_close or CONN_CLOSED; then by itself until it is
 * freed. The read watcher stays on and the write watcher is on only while the socket is full, so that a
 * dialogue costs no epoll_ctl. */
#include "net/conn_parts.h"
#include "net/tls_ssl.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- watchers ---- */

static void on_readable(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev;
    (void)revents;
    conn_step(w->data, EV_READ);
}

static void on_writable(struct ev_loop *ev, ev_io *w, int revents)
{
    struct conn *c = w->data;
    (void)ev;
    (void)revents;
    c->write_blocked = false;
    conn_step(c, EV_WRITE);
}

static void on_turn(void *arg)
{
    conn_step(arg, STEP_TURN);
}

void conn_schedule(struct conn *c)
{
    if (c->state != STATE_DEAD)
        loop_defer(c->loop, &c->turn, on_turn, c);
}

static bool wants_readable(const struct conn *c)
{
    switch (c->state) {
    case STATE_OPEN:
        return conn_may_read(c) || c->write_wants_read;
    case STATE_HANDSHAKE:
        return !c->clear && !c->write_blocked && !c->crowded;
    case STATE_ENDING:
        return !c->eof;
    default:
        return false;
    }
}

static bool wants_writable(const struct conn *c)
{
    if (c->state == STATE_CONNECTING)
        return true;
    return c->write_blocked || c->read_wants_write;
}

static void arm(struct loop *l, ev_io *w, bool on)
{
    if (on)
        ev_io_start(loop_ev(l), w);
    else
        ev_io_stop(loop_ev(l), w);
}

static void rearm(struct conn *c)
{
    if (c->state == STATE_DEAD || c->t.fd < 0)
        return;
    arm(c->loop, &c->readable, wants_readable(c));
    arm(c->loop, &c->writable, wants_writable(c));
}

void conn_attach(struct conn *c, int fd, const struct sockaddr_storage *peer)
{
    c->t.fd = fd;
    ev_io_init(&c->readable, on_readable, fd, EV_READ);
    ev_io_init(&c->writable, on_writable, fd, EV_WRITE);
    c->readable.data = c;
    c->writable.data = c;
    c->ip_n = (unsigned char)address_ip(peer, c->ip, &c->port);
    (void)address_text(peer, c->peer);
}

void conn_detach(struct conn *c)
{
    if (c->t.fd < 0)
        return;
    ev_io_stop(loop_ev(c->loop), &c->readable);
    ev_io_stop(loop_ev(c->loop), &c->writable);
}

/* ---- the step ---- */

void conn_tell(struct conn *c, enum conn_event e)
{
    c->events->event(c->ctx, c, e, NULL);
}

static void open_step(struct conn *c, int events)
{
    if ((events & (EV_WRITE | STEP_TURN)) || c->write_wants_read)
        conn_flush(c);
    if (c->tell_drained) {
        c->tell_drained = false;
        conn_tell(c, CONN_DRAINED);
    }
    if (c->state == STATE_OPEN && c->offer)
        conn_offer(c);
    if (c->state == STATE_OPEN &&
        ((events & EV_READ) || c->broken || c->read_wants_write || c->t.ops->pending(&c->t)))
        conn_take_input(c);
    if (c->state == STATE_OPEN && c->broken)
        conn_fail(c, FAIL_NOW);
}

void conn_step(struct conn *c, int events)
{
    if (c->state == STATE_CONNECTING)
        conn_connect_step(c, events);
    if (c->state == STATE_HANDSHAKE)
        conn_handshake_step(c, events);
    if (c->state == STATE_OPEN)
        open_step(c, events);
    if (c->state == STATE_ENDING)
        conn_end_step(c, events);
    rearm(c);
}

/* ---- public ---- */

struct conn *conn_accept(struct loop *l, int fd, const struct conn_events *ev, void *ctx)
{
    struct sockaddr_storage peer = {0};
    socklen_t n = sizeof peer;
    struct conn *c = calloc(1, sizeof *c);
    if (!c) {
        (void)close(fd);
        return NULL;
    }
    if (getpeername(fd, (struct sockaddr *)&peer, &n) < 0)
        peer.ss_family = AF_UNSPEC; /* gone already: the first read says so */
    c->loop = l;
    c->events = ev;
    c->ctx = ctx;
    c->t.ops = &tcp_transport;
    c->state = STATE_OPEN;
    conn_attach(c, fd, &peer);
    rearm(c);
    return c;
}

void conn_set_events(struct conn *c, const struct conn_events *ev, void *ctx)
{
    c->events = ev;
    c->ctx = ctx;
}

size_t conn_unsent(const struct conn *c)
{
    return buf_len(&c->out);
}
bool conn_full(const struct conn *c)
{
    return c->full;
}

size_t conn_unread(const struct conn *c)
{
    size_t waiting = buf_len(&c->in);
    return waiting > c->offered ? waiting : c->offered;
}

void conn_resume(struct conn *c)
{
    c->offer = true;
    conn_schedule(c);
}

void conn_pause(struct conn *c, bool paused)
{
    if (c->paused == paused)
        return;
    c->paused = paused;
    conn_schedule(c);
}

struct tls_info conn_tls_info(const struct conn *c)
{
    return tls_info_of(c->t.ssl);
}

struct tls_shown *conn_tls_shown(const struct conn *c)
{
    return tls_shown_of(c->t.ssl);
}

const char *conn_tls_sni(const struct conn *c)
{
    return tls_sni_of(c->t.ssl);
}

void conn_limit_read(struct conn *c, size_t most)
{
    c->read_most = most;
}

static struct sockaddr_storage socket_address(const unsigned char *ip, size_t ip_n, uint16_t port)
{
    struct sockaddr_storage address = {0};
    if (ip_n == 4) {
        struct sockaddr_in *four = (struct sockaddr_in *)&address;
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        memcpy(&four->sin_addr, ip, 4);
    } else if (ip_n == 16) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        memcpy(&six->sin6_addr, ip, 16);
    }
    return address;
}

void conn_set_local(struct conn *c, const unsigned char *ip, size_t ip_n, uint16_t port)
{
    struct sockaddr_storage own = socket_address(ip, ip_n, port);
    c->own_ip_n = (unsigned char)address_ip(&own, c->own_ip, &c->own_port);
}

void conn_set_peer(struct conn *c, const unsigned char *ip, size_t ip_n, uint16_t port)
{
    struct sockaddr_storage peer = socket_address(ip, ip_n, port);
    c->ip_n = (unsigned char)address_ip(&peer, c->ip, &c->port);
    (void)address_text(&peer, c->peer);
}

size_t conn_peer_ip(const struct conn *c, unsigned char ip[16])
{
    memcpy(ip, c->ip, c->ip_n);
    return c->ip_n;
}

struct span conn_peer_text(const struct conn *c)
{
    return span_of(c->peer);
}
struct endpoint conn_peer(const struct conn *c)
{
    struct endpoint e = {.ip_n = c->ip_n, .port = c->port};
    memcpy(e.ip, c->ip, c->ip_n);
    return e;
}

uint16_t conn_peer_port(const struct conn *c)
{
    return c->port;
}

static bool own_address(const struct conn *c, struct sockaddr_storage *own)
{
    socklen_t n = sizeof *own;
    *own = socket_address(c->own_ip, c->own_ip_n, c->own_port);
    if (c->own_ip_n)
        return true;
    return c->t.fd >= 0 && getsockname(c->t.fd, (struct sockaddr *)own, &n) == 0;
}

size_t conn_local_ip(const struct conn *c, unsigned char ip[16], uint16_t *port_r)
{
    struct sockaddr_storage own;
    return own_address(c, &own) ? address_ip(&own, ip, port_r) : 0;
}

size_t conn_local_text(const struct conn *c, char out[CONN_ADDRESS_TEXT])
{
    struct sockaddr_storage own;
    _Static_assert(CONN_ADDRESS_TEXT == ADDRESS_TEXT, "the public name of the same size");
    return own_address(c, &own) ? address_text(&own, out) : 0;
}
