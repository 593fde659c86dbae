/* SPDX-License-Identifier: MIT */
/* Minted copies: what is copied, what is not, who signs, what is kept, and what hostile certificates do. */
#include "certs.h"

#include "net/tls_mint.h"

#include <openssl/err.h>

#include <stdio.h>

static struct tls_mint *mint_of(const struct identity *ca)
{
    char error[256] = "";
    struct tls_pair p = pair_of(ca, "house");
    struct tls_mint *m = tls_mint_create(&p, error, sizeof error);
    if (!m)
        fail_msg("%s", error);
    return m;
}

/* NULL: not copied. */
static X509 *copy_of(struct tls_mint *m, X509 *x, bool verified)
{
    struct tls_shown *shown = tls_shown_make(x, true, verified ? X509_V_OK : X509_V_ERR_CERT_HAS_EXPIRED);
    assert_non_null(shown);
    X509 *copy = tls_mint_copy(m, shown);
    tls_shown_unref(&shown);
    assert_int_equal(ERR_peek_error(), 0);
    return copy;
}

static void check_not_copied(struct tls_mint *m, X509 *x, bool verified)
{
    assert_null(copy_of(m, x, verified));
}

static void sign_again(const struct identity *id, const struct identity *issuer)
{
    assert_true(X509_sign(id->certificate, (issuer ? issuer : id)->key, EVP_sha256()) > 0);
}

static const ASN1_OCTET_STRING *extension(const X509 *x, int nid, bool *critical_r)
{
    int at = X509_get_ext_by_NID(x, nid, -1);
    assert_true(at >= 0);
    X509_EXTENSION *e = X509_get_ext(x, at);
    *critical_r = X509_EXTENSION_get_critical(e) != 0;
    return X509_EXTENSION_get_data(e);
}

static void check_same_names(const X509 *copy, const X509 *from)
{
    bool critical[2];
    const ASN1_OCTET_STRING *a = extension(copy, NID_subject_alt_name, &critical[0]),
                            *b = extension(from, NID_subject_alt_name, &critical[1]);
    assert_int_equal(ASN1_OCTET_STRING_cmp(a, b), 0);
    assert_int_equal(critical[0], critical[1]);
}

static void check_own_part(X509 *copy, const X509 *from)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(copy);
    BIGNUM *n = ASN1_INTEGER_to_BN(serial, NULL);
    assert_false(BN_is_negative(n));
    assert_true(BN_num_bits(n) > 120);
    BN_free(n);
    assert_int_equal(X509_get_version(copy), X509_VERSION_3);
    assert_int_equal(EVP_PKEY_is_a(X509_get0_pubkey(copy), "EC"), 1);
    assert_int_not_equal(EVP_PKEY_eq(X509_get0_pubkey(copy), X509_get0_pubkey(from)), 1);
    assert_int_equal(X509_get_extension_flags(copy) & (EXFLAG_CA | EXFLAG_INVALID), 0);
    assert_int_equal(X509_get_key_usage(copy), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(copy), XKU_SSL_SERVER);
    assert_non_null(X509_get0_subject_key_id(copy));
}

/* ---- what is copied ---- */

static struct identity original(const struct identity *issuer, bool rsa)
{
    struct identity id = identity_make((struct wish){
        .common_name = "mx.example.org",
        .alternative = "critical,DNS:mx.example.org,IP:192.0.2.1,URI:https://x.example/,email:a@x.example,"
                       "otherName:1.2.3.4;UTF8:x,RID:1.2.3.4",
        .issuer = issuer,
        .from_days = 0, /* as the authority, so that nothing is cut */
        .to_days = 5,
        .rsa = rsa});
    add_extension(id.certificate, NID_info_access, "OCSP;URI:http://ocsp.example/");
    add_extension(id.certificate, NID_crl_distribution_points, "URI:http://crl.example/");
    add_extension(id.certificate, NID_ext_key_usage, "serverAuth,clientAuth,codeSigning");
    X509_NAME_add_entry_by_txt(X509_get_subject_name(id.certificate), "O", MBSTRING_UTF8,
                               (const unsigned char *)"Beispiel \xc3\xa4", -1, -1, 0);
    sign_again(&id, issuer);
    return id;
}

