/* SPDX-License-Identifier: MIT */
/* All rules of a list on one subject: which of them see what they look for. */
#ifndef CONTENT_SCAN_H
#define CONTENT_SCAN_H

#include "finder.h"
#include "marks.h"
#include "rules.h"

enum sight { SIGHT_SEEN = 1, SIGHT_FAILED = 2 }; /* bits; FAILED: it could not be searched for */

struct touch {
    uint32_t at; /* the rule's place in its list */
    int code;    /* below 0: why it failed */
};

struct watch {     /* a rule that waits for a literal */
    uint32_t at;   /* its place */
    uint32_t scan; /* the scan that what follows is of */
    uint32_t tries;
    size_t tried_from, tried_to; /* places where matches were looked for last; from > to: none */
    size_t before;               /* LITERAL_ANYWHERE: once a literal is there, everywhere */
};

struct scanner {
    const struct rule **rules; /* by their place in the list */
    uint8_t *sights;           /* by the same, of the last subject */
    struct touch *touched; /* rules with a sight, and negated ones when the text is over; in their order */
    uint32_t touched_n, n;
    enum list_key key;

    uint32_t *always, *negated; /* places of rules that are tried on each subject; of negated ones */
    uint32_t always_n, negated_n;
    struct finder *finder; /* NULL: all rules are among `always` */
    struct watch *watches;
    uint32_t *first, *watching; /* by literal: watching[first[l]..first[l + 1]) are its watches */
    uint32_t literals_n, watches_n;
    uint32_t scan; /* counts them */
};

/* One scan's surroundings. */
struct scan_call {
    struct matcher *matcher;
    const uint8_t *marks;
    uint64_t rule_ns;    /* what one rule may take of a message */
    uint32_t **spent_io; /* by rule, and of all: microseconds; made when first needed */
    uint32_t rules_n;
};

/* Makes scanners for all lists that have rules. -1: no memory. */
MUST_CHECK int scanners_make(struct rule_set *set, enum finder_engine engine);
void scanner_free(struct scanner **scanner);

/* Fills sights and touched; rules with MARK_DONE are left out. scanner_recall() adds what the marks kept of
 * earlier windows, and takes it from them. scanner_clear() must follow before the next subject. */
void scanner_run(struct scanner *sc, const struct scan_call *call, const struct subject *s);
void scanner_recall(struct scanner *sc, uint8_t *marks);
void scanner_clear(struct scanner *sc);

/* Does the rule hit, and does every `if` around it let it? */
bool scanner_hits(const struct scanner *sc, const struct rule *rule);

#endif
