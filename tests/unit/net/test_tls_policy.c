/* SPDX-License-Identifier: MIT */
/* What each side asks of the other: oldest version, certificates of clients, pinned keys; and that a resumed
 * session is never worth more than a handshake. */
#include "tls_peer.h"

struct scene {
    struct authority a, strangers; /* two authorities, each with one certificate */
    struct tls_pair own;           /* the server's */
    struct tls_ticket_keys keys;
};

static struct scene scene_open(void)
{
    struct scene s = {.a = authority_make(), .strangers = authority_make()};
    s.own = pair_of(&s.a.good, "server");
    memset(s.keys.key[0], 1, TLS_TICKET_KEY);
    return s;
}

static void scene_close(struct scene *s)
{
    authority_free(&s->a);
    authority_free(&s->strangers);
}

static struct tls_server *serve(const struct scene *s, struct tls_server_options o)
{
    char error[256] = "";
    o.pairs = o.pairs ? o.pairs : &s->own;
    o.pair_n = 1;
    o.context = o.context.n ? o.context : SPAN_LIT("listener");
    o.keys = &s->keys;
    o.client_ca_name = "clients.pem";
    if (o.ask != TLS_ASK_NOTHING && !o.client_ca.n)
        o.client_ca = s->a.ca.certificate_pem;
    struct tls_server *t = tls_server_create(&o, error, sizeof error);
    if (!t)
        fail_msg("%s", error);
    return t;
}

static struct tls_client *dialler(struct tls_client_options o)
{
    char error[256] = "";
    struct tls_client *t = tls_client_create(&o, error, sizeof error);
    if (!t)
        fail_msg("%s", error);
    return t;
}

enum outcome { FULL, RESUMED, REFUSED };

struct met {
    enum outcome how;
    struct tls_info at_server; /* its strings are copied below */
    char subject[256], fingerprint[65], why_server[512], why_client[512];
};

/* One connection. The server's word counts: with TLS 1.3 a client is done before it hears of a refusal. */
static struct met meet(struct tls_server *s, struct tls_client *c)
{
    struct met m = {.how = REFUSED};
    struct net *net = net_joined();
    tls_join(net, s, c, "mail.example.org");
    if (net->server.told[CONN_TLS] && net->client.told[CONN_TLS]) {
        say(&net->server, "x"); /* behind the ticket */
        TURN_UNTIL(net, party_has(&net->client, "x"));
        m.at_server = conn_tls_info(net->server.c);
        m.how = m.at_server.resumed ? RESUMED : FULL;
        if (m.at_server.peer_subject) {
            (void)snprintf(m.subject, sizeof m.subject, "%s", m.at_server.peer_subject);
            (void)snprintf(m.fingerprint, sizeof m.fingerprint, "%s", m.at_server.peer_fingerprint);
        }
        conn_close(&net->client.c, CONN_END_FLUSH);
    } else {
        TURN_UNTIL(net, net->client.told[CONN_CLOSED] && net->server.told[CONN_CLOSED]);
    }
    (void)snprintf(m.why_server, sizeof m.why_server, "%s", net->server.why);
    (void)snprintf(m.why_client, sizeof m.why_client, "%s", net->client.why);
    net_close(net);
    return m;
}

/* ---- versions ---- */

static void test_floor(void **state)
{
    struct scene s = scene_open();
    struct tls_server *strict = serve(&s, (struct tls_server_options){.floor = TLS_FLOOR_13});
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct net *net = net_open();
        struct tls_peer t = tls_peer_join(net, strict, version);
        assert_int_equal(tls_peer_handshake(net, &t), version == TLS1_3_VERSION);
        TURN_UNTIL(net, net->server.told[CONN_TLS] || net->server.told[CONN_CLOSED]);
        assert_int_equal(net->server.told[CONN_TLS], version == TLS1_3_VERSION);
        tls_peer_close(&t);
        net_close(net);
    }
    struct tls_server *lax = serve(&s, (struct tls_server_options){0});
    struct tls_client *c = dialler((struct tls_client_options){.floor = TLS_FLOOR_13});
    assert_int_equal(meet(lax, c).how, FULL);
    tls_client_unref(&c);
    tls_server_unref(&lax);
    tls_server_unref(&strict);
    scene_close(&s);
}

/* ---- certificates of clients ---- */

