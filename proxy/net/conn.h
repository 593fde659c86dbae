/* SPDX-License-Identifier: MIT */
/* One connection: a socket, perhaps TLS, bytes waiting either way. Raw and TLS are behind one small table
 * (transport.h); after every event one step function goes on with handshake, write, read, and re-arms.
 *
 *   socket -> transport -> loop's read buffer -> events.data -> (not consumed) -> in
 *   conn_write -> out -> transport -> socket            flushed once at the end of the turn
 *
 * Freed by conn_close, or after a CONN_CLOSED event; never while a callback of it is on the stack. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/attr.h"
#include "base/span.h"
#include "net/loop.h"
#include "net/origin.h"
#include "net/resolver.h"
#include "net/tls.h"

#include <sys/socket.h>

struct conn;

enum conn_event {
    CONN_CONNECTED, /* outbound: TCP (or Unix) is there */
    CONN_TLS_ASKS,  /* a minting server's handshake waits, from the ClientHello on, for conn_tls_present */
    CONN_TLS,       /* the handshake is done; see conn_tls */
    CONN_DRAINED,   /* output fell below the low mark after conn_write said it is above the high one */
    CONN_EOF,       /* the peer will send no more, and all it sent was taken; writing may still work */
    CONN_CLOSED     /* broken or timed out: `why` says how. The conn is gone after this event */
};

struct conn_events {
    /* Bytes are there: returns how many were taken. What is not taken stays and comes again, with more behind
     * it, after conn_resume or when more arrives; reading stops while CONN_IN_MAX or more wait. May call
     * anything. */
    size_t (*data)(void *ctx, struct conn *c, struct span bytes);
    void (*event)(void *ctx, struct conn *c, enum conn_event e, const char *why);
};

#define CONN_IN_MAX   ((size_t)64 * 1024)
#define CONN_OUT_HIGH ((size_t)256 * 1024)
#define CONN_OUT_LOW  ((size_t)64 * 1024)

/* Takes an accepted socket. NULL: no memory, and the socket is closed. Reading begins at once. */
MUST_CHECK struct conn *conn_accept(struct loop *l, int fd, const struct conn_events *ev, void *ctx);

struct conn_target {
    const char *host; /* a name, an address, or with port 0 the path of a Unix socket */
    uint16_t port;
    uint64_t deadline_us; /* for resolving and connecting together, from now */
    /* The address that the peer is to see, of this host or another's (socket_transparent); its port is not
     * looked at. NULL: the kernel's choice. */
    const struct endpoint *source;
};
/* Resolves (if host is a name) and tries each address. CONN_CONNECTED or CONN_CLOSED follows, never from
 * inside this call. NULL: no memory. `r` may be NULL where hosts are always literal. */
MUST_CHECK struct conn *conn_connect(struct loop *l, struct resolver *r, const struct conn_target *to,
                                     const struct conn_events *ev, void *ctx);

/* At most so many octets a read, so that what follows stays in the socket for TLS; 0: as many as there are.
 */
void conn_limit_read(struct conn *c, size_t most);
/* The peer is somebody else, for whom the one at the other end of the socket only speaks. */
void conn_set_peer(struct conn *c, const unsigned char *ip, size_t ip_n, uint16_t port);
/* And what it reached is not our socket but an address of the one in front. */
void conn_set_local(struct conn *c, const unsigned char *ip, size_t ip_n, uint16_t port);

/* Changes who listens (a kept connection goes to another session). */
void conn_set_events(struct conn *c, const struct conn_events *ev, void *ctx);

/* Copies. false: no memory (the conn then closes by itself with CONN_CLOSED). Output above CONN_OUT_HIGH: see
 * conn_full; it is still taken. */
MUST_CHECK bool conn_write(struct conn *c, struct span bytes);
bool conn_full(const struct conn *c); /* above the high mark and not yet below the low one */
size_t conn_unsent(const struct conn *c);
void conn_resume(struct conn *c);             /* offers the waiting bytes again, at the end of this turn */
void conn_pause(struct conn *c, bool paused); /* no reads at all while paused */

/* Starts TLS after what was written so far has left in the clear. Bytes waiting in `in` are thrown away:
 * plaintext that came too early is an injection, and whoever cares has asked conn_unread first. CONN_TLS or
 * CONN_CLOSED follows within the deadline. */
MUST_CHECK bool conn_tls_accept(struct conn *c, struct tls_server *t, uint64_t deadline_us);
/* `name`: for SNI (unless it is an address), for verification and for session resumption. `dane`: the
 * server's records, good for this call; NULL: none. */
MUST_CHECK bool conn_tls_connect(struct conn *c, struct tls_client *t, const char *name,
                                 const struct tls_dane *dane, uint64_t deadline_us);
/* The answer to CONN_TLS_ASKS, from inside the event or later: the handshake goes on with a copy of `like`,
 * which somebody else's server has shown (conn_tls_shown). Until then the deadline runs, and a client that
 * leaves is told with CONN_CLOSED. false: nobody asked, no memory, or it cannot be copied; then the owner
 * closes. */
MUST_CHECK bool conn_tls_present(struct conn *c, const struct tls_shown *like);
/* The host that the client asks for (SNI), good from CONN_TLS_ASKS on, as long as the connection; NULL: none,
 * or something that is no host's name. */
const char *conn_tls_sni(const struct conn *c);
size_t conn_unread(const struct conn *c); /* waiting in `in`; inside `data` at least all that it was given */

/* The end. flush: what was written still goes out (bounded: loop_patience), with close_notify under TLS and a
 * lingering close, so that the peer reads it; brisk: what the socket takes at once goes out, and nobody is
 * waited for; else the socket is closed at once (reset: with RST, for aborts that must not look like an end).
 * No event follows. *c becomes NULL. */
enum conn_end { CONN_END_FLUSH, CONN_END_BRISK, CONN_END_NOW, CONN_END_RESET };
void conn_close(struct conn **c, enum conn_end how);

struct tls_info conn_tls_info(const struct conn *c);
/* What the server at the other end has shown; the caller's reference. NULL: not TLS as client, its handshake
 * is not done, or no memory. */
MUST_CHECK struct tls_shown *conn_tls_shown(const struct conn *c);
/* The peer's address in canonical text ("192.0.2.1", "2001:db8::1"; mapped IPv4 as IPv4), and as 4 or 16
 * bytes. */
size_t conn_peer_ip(const struct conn *c, unsigned char ip[16]);
struct endpoint conn_peer(const struct conn *c);
struct span conn_peer_text(const struct conn *c); /* with the port: "192.0.2.1:4711", "[2001:db8::1]:4711" */
uint16_t conn_peer_port(const struct conn *c);
/* The end that the peer reached: ours, or what conn_set_local said; 0 without a socket. */
size_t conn_local_ip(const struct conn *c, unsigned char ip[16], uint16_t *port_r);
/* The same, in the form of conn_peer_text; empty without a socket. Returns the length. */
#define CONN_ADDRESS_TEXT 56
size_t conn_local_text(const struct conn *c, char out[CONN_ADDRESS_TEXT]);

#endif
