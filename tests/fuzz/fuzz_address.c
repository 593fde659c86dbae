/* SPDX-License-Identifier: MIT */
/* Any bytes as an address with a port, and as a network, of the configuration. What must hold: it is taken or
 * there is a reason; what was taken has a host without odd octets and a port, and written anew it is the
 * same; a network has its own first address, and has no bit behind its prefix. */
#include "fuzz/fuzz.h"

#include "base/arena.h"
#include "conf/address.h"
#include "conf/network.h"

#include <arpa/inet.h>

#define TEXT_ROOM 400

static void check_host(const struct conf_address *a)
{
    size_t n = strnlen(a->host, TEXT_ROOM);
    REQUIRE(n > 0 && n < TEXT_ROOM && a->port > 0);
    for (size_t i = 0; i < n; i++)
        REQUIRE((unsigned char)a->host[i] > ' ' && (unsigned char)a->host[i] < 0x7f);
}

/* Host and port in their plain form, which must be taken for the same. */
static void check_again(struct arena *arena, const struct conf_address *a)
{
    char text[TEXT_ROOM];
    const char *error;
    struct conf_address b;
    struct address_key one, two;
    bool v6 = strchr(a->host, ':') != NULL;
    int n = snprintf(text, sizeof text, v6 ? "[%s]:%u" : "%s:%u", a->host, (unsigned)a->port);
    REQUIRE(n > 0 && address_parse(arena, span_make(text, (size_t)n), &b, &error));
    REQUIRE(strcmp(a->host, b.host) == 0 && a->port == b.port && a->literal == b.literal);
    REQUIRE(address_key(a, &one) == a->literal && address_key(&b, &two) == a->literal);
    REQUIRE(!a->literal || memcmp(&one, &two, sizeof one) == 0);
}

static void check_address(struct span in)
{
    struct arena *arena = arena_create((size_t)1 << 20);
    struct conf_address a;
    const char *error = NULL;
    REQUIRE(arena);
    bool taken = address_parse(arena, in, &a, &error);
    REQUIRE(taken == (error == NULL));
    if (taken) {
        REQUIRE(span_eq(span_of(a.text), in)); /* what is shown is what was written */
        check_host(&a);
        check_again(arena, &a);
    }
    arena_destroy(&arena);
}

/* An octet of a network that its prefix does not cover whole. */
static void check_bits(const struct network *n)
{
    for (unsigned i = n->bits; i < 128; i++)
        REQUIRE(!(n->ip[i / 8] & (0x80u >> (i % 8))));
}

static void check_network_again(const struct network *n)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    char host[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];
    const char *error;
    struct network again;
    bool v4 = memcmp(n->ip, mapped, sizeof mapped) == 0 && n->bits >= 96;
    REQUIRE(inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? n->ip + 12 : n->ip, host, sizeof host));
    int length = snprintf(text, sizeof text, "%s/%u", host, v4 ? n->bits - 96 : n->bits);
    REQUIRE(length > 0 && network_parse(span_make(text, (size_t)length), &again, &error));
    REQUIRE(again.bits == n->bits && memcmp(again.ip, n->ip, sizeof again.ip) == 0);
}

static void check_network(struct span in)
{
    struct network n;
    const char *error = NULL;
    bool taken = network_parse(in, &n, &error);
    REQUIRE(taken == (error == NULL));
    if (!taken)
        return;
    struct networks one = {&n, 1};
    REQUIRE(n.bits <= 128);
    check_bits(&n);
    check_network_again(&n);
    REQUIRE(networks_have(&one, n.ip, sizeof n.ip));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    if (span_find(in, '\0') == in.n) /* conf/yaml.c lets none through, and addresses are C strings */
        check_address(in);
    check_network(in);
    return 0;
}
