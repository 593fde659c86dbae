/* SPDX-License-Identifier: MIT */
/* Identities to commands: only what the server takes, in xtext, in lines that it can read. */
#include "unit/base/check.h"

#include "smtp/identity.h"

static const struct client_identity someone = {
    .client = {SPAN_LIT("192.0.2.1"), 4711},
    .destination = {SPAN_LIT("198.51.100.2"), 25},
    .helo = SPAN_LIT("c.test"),
    .login = SPAN_LIT("jane doe+x"),
    .session_id = SPAN_LIT("1a2b"),
    .esmtp = true,
};

static void check(enum identity_verb verb, const char *offered, const struct client_identity *who,
                  const char *want)
{
    struct identity_writer w = {.verb = verb, .offered = identity_offered(span_of(offered)), .who = who};
    char line[IDENTITY_LINE];
    size_t n;
    assert_true(identity_next(&w, line, &n));
    assert_spans_eq(span_make(line, n), span_of(want));
    assert_false(identity_next(&w, line, &n));
}

static void commands(void **state)
{
    (void)state;
    check(IDENTITY_XCLIENT, "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT", &someone,
          "XCLIENT HELO=c.test LOGIN=jane+20doe+2Bx NAME=[UNAVAILABLE] PROTO=ESMTP DESTADDR=198.51.100.2 "
          "DESTPORT=25 "
          "PORT=4711 ADDR=192.0.2.1");
    check(IDENTITY_XCLIENT, "addr  X-NEW PORT", &someone, "XCLIENT PORT=4711 ADDR=192.0.2.1");
    check(IDENTITY_XFORWARD, "NAME ADDR PROTO HELO SOURCE PORT IDENT LOGIN", &someone,
          "XFORWARD HELO=c.test NAME=[UNAVAILABLE] IDENT=1a2b SOURCE=REMOTE PROTO=ESMTP PORT=4711 "
          "ADDR=192.0.2.1");
    struct client_identity six = {.client = {SPAN_LIT("2001:db8::1"), 0}};
    check(IDENTITY_XCLIENT, "ADDR PORT HELO PROTO", &six,
          "XCLIENT HELO=[UNAVAILABLE] PROTO=SMTP PORT=[UNAVAILABLE] ADDR=IPV6:2001:db8::1");
}

static void a_session_by_its_name(void **state)
{
    (void)state;
    check(IDENTITY_XCLIENT, "ADDR SESSION TTL FORWARD", &someone, "XCLIENT SESSION=1a2b ADDR=192.0.2.1");
    check(IDENTITY_XFORWARD, "ADDR SESSION", &someone, "XFORWARD ADDR=192.0.2.1");
}

static void a_name_that_could_not_be_looked_up_now(void **state)
{
    (void)state;
    struct client_identity who = {.name_later = true};
    check(IDENTITY_XCLIENT, "NAME HELO", &who, "XCLIENT HELO=[UNAVAILABLE] NAME=[TEMPUNAVAIL]");
    check(IDENTITY_XFORWARD, "NAME", &who, "XFORWARD NAME=[UNAVAILABLE]");
    who.name = SPAN_LIT("n.test");
    check(IDENTITY_XCLIENT, "NAME", &who, "XCLIENT NAME=n.test");
}

/* It ends up in headers and logs (XFORWARD_README, note 1); no longer than 255 octets either. */
static void what_is_special_in_headers(void **state)
{
    (void)state;
    char text[256];
    struct client_identity who = {.helo = SPAN_LIT("a<b>(c)\\\";d@ e\r\xc3\xbc+[::1]")};
    check(IDENTITY_XFORWARD, "HELO", &who, "XFORWARD HELO=a?b??c????d??e???+2B[::1]");
    memset(text, 'x', sizeof(text));
    who.helo = span_make(text, sizeof(text));
    check(IDENTITY_XFORWARD, "HELO", &who, "XFORWARD HELO=[UNAVAILABLE]");
}

static void nothing_is_injected(void **state)
{
    (void)state;
    struct client_identity who = {.helo = SPAN_LIT("a b\r\nQUIT=\x7f\xc3\xbc"),
                                  .login = SPAN_LIT("[UNAVAILABLE]")};
    check(IDENTITY_XCLIENT, "HELO", &who, "XCLIENT HELO=a+20b+0D+0AQUIT+3D+7F+C3+BC");
}

