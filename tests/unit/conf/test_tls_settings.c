/* SPDX-License-Identifier: MIT */
/* The settings of TLS that need each other: pins, certificates of clients, mirror. */
#include "conf/pin.h"
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HEX    "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865"
#define BASE64 "Q1WkaxnTSNwvV8BG+O9j1FOOu5NgAPPJ7pVKJ0YN2GU="
#define ZEROES "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void test_pins(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        (HEX "0"),
        (HEX ":"),
        "g355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865",
        (BASE64 "="),
        (ZEROES "B"),
        (ZEROES "=="),
        ("*" ZEROES),
        "Q1WkaxnTSNwvV8BG-O9j1FOOu5NgAPPJ7pVKJ0YN2GU=", /* the alphabet of addresses in the web */
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", /* bits behind the last */
    };
    unsigned char a[CONF_PIN], b[CONF_PIN], c[CONF_PIN];
    (void)state;
    assert_true(pin_parse(SPAN_LIT(HEX), a));
    assert_true(pin_parse(SPAN_LIT(BASE64), b));
    assert_true(pin_parse(span_head(SPAN_LIT(BASE64), 43), c));
    assert_int_equal(a[0], 0x43);
    assert_int_equal(a[31], 0x65);
    assert_memory_equal(a, b, CONF_PIN);
    assert_memory_equal(a, c, CONF_PIN);
    assert_true(pin_parse(SPAN_LIT("4355A46B19D348DC2F57C046F8EF63D4538EBB936000F3C9EE954A27460DD865"), c));
    assert_memory_equal(a, c, CONF_PIN);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(pin_parse(span_of(bad[i]), a));
}

static void load(struct loaded *l, const char *listener, const char *upstream)
{
    char text[2048];
    int n = snprintf(text, sizeof text,
                     "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open%s } }\n"
                     "upstreams: { mta: { servers: 'a.test:25'%s } }\n"
                     "policies: { open: { filters: [] } }\n"
                     "certificates: { own: { certificate: /c.pem, key: /k.pem } }\n",
                     listener, upstream);
    assert_in_range(n, 1, sizeof text - 1);
    load_text(l, text);
}

static void test_upstream(void **state)
{
    struct loaded l;
    (void)state;
    load(&l, "", ", tls: required, tls_min: 1.3, certificate: own, verify: { pin: [" HEX ", '" BASE64 "'] }");
    assert_string_equal(l.report, "");
    const struct conf_upstream *u = &l.conf->upstreams[0];
    assert_false(u->verify); /* the pin alone */
    assert_int_equal(u->pin_count, 2);
    assert_memory_equal(u->pins[0], u->pins[1], CONF_PIN);
    assert_string_equal(u->certificate->certificate, "/c.pem");
    assert_int_equal(u->tls_min, CONF_TLS_13);
    unload(&l);
    load(&l, "", ", tls: required, verify: { pin: " HEX ", name: b.test }");
    assert_string_equal(l.report, "");
    assert_true(l.conf->upstreams[0].verify); /* both */
    assert_int_equal(l.conf->upstreams[0].pin_count, 1);
    assert_null(l.conf->upstreams[0].certificate);
    assert_int_equal(l.conf->upstreams[0].tls_min, CONF_TLS_12);
    unload(&l);
}

static void test_listener(void **state)
{
    struct loaded l;
    (void)state;
    load(&l,
         ", tls: starttls, certificate: own, client_certificate: require, client_ca: ca.pem, tls_min: '1.3'",
         "");
    assert_string_equal(l.report, "");
    const struct conf_listener *in = &l.conf->listeners[0];
    assert_int_equal(in->client_certificate, CONF_ASK_REQUIRE);
    assert_string_equal(in->client_ca, "/etc/p/ca.pem");
    assert_int_equal(in->tls_min, CONF_TLS_13);
    unload(&l);
    load(&l, ", tls: mirror, certificate: own", ", tls: opportunistic");
    assert_string_equal(l.report, "");
    assert_int_equal(l.conf->listeners[0].tls, CONF_TLS_MIRROR);
    assert_int_equal(l.conf->listeners[0].client_certificate, CONF_ASK_NONE);
    unload(&l);
}

