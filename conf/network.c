/* SPDX-License-Identifier: MIT */
/* Networks from their text. The address is read by the C library, the length of the prefix here. Owns
 * nothing.
 *
 *   "192.0.2.0/24"  -->  "192.0.2.0" -> ::ffff:192.0.2.0   +   "24" -> 96 + 24 bits
 */
#include "conf/network.h"

#include <arpa/inet.h>
#include <string.h>

enum { ADDRESS_MAX = 45, MAPPED_BITS = 96 };

/* How many bits its prefix may have; 0: no address. */
static unsigned parse_address(struct span text, unsigned char ip_r[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    char host[ADDRESS_MAX + 1];
    if (text.n == 0 || text.n > ADDRESS_MAX || span_find(text, '\0') < text.n)
        return 0;
    memcpy(host, text.p, text.n);
    host[text.n] = '\0';
    if (inet_pton(AF_INET6, host, ip_r) == 1)
        return 128;
    memcpy(ip_r, mapped, sizeof mapped);
    return inet_pton(AF_INET, host, ip_r + sizeof mapped) == 1 ? 32 : 0;
}

/* Past any maximum when it is no number. */
static unsigned parse_bits(struct span digits)
{
    const unsigned none = 1000;
    unsigned bits = 0;
    if (digits.n == 0 || digits.n > 3)
        return none;
    for (size_t i = 0; i < digits.n; i++) {
        if (!ascii_digit(digits.p[i]))
            return none;
        bits = bits * 10 + (unsigned)(digits.p[i] - '0');
    }
    return bits;
}

static bool has_bits_behind(const struct network *n)
{
    for (unsigned i = n->bits; i < 128; i++)
        if (n->ip[i / 8] & (0x80u >> (i % 8)))
            return true;
    return false;
}

static const char *fault_of(struct span text, struct network *network_r)
{
    size_t slash = span_find(text, '/');
    bool host = slash == text.n;
    unsigned max = parse_address(span_head(text, slash), network_r->ip);
    if (max == 0)
        return "must be an address or a network, such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32";
    unsigned bits = host ? max : parse_bits(span_skip(text, slash + 1));
    if (bits > max)
        return max == 32 ? "must have a number from 0 to 32 behind the '/'"
                         : "must have a number from 0 to 128 behind the '/'";
    network_r->bits = max == 32 ? bits + MAPPED_BITS : bits;
    if (has_bits_behind(network_r))
        return "has an address that goes on behind its prefix; write its first address, such as 192.0.2.0/24";
    return NULL;
}

bool network_parse(struct span text, struct network *network_r, const char **error_r)
{
    *error_r = fault_of(text, network_r);
    return *error_r == NULL;
}
