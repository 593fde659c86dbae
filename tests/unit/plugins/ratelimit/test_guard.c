/* SPDX-License-Identifier: MIT */
/* RD-06, RD-07: what may reach hiredis' reader and what not, whole and byte by byte; and what error replies
 * mean. */
#include "fake_host.h"

#include "fault.h"
#include "guard.h"

static const char *check(const char *bytes, size_t n, size_t step)
{
    struct guard g = {.max_line = 32, .max_bulk = 20, .max_elements = 5};
    const char *wrong = NULL;
    for (size_t i = 0; i < n && !wrong; i += step)
        wrong = guard_check(&g, (struct postern_span){bytes + i, n - i < step ? n - i : step});
    return wrong;
}

#define GOOD(bytes) assert_null(check(bytes, sizeof(bytes) - 1, step))
#define BAD(bytes)  assert_non_null(check(bytes, sizeof(bytes) - 1, step))

static void good_replies(void **state)
{
    (void)state;
    for (size_t step = 1; step < 50; step += 7) {
        GOOD("+OK\r\n");
        GOOD("-ERR no\r\n");
        GOOD(":0\r\n:-1\r\n:9223372036854775807\r\n");
        GOOD("$-1\r\n$0\r\n\r\n$5\r\na\r\nb\n\r\n+x\r\n");
        GOOD("*0\r\n*-1\r\n*2\r\n:1\r\n$1\r\nx\r\n*1\r\n+OK\r\n");
        GOOD("*5\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n+again\r\n");
    }
}

static void bad_replies(void **state)
{
    (void)state;
    for (size_t step = 1; step < 50; step += 7) {
        BAD("HTTP/1.1 400 Bad Request\r\n");
        BAD("\r\n");
        BAD("%1\r\n+a\r\n+b\r\n"); /* RESP3: map, push, null, double */
        BAD(">1\r\n+a\r\n");
        BAD("_\r\n");
        BAD(",1.5\r\n");
        BAD("$536870912\r\n");
        BAD("$21\r\n");
        BAD("$99999999999999999999999999\r\n");
        BAD("*2147483648\r\n");
        BAD("*6\r\n");
        BAD("*-2\r\n");
        BAD("$-2\r\n");
        BAD("*1\r\n*1\r\n:1\r\n");
        BAD("*\r\n");
        BAD("$\r\n");
        BAD(":\r\n");
        BAD(":-\r\n");
        BAD(":1x\r\n");
        BAD(":123456789012345678901\r\n");
        BAD("+OK\n");
        BAD("+OK\rx");
        BAD(":1\rx");
        BAD("$1\r\nxy\r\n");
        BAD("$1\r\nx\rz");
        BAD("+0123456789012345678901234567890123456789");
    }
}

static void errors_by_kind(void **state)
{
    static const struct {
        const char *reply, *word;
        enum fault_kind kind;
    } cases[] = {
        {"READONLY You can't write against a read only replica.", "READONLY", FAULT_RECONNECT},
        {"LOADING Redis is loading the dataset in memory", "LOADING", FAULT_RECONNECT},
        {"MASTERDOWN Link with MASTER is down", "MASTERDOWN", FAULT_RECONNECT},
        {"BUSY Redis is busy running a script.", "BUSY", FAULT_PASSING},
        {"OOM command not allowed when used memory > 'maxmemory'.", "OOM", FAULT_PASSING},
        {"MISCONF Redis is configured to save RDB snapshots", "MISCONF", FAULT_PASSING},
        {"NOAUTH Authentication required.", "NOAUTH", FAULT_SETTING},
        {"WRONGPASS invalid username-password pair", "WRONGPASS", FAULT_SETTING},
        {"NOPERM this user has no permissions", "NOPERM", FAULT_SETTING},
        {"EXECABORT Transaction discarded", "EXECABORT", FAULT_PASSING},
        {"TRYAGAIN Multiple keys request during rehashing", "TRYAGAIN", FAULT_PASSING},
        {"CLUSTERDOWN Hash slot not served", "CLUSTERDOWN", FAULT_PASSING},
        {"MOVED 3999 127.0.0.1:6381", "MOVED", FAULT_SETTING},
        {"MOVED 0 evil:25", "MOVED", FAULT_SETTING},
        {"ASK 3999 127.0.0.1:6381", "ASK", FAULT_SETTING},
        {"NOSCRIPT No matching script.", "NOSCRIPT", FAULT_NO_SCRIPT},
        {"ERR unknown command 'AUTH', with args beginning with: 'secret'", "ERR", FAULT_PASSING},
        {"secret", "error", FAULT_PASSING},
        {"", "error", FAULT_PASSING},
        {"SECRETsecret", "error", FAULT_PASSING},
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "error", FAULT_PASSING},
        {"READONLYX", "READONLYX", FAULT_PASSING},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fault f = fault_of(FAKE_SPAN(cases[i].reply));
        assert_string_equal(f.word, cases[i].word);
        assert_int_equal(f.kind, cases[i].kind);
        assert_non_null(fault_advice(f.kind));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_replies), cmocka_unit_test(bad_replies),
                                       cmocka_unit_test(errors_by_kind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
