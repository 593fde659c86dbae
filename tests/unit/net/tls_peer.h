/* SPDX-License-Identifier: MIT */
/* A TLS client (or server: tls_peer_of) whose bytes the test moves by hand: it can cut them anywhere, stop,
 * or break the rules.
 *
 *   SSL -> out -> (pieces of `piece` bytes) -> raw socket -> conn under test
 */
#ifndef TESTS_NET_TLS_PEER_H
#define TESTS_NET_TLS_PEER_H

#include "certs.h"
#include "party.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

struct tls_peer {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    int fd;
    size_t piece; /* 0: as it comes */
    bool cut;     /* the socket is at its end */
};

/* Takes the context. */
static inline struct tls_peer tls_peer_of(int fd, SSL_CTX *ctx)
{
    struct tls_peer t = {.fd = fd, .ctx = ctx};
    assert_non_null(t.ctx);
    t.ssl = SSL_new(t.ctx);
    t.in = BIO_new(BIO_s_mem());
    t.out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(t.in, -1);
    SSL_set_bio(t.ssl, t.in, t.out);
    return t;
}

static inline struct tls_peer tls_peer_open(int fd, int most_version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, 0);
    if (most_version)
        SSL_CTX_set_max_proto_version(ctx, most_version);
    struct tls_peer t = tls_peer_of(fd, ctx);
    SSL_set_connect_state(t.ssl);
    return t;
}

static inline void tls_peer_close(struct tls_peer *t)
{
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    (void)close(t->fd);
}

static inline void tls_peer_send(struct net *net, struct tls_peer *t)
{
    char bytes[16 * 1024];
    int n;
    while ((n = BIO_read(t->out, bytes, sizeof bytes)) > 0) {
        size_t step = t->piece ? t->piece : (size_t)n;
        for (size_t at = 0; at < (size_t)n; at += step) {
            size_t left = (size_t)n - at;
            (void)send(t->fd, bytes + at, left < step ? left : step, MSG_NOSIGNAL);
            if (t->piece)
                ev_run(loop_ev(net->l), EVRUN_NOWAIT);
        }
    }
}

static inline void tls_peer_receive(struct tls_peer *t)
{
    char bytes[16 * 1024];
    ssize_t n;
    while ((n = recv(t->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        assert_int_equal(BIO_write(t->in, bytes, (int)n), n);
    t->cut = n == 0 || errno != EAGAIN;
}

/* One go of everything. */
static inline void tls_peer_turn(struct net *net, struct tls_peer *t)
{
    tls_peer_send(net, t);
    ev_run(loop_ev(net->l), EVRUN_NOWAIT);
    ev_run(loop_ev(net->l), EVRUN_NOWAIT);
    tls_peer_receive(t);
}

/* SSL_do_handshake to its end: 1, or 0 with the reason in OpenSSL's queue. */
static inline int tls_peer_handshake(struct net *net, struct tls_peer *t)
{
    uint64_t end = clock_mono_us() + SECONDS(4);
    while (clock_mono_us() < end) {
        ERR_clear_error();
        int r = SSL_do_handshake(t->ssl);
        if (r == 1) {
            tls_peer_turn(net, t);
            return 1;
        }
        if (SSL_get_error(t->ssl, r) != SSL_ERROR_WANT_READ) {
            tls_peer_turn(net, t);
            return 0;
        }
        if (t->cut)
            return 0;
        tls_peer_turn(net, t);
    }
    fail_msg("the handshake takes too long");
    return 0;
}

static inline void tls_peer_say(struct net *net, struct tls_peer *t, const char *text)
{
    assert_int_equal(SSL_write(t->ssl, text, (int)strlen(text)), (int)strlen(text));
    tls_peer_turn(net, t);
}

/* SSL_read that waits for the conn. */
static inline int tls_peer_read(struct net *net, struct tls_peer *t, char *out, int size)
{
    uint64_t end = clock_mono_us() + SECONDS(4);
    int n = 0;
    do {
        ERR_clear_error();
        n = SSL_read(t->ssl, out, size);
        if (n > 0 || SSL_get_error(t->ssl, n) != SSL_ERROR_WANT_READ)
            return n;
        bool last = t->cut;
        tls_peer_turn(net, t);
        if (last && t->cut && BIO_pending(t->in) == 0)
            return -1;
    } while (clock_mono_us() < end);
    return -1;
}

/* A raw client of the listener, with a conn that starts TLS as server. */
static inline struct tls_peer tls_peer_join(struct net *net, struct tls_server *server, int most_version)
{
    int raw = net_raw_client(net);
    assert_true(conn_tls_accept(net->server.c, server, SECONDS(3)));
    return tls_peer_open(raw, most_version);
}

/* Both ends are conns; each gets CONN_TLS or CONN_CLOSED. */
static inline void tls_join(struct net *net, struct tls_server *s, struct tls_client *c, const char *name)
{
    assert_true(conn_tls_accept(net->server.c, s, SECONDS(3)));
    assert_true(conn_tls_connect(net->client.c, c, name, NULL, SECONDS(3)));
    TURN_UNTIL(net, (net->client.told[CONN_TLS] || net->client.told[CONN_CLOSED]) &&
                        (net->server.told[CONN_TLS] || net->server.told[CONN_CLOSED]));
}

#endif