static void test_what_is_copied(void **state)
{
    struct authority house = authority_make(), world = authority_make();
    struct tls_mint *m = mint_of(&house.ca);
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool verified = i & 1;
        struct identity id = original(&world.ca, i & 2);
        X509 *copy = copy_of(m, id.certificate, verified);
        assert_non_null(copy);
        check_own_part(copy, id.certificate);
        check_same_names(copy, id.certificate);
        assert_int_equal(X509_get_ext_count(copy),
                         5 + (verified && X509_get0_subject_key_id(house.ca.certificate)));
        const X509_NAME *subject = X509_get_subject_name(id.certificate);
        assert_int_equal(X509_NAME_cmp(X509_get_subject_name(copy), subject), 0);
        assert_int_equal(X509_NAME_cmp(X509_get_issuer_name(copy),
                                       verified ? X509_get_subject_name(house.ca.certificate) : subject),
                         0);
        assert_int_equal(X509_verify(copy, house.ca.key) == 1, verified);
        assert_int_equal(X509_self_signed(copy, 1), !verified);
        assert_int_equal(ASN1_TIME_compare(X509_get0_notBefore(copy), X509_get0_notBefore(id.certificate)),
                         0);
        assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(copy), X509_get0_notAfter(id.certificate)), 0);
        X509_free(copy);
        identity_free(&id);
    }
    ERR_clear_error();
    tls_mint_free(&m);
    assert_null(m);
    authority_free(&house);
    authority_free(&world);
}

/* What the authority signs does not outlive it; what it does not sign keeps its dates. */
static void test_dates(void **state)
{
    struct authority house = authority_make();
    struct tls_mint *m = mint_of(&house.ca);
    struct identity wide = identity_make((struct wish){.common_name = "w", .from_days = -30, .to_days = 30}),
                    old = identity_make((struct wish){.common_name = "o", .from_days = -30, .to_days = -20});
    (void)state;
    X509 *copy = copy_of(m, wide.certificate, true);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notBefore(copy), X509_get0_notBefore(house.ca.certificate)),
                     0);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(copy), X509_get0_notAfter(house.ca.certificate)),
                     0);
    X509_free(copy);
    copy = copy_of(m, old.certificate, false);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notBefore(copy), X509_get0_notBefore(old.certificate)), 0);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(copy), X509_get0_notAfter(old.certificate)), 0);
    X509_free(copy);
    identity_free(&wide);
    identity_free(&old);
    tls_mint_free(&m);
    authority_free(&house);
}

/* ---- hostile certificates ---- */

static void add_raw(X509 *x, int nid, const char *bytes, int n)
{
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    assert_int_equal(ASN1_OCTET_STRING_set(value, (const unsigned char *)bytes, n), 1);
    X509_EXTENSION *e = X509_EXTENSION_create_by_NID(NULL, nid, 0, value);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
}

static void check_unreadable_names(struct tls_mint *m, const struct identity *id)
{
    sign_again(id, NULL);
    check_not_copied(m, id->certificate, true);
    X509 *copy = copy_of(m, id->certificate, false);
    assert_non_null(copy);
    assert_int_equal(X509_get_ext_by_NID(copy, NID_subject_alt_name, -1), -1);
    X509_free(copy);
}

