/* SPDX-License-Identifier: MIT */
/* A certificate, its chain and its key out of PEM bytes. Objects belong to the tls_loaded until
 * tls_loaded_free; the bytes are the caller's and are not kept. */
#include "net/tls_ssl.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

static BIO *bio_of(struct span pem)
{
    if (pem.n == 0 || pem.n > INT_MAX)
        return BIO_new_mem_buf("", 0);
    return BIO_new_mem_buf(pem.p, (int)pem.n);
}

static bool at_end_of_pem(void)
{
    unsigned long e = ERR_peek_last_error();
    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static bool load_chain(BIO *bio, STACK_OF(X509) * chain)
{
    X509 *next;
    while ((next = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (!sk_X509_push(chain, next)) {
            X509_free(next);
            return false;
        }
    if (!at_end_of_pem())
        return false;
    ERR_clear_error();
    return true;
}

static bool load_certificates(const struct tls_pair *p, struct tls_loaded *l, char *error, size_t error_size)
{
    bool good = false;
    BIO *bio = bio_of(p->certificate);
    l->chain = sk_X509_new_null();
    if (!bio || !l->chain)
        goto out;
    l->certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    good = l->certificate && load_chain(bio, l->chain);
out:
    if (!good)
        tls_error(error, error_size, "%s: the certificate file is not PEM that can be read", p->name);
    BIO_free(bio);
    return good;
}

static bool load_key(const struct tls_pair *p, struct tls_loaded *l, char *error, size_t error_size)
{
    char passphrase[] = ""; /* else OpenSSL would ask for one at the terminal */
    BIO *bio = bio_of(p->key);
    if (bio)
        l->key = PEM_read_bio_PrivateKey(bio, NULL, NULL, passphrase);
    if (!l->key)
        tls_error(error, error_size, "%s: the key file is not a PEM key without passphrase", p->name);
    BIO_free(bio);
    return l->key != NULL;
}

bool tls_pair_load(const struct tls_pair *p, struct tls_loaded *l_r, char *error, size_t error_size)
{
    *l_r = (struct tls_loaded){0};
    ERR_clear_error();
    if (!load_certificates(p, l_r, error, error_size) || !load_key(p, l_r, error, error_size))
        goto fail;
    if (!X509_check_private_key(l_r->certificate, l_r->key)) {
        tls_error(error, error_size, "%s: the key does not belong to the certificate", p->name);
        goto fail;
    }
    return true;
fail:
    tls_loaded_free(l_r);
    return false;
}

bool tls_loaded_use(SSL_CTX *ctx, const struct tls_loaded *l)
{
    return SSL_CTX_use_certificate(ctx, l->certificate) == 1 && SSL_CTX_use_PrivateKey(ctx, l->key) == 1 &&
           SSL_CTX_set1_chain(ctx, l->chain) == 1;
}

void tls_loaded_free(struct tls_loaded *l)
{
    X509_free(l->certificate);
    sk_X509_pop_free(l->chain, X509_free);
    EVP_PKEY_free(l->key);
    *l = (struct tls_loaded){0};
}

bool tls_out_of_date(const struct tls_pair *p, const X509 *certificate, char *error, size_t error_size)
{
    const char *complaint = NULL;
    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        complaint = "is not valid yet";
    else if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        complaint = "has expired";
    if (complaint)
        (void)snprintf(error, error_size, "%s: the certificate %s", p->name, complaint);
    return complaint != NULL;
}

bool tls_pair_check(const struct tls_pair *p, char *error, size_t error_size, bool *warning_r)
{
    struct tls_loaded l;
    *warning_r = false;
    if (!tls_pair_load(p, &l, error, error_size))
        return false;
    *warning_r = tls_out_of_date(p, l.certificate, error, error_size);
    tls_loaded_free(&l);
    return true;
}
