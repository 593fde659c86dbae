/* SPDX-License-Identifier: MIT */
/* TLS on connections where both ends behave: handshakes, STARTTLS, names, verification, bulk, and the end. */
#include "tls_peer.h"

static void test_both_ends(void **state)
{
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    struct tls_client *c = client_of(&a.ca);
    struct net *net = net_joined();
    (void)state;
    tls_join(net, s, c, "mail.example.org");
    assert_string_equal(net->client.why, "");
    struct tls_info at_client = conn_tls_info(net->client.c), at_server = conn_tls_info(net->server.c);
    assert_string_equal(at_client.version, "TLSv1.3");
    assert_string_equal(at_client.cipher, at_server.cipher);
    assert_true(at_client.verified);
    assert_false(at_server.verified);
    assert_false(at_client.resumed);
    assert_null(at_client.server_name);
    assert_string_equal(at_server.server_name, "mail.example.org");
    say(&net->client, "EHLO");
    TURN_UNTIL(net, party_has(&net->server, "EHLO"));
    say(&net->server, "250");
    TURN_UNTIL(net, party_has(&net->client, "250"));
    assert_false(conn_tls_accept(net->server.c, s, SECONDS(3))); /* one TLS is enough */
    tls_server_unref(&s);                                        /* connections keep what they need */
    tls_client_unref(&c);
    say(&net->client, "more");
    TURN_UNTIL(net, buf_len(&net->server.got) == 8);
    net_close(net);
    authority_free(&a);
}

static void test_bulk(void **state)
{
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    struct tls_client *c = client_of(NULL);
    struct net *net = net_joined();
    size_t total = (size_t)5 * 1024 * 1024;
    char *pattern = pattern_make(total);
    (void)state;
    tls_join(net, s, c, "mail.example.org");
    assert_false(conn_tls_info(net->client.c).verified);
    for (size_t at = 0; at < total; at += total / 5) {
        assert_true(conn_write(net->client.c, span_make(pattern + at, total / 5)));
        assert_true(conn_write(net->server.c, span_make(pattern + at, total / 5)));
    }
    TURN_UNTIL(net, buf_len(&net->server.got) == total && buf_len(&net->client.got) == total);
    assert_memory_equal(buf_span(&net->server.got).p, pattern, total);
    assert_memory_equal(buf_span(&net->client.got).p, pattern, total);
    assert_true(net->client.largest > (size_t)16 * 1024); /* records are put together */
    free(pattern);
    net_close(net);
    tls_server_unref(&s);
    tls_client_unref(&c);
    authority_free(&a);
}

/* Bytes that wait inside OpenSSL come although the socket is silent: after a pause, and when `in` was full.
 */
static void test_nothing_is_left_in_openssl(void **state)
{
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    struct tls_client *c = client_of(NULL);
    struct net *net = net_joined();
    size_t total = (size_t)1024 * 1024;
    char *pattern = pattern_make(total);
    (void)state;
    tls_join(net, s, c, "mail.example.org");
    net->server.reads_nothing = true;
    assert_true(conn_write(net->client.c, span_make(pattern, total)));
    TURN_UNTIL(net, conn_unread(net->server.c) >= CONN_IN_MAX);
    TURN_FOR_MS(net, 10);
    net->server.reads_nothing = false;
    conn_resume(net->server.c);
    TURN_UNTIL(net, buf_len(&net->server.got) == total);
    assert_memory_equal(buf_span(&net->server.got).p, pattern, total);
    free(pattern);
    net_close(net);
    tls_server_unref(&s);
    tls_client_unref(&c);
    authority_free(&a);
}

/* ---- STARTTLS ---- */

static struct tls_server *upgrade_with;

static void on_starttls(struct party *p)
{
    assert_int_equal(conn_unread(p->c), 20); /* the whole of "STARTTLS\r\nMAIL FROM:" */
    say(p, "220 go ahead\r\n");
    assert_true(conn_tls_accept(p->c, upgrade_with, SECONDS(3)));
    say(p, "after the handshake");
    p->on_data = NULL;
    p->takes = 0;
}

/* What was written before goes out in the clear, what came too early is thrown away, what is written after
 * goes through TLS. */
