/* SPDX-License-Identifier: MIT */
/* Scanning. A scanner belongs to its list; one is enough, because a worker has one thread and no scan calls
 * another. What it holds between scanner_run() and scanner_clear() is of one subject. */
#include "scan.h"

#include <stdlib.h>
#include <string.h>

static struct scanner *scanner_make(const struct rule_list *list)
{
    struct scanner *sc = calloc(1, sizeof *sc);
    if (!sc)
        return NULL;
    sc->key = scope_rows[list->scope].key;
    sc->rules = calloc(list->count, sizeof *sc->rules);
    sc->sights = calloc(list->count, 1);
    sc->touched = calloc(list->count, sizeof *sc->touched);
    if (!sc->rules || !sc->sights || !sc->touched) {
        scanner_free(&sc);
        return NULL;
    }
    for (const struct rule *rule = list->first; rule; rule = rule->next)
        sc->rules[sc->n++] = rule;
    return sc;
}

static int make(struct rule_list *list)
{
    if (!list->first || !scope_rows[list->scope].patterns)
        return 0;
    list->scanner = scanner_make(list);
    return list->scanner ? 0 : -1;
}

int scanners_make(struct rule_set *set)
{
    for (int i = 0; i < SCOPES; i++)
        if (make(&set->scopes[i]) < 0)
            return -1;
    for (struct rule_field *field = set->fields; field; field = field->next)
        if (make(&field->rules) < 0)
            return -1;
    return 0;
}

void scanner_free(struct scanner **scanner)
{
    if (!*scanner)
        return;
    free((void *)(*scanner)->rules);
    free((*scanner)->sights);
    free((*scanner)->touched);
    free(*scanner);
    *scanner = NULL;
}

static void touch(struct scanner *sc, uint32_t at, int code)
{
    sc->touched[sc->touched_n++] = (struct touch){.at = at, .code = code};
}

/* 1: it has it, 0: not, below 0: it could not be searched for. */
static int look(const struct scanner *sc, struct matcher *m, const struct rule *rule, const struct subject *s)
{
    if (rule->test == TEST_PATTERN)
        return matcher_try(m, rule->pattern, s);
    int found = list_has(rule->list, sc->key, s->p, s->n);
    return found < 0 ? MATCH_NO_MEMORY : found;
}

void scanner_run(struct scanner *sc, struct matcher *m, const struct subject *s, const uint8_t *marks)
{
    for (uint32_t i = 0; i < sc->n; i++) {
        const struct rule *rule = sc->rules[i];
        if (marked(marks, MARK_DONE, rule->index))
            continue;
        int code = look(sc, m, rule, s);
        sc->sights[i] = code > 0 ? SIGHT_SEEN : code < 0 ? SIGHT_FAILED : 0;
        if (code != 0 || (rule->negated && s->last))
            touch(sc, i, code);
    }
}

static int by_place(const void *a, const void *b)
{
    uint32_t left = ((const struct touch *)a)->at, right = ((const struct touch *)b)->at;
    return (left > right) - (left < right);
}

void scanner_recall(struct scanner *sc, uint8_t *marks)
{
    uint32_t n = sc->touched_n;
    for (uint32_t i = 0; i < sc->n; i++) {
        uint32_t index = sc->rules[i]->index;
        uint8_t kept = (uint8_t)((marked(marks, MARK_SEEN, index) ? SIGHT_SEEN : 0) |
                                 (marked(marks, MARK_FAILED, index) ? SIGHT_FAILED : 0));
        if (kept && !sc->sights[i] && !sc->rules[i]->negated)
            touch(sc, i, 0);
        sc->sights[i] |= kept;
        mark(marks, MARK_SEEN, index, false);
        mark(marks, MARK_FAILED, index, false);
    }
    if (sc->touched_n > n)
        qsort(sc->touched, sc->touched_n, sizeof *sc->touched, by_place);
}

void scanner_clear(struct scanner *sc)
{
    for (uint32_t i = 0; i < sc->touched_n; i++)
        sc->sights[sc->touched[i].at] = 0;
    sc->touched_n = 0;
}

static bool hits_alone(const struct scanner *sc, const struct rule *rule)
{
    uint8_t sight = sc->sights[rule->at];
    if (sight & SIGHT_SEEN)
        return !rule->negated;
    return rule->negated &&
           !(sight & SIGHT_FAILED); /* "not there" must not be said of what we could not search */
}

bool scanner_hits(const struct scanner *sc, const struct rule *rule)
{
    for (; rule; rule = rule->inside)
        if (!hits_alone(sc, rule))
            return false;
    return true;
}
