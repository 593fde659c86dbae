/* SPDX-License-Identifier: MIT */
/* What is known of HTML's elements and character references. Constants only. Private to html.c and its
 * neighbours. */
#ifndef FILTERS_HTML_TAG_H
#define FILTERS_HTML_TAG_H

#include "base/span.h"

#include <stdint.h>

enum html_tag_kind { /* see html_tags.def */
                     HTML_BLOCK = 1,
                     HTML_CELL = 2,
                     HTML_VOID = 4,
                     HTML_RAW = 8,
                     HTML_TITLE = 16,
                     HTML_ALONE = 32,
                     HTML_ROOT = 64,
                     HTML_GONE = 128,
                     HTML_IMAGE = 256,
                     HTML_TABLE = 512
};
unsigned html_tag_kind(struct span lower_name); /* 0: nothing special */

static inline bool html_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

#define HTML_ENTITY_MAX 31 /* bytes of the longest name */
/* The code point of a name without '&' and ';', or 0. `legacy`: only those that count without a semicolon. */
uint32_t html_entity(struct span name, bool legacy);
/* What a numeric reference stands for (WHATWG 13.2.5.80): some numbers stand for others. */
uint32_t html_number(uint32_t number);
/* Writes one to four bytes of UTF-8; returns how many. */
size_t utf8_put(uint32_t point, char to[4]);

#endif
