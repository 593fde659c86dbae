/* SPDX-License-Identifier: MIT */
/* What the server's and the client's side of TLS share: the SSL of a connection, settings, texts.
 *
 *   conn -> transport -> SSL -> tie -> tls_server or tls_client (one reference)
 *
 * The tie goes with the SSL; so a context that a reload has replaced lives until its last connection ends. */
#include "net/tls_ssl.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SNI_MAX = 253 }; /* octets of a name in the DNS, as text */

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
    tie->peer = NULL;
    tie->presented = false;
    tie->dane = false;
    tie->refused = NULL;
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
    tls_shown_unref(&tie->refused);
    free(tie->peer);
    free(tie);
}

bool tls_common_settings(SSL_CTX *ctx, enum tls_floor floor)
{
    static const int oldest[] = {[TLS_FLOOR_12] = TLS1_2_VERSION, [TLS_FLOOR_13] = TLS1_3_VERSION};
    if (!SSL_CTX_set_min_proto_version(ctx, oldest[floor]))
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

bool tls_trust(X509_STORE *store, struct span pem)
{
    BIO *bio = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n) : NULL;
    X509 *ca;
    int n = 0;
    bool good = bio != NULL;
    while (good && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        good = X509_STORE_add_cert(store, ca) == 1;
        X509_free(ca);
        n++;
    }
    BIO_free(bio);
    unsigned long e = ERR_peek_last_error();
    if (!good || n == 0 || ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
        return false;
    ERR_clear_error();
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

const char *tls_sni_of(const SSL *ssl)
{
    const char *name = ssl ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : NULL;
    size_t n = 0;
    for (; name && name[n]; n++)
        if (n >= SNI_MAX || !(ascii_alpha(name[n]) || ascii_digit(name[n]) || strchr("-._", name[n])))
            return NULL;
    return n ? name : NULL;
}

static bool name_peer(struct tls_peer_id *id, X509 *certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (X509_digest(certificate, EVP_sha256(), digest, NULL) != 1)
        return false;
    tls_name_text(X509_get_subject_name(certificate), id->subject, sizeof id->subject);
    tls_hex(digest, sizeof id->fingerprint / 2, id->fingerprint);
    return true;
}

/* Made once, since each line of the log asks for it. */
static const struct tls_peer_id *peer_of(SSL *ssl, struct tls_tie *tie)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (!tie->server || !certificate || SSL_get_verify_result(ssl) != X509_V_OK)
        return NULL;
    if (!tie->peer)
        tie->peer = calloc(1, sizeof *tie->peer);
    if (tie->peer && !tie->peer->fingerprint[0] && !name_peer(tie->peer, certificate))
        ERR_clear_error();
    return tie->peer;
}

bool tls_tie_judges(const struct tls_tie *tie)
{
    return tie->client && (tie->dane || tls_client_judges(tie->client));
}

struct tls_info tls_info_of(SSL *ssl)
{
    if (!ssl || !SSL_is_init_finished(ssl))
        return (struct tls_info){0};
    struct tls_tie *tie = SSL_get_app_data(ssl);
    bool good = tls_tie_judges(tie) && SSL_get_verify_result(ssl) == X509_V_OK;
    const struct tls_peer_id *peer = peer_of(ssl, tie);
    return (struct tls_info){
        .version = SSL_get_version(ssl),
        .cipher = SSL_get_cipher_name(ssl),
        .server_name =
            tie->server ? printable_name(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) : NULL,
        .resumed = SSL_session_reused(ssl) != 0,
        .verified = peer || good,
        .dane = tie->dane && good,
        .peer_subject = peer ? peer->subject : NULL,
        .peer_fingerprint = peer ? peer->fingerprint : NULL,
    };
}
