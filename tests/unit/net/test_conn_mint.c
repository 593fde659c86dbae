/* SPDX-License-Identifier: MIT */
/* Handshakes of a server that mints: they stop after the ClientHello, ask, and go on with the copy; and
 * whatever happens while they wait. */
#include "net/conn_parts.h"
#include "tls_peer.h"

#include "net/tls_ssl.h"

struct scene {
    struct authority house, world; /* who mints, and who signs real servers */
    struct tls_server *server;
    struct tls_shown *like; /* what is presented; NULL: nothing, inside the event */
    bool presented;         /* what conn_tls_present said inside the event */
    enum conn_end end;      /* how the owner closes, when `closes` */
    bool closes;
    char asked[300]; /* SNI at the event */
    struct net *net;
};

static struct tls_server *minting(const struct identity *ca)
{
    struct tls_pair p = pair_of(ca, "house");
    struct tls_ticket_keys keys = {.previous = false};
    struct tls_server_options o = {.mint = &p, .context = SPAN_LIT("listener"), .keys = &keys};
    char error[256] = "";
    struct tls_server *t = tls_server_create(&o, error, sizeof error);
    if (!t)
        fail_msg("%s", error);
    tls_server_rekey(t, &keys); /* has none; nothing happens */
    return t;
}

static struct scene scene_open(void)
{
    struct scene s = {.house = authority_make(), .world = authority_make()};
    s.server = minting(&s.house.ca);
    return s;
}

static void scene_close(struct scene *s)
{
    tls_shown_unref(&s->like);
    tls_server_unref(&s->server);
    authority_free(&s->house);
    authority_free(&s->world);
}

static void show_like(struct scene *s, const struct identity *id, bool verified)
{
    tls_shown_unref(&s->like);
    s->like = tls_shown_make(id->certificate, true, verified ? X509_V_OK : X509_V_ERR_CERT_UNTRUSTED);
    assert_non_null(s->like);
}

static void on_asked(struct party *p, enum conn_event e)
{
    struct scene *s = p->user;
    if (e != CONN_TLS_ASKS)
        return;
    const char *name = conn_tls_sni(p->c);
    (void)snprintf(s->asked, sizeof s->asked, "%s", name ? name : "(none)");
    if (s->closes)
        conn_close(&p->c, s->end);
    else if (s->like)
        s->presented = conn_tls_present(p->c, s->like);
}

static void listen_for(struct scene *s, struct net *net)
{
    s->net = net;
    s->presented = false;
    s->asked[0] = '\0';
    net->server.on_event = on_asked;
    net->server.user = s;
}

/* A client by hand that trusts the house, and wants `name`. */
static struct tls_peer dial(struct scene *s, const char *name, int version)
{
    struct net *net = net_open();
    listen_for(s, net);
    struct tls_peer t = tls_peer_join(net, s->server, version);
    char sni[300];
    (void)snprintf(sni, sizeof sni, "%s", name);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(t.ctx), s->house.ca.certificate);
    SSL_set_verify(t.ssl, SSL_VERIFY_PEER, NULL);
    SSL_set1_host(t.ssl, name);
    SSL_set_tlsext_host_name(t.ssl, sni);
    return t;
}

static void hang_up(struct scene *s, struct tls_peer *t)
{
    tls_peer_close(t);
    net_close(s->net);
}

/* Until the handshake waits for us. */
static void until_asked(struct scene *s, struct tls_peer *t)
{
    ERR_clear_error();
    assert_int_equal(SSL_do_handshake(t->ssl), -1);
    tls_peer_send(s->net, t);
    TURN_UNTIL(s->net, s->net->server.told[CONN_TLS_ASKS]);
}

/* ---- certificates that are believed, and those that are not ---- */

static struct identity real(const struct identity *issuer, bool rsa, const char *alternative)
{
    return identity_make((struct wish){.common_name = "mx.example.org",
                                       .alternative = alternative,
                                       .issuer = issuer,
                                       .to_days = 5,
                                       .rsa = rsa});
}

