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
                                        "REQUIRETLS",
                                        "DELIVERBY 240",
                                        "mt-priority STANAG4406",
                                        "FUTURERELEASE 86400 2030-01-01T00:00:00Z",
                                        "LIMITS MAILMAX=7 RCPTDOMAINMAX=3",
                                        "EXPN",
                                        "PRDR",
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
    assert_span(span_make(e.values[EHLO_DELIVERBY].text, e.values[EHLO_DELIVERBY].n), "240");
    assert_span(span_make(e.values[EHLO_MT_PRIORITY].text, e.values[EHLO_MT_PRIORITY].n), "STANAG4406");
    assert_int_equal(e.limits[EHLO_RCPTMAX], 0);
    assert_int_equal(e.limits[EHLO_MAILMAX], 7);
    assert_int_equal(e.limits[EHLO_RCPTDOMAINMAX], 3);
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

/* A value that its RFC does not know: the keyword says nothing. */
static void values(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        uint32_t caps;
    } table[] = {
        {"DELIVERBY", CAP_DELIVERBY},
        {"DELIVERBY 999999999,token", CAP_DELIVERBY},
        {"DELIVERBY 1000000000", 0},
        {"DELIVERBY soon", 0},
        {"DELIVERBY 1 2", 0},
        {"MT-PRIORITY", CAP_MT_PRIORITY},
        {"MT-PRIORITY MIXER", CAP_MT_PRIORITY},
        {"MT-PRIORITY A B", 0},
        {"MT-PRIORITY \xc3\xbc", 0},
        {"MT-PRIORITY aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0},
        {"FUTURERELEASE 1 2030-01-01T00:00:00Z", CAP_FUTURERELEASE},
        {"FUTURERELEASE", 0},
        {"FUTURERELEASE 86400", 0},
        {"FUTURERELEASE 0 2030-01-01T00:00:00Z", 0},
        {"FUTURERELEASE 1 2030-01-01", 0},
        {"REQUIRETLS", CAP_REQUIRETLS},
        {"LIMITS", CAP_LIMITS},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct ehlo e = {0};
        ehlo_take(&e, span_of(table[i].line));
        if (e.caps != table[i].caps)
            fail_msg("\"%s\": %x", table[i].line, (unsigned)e.caps);
    }
}

static uint32_t limit_of(const char *line)
{
    struct ehlo e = {0};
    ehlo_take(&e, span_of(line));
    assert_int_equal(e.limits[EHLO_MAILMAX], 0);
    return e.limits[EHLO_RCPTMAX];
}

static void limits(void **state)
{
    (void)state;
    assert_int_equal(limit_of("LIMITS RCPTMAX=1"), 1);
    assert_int_equal(limit_of("LIMITS X=1 rcptmax=999999 Y"), 999999);
    assert_int_equal(limit_of("LIMITS RCPTMAX=1000000"), 0);
    assert_int_equal(limit_of("LIMITS RCPTMAX=0"), 0);
    assert_int_equal(limit_of("LIMITS RCPTMAX=01"), 0);
    assert_int_equal(limit_of("LIMITS RCPTMAX=1x"), 0);
    assert_int_equal(limit_of("LIMITS RCPTMAX= MAILMAX=-1"), 0);
    assert_int_equal(limit_of("LIMITS RCPTMAX MAILMAX"), 0);
    assert_int_equal(limit_of("LIMITS RCPTMAXX=3 RCPTMA=4"), 0);
}