static void test_starttls(void **state)
{
    struct authority a = authority_make();
    struct tls_client *c = client_of(&a.ca);
    struct net *net = net_joined();
    (void)state;
    upgrade_with = server_of(&a.good);
    net->server.on_data = on_starttls;
    net->server.takes = 10;
    say(&net->client, "STARTTLS\r\nMAIL FROM:");
    TURN_UNTIL(net, party_has(&net->client, "220 go ahead\r\n"));
    assert_true(party_has(&net->server, "STARTTLS\r\n"));
    party_forget(&net->client);
    assert_true(conn_tls_connect(net->client.c, c, "mail.example.org", NULL, SECONDS(3)));
    say(&net->client, "EHLO again");
    TURN_UNTIL(net, party_has(&net->client, "after the handshake"));
    TURN_UNTIL(net, party_has(&net->server, "STARTTLS\r\nEHLO again"));
    assert_int_equal(net->server.told[CONN_TLS], 1);
    assert_int_equal(net->client.told[CONN_TLS], 1);
    net_close(net);
    tls_server_unref(&upgrade_with);
    tls_client_unref(&c);
    authority_free(&a);
}

/* The same with the plaintext waiting in the conn, and TLS started from outside of a callback. */
static void test_starttls_discards_waiting(void **state)
{
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    struct tls_client *c = client_of(&a.ca);
    struct net *net = net_joined();
    (void)state;
    net->server.takes = 10;
    say(&net->client, "STARTTLS\r\nMAIL FROM:");
    TURN_UNTIL(net, conn_unread(net->server.c) == 10);
    net->server.takes = 0;
    say(&net->server, "220 go ahead\r\n");
    conn_resume(net->server.c);
    assert_true(conn_tls_accept(net->server.c, s, SECONDS(3)));
    assert_int_equal(conn_unread(net->server.c), 0);
    TURN_UNTIL(net, party_has(&net->client, "220 go ahead\r\n"));
    assert_true(conn_tls_connect(net->client.c, c, "mail.example.org", NULL, SECONDS(3)));
    say(&net->client, "EHLO again");
    TURN_UNTIL(net, party_has(&net->server, "STARTTLS\r\nEHLO again"));
    net_close(net);
    tls_server_unref(&s);
    tls_client_unref(&c);
    authority_free(&a);
}

static void on_starttls_from_in(struct party *p)
{
    if (buf_len(&p->got) + p->takes < 10)
        return;
    p->takes = 10 - buf_len(&p->got); /* no more than the command */
    say(p, "220 go ahead\r\n");
    assert_true(conn_tls_accept(p->c, upgrade_with, MS(400)));
    p->on_data = NULL;
}

/* And with the plaintext waiting in the conn while TLS is started from inside the callback that looks at it.
 */
static void test_starttls_discards_what_is_offered(void **state)
{
    struct authority a = authority_make();
    struct tls_client *c = client_of(&a.ca);
    struct net *net = net_joined();
    (void)state;
    upgrade_with = server_of(&a.good);
    net->server.takes = 4;
    say(&net->client, "STARTTLS\r\nMAIL FROM:");
    TURN_UNTIL(net, conn_unread(net->server.c) == 16);
    net->server.takes = 6;
    net->server.on_data = on_starttls_from_in;
    conn_resume(net->server.c);
    TURN_UNTIL(net, party_has(&net->client, "220 go ahead\r\n"));
    net->server.takes = 0;
    assert_true(conn_tls_connect(net->client.c, c, "mail.example.org", NULL, MS(400)));
    say(&net->client, "EHLO again");
    TURN_UNTIL(net, net->server.told[CONN_TLS] && buf_len(&net->server.got) > 10);
    conn_resume(net->server.c);
    TURN_FOR_MS(net, 500); /* past the deadline of the handshake, which is over */
    if (!party_has(&net->server, "STARTTLS\r\nEHLO again"))
        fail_msg("%.*s", SPAN_FMT(buf_span(&net->server.got)));
    assert_int_equal(net->server.told[CONN_CLOSED] + net->client.told[CONN_CLOSED], 0);
    net_close(net);
    tls_server_unref(&upgrade_with);
    tls_client_unref(&c);
    authority_free(&a);
}

/* ---- verification ---- */

static void refuse(struct tls_client *c, const struct identity *id, const char *name, const char *why)
{
    struct tls_server *s = server_of(id);
    struct net *net = net_joined();
    tls_join(net, s, c, name);
    assert_int_equal(net->client.told[CONN_CLOSED], 1);
    assert_int_equal(net->client.told[CONN_TLS], 0);
    if (!strstr(net->client.why, why))
        fail_msg("%s", net->client.why);
    TURN_UNTIL(net, net->server.told[CONN_CLOSED]); /* by our alert */
    assert_non_null(strstr(net->server.why, "alert"));
    net_close(net);
    tls_server_unref(&s);
}

