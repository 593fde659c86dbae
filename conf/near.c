/* SPDX-License-Identifier: MIT */
/* "Did you mean": the least number of edits between what was written and the names that there are. An edit is
 * a letter added, left out, replaced, or two neighbours swapped (optimal string alignment). Upper and lower
 * case are the same, and so are '-' and '_'. Owns nothing. */
#include "base/span.h"
#include "conf/diag.h"

enum { NEAR_MAX = 64 }; /* longer names are never near: the work stays small */

static char folded(char c)
{
    return (char)(c == '-' ? '_' : ascii_lower(c));
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Three rows of the table of distances are enough: this one, the last, and for swaps the one before.
 *
 *             b[j-2]   b[j-1]
 *   before:  swapped
 *   last:             replaced   left out
 *   here:              added     here[j] = the least of all */
static size_t distance(struct span a, struct span b)
{
    size_t rows[3][NEAR_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *here = rows[2];
    for (size_t j = 0; j <= b.n; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        here[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            char ca = folded(a.p[i - 1]), cb = folded(b.p[j - 1]);
            size_t d = last[j - 1] + (ca != cb);
            d = least(d, least(last[j], here[j - 1]) + 1);
            if (i > 1 && j > 1 && ca == folded(b.p[j - 2]) && folded(a.p[i - 2]) == cb)
                d = least(d, before[j - 2] + 1);
            here[j] = d;
        }
        size_t *free_row = before;
        before = last;
        last = here;
        here = free_row;
    }
    return last[b.n];
}

const char *diag_near(const char *const *names, const char *written, size_t written_n)
{
    struct span from = span_make(written, written_n);
    const char *best = NULL;
    /* A third of the letters may be wrong: "polcy" is near "policy", "tls" is not near "user". */
    size_t best_distance = (written_n < 3 ? 1 : written_n / 3) + 1;
    if (written_n == 0 || written_n > NEAR_MAX)
        return NULL;
    for (; *names; names++) {
        struct span name = span_of(*names);
        if (name.n == 0 || name.n > NEAR_MAX)
            continue;
        bool shortened = written_n >= 3 && span_istarts(name, from); /* "cert" for "certificate" */
        size_t d = shortened ? 1 : distance(from, name);
        if (d < best_distance && d < name.n) {
            best_distance = d;
            best = *names;
        }
    }
    return best;
}
