/* SPDX-License-Identifier: MIT */
/* Small helpers for the public header's spans. */
#ifndef RATELIMIT_SPANS_H
#define RATELIMIT_SPANS_H

#include "postern/filter.h"

#include <stdbool.h>
#include <string.h>

#define MUST_CHECK    __attribute__((warn_unused_result))
#define SPAN(literal) ((struct postern_span){(literal), sizeof(literal) - 1})

/* For %.*s */
#define SPAN_ARGS(s) (int)(s).n, (s).n ? (s).p : ""

static inline bool span_equal(struct postern_span a, struct postern_span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char ascii_lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

#endif
