/* SPDX-License-Identifier: MIT */
/* Networks: their text, and who is in them. */
#include "base/attr.h"
#include "conf/network.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *text;
    unsigned bits; /* of 128 */
} good[] = {
    {"192.0.2.1", 128},
    {"192.0.2.0/24", 120},
    {"10.0.0.0/8", 104},
    {"0.0.0.0/0", 96},
    {"192.0.2.128/25", 121},
    {"192.0.2.7/32", 128},
    {"2001:db8::/32", 32},
    {"2001:DB8:0:0::1", 128},
    {"::/0", 0},
    {"::1", 128},
    {"fe80::/10", 10},
    {"::ffff:192.0.2.0/120", 120},
    {"2001:db8::8000/113", 113},
};

static const struct {
    const char *text, *error;
} bad[] = {
    {"", "must be an address or a network"},
    {"/24", "must be an address or a network"},
    {"localhost", "must be an address or a network"},
    {"192.0.2", "must be an address or a network"},
    {"192.0.2.256", "must be an address or a network"},
    {"192.0.2.0 /24", "must be an address or a network"},
    {"[::1]", "must be an address or a network"},
    {"fe80::1%eth0", "must be an address or a network"},
    {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa", "must be an address or a network"},
    {"192.0.2.0/", "must have a number from 0 to 32"},
    {"192.0.2.0/33", "must have a number from 0 to 32"},
    {"192.0.2.0/255.255.255.0", "must have a number from 0 to 32"},
    {"192.0.2.0/-1", "must have a number from 0 to 32"},
    {"192.0.2.0/24/8", "must have a number from 0 to 32"},
    {"192.0.2.0/4294967320", "must have a number from 0 to 32"},
    {"2001:db8::/129", "must have a number from 0 to 128"},
    {"2001:db8::/x", "must have a number from 0 to 128"},
    {"192.0.2.1/24", "has an address that goes on behind its prefix"},
    {"0.0.0.1/0", "has an address that goes on behind its prefix"},
    {"2001:db8::1/64", "has an address that goes on behind its prefix"},
};

static void test_texts(void **state)
{
    struct network n;
    const char *error;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        bool ok = network_parse(span_of(good[i].text), &n, &error);
        if (!ok || n.bits != good[i].bits)
            fail_msg("%s: %s, %u bits", good[i].text, ok ? "good" : error, n.bits);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (network_parse(span_of(bad[i].text), &n, &error) || strstr(error, bad[i].error) != error)
            fail_msg("'%s': %s", bad[i].text, error ? error : "good");
    assert_false(network_parse(SPAN_LIT("192.0.2.0\0/24"), &n, &error));
}

/* Is the address, in each of its forms, in this network? */
static bool has(const char *network, const char *address)
{
    unsigned char ip[16];
    struct network one;
    const char *error;
    struct networks list = {&one, 1};
    assert_true(network_parse(span_of(network), &one, &error));
    if (inet_pton(AF_INET6, address, ip) == 1)
        return networks_have(&list, ip, 16);
    assert_int_equal(inet_pton(AF_INET, address, ip), 1);
    unsigned char mapped[16] = {[10] = 0xff, [11] = 0xff};
    memcpy(mapped + 12, ip, 4);
    bool in = networks_have(&list, ip, 4);
    assert_int_equal(in, networks_have(&list, mapped, 16));
    return in;
}

static void test_members(void **state)
{
    (void)state;
    assert_true(has("192.0.2.0/24", "192.0.2.0"));
    assert_true(has("192.0.2.0/24", "192.0.2.255"));
    assert_false(has("192.0.2.0/24", "192.0.3.0"));
    assert_true(has("192.0.2.0/25", "192.0.2.127"));
    assert_false(has("192.0.2.0/25", "192.0.2.128"));
    assert_true(has("192.0.2.7", "192.0.2.7"));
    assert_false(has("192.0.2.7", "192.0.2.6"));
    assert_true(has("0.0.0.0/0", "255.255.255.255"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_false(has("::/0", "192.0.2.1"));
    assert_true(has("::/0", "2001:db8::1"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::"));
    assert_true(has("::ffff:192.0.2.0/120", "192.0.2.9"));
    assert_true(has("::1", "::1"));
}

static void test_lists(void **state)
{
    struct network list[2];
    const char *error;
    const unsigned char ip[16] = {192, 0, 2, 1};
    (void)state;
    assert_true(network_parse(SPAN_LIT("10.0.0.0/8"), &list[0], &error));
    assert_true(network_parse(SPAN_LIT("192.0.2.0/24"), &list[1], &error));
    struct networks both = {list, 2}, first = {list, 1}, none = {NULL, 0};
    assert_true(networks_have(&both, ip, 4));
    assert_false(networks_have(&first, ip, 4));
    assert_false(networks_have(&none, ip, 4));
    assert_false(
        networks_have(&both, ip, 0)); /* a client without an address, such as one on a socket of its own */
    assert_false(networks_have(&both, ip, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
