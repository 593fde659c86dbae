/* SPDX-License-Identifier: MIT */
/* What must hold for all that goes to an upstream, whatever the emitter was given: one message for the
 * strictest reader and for the most lenient one. */
#ifndef TESTS_UNIT_SMTP_WIRE_CHECK_H
#define TESTS_UNIT_SMTP_WIRE_CHECK_H

#include "base/span.h"

/* NULL, or what is wrong with a whole message in wire form. */
static inline const char *wire_fault(struct span wire)
{
    const struct span end = SPAN_LIT(".\r\n");
    if (wire.n < end.n || !span_eq(span_skip(wire, wire.n - end.n), end))
        return "no end";
    struct span body = span_head(wire, wire.n - end.n);
    for (size_t i = 0; i < body.n; i++) {
        bool after_cr = i > 0 && body.p[i - 1] == '\r';
        bool line_start = i == 0 || body.p[i - 1] == '\n';
        if (body.p[i] == '\n' && !after_cr)
            return "a bare LF";
        if (after_cr && body.p[i] != '\n')
            return "a bare CR";
        if (line_start && body.p[i] == '.' && (i + 1 == body.n || body.p[i + 1] != '.'))
            return "a dot that is not stuffed";
    }
    if (body.n && body.p[body.n - 1] != '\n')
        return "the last line has no end";
    return NULL;
}

/* What the emitter makes of content: CRLF lines, no bare CR. `out` has room for twice the content and 3. */
static inline struct span wire_normal(struct span content, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < content.n; i++) {
        char c = content.p[i];
        bool crlf = c == '\r' && i + 1 < content.n && content.p[i + 1] == '\n';
        if (c == '\n' && !(i > 0 && content.p[i - 1] == '\r'))
            out[n++] = '\r';
        out[n++] = c == '\r' && !crlf ? ' ' : c;
    }
    if (n && out[n - 1] != '\n') {
        out[n++] = '\r';
        out[n++] = '\n';
    }
    return span_make(out, n);
}

/* The same of the payload of BDAT, to which no line end is added. */
static inline struct span wire_normal_chunk(struct span content, char *out)
{
    struct span normal = wire_normal(content, out);
    bool added = content.n && content.p[content.n - 1] != '\n';
    return span_head(normal, normal.n - (added ? 2 : 0));
}

#endif
