/* SPDX-License-Identifier: MIT */
/* What the rules say of one transaction: tries them, scores, logs, and remembers the first that decides. */
#ifndef CONTENT_JUDGE_H
#define CONTENT_JUDGE_H

#include "content.h"
#include "edit.h"

enum finding_cause { FOUND_NOTHING, FOUND_RULE, FOUND_MATCH_ERROR, FOUND_EDIT_ERROR, FOUND_NO_MEMORY };

struct finding { /* the first rule that decides; later ones are not tried */
    enum finding_cause cause;
    const struct rule *rule; /* NULL: FOUND_NOTHING, FOUND_NO_MEMORY */
};

struct judge {
    const struct content *content;
    uint8_t *marks;      /* of the transaction, marks.h; NULL: there is none */
    uint8_t *names;      /* of the transaction, a bit for each name of rules: one of them hit */
    uint32_t *spent;     /* of the transaction: microseconds that each rule took; NULL: none was slow */
    uint32_t carried;    /* a bit for each scope: some marks are of earlier windows of a text still coming */
    struct edits edits;  /* of the transaction */
    char score_text[96]; /* the last score verdict's text: a verdict borrows it */
};

/* A transaction begins. -1: no memory. */
MUST_CHECK int judge_begin(struct judge *j);
void judge_end(struct judge *j);

/* Tries the rules of a list on a subject. Nothing happens once `f` is settled. */
void judge_try(struct judge *j, struct postern_tx *tx, const struct rule_list *list, const struct subject *s,
               struct finding *f);
/* Tries the [size] rules. */
void judge_size(struct judge *j, struct postern_tx *tx, uint64_t bytes, struct finding *f);
/* Tries the [meta] rules that can be tried then, and no earlier. */
enum judge_moment { JUDGE_HEADERS, JUDGE_END };
void judge_metas(struct judge *j, struct postern_tx *tx, enum judge_moment moment, struct finding *f);
/* The finding as a verdict; FOUND_NOTHING leaves *v as it is. */
void judge_verdict(const struct judge *j, const struct finding *f, struct postern_verdict *v);
/* The verdict on the score so far. */
void judge_score(struct judge *j, const struct postern_tx *tx, struct postern_verdict *v);

#endif
