/* SPDX-License-Identifier: MIT */
/* What a client learns of the certificate that a server shows: its fields as text, and the verdict, also of
 * one that only judges and of a session that was resumed. */
#include "tls_peer.h"

#include "net/tls_ssl.h"

/* What OpenSSL says of the other authority, which has the same name. */
static const char foreign[] = "certificate signature failure";

static struct tls_client *client_with(struct tls_client_options o)
{
    char error[256] = "";
    struct tls_client *t = tls_client_create(&o, error, sizeof error);
    if (!t)
        fail_msg("%s", error);
    return t;
}

static struct tls_client *judge_of(const struct identity *ca)
{
    return client_with(
        (struct tls_client_options){.judge = true, .ca_name = "test CA", .ca = ca->certificate_pem});
}

/* One connection; what the client saw. The certificate outlives it. */
static struct tls_shown *shown_by(struct tls_server *s, struct tls_client *c, const char *name,
                                  bool *resumed_r, bool *verified_r)
{
    struct net *net = net_joined();
    assert_null(conn_tls_shown(net->client.c));
    tls_join(net, s, c, name);
    if (!net->client.told[CONN_TLS])
        fail_msg("%s", net->client.why);
    assert_null(conn_tls_shown(net->server.c));
    say(&net->server, "x"); /* behind the ticket */
    TURN_UNTIL(net, party_has(&net->client, "x"));
    struct tls_info info = conn_tls_info(net->client.c);
    struct tls_shown *shown = conn_tls_shown(net->client.c);
    assert_non_null(shown);
    *resumed_r = info.resumed;
    *verified_r = info.verified;
    conn_close(&net->client.c, CONN_END_FLUSH);
    net_close(net);
    return shown;
}

static struct tls_shown_info info_of(struct tls_server *s, struct tls_client *c, const char *name)
{
    bool resumed, verified;
    struct tls_shown_info info;
    struct tls_shown *shown = shown_by(s, c, name, &resumed, &verified);
    tls_shown_describe(shown, &info);
    assert_int_equal(info.verified, verified);
    tls_shown_unref(&shown);
    assert_null(shown);
    return info;
}

static struct tls_shown_info describe(X509 *x)
{
    struct tls_shown_info info;
    struct tls_shown *shown = tls_shown_make(x, true, X509_V_OK);
    assert_non_null(shown);
    tls_shown_describe(shown, &info);
    tls_shown_unref(&shown);
    return info;
}

/* ---- fields ---- */

static void check_hex(const char *text, const unsigned char digest[32])
{
    char expected[65];
    tls_hex(digest, 32, expected);
    assert_string_equal(text, expected);
}

static void test_fields(void **state)
{
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    struct tls_client *c = judge_of(&a.ca);
    unsigned char digest[32], *key = NULL;
    time_t now = time(NULL);
    (void)state;
    struct tls_shown_info info = info_of(s, c, "mail.example.org");
    assert_string_equal(info.subject, "CN=mail.example.org");
    assert_string_equal(info.issuer, "CN=test CA");
    assert_string_equal(info.names, "mail.example.org 127.0.0.1");
    assert_in_range(info.not_before, now - 86460, now - 86400);
    assert_in_range(info.not_after, now + 431940, now + 432000);
    assert_string_equal(info.key, "EC P-256");
    assert_false(info.self_signed);
    assert_true(info.verified);
    assert_string_equal(info.verify_error, "");
    assert_int_equal(X509_digest(a.good.certificate, EVP_sha256(), digest, NULL), 1);
    check_hex(info.fingerprint, digest);
    int n = i2d_PUBKEY(a.good.key, &key);
    assert_int_equal(EVP_Digest(key, (size_t)n, digest, NULL, EVP_sha256(), NULL), 1);
    check_hex(info.pin, digest);
    OPENSSL_free(key);
    tls_client_unref(&c);
    tls_server_unref(&s);
    authority_free(&a);
}

static void test_kinds_of_keys(void **state)
{
    struct identity rsa = identity_make((struct wish){.common_name = "r", .rsa = true, .to_days = 1});
    X509 *x = X509_new(); /* no key, no dates, no names */
    (void)state;
    assert_string_equal(describe(rsa.certificate).key, "RSA 2048");
    assert_true(describe(rsa.certificate).self_signed);
    assert_string_equal(describe(rsa.certificate).names, "");
    struct tls_shown_info info = describe(x);
    assert_string_equal(info.key, "unknown");
    assert_string_equal(info.subject, "");
    assert_int_equal(info.not_after, 0);
    assert_false(info.self_signed);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_int_equal(X509_set_pubkey(x, key), 1);
    assert_string_equal(describe(x).key, "ED25519");
    EVP_PKEY_free(key);
    X509_free(x);
    identity_free(&rsa);
}

