/* SPDX-License-Identifier: MIT */
/* TLS with clients that are slow, old, confused or hostile. */
#include "tls_peer.h"

#include <time.h>

struct rude {
    struct authority a;
    struct tls_server *s;
    struct net *net;
};

static struct rude rude_open(void)
{
    struct rude r = {.a = authority_make()};
    r.s = server_of(&r.a.good);
    r.net = net_open();
    return r;
}

static void rude_close(struct rude *r)
{
    net_close(r->net);
    tls_server_unref(&r->s);
    authority_free(&r->a);
}

/* ---- before there is TLS ---- */

static void test_silent_peer(void **state)
{
    struct rude r = rude_open();
    int raw = net_raw_client(r.net);
    (void)state;
    uint64_t start = clock_mono_us();
    assert_true(conn_tls_accept(r.net->server.c, r.s, MS(50)));
    TURN_UNTIL(r.net, r.net->server.told[CONN_CLOSED]);
    assert_in_range(clock_mono_us() - start, MS(45), SECONDS(3));
    assert_non_null(strstr(r.net->server.why, "not finished in time"));
    (void)close(raw);
    rude_close(&r);
}

/* A byte now and then does not move the deadline. */
static void test_dripping_peer(void **state)
{
    struct rude r = rude_open();
    int raw = net_raw_client(r.net);
    const char hello[] = {22, 3, 1, 2, 0, 1, 0, 1, (char)0xfc, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    (void)state;
    uint64_t start = clock_mono_us();
    assert_true(conn_tls_accept(r.net->server.c, r.s, MS(60)));
    for (size_t i = 0; i < sizeof hello && !r.net->server.told[CONN_CLOSED]; i++) {
        (void)send(raw, hello + i, 1, MSG_NOSIGNAL);
        TURN_FOR_MS(r.net, 10);
    }
    assert_int_equal(r.net->server.told[CONN_CLOSED], 1);
    assert_true(clock_mono_us() - start < SECONDS(3));
    (void)close(raw);
    rude_close(&r);
}

/* Plain SMTP or HTTP where a handshake should be: an alert and the end, and not one byte of plain text. */
static void test_garbage(void **state)
{
    static const char *const garbage[] = {"EHLO client.example.org\r\n", "GET / HTTP/1.0\r\n\r\n",
                                          "\x16\x03\x01\xff\xff\xff\xff\xff\xff"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(garbage); i++) {
        struct rude r = rude_open();
        int raw = net_raw_client(r.net);
        char seen[256] = {0}, more[60000] = {0};
        bool was_reset = false;
        assert_true(conn_tls_accept(r.net->server.c, r.s, SECONDS(3)));
        say(&r.net->server, "250 hidden");
        assert_true(send(raw, garbage[i], strlen(garbage[i]), 0) > 0);
        assert_true(send(raw, more, sizeof more, 0) > 0); /* unread when the end comes: no RST for it */
        TURN_UNTIL(r.net, r.net->server.told[CONN_CLOSED]);
        assert_non_null(strstr(r.net->server.why, "TLS handshake: "));
        size_t n = raw_drain(r.net, raw, seen, sizeof seen, &was_reset);
        assert_false(was_reset);
        assert_int_equal(n, 7);
        assert_int_equal(seen[0], 21); /* alert */
        assert_int_equal(seen[5], 2);  /* fatal */
        (void)close(raw);
        rude_close(&r);
    }
}

static void test_peer_leaves_in_the_handshake(void **state)
{
    struct rude r = rude_open();
    int raw = net_raw_client(r.net);
    (void)state;
    assert_true(conn_tls_accept(r.net->server.c, r.s, SECONDS(3)));
    assert_int_equal(send(raw, "\x16\x03\x01", 3, 0), 3);
    TURN_FOR_MS(r.net, 5);
    (void)close(raw);
    TURN_UNTIL(r.net, r.net->server.told[CONN_CLOSED]);
    assert_string_equal(r.net->server.why, "TLS handshake: the peer closed the connection");
    rude_close(&r);
}

/* ---- versions and ALPN ---- */

static void test_old_versions(void **state)
{
    (void)state;
    static const int old[] = {TLS1_VERSION, TLS1_1_VERSION};
    for (size_t i = 0; i < COUNT_OF(old); i++) {
        struct rude r = rude_open();
        struct tls_peer t = tls_peer_join(r.net, r.s, old[i]);
        assert_int_equal(tls_peer_handshake(r.net, &t), 0);
        TURN_UNTIL(r.net, r.net->server.told[CONN_CLOSED]);
        assert_non_null(strstr(r.net->server.why, "unsupported protocol"));
        tls_peer_close(&t);
        rude_close(&r);
    }
    struct rude r = rude_open();
    struct tls_peer t = tls_peer_join(r.net, r.s, TLS1_2_VERSION);
    assert_int_equal(tls_peer_handshake(r.net, &t), 1);
    TURN_UNTIL(r.net, r.net->server.told[CONN_TLS]);
    assert_string_equal(conn_tls_info(r.net->server.c).version, "TLSv1.2");
    tls_peer_close(&t);
    rude_close(&r);
}

static void test_alpn(void **state)
{
    static const struct {
        const char *list;
        unsigned n;
        bool good;
    } cases[] = {
        {"\x04smtp", 5, true},
        {"\x08http/1.1\x04smtp", 14, true},
        {"\x08http/1.1", 9, false},
        {"\x05smtps\x03smt", 10, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rude r = rude_open();
        struct tls_peer t = tls_peer_join(r.net, r.s, 0);
        const unsigned char *chosen;
        unsigned n;
        assert_int_equal(SSL_set_alpn_protos(t.ssl, (const unsigned char *)cases[i].list, cases[i].n), 0);
        assert_int_equal(tls_peer_handshake(r.net, &t), cases[i].good);
        SSL_get0_alpn_selected(t.ssl, &chosen, &n);
        if (cases[i].good) {
            assert_int_equal(n, 4);
            assert_memory_equal(chosen, "smtp", 4);
        } else {
            assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
                             SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
        }
        tls_peer_close(&t);
        rude_close(&r);
    }
}

/* ---- in TLS ---- */

static void test_byte_by_byte(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct rude r = rude_open();
        struct tls_peer t = tls_peer_join(r.net, r.s, versions[i]);
        t.piece = 1;
        assert_int_equal(tls_peer_handshake(r.net, &t), 1);
        tls_peer_say(r.net, &t, "EHLO client.example.org\r\n");
        TURN_UNTIL(r.net, party_has(&r.net->server, "EHLO client.example.org\r\n"));
        tls_peer_close(&t);
        rude_close(&r);
    }
}

/* One byte a record, all in one segment: each arrives, in order. */
static void test_tiny_records(void **state)
{
    struct rude r = rude_open();
    struct tls_peer t = tls_peer_join(r.net, r.s, 0);
    char *pattern = pattern_make(3000);
    (void)state;
    assert_int_equal(tls_peer_handshake(r.net, &t), 1);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(SSL_write(t.ssl, pattern + i, 1), 1);
    tls_peer_turn(r.net, &t);
    TURN_UNTIL(r.net, buf_len(&r.net->server.got) == 3000);
    assert_memory_equal(buf_span(&r.net->server.got).p, pattern, 3000);
    free(pattern);
    tls_peer_close(&t);
    rude_close(&r);
}

/* A turn's share of reading ends while records lie in OpenSSL and the socket is empty. Reads are made small
 * by what waits already. */
static void test_share_ends_inside_openssl(void **state)
{
    enum { RECORD = 1000, RECORDS = 16 };
    struct rude r = rude_open();
    struct tls_peer t = tls_peer_join(r.net, r.s, 0);
    int waiting = (int)CONN_IN_MAX - RECORD;
    char *pattern = pattern_make(CONN_IN_MAX);
    (void)state;
    assert_int_equal(tls_peer_handshake(r.net, &t), 1);
    r.net->server.reads_nothing = true;
    assert_int_equal(SSL_write(t.ssl, pattern, waiting), waiting);
    tls_peer_turn(r.net, &t);
    TURN_UNTIL(r.net, conn_unread(r.net->server.c) == (size_t)waiting);
    r.net->server.reads_nothing = false;
    r.net->server.takes = RECORD;
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(SSL_write(t.ssl, pattern, RECORD), RECORD);
    tls_peer_turn(r.net, &t);
    TURN_UNTIL(r.net, buf_len(&r.net->server.got) == (size_t)RECORD * RECORDS);
    assert_int_equal(conn_unread(r.net->server.c), waiting);
    free(pattern);
    tls_peer_close(&t);
    rude_close(&r);
}

/* Many small writes of one turn are one record. */
static void test_writes_are_one_record(void **state)
{
    struct rude r = rude_open();
    struct tls_peer t = tls_peer_join(r.net, r.s, 0);
    char seen[16384];
    (void)state;
    assert_int_equal(tls_peer_handshake(r.net, &t), 1);
    TURN_UNTIL(r.net, r.net->server.told[CONN_TLS]);
    for (int i = 0; i < 200; i++)
        say(&r.net->server, "0123456789");
    assert_int_equal(tls_peer_read(r.net, &t, seen, sizeof seen), 2000);
    char *big = pattern_make(40000);
    assert_true(conn_write(r.net->server.c, span_make(big, 40000)));
    assert_int_equal(tls_peer_read(r.net, &t, seen, sizeof seen), 16384);
    assert_memory_equal(seen, big, 16384);
    free(big);
    tls_peer_close(&t);
    rude_close(&r);
}

static void test_truncation(void **state)
{
    struct rude r = rude_open();
    struct tls_peer t = tls_peer_join(r.net, r.s, 0);
    (void)state;
    assert_int_equal(tls_peer_handshake(r.net, &t), 1);
    tls_peer_say(r.net, &t, "DATA that never ends");
    assert_int_equal(shutdown(t.fd, SHUT_WR), 0);
    TURN_UNTIL(r.net, r.net->server.told[CONN_CLOSED]);
    assert_int_equal(r.net->server.told[CONN_EOF], 0);
    assert_true(party_has(&r.net->server, "DATA that never ends"));
    assert_string_equal(r.net->server.why, "TLS connection cut without close_notify");
    tls_peer_close(&t);
    rude_close(&r);
}

/* The last bytes and the end come together: bytes first, then CONN_EOF; an answer still reaches the peer. */
static void test_close_notify_with_data(void **state)
{
    struct rude r = rude_open();
    struct tls_peer t = tls_peer_join(r.net, r.s, 0);
    char seen[64];
    (void)state;
    assert_int_equal(tls_peer_handshake(r.net, &t), 1);
    assert_int_equal(SSL_write(t.ssl, "QUIT\r\n", 6), 6);
    (void)SSL_shutdown(t.ssl);
    tls_peer_turn(r.net, &t);
    TURN_UNTIL(r.net, r.net->server.told[CONN_EOF]);
    assert_true(party_has(&r.net->server, "QUIT\r\n"));
    say(&r.net->server, "221");
    conn_close(&r.net->server.c, CONN_END_FLUSH);
    assert_int_equal(tls_peer_read(r.net, &t, seen, sizeof seen), 3);
    assert_true(tls_peer_read(r.net, &t, seen, sizeof seen) <= 0);
    assert_true(SSL_get_shutdown(t.ssl) & SSL_RECEIVED_SHUTDOWN);
    tls_peer_close(&t);
    rude_close(&r);
}

static void test_flush_to_a_slow_peer(void **state)
{
    struct rude r = rude_open();
    struct tls_peer t = tls_peer_join(r.net, r.s, 0);
    size_t total = (size_t)6 * 1024 * 1024, n = 0;
    char *pattern = pattern_make(total), *seen = malloc(total);
    int got;
    (void)state;
    assert_non_null(seen);
    assert_int_equal(tls_peer_handshake(r.net, &t), 1);
    TURN_UNTIL(r.net, r.net->server.told[CONN_TLS]);
    assert_true(conn_write(r.net->server.c, span_make(pattern, total)));
    conn_close(&r.net->server.c, CONN_END_FLUSH);
    TURN_FOR_MS(r.net, 50);
    while (n < total && (got = tls_peer_read(r.net, &t, seen + n, (int)(total - n))) > 0)
        n += (size_t)got;
    assert_int_equal(n, total);
    assert_memory_equal(seen, pattern, total);
    char more;
    assert_true(tls_peer_read(r.net, &t, &more, 1) <= 0);
    assert_true(SSL_get_shutdown(t.ssl) & SSL_RECEIVED_SHUTDOWN);
    free(pattern);
    free(seen);
    tls_peer_close(&t);
    rude_close(&r);
}

/* One client that asks for another handshake inside TLS 1.2; true: it is told no, and nothing else happens.
 */
static bool renegotiation_refused(struct rude *r)
{
    struct net *net = net_open();
    struct tls_peer t = tls_peer_join(net, r->s, TLS1_2_VERSION);
    char seen[16];
    int refused = 0;
    assert_int_equal(tls_peer_handshake(net, &t), 1);
    assert_int_equal(SSL_renegotiate(t.ssl), 1);
    for (int i = 0; i < 20 && !refused; i++) {
        ERR_clear_error();
        if (SSL_do_handshake(t.ssl) == 1)
            (void)SSL_read(t.ssl, seen, sizeof seen);
        refused = ERR_GET_REASON(ERR_peek_error()) == SSL_R_NO_RENEGOTIATION;
        tls_peer_turn(net, &t);
    }
    refused = refused && net->server.told[CONN_TLS] == 1;
    tls_peer_close(&t);
    net_close(net);
    return refused;
}

/* A hundred of them: what they cost is the hundred first handshakes, not a hundred more. */
static void test_renegotiation_is_refused(void **state)
{
    struct rude r = rude_open();
    (void)state;
    clock_t before = clock();
    for (int i = 0; i < 100; i++)
        assert_true(renegotiation_refused(&r));
    assert_in_range((clock() - before) / (CLOCKS_PER_SEC / 1000), 0, 5000);
    rude_close(&r);
}

/* Server names with bytes that no library sends: NULs, an empty name, lengths that lie. */
static void test_damaged_server_names(void **state)
{
    static char name[] = "zzzz.example.org";
    const struct {
        int at; /* of what is overwritten, from the name on; its length is the two bytes before */
        char byte;
    } damages[] = {{4, '\0'}, {15, '\0'},      {0, '\0'}, {-1, 0}, {-1, 15},
                   {-1, 17},  {-1, (char)255}, {-2, 1},   {-3, 7}};
    struct rude r = rude_open();
    (void)state;
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        struct net *net = net_open();
        struct tls_peer t = tls_peer_join(net, r.s, 0);
        char hello[4096];
        assert_int_equal(SSL_set_tlsext_host_name(t.ssl, name), 1);
        assert_int_equal(SSL_do_handshake(t.ssl), -1);
        int n = BIO_read(t.out, hello, sizeof hello);
        char *found = n > 0 ? memmem(hello, (size_t)n, name, sizeof name - 1) : NULL;
        assert_non_null(found);
        found[damages[i].at] = damages[i].byte;
        assert_int_equal(send(t.fd, hello, (size_t)n, 0), n);
        TURN_UNTIL(net, net->server.told[CONN_CLOSED]);
        assert_non_null(strstr(net->server.why, "TLS handshake: "));
        tls_peer_close(&t);
        net_close(net);
    }
    rude_close(&r);
}

