/* SPDX-License-Identifier: MIT */
/* DANE: which certificates match which records, what else then counts and what does not, and that a session
 * is never resumed under other records than its own. */
#include "tls_peer.h"

#define NAME "mail.example.org"

/* ---- records ---- */

struct records {
    struct tlsa_record record[4];
    unsigned char data[4][2048];
    struct tls_dane dane;
};

static size_t whole(const struct identity *id, unsigned selector, unsigned char *out)
{
    int n = selector == TLSA_KEY ? i2d_PUBKEY(id->key, &out) : i2d_X509(id->certificate, &out);
    assert_true(n > 0 && n < 2048);
    return (size_t)n;
}

static void add(struct records *r, unsigned usage, unsigned selector, unsigned matching,
                const struct identity *id)
{
    unsigned char *out = r->data[r->dane.n], der[2048];
    unsigned n = (unsigned)whole(id, selector, der);
    if (matching == TLSA_WHOLE)
        memcpy(out, der, n);
    else
        assert_int_equal(
            EVP_Digest(der, n, out, &n, matching == TLSA_SHA256 ? EVP_sha256() : EVP_sha512(), NULL), 1);
    r->record[r->dane.n++] = (struct tlsa_record){(uint8_t)usage, (uint8_t)selector, (uint8_t)matching,
                                                  span_make((const char *)out, n)};
    r->dane.record = r->record;
}

/* ---- who shows what ---- */

struct scene {
    struct authority a;
    struct identity expired, misnamed; /* signed by a.ca */
    struct identity odd;               /* by itself, with a wrong name, and expired */
    struct identity stranger;
};

static struct scene scene_open(void)
{
    struct scene s = {.a = authority_make()};
    struct wish wish = {.common_name = "x", .alternative = "DNS:" NAME, .from_days = -9, .to_days = -1};
    wish.issuer = &s.a.ca;
    s.expired = identity_make(wish);
    wish.alternative = "DNS:other.example.net";
    wish.to_days = 9;
    s.misnamed = identity_make(wish);
    wish.issuer = NULL;
    wish.to_days = -1;
    s.odd = identity_make(wish);
    wish.to_days = 9;
    s.stranger = identity_make(wish);
    return s;
}

static void scene_close(struct scene *s)
{
    authority_free(&s->a);
    struct identity *all[] = {&s->expired, &s->misnamed, &s->odd, &s->stranger};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        identity_free(all[i]);
}

/* `above` NULL: the server sends its own certificate alone. */
static struct tls_server *serve(const struct identity *own, const struct identity *above)
{
    char chain[8192];
    size_t n = own->certificate_pem.n;
    memcpy(chain, own->certificate_pem.p, n);
    if (above) {
        assert_true(n + above->certificate_pem.n < sizeof chain);
        memcpy(chain + n, above->certificate_pem.p, above->certificate_pem.n);
        n += above->certificate_pem.n;
    }
    struct tls_pair pair = {span_make(chain, n), own->key_pem, "server"};
    return server_make(&pair, 1, NULL);
}

struct met {
    bool secured;
    struct tls_info info;
    char why[512];
};

static struct met meet(struct tls_server *server, struct tls_client *c, const struct tls_dane *dane)
{
    struct met m = {.secured = false};
    struct net *net = net_joined();
    assert_true(conn_tls_accept(net->server.c, server, SECONDS(3)));
    assert_true(conn_tls_connect(net->client.c, c, NAME, dane, SECONDS(3)));
    TURN_UNTIL(net, (net->client.told[CONN_TLS] || net->client.told[CONN_CLOSED]) &&
                        (net->server.told[CONN_TLS] || net->server.told[CONN_CLOSED]));
    if (net->client.told[CONN_TLS] && !net->client.told[CONN_CLOSED]) {
        say(&net->server, "x"); /* behind the ticket */
        TURN_UNTIL(net, party_has(&net->client, "x"));
        m.secured = true;
        m.info = conn_tls_info(net->client.c);
        conn_close(&net->client.c, CONN_END_FLUSH);
    }
    (void)snprintf(m.why, sizeof m.why, "%s", net->client.why);
    net_close(net);
    return m;
}

