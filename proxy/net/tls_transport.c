/* SPDX-License-Identifier: MIT */
/* The transport with TLS.
 *
 * OpenSSL leaves its errors in a queue of the thread, where the next connection would find them: each call
 * starts with an empty one. Each result is translated in one place, because SSL_get_error must be asked right
 * after the call. An SSL that has failed is not used again but for reading its state. */
#include "net/tls_ssl.h"
#include "net/transport.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <sys/socket.h>

/* OpenSSL says nothing to a peer whose first bytes are no TLS at all. An alert tells a client that spoke SMTP
 * here that it is at fault, and it is no SMTP reply that could be taken for an answer. */
static void alert_stranger(struct transport *t, int reason)
{
    static const unsigned char unexpected_message[] = {21, 3, 1, 0, 2, 2, 10};
    if (SSL_is_server(t->ssl) && (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST))
        (void)send(t->fd, unexpected_message, sizeof unexpected_message, MSG_NOSIGNAL);
}

/* OpenSSL itself forgets this when it fails. */
static const char *where(const struct transport *t)
{
    return t->established ? "TLS" : "TLS handshake";
}

/* The last error says so; the first may be what went wrong in the certificate. */
static bool refused_certificate(long verdict)
{
    return verdict != X509_V_OK && ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED;
}

static enum transport_result fail_certificate(struct transport *t, long verdict)
{
    char shown[TLS_DANE_SHOWN];
    tls_dane_shown(SSL_get_app_data(t->ssl), shown, sizeof shown);
    return transport_fail(t, "TLS handshake: the peer's certificate was refused: %s%s",
                          verdict == X509_V_ERR_APPLICATION_VERIFICATION
                              ? "its key is not pinned"
                              : X509_verify_cert_error_string(verdict),
                          shown);
}

static enum transport_result fail_protocol(struct transport *t)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    long verdict = SSL_get_verify_result(t->ssl);
    if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return transport_fail(t, "%s",
                              t->established ? "TLS connection cut without close_notify"
                                             : "TLS handshake: the peer closed the connection");
    if (refused_certificate(verdict))
        return fail_certificate(t, verdict);
    if (!t->established)
        alert_stranger(t, reason);
    const char *text = ERR_reason_error_string(code);
    return transport_fail(t, "%s: %s", where(t), text ? text : "protocol error");
}

static enum transport_result fail_system(struct transport *t, int error)
{
    return transport_fail(t, "%s: %s", where(t), error ? strerror(error) : "connection cut");
}

static enum transport_result translate(struct transport *t, int returned)
{
    int system_error = errno;
    switch (SSL_get_error(t->ssl, returned)) {
    case SSL_ERROR_NONE:
        return TRANSPORT_DONE;
    case SSL_ERROR_WANT_READ:
        return TRANSPORT_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return TRANSPORT_WANTS_WRITE;
    case SSL_ERROR_WANT_X509_LOOKUP:
        return TRANSPORT_ASKS;
    case SSL_ERROR_ZERO_RETURN:
        return TRANSPORT_EOF;
    case SSL_ERROR_SYSCALL:
        return fail_system(t, system_error);
    default:
        return fail_protocol(t);
    }
}

static void before_call(void)
{
    ERR_clear_error();
    errno = 0;
}

/* From 3.2 on empty buffers go by themselves (SSL_MODE_RELEASE_BUFFERS), and to free one that went already is
 * an access to nothing where plaintext is cleansed (seen with 3.5.9). */
static void free_buffers(SSL *ssl)
{
    if (OpenSSL_version_num() < 0x30200000UL)
        (void)SSL_free_buffers(ssl); /* those that are empty; the next record takes new ones */
}

static enum transport_result tls_handshake(struct transport *t)
{
    before_call();
    enum transport_result r = translate(t, SSL_do_handshake(t->ssl));
    t->established = r == TRANSPORT_DONE;
    if (t->established)
        free_buffers(t->ssl);
    return r;
}

/* SSL_read gives one record at most; several are put together, so that the owner sees large pieces. */
static enum transport_result tls_read(struct transport *t, char *p, size_t n, size_t *got_r)
{
    enum transport_result r = TRANSPORT_FAILED;
    *got_r = 0;
    if (t->read_failed)
        return r;
    while (*got_r < n) {
        size_t got = 0;
        before_call();
        r = translate(t, SSL_read_ex(t->ssl, p + *got_r, n - *got_r, &got));
        if (r != TRANSPORT_DONE)
            break;
        *got_r += got;
        if (SSL_get_read_ahead(t->ssl) && !SSL_has_pending(t->ssl))
            break; /* without read-ahead only the socket knows whether there is more */
    }
    t->read_failed = r == TRANSPORT_FAILED;
    /* The bytes first. An end that came behind them is pending, and is told by the next read. */
    return *got_r ? TRANSPORT_DONE : r;
}

static enum transport_result tls_write(struct transport *t, struct span bytes, size_t *sent_r)
{
    *sent_r = 0;
    before_call();
    return translate(t, SSL_write_ex(t->ssl, bytes.p, bytes.n, sent_r));
}

static enum transport_result tls_shutdown(struct transport *t)
{
    if (t->established) {
        before_call();
        int n = SSL_shutdown(t->ssl);
        if (n < 0 && translate(t, n) == TRANSPORT_WANTS_WRITE)
            return TRANSPORT_WANTS_WRITE;
        /* Else ours is on its way. The peer's is not waited for here, and a broken socket shows itself below.
         */
    }
    return tcp_transport.shutdown(t);
}

static bool tls_pending(const struct transport *t)
{
    return SSL_has_pending(t->ssl) || t->read_failed || (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN);
}

const struct transport_ops tls_transport = {tls_handshake, tls_read, tls_write, tls_shutdown, tls_pending};
