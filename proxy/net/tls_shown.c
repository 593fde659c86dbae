/* SPDX-License-Identifier: MIT */
/* A server's certificate as it was shown to us, and what verification said of it.
 *
 *   SSL of a client -> tls_shown -> tls_shown_describe (for people) | tls_mint (to be copied)
 *
 * It outlives its connection: who takes a reference gives it back. It never changes. A resumed session shows
 * what its first handshake has shown, since OpenSSL keeps certificate and verdict in the session. Nothing in
 * the certificate is trusted here: texts are ASCII and cut to their fields, and what cannot be read is told
 * so. */
#include "net/tls_ssl.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- life ---- */

struct tls_shown *tls_shown_make(X509 *certificate, bool asked, long verdict)
{
    struct tls_shown *s = malloc(sizeof *s);
    if (!s || !X509_up_ref(certificate)) {
        free(s);
        return NULL;
    }
    *s = (struct tls_shown){1, certificate, asked, verdict};
    return s;
}

struct tls_shown *tls_shown_of(SSL *ssl)
{
    const struct tls_tie *tie = ssl ? SSL_get_app_data(ssl) : NULL;
    /* Until then a session that is only offered would answer for the server. */
    if (!tie || !tie->client || !SSL_is_init_finished(ssl))
        return NULL;
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (!certificate)
        return NULL;
    return tls_shown_make(certificate, tls_tie_judges(tie), SSL_get_verify_result(ssl));
}

struct tls_shown *tls_shown_ref(struct tls_shown *s)
{
    if (s)
        s->references++;
    return s;
}

void tls_shown_unref(struct tls_shown **sp)
{
    struct tls_shown *s = *sp;
    *sp = NULL;
    if (!s || --s->references)
        return;
    X509_free(s->certificate);
    free(s);
}

bool tls_shown_verified(const struct tls_shown *s)
{
    return s->asked && s->verdict == X509_V_OK;
}

/* ---- texts ---- */

static const char ellipsis[] = "...";

/* The end of a text that did not fit. */
static void mark_cut(char *out, size_t size)
{
    if (size > sizeof ellipsis)
        memcpy(out + size - sizeof ellipsis, ellipsis, sizeof ellipsis);
}

void tls_name_text(const X509_NAME *name, char *out, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    out[0] = '\0';
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        int n = BIO_read(bio, out, (int)size - 1);
        out[n > 0 ? n : 0] = '\0';
        if (BIO_pending(bio) > 0)
            mark_cut(out, size);
    } else {
        (void)snprintf(out, size, "(unprintable)");
    }
    BIO_free(bio);
    ERR_clear_error();
}

void tls_hex(const unsigned char *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

bool tls_key_digest(const X509 *certificate, unsigned char digest[TLS_PIN])
{
    unsigned char *key = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
    bool good = n > 0 && EVP_Digest(key, (size_t)n, digest, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(key);
    return good;
}

static void describe_digests(X509 *x, struct tls_shown_info *info)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (X509_digest(x, EVP_sha256(), digest, NULL) == 1)
        tls_hex(digest, TLS_PIN, info->fingerprint);
    if (tls_key_digest(x, digest))
        tls_hex(digest, TLS_PIN, info->pin);
}

/* "RSA 2048", "EC P-256", "ED25519". */
static void describe_key(const X509 *x, struct tls_shown_info *info)
{
    EVP_PKEY *key = X509_get0_pubkey(x);
    const char *kind = key ? EVP_PKEY_get0_type_name(key) : NULL;
    char group[sizeof info->key / 2] = "";
    if (!kind) {
        (void)snprintf(info->key, sizeof info->key, "unknown");
    } else if (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1) {
        const char *nist = EC_curve_nid2nist(OBJ_sn2nid(group));
        (void)snprintf(info->key, sizeof info->key, "%s %s", kind, nist ? nist : group);
    } else if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS") || EVP_PKEY_is_a(key, "DSA")) {
        (void)snprintf(info->key, sizeof info->key, "%s %d", kind, EVP_PKEY_get_bits(key));
    } else {
        (void)snprintf(info->key, sizeof info->key, "%s", kind);
    }
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* ---- names ---- */

/* One name as text; 0: of a kind that is not told, or too long for `out`. */
static size_t name_text(const GENERAL_NAME *g, char *out, size_t size)
{
    const ASN1_STRING *s = g->type == GEN_DNS ? g->d.dNSName : g->type == GEN_IPADD ? g->d.iPAddress : NULL;
    if (!s || ASN1_STRING_length(s) <= 0)
        return 0;
    const unsigned char *bytes = ASN1_STRING_get0_data(s);
    size_t n = (size_t)ASN1_STRING_length(s);
    if (g->type == GEN_IPADD) {
        int family = n == 4 ? AF_INET : n == 16 ? AF_INET6 : AF_UNSPEC;
        return family != AF_UNSPEC && inet_ntop(family, bytes, out, (socklen_t)size) ? strlen(out) : 0;
    }
    if (n >= size)
        return 0;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(bytes[i] > ' ' && bytes[i] <= '~' ? bytes[i] : '?');
    return n;
}

static void list_names(const GENERAL_NAMES *all, struct tls_shown_info *info)
{
    size_t at = 0, most = sizeof info->names - 1;
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        char text[256];
        size_t n = name_text(sk_GENERAL_NAME_value(all, i), text, sizeof text);
        if (!n)
            continue;
        size_t room = most - sizeof ellipsis; /* " ..." always fits */
        if (at + n + 1 > room) {
            (void)snprintf(info->names + at, sizeof info->names - at, "%s%s", at ? " " : "", ellipsis);
            return;
        }
        if (at)
            info->names[at++] = ' ';
        memcpy(info->names + at, text, n);
        at += n;
        info->names[at] = '\0';
    }
}

void tls_shown_describe(const struct tls_shown *s, struct tls_shown_info *info_r)
{
    X509 *x = s->certificate;
    ERR_clear_error();
    *info_r = (struct tls_shown_info){
        .not_before = seconds_of(X509_get0_notBefore(x)),
        .not_after = seconds_of(X509_get0_notAfter(x)),
        .self_signed = X509_self_signed(x, 1) == 1,
        .verified = tls_shown_verified(s),
        .verify_error = !s->asked                 ? "verification was not asked for"
                        : s->verdict == X509_V_OK ? ""
                                                  : X509_verify_cert_error_string(s->verdict),
    };
    tls_name_text(X509_get_subject_name(x), info_r->subject, sizeof info_r->subject);
    tls_name_text(X509_get_issuer_name(x), info_r->issuer, sizeof info_r->issuer);
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    list_names(all, info_r);
    GENERAL_NAMES_free(all);
    describe_digests(x, info_r);
    describe_key(x, info_r);
    ERR_clear_error(); /* of what could not be read */
}
