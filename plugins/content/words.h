/* SPDX-License-Identifier: MIT */
/* Many words, each with a number: found in constant time however many there are. */
#ifndef CONTENT_WORDS_H
#define CONTENT_WORDS_H

#include "match.h"

#define WORDS_NONE UINT32_MAX

struct words { /* zeroed: empty */
    char *text;
    size_t text_n, text_size;
    struct word {
        size_t at;
        uint32_t n, hash;
    } * all;
    uint32_t n, size;
    uint32_t *slots; /* number + 1; 0: free. A power of two, at most half full */
    uint32_t slots_n;
};

/* The number of the word, from 0 in the order of adding; one that is there already keeps its number.
 * WORDS_NONE: no memory. */
MUST_CHECK uint32_t words_add(struct words *w, const char *p, size_t n);
/* WORDS_NONE: not there. */
MUST_CHECK uint32_t words_find(const struct words *w, const char *p, size_t n);
void words_free(struct words *w);

#endif
