/* SPDX-License-Identifier: MIT */
/* Expressions over the names of rules: "A && (B || !C)", ">= 3 of (A, B, C, D)", "A + 2 * B > 2". A name is 1
 * when its rule hit, else 0; so is what a comparison says. && || ! take any other number than 0 for true. */
#ifndef CONTENT_META_H
#define CONTENT_META_H

#include "source.h"
#include "words.h"

enum {
    META_OPS = 4096,  /* names, numbers and operators in one expression */
    META_NESTING = 32 /* parentheses in parentheses */
};

enum meta_op {
    META_NUMBER,
    META_NAME,
    META_NOT,
    META_NEGATE,
    META_TRUE, /* any number into 0 or 1 */
    META_OR,
    META_AND,
    META_EQ,
    META_NE,
    META_LE,
    META_GE,
    META_LT,
    META_GT,
    META_ADD,
    META_SUB,
    META_MUL,
    META_DIV
};

struct meta { /* in postfix notation */
    struct meta_step {
        enum meta_op op;
        uint32_t name;
        double number;
        uint32_t line, column; /* of a name, in the file */
    } * steps;
    size_t n, size;
};

/* Reads the expression in parentheses that begins at text[*at_io] and goes behind it. Names are added to
 * `names`. NULL: errors were reported. */
MUST_CHECK struct meta *meta_parse(struct source *s, size_t *at_io, struct words *names);
/* hits: one bit a name. */
MUST_CHECK bool meta_holds(const struct meta *m, const uint8_t *hits);
void meta_free(struct meta **m);

/* Bytes of text[at..end) that make a rule's name; 0: it begins with none. */
size_t meta_name_length(const char *p, size_t n);

#endif
