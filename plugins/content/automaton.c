/* SPDX-License-Identifier: MIT */
/* One table lookup a byte, whatever the number of literals. Bytes that no literal has share one class, so a
 * row of the table is short; a state is its row's place in the table, and its top bit says that something
 * ends there.
 *
 *   trie of the literals --breadth first: links to the longest suffix that is a state--> complete table */
#include "automaton.h"

#include <stdlib.h>
#include <string.h>

#define ENDS_HERE 0x80000000u
#define NO_ENTRY  UINT32_MAX

struct state {       /* used where something ends, and while the table is made */
    uint32_t link;   /* the longest proper suffix that is a state */
    uint32_t output; /* the first literal that ends here; NO_ENTRY: none */
    uint32_t ending; /* the nearest state along the links where one ends; 0: none */
};

struct automaton {
    uint8_t classes[256];
    uint32_t width; /* classes */
    uint32_t *table;
    struct state *states;
    uint32_t states_n;
    uint32_t *next; /* by literal: another one with the same text; NO_ENTRY: none */
    uint8_t *lengths;
};

static void make_classes(struct automaton *a, const struct literal *literals, uint32_t n)
{
    bool used[256] = {false};
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < literals[i].n; k++)
            used[(unsigned char)literals[i].text[k]] = true;
    a->width = 1;
    for (int c = 0; c < 256; c++)
        if (used[c])
            a->classes[c] = (uint8_t)a->width++;
    for (int c = 'A'; c <= 'Z'; c++)
        a->classes[c] = a->classes[c | 0x20];
}

/* Numbers of states, not places, till finish(). */
static void add_literal(struct automaton *a, const struct literal *l, uint32_t number)
{
    uint32_t state = 0;
    for (size_t k = 0; k < l->n; k++) {
        uint32_t *to = &a->table[(size_t)state * a->width + a->classes[(unsigned char)l->text[k]]];
        if (*to == 0) {
            a->states[a->states_n].output = NO_ENTRY;
            *to = a->states_n++;
        }
        state = *to;
    }
    a->next[number] = a->states[state].output;
    a->states[state].output = number;
    a->lengths[number] = l->n;
}

static void link_children(struct automaton *a, uint32_t state, uint32_t *queue, uint32_t *tail)
{
    uint32_t *row = a->table + (size_t)state * a->width;
    const uint32_t *above = a->table + (size_t)a->states[state].link * a->width;
    for (uint32_t c = 1; c < a->width; c++) {
        uint32_t child = row[c];
        if (child == 0) {
            row[c] = state == 0 ? 0 : above[c];
            continue;
        }
        uint32_t link = state == 0 ? 0 : above[c];
        a->states[child].link = link;
        a->states[child].ending = a->states[link].output != NO_ENTRY ? link : a->states[link].ending;
        queue[(*tail)++] = child;
    }
}

static void finish(struct automaton *a)
{
    size_t cells = (size_t)a->states_n * a->width;
    for (size_t i = 0; i < cells; i++) {
        const struct state *to = &a->states[a->table[i]];
        bool ends = to->output != NO_ENTRY || to->ending != 0;
        a->table[i] = a->table[i] * a->width | (ends ? ENDS_HERE : 0);
    }
}

struct automaton *automaton_create(const struct literal *literals, uint32_t n)
{
    struct automaton *a = calloc(1, sizeof *a);
    uint32_t *queue = NULL, head = 0, tail = 0;
    size_t most = 1;
    if (!a)
        return NULL;
    make_classes(a, literals, n);
    for (uint32_t i = 0; i < n; i++)
        most += literals[i].n;
    if (most * a->width >= ENDS_HERE)
        goto fail;
    a->table = calloc(most * a->width, sizeof *a->table);
    a->states = calloc(most, sizeof *a->states);
    a->next = calloc((size_t)n + 1, sizeof *a->next);
    a->lengths = calloc((size_t)n + 1, 1);
    queue = calloc(most, sizeof *queue);
    if (!a->table || !a->states || !a->next || !a->lengths || !queue)
        goto fail;
    a->states_n = 1;
    a->states[0].output = NO_ENTRY;
    for (uint32_t i = 0; i < n; i++)
        add_literal(a, &literals[i], i);
    for (queue[tail++] = 0; head < tail; head++)
        link_children(a, queue[head], queue, &tail);
    finish(a);
    free(queue);
    return a;
fail:
    free(queue);
    automaton_free(&a);
    return NULL;
}

void automaton_free(struct automaton **a)
{
    if (!*a)
        return;
    free((*a)->table);
    free((*a)->states);
    free((*a)->next);
    free((*a)->lengths);
    free(*a);
    *a = NULL;
}

static void tell(const struct automaton *a, uint32_t state, size_t end, finder_found found, void *arg)
{
    const struct state *at = &a->states[state];
    if (at->output == NO_ENTRY)
        at = &a->states[at->ending];
    for (;; at = &a->states[at->ending]) {
        for (uint32_t i = at->output; i != NO_ENTRY; i = a->next[i])
            found(arg, i, end - a->lengths[i]);
        if (at->ending == 0)
            return;
    }
}

void automaton_scan(const struct automaton *a, const char *p, size_t n, finder_found found, void *arg)
{
    uint32_t place = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t to = a->table[place + a->classes[(unsigned char)p[i]]];
        place = to & ~ENDS_HERE;
        if (to & ENDS_HERE)
            tell(a, place / a->width, i + 1, found, arg);
    }
}