static struct met meet_once(const struct identity *own, const struct identity *above, const struct records *r)
{
    struct tls_server *server = serve(own, above);
    struct tls_client *c = client_of(NULL);
    struct met m = meet(server, c, &r->dane);
    tls_client_unref(&c);
    tls_server_unref(&server);
    return m;
}

static void welcome(const struct identity *own, const struct identity *above, const struct records *r)
{
    struct met m = meet_once(own, above, r);
    if (!m.secured)
        fail_msg("%s", m.why);
    assert_true(m.info.verified && m.info.dane);
}

static void refused(const struct identity *own, const struct identity *above, const struct records *r,
                    const char *why)
{
    struct met m = meet_once(own, above, r);
    assert_false(m.secured);
    if (!strstr(m.why, why))
        fail_msg("%s", m.why);
}

/* ---- what matches ---- */

static void test_every_kind(void **state)
{
    struct scene s = scene_open();
    (void)state;
    for (unsigned selector = TLSA_CERTIFICATE; selector <= TLSA_KEY; selector++)
        for (unsigned matching = TLSA_WHOLE; matching <= TLSA_SHA512; matching++) {
            struct records ee = {0}, odd = {0}, ta = {0}, other = {0}, other_ta = {0};
            add(&ee, TLSA_DANE_EE, selector, matching, &s.a.good);
            welcome(&s.a.good, NULL, &ee);
            add(&odd, TLSA_DANE_EE, selector, matching, &s.odd);
            welcome(&s.odd, NULL, &odd); /* neither name nor date */
            add(&ta, TLSA_DANE_TA, selector, matching, &s.a.ca);
            welcome(&s.a.good, &s.a.ca, &ta);
            refused(&s.misnamed, &s.a.ca, &ta, "mismatch");
            refused(&s.expired, &s.a.ca, &ta, "expired");
            add(&other, TLSA_DANE_EE, selector, matching, &s.stranger);
            refused(&s.a.good, &s.a.ca, &other, "no matching DANE TLSA records");
            add(&other_ta, TLSA_DANE_TA, selector, matching, &s.stranger);
            refused(&s.a.good, &s.a.ca, &other_ta, "DANE");
        }
    scene_close(&s);
}

static void test_authority_that_is_not_sent(void **state)
{
    struct scene s = scene_open();
    struct records digest = {0}, whole_one = {0};
    (void)state;
    add(&digest, TLSA_DANE_TA, TLSA_CERTIFICATE, TLSA_SHA256, &s.a.ca);
    refused(&s.a.good, NULL, &digest, "DANE");
    add(&whole_one, TLSA_DANE_TA, TLSA_CERTIFICATE, TLSA_WHOLE, &s.a.ca);
    welcome(&s.a.good, NULL, &whole_one);
    scene_close(&s);
}

static void test_several(void **state)
{
    struct scene s = scene_open();
    struct records r = {0};
    (void)state;
    add(&r, TLSA_PKIX_EE, TLSA_KEY, TLSA_SHA256, &s.a.good); /* says nothing to SMTP */
    add(&r, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.stranger);
    refused(&s.a.good, NULL, &r, "no matching DANE TLSA records");
    add(&r, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.a.good);
    welcome(&s.a.good, NULL, &r);
    scene_close(&s);
}

/* The text of the failure has what would have matched. */
static void test_what_was_shown(void **state)
{
    struct scene s = scene_open();
    struct records r = {0}, would = {0};
    char text[200], want[300];
    (void)state;
    add(&r, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.stranger);
    add(&would, TLSA_DANE_EE, TLSA_CERTIFICATE, TLSA_SHA256, &s.a.good);
    add(&would, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.a.good);
    for (size_t i = 0; i < 2; i++) {
        (void)tlsa_print(&would.record[i], 32, text, sizeof text);
        (void)snprintf(want, sizeof want, "%s%s", i ? ", " : "shown were ", text);
        refused(&s.a.good, &s.a.ca, &r, want);
    }
    scene_close(&s);
}

