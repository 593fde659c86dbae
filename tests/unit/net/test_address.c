/* SPDX-License-Identifier: MIT */
/* Addresses as text and bytes. */
#include "net/address.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static void test_text(void **state)
{
    static const struct {
        const char *host, *text;
        size_t ip_n;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1:4711", 4},
        {"2001:DB8:0::1", "[2001:db8::1]:4711", 16},
        {"[2001:db8::1]", "[2001:db8::1]:4711", 16},
        {"::ffff:192.0.2.1", "192.0.2.1:4711", 4},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:4711",
         16},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sockaddr_storage a;
        char text[ADDRESS_TEXT];
        unsigned char ip[16];
        uint16_t port = 0;
        assert_true(address_from_text(cases[i].host, 4711, &a));
        assert_int_equal(address_text(&a, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
        assert_int_equal(address_ip(&a, ip, &port), cases[i].ip_n);
        assert_int_equal(port, 4711);
    }
}

static void test_names_are_no_addresses(void **state)
{
    static const char *const names[] = {"",   "localhost", "192.0.2", "192.0.2.1.", "[192.0.2.1]", "[::1",
                                        "[]", "1.2.3.4.5", "::1::",   "01.2.3.4",   "[1:2:3]"};
    struct sockaddr_storage a;
    char longest[300];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_false(address_from_text(names[i], 25, &a));
    memset(longest, '1', sizeof longest);
    longest[0] = '[';
    longest[298] = ']';
    longest[299] = '\0';
    assert_false(address_from_text(longest, 25, &a));
}

static void test_unix(void **state)
{
    struct sockaddr_storage a;
    char text[ADDRESS_TEXT];
    unsigned char ip[16];
    uint16_t port;
    (void)state;
    assert_true(address_unix("/run/x.sock", &a));
    assert_int_equal(address_length(&a), sizeof(struct sockaddr_un));
    (void)address_text(&a, text);
    assert_string_equal(text, "unix");
    assert_int_equal(address_ip(&a, ip, &port), 0);
    assert_false(address_unix("", &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_names_are_no_addresses),
        cmocka_unit_test(test_unix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
