/* SPDX-License-Identifier: MIT */
/* What the end of data is, a second time and in another way: over the whole input at once, line by line. The
 * decoder is compared with this by the unit tests and by the fuzzer. */
#ifndef TESTS_UNIT_SMTP_DATA_REFERENCE_H
#define TESTS_UNIT_SMTP_DATA_REFERENCE_H

#include "base/span.h"

struct reference {
    char *content; /* room for twice the input */
    size_t n;
    size_t end; /* octets up to and with the end of data; SIZE_MAX: it has not come */
    bool bare_lf, bare_cr;
    size_t lines;
};

/* One line without its CRLF, or what there is of the last one. */
static inline void reference_line(struct reference *r, struct span line, bool normalize)
{
    if (line.n && line.p[0] == '.')
        line = span_skip(line, 1);
    for (size_t i = 0; i < line.n; i++) {
        char c = line.p[i];
        r->bare_lf = r->bare_lf || c == '\n';
        r->bare_cr = r->bare_cr || c == '\r';
        if (normalize && c == '\n')
            r->content[r->n++] = '\r';
        r->content[r->n++] = normalize && c == '\r' ? ' ' : c;
    }
}

static inline void reference_decode(struct span in, bool normalize, struct reference *r)
{
    size_t at = 0;
    r->end = SIZE_MAX;
    for (const char *crlf; (crlf = in.n > at ? memmem(in.p + at, in.n - at, "\r\n", 2) : NULL);) {
        struct span line = span_make(in.p + at, (size_t)(crlf - in.p) - at);
        at += line.n + 2;
        if (span_eq(line, SPAN_LIT("."))) {
            r->end = at;
            return;
        }
        reference_line(r, line, normalize);
        r->content[r->n++] = '\r';
        r->content[r->n++] = '\n';
        r->lines++;
    }
    struct span rest = span_skip(in, at); /* its last CR may still become a line end, so it waits */
    if (rest.n && rest.p[rest.n - 1] == '\r')
        rest.n--;
    reference_line(r, rest, normalize);
}

#endif
