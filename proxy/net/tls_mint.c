/* SPDX-License-Identifier: MIT */
/* Mints certificates: a client that is intercepted sees what the server shows, as far as that can be copied.
 *
 *   tls_shown, verified      -> same subject, names and dates, our key, signed by the authority
 *   tls_shown, not verified  -> the same, but signed by our key itself: as little to be trusted as the real
 * one
 *
 *   copy -> kept[] by (SHA-256 of what was shown, verified?) -> the next handshake like it
 *
 * A kept copy never becomes stale: its dates are those of the certificate whose digest it is found by (cut to
 * the authority's), and a certificate that has run out is no longer verified, which is another entry.
 *
 * What is copied was written by strangers. Nothing goes into a copy but subject, dates and the alternative
 * names, and these as they were parsed, not as they were sent; what gives rights (CA, key usages) is ours.
 * Owned by its tls_server. */
#include "net/tls_mint.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

struct kept_copy {
    X509 *copy; /* NULL: free place */
    unsigned char of[SHA256_DIGEST_LENGTH];
    bool verified;
};

struct tls_mint {
    struct tls_loaded ca;
    STACK_OF(X509) * sent; /* behind a copy: the authority and its chain; borrowed from `ca` */
    EVP_PKEY *key;         /* of all copies */
    size_t next;           /* the place of the next copy; when all are taken, of the oldest */
    struct kept_copy kept[TLS_MINT_KEPT];
};

/* ---- the authority ---- */

/* Why clients would refuse what it signs; NULL: they would not. */
static const char *complaint_of(X509 *ca)
{
    uint32_t flags = X509_get_extension_flags(ca); /* first: it reads the extensions for the others */
    if (flags & EXFLAG_INVALID)
        return "it has extensions that cannot be read";
    if (!(flags & EXFLAG_CA))
        return "it is not a CA (basicConstraints CA:TRUE is missing)";
    if (!(X509_get_key_usage(ca) & KU_KEY_CERT_SIGN)) /* absent: all bits */
        return "its keyUsage has no keyCertSign";
    if (!(X509_get_extended_key_usage(ca) & XKU_SSL_SERVER))
        return "its extendedKeyUsage has no serverAuth";
    return NULL;
}

/* A key or a digest that is too weak for OpenSSL's security level would show itself only in handshakes. */
static bool is_strong(const struct tls_loaded *l)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    bool good = ctx && tls_loaded_use(ctx, l);
    SSL_CTX_free(ctx);
    return good;
}

static bool load_ca(const struct tls_pair *p, struct tls_loaded *l_r, char *error, size_t error_size)
{
    if (!tls_pair_load(p, l_r, error, error_size))
        return false;
    const char *complaint = complaint_of(l_r->certificate);
    if (complaint)
        (void)snprintf(error, error_size, "%s: the certificate cannot sign those of servers: %s", p->name,
                       complaint);
    else if (is_strong(l_r))
        return true;
    else
        tls_error(error, error_size, "%s: the certificate cannot be used", p->name);
    ERR_clear_error();
    tls_loaded_free(l_r);
    return false;
}

bool tls_ca_check(const struct tls_pair *p, char *error, size_t error_size, bool *warning_r)
{
    struct tls_loaded l;
    *warning_r = false;
    if (!load_ca(p, &l, error, error_size))
        return false;
    *warning_r = tls_out_of_date(p, l.certificate, error, error_size);
    tls_loaded_free(&l);
    return true;
}

static bool list_sent(struct tls_mint *m)
{
    m->sent = sk_X509_new_null();
    bool good = m->sent && sk_X509_push(m->sent, m->ca.certificate);
    for (int i = 0; good && i < sk_X509_num(m->ca.chain); i++)
        good = sk_X509_push(m->sent, sk_X509_value(m->ca.chain, i)) != 0;
    return good;
}

struct tls_mint *tls_mint_create(const struct tls_pair *ca, char *error, size_t error_size)
{
    struct tls_mint *m = calloc(1, sizeof *m);
    if (!m) {
        (void)snprintf(error, error_size, "out of memory");
        return NULL;
    }
    if (!load_ca(ca, &m->ca, error, error_size))
        goto fail;
    m->key = EVP_EC_gen("P-256");
    if (!m->key || !list_sent(m)) {
        tls_error(error, error_size, "%s: no key can be made for what it shall sign", ca->name);
        goto fail;
    }
    return m;
fail:
    tls_mint_free(&m);
    return NULL;
}

void tls_mint_free(struct tls_mint **mp)
{
    struct tls_mint *m = *mp;
    *mp = NULL;
    if (!m)
        return;
    for (size_t i = 0; i < TLS_MINT_KEPT; i++)
        X509_free(m->kept[i].copy);
    sk_X509_free(m->sent);
    EVP_PKEY_free(m->key);
    tls_loaded_free(&m->ca);
    free(m);
}

/* ---- one copy ---- */

/* 126 random bits, positive (RFC 5280, 4.1.2.2). */
static bool set_serial(X509 *copy)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x3f) | 0x40);
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool good = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(copy));
    BN_free(n);
    return good;
}

