/* SPDX-License-Identifier: MIT */
/* SipHash-2-4-128 and SHA-1 (FIPS 180-4), written from their papers. Pure: the caller owns all memory. */
#include "hash.h"

#include <string.h>

/* ---- SipHash: four words of state, two rounds for each eight bytes ---- */

struct sip {
    uint64_t a, b, c, d;
};

static uint64_t left64(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_rounds(struct sip *s, unsigned n)
{
    while (n--) {
        s->a += s->b;
        s->b = left64(s->b, 13) ^ s->a;
        s->a = left64(s->a, 32);
        s->c += s->d;
        s->d = left64(s->d, 16) ^ s->c;
        s->a += s->d;
        s->d = left64(s->d, 21) ^ s->a;
        s->c += s->b;
        s->b = left64(s->b, 17) ^ s->c;
        s->c = left64(s->c, 32);
    }
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->d ^= word;
    sip_rounds(s, 2);
    s->a ^= word;
}

static uint64_t little_endian(const unsigned char *p, size_t n)
{
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return word;
}

struct hash128 siphash128(const uint64_t key[2], const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    struct sip s = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
                    key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    struct hash128 out;
    size_t whole = n / 8;

    for (size_t i = 0; i < whole; i++)
        sip_word(&s, little_endian(p + 8 * i, 8));
    sip_word(&s, (n % 8 ? little_endian(p + 8 * whole, n % 8) : 0) | (uint64_t)n << 56);
    s.c ^= 0xee;
    sip_rounds(&s, 4);
    out.lo = s.a ^ s.b ^ s.c ^ s.d;
    s.b ^= 0xdd;
    sip_rounds(&s, 4);
    out.hi = s.a ^ s.b ^ s.c ^ s.d;
    return out;
}

/* ---- SHA-1 ---- */

static uint32_t left32(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

static void sha1_schedule(const unsigned char block[64], uint32_t w[80])
{
    for (size_t i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (size_t i = 16; i < 80; i++)
        w[i] = left32(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
}

static uint32_t sha1_mix(size_t i, uint32_t b, uint32_t c, uint32_t d)
{
    switch (i / 20) {
    case 0:
        return ((b & c) | (~b & d)) + 0x5a827999u;
    case 1:
        return (b ^ c ^ d) + 0x6ed9eba1u;
    case 2:
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
    default:
        return (b ^ c ^ d) + 0xca62c1d6u;
    }
}

static void sha1_block(struct sha1 *s)
{
    uint32_t w[80], v[5];

    sha1_schedule(s->block, w);
    memcpy(v, s->state, sizeof(v));
    for (size_t i = 0; i < 80; i++) {
        uint32_t next = left32(v[0], 5) + sha1_mix(i, v[1], v[2], v[3]) + v[4] + w[i];
        v[4] = v[3];
        v[3] = v[2];
        v[2] = left32(v[1], 30);
        v[1] = v[0];
        v[0] = next;
    }
    for (size_t i = 0; i < 5; i++)
        s->state[i] += v[i];
}

void sha1_init(struct sha1 *s)
{
    *s = (struct sha1){.state = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u}};
}

void sha1_add(struct sha1 *s, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    while (n) {
        size_t used = s->total % 64;
        size_t take = n < 64 - used ? n : 64 - used;
        memcpy(s->block + used, p, take);
        s->total += take;
        p += take;
        n -= take;
        if (used + take == 64)
            sha1_block(s);
    }
}

void sha1_hex(struct sha1 *s, char hex_r[SHA1_HEX])
{
    static const unsigned char padding[64] = {0x80};
    unsigned char length[8];
    uint64_t bits = s->total * 8;

    for (size_t i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> (56 - 8 * i));
    sha1_add(s, padding, 1 + (119 - s->total % 64) % 64); /* to 8 bytes before the end of a block */
    sha1_add(s, length, sizeof(length));
    for (size_t i = 0; i < SHA1_HEX; i++)
        hex_r[i] = "0123456789abcdef"[s->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
}