static void test_unreadable_names(void **state)
{
    struct authority house = authority_make();
    struct tls_mint *m = mint_of(&house.ca);
    struct identity rubbish = identity_make((struct wish){.common_name = "r", .to_days = 1}),
                    twice = identity_make(
                        (struct wish){.common_name = "t", .alternative = "DNS:a", .to_days = 1}),
                    empty = identity_make((struct wish){.common_name = "e", .to_days = 1});
    (void)state;
    add_raw(rubbish.certificate, NID_subject_alt_name, "\x30\x82\xff\xff\x01", 5);
    check_unreadable_names(m, &rubbish);
    X509_add_ext(twice.certificate, X509_get_ext(twice.certificate, 1), -1);
    check_unreadable_names(m, &twice);
    add_raw(empty.certificate, NID_subject_alt_name, "\x30\x00", 2); /* it can be read: nobody */
    sign_again(&empty, NULL);
    X509 *copy = copy_of(m, empty.certificate, true);
    assert_non_null(copy);
    assert_int_equal(X509_get_ext_by_NID(copy, NID_subject_alt_name, -1), -1);
    X509_free(copy);
    identity_free(&rubbish);
    identity_free(&twice);
    identity_free(&empty);
    tls_mint_free(&m);
    authority_free(&house);
}

/* Bytes behind the names are not signed along. */
static void test_names_are_written_anew(void **state)
{
    struct authority house = authority_make();
    struct tls_mint *m = mint_of(&house.ca);
    struct identity id = identity_make((struct wish){.common_name = "t", .to_days = 1});
    bool critical;
    (void)state;
    add_raw(id.certificate, NID_subject_alt_name,
            "\x30\x03\x82\x01"
            "afoo",
            8);
    sign_again(&id, NULL);
    X509 *copy = copy_of(m, id.certificate, true);
    if (copy) /* else OpenSSL has become stricter than it was */
        assert_int_equal(ASN1_STRING_length(extension(copy, NID_subject_alt_name, &critical)), 5);
    X509_free(copy);
    identity_free(&id);
    tls_mint_free(&m);
    authority_free(&house);
}

/* `count` names of 12 octets each. */
static struct identity with_names(int count)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    struct identity id = identity_make((struct wish){.common_name = "many", .to_days = 1});
    for (int i = 0; i < count; i++) {
        GENERAL_NAME *g = GENERAL_NAME_new();
        ASN1_IA5STRING *s = ASN1_IA5STRING_new();
        char text[16];
        (void)snprintf(text, sizeof text, "h%07d.de", i);
        assert_int_equal(ASN1_STRING_set(s, text, 11), 1);
        GENERAL_NAME_set0_value(g, GEN_DNS, s);
        sk_GENERAL_NAME_push(names, g);
    }
    assert_int_equal(X509_add1_ext_i2d(id.certificate, NID_subject_alt_name, names, 0, 0), 1);
    GENERAL_NAMES_free(names);
    sign_again(&id, NULL);
    return id;
}