static void test_usable(void **state)
{
    struct scene s = scene_open();
    struct records r = {0};
    (void)state;
    for (unsigned selector = 0; selector < 2; selector++)
        add(&r, TLSA_DANE_EE, selector, TLSA_WHOLE, &s.a.good);
    for (size_t i = 0; i < r.dane.n; i++) {
        struct tlsa_record record = r.record[i];
        assert_true(tls_dane_usable(&record));
        record.data.n--; /* cut */
        assert_false(tls_dane_usable(&record));
        record.data.n += 2; /* and something behind it */
        assert_false(tls_dane_usable(&record));
        record = r.record[i];
        record.selector = !record.selector;
        assert_false(tls_dane_usable(&record));
        record = r.record[i];
        record.usage = TLSA_PKIX_TA;
        assert_false(tls_dane_usable(&record));
    }
    scene_close(&s);
}

/* Nothing usable, or pins beside it: TLS does not begin, rather than begin without DANE. */
static void test_refusals(void **state)
{
    struct scene s = scene_open();
    struct net *net = net_joined();
    struct records unusable = {0}, good = {0};
    unsigned char pin[1][TLS_PIN] = {{0}};
    struct tls_client_options o = {.pins = pin, .pin_n = 1};
    char error[256];
    struct tls_client *c = client_of(NULL), *pinning = tls_client_create(&o, error, sizeof error);
    (void)state;
    add(&unusable, TLSA_PKIX_TA, TLSA_KEY, TLSA_SHA256, &s.a.ca);
    add(&unusable, TLSA_PKIX_EE, TLSA_KEY, TLSA_SHA256, &s.a.good);
    assert_false(conn_tls_connect(net->client.c, c, NAME, &unusable.dane, SECONDS(3)));
    add(&good, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.a.good);
    assert_false(conn_tls_connect(net->client.c, pinning, NAME, &good.dane, SECONDS(3)));
    tls_client_unref(&c);
    tls_client_unref(&pinning);
    net_close(net);
    scene_close(&s);
}

/* The records are in the place of authorities. */
static void test_authorities_do_not_count(void **state)
{
    struct scene s = scene_open();
    struct tls_server *server = serve(&s.odd, NULL), *known = serve(&s.a.good, &s.a.ca);
    struct tls_client *strict = client_of(&s.a.ca);
    struct records odd = {0}, other = {0};
    (void)state;
    add(&odd, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.odd);
    assert_true(meet(server, strict, &odd.dane).secured);
    assert_false(meet(server, strict, NULL).secured);
    add(&other, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.stranger);
    assert_false(meet(known, strict, &other.dane).secured);
    struct met m = meet(known, strict, NULL);
    assert_true(m.secured && m.info.verified && !m.info.dane);
    tls_client_unref(&strict);
    tls_server_unref(&server);
    tls_server_unref(&known);
    scene_close(&s);
}

/* ---- sessions ---- */

static void test_sessions_belong_to_their_records(void **state)
{
    struct scene s = scene_open();
    struct tls_server *server = serve(&s.a.good, NULL);
    struct tls_client *c = client_of(NULL);
    struct records one = {0}, turned = {0}, more = {0}, other = {0};
    (void)state;
    add(&one, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.a.good);
    add(&one, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.stranger);
    add(&turned, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.stranger);
    add(&turned, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.a.good);
    add(&more, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA512, &s.a.good);
    add(&other, TLSA_DANE_EE, TLSA_KEY, TLSA_SHA256, &s.stranger);

    struct met m = meet(server, c, NULL); /* leaves a session that nobody has verified */
    assert_true(m.secured && !m.info.verified);
    m = meet(server, c, &one.dane);
    assert_true(m.secured && !m.info.resumed && m.info.dane);
    m = meet(server, c, &turned.dane);
    assert_true(m.secured && m.info.resumed && m.info.verified && m.info.dane);
    m = meet(server, c, &more.dane);
    assert_true(m.secured && !m.info.resumed && m.info.dane);
    assert_false(meet(server, c, &other.dane).secured);
    m = meet(server, c, NULL);
    assert_true(m.secured && m.info.resumed && !m.info.verified && !m.info.dane);
    tls_client_unref(&c);
    tls_server_unref(&server);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_authority_that_is_not_sent),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_what_was_shown),
        cmocka_unit_test(test_usable),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_authorities_do_not_count),
        cmocka_unit_test(test_sessions_belong_to_their_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
