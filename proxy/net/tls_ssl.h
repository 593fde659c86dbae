/* SPDX-License-Identifier: MIT */
/* The OpenSSL side of tls.h, for net/ only: an SSL for one connection, and texts of errors. */
#ifndef NET_TLS_SSL_H
#define NET_TLS_SSL_H

#include "net/tls.h"

#include <openssl/ssl.h>

/* An SSL keeps a reference to what made it, until tls_ssl_free. NULL: no memory. */
MUST_CHECK SSL *tls_server_ssl(struct tls_server *t);
/* `dane` NULL: none. Not for a client with pins: which of the two would count? */
MUST_CHECK SSL *tls_client_ssl(struct tls_client *t, const char *name, const struct tls_dane *dane);
void tls_ssl_free(SSL **ssl);

/* Who a client is by its certificate. */
struct tls_peer_id {
    char fingerprint[2 * 32 + 1];
    char subject[256];
};

/* What an SSL belongs to; its app data. */
struct tls_tie {
    struct tls_server *server;
    struct tls_client *client;
    struct tls_peer_id *peer;  /* made when somebody asks for it */
    bool presented;            /* the copy for a minting server's client is there */
    bool dane;                 /* it is verified by DANE */
    struct tls_shown *refused; /* what did not match */
    char name[];               /* of the shelf where a client's sessions are kept */
};
/* Does the connection look at what the server shows it (DANE, verify, judge or pins)? */
bool tls_tie_judges(const struct tls_tie *tie);
/* Makes the SSL of a context and ties it to one of the two, without taking a reference. NULL: no memory. */
MUST_CHECK SSL *tls_tie_ssl(SSL_CTX *ctx, struct tls_server *s, struct tls_client *c, const char *name);

/* What server and client contexts have in common. false: an old library. */
MUST_CHECK bool tls_common_settings(SSL_CTX *ctx, enum tls_floor floor);
/* Trusts the certificates of a PEM file. false: something in it cannot be read, or it holds none. */
MUST_CHECK bool tls_trust(X509_STORE *store, struct span pem);

/* "format…: reason of OpenSSL's first error"; empties OpenSSL's queue. Always false, for `return`. */
bool tls_error(char *error, size_t error_size, const char *format, ...) PRINTF_LIKE(3, 4);

/* A pair out of PEM. */
struct tls_loaded {
    X509 *certificate;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};
MUST_CHECK bool tls_pair_load(const struct tls_pair *p, struct tls_loaded *l_r, char *error,
                              size_t error_size);
void tls_loaded_free(struct tls_loaded *l);
/* Not yet or no longer good: then `error` says so. */
MUST_CHECK bool tls_out_of_date(const struct tls_pair *p, const X509 *certificate, char *error,
                                size_t error_size);
MUST_CHECK bool tls_loaded_use(SSL_CTX *ctx, const struct tls_loaded *l);

/* Shows the client of a minting server, whose handshake waits for it, a copy. false: no memory, or it cannot
 * be copied. */
MUST_CHECK bool tls_server_present(SSL *ssl, const struct tls_shown *like);

struct tls_info tls_info_of(SSL *ssl);
/* The host that the client asks for, from the moment that its ClientHello was read. NULL: none, or no name
 * that a host may have. */
const char *tls_sni_of(const SSL *ssl);

/* tls_dane.c */
#define TLS_DANE_SHELF 400
/* Where sessions that were verified by these records are kept. false: no memory, or a name too long. */
MUST_CHECK bool tls_dane_shelf(const char *name, const struct tls_dane *dane, char out[TLS_DANE_SHELF]);
/* false: no memory, or no record that is usable. */
MUST_CHECK bool tls_dane_set(SSL *ssl, const char *name, const struct tls_dane *dane);
/* For the text of a failure; "": nothing was shown, or it was good. */
#define TLS_DANE_SHOWN 200
void tls_dane_shown(const struct tls_tie *tie, char *out, size_t size);

/* Does the client look at what servers show it (verify, judge or pins)? */
bool tls_client_judges(const struct tls_client *t);

struct tls_shown {
    unsigned references;
    X509 *certificate;
    bool asked;   /* somebody looked at it; else the verdict means nothing */
    long verdict; /* X509_V_… */
};
/* Takes a reference of its own to the certificate. NULL: no memory. */
MUST_CHECK struct tls_shown *tls_shown_make(X509 *certificate, bool asked, long verdict);
/* NULL: no server's certificate here (yet), or no memory. */
MUST_CHECK struct tls_shown *tls_shown_of(SSL *ssl);
bool tls_shown_verified(const struct tls_shown *s);

/* A name as RFC 4514 has it, in ASCII, cut when it is too long. */
void tls_name_text(const X509_NAME *name, char *out, size_t size);
void tls_hex(const unsigned char *bytes, size_t n, char *out); /* 2n + 1 bytes */
/* Of a certificate's SubjectPublicKeyInfo. false: no memory. */
MUST_CHECK bool tls_key_digest(const X509 *certificate, unsigned char digest[TLS_PIN]);

#endif
