/* SPDX-License-Identifier: MIT */
/* How a mail server by the letter reads what an emitter wrote: an automaton as a table, octet by octet. It
 * shares nothing with the decoder under test, and takes nothing that two servers may read differently: a bare
 * CR or LF, or a dot at a line start that is neither stuffed nor the end. */
#ifndef TESTS_UNIT_SMTP_STRICT_READER_H
#define TESTS_UNIT_SMTP_STRICT_READER_H

#include "base/span.h"

enum strict_state { S_START, S_LINE, S_CR, S_DOT, S_DOT_CR, S_END, S_WRONG, S_STATES };
enum strict_class { C_OTHER, C_CR, C_LF, C_DOT, C_CLASSES };

struct strict_reading {
    size_t end; /* octets up to and with the first end; SIZE_MAX: none, or something wrong before it */
    size_t n;   /* of the content, dots removed */
    bool nul;
};

/* `content` has room for the wire. */
static inline struct strict_reading strict_read(struct span wire, char *content)
{
    static const enum strict_state next[S_STATES][C_CLASSES] = {
        /* other, CR, LF, dot */
        [S_START] = {S_LINE, S_CR, S_WRONG, S_DOT}, /* and before the first octet */
        [S_LINE] = {S_LINE, S_CR, S_WRONG, S_LINE}, /* a dot is a dot */
        [S_CR] = {S_WRONG, S_WRONG, S_START, S_WRONG},
        [S_DOT] = {S_WRONG, S_DOT_CR, S_WRONG, S_LINE}, /* stuffed, or the end */
        [S_DOT_CR] = {S_WRONG, S_WRONG, S_END, S_WRONG},
    };
    struct strict_reading r = {.end = SIZE_MAX};
    enum strict_state state = S_START;
    for (size_t i = 0; i < wire.n && state != S_WRONG; i++) {
        char c = wire.p[i];
        state = next[state][c == '\r' ? C_CR : c == '\n' ? C_LF : c == '.' ? C_DOT : C_OTHER];
        if (state == S_END) {
            r.end = i + 1;
            break;
        }
        r.nul = r.nul || c == '\0';
        if (state != S_DOT && state != S_DOT_CR)
            content[r.n++] = c;
    }
    return r;
}

#endif