static void accept_name(struct tls_client *c, const struct identity *id, const char *name)
{
    struct tls_server *s = server_of(id);
    struct net *net = net_joined();
    tls_join(net, s, c, name);
    assert_string_equal(net->client.why, "");
    assert_true(conn_tls_info(net->client.c).verified);
    net_close(net);
    tls_server_unref(&s);
}

static void test_verification(void **state)
{
    struct authority a = authority_make();
    struct wish w = {.common_name = "mail.example.org",
                     .alternative = "DNS:mail.example.org",
                     .issuer = &a.ca,
                     .from_days = -20,
                     .to_days = -10};
    struct identity expired = identity_make(w);
    w.from_days = 10;
    w.to_days = 20;
    struct identity early = identity_make(w);
    w.from_days = 0;
    w.issuer = NULL;
    struct identity self_signed = identity_make(w);
    struct tls_client *c = client_of(&a.ca);
    (void)state;
    accept_name(c, &a.good, "mail.example.org");
    accept_name(c, &a.good, "MAIL.example.org.");
    accept_name(c, &a.good, "127.0.0.1");
    refuse(c, &a.good, "elsewhere.example.net", "hostname mismatch");
    refuse(c, &a.good, "127.0.0.2", "IP address mismatch");
    refuse(c, &expired, "mail.example.org", "certificate has expired");
    refuse(c, &early, "mail.example.org", "not yet valid");
    refuse(c, &self_signed, "mail.example.org", "self-signed");
    tls_client_unref(&c);
    identity_free(&expired);
    identity_free(&early);
    identity_free(&self_signed);
    authority_free(&a);
}

/* Verification needs a name; without one nothing is accepted by accident. */
static void test_verification_without_name(void **state)
{
    struct authority a = authority_make();
    struct tls_client *strict = client_of(&a.ca), *any = client_of(NULL);
    struct tls_server *s = server_of(&a.good);
    struct net *net = net_joined();
    (void)state;
    assert_false(conn_tls_connect(net->client.c, strict, "", NULL, US_PER_S));
    tls_join(net, s, any, "");
    assert_int_equal(net->client.told[CONN_TLS], 1);
    assert_null(conn_tls_info(net->server.c).server_name);
    net_close(net);
    tls_client_unref(&strict);
    tls_client_unref(&any);
    tls_server_unref(&s);
    authority_free(&a);
}

/* ---- SNI ---- */

static bool name_is_served(struct tls_server *s, struct tls_client *c, const char *name)
{
    struct net *net = net_joined();
    tls_join(net, s, c, name);
    bool served = net->client.told[CONN_TLS] == 1;
    net_close(net);
    return served;
}

static void test_sni(void **state)
{
    struct authority a = authority_make();
    struct identity second =
        identity_make((struct wish){.common_name = "second",
                                    .alternative = "DNS:other.example.org,DNS:*.wild.example.org,"
                                                   "DNS:MAIL.example.org",
                                    .issuer = &a.ca,
                                    .to_days = 5});
    struct identity third = identity_make((struct wish){
        .common_name = "third", .alternative = "DNS:exact.wild.example.org", .issuer = &a.ca, .to_days = 5});
    struct tls_pair pairs[] = {pair_of(&a.good, "first"), pair_of(&second, "second"),
                               pair_of(&third, "third")};
    struct tls_server *s = server_make(pairs, COUNT_OF(pairs), NULL);
    struct tls_client *c = client_of(&a.ca);
    (void)state;
    /* The client verifies, so that it is content only with the right certificate. */
    assert_true(name_is_served(s, c, "mail.example.org"));
    assert_true(name_is_served(s, c, "other.example.org"));
    assert_true(name_is_served(s, c, "OTHER.Example.Org"));
    assert_true(name_is_served(s, c, "a.wild.example.org"));
    assert_true(name_is_served(s, c, "exact.wild.example.org"));
    assert_true(name_is_served(s, c, "127.0.0.1")); /* no SNI: the default */
    assert_false(name_is_served(s, c, "a.b.wild.example.org"));
    assert_false(name_is_served(s, c, "unknown.example.net"));
    tls_server_unref(&s);
    tls_client_unref(&c);
    identity_free(&second);
    identity_free(&third);
    authority_free(&a);
}

