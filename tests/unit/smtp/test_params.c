/* SPDX-License-Identifier: MIT */
/* ESMTP parameters (CP-25, CP-26 as far as syntax goes). */
#include "unit/base/check.h"

#include "base/attr.h"
#include "smtp/ehlo.h"
#include "smtp/params.h"

#define USUAL                                                                                                \
    ((uint32_t)(CAP_SIZE | CAP_8BITMIME | CAP_SMTPUTF8 | CAP_DSN | CAP_AUTH | CAP_REQUIRETLS |               \
                CAP_DELIVERBY | CAP_MT_PRIORITY | CAP_FUTURERELEASE))

struct expected {
    enum params_of of;
    const char *rest;
    enum params_error error;
};

static const struct expected table[] = {
    {PARAMS_OF_MAIL, "", PARAMS_OK},
    {PARAMS_OF_MAIL, "   ", PARAMS_OK},
    {PARAMS_OF_MAIL, "SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>", PARAMS_OK},
    {PARAMS_OF_MAIL, "size=1\tbody=7bit   ret=Full", PARAMS_OK},
    {PARAMS_OF_MAIL, "SIZE=99999999999999999999", PARAMS_OK},
    {PARAMS_OF_MAIL, "SIZE=999999999999999999999", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "SIZE=-1", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "SIZE=", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "SIZE", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "SIZE=1 SIZE=2", PARAMS_TWICE},
    {PARAMS_OF_MAIL, "SIZE=1,2", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BODY=FOO", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BODY=BINARYMIME", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "SMTPUTF8=1", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "SMTPUTF8 SMTPUTF8", PARAMS_TWICE},
    {PARAMS_OF_MAIL, "RET=ALL", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "XYZ=1", PARAMS_UNKNOWN},
    {PARAMS_OF_MAIL, "XYZ", PARAMS_UNKNOWN},
    {PARAMS_OF_MAIL, "NOTIFY=NEVER", PARAMS_UNKNOWN}, /* one of RCPT */
    {PARAMS_OF_MAIL, "REQUIRETLS", PARAMS_OK},        /* RFC 8689 */
    {PARAMS_OF_MAIL, "requiretls SIZE=1", PARAMS_OK},
    {PARAMS_OF_MAIL, "REQUIRETLS=", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "REQUIRETLS=YES", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "REQUIRETLS REQUIRETLS", PARAMS_TWICE},
    {PARAMS_OF_RCPT, "REQUIRETLS", PARAMS_UNKNOWN},
    {PARAMS_OF_MAIL, "BY=120;R", PARAMS_OK}, /* RFC 2852 */
    {PARAMS_OF_MAIL, "by=+999999999;rt", PARAMS_OK},
    {PARAMS_OF_MAIL, "BY=-999999999;NT", PARAMS_OK},
    {PARAMS_OF_MAIL, "BY=0;N", PARAMS_OK},
    {PARAMS_OF_MAIL, "BY=0;R", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=00;RT", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=-1;R", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=1000000000;N", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=120", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=120;", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=120;T", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=120;X", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=120;NR", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=;R", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=--1;N", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY=1;NTT", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "BY", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "MT-PRIORITY=0", PARAMS_OK}, /* RFC 6710 */
    {PARAMS_OF_MAIL, "MT-PRIORITY=9", PARAMS_OK},
    {PARAMS_OF_MAIL, "MT-PRIORITY=-9", PARAMS_OK},
    {PARAMS_OF_MAIL, "MT-PRIORITY=-0", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "MT-PRIORITY=+1", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "MT-PRIORITY=10", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "MT-PRIORITY=-", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "MT-PRIORITY=a", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "MT-PRIORITY", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDFOR=1", PARAMS_OK}, /* RFC 4865 */
    {PARAMS_OF_MAIL, "HOLDFOR=999999999", PARAMS_OK},
    {PARAMS_OF_MAIL, "HOLDFOR=1000000000", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDFOR=0", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDFOR=01", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDFOR=-1", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDFOR", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-12-31T23:59:60Z", PARAMS_OK},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2028-02-29t00:00:00.123z", PARAMS_OK},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01T00:00:00+05:30", PARAMS_OK},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2000-02-29T00:00:00-00:00", PARAMS_OK},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2100-02-29T00:00:00Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-02-29T00:00:00Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-04-31T00:00:00Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-13-01T00:00:00Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-00-01T00:00:00Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-00T00:00:00Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01T24:00:00Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01T00:60:00Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01T00:00:61Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01T00:00:00.Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01T00:00:00", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01T00:00:00+24:00", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01T00:00:00Zx", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=30-01-01T00:00:00Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01T00:00:00Z HOLDFOR=1", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "=", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "=1", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "A==B", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "SIZE=1=2", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "-X=1", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "X\xc3\xbc=1", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "SIZE=1\r", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "ENVID=a\x01", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "ENVID=\xc3\xbc", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "ENVID=+0", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "ENVID=+GG", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "ENVID=a+00", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "ENVID=+0D+0A", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "AUTH=a+40b", PARAMS_OK},
    {PARAMS_OF_MAIL, "AUTH=a@b.test", PARAMS_OK},
    {PARAMS_OF_MAIL, "AUTH=<a@b>", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "AUTH=a+20b@c", PARAMS_SYNTAX},
    {PARAMS_OF_MAIL, "AUTH", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "NOTIFY=NEVER ORCPT=rfc822;a+40b", PARAMS_OK},
    {PARAMS_OF_RCPT, "NOTIFY=SUCCESS,failure,DELAY", PARAMS_OK},
    {PARAMS_OF_RCPT, "NOTIFY=NEVER,DELAY", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "NOTIFY=SUCCESS,", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "NOTIFY=,SUCCESS", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "NOTIFY=", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "ORCPT=a@b", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "ORCPT=rfc822;", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "ORCPT=;a", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "ORCPT=rfc 822;a", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "ORCPT=rfc822;a+0Ab", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "ORCPT=rfc822;\xc3\xbc@b", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "ORCPT=utf-8;\xc3\xbc@b", PARAMS_OK},
    {PARAMS_OF_RCPT, "ORCPT=utf-8;\xc3@b", PARAMS_SYNTAX},
    {PARAMS_OF_RCPT, "ORCPT=utf-8;a\\x{FC}@b", PARAMS_OK},
    {PARAMS_OF_RCPT, "SIZE=1", PARAMS_UNKNOWN},
};

