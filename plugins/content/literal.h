/* SPDX-License-Identifier: MIT */
/* What a text must contain for a pattern to match: short literals, one of which is in every match. */
#ifndef CONTENT_LITERAL_H
#define CONTENT_LITERAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LITERAL_MAX = 12, LITERALS_MAX = 16, LITERAL_MIN = 2 };
#define LITERAL_ANYWHERE SIZE_MAX

struct literal {
    uint8_t n;
    char text[LITERAL_MAX]; /* ASCII letters in small: they are looked for in both cases */
};

struct literals {
    size_t n; /* 0: nothing is known, the pattern must be tried on every text */
    struct literal all[LITERALS_MAX];
    size_t before; /* the most bytes of a match before its literal; LITERAL_ANYWHERE: no bound */
    bool folds;    /* U+212A and U+017F in a text stand for the letters k and s in a literal */
};

/* The pattern was compiled by PCRE2 with these flags. What this does not understand has no literals. */
void literals_of(const char *p, size_t n, bool caseless, bool extended, bool utf, struct literals *r);

#endif
