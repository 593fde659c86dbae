/* SPDX-License-Identifier: MIT */
/* EHLO: what is read of an upstream, what is offered to a client, how it is printed. */
#include "unit/base/check.h"

#include "smtp/ehlo.h"

static struct ehlo upstream(void)
{
    static const char *const lines[] = {"PIPELINING",
                                        "SIZE 10240000",
                                        "VRFY",
                                        "ETRN",
                                        "STARTTLS",
                                        "AUTH PLAIN LOGIN",
                                        "AUTH=PLAIN  cram-md5",
                                        "enhancedstatuscodes",
                                        "8BITMIME",
                                        "DSN",
                                        "SMTPUTF8",
                                        "CHUNKING",
                                        "BINARYMIME",
                                        "XCLIENT NAME ADDR",
                                        "X-UNKNOWN a b",
                                        "",
                                        "  "};
    struct ehlo e = {0};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ehlo_take(&e, span_of(lines[i]));
    return e;
}

static void an_upstream_is_read(void **state)
{
    (void)state;
    struct ehlo e = upstream();
    assert_int_equal(e.caps, CAP_ALL & ~CAP_XFORWARD);
    assert_int_equal(e.size, 10240000);
    assert_span(span_make(e.auth, e.auth_n), "PLAIN LOGIN CRAM-MD5");
    assert_true(ehlo_has_mechanism(&e, SPAN_LIT("cram-MD5")));
    assert_false(ehlo_has_mechanism(&e, SPAN_LIT("CRAM")));
    assert_false(ehlo_has_mechanism(&e, SPAN_LIT("")));
}

static uint64_t size_of_line(const char *line)
{
    struct ehlo e = {0};
    ehlo_take(&e, span_of(line));
    assert_int_equal(e.caps, CAP_SIZE);
    return e.size;
}

static void sizes(void **state)
{
    (void)state;
    assert_int_equal(size_of_line("SIZE"), 0);
    assert_int_equal(size_of_line("SIZE 0"), 0);
    assert_int_equal(size_of_line("size 12 34"), 12);
    assert_int_equal(size_of_line("SIZE x"), 0);
    assert_int_equal(size_of_line("SIZE 99999999999999999999999"), 0);
}

static void too_many_mechanisms(void **state)
{
    (void)state;
    struct ehlo e = {0};
    char line[30];
    for (int i = 0; i < 100; i++) {
        int n = snprintf(line, sizeof line, "AUTH MECHANISM-%03d", i);
        ehlo_take(&e, span_make(line, (size_t)n));
    }
    assert_true(e.auth_n <= EHLO_AUTH_MAX && e.auth_n > EHLO_AUTH_MAX - 15);
    ehlo_take(&e, SPAN_LIT("AUTH ABCDEFGHIJKLMNOPQRSTU A*B \xff"));
    assert_false(ehlo_has_mechanism(&e, SPAN_LIT("ABCDEFGHIJKLMNOPQRSTU")));
}

static void mechanisms_to_the_last_octet(void **state)
{
    (void)state;
    struct ehlo e = {0};
    char line[30];
    for (int i = 0; i < 16; i++) {
        int n = snprintf(line, sizeof line, "AUTH MECHANISM-%05d", i);
        ehlo_take(&e, span_make(line, (size_t)n));
    }
    assert_int_equal(e.auth_n, EHLO_AUTH_MAX - 1);
    ehlo_take(&e, SPAN_LIT("AUTH X"));
    assert_int_equal(e.auth_n, EHLO_AUTH_MAX - 1);
}

static void offers(void **state)
{
    (void)state;
    struct ehlo u = upstream();
    struct ehlo e = ehlo_offer(&u, CAP_PIPELINING, CAP_DSN, 5000);
    assert_int_equal(e.caps, CAP_PIPELINING | CAP_SIZE | CAP_AUTH | CAP_ENHANCEDSTATUSCODES | CAP_8BITMIME |
                                 CAP_SMTPUTF8);
    assert_int_equal(e.size, 5000);
    assert_int_equal(ehlo_offer(&u, 0, 0, 0).size, 10240000);
    assert_int_equal(ehlo_offer(&u, 0, 0, 99999999).size, 10240000);
    u.size = 0;
    assert_int_equal(ehlo_offer(&u, 0, 0, 7).size, 7);
    assert_int_equal(ehlo_offer(&u, 0, CAP_SIZE, 7).size, 0);

    struct ehlo none = {0};
    assert_int_equal(ehlo_offer(&none, CAP_PIPELINING | CAP_STARTTLS, CAP_STARTTLS, 5000).caps,
                     CAP_PIPELINING);
    assert_int_equal(ehlo_offer(&none, CAP_8BITMIME | CAP_CHUNKING, 0, 0).caps, 0); /* not ours to give */
}

static void mechanisms_bound_to_the_channel(void **state) /* CP-20 */
{
    (void)state;
    struct ehlo u = {0};
    ehlo_take(&u, SPAN_LIT("AUTH SCRAM-SHA-256-PLUS EXTERNAL SCRAM-SHA-256 GSSAPI x-plus"));
    struct ehlo e = ehlo_offer(&u, 0, 0, 0);
    assert_int_equal(e.caps, CAP_AUTH);
    assert_span(span_make(e.auth, e.auth_n), "SCRAM-SHA-256");

    struct ehlo bound = {0};
    ehlo_take(&bound, SPAN_LIT("AUTH EXTERNAL"));
    assert_int_equal(bound.caps, CAP_AUTH);
    assert_int_equal(ehlo_offer(&bound, 0, 0, 0).caps, 0);
}

static void printed(void **state)
{
    (void)state;
    struct buf out = {0};
    struct ehlo u = upstream(), e = ehlo_offer(&u, CAP_PIPELINING, 0, 5000);
    assert_true(ehlo_print(&out, SPAN_LIT("gate.example.org"), &e));
    assert_span(buf_span(&out),
                "250-gate.example.org\r\n250-PIPELINING\r\n250-SIZE 5000\r\n250-AUTH PLAIN LOGIN CRAM-MD5\r\n"
                "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n");
    buf_free(&out);

    struct ehlo none = {.caps = CAP_AUTH};
    assert_true(ehlo_print(&out, SPAN_LIT("h"), &none));
    assert_span(buf_span(&out), "250 h\r\n");
    buf_free(&out);

    struct ehlo size = {.caps = CAP_SIZE};
    assert_true(ehlo_print(&out, SPAN_LIT("h"), &size));
    assert_span(buf_span(&out), "250-h\r\n250 SIZE\r\n");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upstream_is_read),
        cmocka_unit_test(sizes),
        cmocka_unit_test(mechanisms_to_the_last_octet),
        cmocka_unit_test(too_many_mechanisms),
        cmocka_unit_test(offers),
        cmocka_unit_test(printed),
        cmocka_unit_test(mechanisms_bound_to_the_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
