/* SPDX-License-Identifier: MIT */
/* Paths: what is taken, what is refused and why, and where its parts are. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "smtp/path.h"

struct good {
    enum path_kind kind;
    const char *arg, *whole, *mailbox, *local, *domain, *rest;
};

static const struct good taken[] = {
    {PATH_FROM, "FROM:<a@b.test>", "<a@b.test>", "a@b.test", "a", "b.test", ""},
    {PATH_FROM, "from:<a@b> SIZE=1  BODY=7BIT ", "<a@b>", "a@b", "a", "b", "SIZE=1  BODY=7BIT"},
    {PATH_FROM, "FROM: \t<a@b>", "<a@b>", "a@b", "a", "b", ""}, /* CP-21 */
    {PATH_FROM, "FROM:<>", "<>", "", "", "", ""},
    {PATH_FROM, "FROM:<>\tRET=HDRS", "<>", "", "", "", "RET=HDRS"},
    {PATH_TO, "TO:<postmaster>", "<postmaster>", "postmaster", "postmaster", "", ""}, /* CP-22 */
    {PATH_TO, "TO:<Postmaster@x>", "<Postmaster@x>", "Postmaster@x", "Postmaster", "x", ""},
    {PATH_FROM, "FROM:a@b SIZE=1", "a@b", "a@b", "a", "b", "SIZE=1"},
    {PATH_TO, "TO: \"a b\"@[1.2.3.4]", "\"a b\"@[1.2.3.4]", "\"a b\"@[1.2.3.4]", "\"a b\"", "[1.2.3.4]", ""},
    {PATH_FROM, "FROM:<root>", "<root>", "root", "root", "", ""},
    {PATH_TO, "TO:<\"\"@x.test>", "<\"\"@x.test>", "\"\"@x.test", "\"\"", "x.test", ""},
    {PATH_TO, "TO:<\"a b\"@x>", "<\"a b\"@x>", "\"a b\"@x", "\"a b\"", "x", ""},
    {PATH_TO, "TO:<\"a\\\"b\\\\c\"@x> N", "<\"a\\\"b\\\\c\"@x>", "\"a\\\"b\\\\c\"@x", "\"a\\\"b\\\\c\"", "x",
     "N"},
    {PATH_TO, "TO:<\"a>b\"@x>", "<\"a>b\"@x>", "\"a>b\"@x", "\"a>b\"", "x", ""},
    {PATH_TO, "TO:<\"@\"@x>", "<\"@\"@x>", "\"@\"@x", "\"@\"", "x", ""},
    {PATH_TO, "TO:<@a.test,@b.test:u@c.test>", "<@a.test,@b.test:u@c.test>", "u@c.test", "u", "c.test",
     ""}, /* CP-23 */
    {PATH_TO, "TO:<@[1.2.3.4]:u@c>", "<@[1.2.3.4]:u@c>", "u@c", "u", "c", ""},
    {PATH_TO, "TO:<u%c@b>", "<u%c@b>", "u%c@b", "u%c", "b", ""},
    {PATH_TO, "TO:<a!b!u@c>", "<a!b!u@c>", "a!b!u@c", "a!b!u", "c", ""},
    {PATH_TO, "TO:<u@[127.0.0.1]>", "<u@[127.0.0.1]>", "u@[127.0.0.1]", "u", "[127.0.0.1]", ""},
    {PATH_TO, "TO:<u@[IPv6:::1]>", "<u@[IPv6:::1]>", "u@[IPv6:::1]", "u", "[IPv6:::1]", ""},
    {PATH_TO, "TO:<u@[ipv6:2001:db8::192.0.2.1]>", "<u@[ipv6:2001:db8::192.0.2.1]>",
     "u@[ipv6:2001:db8::192.0.2.1]", "u", "[ipv6:2001:db8::192.0.2.1]", ""},
    {PATH_TO, "TO:<u@[x-tag:anything]>", "<u@[x-tag:anything]>", "u@[x-tag:anything]", "u",
     "[x-tag:anything]", ""},
    {PATH_TO, "TO:<a..b@x>", "<a..b@x>", "a..b@x", "a..b", "x", ""},
    {PATH_TO, "TO:<.a.@x>", "<.a.@x>", ".a.@x", ".a.", "x", ""},
    {PATH_TO, "TO:<u@a_b.-c-.test>", "<u@a_b.-c-.test>", "u@a_b.-c-.test", "u", "a_b.-c-.test", ""},
    {PATH_TO, "TO:<a+b=c/d'e@x>", "<a+b=c/d'e@x>", "a+b=c/d'e@x", "a+b=c/d'e", "x", ""},
    {PATH_TO, "TO:<j\xc3\xbcrg@b\xc3\xbc.test>", "<j\xc3\xbcrg@b\xc3\xbc.test>", "j\xc3\xbcrg@b\xc3\xbc.test",
     "j\xc3\xbcrg", "b\xc3\xbc.test", ""},
};

