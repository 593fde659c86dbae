/* SPDX-License-Identifier: MIT */
/* Original destinations, as far as no packet filter is needed (tests/e2e/test_intercept.py has one): clients
 * that came by themselves, which addresses are this machine's, and endpoints as values. */
#include "net/origin.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct endpoint endpoint(const char *host, uint16_t port)
{
    struct endpoint e;
    assert_true(endpoint_parse(host, port, &e));
    return e;
}

static void test_text(void **state)
{
    static const struct {
        const char *from, *host, *text;
        size_t ip_n;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", "192.0.2.1:25", 4},
        {"2001:DB8::1", "2001:db8::1", "[2001:db8::1]:25", 16},
        {"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1:25", 4},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char host[ENDPOINT_TEXT], text[ENDPOINT_TEXT];
        struct endpoint e = endpoint(cases[i].from, 25);
        assert_int_equal(e.ip_n, cases[i].ip_n);
        endpoint_text(&e, host, text);
        assert_string_equal(host, cases[i].host);
        assert_string_equal(text, cases[i].text);
    }
    struct endpoint none;
    assert_false(endpoint_parse("mail.example.org", 25, &none));
}

static void test_order(void **state)
{
    struct endpoint in_order[] = {endpoint("10.0.0.1", 25), endpoint("10.0.0.1", 587),
                                  endpoint("10.0.0.2", 25), endpoint("::1", 25), endpoint("2001:db8::1", 25)};
    const int n = sizeof in_order / sizeof in_order[0];
    (void)state;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            int c = endpoint_compare(&in_order[i], &in_order[j]);
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
        }
}

static void test_local(void **state)
{
    struct endpoint loopback = endpoint("127.0.0.1", 25), elsewhere = endpoint("192.0.2.77", 25);
    (void)state;
    assert_true(origin_is_local(&loopback));
    assert_false(origin_is_local(&elsewhere));
}

/* A client that nobody redirected: our own address is no destination. */
static void test_direct(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_n = sizeof at;
    struct endpoint to;
    int pair[2];
    (void)state;
    int listening = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&at, &at_n), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof at), 0);
    int accepted = accept(listening, NULL, NULL);
    assert_int_equal(origin_redirected(accepted, &to), ORIGIN_DIRECT);
    assert_int_equal(origin_tproxied(accepted, &to), ORIGIN_INTERCEPTED); /* whose it is, is not known here */
    assert_int_equal(to.port, ntohs(at.sin_port));
    close(accepted);
    close(client);
    close(listening);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(origin_redirected(pair[0], &to), ORIGIN_DIRECT);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(origin_redirected(-1, &to), ORIGIN_DIRECT);
    assert_int_equal(origin_tproxied(-1, &to), ORIGIN_DIRECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_direct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
