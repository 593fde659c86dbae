/* SPDX-License-Identifier: MIT */
/* The user name inside an AUTH exchange; and that a password is never taken for one. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "base/base64.h"
#include "smtp/text.h"

static void respond(struct sasl_user *u, struct span plain)
{
    struct buf coded = {0};
    assert_true(base64_encode(plain, &coded));
    sasl_user_response(u, buf_span(&coded));
    buf_free(&coded);
}

struct exchange {
    const char *mechanism;
    struct span first, second;
    struct span name;
};

#define ROW(mechanism, first, second, name)                                                                  \
    {                                                                                                        \
        mechanism, {first, sizeof first - 1}, {second, sizeof second - 1},                                   \
        {                                                                                                    \
            name, sizeof name - 1                                                                            \
        }                                                                                                    \
    }
static const struct exchange table[] = {
    ROW("PLAIN", "\0joe\0secret", "", "joe"),
    ROW("plain", "admin\0joe\0secret", "", "joe"),
    ROW("PLAIN", "joe secret", "", ""),
    ROW("PLAIN", "\0joe", "", ""),
    ROW("PLAIN", "", "\0joe\0secret", "joe"),
    ROW("LOGIN", "joe", "secret", "joe"),
    ROW("LOGIN", "", "secret", ""),
    ROW("CRAM-MD5", "joe doe b913a602c7eda7a495b4e6e7334d3890", "", "joe doe"),
    ROW("CRAM-MD5", "", "joe b913a602c7eda7a495b4e6e7334d3890", "joe"),
    ROW("SCRAM-SHA-1", "n,,n=joe,r=abc", "c=biws,r=abc,p=v0X8", "joe"),
    ROW("SCRAM-SHA-256", "n,a=admin,n=a=2Cb=3Dc,r=x", "", "a,b=c"),
    ROW("SCRAM-SHA-256", "y,,r=x", "", ""),
    ROW("XOAUTH2", "user=joe@example.org\001auth=Bearer tok\001\001", "", "joe@example.org"),
    ROW("XOAUTH2", "auth=Bearer tok\001\001", "", ""),
    ROW("OAUTHBEARER", "n,a=joe@example.org,\001host=h\001auth=Bearer t\001\001", "", "joe@example.org"),
    ROW("OAUTHBEARER", "n,,\001auth=Bearer t\001\001", "", ""),
    ROW("GSSAPI", "\0joe\0secret", "", ""),
    ROW("PLAIN", "\0j\x01o\xff\0secret", "", "j?o?"),
    ROW("PLAIN", "\0j\xc3\xbcrg\0secret", "", "j\xc3\xbcrg"),
};

static void names(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct sasl_user u;
        assert_true(sasl_user_begin(&u, span_of(table[i].mechanism)));
        respond(&u, table[i].first);
        respond(&u, table[i].second);
        assert_spans_eq(span_make(u.name, u.name_n), table[i].name);
        assert_int_equal(u.responses, 2);
        assert_null(memmem(&u, sizeof u, "secret", 6));
    }
}

static void what_is_no_base64_gives_no_name(void **state)
{
    (void)state;
    struct sasl_user u;
    static const char *const odd[] = {"=", "*", "", "not base64!", "am9l\r\n"};
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        assert_true(sasl_user_begin(&u, SPAN_LIT("LOGIN")));
        sasl_user_response(&u, span_of(odd[i]));
        sasl_user_response(&u, SPAN_LIT("c2VjcmV0")); /* the password, in second place */
        assert_int_equal(u.name_n, 0);
    }
    static char huge[20000];
    memset(huge, 'A', sizeof huge);
    assert_true(sasl_user_begin(&u, SPAN_LIT("LOGIN")));
    sasl_user_response(&u, span_make(huge, sizeof huge));
    assert_int_equal(u.name_n, 0);
}

static void long_names_are_cut_at_a_character(void **state)
{
    (void)state;
    char name[400];
    for (size_t i = 0; i + 3 <= sizeof name; i += 3)
        memcpy(name + i, "\xe2\x82\xac", 3);
    struct sasl_user u;
    assert_true(sasl_user_begin(&u, SPAN_LIT("LOGIN")));
    respond(&u, span_make(name, 399));
    assert_int_equal(u.name_n, 255);
}

static void names_of_mechanisms(void **state)
{
    (void)state;
    struct sasl_user u;
    assert_true(sasl_user_begin(&u, SPAN_LIT("scram-sha-256_x")));
    assert_span(span_make(u.mechanism, u.mechanism_n), "SCRAM-SHA-256_X");
    assert_true(sasl_user_begin(&u, SPAN_LIT("ABCDEFGHIJKLMNOPQRST")));
    assert_false(sasl_user_begin(&u, SPAN_LIT("ABCDEFGHIJKLMNOPQRSTU")));
    assert_false(sasl_user_begin(&u, SPAN_LIT("")));
    assert_false(sasl_user_begin(&u, SPAN_LIT("PLAIN x")));
    assert_false(sasl_user_begin(&u, SPAN_LIT("PL\xc3\xbc")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(what_is_no_base64_gives_no_name),
        cmocka_unit_test(long_names_are_cut_at_a_character),
        cmocka_unit_test(names_of_mechanisms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