static void paths_that_are_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(taken); i++) {
        const struct good *g = &taken[i];
        struct path p;
        struct span rest;
        enum path_error e = path_parse(span_of(g->arg), g->kind, PATH_LOCAL_MAX, &p, &rest);
        if (e != PATH_OK)
            fail_msg("\"%s\" is refused: %d", g->arg, (int)e);
        assert_spans_eq(p.whole, span_of(g->whole));
        assert_spans_eq(p.mailbox, span_of(g->mailbox));
        assert_spans_eq(p.local, span_of(g->local));
        assert_spans_eq(p.domain, span_of(g->domain));
        assert_spans_eq(rest, span_of(g->rest));
        assert_int_equal(p.utf8, memchr(g->arg, '\xc3', strlen(g->arg)) != NULL);
    }
}

struct bad {
    const char *arg;
    enum path_error error;
};

static const struct bad refused[] = {
    {"", PATH_NO_KEYWORD},
    {"TO", PATH_NO_KEYWORD},
    {"FROM:<a@b>", PATH_NO_KEYWORD},
    {"TO :<a@b>", PATH_NO_KEYWORD}, /* CP-21 */
    {"TO<a@b>", PATH_NO_KEYWORD},
    {"TO:", PATH_SYNTAX},
    {"TO:a", PATH_SYNTAX}, /* without brackets only with a domain */
    {"TO:a@b>", PATH_SYNTAX},
    {"TO:@r:a@b", PATH_SYNTAX},
    {"FROM:SIZE=1", PATH_NO_KEYWORD},
    {"TO:<a@b", PATH_SYNTAX},
    {"TO:<<a@b>", PATH_SYNTAX},
    {"TO:<<a>>", PATH_SYNTAX},
    {"TO:<a@b>>", PATH_SYNTAX},
    {"TO:<a@b>x", PATH_SYNTAX},
    {"TO:< @x>", PATH_SYNTAX},
    {"TO:< a@b>", PATH_SYNTAX},
    {"TO:<a@b >", PATH_SYNTAX},
    {"TO:<a b@c>", PATH_SYNTAX},
    {"TO:<a@@b>", PATH_SYNTAX},
    {"TO:<a@b@c>", PATH_SYNTAX},
    {"TO:<a@>", PATH_SYNTAX},
    {"TO:<@b>", PATH_SYNTAX},
    {"TO:<@>", PATH_SYNTAX},
    {"TO:<a@.b>", PATH_SYNTAX},
    {"TO:<a@b.>", PATH_SYNTAX},
    {"TO:<a@b..c>", PATH_SYNTAX},
    {"TO:</@)$@)BLAARGH!@#$$>", PATH_SYNTAX},
    {"TO:<>", PATH_NULL},
    {"TO:<\"a@b>", PATH_SYNTAX},
    {"TO:<\"a\\", PATH_SYNTAX},
    {"TO:<\"a\r\"@x>", PATH_SYNTAX},
    {"TO:<\"a\\\x01\"@x>", PATH_SYNTAX},
    {"TO:<\"a\"b@x>", PATH_SYNTAX},
    {"TO:<\"a\" @x>", PATH_SYNTAX},
    {"TO:<@a.test,:u@c>", PATH_SYNTAX},
    {"TO:<@a.test,b.test:u@c>", PATH_SYNTAX},
    {"TO:<@a.test u@c>", PATH_SYNTAX},
    {"TO:<@a.test:>", PATH_SYNTAX},
    {"TO:<u@[>", PATH_SYNTAX},
    {"TO:<u@[]>", PATH_SYNTAX},
    {"TO:<u@[1.2.3]>", PATH_SYNTAX},
    {"TO:<u@[1.2.3.256]>", PATH_SYNTAX},
    {"TO:<u@[IPv6:fe80::1%eth0]>", PATH_SYNTAX}, /* CP-23 */
    {"TO:<u@[IPv6:1:2]>", PATH_SYNTAX},
    {"TO:<u@[IPv6:1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222:3333]>", PATH_SYNTAX},
    {"TO:<u@[tag:]>", PATH_SYNTAX},
    {"TO:<u@[tag:a b]>", PATH_SYNTAX},
    {"TO:<u@[1.2.3.4]x>", PATH_SYNTAX},
    {"TO:<u;v@x>", PATH_SYNTAX},
    {"TO:<u\\v@x>", PATH_SYNTAX},
    {"TO:<\xc3@x>", PATH_NOT_UTF8},
    {"TO:<a@\xed\xa0\x80>", PATH_NOT_UTF8},
};

