/* SPDX-License-Identifier: MIT */
/* All rules of a list on one subject: which of them see what they look for. */
#ifndef CONTENT_SCAN_H
#define CONTENT_SCAN_H

#include "marks.h"
#include "rules.h"

enum sight { SIGHT_SEEN = 1, SIGHT_FAILED = 2 }; /* bits; FAILED: it could not be searched for */

struct touch {
    uint32_t at; /* the rule's place in its list */
    int code;    /* below 0: why it failed */
};

struct scanner {
    const struct rule **rules; /* by their place in the list */
    uint8_t *sights;           /* by the same, of the last subject */
    struct touch *touched; /* rules with a sight, and negated ones when the text is over; in their order */
    uint32_t touched_n, n;
    enum list_key key;
};

/* Makes scanners for all lists that have rules. -1: no memory. */
MUST_CHECK int scanners_make(struct rule_set *set);
void scanner_free(struct scanner **scanner);

/* Fills sights and touched; rules with MARK_DONE are left out. scanner_recall() adds what the marks kept of
 * earlier windows, and takes it from them. scanner_clear() must follow before the next subject. */
void scanner_run(struct scanner *sc, struct matcher *m, const struct subject *s, const uint8_t *marks);
void scanner_recall(struct scanner *sc, uint8_t *marks);
void scanner_clear(struct scanner *sc);

/* Does the rule hit, and does every `if` around it let it? */
bool scanner_hits(const struct scanner *sc, const struct rule *rule);

#endif
