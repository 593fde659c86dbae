/* SPDX-License-Identifier: MIT */
/* "1000 LAST" to a size and a flag. Owns nothing. */
#include "smtp/bdat.h"

bool bdat_parse(struct span argument, struct bdat *out)
{
    size_t n = 0;
    *out = (struct bdat){0};
    for (; n < argument.n && ascii_digit(argument.p[n]); n++) {
        uint64_t digit = (uint64_t)(argument.p[n] - '0');
        if (out->size > (BDAT_SIZE_MAX - digit) / 10)
            return false;
        out->size = out->size * 10 + digit;
    }
    struct span rest = span_skip(argument, n);
    if (n == 0 || (rest.n && rest.p[0] != ' ' && rest.p[0] != '\t'))
        return false;
    rest = span_trim(rest);
    out->last = span_ieq(rest, SPAN_LIT("LAST"));
    return rest.n == 0 || out->last;
}