static void paths_that_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct path p;
        struct span rest;
        enum path_error e = path_parse(span_of(refused[i].arg), PATH_TO, PATH_LOCAL_MAX, &p, &rest);
        if (e != refused[i].error)
            fail_msg("\"%s\": %d instead of %d", refused[i].arg, (int)e, (int)refused[i].error);
    }
    struct path p;
    struct span rest;
    assert_int_equal(path_parse(SPAN_LIT("TO:<a\0b@x>"), PATH_TO, PATH_LOCAL_MAX, &p, &rest), PATH_SYNTAX);
    assert_int_equal(path_parse(SPAN_LIT("TO:<u@[1.2.3.4\0]>"), PATH_TO, PATH_LOCAL_MAX, &p, &rest),
                     PATH_SYNTAX);
}

/* "TO:<" local "@" labels of 63 and a last one ">", with the lengths asked for. */
static enum path_error with_lengths(size_t local, size_t domain, size_t label)
{
    char arg[600] = "TO:<";
    size_t n = 4;
    memset(arg + n, 'l', local);
    n += local;
    arg[n++] = '@';
    for (size_t i = 0; i < domain; i++)
        arg[n++] = i % (label + 1) == label ? '.' : 'd';
    arg[n++] = '>';
    struct path p;
    struct span rest;
    return path_parse(span_make(arg, n), PATH_TO, PATH_LOCAL_MAX, &p, &rest);
}

static void lengths(void **state) /* CP-24 */
{
    (void)state;
    assert_int_equal(with_lengths(64, 20, 63), PATH_OK);
    assert_int_equal(with_lengths(65, 20, 63), PATH_TOO_LONG);
    assert_int_equal(with_lengths(1, 63, 63), PATH_OK);
    assert_int_equal(with_lengths(1, 64, 64), PATH_TOO_LONG);
    assert_int_equal(with_lengths(1, 252, 60), PATH_OK); /* 256 octets with the brackets */
    assert_int_equal(with_lengths(1, 253, 60), PATH_TOO_LONG);
    assert_int_equal(with_lengths(2, 252, 60), PATH_TOO_LONG);
    assert_int_equal(with_lengths(1, 256, 60), PATH_TOO_LONG);
}

static void mailboxes_alone(void **state)
{
    (void)state;
    assert_true(path_mailbox_ok(SPAN_LIT("a@b.test")));
    assert_true(path_mailbox_ok(SPAN_LIT("\"a b\"@[192.0.2.1]")));
    assert_true(path_mailbox_ok(SPAN_LIT("alone")));
    assert_false(path_mailbox_ok(SPAN_LIT("")));
    assert_false(path_mailbox_ok(SPAN_LIT("<a@b>")));
    assert_false(path_mailbox_ok(SPAN_LIT("a@b c")));
    assert_false(path_mailbox_ok(SPAN_LIT("a@\xff")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_that_are_taken),
        cmocka_unit_test(paths_that_are_refused),
        cmocka_unit_test(lengths),
        cmocka_unit_test(mailboxes_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
