/* SPDX-License-Identifier: MIT */
/* base64. Owns nothing; what is decoded goes to the caller's buf, which on failure is as it was. */
#include "base64.h"

#include <stdint.h>
#include <string.h>

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    if (c == '+' || c == '/')
        return c == '+' ? 62 : 63;
    return -1;
}

/* Digits without padding to octets; `to` has room. Bits behind the last octet are not looked at: servers do
 * not either, and what we do not read they would. SIZE_MAX: not base64. */
static size_t decode_digits(struct span s, char *to)
{
    size_t n = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    if (s.n % 4 == 1)
        return SIZE_MAX;
    for (size_t i = 0; i < s.n; i++) {
        int value = base64_value(s.p[i]);
        if (value < 0)
            return SIZE_MAX;
        bits = (bits << 6 | (uint32_t)value) & 0xFFFFFF;
        have += 6;
        if (have >= 8) {
            have -= 8;
            to[n++] = (char)(bits >> have & 0xFF);
        }
    }
    return n;
}

bool base64_decode(struct span s, struct buf *out)
{
    if (s.n == 0)
        return true;
    if (s.n % 4)
        return false;
    for (int padding = 0; padding < 2 && s.p[s.n - 1] == '='; padding++)
        s.n--;
    char *to = buf_reserve(out, s.n); /* more than is needed */
    if (!to)
        return false;
    size_t n = decode_digits(s, to);
    if (n == SIZE_MAX)
        explicit_bzero(to, s.n); /* it may have been a password with a typing error behind it */
    buf_added(out, n == SIZE_MAX ? 0 : n);
    return n != SIZE_MAX;
}

bool base64_encode(struct span s, struct buf *out)
{
    if (s.n == 0)
        return true;
    char *to = s.n < SIZE_MAX / 2 ? buf_reserve(out, (s.n + 2) / 3 * 4) : NULL;
    size_t n = 0;
    if (!to)
        return false;
    for (size_t i = 0; i < s.n; i += 3) {
        struct span group = span_head(span_skip(s, i), 3);
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < group.n ? (unsigned char)group.p[k] : 0);
        for (size_t k = 0; k < 4; k++)
            to[n++] = k <= group.n ? base64_digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    buf_added(out, n);
    return true;
}
