/* SPDX-License-Identifier: MIT */
/* OpenSSL contexts: the server's side (certificates by SNI, tickets) and the client's (verification, sessions
 * to resume). Built from bytes in memory, so that workers need no file access. Opaque to the rest of the
 * daemon. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/attr.h"
#include "base/span.h"

#include <stdint.h>

struct tls_pair {            /* PEM */
    struct span certificate; /* with its chain */
    struct span key;
    const char *name; /* for error texts */
};

/* What encrypts session tickets: the same in all workers and generations of a listener, made by the
 * supervisor. [0] is used for new tickets, [1] is still honoured. */
#define TLS_TICKET_KEY 80
struct tls_ticket_keys {
    unsigned char key[2][TLS_TICKET_KEY];
    bool previous; /* [1] is set */
};

struct tls_server; /* reference-counted: connections under way keep it */
/* The first pair is the default; the others answer to the names in their certificates (exact and wildcard).
 * `context`: binds sessions to this listener. TLS 1.2 at least; no renegotiation; ALPN "smtp" acknowledged,
 * an ALPN list without it refused. NULL with the reason in `error`. */
MUST_CHECK struct tls_server *tls_server_create(const struct tls_pair *pairs, size_t n, struct span context,
                                                const struct tls_ticket_keys *keys, char *error,
                                                size_t error_size);
void tls_server_unref(struct tls_server **t);

struct tls_client_options {
    bool verify;         /* refuse a certificate that is not good for the name */
    const char *ca_name; /* for error texts; NULL: the system's certificates */
    struct span ca;      /* PEM */
};
struct tls_client; /* reference-counted; keeps sessions to resume, by server name, at most 64 */
MUST_CHECK struct tls_client *tls_client_create(const struct tls_client_options *o, char *error,
                                                size_t error_size);
void tls_client_unref(struct tls_client **t);

/* Does the pair fit together (and is it in date)? For -t. A certificate out of date is not an error:
 * `warning_r`. */
MUST_CHECK bool tls_pair_check(const struct tls_pair *p, char *error, size_t error_size, bool *warning_r);

struct tls_info {        /* of a connection; strings live as long as it */
    const char *version; /* "TLSv1.3"; NULL: no TLS */
    const char *cipher;
    const char *server_name; /* SNI that the client sent, printable; NULL: none */
    bool resumed, verified;
};

#endif
