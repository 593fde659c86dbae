/* SPDX-License-Identifier: MIT */
/* "HOST:PORT" in all its forms, and what is none of them. */
#include "unit/base/check.h"

#include "probe/probe.h"

static void good(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } cases[] = {
        {"mx.test", "mx.test", 25},
        {"mx.test:587", "mx.test", 587},
        {"192.0.2.1:65535", "192.0.2.1", 65535},
        {"[::1]", "::1", 25},
        {"[::1]:465", "::1", 465},
        {"2001:db8::1", "2001:db8::1", 25},
        {"[192.0.2.1]:1", "192.0.2.1", 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct probe_request r = {0};
        const char *error;
        assert_true(probe_target(cases[i].text, &r, &error));
        assert_string_equal(r.host, cases[i].host);
        assert_int_equal(r.port, cases[i].port);
    }
}

static void bad(void **state)
{
    static const char *const texts[] = {
        "",       ":25",  "h:",    "h:0",    "h:65536", "h:99999999999999999999",
        "h:2 5",  "[::1", "[]:25", "[::1]x", "[::1]:",  "a b",
        "h\x1b[", "h\"x", "h:-1",  "{h}",    "[",       "[:25"};
    char longest[400];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct probe_request r = {0};
        const char *error = NULL;
        assert_false(probe_target(texts[i], &r, &error));
        assert_non_null(error);
    }
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    struct probe_request r = {0};
    const char *error = NULL;
    assert_false(probe_target(longest, &r, &error));
}

static void tls_words(void **state)
{
    enum probe_tls tls = PROBE_TLS_OFFERED;
    (void)state;
    assert_true(probe_tls_word("implicit", &tls));
    assert_int_equal(tls, PROBE_TLS_IMPLICIT);
    assert_false(probe_tls_word("", &tls));
    assert_false(probe_tls_word("tls", &tls));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad),
                                       cmocka_unit_test(tls_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