/* Each line is whole, and ADDR is in the last. */
static void long_values_are_split(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'x', sizeof(text));
    struct client_identity who = someone;
    who.helo = span_make(text, 250);
    who.login = span_make(text, 251);
    struct identity_writer w = {.verb = IDENTITY_XCLIENT, .offered = UINT32_MAX, .who = &who};
    char line[IDENTITY_LINE];
    size_t n, lines = 0;
    struct span last = SPAN_NONE;
    while (identity_next(&w, line, &n)) {
        assert_true(n <= IDENTITY_LINE && span_istarts(span_make(line, n), SPAN_LIT("XCLIENT ")));
        last = span_make(line, n);
        lines++;
    }
    assert_int_equal(lines, 2);
    assert_true(span_ieq(span_skip(last, last.n - 14), SPAN_LIT("ADDR=192.0.2.1")));

    who.login = SPAN_NONE;
    who.helo = span_make(text, sizeof(text)); /* more than can be said */
    check(IDENTITY_XCLIENT, "HELO", &who, "XCLIENT HELO=[UNAVAILABLE]");
}

static void nothing_offered(void **state)
{
    (void)state;
    struct identity_writer w = {.verb = IDENTITY_XCLIENT, .who = &someone};
    char line[IDENTITY_LINE];
    size_t n;
    assert_false(identity_next(&w, line, &n));
    assert_int_equal(identity_offered(SPAN_LIT("  \t")), 0);
}

/* ---- as a receiver ---- */

#define BIT(attribute) (1u << IDENTITY_##attribute)

static struct identity_claim parsed(const char *words)
{
    struct identity_claim c;
    assert_int_equal(identity_parse(span_of(words), &c), IDENTITY_OK);
    return c;
}

static void assert_text(const struct identity_text *t, const char *want)
{
    assert_spans_eq(span_make(t->text, t->n), span_of(want));
}

static void assert_end(const struct identity_end *e, const char *text, size_t ip_n, uint16_t port)
{
    assert_spans_eq(span_make(e->text, e->text_n), span_of(text));
    assert_int_equal(e->ip_n, ip_n);
    assert_int_equal(e->port, port);
}

static void claims(void **state)
{
    (void)state;
    struct identity_claim c =
        parsed("NAME=c.test ADDR=192.0.2.1 PORT=4711 PROTO=ESMTP HELO=h.test LOGIN=jane+20doe "
               "DESTADDR=198.51.100.2 DESTPORT=25");
    assert_int_equal(c.said, BIT(NAME) | BIT(ADDR) | BIT(PORT) | BIT(PROTO) | BIT(HELO) | BIT(LOGIN) |
                                 BIT(DESTADDR) | BIT(DESTPORT));
    assert_text(&c.name, "c.test");
    assert_text(&c.helo, "h.test");
    assert_text(&c.login, "jane doe");
    assert_true(c.esmtp);
    assert_end(&c.client, "192.0.2.1", 4, 4711);
    assert_end(&c.destination, "198.51.100.2", 4, 25);

    c = parsed("  addr=ipv6:2001:DB8:0:0::1  proto=smtp "); /* canonical, whatever the case */
    assert_end(&c.client, "2001:db8::1", 16, 0);
    assert_false(c.esmtp);
    c = parsed("ADDR=IPV6:::ffff:192.0.2.1");
    assert_end(&c.client, "192.0.2.1", 4, 0);
    assert_memory_equal(c.client.ip, "\xc0\0\2\1", 4);
}

static void what_is_not_known(void **state)
{
    (void)state;
    const char *const none[] = {"[UNAVAILABLE]", "[TEMPUNAVAIL]", "[unavailable]"};
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        char words[200];
        (void)snprintf(words, sizeof(words), "NAME=%s ADDR=%s PORT=%s PROTO=%s HELO=%s LOGIN=%s", none[i],
                       none[i], none[i], none[i], none[i], none[i]);
        struct identity_claim c = parsed(words);
        assert_int_equal(c.said, BIT(NAME) | BIT(ADDR) | BIT(PORT) | BIT(PROTO) | BIT(HELO) | BIT(LOGIN));
        assert_end(&c.client, "", 0, 0);
        assert_text(&c.name, "");
        assert_text(&c.helo, "");
        assert_text(&c.login, "");
        assert_int_equal(c.name_later, i == 1);
    }
    assert_false(parsed("ADDR=[TEMPUNAVAIL] NAME=n.test").name_later);
}