static void test_certificates_of_clients(void **state)
{
    struct scene s = scene_open();
    struct identity expired = identity_make(
        (struct wish){.common_name = "late", .issuer = &s.a.ca, .from_days = -9, .to_days = -1});
    struct tls_pair good = pair_of(&s.a.good, "good"), strange = pair_of(&s.strangers.good, "strange"),
                    late = pair_of(&expired, "late");
    const struct {
        enum tls_ask ask;
        const struct tls_pair *shown;
        enum outcome how;
        const char *subject, *why;
    } cases[] = {
        {TLS_ASK_NOTHING, NULL, FULL, "", ""},
        {TLS_ASK_NOTHING, &good, FULL, "", ""},
        {TLS_ASK_REQUEST, NULL, FULL, "", ""},
        {TLS_ASK_REQUEST, &good, FULL, "CN=mail.example.org", ""},
        {TLS_ASK_REQUEST, &strange, REFUSED, "", "the peer's certificate was refused: "},
        {TLS_ASK_REQUEST, &late, REFUSED, "", "certificate has expired"},
        {TLS_ASK_REQUIRE, NULL, REFUSED, "", "peer did not return a certificate"},
        {TLS_ASK_REQUIRE, &good, FULL, "CN=mail.example.org", ""},
        {TLS_ASK_REQUIRE, &strange, REFUSED, "", "the peer's certificate was refused: "},
        {TLS_ASK_REQUIRE, &late, REFUSED, "", "certificate has expired"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_server *server = serve(&s, (struct tls_server_options){.ask = cases[i].ask});
        struct tls_client *client = dialler((struct tls_client_options){.pair = cases[i].shown});
        struct met m = meet(server, client);
        if (m.how != cases[i].how || strcmp(m.subject, cases[i].subject) != 0 ||
            !strstr(m.why_server, cases[i].why))
            fail_msg("case %zu: %d, \"%s\" (%s)", i, m.how, m.subject, m.why_server);
        assert_int_equal(strlen(m.fingerprint), *cases[i].subject ? 64 : 0);
        assert_int_equal(m.at_server.verified, *cases[i].subject != '\0');
        tls_client_unref(&client);
        tls_server_unref(&server);
    }
    identity_free(&expired);
    scene_close(&s);
}

static void test_an_odd_subject_is_printable(void **state)
{
    struct scene s = scene_open();
    struct identity odd = identity_make((struct wish){
        .common_name = "a\r\n\x1b]0;\xc3\xa4,=", .issuer = &s.a.ca, .from_days = -1, .to_days = 1});
    struct tls_pair shown = pair_of(&odd, "odd");
    struct tls_server *server = serve(&s, (struct tls_server_options){.ask = TLS_ASK_REQUEST});
    struct tls_client *client = dialler((struct tls_client_options){.pair = &shown});
    (void)state;
    struct met m = meet(server, client);
    assert_int_equal(m.how, FULL);
    assert_true(strlen(m.subject) > 8);
    for (const char *p = m.subject; *p; p++)
        assert_in_range(*p, ' ', '~');
    tls_client_unref(&client);
    tls_server_unref(&server);
    identity_free(&odd);
    scene_close(&s);
}

/* ---- what a ticket is worth ---- */

/* A session remembers who the client was. */
static void test_resumed_client_is_known(void **state)
{
    struct scene s = scene_open();
    struct tls_pair shown = pair_of(&s.a.good, "good");
    struct tls_server *server = serve(&s, (struct tls_server_options){.ask = TLS_ASK_REQUIRE});
    struct tls_client *client = dialler((struct tls_client_options){.pair = &shown});
    (void)state;
    struct met first = meet(server, client), second = meet(server, client);
    assert_int_equal(first.how, FULL);
    assert_int_equal(second.how, RESUMED);
    assert_string_equal(second.subject, first.subject);
    assert_string_equal(second.fingerprint, first.fingerprint);
    assert_true(second.at_server.verified);
    tls_client_unref(&client);
    tls_server_unref(&server);
    scene_close(&s);
}

/* The client has a ticket of `before`; nothing of it may count where the rules are others. */
static void check_not_resumed(struct scene *s, struct tls_server_options before,
                              struct tls_server_options after, const struct tls_pair *shown,
                              enum outcome expected)
{
    struct tls_server *one = serve(s, before), *other = serve(s, after), *same = serve(s, before);
    struct tls_client *client = dialler((struct tls_client_options){.pair = shown});
    assert_int_equal(meet(one, client).how, FULL);
    assert_int_equal(meet(same, client).how, RESUMED);
    assert_int_equal(meet(other, client).how, expected);
    tls_client_unref(&client);
    tls_server_unref(&one);
    tls_server_unref(&other);
    tls_server_unref(&same);
}

static void test_other_rules_other_sessions(void **state)
{
    struct scene s = scene_open();
    struct tls_pair good = pair_of(&s.a.good, "good"), new_pair = pair_of(&s.strangers.good, "new");
    const struct tls_server_options plain = {0}, request = {.ask = TLS_ASK_REQUEST},
                                    require = {.ask = TLS_ASK_REQUIRE};
    struct span others = s.strangers.ca.certificate_pem;
    (void)state;
    check_not_resumed(&s, plain, require, NULL, REFUSED); /* the ticket of one who showed nothing */
    check_not_resumed(&s, request, require, NULL, REFUSED);
    check_not_resumed(&s, request, require, &good, FULL);
    check_not_resumed(&s, require, plain, &good, FULL);
    check_not_resumed(&s, require, (struct tls_server_options){.ask = TLS_ASK_REQUIRE, .client_ca = others},
                      &good, REFUSED);
    check_not_resumed(&s, plain, (struct tls_server_options){.pairs = &new_pair}, NULL, FULL);
    check_not_resumed(&s, plain, (struct tls_server_options){.context = SPAN_LIT("other")}, NULL, FULL);
    check_not_resumed(&s, plain, (struct tls_server_options){.floor = TLS_FLOOR_13}, NULL, FULL);
    scene_close(&s);
}

/* The same with TLS 1.2, where a session has another way through OpenSSL. */
static void test_other_rules_in_tls12(void **state)
{
    struct scene s = scene_open();
    struct tls_server *plain = serve(&s, (struct tls_server_options){0}),
                      *strict = serve(&s, (struct tls_server_options){.ask = TLS_ASK_REQUIRE});
    struct tls_server *servers[] = {plain, plain, strict};
    SSL_SESSION *session = NULL;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(servers); i++) {
        struct net *net = net_open();
        struct tls_peer t = tls_peer_join(net, servers[i], TLS1_2_VERSION);
        if (session)
            assert_int_equal(SSL_set_session(t.ssl, session), 1);
        assert_int_equal(tls_peer_handshake(net, &t), i < 2);
        assert_int_equal(SSL_session_reused(t.ssl), i == 1);
        TURN_UNTIL(net, net->server.told[i < 2 ? CONN_TLS : CONN_CLOSED]);
        SSL_SESSION_free(session);
        session = SSL_get1_session(t.ssl);
        SSL_set_shutdown(t.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        tls_peer_close(&t);
        net_close(net);
    }
    SSL_SESSION_free(session);
    tls_server_unref(&plain);
    tls_server_unref(&strict);
    scene_close(&s);
}

/* A certificate that ran out while a ticket was on its way is asked for again, and refused. */
static void test_certificate_ran_out(void **state)
{
    struct scene s = scene_open();
    struct identity brief = identity_make(
        (struct wish){.common_name = "brief", .issuer = &s.a.ca, .from_days = -1, .to_days = 1});
    X509_gmtime_adj(X509_getm_notAfter(brief.certificate), 2);
    assert_true(X509_sign(brief.certificate, s.a.ca.key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, brief.certificate);
    span_release(&brief.certificate_pem);
    brief.certificate_pem = pem_of(bio);
    struct tls_pair shown = pair_of(&brief, "brief");
    struct tls_server *server = serve(&s, (struct tls_server_options){.ask = TLS_ASK_REQUIRE});
    struct tls_client *client = dialler((struct tls_client_options){.pair = &shown});
    (void)state;
    assert_int_equal(meet(server, client).how, FULL);
    assert_int_equal(meet(server, client).how, RESUMED);
    while (X509_cmp_current_time(X509_get0_notAfter(brief.certificate)) > 0)
        (void)poll(NULL, 0, 50);
    (void)poll(NULL, 0, 1100); /* the second that it names is still good */
    struct met m = meet(server, client);
    assert_int_equal(m.how, REFUSED);
    assert_non_null(strstr(m.why_server, "certificate has expired"));
    tls_client_unref(&client);
    tls_server_unref(&server);
    identity_free(&brief);
    scene_close(&s);
}

/* New keys on a server that runs: the key before is good for one more period. */
static void test_rekey(void **state)
{
    struct scene s = scene_open();
    struct tls_server *server = serve(&s, (struct tls_server_options){0});
    struct tls_client *client = dialler((struct tls_client_options){0});
    struct tls_ticket_keys next = s.keys;
    (void)state;
    assert_int_equal(meet(server, client).how, FULL);
    for (int i = 2; i < 4; i++) {
        memcpy(next.key[1], next.key[0], TLS_TICKET_KEY);
        memset(next.key[0], i, TLS_TICKET_KEY);
        next.previous = true;
        tls_server_rekey(server, &next);
        assert_int_equal(meet(server, client).how, RESUMED); /* and leaves a ticket of the new key */
    }
    memset(next.key[1], 8, TLS_TICKET_KEY);
    memset(next.key[0], 9, TLS_TICKET_KEY);
    tls_server_rekey(server, &next);
    assert_int_equal(meet(server, client).how, FULL);
    tls_client_unref(&client);
    tls_server_unref(&server);
    scene_close(&s);
}

/* ---- pins ---- */

static void pin_of(const struct identity *id, unsigned char pin[TLS_PIN])
{
    unsigned char *key = NULL;
    int n = i2d_PUBKEY(id->key, &key);
    assert_true(n > 0);
    assert_int_equal(EVP_Digest(key, (size_t)n, pin, NULL, EVP_sha256(), NULL), 1);
    OPENSSL_free(key);
}

static void test_pins(void **state)
{
    enum { GOOD, OTHER, SELF };
    struct scene s = scene_open();
    struct identity self =
        identity_make((struct wish){.common_name = "self", .from_days = -9, .to_days = -1});
    unsigned char pins[3][TLS_PIN];
    struct tls_pair own_self = pair_of(&self, "self");
    struct span ca = s.a.ca.certificate_pem;
    static const char no_pin[] = "its key is not pinned";
    const struct {
        const struct tls_pair *server;
        size_t first_pin, pins;
        bool verify;
        enum outcome how;
        const char *why;
    } cases[] = {
        {&s.own, GOOD, 1, false, FULL, ""},
        {&s.own, GOOD, 1, true, FULL, ""},
        {&s.own, GOOD, 2, true, FULL, ""},
        {&s.own, OTHER, 1, true, REFUSED, no_pin},
        {&s.own, OTHER, 2, false, REFUSED, no_pin},
        {&own_self, SELF, 1, false, FULL, ""}, /* no authority, another name, out of date */
        {&own_self, GOOD, 3, false, FULL, ""},
        {&own_self, GOOD, 2, false, REFUSED, no_pin},
        {&own_self, SELF, 1, true, REFUSED, "the peer's certificate was refused: "},
    };
    (void)state;
    pin_of(&s.a.good, pins[GOOD]);
    pin_of(&s.strangers.good, pins[OTHER]);
    pin_of(&self, pins[SELF]);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_server *server = serve(&s, (struct tls_server_options){.pairs = cases[i].server});
        struct tls_client *client = dialler((struct tls_client_options){
            .verify = cases[i].verify,
            .ca_name = "ca",
            .ca = ca,
            .pins = (const unsigned char(*)[TLS_PIN])pins + cases[i].first_pin,
            .pin_n = cases[i].pins,
        });
        struct met m = meet(server, client);
        if (m.how != cases[i].how || !strstr(m.why_client, cases[i].why))
            fail_msg("case %zu: %d (%s)", i, m.how, m.why_client);
        tls_client_unref(&client);
        tls_server_unref(&server);
    }
    identity_free(&self);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floor),
        cmocka_unit_test(test_certificates_of_clients),
        cmocka_unit_test(test_an_odd_subject_is_printable),
        cmocka_unit_test(test_resumed_client_is_known),
        cmocka_unit_test(test_other_rules_other_sessions),
        cmocka_unit_test(test_other_rules_in_tls12),
        cmocka_unit_test(test_certificate_ran_out),
        cmocka_unit_test(test_rekey),
        cmocka_unit_test(test_pins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