static void test_believed(void **state)
{
    struct scene s = scene_open();
    static const char *const names[] = {"DNS:mx.example.org", NULL}; /* without: the common name */
    (void)state;
    for (int i = 0; i < 8; i++) {
        int version = i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION;
        struct identity id = real(&s.world.ca, i & 2, names[i >> 2]);
        show_like(&s, &id, true);
        struct tls_peer t = dial(&s, "mx.example.org", version);
        assert_int_equal(tls_peer_handshake(s.net, &t), 1);
        TURN_UNTIL(s.net, s.net->server.told[CONN_TLS]);
        assert_true(s.presented);
        assert_string_equal(s.asked, "mx.example.org");
        assert_int_equal(s.net->server.told[CONN_TLS_ASKS], 1);
        assert_int_equal(SSL_version(t.ssl), version);
        assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(t.ssl)), 2); /* the copy and the authority */
        say(&s.net->server, "250");
        char got[16];
        assert_int_equal(tls_peer_read(s.net, &t, got, sizeof got), 3);
        tls_peer_say(s.net, &t, "EHLO");
        TURN_UNTIL(s.net, party_has(&s.net->server, "EHLO"));
        hang_up(&s, &t);
        identity_free(&id);
    }
    scene_close(&s);
}

static void check_refused(struct scene *s, const struct identity *id, bool verified, const char *name,
                          long verdict)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        show_like(s, id, verified);
        struct tls_peer t = dial(s, name, version);
        assert_int_equal(tls_peer_handshake(s->net, &t), 0);
        assert_true(s->presented);
        assert_int_equal(SSL_get_verify_result(t.ssl), verdict);
        hang_up(s, &t);
    }
}

static void test_not_believed(void **state)
{
    struct scene s = scene_open();
    struct identity good = real(&s.world.ca, false, "DNS:mx.example.org"),
                    late = identity_make((struct wish){.common_name = "mx.example.org",
                                                       .issuer = &s.world.ca,
                                                       .from_days = -9,
                                                       .to_days = -1});
    (void)state;
    check_refused(&s, &good, true, "other.example.org", X509_V_ERR_HOSTNAME_MISMATCH);
    check_refused(&s, &good, false, "mx.example.org", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
    check_refused(&s, &late, false, "mx.example.org", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
    check_refused(&s, &late, true, "mx.example.org", X509_V_ERR_CERT_HAS_EXPIRED);
    identity_free(&good);
    identity_free(&late);
    scene_close(&s);
}

/* A client that takes anything takes the copy of what nobody can trust. */
static void test_careless_client(void **state)
{
    struct scene s = scene_open();
    struct identity self = real(NULL, true, "DNS:mx.example.org");
    struct tls_client *c = client_of(NULL);
    (void)state;
    show_like(&s, &self, false);
    struct net *net = net_joined();
    listen_for(&s, net);
    tls_join(net, s.server, c, "mx.example.org");
    assert_int_equal(net->client.told[CONN_TLS], 1);
    struct tls_shown *shown = conn_tls_shown(net->client.c);
    struct tls_shown_info info;
    tls_shown_describe(shown, &info);
    assert_true(info.self_signed);
    assert_string_equal(info.names, "mx.example.org");
    assert_string_equal(info.key, "EC P-256");
    tls_shown_unref(&shown);
    net_close(net);
    tls_client_unref(&c);
    identity_free(&self);
    scene_close(&s);
}

/* The whole way: what a real server has shown a client that judges is presented by one that mints. */
static void test_three_parties(void **state)
{
    struct scene s = scene_open();
    struct tls_server *mx = server_of(&s.world.good);
    struct tls_client_options o = {.judge = true, .ca_name = "world", .ca = s.world.ca.certificate_pem};
    char error[256] = "";
    struct tls_client *outwards = tls_client_create(&o, error, sizeof error),
                      *client = client_of(&s.house.ca);
    struct net *inside = net_joined(), *outside = net_joined();
    (void)state;
    listen_for(&s, inside);
    assert_true(conn_tls_accept(inside->server.c, s.server, SECONDS(3)));
    assert_true(conn_tls_connect(inside->client.c, client, "mail.example.org", NULL, SECONDS(3)));
    TURN_UNTIL(inside, inside->server.told[CONN_TLS_ASKS]);
    tls_join(outside, mx, outwards, conn_tls_sni(inside->server.c));
    struct tls_shown *like = conn_tls_shown(outside->client.c);
    assert_non_null(like);
    net_close(outside); /* it is not needed any more */
    assert_true(conn_tls_present(inside->server.c, like));
    tls_shown_unref(&like);
    TURN_UNTIL(inside, inside->client.told[CONN_TLS] && inside->server.told[CONN_TLS]);
    assert_true(conn_tls_info(inside->client.c).verified);
    assert_string_equal(conn_tls_info(inside->server.c).server_name, "mail.example.org");
    net_close(inside);
    tls_client_unref(&client);
    tls_client_unref(&outwards);
    tls_server_unref(&mx);
    scene_close(&s);
}

/* ---- one server, several certificates ---- */

static X509 *shown_to_client(struct scene *s, const struct identity *id, const char *name)
{
    show_like(s, id, true);
    struct tls_peer t = dial(s, name, 0);
    assert_int_equal(tls_peer_handshake(s->net, &t), 1);
    X509 *copy = SSL_get1_peer_certificate(t.ssl);
    hang_up(s, &t);
    return copy;
}

static void test_two_names(void **state)
{
    struct scene s = scene_open();
    struct identity one = real(&s.world.ca, false, "DNS:one.example.org"),
                    two = real(&s.world.ca, false, "DNS:two.example.org");
    (void)state;
    X509 *first = shown_to_client(&s, &one, "one.example.org"),
         *second = shown_to_client(&s, &two, "two.example.org"),
         *again = shown_to_client(&s, &one, "one.example.org");
    assert_int_not_equal(X509_cmp(first, second), 0);
    assert_int_equal(X509_cmp(first, again), 0); /* kept: the serial number too */
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(first), X509_get0_pubkey(second)), 1);
    X509_free(first);
    X509_free(second);
    X509_free(again);
    identity_free(&one);
    identity_free(&two);
    scene_close(&s);
}

