/* SPDX-License-Identifier: MIT */
/* Resumption: tickets with keys that rotate, and the client's shelf of sessions. */
#include "tls_peer.h"

#include <openssl/rand.h>

static struct tls_ticket_keys keys_of(unsigned char now, int before)
{
    struct tls_ticket_keys k = {.previous = before >= 0};
    memset(k.key[0], now, TLS_TICKET_KEY);
    memset(k.key[1], before >= 0 ? before : 0, TLS_TICKET_KEY);
    return k;
}

static struct tls_server *server_with(const struct identity *id, const char *context, unsigned char now,
                                      int before)
{
    struct tls_ticket_keys k = keys_of(now, before);
    struct tls_pair p = pair_of(id, "test");
    char error[256];
    struct tls_server_options o = {.pairs = &p, .pair_n = 1, .context = span_of(context), .keys = &k};
    struct tls_server *s = tls_server_create(&o, error, sizeof error);
    assert_non_null(s);
    return s;
}

/* One connection; true when it was resumed, on both sides. */
static bool meet(struct tls_server *s, struct tls_client *c, const char *name, enum conn_end how)
{
    struct net *net = net_joined();
    tls_join(net, s, c, name);
    assert_string_equal(net->client.why, "");
    struct tls_info at_client = conn_tls_info(net->client.c);
    bool resumed = at_client.resumed;
    assert_int_equal(conn_tls_info(net->server.c).resumed, resumed);
    say(&net->server, "x"); /* behind the ticket: when it is here, so is the ticket */
    TURN_UNTIL(net, party_has(&net->client, "x"));
    conn_close(&net->client.c, how);
    net_close(net);
    return resumed;
}

struct shop {
    struct authority a;
    struct tls_client *c;
};

static struct shop shop_open(bool verify)
{
    struct shop s = {.a = authority_make()};
    s.c = client_of(verify ? &s.a.ca : NULL);
    return s;
}

static void shop_close(struct shop *s)
{
    tls_client_unref(&s->c);
    authority_free(&s->a);
}

static void test_resumption(void **state)
{
    static const enum conn_end ways[] = {CONN_END_FLUSH, CONN_END_NOW, CONN_END_RESET};
    struct shop shop = shop_open(true);
    struct tls_server *s = server_with(&shop.a.good, "a", 1, -1);
    (void)state;
    assert_false(meet(s, shop.c, "mail.example.org", CONN_END_FLUSH));
    /* Each connection leaves a ticket for the next, however it ended. */
    for (size_t i = 0; i < COUNT_OF(ways); i++)
        assert_true(meet(s, shop.c, "mail.example.org", ways[i]));
    assert_true(meet(s, shop.c, "mail.example.org", CONN_END_FLUSH));
    assert_false(meet(s, shop.c, "127.0.0.1", CONN_END_FLUSH)); /* another name, another session */
    assert_true(meet(s, shop.c, "127.0.0.1", CONN_END_FLUSH));
    tls_server_unref(&s);
    shop_close(&shop);
}

static void test_verified_when_resumed(void **state)
{
    struct shop shop = shop_open(true);
    struct tls_server *s = server_with(&shop.a.good, "a", 1, -1);
    (void)state;
    assert_false(meet(s, shop.c, "mail.example.org", CONN_END_FLUSH));
    struct net *net = net_joined();
    tls_join(net, s, shop.c, "mail.example.org");
    assert_true(conn_tls_info(net->client.c).resumed);
    assert_true(conn_tls_info(net->client.c).verified);
    net_close(net);
    tls_server_unref(&s);
    shop_close(&shop);
}

/* Workers and generations share keys; a key is honoured for one period after it was replaced. */
static void test_keys_rotate(void **state)
{
    struct shop shop = shop_open(false);
    struct tls_server *first = server_with(&shop.a.good, "a", 1, -1);
    struct tls_server *twin = server_with(&shop.a.good, "a", 1, -1);
    struct tls_server *next = server_with(&shop.a.good, "a", 2, 1);
    struct tls_server *later = server_with(&shop.a.good, "a", 3, 2);
    (void)state;
    assert_false(meet(first, shop.c, "n", CONN_END_FLUSH));
    assert_true(meet(twin, shop.c, "n", CONN_END_FLUSH));
    assert_true(meet(next, shop.c, "n", CONN_END_FLUSH)); /* leaves a ticket with key 2 */
    assert_true(meet(later, shop.c, "n", CONN_END_FLUSH));
    assert_false(meet(first, shop.c, "n", CONN_END_FLUSH)); /* knows nothing of key 3 */
    assert_false(meet(later, shop.c, "n", CONN_END_FLUSH)); /* two rotations after key 1 */
    tls_server_unref(&first);
    tls_server_unref(&twin);
    tls_server_unref(&next);
    tls_server_unref(&later);
    shop_close(&shop);
}