static void what_is_no_identity(void **state)
{
    (void)state;
    static const struct span bad[] = {
        SPAN_LIT(""),
        SPAN_LIT("ADDR"),
        SPAN_LIT("ADDR="),
        SPAN_LIT("=192.0.2.1"),
        SPAN_LIT("IDENT=x"), /* XFORWARD's */
        SPAN_LIT("SOURCE=LOCAL"),
        SPAN_LIT("HELO=c.test X-NEW=1"),
        SPAN_LIT("ADDR=192.0.2.1 ADDR=192.0.2.2"),
        SPAN_LIT("ADDR=192.0.2.1\tPORT=1"),
        SPAN_LIT("ADDR=192.0.2.256"),
        SPAN_LIT("ADDR=192.0.2.1+00"),
        SPAN_LIT("ADDR=2001:db8::1"),
        SPAN_LIT("ADDR=IPV6:"),
        SPAN_LIT("ADDR=IPV6:192.0.2.1"),
        SPAN_LIT("ADDR=IPV6:fe80::1%eth0"),
        SPAN_LIT("ADDR=[UNAVAILABLE"),
        SPAN_LIT("ADDR=c.test"),
        SPAN_LIT("PORT=0"),
        SPAN_LIT("PORT=65536"),
        SPAN_LIT("PORT=000025"),
        SPAN_LIT("PORT=-1"),
        SPAN_LIT("PROTO=LMTP"),
        SPAN_LIT("HELO=a+20b"),
        SPAN_LIT("HELO=a+0Db"),
        SPAN_LIT("HELO=a+"),
        SPAN_LIT("HELO=a=b"),
        SPAN_LIT("HELO=a+1Bb"),
        SPAN_LIT("HELO=\xc3\xbc"),
        SPAN_LIT("LOGIN=a+7F"),
        SPAN_LIT("LOGIN=+FF"),
        SPAN_LIT("NAME=a b"),
        SPAN_LIT("NAME=a+C3+BC.test"),
        SPAN_LIT("NAME=[192.0.2.1]"),
        SPAN_LIT("SESSION=1a2b"), /* not offered */
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct identity_claim c;
        if (identity_parse(bad[i], &c) != IDENTITY_BAD)
            fail_msg("taken: %.*s", SPAN_FMT(bad[i]));
    }
}

static void values_have_a_limit(void **state)
{
    (void)state;
    char words[6 + IDENTITY_VALUE + 1] = "LOGIN=";
    struct identity_claim c;
    memset(words + 6, 'x', IDENTITY_VALUE + 1);
    assert_int_equal(identity_parse(span_make(words, 6 + IDENTITY_VALUE), &c), IDENTITY_OK);
    assert_int_equal(c.login.n, IDENTITY_VALUE);
    assert_int_equal(identity_parse(span_make(words, sizeof(words)), &c), IDENTITY_BAD);
}

/* What we say to the next postern, it takes. */
static void written_and_read(void **state)
{
    (void)state;
    struct identity_writer w = {
        .verb = IDENTITY_XCLIENT, .offered = identity_offered(SPAN_LIT(IDENTITY_TAKEN)), .who = &someone};
    char line[IDENTITY_LINE];
    size_t n;
    struct identity_claim c;
    assert_true(identity_next(&w, line, &n));
    assert_int_equal(identity_parse(span_skip(span_make(line, n), 8), &c), IDENTITY_OK);
    assert_int_equal(c.said, w.offered);
    assert_end(&c.client, "192.0.2.1", 4, 4711);
    assert_text(&c.login, "jane doe+x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands),
        cmocka_unit_test(a_session_by_its_name),
        cmocka_unit_test(a_name_that_could_not_be_looked_up_now),
        cmocka_unit_test(what_is_special_in_headers),
        cmocka_unit_test(nothing_is_injected),
        cmocka_unit_test(long_values_are_split),
        cmocka_unit_test(nothing_offered),
        cmocka_unit_test(claims),
        cmocka_unit_test(what_is_not_known),
        cmocka_unit_test(what_is_no_identity),
        cmocka_unit_test(values_have_a_limit),
        cmocka_unit_test(written_and_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
