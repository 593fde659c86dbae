/* SPDX-License-Identifier: MIT */
/* DANE (RFC 6698, 7671, 7672) for one connection of a client: OpenSSL compares, here it is told what with.
 *
 *   records of the server -> usable ones -> SSL -> handshake: one of them matches, or it fails
 *                                                     `-> what was shown instead: kept in the tie, for the
 * log
 *
 * With DANE neither the client's authorities nor its wishes for verification matter: the records say whom to
 * trust. */
#include "net/tls_ssl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* ---- which records ---- */

static const unsigned char *bytes_of(struct span s)
{
    return (const unsigned char *)s.p;
}

/* All of it, and nothing behind it. */
static bool is_certificate(struct span data)
{
    const unsigned char *p = bytes_of(data);
    X509 *x = d2i_X509(NULL, &p, (long)data.n);
    bool good = x && p == bytes_of(data) + data.n && X509_get0_pubkey(x);
    X509_free(x);
    return good;
}

static bool is_key(struct span data)
{
    const unsigned char *p = bytes_of(data);
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)data.n);
    bool good = key && p == bytes_of(data) + data.n;
    EVP_PKEY_free(key);
    return good;
}

bool tls_dane_usable(const struct tlsa_record *r)
{
    if (!tlsa_well_formed(r))
        return false;
    if (r->matching != TLSA_WHOLE)
        return true;
    bool good = r->selector == TLSA_KEY ? is_key(r->data) : is_certificate(r->data);
    ERR_clear_error();
    return good;
}

/* ---- what makes two sets of records the same ---- */

static bool digest_record(const struct tlsa_record *r, unsigned char out[SHA256_DIGEST_LENGTH])
{
    const unsigned char numbers[] = {r->usage, r->selector, r->matching};
    EVP_MD_CTX *d = EVP_MD_CTX_new();
    bool good = d && EVP_DigestInit_ex(d, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(d, numbers, sizeof numbers) == 1 &&
                EVP_DigestUpdate(d, r->data.p, r->data.n) == 1 && EVP_DigestFinal_ex(d, out, NULL) == 1;
    EVP_MD_CTX_free(d);
    return good;
}

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, SHA256_DIGEST_LENGTH);
}

/* Name servers give records in any order, so they are sorted. */
bool tls_dane_shelf(const char *name, const struct tls_dane *dane, char out[TLS_DANE_SHELF])
{
    unsigned char each[TLSA_RECORDS][SHA256_DIGEST_LENGTH], all[SHA256_DIGEST_LENGTH];
    int n = snprintf(out, TLS_DANE_SHELF, "%s ", name);
    if (n < 0 || (size_t)n + 2 * sizeof all >= TLS_DANE_SHELF || dane->n > TLSA_RECORDS)
        return false;
    for (size_t i = 0; i < dane->n; i++)
        if (!digest_record(&dane->record[i], each[i]))
            return false;
    qsort(each, dane->n, sizeof *each, compare_digests);
    if (EVP_Digest(each, dane->n * sizeof *each, all, NULL, EVP_sha256(), NULL) != 1)
        return false;
    tls_hex(all, sizeof all, out + n);
    return true;
}

/* ---- the connection ---- */

/* Asked by OpenSSL at each step of its look at the certificates; it goes on as it would have. */
static int on_verdict(int good, X509_STORE_CTX *shown)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(shown, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_tie *tie = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get0_cert(shown);
    if (!good && certificate && !tie->refused)
        tie->refused = tls_shown_make(certificate, true, X509_STORE_CTX_get_error(shown));
    return good;
}

bool tls_dane_set(SSL *ssl, const char *name, const struct tls_dane *dane)
{
    struct tls_tie *tie = SSL_get_app_data(ssl);
    size_t added = 0;
    if (SSL_dane_enable(ssl, name) != 1)
        return false;
    SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS); /* RFC 7672 3.1.1: the key alone says it */
    for (size_t i = 0; i < dane->n; i++) {
        const struct tlsa_record *r = &dane->record[i];
        if (tls_dane_usable(r) &&
            SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, bytes_of(r->data), r->data.n) == 1)
            added++;
    }
    SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verdict);
    tie->dane = true;
    ERR_clear_error();
    return added > 0; /* without any OpenSSL would do without DANE */
}

/* As the TLSA records that would have matched it. */
void tls_dane_shown(const struct tls_tie *tie, char *out, size_t size)
{
    struct tls_shown_info info;
    out[0] = '\0';
    if (!tie->refused)
        return;
    tls_shown_describe(tie->refused, &info);
    (void)snprintf(out, size, " (shown were 3 0 1 %s, 3 1 1 %s)", info.fingerprint, info.pin);
}
