/* SPDX-License-Identifier: MIT */
/* A hash table with open addressing. The words are the administrator's (names of rules, entries of lists),
 * what is looked up is foreign: so nobody outside can make chains long. The owner frees it. */
#include "words.h"

#include <stdlib.h>
#include <string.h>

static uint32_t hash_of(const char *p, size_t n) /* FNV-1a */
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 16777619u;
    return h;
}

/* The slot of the word, or the free one where it would go. There are slots. */
static uint32_t slot_of(const struct words *w, const char *p, size_t n, uint32_t hash)
{
    uint32_t mask = w->slots_n - 1;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        if (w->slots[i] == 0)
            return i;
        const struct word *at = &w->all[w->slots[i] - 1];
        if (at->hash == hash && at->n == n && memcmp(w->text + at->at, p, n) == 0)
            return i;
    }
}

uint32_t words_find(const struct words *w, const char *p, size_t n)
{
    if (w->n == 0)
        return WORDS_NONE;
    uint32_t slot = w->slots[slot_of(w, p, n, hash_of(p, n))];
    return slot == 0 ? WORDS_NONE : slot - 1;
}

static bool more_slots(struct words *w)
{
    uint32_t count = w->slots_n ? w->slots_n * 2 : 64;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    free(w->slots);
    w->slots = slots;
    w->slots_n = count;
    for (uint32_t i = 0; i < w->n; i++) {
        const struct word *at = &w->all[i];
        slots[slot_of(w, w->text + at->at, at->n, at->hash)] = i + 1;
    }
    return true;
}

static bool more_words(struct words *w)
{
    uint32_t size = w->size ? w->size * 2 : 32;
    struct word *all = realloc(w->all, size * sizeof *all);
    if (!all)
        return false;
    w->all = all;
    w->size = size;
    return true;
}

static bool more_text(struct words *w, size_t want)
{
    size_t size = w->text_size ? w->text_size : 512;
    while (size < want)
        size *= 2;
    char *text = realloc(w->text, size);
    if (!text)
        return false;
    w->text = text;
    w->text_size = size;
    return true;
}

uint32_t words_add(struct words *w, const char *p, size_t n)
{
    uint32_t hash = hash_of(p, n);
    uint32_t old = words_find(w, p, n);
    if (old != WORDS_NONE)
        return old;
    if ((w->n == w->size && !more_words(w)) || ((w->n + 1) * 2 > w->slots_n && !more_slots(w)) ||
        (w->text_n + n > w->text_size && !more_text(w, w->text_n + n)))
        return WORDS_NONE;
    w->slots[slot_of(w, p, n, hash)] = w->n + 1;
    w->all[w->n] = (struct word){.at = w->text_n, .n = (uint32_t)n, .hash = hash};
    if (n > 0)
        memcpy(w->text + w->text_n, p, n);
    w->text_n += n;
    return w->n++;
}

void words_free(struct words *w)
{
    free(w->text);
    free(w->all);
    free(w->slots);
    *w = (struct words){0};
}