static void test_what_does_not_fit(void **state)
{
    static const struct {
        const char *listener, *upstream, *report;
    } cases[] = {
        {", tls: starttls, certificate: own, client_certificate: request", "",
         "error: 'client_certificate: request' needs 'client_ca': whose certificates are good?"},
        {", tls: starttls, certificate: own, client_ca: ca.pem", "",
         "warning: 'client_ca' has no effect with 'client_certificate: none'"},
        {", client_ca: ca.pem, client_certificate: require", "",
         "warning: 'client_certificate' has no effect with 'tls: none'"},
        {", tls: mirror, certificate: own", "",
         "error: 'tls: mirror' needs TLS with the upstream, but 'mta' has 'tls: none': set it to "
         "opportunistic, "
         "required or implicit"},
        {", tls: mirror", ", tls: opportunistic",
         "error: listener 'in' has 'tls: mirror' but no 'certificate'"},
        {", tls_min: 1.1", "", "error: 'tls_min' is '1.1', but must be one of 1.2, 1.3"},
        {"", ", tls: required, verify: { pin: abc }",
         "error: 'abc' must be the SHA-256 of a public key: 64 hexadecimal digits, or 44 characters of "
         "base64"},
        {"", ", tls: required, certificate: won",
         "error: certificate 'won' is not defined; did you mean 'own'?"},
        {"", ", certificate: own", "warning: 'certificate' has no effect with 'tls: none'"},
        {"", ", verify: { pin: " HEX " }", "warning: 'verify' has no effect with 'tls: none'"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct loaded l;
        load(&l, cases[i].listener, cases[i].upstream);
        if (!strstr(l.report, cases[i].report))
            fail_msg("case %zu: wanted \"%s\", got \"%s\"", i, cases[i].report, l.report);
        assert_int_equal(l.conf == NULL, cases[i].report[0] == 'e');
        unload(&l);
    }
}

/* Here the servers are written by the case, for much depends on whether they have names. */
static void load_dane(struct loaded *l, const char *listener, const char *upstream)
{
    char text[2048];
    int n = snprintf(text, sizeof text,
                     "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open%s } }\n"
                     "upstreams: { mta: { %s } }\n"
                     "policies: { open: { filters: [] } }\n",
                     listener, upstream);
    assert_in_range(n, 1, sizeof text - 1);
    load_text(l, text);
}

static void test_dane(void **state)
{
    static const struct {
        const char *upstream;
        enum conf_dane dane;
    } good[] = {
        {"servers: 'a.test:25'", CONF_DANE_NONE},
        {"servers: 'a.test:25', tls: opportunistic, dane: opportunistic", CONF_DANE_OPPORTUNISTIC},
        {"servers: 'a.test:25', tls: opportunistic, dane: required", CONF_DANE_REQUIRED},
        {"servers: 'a.test:465', tls: implicit, verify: no, dane: required", CONF_DANE_REQUIRED},
        {"servers: ['192.0.2.1:25', 'a.test:25'], tls: required, verify: { name: a.test }, dane: required",
         CONF_DANE_REQUIRED},
    };
    static const struct {
        const char *listener, *upstream, *report;
    } bad[] = {
        {"", "servers: 'a.test:25', dane: required",
         "2:49: error: 'dane: required' needs TLS with the servers: set tls to opportunistic, required or "
         "implicit"},
        {"", "servers: 'a.test:25', tls: none, dane: opportunistic",
         "error: 'dane: opportunistic' needs TLS"},
        {"", "servers: 'a.test:25', tls: required, dane: required, verify: { pin: " HEX " }",
         "error: 'dane: required' and 'pin' both say which key the server has: choose one of them"},
        {"", "servers: ['a.test:25', '192.0.2.1:25'], tls: opportunistic, dane: required",
         "2:45: error: with 'dane: required' the TLSA records of '192.0.2.1:25' are sought, but an address "
         "has "
         "none: set verify: { name: NAME }"},
        {"", "servers: '192.0.2.1:25', tls: opportunistic, dane: opportunistic",
         "warning: 'dane' has no effect on '192.0.2.1:25': an address has no TLSA records"},
        {", intercept: redirect", "servers: 'a.test:25', tls: opportunistic, dane: required",
         "error: listener 'in' intercepts, and upstream 'mta' seeks the TLSA records of the server, but the "
         "address is all that is known"},
        {"", "servers: 'a.test:25', tls: required, dane: yes",
         "error: 'dane' is 'yes', but must be one of none, opportunistic, required"},
    };
    struct loaded l;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        load_dane(&l, "", good[i].upstream);
        assert_string_equal(l.report, "");
        assert_int_equal(l.conf->upstreams[0].dane, good[i].dane);
        unload(&l);
    }
    load_dane(&l, ", intercept: redirect",
              "servers: 'a.test:25', tls: opportunistic, dane: required, verify: { name: a.test }");
    assert_string_equal(l.report, "");
    unload(&l);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        load_dane(&l, bad[i].listener, bad[i].upstream);
        if (!strstr(l.report, bad[i].report))
            fail_msg("case %zu: wanted \"%s\", got \"%s\"", i, bad[i].report, l.report);
        assert_int_equal(l.conf == NULL, strncmp(bad[i].report, "warning", 7) != 0);
        unload(&l);
    }
}