/* Each connection asks, whatever the client brings of the last one. */
static void test_nothing_is_resumed(void **state)
{
    struct scene s = scene_open();
    (void)state;
    show_like(&s, &s.world.good, true);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_SESSION *session = NULL;
        for (int i = 0; i < 3; i++) {
            struct tls_peer t = dial(&s, "mail.example.org", version);
            if (session)
                assert_int_equal(SSL_set_session(t.ssl, session), 1);
            assert_int_equal(tls_peer_handshake(s.net, &t), 1);
            say(&s.net->server, "x"); /* behind a ticket, if there were any */
            char got[16];
            assert_int_equal(tls_peer_read(s.net, &t, got, sizeof got), 1);
            assert_int_equal(s.net->server.told[CONN_TLS_ASKS], 1);
            assert_int_equal(SSL_session_reused(t.ssl), 0);
            SSL_SESSION_free(session);
            session = SSL_get1_session(t.ssl);
            assert_int_equal(SSL_SESSION_is_resumable(session), 0);
            SSL_set_shutdown(t.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
            hang_up(&s, &t);
        }
        SSL_SESSION_free(session);
    }
    scene_close(&s);
}

/* ---- names that are asked for ---- */

static void test_sni(void **state)
{
    static const struct {
        const char *sent, *asked;
    } cases[] = {{"mx.example.org", "mx.example.org"},
                 {"MX.Example.ORG", "MX.Example.ORG"},
                 {"a_b-c.1", "a_b-c.1"},
                 {"a b", "(none)"},
                 {"a\r\nb", "(none)"},
                 {"\xc3\xa4", "(none)"},
                 {"a/b", "(none)"},
                 {NULL, "(none)"}};
    struct scene s = scene_open();
    (void)state;
    show_like(&s, &s.world.good, true);
    for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
        char sent[64];
        struct tls_peer t = dial(&s, "mail.example.org", i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
        (void)snprintf(sent, sizeof sent, "%s", cases[i / 2].sent ? cases[i / 2].sent : "");
        assert_null(conn_tls_sni(s.net->server.c));
        char *name = cases[i / 2].sent ? sent : NULL;
        SSL_set_tlsext_host_name(t.ssl, name);
        assert_int_equal(tls_peer_handshake(s.net, &t), 1);
        assert_string_equal(s.asked, cases[i / 2].asked);
        hang_up(&s, &t);
    }
    scene_close(&s);
}

/* ---- while it waits ---- */

