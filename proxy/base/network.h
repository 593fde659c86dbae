/* SPDX-License-Identifier: MIT */
/* Networks: what a client's address is compared with. An IPv4 address and the same one mapped into IPv6
 * (::ffff:a.b.c.d) are one; a network of IPv6 has none of IPv4, so that ::/0 is IPv6 alone. Pure;
 * conf/network reads them from text. */
#ifndef BASE_NETWORK_H
#define BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

struct network {
    unsigned char ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;        /* of those 128 that count */
};

struct networks { /* the list is its owner's */
    const struct network *list;
    size_t count;
};

/* Is the address, of 4 or 16 octets, in one of them? Any other length is nowhere. */
bool networks_have(const struct networks *n, const unsigned char *ip, size_t ip_n);

#endif