static void test_sni_of_strangers(void **state)
{
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    char longest[256], asked[256];
    (void)state;
    memset(longest, 'a', 255);
    longest[255] = '\0';
    const struct {
        const char *asked, *shown;
    } cases[] = {
        {"..%00", "..%00"}, {longest, longest}, {"a\tb\x01", "(unprintable)"}, {".", "."}, {"*", "*"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net *net = net_open();
        struct tls_peer t = tls_peer_join(net, s, 0);
        (void)snprintf(asked, sizeof asked, "%s", cases[i].asked);
        assert_int_equal(SSL_set_tlsext_host_name(t.ssl, asked), 1);
        assert_int_equal(tls_peer_handshake(net, &t), 1);
        TURN_UNTIL(net, net->server.told[CONN_TLS]);
        assert_string_equal(conn_tls_info(net->server.c).server_name, cases[i].shown);
        tls_peer_close(&t);
        net_close(net);
    }
    tls_server_unref(&s);
    authority_free(&a);
}

/* ---- the end ---- */

static void test_close_notify(void **state)
{
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    struct tls_client *c = client_of(NULL);
    struct net *net = net_joined();
    (void)state;
    tls_join(net, s, c, "mail.example.org");
    say(&net->server, "221 bye");
    conn_close(&net->server.c, CONN_END_FLUSH);
    TURN_UNTIL(net, net->client.told[CONN_EOF]);
    assert_true(party_has(&net->client, "221 bye"));
    assert_int_equal(net->client.told[CONN_CLOSED], 0);
    conn_close(&net->client.c, CONN_END_FLUSH);
    TURN_FOR_MS(net, 10);
    net_close(net);
    tls_server_unref(&s);
    tls_client_unref(&c);
    authority_free(&a);
}

static void test_cut_without_close_notify(void **state)
{
    static const enum conn_end ways[] = {CONN_END_NOW, CONN_END_RESET};
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    struct tls_client *c = client_of(NULL);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct net *net = net_joined();
        tls_join(net, s, c, "mail.example.org");
        TURN_FOR_MS(net, 5);
        say(&net->client, "half a mess");
        TURN_UNTIL(net, party_has(&net->server, "half a mess"));
        conn_close(&net->client.c, ways[i]);
        TURN_UNTIL(net, net->server.told[CONN_CLOSED]);
        assert_int_equal(net->server.told[CONN_EOF], 0);
        if (ways[i] == CONN_END_NOW)
            assert_string_equal(net->server.why, "TLS connection cut without close_notify");
        net_close(net);
    }
    tls_server_unref(&s);
    tls_client_unref(&c);
    authority_free(&a);
}

static void close_on_tls(struct party *p, enum conn_event e)
{
    if (e == CONN_TLS)
        conn_close(&p->c, CONN_END_FLUSH);
}

static void close_on_data(struct party *p)
{
    conn_close(&p->c, CONN_END_NOW);
}

static void test_close_inside_callbacks(void **state)
{
    struct authority a = authority_make();
    struct tls_server *s = server_of(&a.good);
    struct tls_client *c = client_of(NULL);
    struct net *net = net_joined();
    (void)state;
    net->server.on_event = close_on_tls;
    tls_join(net, s, c, "mail.example.org");
    assert_null(net->server.c);
    TURN_UNTIL(net, net->client.told[CONN_EOF]);
    net_close(net);

    net = net_joined();
    tls_join(net, s, c, "mail.example.org");
    net->server.on_data = close_on_data;
    say(&net->client, "x");
    TURN_UNTIL(net, net->client.told[CONN_CLOSED]);
    net_close(net);

    net = net_joined(); /* in the middle of the handshake, each way */
    assert_true(conn_tls_connect(net->client.c, c, "mail.example.org", NULL, SECONDS(3)));
    say(&net->client, "never sent in the clear");
    TURN_FOR_MS(net, 5);
    conn_close(&net->client.c, CONN_END_FLUSH);
    TURN_UNTIL(net, net->server.told[CONN_EOF]);
    struct span hello = buf_span(&net->server.got); /* a ClientHello and nothing else */
    if (!hello.p || hello.p[0] != 22 || memmem(hello.p, hello.n, "never", 5))
        fail_msg("something went out in the clear");
    net_close(net);
    tls_server_unref(&s);
    tls_client_unref(&c);
    authority_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ends),
        cmocka_unit_test(test_bulk),
        cmocka_unit_test(test_nothing_is_left_in_openssl),
        cmocka_unit_test(test_starttls),
        cmocka_unit_test(test_starttls_discards_waiting),
        cmocka_unit_test(test_starttls_discards_what_is_offered),
        cmocka_unit_test(test_verification),
        cmocka_unit_test(test_verification_without_name),
        cmocka_unit_test(test_sni),
        cmocka_unit_test(test_sni_of_strangers),
        cmocka_unit_test(test_close_notify),
        cmocka_unit_test(test_cut_without_close_notify),
        cmocka_unit_test(test_close_inside_callbacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
