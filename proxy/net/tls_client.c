/* SPDX-License-Identifier: MIT */
/* The client's side of TLS: verification, pins, a certificate of its own, and sessions kept to be resumed.
 * What the records of a connection's DANE do in place of verification: tls_dane.c.
 *
 *   server's certificate -> chain, date, name (verify) -> its key among the pins (if there are any) -> good
 *                        -> chain, date (judge) -> noted, see tls_shown.c
 *
 *   handshake with NAME -> ticket -> shelf -> next handshake with NAME (and, with DANE, the same records)
 *
 * The shelf holds SESSIONS_MAX sessions, a few for one name, because a session of TLS 1.3 is used once only
 * and several connections may be under way. The oldest makes room. Owned by references as a tls_server is. */
#include "net/tls_ssl.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum { SESSIONS_MAX = 64, SESSIONS_A_NAME = 4, NAME_MAX_LENGTH = 255 }; /* TLS_DANE_SHELF has room for it */

struct kept_session {
    SSL_SESSION *session; /* NULL: free place */
    char *name;
    uint64_t age; /* smaller is older */
};

struct tls_client {
    unsigned references;
    SSL_CTX *ctx;
    uint64_t clock;
    struct kept_session kept[SESSIONS_MAX];
    bool verify, judge;
    size_t pin_n;
    unsigned char pins[][TLS_PIN];
};

/* ---- sessions ---- */

static void drop(struct kept_session *k)
{
    SSL_SESSION_free(k->session);
    free(k->name);
    *k = (struct kept_session){0};
}

/* Where the next session of `name` goes: the oldest of that name when it has its share, else a free place,
 * else the oldest of all. */
static struct kept_session *place_for(struct tls_client *t, const char *name)
{
    struct kept_session *oldest = &t->kept[0], *own = NULL;
    int same = 0;
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        struct kept_session *k = &t->kept[i];
        if (k->age < oldest->age)
            oldest = k; /* a free place has age 0 */
        if (!k->session || strcmp(k->name, name) != 0)
            continue;
        same++;
        if (!own || k->age < own->age)
            own = k;
    }
    return same >= SESSIONS_A_NAME ? own : oldest;
}

/* Called by OpenSSL with each new session. 1: the reference is ours now. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls_tie *tie = SSL_get_app_data(ssl);
    char *name = strdup(tie->name);
    if (!name)
        return 0;
    struct kept_session *k = place_for(tie->client, name);
    drop(k);
    *k = (struct kept_session){session, name, ++tie->client->clock};
    return 1;
}

/* Offers the newest session of the name. One of TLS 1.3 leaves the shelf: used twice, it would let an
 * observer link two connections. */
static void offer_session(struct tls_client *t, SSL *ssl, const char *name)
{
    struct kept_session *newest = NULL;
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        struct kept_session *k = &t->kept[i];
        if (k->session && strcmp(k->name, name) == 0 && (!newest || k->age > newest->age))
            newest = k;
    }
    if (!newest)
        return;
    (void)SSL_set_session(ssl, newest->session);
    if (SSL_SESSION_get_protocol_version(newest->session) >= TLS1_3_VERSION)
        drop(newest);
}

/* ---- making one ---- */

static bool pinned(const struct tls_client *t, const X509 *certificate)
{
    unsigned char digest[TLS_PIN];
    bool found = false;
    if (!certificate || !tls_key_digest(certificate, digest))
        return false;
    for (size_t i = 0; i < t->pin_n; i++)
        found = found || memcmp(digest, t->pins[i], TLS_PIN) == 0;
    return found;
}

/* In place of OpenSSL's own check, when there are pins. Only the server's own certificate counts: the others
 * that it sends prove nothing unless the chain is verified. */