static void test_many_names(void **state)
{
    struct authority house = authority_make();
    struct tls_mint *m = mint_of(&house.ca);
    (void)state;
    const struct {
        int names;
        bool copied, kept;
    } cases[] = {{500, true, true}, {800, true, false}, {4500, true, false}, {5500, false, false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct identity id = with_names(cases[i].names);
        X509 *copy = copy_of(m, id.certificate, true), *again = copy_of(m, id.certificate, true);
        assert_int_equal(copy != NULL, cases[i].copied);
        if (copy) {
            check_same_names(copy, id.certificate);
            assert_int_equal(copy == again, cases[i].kept);
        }
        X509_free(copy);
        X509_free(again);
        identity_free(&id);
    }
    tls_mint_free(&m);
    authority_free(&house);
}

static void test_poor_certificates(void **state)
{
    struct authority house = authority_make();
    struct tls_mint *m = mint_of(&house.ca);
    struct identity first = identity_make((struct wish){.common_name = "v1", .to_days = 1});
    struct identity nobody =
        identity_make((struct wish){.common_name = "", .alternative = "critical,DNS:a", .to_days = 1});
    X509 *blank = X509_new();
    (void)state;
    while (X509_get_ext_count(first.certificate))
        X509_EXTENSION_free(X509_delete_ext(first.certificate, 0));
    X509_set_version(first.certificate, X509_VERSION_1);
    X509_NAME *none = X509_NAME_new();
    assert_int_equal(X509_set_subject_name(nobody.certificate, none), 1);
    X509_NAME_free(none);
    sign_again(&first, NULL);
    sign_again(&nobody, NULL);
    for (int verified = 0; verified < 2; verified++) {
        X509 *copy = copy_of(m, first.certificate, verified);
        assert_non_null(copy);
        check_own_part(copy, first.certificate);
        X509_free(copy);
        copy = copy_of(m, nobody.certificate, verified);
        assert_non_null(copy);
        check_same_names(copy, nobody.certificate);
        X509_free(copy);
        check_not_copied(m, blank, verified); /* has no dates */
    }
    X509_free(blank);
    identity_free(&first);
    identity_free(&nobody);
    tls_mint_free(&m);
    authority_free(&house);
}

/* ---- what is kept ---- */

static void test_kept(void **state)
{
    enum { MORE = 3 };
    struct authority house = authority_make();
    struct tls_mint *m = mint_of(&house.ca);
    struct identity id = identity_make((struct wish){.common_name = "k", .to_days = 1});
    X509 *copies[TLS_MINT_KEPT + MORE];
    (void)state;
    X509 *one = copy_of(m, id.certificate, true), *same = copy_of(m, id.certificate, true),
         *other = copy_of(m, id.certificate, false);
    assert_ptr_equal(one, same);
    assert_ptr_not_equal(one, other);
    X509_free(one);
    X509_free(same);
    X509_free(other);
    X509 *from[COUNT_OF(copies)];
    for (size_t i = 0; i < COUNT_OF(copies); i++) { /* the two before make room first */
        ASN1_INTEGER_set(X509_get_serialNumber(id.certificate), 1000 + (long)i);
        sign_again(&id, NULL);
        from[i] = X509_dup(id.certificate);
        copies[i] = copy_of(m, from[i], true);
        assert_non_null(copies[i]);
    }
    for (size_t i = MORE; i < COUNT_OF(copies); i++) {
        X509 *again = copy_of(m, from[i], true);
        assert_ptr_equal(again, copies[i]);
        X509_free(again);
    }
    X509 *gone = copy_of(m, from[0], true);
    assert_ptr_not_equal(gone, copies[0]);
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(gone), X509_get0_serialNumber(copies[0])),
                         0);
    X509_free(gone);
    for (size_t i = 0; i < COUNT_OF(copies); i++) {
        X509_free(copies[i]);
        X509_free(from[i]);
    }
    identity_free(&id);
    tls_mint_free(&m);
    authority_free(&house);
}

/* ---- the authority ---- */

static void write_again(struct identity *id)
{
    BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(c, id->certificate);
    PEM_write_bio_PrivateKey(k, id->key, NULL, NULL, 0, NULL, NULL);
    span_release(&id->certificate_pem);
    span_release(&id->key_pem);
    id->certificate_pem = pem_of(c);
    id->key_pem = pem_of(k);
}

static struct identity ca_with(int nid, const char *value)
{
    struct identity id = identity_make((struct wish){.common_name = "ca", .to_days = 1, .authority = true});
    add_extension(id.certificate, nid, value);
    sign_again(&id, NULL);
    write_again(&id);
    return id;
}

static struct identity ca_with_key(EVP_PKEY *key, const EVP_MD *md)
{
    struct identity id = identity_make((struct wish){.common_name = "ca", .to_days = 1, .authority = true});
    assert_non_null(key);
    EVP_PKEY_free(id.key);
    id.key = key;
    assert_int_equal(X509_set_pubkey(id.certificate, key), 1);
    assert_true(X509_sign(id.certificate, key, md) > 0);
    write_again(&id);
    return id;
}