static void parameters(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct params p;
        struct span bad;
        enum params_error e = params_parse(span_of(table[i].rest), table[i].of, USUAL, &p, &bad);
        if (e != table[i].error)
            fail_msg("\"%s\": %d instead of %d", table[i].rest, (int)e, (int)table[i].error);
        assert_int_equal(bad.p != NULL, e != PARAMS_OK);
    }
}

static void values_are_as_written(void **state)
{
    (void)state;
    struct params p;
    struct span bad;
    assert_int_equal(
        params_parse(SPAN_LIT("sIzE=0123 SMTPUTF8 ENVID=a+2Bb"), PARAMS_OF_MAIL, USUAL, &p, &bad), PARAMS_OK);
    assert_span(p.value[PARAM_SIZE], "0123");
    assert_int_equal(p.size, 123);
    assert_span(p.value[PARAM_ENVID], "a+2Bb");
    assert_non_null(p.value[PARAM_SMTPUTF8].p);
    assert_int_equal(p.value[PARAM_SMTPUTF8].n, 0);
    assert_null(p.value[PARAM_BODY].p);
    assert_int_equal(params_parse(SPAN_LIT("SIZE=99999999999999999999"), PARAMS_OF_MAIL, USUAL, &p, &bad),
                     PARAMS_OK);
    assert_true(p.size == UINT64_MAX);
    assert_int_equal(params_parse(SPAN_LIT("SIZE=18446744073709551615"), PARAMS_OF_MAIL, USUAL, &p, &bad),
                     PARAMS_OK);
    assert_true(p.size == UINT64_MAX);
    assert_int_equal(params_parse(SPAN_LIT("SIZE=18446744073709551614"), PARAMS_OF_MAIL, USUAL, &p, &bad),
                     PARAMS_OK);
    assert_true(p.size == UINT64_MAX - 1);
    assert_int_equal(params_parse(SPAN_LIT("SIZE=18446744073709551616"), PARAMS_OF_MAIL, USUAL, &p, &bad),
                     PARAMS_OK);
    assert_true(p.size == UINT64_MAX);
}

