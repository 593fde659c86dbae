/* SPDX-License-Identifier: MIT */
/* What the server's and the client's side of TLS share: the SSL of a connection, settings, texts.
 *
 *   conn -> transport -> SSL -> tie -> tls_server or tls_client (one reference)
 *
 * The tie goes with the SSL; so a context that a reload has replaced lives until its last connection ends. */
#include "net/tls_ssl.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SSL *tls_tie_ssl(SSL_CTX *ctx, struct tls_server *s, struct tls_client *c, const char *name)
{
    size_t n = strlen(name) + 1;
    SSL *ssl = SSL_new(ctx);
    struct tls_tie *tie = malloc(sizeof *tie + n);
    if (!ssl || !tie || !SSL_set_app_data(ssl, tie)) {
        SSL_free(ssl);
        free(tie);
        return NULL;
    }
    tie->server = s;
    tie->client = c;
    memcpy(tie->name, name, n);
    return ssl;
}

void tls_ssl_free(SSL **sslp)
{
    SSL *ssl = *sslp;
    *sslp = NULL;
    if (!ssl)
        return;
    struct tls_tie *tie = SSL_get_app_data(ssl);
    /* Else OpenSSL would take a session whose end was not seen for one that must not be resumed. That rule is
     * older than TLS 1.1 and has no use since. After a failure of TLS itself it is right. */
    if (SSL_is_init_finished(ssl))
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
    tls_server_unref(&tie->server);
    tls_client_unref(&tie->client);
    free(tie);
}

bool tls_common_settings(SSL_CTX *ctx)
{
    if (!SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION))
        return false;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* A read must come back after a record without data, or a flood of key updates keeps it forever. */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    /* Header and body of a record in one system call. From 3.2 on a read that comes back after a record
     * without data does so with whole records still in OpenSSL's buffer, for which no event of the socket
     * will ever come. */
    SSL_CTX_set_read_ahead(ctx, OpenSSL_version_num() < 0x30200000UL);
    return true;
}

bool tls_error(char *error, size_t error_size, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(error, error_size, format, ap);
    va_end(ap);
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    if (reason && n >= 0 && (size_t)n < error_size)
        (void)snprintf(error + n, error_size - (size_t)n, ": %s", reason);
    ERR_clear_error();
    return false;
}

static const char *printable_name(const char *name)
{
    for (const char *p = name; p && *p; p++)
        if (*p <= ' ' || *p > '~')
            return "(unprintable)";
    return name;
}

struct tls_info tls_info_of(SSL *ssl)
{
    if (!ssl || !SSL_is_init_finished(ssl))
        return (struct tls_info){0};
    const struct tls_tie *tie = SSL_get_app_data(ssl);
    bool asked = tie->client && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER);
    return (struct tls_info){
        .version = SSL_get_version(ssl),
        .cipher = SSL_get_cipher_name(ssl),
        .server_name =
            tie->server ? printable_name(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) : NULL,
        .resumed = SSL_session_reused(ssl) != 0,
        .verified = asked && SSL_get_verify_result(ssl) == X509_V_OK,
    };
}
