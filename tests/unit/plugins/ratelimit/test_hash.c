/* SPDX-License-Identifier: MIT */
/* The hashes against published vectors, in one piece and byte by byte. */
#include "fake_host.h"

#include "hash.h"

static void sha1_is(const char *text, size_t repeat, const char *expected)
{
    for (int trickle = 0; trickle < 2; trickle++) {
        struct sha1 s;
        char hex[SHA1_HEX];
        sha1_init(&s);
        for (size_t r = 0; r < repeat; r++)
            for (size_t i = 0, n = strlen(text), step = trickle ? 1 : n ? n : 1; i < n; i += step)
                sha1_add(&s, text + i, step);
        sha1_hex(&s, hex);
        assert_memory_equal(hex, expected, SHA1_HEX);
    }
}

static void sha1_vectors(void **state)
{
    (void)state;
    sha1_is("", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    sha1_is("abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    sha1_is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    sha1_is("a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

static void sip_is(const struct hash128 h, const char *hex)
{
    char got[33];
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(got + 2 * i, 3, "%02x", (unsigned)((i < 8 ? h.lo : h.hi) >> (8 * (i % 8)) & 0xff));
    assert_string_equal(got, hex);
}

/* The first vectors of the algorithm's authors: key 00 01 … 0f, messages of bytes 00 01 02 … */
static void siphash_vectors(void **state)
{
    static const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    unsigned char message[64];

    (void)state;
    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (unsigned char)i;
    sip_is(siphash128(key, message, 0), "a3817f04ba25a8e66df67214c7550293");
    sip_is(siphash128(key, message, 1), "da87c1d86b99af44347659119b22fc45");
    sip_is(siphash128(key, message, 2), "8177228da4a45dc7fca38bdef60affe4");
    sip_is(siphash128(key, message, 15), "5493e99933b0a8117e08ec0f97cfc3d9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sha1_vectors), cmocka_unit_test(siphash_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
