/* SPDX-License-Identifier: MIT */
/* Files in plain text, as uuencode writes them: "begin 644 name", lines, "end". Private to the message model.
 */
#ifndef FILTERS_UU_H
#define FILTERS_UU_H

#include "base/attr.h"
#include "base/span.h"

#define UU_LINE_MAX 256 /* a longer line is none of it */

struct uu_events { /* false: no memory */
    bool (*begin)(void *ctx, struct span name);
    bool (*data)(void *ctx, struct span bytes);
    bool (*end)(void *ctx);
};

struct uu { /* zeroed: begun. Private */
    enum { UU_TEXT, UU_NAMED, UU_DATA } state;
    bool skip;      /* this line is too long */
    const char *at; /* during an event: where the text goes on */
    size_t line_n, name_n;
    char line[UU_LINE_MAX], name[UU_LINE_MAX];
};

/* Text, cut anywhere. A file begins with its first line of data: a sentence that looks like a beginning is
 * none. */
MUST_CHECK bool uu_feed(struct uu *u, struct span text, const struct uu_events *events, void *ctx);
MUST_CHECK bool uu_end(struct uu *u, const struct uu_events *events, void *ctx);

#endif
