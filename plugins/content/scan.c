/* SPDX-License-Identifier: MIT */
/* Scanning. A scanner belongs to its list; one is enough, because a worker has one thread and no scan calls
 * another. What it holds between scanner_run() and scanner_clear() is of one subject. */
#include "scan.h"

#include <stdlib.h>
#include <string.h>

enum {
    TRIES_MAX = 32, /* of one rule around literals; then the rest of the subject is tried at once */
    FOLDS = 2       /* the literals in front of the others: U+212A and U+017F */
};
static const struct literal folds[FOLDS] = {{.n = 3, .text = "\xe2\x84\xaa"}, {.n = 2, .text = "\xc5\xbf"}};

/* ---- making ---- */

static const struct literals *waits_for(const struct rule *rule, enum finder_engine engine)
{
    const struct literals *l = rule->test == TEST_PATTERN ? pattern_literals(rule->pattern) : NULL;
    return l && l->n > 0 && engine != ENGINE_NONE ? l : NULL;
}

/* How many literals there are, those of FOLDS included. */
static uint32_t place_rules(struct scanner *sc, enum finder_engine engine)
{
    uint32_t literals = FOLDS;
    for (uint32_t i = 0; i < sc->n; i++) {
        const struct literals *l = waits_for(sc->rules[i], engine);
        if (sc->rules[i]->negated)
            sc->negated[sc->negated_n++] = i;
        if (l)
            literals += (uint32_t)l->n;
        else
            sc->always[sc->always_n++] = i;
    }
    return literals;
}

/* Each literal once, with all that wait for it. */
static bool watch_literals(struct scanner *sc, enum finder_engine engine, uint32_t most)
{
    struct literal *all = calloc(most, sizeof *all);
    struct words unique = {0};
    uint32_t *of = calloc(most, sizeof *of), entries = 0;
    uint32_t *who = calloc(most, sizeof *who);
    bool good = false;
    sc->watches = calloc(sc->n, sizeof *sc->watches);
    sc->first = calloc((size_t)most + 1, sizeof *sc->first);
    sc->watching = calloc(most, sizeof *sc->watching);
    if (!all || !of || !who || !sc->watches || !sc->first || !sc->watching)
        goto out;
    for (int i = 0; i < FOLDS; i++) {
        all[i] = folds[i];
        if (words_add(&unique, folds[i].text, folds[i].n) == WORDS_NONE)
            goto out;
    }
    for (uint32_t i = 0; i < sc->n; i++) {
        const struct literals *l = waits_for(sc->rules[i], engine);
        if (!l)
            continue;
        sc->watches[sc->watches_n] = (struct watch){.at = i, .before = l->before};
        for (size_t k = 0; k < l->n; k++) {
            uint32_t number = words_add(&unique, l->all[k].text, l->all[k].n);
            if (number == WORDS_NONE)
                goto out;
            all[number] = l->all[k];
            of[entries] = number;
            who[entries++] = sc->watches_n;
            sc->first[number + 1]++;
        }
        sc->watches_n++;
    }
    for (uint32_t i = 0; i < unique.n; i++)
        sc->first[i + 1] += sc->first[i];
    for (uint32_t i = entries; i-- > 0;) /* filled from behind: first[] moves to where it belongs */
        sc->watching[--sc->first[of[i] + 1]] = who[i];
    memmove(sc->first, sc->first + 1, unique.n * sizeof *sc->first);
    sc->first[unique.n] = entries;
    sc->literals_n = unique.n;
    sc->finder = finder_create(engine, all, unique.n);
    good = sc->finder != NULL;
out:
    words_free(&unique);
    free(all);
    free(of);
    free(who);
    return good;
}

