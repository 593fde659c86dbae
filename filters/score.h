/* SPDX-License-Identifier: MIT */
/* Points that filters give to a transaction, summed by name. Private to the engine. */
#ifndef FILTERS_SCORE_H
#define FILTERS_SCORE_H

#include "base/buf.h"
#include "base/span.h"

#define SCORE_NAMES    32 /* kept apart; what comes after is summed as "other" */
#define SCORE_NAME_MAX 40

struct score_points {
    double sum;
    size_t n;
    char name[SCORE_NAME_MAX];
};

struct score { /* zeroed: none. Holds memory only when points were given */
    double sum;
    struct score_points *named; /* SCORE_NAMES of them, and "other" */
    size_t n;
    struct buf text;
};

/* Without memory the sum still counts; only the name is lost. */
void score_add(struct score *s, struct span name, double points);
static inline double score_sum(const struct score *s)
{
    return s->sum;
}
struct span score_text(struct score *s); /* "wallet=2.5 meds=4"; good until the next call */
void score_reset(struct score *s);

#endif
