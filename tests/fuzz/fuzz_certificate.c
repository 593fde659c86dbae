/* SPDX-License-Identifier: MIT */
/* A server's certificate (DER), described and copied. What must hold: texts end and are printable; a copy has
 * no right beside that of a server, our key, the subject and the names that it was made from; what was
 * verified is signed by the authority, what was not by nobody; written and read again it is the same. */
#include "fuzz/fuzz.h"

#include "net/tls_mint.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static EVP_PKEY *ca_key;

static X509 *make_ca(void)
{
    X509 *x = X509_new();
    ca_key = EVP_EC_gen("P-256");
    REQUIRE(x && ca_key);
    X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    REQUIRE(X509_set_version(x, X509_VERSION_3) && X509_gmtime_adj(X509_getm_notBefore(x), 0) &&
            X509_gmtime_adj(X509_getm_notAfter(x), 86400) && X509_set_pubkey(x, ca_key) && ca &&
            X509_add_ext(x, ca, -1) && X509_sign(x, ca_key, EVP_sha256()) > 0);
    X509_EXTENSION_free(ca);
    return x;
}

static struct span bytes_of(BIO *bio)
{
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    return span_make(p, (size_t)n);
}

static struct tls_mint *make_mint(void)
{
    BIO *certificate = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
    X509 *ca = make_ca();
    char error[256] = "";
    REQUIRE(PEM_write_bio_X509(certificate, ca) &&
            PEM_write_bio_PrivateKey(key, ca_key, NULL, NULL, 0, NULL, NULL));
    struct tls_pair p = {bytes_of(certificate), bytes_of(key), "fuzz"};
    struct tls_mint *m = tls_mint_create(&p, error, sizeof error);
    REQUIRE(m);
    X509_free(ca);
    BIO_free(certificate);
    BIO_free(key);
    return m;
}

/* ---- what is told of it ---- */

static void check_text(const char *text, size_t size)
{
    REQUIRE(memchr(text, '\0', size));
    for (; *text; text++)
        REQUIRE(*text >= ' ' && *text <= '~');
}

static void check_described(const struct tls_shown *shown)
{
    struct tls_shown_info info;
    tls_shown_describe(shown, &info);
    check_text(info.subject, sizeof info.subject);
    check_text(info.issuer, sizeof info.issuer);
    check_text(info.names, sizeof info.names);
    check_text(info.key, sizeof info.key);
    check_text(info.fingerprint, sizeof info.fingerprint);
    check_text(info.pin, sizeof info.pin);
    REQUIRE(info.fingerprint[63] && info.key[0] && info.verify_error);
    REQUIRE(ERR_peek_error() == 0);
}

/* ---- its copy ---- */

static void check_names(X509 *copy, X509 *from)
{
    GENERAL_NAMES *a = X509_get_ext_d2i(copy, NID_subject_alt_name, NULL, NULL),
                  *b = X509_get_ext_d2i(from, NID_subject_alt_name, NULL, NULL);
    REQUIRE(sk_GENERAL_NAME_num(a) == sk_GENERAL_NAME_num(b) || (!a && sk_GENERAL_NAME_num(b) == 0));
    for (int i = 0; i < sk_GENERAL_NAME_num(a); i++)
        REQUIRE(GENERAL_NAME_cmp(sk_GENERAL_NAME_value(a, i), sk_GENERAL_NAME_value(b, i)) == 0);
    GENERAL_NAMES_free(a);
    GENERAL_NAMES_free(b);
}

static void check_copy(X509 *copy, X509 *from, bool verified)
{
    REQUIRE(!(X509_get_extension_flags(copy) & (EXFLAG_INVALID | EXFLAG_CA)));
    REQUIRE(X509_get_extended_key_usage(copy) == XKU_SSL_SERVER);
    REQUIRE(X509_get_key_usage(copy) == KU_DIGITAL_SIGNATURE);
    REQUIRE(X509_NAME_cmp(X509_get_subject_name(copy), X509_get_subject_name(from)) == 0);
    check_names(copy, from);
    REQUIRE((X509_verify(copy, ca_key) == 1) == verified);
    REQUIRE((X509_verify(copy, X509_get0_pubkey(copy)) == 1) == !verified);
    unsigned char *der = NULL;
    int n = i2d_X509(copy, &der);
    const unsigned char *p = der;
    X509 *again = n > 0 ? d2i_X509(NULL, &p, n) : NULL;
    REQUIRE(again && p == der + n && X509_cmp(again, copy) == 0);
    X509_free(again);
    OPENSSL_free(der);
}

static void copy_it(struct tls_mint *m, const struct tls_shown *shown)
{
    X509 *copy = tls_mint_copy(m, shown), *again = tls_mint_copy(m, shown);
    REQUIRE(ERR_peek_error() == 0);
    REQUIRE(!copy == !again);
    if (copy) {
        check_copy(copy, shown->certificate, tls_shown_verified(shown));
        REQUIRE(copy == again || i2d_X509(copy, NULL) > TLS_MINT_KEPT_BYTES);
    }
    X509_free(copy);
    X509_free(again);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls_mint *m;
    const unsigned char *p = data;
    X509 *x = d2i_X509(NULL, &p, (long)size);
    ERR_clear_error();
    if (!m)
        m = make_mint();
    if (!x)
        return 0;
    for (int verified = 0; verified < 2; verified++) {
        struct tls_shown *shown = tls_shown_make(x, true, verified ? X509_V_OK : X509_V_ERR_CERT_UNTRUSTED);
        REQUIRE(shown);
        check_described(shown);
        copy_it(m, shown);
        tls_shown_unref(&shown);
    }
    X509_free(x);
    return 0;
}