static struct scanner *scanner_make(const struct rule_list *list, enum finder_engine engine)
{
    struct scanner *sc = calloc(1, sizeof *sc);
    if (!sc)
        return NULL;
    sc->key = scope_rows[list->scope].key;
    sc->rules = calloc(list->count, sizeof(const struct rule *));
    sc->sights = calloc(list->count, 1);
    sc->touched = calloc(list->count, sizeof *sc->touched);
    sc->always = calloc(list->count, sizeof *sc->always);
    sc->negated = calloc(list->count, sizeof *sc->negated);
    if (!sc->rules || !sc->sights || !sc->touched || !sc->always || !sc->negated)
        goto fail;
    for (const struct rule *rule = list->first; rule; rule = rule->next)
        sc->rules[sc->n++] = rule;
    uint32_t literals = place_rules(sc, engine);
    if (literals == FOLDS || watch_literals(sc, engine, literals))
        return sc;
fail:
    scanner_free(&sc);
    return NULL;
}

static int make(struct rule_list *list, enum finder_engine engine)
{
    if (!list->first || !scope_rows[list->scope].patterns)
        return 0;
    list->scanner = scanner_make(list, engine);
    return list->scanner ? 0 : -1;
}

int scanners_make(struct rule_set *set, enum finder_engine engine)
{
    for (int i = 0; i < SCOPES; i++)
        if (make(&set->scopes[i], engine) < 0)
            return -1;
    for (struct rule_field *field = set->fields; field; field = field->next)
        if (make(&field->rules, engine) < 0)
            return -1;
    return 0;
}

void scanner_free(struct scanner **scanner)
{
    struct scanner *sc = *scanner;
    if (!sc)
        return;
    finder_free(&sc->finder);
    free((void *)sc->rules);
    free(sc->sights);
    free(sc->touched);
    free(sc->always);
    free(sc->negated);
    free(sc->watches);
    free(sc->first);
    free(sc->watching);
    free(sc);
    *scanner = NULL;
}

/* ---- scanning ---- */

/* What rules spent is remembered only from the first that is slow. */
static void spend(const struct scan_call *call, uint32_t index, uint64_t ns)
{
    if (ns < 100000 && !*call->spent_io)
        return;
    if (!*call->spent_io)
        *call->spent_io = calloc((size_t)call->rules_n + 1, sizeof **call->spent_io);
    if (*call->spent_io) {
        (*call->spent_io)[index] += (uint32_t)(ns / 1000);
        (*call->spent_io)[call->rules_n] += (uint32_t)(ns / 1000);
    }
}

/* For the rule, and for all slow rules of the message together: twice as much as for one. */
static uint64_t time_left(const struct scan_call *call, const struct rule *rule)
{
    if (!*call->spent_io)
        return call->rule_ns;
    uint64_t own = (uint64_t)(*call->spent_io)[rule->index] * 1000;
    uint64_t all = (uint64_t)(*call->spent_io)[call->rules_n] * 1000;
    uint64_t left = own < call->rule_ns ? call->rule_ns - own : 0;
    uint64_t left_all = all < 2 * call->rule_ns ? 2 * call->rule_ns - all : 0;
    return left < left_all ? left : left_all;
}

/* 1: it has it, 0: not, below 0: it could not be searched for. */
static int look(const struct scanner *sc, const struct scan_call *call, const struct rule *rule,
                const struct subject *s)
{
    if (rule->test == TEST_PATTERN) {
        struct budget budget = {.left_ns = time_left(call, rule)};
        uint64_t before = budget.left_ns;
        int code = matcher_try(call->matcher, rule->pattern, s, &budget);
        spend(call, rule->index, before - budget.left_ns);
        return code;
    }
    int found = list_has(rule->list, sc->key, s->p, s->n);
    return found < 0 ? MATCH_NO_MEMORY : found;
}

static void touch(struct scanner *sc, uint32_t at, int code)
{
    sc->touched[sc->touched_n++] = (struct touch){.at = at, .code = code};
}

static void try_rule(struct scanner *sc, const struct scan_call *call, uint32_t at, const struct subject *s)
{
    const struct rule *rule = sc->rules[at];
    if (sc->sights[at] || marked(call->marks, MARK_DONE, rule->index))
        return;
    int code = look(sc, call, rule, s);
    sc->sights[at] = code > 0 ? SIGHT_SEEN : code < 0 ? SIGHT_FAILED : 0;
    if (code != 0)
        touch(sc, at, code);
}

