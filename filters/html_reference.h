/* SPDX-License-Identifier: MIT */
/* Character references: &amp; &#38; &#x26; and what is like them. Private to html.c. */
#ifndef FILTERS_HTML_REFERENCE_H
#define FILTERS_HTML_REFERENCE_H

#include "filters/html_tag.h"

struct html_reference { /* zeroed: the '&' was read */
    char name[HTML_ENTITY_MAX];
    size_t n; /* of a number: its "#" or "#x" */
    bool digits;
    uint32_t number;
};
/* Does c go on with it? */
bool html_reference_byte(struct html_reference *r, char c);

struct html_meaning {
    char text[4]; /* UTF-8 */
    size_t n;     /* 0: it is no reference, the '&' stands for itself */
    struct span rest;
    bool ended; /* the byte behind it is its semicolon */
};
/* `next` is the byte behind it; `in_value`: it stands in an attribute. */
void html_reference_read(const struct html_reference *r, bool in_value, char next, struct html_meaning *m);

#endif
