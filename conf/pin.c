/* SPDX-License-Identifier: MIT */
/* Reads pins in the two forms in which tools print them:
 *
 *   64 hexadecimal digits                                             (openssl dgst -sha256)
 *   44 characters of base64, the last one '='; or 43 without it       (openssl dgst -sha256 -binary | base64)
 *
 * The forms cannot be confused: their lengths differ. Nothing is owned here. */
#include "conf/pin.h"

#include "base/base64.h"

#include <string.h>

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

/* 43 digits carry 258 bits: the two below the 256 of a pin must be zero, else this is some other number. */
static bool from_base64(struct span text, unsigned char pin_r[CONF_PIN])
{
    struct buf pin = {0}, again = {0};
    char whole[BASE64_LENGTH + 1];
    memcpy(whole, text.p, BASE64_LENGTH);
    whole[BASE64_LENGTH] = '=';
    struct span digits = span_make(whole, sizeof whole);
    bool good = base64_decode(digits, &pin) && buf_len(&pin) == CONF_PIN &&
                base64_encode(buf_span(&pin), &again) && span_eq(buf_span(&again), digits);
    if (good)
        memcpy(pin_r, buf_span(&pin).p, CONF_PIN);
    buf_free(&again);
    buf_free(&pin);
    return good;
}

bool pin_parse(struct span text, unsigned char pin_r[CONF_PIN])
{
    if (text.n == BASE64_LENGTH + 1 && text.p[BASE64_LENGTH] == '=')
        text.n--;
    if (text.n == HEX_LENGTH)
        return from_hex(text, pin_r);
    return text.n == BASE64_LENGTH && from_base64(text, pin_r);
}
