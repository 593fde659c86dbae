/* SPDX-License-Identifier: MIT */
/* CRC-32C bit by bit: it sums a header of some hundred octets once a connection. Owns nothing. */
#include "smtp/crc32c.h"

uint32_t crc32c(uint32_t sum, struct span s)
{
    const uint32_t reversed_polynomial = 0x82F63B78u;
    sum = ~sum;
    for (size_t i = 0; i < s.n; i++) {
        sum ^= (unsigned char)s.p[i];
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? reversed_polynomial : 0);
    }
    return ~sum;
}