static void the_bad_one_is_named(void **state)
{
    (void)state;
    struct params p;
    struct span bad;
    assert_int_equal(params_parse(SPAN_LIT("SIZE=1 FOO=2 BODY=X"), PARAMS_OF_MAIL, USUAL, &p, &bad),
                     PARAMS_UNKNOWN);
    assert_span(bad, "FOO=2");
}

static void what_was_not_offered_is_refused(void **state)
{
    (void)state;
    static const struct expected one_each[] = {
        {PARAMS_OF_MAIL, "SIZE=1", 0},
        {PARAMS_OF_MAIL, "BODY=7BIT", 0},
        {PARAMS_OF_MAIL, "SMTPUTF8", 0},
        {PARAMS_OF_MAIL, "RET=FULL", 0},
        {PARAMS_OF_MAIL, "ENVID=a", 0},
        {PARAMS_OF_MAIL, "AUTH=<>", 0},
        {PARAMS_OF_MAIL, "REQUIRETLS", 0},
        {PARAMS_OF_MAIL, "BY=1;N", 0},
        {PARAMS_OF_MAIL, "HOLDFOR=1", 0},
        {PARAMS_OF_MAIL, "MT-PRIORITY=1", 0},
        {PARAMS_OF_MAIL, "HOLDUNTIL=2030-01-01T00:00:00Z", 0},
        {PARAMS_OF_RCPT, "NOTIFY=NEVER", 0},
        {PARAMS_OF_RCPT, "ORCPT=rfc822;a", 0},
    };
    struct params p;
    struct span bad;
    for (size_t i = 0; i < COUNT_OF(one_each); i++) {
        struct span rest = span_of(one_each[i].rest);
        assert_int_equal(params_parse(rest, one_each[i].of, USUAL, &p, &bad), PARAMS_OK);
        assert_int_equal(params_parse(rest, one_each[i].of, 0, &p, &bad), PARAMS_NOT_OFFERED);
    }
    assert_int_equal(
        params_parse(SPAN_LIT("BODY=BINARYMIME"), PARAMS_OF_MAIL, USUAL | CAP_BINARYMIME, &p, &bad),
        PARAMS_OK);
    assert_int_equal(params_parse(SPAN_LIT("ORCPT=utf-8;\xc3\xbc"), PARAMS_OF_RCPT, CAP_DSN, &p, &bad),
                     PARAMS_SYNTAX);
}

static void lengths_of_values(void **state)
{
    (void)state;
    char rest[700] = "ENVID=";
    struct params p;
    struct span bad;
    memset(rest + 6, 'e', 200);
    assert_int_equal(params_parse(span_make(rest, 6 + 100), PARAMS_OF_MAIL, USUAL, &p, &bad), PARAMS_OK);
    assert_int_equal(params_parse(span_make(rest, 6 + 101), PARAMS_OF_MAIL, USUAL, &p, &bad), PARAMS_SYNTAX);
    for (size_t i = 0; i < 100; i++)
        memcpy(rest + 6 + 3 * i, "+41", 3); /* 100 octets when decoded */
    assert_int_equal(params_parse(span_make(rest, 6 + 300), PARAMS_OF_MAIL, USUAL, &p, &bad), PARAMS_OK);
    memcpy(rest, "ORCPT=rfc822;", 13);
    memset(rest + 13, 'o', 600);
    assert_int_equal(params_parse(span_make(rest, 6 + 500), PARAMS_OF_RCPT, USUAL, &p, &bad), PARAMS_OK);
    assert_int_equal(params_parse(span_make(rest, 6 + 501), PARAMS_OF_RCPT, USUAL, &p, &bad), PARAMS_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters),           cmocka_unit_test(values_are_as_written),
        cmocka_unit_test(the_bad_one_is_named), cmocka_unit_test(what_was_not_offered_is_refused),
        cmocka_unit_test(lengths_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