/* A flood of key updates: what comes after it is read, or the connection ends (newer OpenSSL has had enough
 * then); it never stands still. */
static void test_key_update_flood(void **state)
{
    struct rude r = rude_open();
    struct tls_peer t = tls_peer_join(r.net, r.s, TLS1_3_VERSION);
    (void)state;
    assert_int_equal(tls_peer_handshake(r.net, &t), 1);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(
            SSL_key_update(t.ssl, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(t.ssl), 1);
    }
    tls_peer_say(r.net, &t, "still here");
    TURN_UNTIL(r.net, party_has(&r.net->server, "still here") || r.net->server.told[CONN_CLOSED]);
    tls_peer_close(&t);
    rude_close(&r);
}

static void test_damaged_record(void **state)
{
    struct rude r = rude_open();
    struct tls_peer t = tls_peer_join(r.net, r.s, 0);
    char record[256];
    (void)state;
    assert_int_equal(tls_peer_handshake(r.net, &t), 1);
    assert_int_equal(SSL_write(t.ssl, "fine", 4), 4);
    assert_int_equal(SSL_write(t.ssl, "spoiled", 7), 7);
    int n = BIO_read(t.out, record, sizeof record);
    assert_true(n > 10);
    record[n - 1] = (char)(record[n - 1] ^ 1);
    assert_int_equal(send(t.fd, record, (size_t)n, 0), n); /* both in one read */
    TURN_UNTIL(r.net, r.net->server.told[CONN_CLOSED]);
    assert_true(party_has(&r.net->server, "fine"));
    assert_non_null(strstr(r.net->server.why, "bad record mac"));
    tls_peer_close(&t);
    rude_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_peer),
        cmocka_unit_test(test_dripping_peer),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_peer_leaves_in_the_handshake),
        cmocka_unit_test(test_old_versions),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_tiny_records),
        cmocka_unit_test(test_share_ends_inside_openssl),
        cmocka_unit_test(test_writes_are_one_record),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_close_notify_with_data),
        cmocka_unit_test(test_flush_to_a_slow_peer),
        cmocka_unit_test(test_renegotiation_is_refused),
        cmocka_unit_test(test_damaged_server_names),
        cmocka_unit_test(test_key_update_flood),
        cmocka_unit_test(test_damaged_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
