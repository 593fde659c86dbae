/* SPDX-License-Identifier: MIT */
/* Is an address in a network? Everything is compared as 16 octets, so that the two ways of writing an IPv4
 * address cannot differ. Owns nothing.
 *
 *   192.0.2.7  -->  ::ffff:192.0.2.7  -->  equal to the network's in its first `bits` bits?
 */
#include "base/network.h"

#include <string.h>

#define MAPPED_BITS 96u

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool widen(const unsigned char *ip, size_t ip_n, unsigned char wide_r[16])
{
    if (ip_n == 16) {
        memcpy(wide_r, ip, 16);
    } else if (ip_n == 4) {
        memcpy(wide_r, mapped, sizeof mapped);
        memcpy(wide_r + sizeof mapped, ip, 4);
    }
    return ip_n == 4 || ip_n == 16;
}

static bool is_mapped(const unsigned char wide[16])
{
    return memcmp(wide, mapped, sizeof mapped) == 0;
}

static bool same_start(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool networks_have(const struct networks *n, const unsigned char *ip, size_t ip_n)
{
    unsigned char wide[16];
    if (!widen(ip, ip_n, wide))
        return false;
    unsigned least = is_mapped(wide) ? MAPPED_BITS : 0;
    for (size_t i = 0; i < n->count; i++)
        if (n->list[i].bits >= least && same_start(wide, n->list[i].ip, n->list[i].bits))
            return true;
    return false;
}
