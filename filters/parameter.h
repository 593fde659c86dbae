/* SPDX-License-Identifier: MIT */
/* The form of Content-Type and Content-Disposition: a value, then parameters (RFC 2045 5.1, RFC 2231). Parsed
 * as leniently as mail programs do. Private to the message model. */
#ifndef FILTERS_PARAMETER_H
#define FILTERS_PARAMETER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#include "filters/charset.h"
#include <stdint.h>

#define PARAMETERS_MAX 32 /* of one field; what comes after is not read */

struct parameter {
    struct span name;  /* without the marks of RFC 2231 */
    struct span value; /* as written, without its quotes */
    bool quoted;       /* backslashes escape */
    bool extended;     /* name*: percent-encoded, with a charset in front */
    int section;       /* name*0, name*1, …; -1: none */
};

struct parameters {
    struct span value; /* before the first ';', trimmed */
    struct parameter list[PARAMETERS_MAX];
    size_t n;
    bool more; /* than the table takes */
};

/* Spans point into the text, which is unfolded. */
void parameters_parse(struct span text, struct parameters *out);

/* Where a value that stands without quotes ends: at a blank or a comment. */
struct span parameter_token(struct span s);

/* A parameter may be there more than once and in several forms, and programs differ in which they take: this
 * gives each reading in turn. *at starts at 0. false in *found_r: there are no more. `words`: the value is a
 * file name, in which mail programs decode encoded words and keep blanks. Appends to `out`. */
MUST_CHECK bool parameter_next(const struct parameters *p, struct span name, size_t *at, bool words,
                               struct charset_pool *pool, struct buf *out, uint64_t *flags_r, bool *found_r);

#endif
