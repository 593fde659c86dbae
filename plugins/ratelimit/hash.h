/* SPDX-License-Identifier: MIT */
/* The two hashes that the plugin needs: SipHash-2-4 with 128 bits, keyed, for the places of the memory store
 * (strangers choose the keys, and must not choose where they land); SHA-1, by which Redis names scripts and
 * which shortens long keys to the same name in every proxy. Pure. */
#ifndef RATELIMIT_HASH_H
#define RATELIMIT_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash128 {
    uint64_t lo, hi;
};

struct hash128 siphash128(const uint64_t key[2], const void *bytes, size_t n);

#define SHA1_HEX 40

struct sha1 {
    uint32_t state[5];
    uint64_t total;
    unsigned char block[64];
};

void sha1_init(struct sha1 *s);
void sha1_add(struct sha1 *s, const void *bytes, size_t n);
void sha1_hex(struct sha1 *s, char hex_r[SHA1_HEX]); /* not terminated; ends the use of s */

#endif