static void test_answer_comes_later(void **state)
{
    struct scene s = scene_open();
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct tls_peer t = dial(&s, "mail.example.org", i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
        t.piece = i & 2 ? 1 : 0;
        until_asked(&s, &t);
        struct conn *c = s.net->server.c;
        TURN_FOR_MS(s.net, 20);
        assert_false(conn_tls_present(c, NULL));
        assert_null(conn_tls_info(c).version);
        tls_peer_receive(&t);
        assert_int_equal(BIO_pending(t.in), 0); /* not a byte before we know */
        struct tls_shown *like = tls_shown_make(s.world.good.certificate, true, X509_V_OK);
        assert_true(conn_tls_present(c, like));
        assert_false(conn_tls_present(c, like)); /* once */
        assert_int_equal(s.net->server.told[CONN_TLS], 0);
        tls_shown_unref(&like);
        assert_int_equal(tls_peer_handshake(s.net, &t), 1);
        TURN_UNTIL(s.net, s.net->server.told[CONN_TLS]);
        assert_int_equal(s.net->server.told[CONN_TLS_ASKS], 1);
        tls_peer_say(s.net, &t, "x"); /* one octet is enough again */
        TURN_UNTIL(s.net, party_has(&s.net->server, "x"));
        hang_up(&s, &t);
    }
    scene_close(&s);
}

/* A client that guessed another group says its hello twice; it is asked for once. */
static void test_hello_retry(void **state)
{
    struct scene s = scene_open();
    (void)state;
    show_like(&s, &s.world.good, true);
    struct tls_peer t = dial(&s, "mail.example.org", TLS1_3_VERSION);
    char both[] = "P-256:P-384", second[] = "P-384";
    assert_int_equal(SSL_set1_groups_list(t.ssl, both), 1);
    assert_int_equal(SSL_set1_groups_list(s.net->server.c->t.ssl, second), 1);
    assert_int_equal(tls_peer_handshake(s.net, &t), 1);
    TURN_UNTIL(s.net, s.net->server.told[CONN_TLS]);
    assert_int_equal(s.net->server.told[CONN_TLS_ASKS], 1);
    hang_up(&s, &t);
    scene_close(&s);
}

/* What cannot be copied: the owner hears of it and closes; or asks again with something else. */
static void test_cannot_be_copied(void **state)
{
    struct scene s = scene_open();
    X509 *blank = X509_new();
    (void)state;
    s.like = tls_shown_make(blank, true, X509_V_OK);
    struct tls_peer t = dial(&s, "mail.example.org", 0);
    until_asked(&s, &t);
    assert_false(s.presented);
    show_like(&s, &s.world.good, true);
    assert_true(conn_tls_present(s.net->server.c, s.like));
    assert_int_equal(tls_peer_handshake(s.net, &t), 1);
    hang_up(&s, &t);
    X509_free(blank);
    scene_close(&s);
}

static void test_nobody_asked(void **state)
{
    struct scene s = scene_open();
    struct tls_server *plain = server_of(&s.world.good);
    struct tls_client *c = client_of(NULL);
    struct net *net = net_joined();
    (void)state;
    show_like(&s, &s.world.good, true);
    listen_for(&s, net);
    assert_false(conn_tls_present(net->server.c, s.like));
    assert_true(conn_tls_accept(net->server.c, plain, SECONDS(3)));
    assert_false(conn_tls_present(net->server.c, s.like));
    assert_true(conn_tls_connect(net->client.c, c, "mail.example.org", NULL, SECONDS(3)));
    assert_false(conn_tls_present(net->client.c, s.like));
    TURN_UNTIL(net, net->server.told[CONN_TLS] && net->client.told[CONN_TLS]);
    assert_int_equal(net->server.told[CONN_TLS_ASKS], 0);
    assert_false(conn_tls_present(net->server.c, s.like));
    net_close(net);
    tls_client_unref(&c);
    tls_server_unref(&plain);
    scene_close(&s);
}

static void test_deadline(void **state)
{
    struct scene s = scene_open();
    struct tls_client *c = client_of(NULL);
    struct net *net = net_joined();
    (void)state;
    listen_for(&s, net);
    assert_true(conn_tls_accept(net->server.c, s.server, MS(60)));
    assert_true(conn_tls_connect(net->client.c, c, "mail.example.org", NULL, SECONDS(3)));
    TURN_UNTIL(net, net->server.told[CONN_TLS_ASKS]);
    TURN_UNTIL(net, net->server.told[CONN_CLOSED]);
    assert_string_equal(net->server.why, "TLS handshake: not finished in time");
    net_close(net);
    tls_client_unref(&c);
    scene_close(&s);
}

