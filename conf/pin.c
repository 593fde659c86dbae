/* SPDX-License-Identifier: MIT */
/* Reads pins in the two forms in which tools print them:
 *
 *   64 hexadecimal digits                                             (openssl dgst -sha256)
 *   44 characters of base64, the last one '='; or 43 without it       (openssl dgst -sha256 -binary | base64)
 *
 * The forms cannot be confused: their lengths differ. Nothing is owned here. */
#include "conf/pin.h"

enum { HEX_LENGTH = 2 * CONF_PIN, BASE64_LENGTH = 43 };

static int hex_digit(char c)
{
    if (ascii_digit(c))
        return c - '0';
    char lower = ascii_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool from_hex(struct span text, unsigned char pin_r[CONF_PIN])
{
    for (size_t i = 0; i < CONF_PIN; i++) {
        int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        pin_r[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* 43 digits carry 258 bits: the two below the 256 of a pin must be zero, else this is some other number. */
static bool from_base64(struct span text, unsigned char pin_r[CONF_PIN])
{
    unsigned bits = 0, held = 0;
    size_t n = 0;
    for (size_t i = 0; i < BASE64_LENGTH; i++) {
        int digit = base64_digit(text.p[i]);
        if (digit < 0)
            return false;
        bits = (bits << 6 | (unsigned)digit) & 0x3fff;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        pin_r[n++] = (unsigned char)(bits >> held);
    }
    return (bits & ((1u << held) - 1)) == 0;
}

bool pin_parse(struct span text, unsigned char pin_r[CONF_PIN])
{
    if (text.n == BASE64_LENGTH + 1 && text.p[BASE64_LENGTH] == '=')
        text.n--;
    if (text.n == HEX_LENGTH)
        return from_hex(text, pin_r);
    return text.n == BASE64_LENGTH && from_base64(text, pin_r);
}
