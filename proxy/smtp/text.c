/* SPDX-License-Identifier: MIT */
/* xtext. Owns nothing; what is decoded goes to the caller's buf, which on failure is as it was. */
#include "smtp/text.h"

#include <stdint.h>

static const char hex_digits[] = "0123456789ABCDEF";

void wipe(void *p, size_t n)
{
    explicit_bzero(p, n);
}

/* RFC 3461 has upper case only; servers read both, and so do we. */
static int hex_value(char c)
{
    size_t value = span_find(span_make(hex_digits, 16), ascii_upper(c));
    return value < 16 ? (int)value : -1;
}

static bool is_xchar(char c)
{
    return c > 0x20 && c < 0x7F && c != '+' && c != '=';
}

/* One character from the front of *s. */
static bool xtext_take(struct span *s, char *c_r)
{
    *c_r = s->p[0];
    if (is_xchar(*c_r)) {
        *s = span_skip(*s, 1);
        return true;
    }
    if (*c_r != '+' || s->n < 3)
        return false;
    int high = hex_value(s->p[1]), low = hex_value(s->p[2]);
    if (high < 0 || low < 0)
        return false;
    *c_r = (char)(high * 16 + low);
    *s = span_skip(*s, 3);
    return *c_r != '\0' && *c_r != '\r' && *c_r != '\n';
}

bool xtext_ok(struct span s)
{
    char c;
    while (s.n)
        if (!xtext_take(&s, &c))
            return false;
    return true;
}

bool xtext_decode(struct span s, struct buf *out)
{
    if (s.n == 0)
        return true;
    if (!xtext_ok(s))
        return false;
    char *to = buf_reserve(out, s.n), c;
    size_t n = 0;
    if (!to)
        return false;
    while (s.n && xtext_take(&s, &c))
        to[n++] = c;
    buf_added(out, n);
    return true;
}

bool xtext_encode(struct span s, struct buf *out)
{
    if (s.n == 0)
        return true;
    char *to = s.n < SIZE_MAX / 3 ? buf_reserve(out, s.n * 3) : NULL;
    size_t n = 0;
    if (!to)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (is_xchar(s.p[i])) {
            to[n++] = s.p[i];
            continue;
        }
        unsigned char c = (unsigned char)s.p[i];
        to[n++] = '+';
        to[n++] = hex_digits[c >> 4];
        to[n++] = hex_digits[c & 0xF];
    }
    buf_added(out, n);
    return true;
}