/* The same words from -t and from a server that is to be made. */
static void check_refused(const struct tls_pair *p, const char *part)
{
    char error[256] = "", second[256] = "";
    bool warning = true;
    assert_false(tls_ca_check(p, error, sizeof error, &warning));
    assert_false(warning);
    if (!strstr(error, part) || strncmp(error, "house: ", 7) != 0)
        fail_msg("%s", error);
    struct tls_server_options o = {.mint = p};
    assert_null(tls_server_create(&o, second, sizeof second));
    assert_string_equal(error, second);
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_no_authority(void **state)
{
    struct authority a = authority_make();
    struct identity no_sign = ca_with(NID_key_usage, "digitalSignature,cRLSign"),
                    no_server = ca_with(NID_ext_key_usage, "clientAuth"),
                    weak = ca_with_key(EVP_RSA_gen(768), EVP_sha256());
    (void)state;
    struct tls_pair p = pair_of(&a.good, "house");
    check_refused(&p, "it is not a CA (basicConstraints CA:TRUE is missing)");
    p = pair_of(&no_sign, "house");
    check_refused(&p, "keyUsage has no keyCertSign");
    p = pair_of(&no_server, "house");
    check_refused(&p, "extendedKeyUsage has no serverAuth");
    p = pair_of(&weak, "house");
    check_refused(&p, "too small");
    p = (struct tls_pair){a.ca.certificate_pem, a.good.key_pem, "house"};
    check_refused(&p, "the key does not belong to the certificate");
    p = (struct tls_pair){SPAN_LIT("rubbish"), a.good.key_pem, "house"};
    check_refused(&p, "the certificate file");
    identity_free(&no_sign);
    identity_free(&no_server);
    identity_free(&weak);
    authority_free(&a);
}

static void test_authorities(void **state)
{
    struct authority world = authority_make();
    struct identity good[] = {ca_with(NID_key_usage, "critical,keyCertSign"),
                              ca_with(NID_ext_key_usage, "serverAuth"),
                              ca_with(NID_subject_key_identifier, "hash"),
                              ca_with_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL),
                              ca_with_key(EVP_RSA_gen(2048), EVP_sha256())};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct tls_pair p = pair_of(&good[i], "house");
        char error[256] = "";
        bool warning = true;
        assert_true(tls_ca_check(&p, error, sizeof error, &warning));
        assert_false(warning);
        struct tls_mint *m = mint_of(&good[i]);
        X509 *copy = copy_of(m, world.good.certificate, true);
        assert_non_null(copy);
        assert_int_equal(X509_verify(copy, good[i].key), 1);
        const ASN1_OCTET_STRING *of = X509_get0_authority_key_id(copy),
                                *ca = X509_get0_subject_key_id(good[i].certificate);
        assert_int_equal(of != NULL, ca != NULL);
        assert_true(!ca || ASN1_OCTET_STRING_cmp(of, ca) == 0);
        X509_free(copy);
        tls_mint_free(&m);
        identity_free(&good[i]);
    }
    authority_free(&world);
}

static void test_authority_out_of_date(void **state)
{
    struct identity late =
        identity_make((struct wish){.common_name = "ca", .from_days = -9, .to_days = -1, .authority = true});
    struct tls_pair p = pair_of(&late, "house");
    char error[256] = "";
    bool warning = false;
    (void)state;
    assert_true(tls_ca_check(&p, error, sizeof error, &warning));
    assert_true(warning);
    assert_string_equal(error, "house: the certificate has expired");
    struct tls_mint *m = mint_of(&late);
    tls_mint_free(&m);
    identity_free(&late);
}

static void test_own_pairs_exclude(void **state)
{
    struct authority a = authority_make();
    struct tls_pair ca = pair_of(&a.ca, "house"), own = pair_of(&a.good, "own");
    struct tls_server_options o = {.pairs = &own, .pair_n = 1, .mint = &ca};
    char error[256] = "";
    (void)state;
    assert_null(tls_server_create(&o, error, sizeof error));
    assert_non_null(strstr(error, "exclude each other"));
    authority_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_copied),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_unreadable_names),
        cmocka_unit_test(test_names_are_written_anew),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_poor_certificates),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_no_authority),
        cmocka_unit_test(test_authorities),
        cmocka_unit_test(test_authority_out_of_date),
        cmocka_unit_test(test_own_pairs_exclude),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