static void reset(int fd)
{
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    (void)close(fd);
}

/* A client that leaves is noticed, also behind bytes that nobody reads. */
static void test_client_leaves(void **state)
{
    static const size_t before[] = {0, 1, 1000};
    static const char bytes[1000];
    struct scene s = scene_open();
    (void)state;
    for (size_t i = 0; i < 3 * COUNT_OF(before); i++) {
        struct tls_peer t = dial(&s, "mail.example.org", 0);
        until_asked(&s, &t);
        (void)send(t.fd, bytes, before[i / 3], MSG_NOSIGNAL);
        TURN_FOR_MS(s.net, 5);
        assert_int_equal(s.net->server.told[CONN_CLOSED], 0);
        if (i % 3 == 0)
            assert_int_equal(shutdown(t.fd, SHUT_WR), 0);
        else if (i % 3 == 1)
            (void)close(t.fd);
        else
            reset(t.fd);
        TURN_UNTIL_MS(s.net, 1000, s.net->server.told[CONN_CLOSED]); /* the deadline is three seconds */
        assert_string_equal(s.net->server.why, i % 3 == 2 ? "TLS handshake: Connection reset by peer"
                                                          : "TLS handshake: the peer closed the connection");
        if (i % 3)
            t.fd = -1;
        hang_up(&s, &t);
    }
    scene_close(&s);
}

/* A client that does not stop talking costs nothing: its socket is left alone. What it said is garbage to the
 * handshake that goes on. */
static void test_client_talks_on(void **state)
{
    struct scene s = scene_open();
    char *much = pattern_make((size_t)1024 * 1024);
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tls_peer t = dial(&s, "mail.example.org", 0);
        until_asked(&s, &t);
        struct conn *c = s.net->server.c;
        assert_true(ev_is_active(&c->readable));
        assert_int_equal(fcntl(t.fd, F_SETFL, O_NONBLOCK), 0);
        uint64_t end = clock_mono_us() + SECONDS(3);
        while (!c->crowded && clock_mono_us() < end) {
            (void)send(t.fd, much, (size_t)64 * 1024, MSG_NOSIGNAL);
            ev_run(loop_ev(s.net->l), EVRUN_NOWAIT);
        }
        assert_true(c->crowded);
        assert_false(ev_is_active(&c->readable));
        assert_int_equal(s.net->server.told[CONN_CLOSED], 0);
        if (i) {
            show_like(&s, &s.world.good, true);
            assert_true(conn_tls_present(c, s.like));
            TURN_UNTIL(s.net, s.net->server.told[CONN_CLOSED]);
            assert_int_equal(s.net->server.told[CONN_TLS], 0);
        }
        hang_up(&s, &t);
    }
    free(much);
    scene_close(&s);
}

static void test_owner_closes(void **state)
{
    static const enum conn_end ways[] = {CONN_END_FLUSH, CONN_END_BRISK, CONN_END_NOW, CONN_END_RESET};
    struct scene s = scene_open();
    (void)state;
    for (size_t i = 0; i < 2 * COUNT_OF(ways); i++) {
        s.closes = i % 2;
        s.end = ways[i / 2];
        struct tls_peer t = dial(&s, "mail.example.org", 0);
        until_asked(&s, &t);
        if (i % 2)
            assert_null(s.net->server.c);
        else
            conn_close(&s.net->server.c, s.end);
        assert_int_equal(tls_peer_handshake(s.net, &t), 0);
        TURN_FOR_MS(s.net, 5);
        assert_int_equal(s.net->server.told[CONN_CLOSED], 0);
        hang_up(&s, &t);
    }
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_believed),
        cmocka_unit_test(test_not_believed),
        cmocka_unit_test(test_careless_client),
        cmocka_unit_test(test_three_parties),
        cmocka_unit_test(test_two_names),
        cmocka_unit_test(test_nothing_is_resumed),
        cmocka_unit_test(test_sni),
        cmocka_unit_test(test_answer_comes_later),
        cmocka_unit_test(test_hello_retry),
        cmocka_unit_test(test_cannot_be_copied),
        cmocka_unit_test(test_nobody_asked),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_client_leaves),
        cmocka_unit_test(test_client_talks_on),
        cmocka_unit_test(test_owner_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
