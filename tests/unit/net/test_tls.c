/* SPDX-License-Identifier: MIT */
/* TLS contexts: pairs that fit and pairs that do not, and what is said about them. */
#include "certs.h"

#include <stdio.h>

static bool check(struct tls_pair p, char error[256], bool *warning_r)
{
    error[0] = '\0';
    return tls_pair_check(&p, error, 256, warning_r);
}

static void test_pair_check(void **state)
{
    struct authority a = authority_make();
    struct identity old =
        identity_make((struct wish){.common_name = "old", .from_days = -20, .to_days = -10});
    struct identity early =
        identity_make((struct wish){.common_name = "early", .from_days = 5, .to_days = 10});
    struct tls_pair mixed = {a.good.certificate_pem, a.ca.key_pem, "mixed"};
    struct tls_pair swapped = {a.good.key_pem, a.good.certificate_pem, "swapped"};
    struct tls_pair empty = {SPAN_NONE, SPAN_NONE, "empty"};
    char error[256];
    bool warning;
    (void)state;
    assert_true(check(pair_of(&a.good, "good"), error, &warning));
    assert_false(warning);
    assert_string_equal(error, "");
    assert_true(check(pair_of(&old, "old"), error, &warning));
    assert_true(warning);
    assert_string_equal(error, "old: the certificate has expired");
    assert_true(check(pair_of(&early, "early"), error, &warning));
    assert_true(warning);
    assert_string_equal(error, "early: the certificate is not valid yet");
    assert_false(check(mixed, error, &warning));
    assert_non_null(strstr(error, "mixed: the key does not belong to the certificate"));
    assert_false(check(swapped, error, &warning));
    assert_non_null(strstr(error, "swapped: the certificate file"));
    assert_false(check(empty, error, &warning));
    assert_non_null(strstr(error, "empty: the certificate file"));
    identity_free(&old);
    identity_free(&early);
    authority_free(&a);
}

/* A chain whose second certificate is damaged is refused, and so is a key with a passphrase (without asking).
 */
static void test_damaged_pem(void **state)
{
    struct authority a = authority_make();
    char chain[4096], error[256], secret[] = "secret";
    bool warning;
    (void)state;
    size_t n = a.good.certificate_pem.n;
    memcpy(chain, a.good.certificate_pem.p, n);
    memcpy(chain + n, a.ca.certificate_pem.p, a.ca.certificate_pem.n);
    struct tls_pair p = {span_make(chain, n + a.ca.certificate_pem.n), a.good.key_pem, "chain"};
    assert_true(check(p, error, &warning));
    chain[n + 100] = '!';
    assert_false(check(p, error, &warning));
    assert_non_null(strstr(error, "chain: the certificate file"));

    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, a.good.key, EVP_aes_128_cbc(), NULL, 0, NULL, secret), 1);
    struct span locked = pem_of(bio);
    struct tls_pair q = {a.good.certificate_pem, locked, "locked"};
    assert_false(check(q, error, &warning));
    assert_non_null(strstr(error, "locked: the key file"));
    span_release(&locked);
    authority_free(&a);
}

static void test_server_create(void **state)
{
    struct authority a = authority_make();
    struct tls_pair pairs[2] = {pair_of(&a.good, "first"), {a.good.certificate_pem, a.ca.key_pem, "second"}};
    char error[256] = "";
    (void)state;
    struct tls_server_options o = {.pairs = pairs, .pair_n = 2, .context = SPAN_LIT("x")};
    assert_null(tls_server_create(&o, error, sizeof error));
    assert_non_null(strstr(error, "second: the key does not belong"));
    o.pair_n = 0;
    assert_null(tls_server_create(&o, error, sizeof error));
    o.pair_n = 1;
    o.ask = TLS_ASK_REQUEST;
    o.client_ca_name = "clients.pem";
    assert_null(tls_server_create(&o, error, sizeof error));
    assert_non_null(strstr(error, "clients.pem: no PEM certificates that can be read"));
    o.client_ca = a.ca.certificate_pem;
    struct tls_server *t = tls_server_create(&o, error, sizeof error);
    assert_non_null(t);
    tls_server_unref(&t);
    o = (struct tls_server_options){.pairs = pairs, .pair_n = 1};
    t = tls_server_create(&o, error, sizeof error);
    assert_non_null(t);
    tls_server_unref(&t);
    assert_null(t);
    tls_server_unref(&t); /* NULL is taken */
    authority_free(&a);
}

static void test_client_create(void **state)
{
    struct authority a = authority_make();
    char error[256] = "";
    (void)state;
    struct tls_client_options o = {.verify = true, .ca_name = "ca.pem", .ca = SPAN_LIT("rubbish")};
    assert_null(tls_client_create(&o, error, sizeof error));
    assert_non_null(strstr(error, "ca.pem: no PEM certificates"));
    o.ca = a.good.key_pem; /* PEM, but no certificate */
    assert_null(tls_client_create(&o, error, sizeof error));
    o.ca = SPAN_NONE;
    assert_null(tls_client_create(&o, error, sizeof error));
    o.ca = a.ca.certificate_pem;
    struct tls_client *t = tls_client_create(&o, error, sizeof error);
    assert_non_null(t);
    tls_client_unref(&t);
    o.ca_name = NULL; /* the system's */
    t = tls_client_create(&o, error, sizeof error);
    assert_non_null(t);
    tls_client_unref(&t);
    assert_null(t);
    authority_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pair_check),
        cmocka_unit_test(test_damaged_pem),
        cmocka_unit_test(test_server_create),
        cmocka_unit_test(test_client_create),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
