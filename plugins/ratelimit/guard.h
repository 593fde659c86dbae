/* SPDX-License-Identifier: MIT */
/* A gate before hiredis' reader: lets through only replies of the few shapes that our commands can have, so
 * that no announced length or count makes the reader allocate, and no type that it does not know reaches it.
 * Pure.
 *
 *   stream --bytes--> guard_check --the same bytes--> redisReaderFeed
 *
 * Good are +status, -error, :integer, $bulk and an array of those; not arrays in arrays, nor RESP3. */
#ifndef RATELIMIT_GUARD_H
#define RATELIMIT_GUARD_H

#include "spans.h"

struct guard {
    size_t max_line;     /* bytes of a line */
    size_t max_bulk;     /* bytes of a bulk string */
    size_t max_elements; /* of an array */

    /* private */
    int state;
    char type;
    bool negative, digits;
    size_t line_n, number, skip, elements;
};

/* NULL: good so far. Else what is wrong (a constant); the stream must be closed then. */
MUST_CHECK const char *guard_check(struct guard *g, struct postern_span bytes);

#endif