/* The smaller of both sides', and what only one side says. */
static void limits_are_combined(void **state)
{
    (void)state;
    struct buf out = {0};
    struct ehlo u = {0};
    struct ehlo_policy own = {.limits = {[EHLO_RCPTMAX] = 100, [EHLO_MAILMAX] = 50}};
    struct ehlo e = ehlo_offer(&u, &own);
    assert_int_equal(e.caps, CAP_LIMITS);
    assert_true(ehlo_print(&out, SPAN_LIT("h"), &e));
    assert_span(buf_span(&out), "250-h\r\n250 LIMITS RCPTMAX=100 MAILMAX=50\r\n");
    buf_free(&out);

    ehlo_take(&u, SPAN_LIT("LIMITS RCPTMAX=200 MAILMAX=5 RCPTDOMAINMAX=2"));
    e = ehlo_offer(&u, &own);
    assert_true(ehlo_print(&out, SPAN_LIT("h"), &e));
    assert_span(buf_span(&out), "250-h\r\n250 LIMITS RCPTMAX=100 MAILMAX=5 RCPTDOMAINMAX=2\r\n");
    buf_free(&out);

    struct ehlo_policy none = {.limits = {[EHLO_RCPTMAX] = 1000000}}; /* more than LIMITS can say */
    assert_int_equal(ehlo_offer(&u, &none).limits[EHLO_RCPTMAX], 200);
    struct ehlo bare = {.caps = CAP_LIMITS};
    assert_int_equal(ehlo_offer(&bare, &none).caps, 0);
    none.deny = CAP_LIMITS;
    assert_int_equal(ehlo_offer(&u, &none).caps, 0);
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

static struct ehlo offer_with(const struct ehlo *u, uint32_t own, uint32_t deny, uint64_t max_size)
{
    return ehlo_offer(u, &(struct ehlo_policy){.own = own, .deny = deny, .max_size = max_size});
}

static void offers(void **state)
{
    (void)state;
    struct ehlo u = upstream();
    struct ehlo e = offer_with(&u, CAP_PIPELINING, CAP_DSN, 5000);
    assert_int_equal(e.caps, CAP_PIPELINING | CAP_SIZE | CAP_AUTH | CAP_ENHANCEDSTATUSCODES | CAP_8BITMIME |
                                 CAP_SMTPUTF8 | CAP_REQUIRETLS | CAP_DELIVERBY | CAP_MT_PRIORITY |
                                 CAP_BINARYMIME | CAP_PRDR | CAP_FUTURERELEASE | CAP_VRFY | CAP_EXPN |
                                 CAP_ETRN | CAP_LIMITS);
    assert_int_equal(e.size, 5000);
    assert_int_equal(offer_with(&u, 0, 0, 0).size, 10240000);
    assert_int_equal(offer_with(&u, 0, 0, 99999999).size, 10240000);
    u.size = 0;
    assert_int_equal(offer_with(&u, 0, 0, 7).size, 7);
    assert_int_equal(offer_with(&u, 0, CAP_SIZE, 7).size, 0);

    struct ehlo none = {0};
    assert_int_equal(offer_with(&none, CAP_PIPELINING | CAP_STARTTLS, CAP_STARTTLS, 5000).caps,
                     CAP_PIPELINING);
    assert_int_equal(offer_with(&none, CAP_8BITMIME | CAP_DELIVERBY, 0, 0).caps, 0); /* not ours to give */
}

static void mechanisms_bound_to_the_channel(void **state) /* CP-20 */
{
    (void)state;
    struct ehlo u = {0};
    ehlo_take(&u, SPAN_LIT("AUTH SCRAM-SHA-256-PLUS EXTERNAL SCRAM-SHA-256 GSSAPI x-plus"));
    struct ehlo e = offer_with(&u, 0, 0, 0);
    assert_int_equal(e.caps, CAP_AUTH);
    assert_span(span_make(e.auth, e.auth_n), "SCRAM-SHA-256");

    struct ehlo bound = {0};
    ehlo_take(&bound, SPAN_LIT("AUTH EXTERNAL"));
    assert_int_equal(bound.caps, CAP_AUTH);
    assert_int_equal(offer_with(&bound, 0, 0, 0).caps, 0);
}

static void printed(void **state)
{
    (void)state;
    struct buf out = {0};
    struct ehlo u = upstream(), e = offer_with(&u, CAP_PIPELINING, 0, 5000);
    assert_true(ehlo_print(&out, SPAN_LIT("gate.example.org"), &e));
    assert_span(
        buf_span(&out),
        "250-gate.example.org\r\n250-LIMITS MAILMAX=7 RCPTDOMAINMAX=3\r\n250-PIPELINING\r\n250-SIZE "
        "5000\r\n250-AUTH PLAIN LOGIN CRAM-MD5\r\n"
        "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-REQUIRETLS\r\n"
        "250-DELIVERBY 240\r\n250-MT-PRIORITY STANAG4406\r\n"
        "250-FUTURERELEASE 86400 2030-01-01T00:00:00Z\r\n250-VRFY\r\n250-EXPN\r\n250-ETRN\r\n250-PRDR\r\n250 "
        "BINARYMIME\r\n");
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
        cmocka_unit_test(values),
        cmocka_unit_test(limits),
        cmocka_unit_test(limits_are_combined),
        cmocka_unit_test(mechanisms_to_the_last_octet),
        cmocka_unit_test(too_many_mechanisms),
        cmocka_unit_test(offers),
        cmocka_unit_test(printed),
        cmocka_unit_test(mechanisms_bound_to_the_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