static int on_certificate(X509_STORE_CTX *shown, void *arg)
{
    const struct tls_client *t = arg;
    if ((t->verify || t->judge) && X509_verify_cert(shown) != 1 && t->verify)
        return 0;
    if (pinned(t, X509_STORE_CTX_get0_cert(shown)))
        return 1;
    X509_STORE_CTX_set_error(shown, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

static bool set_verification(struct tls_client *t, SSL_CTX *ctx, const struct tls_client_options *o,
                             char *error, size_t error_size)
{
    /* Without SSL_VERIFY_PEER a client looks too, keeps the verdict, and goes on: that is `judge`. */
    SSL_CTX_set_verify(ctx, o->verify || o->pin_n ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    t->verify = o->verify;
    t->judge = o->judge && !o->verify;
    t->pin_n = o->pin_n;
    if (o->pin_n) {
        memcpy(t->pins, o->pins, o->pin_n * TLS_PIN);
        SSL_CTX_set_cert_verify_callback(ctx, on_certificate, t);
    }
    if (!t->verify && !t->judge)
        return true;
    if (!o->ca_name)
        return SSL_CTX_set_default_verify_paths(ctx) == 1 ||
               tls_error(error, error_size, "the system's certificates cannot be read");
    return tls_trust(SSL_CTX_get_cert_store(ctx), o->ca) ||
           tls_error(error, error_size, "%s: no PEM certificates that can be read", o->ca_name);
}

static bool set_own(SSL_CTX *ctx, const struct tls_pair *pair, char *error, size_t error_size)
{
    struct tls_loaded l;
    if (!pair)
        return true;
    if (!tls_pair_load(pair, &l, error, error_size))
        return false;
    bool good = tls_loaded_use(ctx, &l) ||
                tls_error(error, error_size, "%s: the certificate cannot be used", pair->name);
    tls_loaded_free(&l);
    return good;
}

struct tls_client *tls_client_create(const struct tls_client_options *o, char *error, size_t error_size)
{
    ERR_clear_error();
    struct tls_client *t = calloc(1, sizeof *t + o->pin_n * TLS_PIN);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!t || !ctx || !tls_common_settings(ctx, o->floor) || SSL_CTX_dane_enable(ctx) != 1) {
        tls_error(error, error_size, "TLS cannot be set up");
        goto fail;
    }
    if (!set_verification(t, ctx, o, error, error_size) || !set_own(ctx, o->pair, error, error_size))
        goto fail;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    t->references = 1;
    t->ctx = ctx;
    return t;
fail:
    SSL_CTX_free(ctx);
    free(t);
    return NULL;
}

struct tls_client *tls_client_ref(struct tls_client *t)
{
    if (t)
        t->references++;
    return t;
}

void tls_client_unref(struct tls_client **tp)
{
    struct tls_client *t = *tp;
    *tp = NULL;
    if (!t || --t->references)
        return;
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        drop(&t->kept[i]);
    SSL_CTX_free(t->ctx);
    free(t);
}

bool tls_client_judges(const struct tls_client *t)
{
    return t->verify || t->judge || t->pin_n;
}

/* ---- one connection ---- */

static bool is_address(const char *name)
{
    unsigned char ip[16];
    return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
}

/* Whom we want to talk to: in the ClientHello, and for verification (but who only judges does not look at
 * names). Names go without the dot of the root. */
static bool set_name(const struct tls_client *t, SSL *ssl, char *name)
{
    X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
    if (is_address(name))
        return !t->verify || X509_VERIFY_PARAM_set1_ip_asc(p, name) == 1;
    if (!*name) /* a Unix socket, say; then verification has nothing to accept */
        return !(SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER);
    if (SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return !t->verify || X509_VERIFY_PARAM_set1_host(p, name, 0) == 1;
}

SSL *tls_client_ssl(struct tls_client *t, const char *name, const struct tls_dane *dane)
{
    char bare[NAME_MAX_LENGTH + 1], shelf[TLS_DANE_SHELF];
    size_t n = strlen(name);
    if (n && name[n - 1] == '.')
        n--;
    if (n > NAME_MAX_LENGTH || (dane && t->pin_n))
        return NULL;
    memcpy(bare, name, n);
    bare[n] = '\0';
    if (dane && !tls_dane_shelf(bare, dane, shelf))
        return NULL;
    const char *kept_as = dane ? shelf : bare;
    SSL *ssl = tls_tie_ssl(t->ctx, NULL, t, kept_as);
    if (!ssl)
        return NULL;
    t->references++;
    SSL_set_connect_state(ssl);
    if (!set_name(t, ssl, bare) || (dane && !tls_dane_set(ssl, bare, dane)))
        tls_ssl_free(&ssl);
    else
        offer_session(t, ssl, kept_as);
    return ssl;
}
