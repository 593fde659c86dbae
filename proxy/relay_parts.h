/* SPDX-License-Identifier: MIT */
/* What the files of the relay share; nobody else includes it.
 *
 *   relay.c        all of a worker's, and the life of one
 *   relay_enter.c  a client comes in, and its connection
 *   relay_ops.c    what its session asks for
 *   relay_tls.c    TLS with its client */
#ifndef PROXY_RELAY_PARTS_H
#define PROXY_RELAY_PARTS_H

#include "net/conn.h"
#include "proxy/admission.h"
#include "proxy/front.h"
#include "proxy/intercept.h"
#include "proxy/relay.h"
#include "proxy/tunnel.h"

struct relay {
    struct relay *next, **prev;
    struct relays *all;
    struct conn *conn; /* NULL: the client is gone, or handed over for closing */
    struct session *session;
    struct front *front; /* NULL: no proxy; the session begins when its header is read */
    struct runtime_listener *listener;
    struct runtime *runtime;     /* of the listener's entry above */
    struct runtime *leg_runtime; /* of the wait, or the leg and what the log says of it */
    char id[40];                 /* of its session */
    struct intercept way;
    struct upleg *leg;     /* while the session has it */
    struct upleg *early;   /* before there is a session, whose first one it will be */
    struct tunnel *tunnel; /* the session is over, and its client and server talk to each other */
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
    size_t count_sessions, count_tunnels;
};

extern const struct session_ops relay_session_ops;
extern const struct conn_events relay_client_events;

/* Takes the socket. NULL: no memory, and it is closed. */
MUST_CHECK struct relay *relay_create(struct relays *r, struct runtime_listener *l, int fd);
void relay_bury(void *relay); /* for the end of the turn */
/* Ends a relay that never got a session. */
void relay_give_up(struct relay *one, enum conn_end how);
void relay_begin_session(struct relay *one);
/* What the session asks for, in relay_tls.c. */
void relay_start_tls(void *ctx);
void relay_present_tls(void *ctx);
void relay_pass(void *ctx, struct upleg *leg);
/* The client's handshake waits for the certificate of its server. */
void relay_tls_asks(struct relay *one);
/* The leg that it was got over, before there was a session; NULL: there was none, or it is lost. */
struct upleg *relay_take_early(struct relay *one);
/* A line in the log for a connection that came to nothing. */
void relay_log_refused(const struct relay *one, const char *why);
/* Asks for a leg in the client's name: `got` as upstream_get says. */
void relay_dial(struct relay *one, unsigned wish, struct span helo, upstream_got *got);
/* Where its mail goes. */
struct upstream *relay_upstream(const struct relay *one);

#endif
