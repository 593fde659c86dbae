/* SPDX-License-Identifier: MIT */
/* What is between a conn and its socket: nothing (tcp.c) or TLS (tls_transport.c), behind one table. A
 * transport never waits: it says what it waits for. It is embedded in its conn. For net/ only. */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "base/attr.h"
#include "base/span.h"

#include <openssl/ssl.h>

enum transport_result {
    TRANSPORT_DONE,
    TRANSPORT_WANTS_READ,  /* again when the socket is readable */
    TRANSPORT_WANTS_WRITE, /* again when it is writable */
    TRANSPORT_ASKS,        /* a handshake: again when the owner has said which certificate to show */
    TRANSPORT_EOF,         /* the peer ended its side in the proper way */
    TRANSPORT_FAILED       /* transport_why says why */
};

struct transport;

struct transport_ops {
    enum transport_result (*handshake)(struct transport *t);
    /* At least one byte when it is DONE. A read shorter than n means that the socket had no more, unless
     * `pending`. */
    enum transport_result (*read)(struct transport *t, char *p, size_t n, size_t *got_r);
    /* sent_r counts whatever the result is. A call that was not DONE is to be repeated with the same bytes.
     */
    enum transport_result (*write)(struct transport *t, struct span bytes, size_t *sent_r);
    enum transport_result (*shutdown)(struct transport *t); /* tells the peer that no more comes */
    bool (*pending)(
        const struct transport *t); /* bytes are waiting that no event of the socket will announce */
};

extern const struct transport_ops tcp_transport, tls_transport;

struct transport {
    const struct transport_ops *ops;
    int fd;           /* -1: none */
    SSL *ssl;         /* from tls_server_ssl or tls_client_ssl; NULL: none */
    char *why;        /* the last failure */
    bool established; /* the handshake is done */
    bool read_failed; /* met while bytes were already there: it is reported by the next read */
};

/* Notes the reason and returns TRANSPORT_FAILED. */
enum transport_result transport_fail(struct transport *t, const char *format, ...) PRINTF_LIKE(2, 3);
const char *transport_why(const struct transport *t);
void transport_close(struct transport *t, bool reset); /* reset: with RST */
void transport_free(struct transport *t);              /* closes, and frees the reason */

#endif