static void test_sessions_stay_with_their_listener(void **state)
{
    struct shop shop = shop_open(false);
    struct tls_server *a = server_with(&shop.a.good, "listener a", 1, -1);
    struct tls_server *b = server_with(&shop.a.good, "listener b", 1, -1);
    (void)state;
    assert_false(meet(a, shop.c, "n", CONN_END_FLUSH));
    assert_false(meet(b, shop.c, "n", CONN_END_FLUSH));
    tls_server_unref(&a);
    tls_server_unref(&b);
    shop_close(&shop);
}

/* Without keys OpenSSL makes its own: resumption works with this server alone. */
static void test_without_keys(void **state)
{
    struct shop shop = shop_open(false);
    struct tls_server *a = server_of(&shop.a.good), *b = server_of(&shop.a.good);
    (void)state;
    assert_false(meet(a, shop.c, "n", CONN_END_FLUSH));
    assert_true(meet(a, shop.c, "n", CONN_END_FLUSH));
    assert_false(meet(b, shop.c, "n", CONN_END_FLUSH));
    tls_server_unref(&a);
    tls_server_unref(&b);
    shop_close(&shop);
}

/* A ticket is used once: two connections at the same time do not offer the same one. */
static void test_tickets_are_used_once(void **state)
{
    struct shop shop = shop_open(false);
    struct tls_server *s = server_with(&shop.a.good, "a", 1, -1);
    (void)state;
    assert_false(meet(s, shop.c, "n", CONN_END_FLUSH));
    struct net *one = net_joined(), *two = net_joined();
    assert_true(conn_tls_accept(one->server.c, s, SECONDS(3)));
    assert_true(conn_tls_accept(two->server.c, s, SECONDS(3)));
    assert_true(conn_tls_connect(one->client.c, shop.c, "n", NULL, SECONDS(3)));
    assert_true(conn_tls_connect(two->client.c, shop.c, "n", NULL, SECONDS(3)));
    TURN_UNTIL(one, one->client.told[CONN_TLS]);
    TURN_UNTIL(two, two->client.told[CONN_TLS]);
    assert_true(conn_tls_info(one->client.c).resumed);
    assert_false(conn_tls_info(two->client.c).resumed);
    net_close(two);
    net_close(one);
    tls_server_unref(&s);
    shop_close(&shop);
}

/* Of 70 names the last 64 are kept. */
static void test_the_shelf_is_bounded(void **state)
{
    struct shop shop = shop_open(false);
    struct tls_server *s = server_with(&shop.a.good, "a", 1, -1);
    char name[32];
    (void)state;
    for (int i = 0; i < 70; i++) {
        (void)snprintf(name, sizeof name, "host%d.example.org", i);
        assert_false(meet(s, shop.c, name, CONN_END_NOW));
    }
    assert_true(meet(s, shop.c, "host69.example.org", CONN_END_NOW));
    assert_true(meet(s, shop.c, "host6.example.org", CONN_END_NOW));
    assert_false(meet(s, shop.c, "host5.example.org", CONN_END_NOW));
    assert_false(meet(s, shop.c, "host0.example.org", CONN_END_NOW));
    tls_server_unref(&s);
    shop_close(&shop);
}

/* TLS 1.2 has tickets too; and one of the old key is replaced by one of the new. */
static void test_tls12(void **state)
{
    struct shop shop = shop_open(false);
    struct tls_server *first = server_with(&shop.a.good, "a", 1, -1);
    struct tls_server *next = server_with(&shop.a.good, "a", 2, 1);
    struct tls_server *servers[] = {first, first, next, next};
    SSL_SESSION *session = NULL;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(servers); i++) {
        struct net *net = net_open();
        struct tls_peer t = tls_peer_join(net, servers[i], TLS1_2_VERSION);
        if (session)
            assert_int_equal(SSL_set_session(t.ssl, session), 1);
        assert_int_equal(tls_peer_handshake(net, &t), 1);
        assert_int_equal(SSL_session_reused(t.ssl), i > 0);
        SSL_SESSION_free(session);
        session = SSL_get1_session(t.ssl);
        const unsigned char *ticket;
        size_t n;
        SSL_SESSION_get0_ticket(session, &ticket, &n);
        assert_true(n > 16);
        assert_int_equal(ticket[0], i < 2 ? 1 : 2); /* the key's name leads */
        SSL_set_shutdown(t.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        tls_peer_close(&t);
        net_close(net);
    }
    SSL_SESSION_free(session);
    tls_server_unref(&first);
    tls_server_unref(&next);
    shop_close(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumption),           cmocka_unit_test(test_verified_when_resumed),
        cmocka_unit_test(test_keys_rotate),          cmocka_unit_test(test_sessions_stay_with_their_listener),
        cmocka_unit_test(test_without_keys),         cmocka_unit_test(test_tickets_are_used_once),
        cmocka_unit_test(test_the_shelf_is_bounded), cmocka_unit_test(test_tls12),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