static void test_clients(void **state)
{
    const unsigned char own[4] = {127, 0, 0, 9}, near[4] = {10, 1, 2, 3}, far[4] = {192, 0, 2, 1};
    struct loaded l;
    (void)state;
    load(&l, "", "");
    const struct conf_limits *limits = &l.conf->limits;
    assert_int_equal(limits->sessions_per_client, 50);
    assert_int_equal(limits->connections_per_client, 0);
    assert_int_equal(limits->handshakes_per_client, 0);
    assert_true(networks_have(&limits->unlimited_clients, own, 4));
    assert_false(networks_have(&limits->unlimited_clients, near, 4));
    assert_int_equal(l.conf->timeouts.close, 5000000);
    assert_int_equal(l.conf->timeouts.silent_peer, 120000000);
    assert_int_equal(l.conf->timeouts.tls_tickets, 6 * 3600000000);
    unload(&l);
    load_text(&l, "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open } }\n"
                  "upstreams: { mta: { servers: 'a.test:25' } }\n"
                  "policies: { open: { filters: [] } }\n"
                  "limits: { sessions_per_client: 3, connections_per_client: 4, handshakes_per_client: 5,\n"
                  "  unlimited_clients: 10.0.0.0/8 }\n");
    assert_string_equal(l.report, "");
    limits = &l.conf->limits;
    assert_int_equal(limits->sessions_per_client, 3);
    assert_int_equal(limits->connections_per_client, 4);
    assert_int_equal(limits->handshakes_per_client, 5);
    assert_true(networks_have(&limits->unlimited_clients, near, 4));
    assert_false(networks_have(&limits->unlimited_clients, far, 4));
    assert_false(networks_have(&limits->unlimited_clients, own, 4));
    unload(&l);
    load_text(&l, "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open } }\n"
                  "upstreams: { mta: { servers: 'a.test:25' } }\n"
                  "policies: { open: { filters: [] } }\n"
                  "limits: { unlimited_clients: [10.0.0.0/8, 10.0.0.300] }\n");
    assert_null(l.conf);
    assert_non_null(strstr(l.report, "4:43: error: '10.0.0.300' "));
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pins),     cmocka_unit_test(test_upstream),
        cmocka_unit_test(test_listener), cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_clients),  cmocka_unit_test(test_dane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
