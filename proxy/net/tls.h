/* SPDX-License-Identifier: MIT */
/* OpenSSL contexts: the server's side (certificates by SNI, tickets) and the client's (verification, sessions
 * to resume). Built from bytes in memory, so that workers need no file access. Opaque to the rest of the
 * daemon. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/attr.h"
#include "base/span.h"
#include "net/tlsa.h"

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

enum tls_floor { TLS_FLOOR_12, TLS_FLOOR_13 }; /* the oldest version that is spoken */

/* Does a server ask clients for a certificate? One that is shown and does not verify ends the handshake
 * either way. */
enum tls_ask { TLS_ASK_NOTHING, TLS_ASK_REQUEST, TLS_ASK_REQUIRE };

struct tls_server_options {
    const struct tls_pair *pairs; /* the first is the default; the others answer to the names in their
                                     certificates (exact and wildcard) */
    size_t pair_n;
    /* In place of pairs: a CA. Each client is shown a copy of another server's certificate that the CA signs
     * (or nobody, when that one was not verified): see CONN_TLS_ASKS. No session is resumed. NULL: none. */
    const struct tls_pair *mint;
    struct span context;                /* the listener: its sessions are resumed nowhere else */
    const struct tls_ticket_keys *keys; /* NULL: OpenSSL makes its own */
    enum tls_floor floor;
    enum tls_ask ask;
    const char *client_ca_name; /* for error texts */
    struct span client_ca;      /* PEM: who may sign what clients show */
};
struct tls_server; /* reference-counted: connections under way keep it */
/* No renegotiation; ALPN "smtp" acknowledged, an ALPN list without it refused. A session is resumed only
 * where context, certificates, floor and what is asked of clients are as they were. NULL with the reason in
 * `error`. */
MUST_CHECK struct tls_server *tls_server_create(const struct tls_server_options *o, char *error,
                                                size_t error_size);
void tls_server_unref(struct tls_server **t);
/* From now on tickets are made with these; only for a server that was made with keys. */
void tls_server_rekey(struct tls_server *t, const struct tls_ticket_keys *keys);

#define TLS_PIN 32 /* SHA-256 of a certificate's SubjectPublicKeyInfo */

struct tls_client_options {
    bool verify; /* refuse a certificate whose chain, date or name is not good */
    /* Look at chain and dates (not at the name), but go on whatever comes out: see tls_info.verified and
     * tls_shown. `verify` wins. */
    bool judge;
    const char *ca_name; /* for error texts; NULL: the system's certificates */
    struct span ca;      /* PEM */
    /* The server's own key must be one of these, beside what `verify` asks for, or alone. */
    const unsigned char (*pins)[TLS_PIN];
    size_t pin_n;
    const struct tls_pair *pair; /* shown to a server that asks; NULL: none */
    enum tls_floor floor;
};
struct tls_client; /* reference-counted; keeps sessions to resume, by server name, at most 64 */
MUST_CHECK struct tls_client *tls_client_create(const struct tls_client_options *o, char *error,
                                                size_t error_size);
struct tls_client *tls_client_ref(struct tls_client *t); /* NULL: NULL */
void tls_client_unref(struct tls_client **t);

/* What DNS says of the server, authenticated: its certificate must match one of these (RFC 7672), whatever
 * `verify` says. A match of usage 3 is good with any name and date. A session is resumed only under the same
 * name and the same records as its handshake. Good for as long as the call that takes it. */
struct tls_dane {
    const struct tlsa_record *record; /* at least one that is usable */
    size_t n;
};
/* Can a certificate match it? See tlsa_well_formed; data that is to be a certificate or a key must be one. */
bool tls_dane_usable(const struct tlsa_record *r);

/* Does the pair fit together (and is it in date)? For -t. A certificate out of date is not an error:
 * `warning_r`. */
MUST_CHECK bool tls_pair_check(const struct tls_pair *p, char *error, size_t error_size, bool *warning_r);

/* Can the pair sign what a server mints? As tls_pair_check, and it must be a CA's. */
MUST_CHECK bool tls_ca_check(const struct tls_pair *p, char *error, size_t error_size, bool *warning_r);

struct tls_info {        /* of a connection; strings live as long as it */
    const char *version; /* "TLSv1.3"; NULL: no TLS */
    const char *cipher;
    const char *server_name; /* SNI that the client sent, printable; NULL: none */
    bool resumed, verified;  /* verified: also by DANE */
    bool dane;               /* by DANE */
    /* Of the certificate that the client has shown and that was verified; NULL: none. */
    const char *peer_subject;     /* "CN=relay,O=Example", printable */
    const char *peer_fingerprint; /* SHA-256 of the certificate, in hexadecimal */
};

/* A server's certificate as a connection's handshake has shown it (a resumed session: the handshake that it
 * began with), and what was found about it. Reference-counted; good longer than the connection. */
struct tls_shown;
struct tls_shown *tls_shown_ref(struct tls_shown *s); /* NULL: NULL */
void tls_shown_unref(struct tls_shown **s);

struct tls_shown_info {             /* texts are ASCII without control characters */
    char subject[256], issuer[256]; /* RFC 4514: "CN=mx,O=Example"; "" is an empty name */
    char names[512];                /* DNS names and addresses: "mx.example.org 192.0.2.1"; cut: "a b ..." */
    int64_t not_before, not_after;  /* Unix seconds; 0: cannot be read */
    char fingerprint[2 * 32 + 1];   /* SHA-256 of the certificate, in hexadecimal */
    char pin[2 * TLS_PIN + 1];      /* SHA-256 of its SubjectPublicKeyInfo, in hexadecimal */
    char key[48];                   /* "RSA 2048", "EC P-256", "ED25519", "unknown" */
    bool self_signed;               /* by its own key */
    bool verified;                  /* what verify, judge or pins asked for was found good */
    const char *verify_error;       /* OpenSSL's words, a constant; "": verified */
};
void tls_shown_describe(const struct tls_shown *s, struct tls_shown_info *info_r);

#endif