struct finding_call {
    struct scanner *sc;
    const struct scan_call *call;
    const struct subject *s;
    size_t offset; /* of the text that is searched, in the subject */
    bool folded;   /* places in a folded copy say nothing about places in the subject */
    bool folds;    /* there is something to fold */
};

static bool continues(const struct subject *s, size_t at)
{
    return ((unsigned char)s->p[at] & 0xc0) == 0x80;
}

/* A literal of this rule begins at `at`: a match, if there is one, begins at most `before` bytes earlier.
 * Literals come in the order of their ends, so their beginnings may go back. */
static void try_around(struct finding_call *f, struct watch *w, size_t at)
{
    struct subject part = *f->s;
    if (w->scan != f->sc->scan)
        *w = (struct watch){.at = w->at, .before = w->before, .scan = f->sc->scan, .tried_from = 1};
    if (w->tries > TRIES_MAX)
        return;
    bool everywhere = w->before == LITERAL_ANYWHERE || f->folded || w->tries == TRIES_MAX;
    w->tries = everywhere ? TRIES_MAX + 1 : w->tries + 1;
    if (!everywhere) {
        part.from = at - f->s->from > w->before ? at - w->before : f->s->from;
        while (part.from > f->s->from && continues(f->s, part.from))
            part.from--;
        part.to = at < f->s->to ? at : f->s->to;
        if (part.from > part.to || (part.from >= w->tried_from && part.to <= w->tried_to))
            return;
        w->tried_from = part.from;
        w->tried_to = part.to;
    }
    try_rule(f->sc, f->call, w->at, &part);
}

static void on_literal(void *arg, uint32_t literal, size_t at)
{
    struct finding_call *f = arg;
    const struct scanner *sc = f->sc;
    f->folds = f->folds || literal < FOLDS;
    for (uint32_t i = sc->first[literal]; i < sc->first[literal + 1]; i++)
        try_around(f, &sc->watches[sc->watching[i]], f->offset + at);
}

/* U+212A and U+017F as the letters that caseless patterns take them for. */
static size_t fold(const char *p, size_t n, char *to)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        bool k = n - i >= 3 && memcmp(p + i, folds[0].text, 3) == 0;
        bool s = n - i >= 2 && memcmp(p + i, folds[1].text, 2) == 0;
        to[out++] = k ? 'k' : s ? 's' : p[i];
        i += k ? 2 : s ? 1 : 0;
    }
    return out;
}

static void try_all(struct finding_call *f)
{
    for (uint32_t i = 0; i < f->sc->watches_n; i++) {
        const struct watch *w = &f->sc->watches[i];
        try_rule(f->sc, f->call, w->at, f->s);
    }
}

static void find(struct scanner *sc, const struct scan_call *call, const struct subject *s)
{
    struct finding_call f = {.sc = sc, .call = call, .s = s, .offset = s->from};
    size_t n = s->n - s->from;
    sc->scan++;
    bool searched = finder_scan(sc->finder, s->p + s->from, n, on_literal, &f) == 0;
    if (searched && f.folds) {
        char *copy = malloc(n);
        f.folded = true;
        searched = copy && finder_scan(sc->finder, copy, fold(s->p + s->from, n, copy), on_literal, &f) == 0;
        free(copy);
    }
    if (!searched)
        try_all(&f);
}

static int by_place(const void *a, const void *b);

void scanner_run(struct scanner *sc, const struct scan_call *call, const struct subject *s)
{
    if (sc->finder && s->n > s->from)
        find(sc, call, s);
    for (uint32_t i = 0; i < sc->always_n; i++)
        try_rule(sc, call, sc->always[i], s);
    for (uint32_t i = 0; i < sc->negated_n && s->last; i++) {
        uint32_t at = sc->negated[i];
        if (!sc->sights[at] && !marked(call->marks, MARK_DONE, sc->rules[at]->index))
            touch(sc, at, 0);
    }
    if (sc->touched_n > 1)
        qsort(sc->touched, sc->touched_n, sizeof *sc->touched, by_place);
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
