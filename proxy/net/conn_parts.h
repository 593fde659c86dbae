/* SPDX-License-Identifier: MIT */
/* The inside of a conn, for conn*.c only.
 *
 *   CONNECTING -> OPEN -> HANDSHAKE -> OPEN (TLS)          conn_connect.c, conn_tls.c, conn_io.c
 *        |          |         |         |
 *        +----------+----+----+---------+-> ENDING -> DEAD  conn_end.c
 *
 * Functions of the public header change the state and ask for a step; only conn_step does I/O and calls the
 * owner, and it runs only from watchers, timers and deferred work. So steps never nest, and a conn that died
 * under a callback is still memory until the end of the turn. */
#ifndef NET_CONN_PARTS_H
#define NET_CONN_PARTS_H

#include "base/buf.h"
#include "net/address.h"
#include "net/conn.h"
#include "net/transport.h"

enum conn_state {
    STATE_CONNECTING,
    STATE_OPEN,
    STATE_HANDSHAKE,
    STATE_ENDING, /* nobody listens any more; output still goes out */
    STATE_DEAD    /* closed; freed at the end of the turn */
};

struct connector;

struct conn {
    struct loop *loop;
    const struct conn_events *events;
    void *ctx;
    struct transport t;
    struct connector *connector; /* only while CONNECTING */
    struct buf in, out;
    size_t read_most; /* octets a read; 0: no limit */
    size_t clear;     /* HANDSHAKE: how much of `out` goes out before TLS starts */
    size_t offered;   /* bytes that the data callback on the stack was given */
    size_t discarded;
    ev_io readable, writable;
    struct loop_timer deadline; /* of connecting, of the handshake, of the end: one at a time */
    struct loop_deferred turn, at_end;
    enum conn_state state;
    bool paused;
    bool full, tell_drained;
    bool eof, eof_told;
    bool offer;  /* conn_resume was called */
    bool broken; /* writing failed, or no memory: t.why. What came in before is still shown */
    bool write_blocked, write_wants_read, read_wants_write;
    bool asks;       /* HANDSHAKE: the owner has not said yet what to show */
    bool crowded;    /* ... and the client sends what nobody reads now: the socket is not watched */
    bool only_clear; /* ENDING out of a handshake: what was meant for TLS is not sent */
    bool said_end;   /* ENDING: close_notify and FIN are out */
    unsigned char ip[16], ip_n;
    uint16_t port;
    char peer[ADDRESS_TEXT];
    unsigned char own_ip[16],
        own_ip_n; /* what a front says that the peer reached; own_ip_n 0: the socket's own end */
    uint16_t own_port;
};

/* Beside EV_READ and EV_WRITE: a step at the end of a turn. */
#define STEP_TURN EV_CUSTOM

void conn_step(struct conn *c, int events);
void conn_schedule(struct conn *c); /* a step at the end of this turn */
void conn_attach(struct conn *c, int fd, const struct sockaddr_storage *peer);
void conn_detach(struct conn *c); /* stops the watchers; the socket stays */
void conn_tell(struct conn *c, enum conn_event e);

/* conn_io.c */
size_t conn_sendable(const struct conn *c);
void conn_flush(struct conn *c);
void conn_offer(struct conn *c);
void conn_take_input(struct conn *c);
bool conn_may_read(const struct conn *c);

/* conn_connect.c */
void conn_connect_step(struct conn *c, int events);
void conn_connector_free(struct conn *c);

/* conn_tls.c */
void conn_handshake_step(struct conn *c, int events);

/* conn_end.c */
enum conn_failure { FAIL_NOW, FAIL_POLITELY }; /* politely: the peer still reads what we sent (an alert) */
void conn_fail(struct conn *c, enum conn_failure how); /* CONN_CLOSED with transport_why */
void conn_end_step(struct conn *c, int events);

#endif
