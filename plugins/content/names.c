/* SPDX-License-Identifier: MIT */
/* Foreign words against our own names. Pure; it owns nothing. The work of a suggestion is bounded by
 * SUGGEST_MAX squared a name. */
#include "names.h"

#include <string.h>
#include <strings.h>

bool name_is(const char *word, size_t n, const char *name)
{
    return strlen(name) == n && strncasecmp(word, name, n) == 0; /* no NUL in `name`, so none in the word */
}

enum { SUGGEST_MAX = 24 };

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* How many letters must be put in, left out or changed to make one word of the other; case does not count. */
static size_t edit_distance(const char *a, size_t a_n, const char *b, size_t b_n)
{
    size_t row[SUGGEST_MAX + 1];
    for (size_t j = 0; j <= b_n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_n; j++) {
            size_t above = row[j];
            size_t change = diagonal + (strncasecmp(a + i - 1, b + j - 1, 1) != 0);
            row[j] = least(above + 1, row[j - 1] + 1, change);
            diagonal = above;
        }
    }
    return row[b_n];
}

const char *suggest_name(const char *word, size_t n, const char *const *names)
{
    const char *best = NULL;
    size_t best_distance = 3; /* more than two slips is another word */
    if (n > SUGGEST_MAX)
        return NULL;
    for (; *names; names++) {
        size_t length = strnlen(*names, SUGGEST_MAX);
        size_t distance = edit_distance(word, n, *names, length);
        if (distance < best_distance && distance < length / 2 + 1) {
            best = *names;
            best_distance = distance;
        }
    }
    return best;
}