static bool printable(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

/* A name of each length, so that the cut falls everywhere. */
static void test_long_and_odd_names(void **state)
{
    char alternative[8192], common[65];
    (void)state;
    for (int length = 1; length < 60; length += 3) {
        size_t at = 0;
        for (int i = 0; i < 100; i++)
            at += (size_t)snprintf(alternative + at, sizeof alternative - at, "%sDNS:%0*d", i ? "," : "",
                                   length, i);
        (void)snprintf(common, sizeof common, "\n\xc3\xa4,%.*s", length, alternative);
        struct identity id =
            identity_make((struct wish){.common_name = common, .alternative = alternative, .to_days = 1});
        struct tls_shown_info info = describe(id.certificate);
        size_t n = strlen(info.names);
        assert_true(printable(info.subject) && printable(info.names));
        assert_true(n < sizeof info.names);
        assert_int_equal(strncmp(info.names + n - 4, " ...", 4) == 0, length * 100 + 99 > 500);
        identity_free(&id);
    }
    struct identity odd = identity_make((struct wish){
        .common_name = "odd", .alternative = "DNS:a b\tc,IP:2001:db8::1,email:x@y", .to_days = 1});
    assert_string_equal(describe(odd.certificate).names, "a?b?c 2001:db8::1");
    identity_free(&odd);
}

/* ---- the verdict ---- */

static void test_judge(void **state)
{
    struct authority a = authority_make(), strangers = authority_make();
    struct identity expired = identity_make(
        (struct wish){.common_name = "mail.example.org", .issuer = &a.ca, .from_days = -9, .to_days = -1});
    struct identity self = identity_make((struct wish){.common_name = "mail.example.org", .to_days = 1});
    const struct {
        const struct identity *server;
        const char *name, *error;
        bool self_signed;
    } cases[] = {
        {&a.good, "mail.example.org", "", false},
        {&a.good, "other.example.org", "", false}, /* names are not judged */
        {&a.good, "127.0.0.2", "", false},
        {&strangers.good, "mail.example.org", foreign, false},
        {&expired, "mail.example.org", "certificate has expired", false},
        {&self, "mail.example.org", "self-signed certificate", true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_server *s = server_of(cases[i].server);
        struct tls_client *c = judge_of(&a.ca);
        struct tls_shown_info info = info_of(s, c, cases[i].name);
        assert_string_equal(info.verify_error, cases[i].error);
        assert_int_equal(info.verified, *cases[i].error == '\0');
        assert_int_equal(info.self_signed, cases[i].self_signed);
        tls_client_unref(&c);
        tls_server_unref(&s);
    }
    identity_free(&expired);
    identity_free(&self);
    authority_free(&a);
    authority_free(&strangers);
}

static void test_verify_wins(void **state)
{
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    struct tls_client *c = client_with((struct tls_client_options){
        .verify = true, .judge = true, .ca_name = "test CA", .ca = a.ca.certificate_pem});
    struct net *net = net_joined();
    (void)state;
    tls_join(net, s, c, "other.example.org");
    assert_non_null(strstr(net->client.why, "hostname mismatch"));
    net_close(net);
    tls_client_unref(&c);
    tls_server_unref(&s);
    authority_free(&a);
}

/* Pins hold beside a verdict that is only noted. */
static void test_judge_with_pins(void **state)
{
    struct authority a = authority_make(), strangers = authority_make();
    unsigned char pin[1][TLS_PIN];
    struct tls_server *good = server_of(&a.good), *other = server_of(&strangers.good);
    (void)state;
    assert_true(tls_key_digest(strangers.good.certificate, pin[0]));
    struct tls_client_options o = {.judge = true, .ca_name = "test CA", .pins = pin, .pin_n = 1};
    o.ca = a.ca.certificate_pem;
    struct tls_client *c = client_with(o);
    struct tls_shown_info info = info_of(other, c, "mail.example.org");
    assert_false(info.verified);
    assert_string_equal(info.verify_error, foreign);
    struct net *net = net_joined();
    tls_join(net, good, c, "mail.example.org");
    assert_non_null(strstr(net->client.why, "not pinned"));
    net_close(net);
    tls_client_unref(&c);
    tls_server_unref(&good);
    tls_server_unref(&other);
    authority_free(&a);
    authority_free(&strangers);
}

static void test_nobody_asked(void **state)
{
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    struct tls_client *c = client_of(NULL);
    (void)state;
    struct tls_shown_info info = info_of(s, c, "mail.example.org");
    assert_false(info.verified);
    assert_string_equal(info.verify_error, "verification was not asked for");
    tls_client_unref(&c);
    tls_server_unref(&s);
    authority_free(&a);
}

/* ---- resumed sessions ---- */

static void check_same(const struct tls_shown *first, const struct tls_shown *second, const char *error)
{
    struct tls_shown_info one, two;
    tls_shown_describe(first, &one);
    tls_shown_describe(second, &two);
    assert_string_equal(one.fingerprint, two.fingerprint);
    assert_string_equal(one.verify_error, error);
    assert_string_equal(two.verify_error, error);
    assert_int_equal(two.verified, *error == '\0');
}

static void test_resumed_tls13(void **state)
{
    struct authority a = authority_make(), strangers = authority_make();
    const struct {
        const struct identity *server;
        const char *error;
    } cases[] = {{&a.good, ""}, {&strangers.good, foreign}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_server *s = server_of(cases[i].server);
        struct tls_client *c = judge_of(&a.ca);
        struct tls_shown *shown[3];
        for (size_t j = 0; j < COUNT_OF(shown); j++) {
            bool resumed, verified;
            shown[j] = shown_by(s, c, "mail.example.org", &resumed, &verified);
            assert_int_equal(resumed, j > 0);
            assert_int_equal(verified, *cases[i].error == '\0');
            check_same(shown[0], shown[j], cases[i].error);
        }
        for (size_t j = 0; j < COUNT_OF(shown); j++)
            tls_shown_unref(&shown[j]);
        tls_client_unref(&c);
        tls_server_unref(&s);
    }
    authority_free(&a);
    authority_free(&strangers);
}

/* Our servers take the newest version; a foreign one may stay with TLS 1.2, where a session has another way
 * through OpenSSL. */
static void check_resumed_tls12(SSL_CTX *server, struct tls_client *c, const char *error)
{
    struct tls_shown *shown[2];
    for (size_t i = 0; i < COUNT_OF(shown); i++) {
        struct net *net = net_open();
        int raw = net_raw_server(net);
        assert_int_equal(SSL_CTX_up_ref(server), 1);
        struct tls_peer t = tls_peer_of(raw, server);
        SSL_set_accept_state(t.ssl);
        assert_true(conn_tls_connect(net->client.c, c, "mail.example.org", NULL, SECONDS(3)));
        if (i > 0) /* the session that is offered does not speak for the server */
            assert_null(conn_tls_shown(net->client.c));
        assert_int_equal(tls_peer_handshake(net, &t), 1);
        TURN_UNTIL(net, net->client.told[CONN_TLS]);
        assert_string_equal(conn_tls_info(net->client.c).version, "TLSv1.2");
        assert_int_equal(conn_tls_info(net->client.c).resumed, i > 0);
        shown[i] = conn_tls_shown(net->client.c);
        assert_non_null(shown[i]);
        tls_peer_close(&t);
        net_close(net);
    }
    check_same(shown[0], shown[1], error);
    tls_shown_unref(&shown[0]);
    tls_shown_unref(&shown[1]);
}

static void test_resumed_tls12(void **state)
{
    struct authority a = authority_make(), strangers = authority_make();
    SSL_CTX *server = SSL_CTX_new(TLS_server_method());
    (void)state;
    assert_int_equal(SSL_CTX_set_max_proto_version(server, TLS1_2_VERSION), 1);
    assert_int_equal(SSL_CTX_use_certificate(server, a.good.certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server, a.good.key), 1);
    struct tls_client *good = judge_of(&a.ca), *bad = judge_of(&strangers.ca);
    check_resumed_tls12(server, good, "");
    check_resumed_tls12(server, bad, foreign);
    tls_client_unref(&good);
    tls_client_unref(&bad);
    SSL_CTX_free(server);
    authority_free(&a);
    authority_free(&strangers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_kinds_of_keys),
        cmocka_unit_test(test_long_and_odd_names),
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_verify_wins),
        cmocka_unit_test(test_judge_with_pins),
        cmocka_unit_test(test_nobody_asked),
        cmocka_unit_test(test_resumed_tls13),
        cmocka_unit_test(test_resumed_tls12),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