/* The same dates; what an authority signs does not outlive it. `ca` NULL: nobody to outlive. */
static bool set_dates(X509 *copy, X509 *from, X509 *ca)
{
    const ASN1_TIME *start = X509_get0_notBefore(from), *end = X509_get0_notAfter(from);
    if (!ASN1_TIME_check(start) || !ASN1_TIME_check(end))
        return false;
    if (ca && ASN1_TIME_compare(start, X509_get0_notBefore(ca)) < 0)
        start = X509_get0_notBefore(ca);
    if (ca && ASN1_TIME_compare(end, X509_get0_notAfter(ca)) > 0)
        end = X509_get0_notAfter(ca);
    return X509_set1_notBefore(copy, start) == 1 && X509_set1_notAfter(copy, end) == 1;
}

static bool add_extension(X509 *copy, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, copy, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = e && X509_add_ext(copy, e, -1) == 1;
    X509_EXTENSION_free(e);
    return good;
}

/* Names that cannot be read (or stand there twice) are left out: the copy of one who cannot be trusted is
 * good for clients that take anything. An authority signs no such copy. */
static bool copy_names(X509 *copy, X509 *from, bool trusted)
{
    int critical = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(from, NID_subject_alt_name, &critical, NULL);
    bool good = true;
    if (!names)
        good = critical == -1 || !trusted; /* -1: there are none */
    else if (sk_GENERAL_NAME_num(names) > 0)
        good = X509_add1_ext_i2d(copy, NID_subject_alt_name, names, critical, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return good;
}

/* `ca` NULL: signed by its own key. */
static bool add_extensions(X509 *copy, X509 *from, X509 *ca)
{
    static const struct {
        int nid;
        const char *value;
    } own[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth"},
        {NID_subject_key_identifier, "hash"},
    };
    for (size_t i = 0; i < COUNT_OF(own); i++)
        if (!add_extension(copy, copy, own[i].nid, own[i].value))
            return false;
    /* An authority without a name for its key is found by its subject alone. */
    if (ca && X509_get0_subject_key_id(ca) &&
        !add_extension(copy, ca, NID_authority_key_identifier, "keyid:always"))
        return false;
    return copy_names(copy, from, ca != NULL);
}

/* Ed25519 and its like have their digest inside. */
static const EVP_MD *digest_for(EVP_PKEY *key)
{
    char name[32] = "";
    bool inside = EVP_PKEY_get_default_digest_name(key, name, sizeof name) == 2 && strcmp(name, "UNDEF") == 0;
    return inside ? NULL : EVP_sha256();
}

static X509 *make(const struct tls_mint *m, X509 *from, bool verified)
{
    X509 *ca = verified ? m->ca.certificate : NULL;
    EVP_PKEY *signer = verified ? m->ca.key : m->key;
    X509 *copy = X509_new();
    bool good = copy && X509_set_version(copy, X509_VERSION_3) == 1 && set_serial(copy) &&
                X509_set_subject_name(copy, X509_get_subject_name(from)) == 1 &&
                X509_set_issuer_name(copy, X509_get_subject_name(ca ? ca : from)) == 1 &&
                X509_set_pubkey(copy, m->key) == 1 && set_dates(copy, from, ca) &&
                add_extensions(copy, from, ca) && X509_sign(copy, signer, digest_for(signer)) > 0;
    if (good)
        return copy;
    X509_free(copy);
    return NULL;
}

/* ---- those that are kept ---- */

static X509 *find(const struct tls_mint *m, const unsigned char *of, bool verified)
{
    for (size_t i = 0; i < TLS_MINT_KEPT && m->kept[i].copy; i++)
        if (m->kept[i].verified == verified && memcmp(m->kept[i].of, of, SHA256_DIGEST_LENGTH) == 0)
            return m->kept[i].copy;
    return NULL;
}

static void keep(struct tls_mint *m, X509 *copy, const unsigned char *of, bool verified)
{
    struct kept_copy *k = &m->kept[m->next];
    if (i2d_X509(copy, NULL) > TLS_MINT_KEPT_BYTES || !X509_up_ref(copy))
        return;
    m->next = (m->next + 1) % TLS_MINT_KEPT;
    X509_free(k->copy);
    k->copy = copy;
    k->verified = verified;
    memcpy(k->of, of, SHA256_DIGEST_LENGTH);
}

X509 *tls_mint_copy(struct tls_mint *m, const struct tls_shown *like)
{
    unsigned char of[EVP_MAX_MD_SIZE];
    bool verified = tls_shown_verified(like);
    int size = i2d_X509(like->certificate, NULL);
    X509 *copy = NULL;
    if (size <= 0 || size > TLS_MINT_COPIED_BYTES ||
        X509_digest(like->certificate, EVP_sha256(), of, NULL) != 1)
        goto out;
    copy = find(m, of, verified);
    if (copy) {
        if (!X509_up_ref(copy))
            copy = NULL;
        goto out;
    }
    copy = make(m, like->certificate, verified);
    if (copy)
        keep(m, copy, of, verified);
out:
    ERR_clear_error(); /* of what could not be read */
    return copy;
}

bool tls_mint_use(struct tls_mint *m, const struct tls_shown *like, SSL *ssl)
{
    X509 *copy = tls_mint_copy(m, like);
    bool good =
        copy && SSL_use_cert_and_key(ssl, copy, m->key, tls_shown_verified(like) ? m->sent : NULL, 1) == 1;
    X509_free(copy);
    ERR_clear_error();
    return good;
}
