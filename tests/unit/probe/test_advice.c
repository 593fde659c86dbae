/* SPDX-License-Identifier: MIT */
/* What the probe recommends, from facts that are given. */
#include "unit/base/check.h"

#include "probe/advice.h"

#include <stdio.h>

static const struct facts plain = {.host = "192.0.2.9",
                                   .port = 25,
                                   .server_ip = "192.0.2.9",
                                   .own_ip = "192.0.2.5",
                                   .verb = "EHLO",
                                   .kind = FACTS_UNKNOWN};

static void upstream_is(const struct facts *f, const char *want)
{
    struct buf out = {0};
    assert_true(advice_upstream(f, &out));
    assert_spans_eq(buf_span(&out), span_of(want));
    buf_free(&out);
}

static void lines_are(const struct facts *f, enum facts_kind kind, enum facts_way_name way, const char *want)
{
    struct buf out = {0};
    size_t at = 0;
    const struct advice *a;
    while ((a = advice_next(f, &at)) && (a->kind != kind || a->way != way))
        ;
    assert_non_null(a);
    assert_true(advice_lines(a, f, &out));
    assert_spans_eq(buf_span(&out), span_of(want));
    buf_free(&out);
}

static void identities(void **state)
{
    static const struct {
        enum facts_way_name works;
        const char *want;
    } cases[] = {{FACTS_XCLIENT, "xclient"},
                 {FACTS_XFORWARD, "xforward"},
                 {FACTS_PROXY_V2, "proxy-v2"},
                 {FACTS_PROXY_V1, "proxy-v1"}};
    (void)state;
    assert_string_equal(advice_identity(&plain).value, "auto");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct facts f = plain;
        f.ways[cases[i].works].outcome = FACTS_WORKS;
        assert_string_equal(advice_identity(&f).value, cases[i].want);
    }
    struct facts both = plain;
    both.ways[FACTS_XCLIENT].outcome = both.ways[FACTS_XFORWARD].outcome = FACTS_WORKS;
    assert_string_equal(advice_identity(&both).value, "xclient");
}

static void upstreams(void **state)
{
    (void)state;
    struct facts f = plain;
    upstream_is(&f,
                "upstreams:\n  mta:\n    servers: [\"192.0.2.9:25\"]\n    tls: none\n    identity: auto\n");
    f.verb = "LHLO";
    f.tls.state = FACTS_TLS_FAILED;
    upstream_is(&f, "upstreams:\n  mta:\n    servers: [\"192.0.2.9:25\"]\n    tls: none\n    protocol: lmtp\n"
                    "    identity: auto\n");
}

static void certify(struct facts *f, const char *host, const char *names, bool verified)
{
    f->tls = (struct facts_tls){.state = FACTS_TLS_WORKS, .shown = true, .certificate.verified = verified};
    (void)snprintf(f->host, sizeof f->host, "%s", host);
    (void)snprintf(f->tls.certificate.names, sizeof f->tls.certificate.names, "%s", names);
    (void)snprintf(f->tls.certificate.pin, sizeof f->tls.certificate.pin, "c0ffee");
}

#define BLOCK(host, verify)                                                                                  \
    "upstreams:\n  mta:\n    servers: [\"" host ":25\"]\n    tls: required\n    verify: { " verify           \
    " }\n    identity: auto\n"

static void verification(void **state)
{
    static const struct {
        const char *host, *names;
        bool verified;
        const char *want;
    } cases[] = {
        {"mx.test", "a.test MX.test", true, BLOCK("mx.test", "name: mx.test")},
        {"mx.test.", "mx.test", true, BLOCK("mx.test.", "name: mx.test.")},
        {"mx.y.test", "*.y.test", true, BLOCK("mx.y.test", "name: mx.y.test")},
        {"192.0.2.9", "mx.test 192.0.2.9", true, BLOCK("192.0.2.9", "name: 192.0.2.9")},
        {"192.0.2.9", "*.y.test mx.test", true, BLOCK("192.0.2.9", "name: mx.test")},
        {"a.b.y.test", "*.y.test", true, BLOCK("a.b.y.test", "pin: \"c0ffee\"")},
        {"y.test", "*.y.test ...", true, BLOCK("y.test", "pin: \"c0ffee\"")},
        {"mx.test", "mx.test", false, BLOCK("mx.test", "pin: \"c0ffee\"")},
        {"mx.test", "", true, BLOCK("mx.test", "pin: \"c0ffee\"")},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct facts f = plain;
        certify(&f, cases[i].host, cases[i].names, cases[i].verified);
        upstream_is(&f, cases[i].want);
    }
}

static void addresses_in_lines(void **state)
{
    (void)state;
    struct facts f = plain;
    lines_are(&f, FACTS_POSTFIX, FACTS_XCLIENT, "smtpd_authorized_xclient_hosts = 192.0.2.5\n");
    lines_are(&f, FACTS_POSTFIX, FACTS_PROXY_V2,
              "192.0.2.9:10025 inet n - n - - smtpd\n  -o smtpd_upstream_proxy_protocol=haproxy\n");
    (void)snprintf(f.own_ip, sizeof f.own_ip, "2001:db8::5");
    (void)snprintf(f.server_ip, sizeof f.server_ip, "2001:db8::9");
    f.port = 60000;
    lines_are(&f, FACTS_POSTFIX, FACTS_XFORWARD, "smtpd_authorized_xforward_hosts = [2001:db8::5]\n");
    lines_are(&f, FACTS_POSTFIX, FACTS_PROXY_V2,
              "[2001:db8::9]:50000 inet n - n - - smtpd\n  -o smtpd_upstream_proxy_protocol=haproxy\n");
    lines_are(&f, FACTS_OPENSMTPD, FACTS_PROXY_V2, "listen on 2001:db8::9 port 50000 proxy-v2\n");
    lines_are(&f, FACTS_EXIM, FACTS_PROXY_V2, "hosts_proxy = <; 2001:db8::5\n");
}

static size_t count(const struct facts *f, enum facts_kind *first_r)
{
    size_t at = 0, n = 0;
    for (const struct advice *a; (a = advice_next(f, &at)); n++)
        if (n == 0)
            *first_r = a->kind;
    return n;
}

static void order(void **state)
{
    (void)state;
    enum facts_kind first = FACTS_UNKNOWN;
    struct facts f = plain;
    size_t all = count(&f, &first);
    assert_int_equal(first, FACTS_POSTFIX);
    for (int kind = 0; kind < FACTS_KINDS; kind++) {
        f.kind = (enum facts_kind)kind;
        assert_in_range(count(&f, &first), 1, all);
        assert_int_equal(first, kind);
    }
    f = plain;
    f.ways[FACTS_PROXY_V1].outcome = FACTS_WORKS;
    assert_int_equal(count(&f, &first), all - FACTS_KINDS);
}

static void braces_that_are_no_words(void **state)
{
    (void)state;
    struct buf out = {0};
    struct facts f = plain;
    size_t at = 0;
    f.kind = FACTS_EXIM;
    const struct advice *a = advice_next(&f, &at);
    assert_non_null(a);
    assert_true(advice_note(a, &f, &out));
    struct span said = buf_span(&out);
    const struct span want = SPAN_LIT("${if eq{$received_port}{10025}{<; 192.0.2.5}{}}");
    while (said.n && !span_istarts(said, want))
        said = span_skip(said, 1);
    assert_true(said.n > 0);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identities),   cmocka_unit_test(upstreams),
        cmocka_unit_test(verification), cmocka_unit_test(addresses_in_lines),
        cmocka_unit_test(order),        cmocka_unit_test(braces_that_are_no_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
