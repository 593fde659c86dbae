/* SPDX-License-Identifier: MIT */
/* Certificates for the tests of net/, made in memory. Each test owns its identities and frees them. */
#ifndef TESTS_NET_CERTS_H
#define TESTS_NET_CERTS_H

#include "base/span.h"
#include "net/tls.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
    struct span certificate_pem, key_pem;
};

static inline struct span pem_of(BIO *bio)
{
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    char *copy = malloc((size_t)n);
    assert_non_null(copy);
    memcpy(copy, p, (size_t)n);
    BIO_free(bio);
    return span_make(copy, (size_t)n);
}

static inline void add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

struct wish {
    const char *common_name;
    const char *alternative;       /* "DNS:a,IP:127.0.0.1"; NULL: none */
    const struct identity *issuer; /* NULL: itself */
    long from_days, to_days;       /* from now */
    bool authority;
    bool rsa; /* else P-256 */
};

static inline struct identity identity_make(struct wish w)
{
    static long serial = 1;
    EVP_PKEY *key = w.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    struct identity id = {.key = key, .certificate = X509_new()};
    X509 *x = id.certificate;
    assert_non_null(id.key);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), w.from_days * 86400);
    X509_gmtime_adj(X509_getm_notAfter(x), w.to_days * 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)w.common_name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(w.issuer ? w.issuer->certificate : x));
    X509_set_pubkey(x, id.key);
    add_extension(x, NID_basic_constraints, w.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (w.alternative)
        add_extension(x, NID_subject_alt_name, w.alternative);
    assert_true(X509_sign(x, w.issuer ? w.issuer->key : id.key, EVP_sha256()) > 0);
    BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(c, x);
    PEM_write_bio_PrivateKey(k, id.key, NULL, NULL, 0, NULL, NULL);
    id.certificate_pem = pem_of(c);
    id.key_pem = pem_of(k);
    return id;
}

static inline void span_release(struct span *s)
{
    void *p;
    memcpy(&p, &s->p, sizeof p); /* the bytes are ours; a span's pointer is const */
    free(p);
    *s = SPAN_NONE;
}

static inline void identity_free(struct identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->certificate);
    span_release(&id->certificate_pem);
    span_release(&id->key_pem);
}

static inline struct tls_pair pair_of(const struct identity *id, const char *name)
{
    return (struct tls_pair){id->certificate_pem, id->key_pem, name};
}

/* The usual set: an authority, and a server good for mail.example.org and 127.0.0.1. */
struct authority {
    struct identity ca, good;
};

static inline struct authority authority_make(void)
{
    struct authority a;
    a.ca = identity_make((struct wish){.common_name = "test CA", .to_days = 10, .authority = true});
    a.good = identity_make((struct wish){.common_name = "mail.example.org",
                                         .alternative = "DNS:mail.example.org,IP:127.0.0.1",
                                         .issuer = &a.ca,
                                         .from_days = -1,
                                         .to_days = 5});
    return a;
}

static inline void authority_free(struct authority *a)
{
    identity_free(&a->ca);
    identity_free(&a->good);
}

static inline struct tls_server *server_make(const struct tls_pair *pairs, size_t n,
                                             const struct tls_ticket_keys *keys)
{
    char error[256] = "";
    struct tls_server_options o = {
        .pairs = pairs, .pair_n = n, .context = SPAN_LIT("listener"), .keys = keys};
    struct tls_server *t = tls_server_create(&o, error, sizeof error);
    if (!t)
        fail_msg("%s", error);
    return t;
}

static inline struct tls_server *server_of(const struct identity *id)
{
    struct tls_pair p = pair_of(id, "test");
    return server_make(&p, 1, NULL);
}

/* ca NULL: takes any certificate. */
static inline struct tls_client *client_of(const struct identity *ca)
{
    char error[256] = "";
    struct tls_client_options o = {.verify = ca != NULL, .ca_name = "test CA"};
    if (ca)
        o.ca = ca->certificate_pem;
    struct tls_client *t = tls_client_create(&o, error, sizeof error);
    if (!t)
        fail_msg("%s", error);
    return t;
}

#endif
