/* SPDX-License-Identifier: MIT */
/* Reads one UTF-8 character. The ranges are those of the table in RFC 3629 section 4: the second octet
 * decides about overlong forms, surrogates and the end of Unicode. Owns nothing. */
#include "base/utf8.h"

/* A lead octet from `first` to `last` wants `more` octets, the first of them from `low` to `high`. */
struct lead {
    unsigned char first, last, more, low, high;
};

static const struct lead leads[] = {
    {0xC2, 0xDF, 1, 0x80, 0xBF}, {0xE0, 0xE0, 2, 0xA0, 0xBF}, {0xE1, 0xEC, 2, 0x80, 0xBF},
    {0xED, 0xED, 2, 0x80, 0x9F}, {0xEE, 0xEF, 2, 0x80, 0xBF}, {0xF0, 0xF0, 3, 0x90, 0xBF},
    {0xF1, 0xF3, 3, 0x80, 0xBF}, {0xF4, 0xF4, 3, 0x80, 0x8F},
};

static const struct lead *find_lead(unsigned char c)
{
    for (size_t i = 0; i < COUNT_OF(leads); i++)
        if (c >= leads[i].first && c <= leads[i].last)
            return &leads[i];
    return NULL;
}

size_t utf8_take(struct span s, uint32_t *point_r)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (s.n == 0)
        return 0;
    *point_r = p[0];
    if (p[0] < 0x80)
        return 1;

    const struct lead *lead = find_lead(p[0]);
    if (!lead || s.n <= lead->more || p[1] < lead->low || p[1] > lead->high)
        return 0;
    uint32_t point = p[0] & (0x3Fu >> lead->more);
    for (size_t i = 1; i <= lead->more; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        point = point << 6 | (p[i] & 0x3Fu);
    }
    *point_r = point;
    return 1u + lead->more;
}
