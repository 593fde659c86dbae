/* SPDX-License-Identifier: MIT */
/* What the fuzzers share: the entry point, a check that ends the program, and ways to cut an input. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "base/buf.h"
#include "base/span.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(truth)                                                                                       \
    do {                                                                                                     \
        if (!(truth)) {                                                                                      \
            (void)fprintf(stderr, "%s:%d: this does not hold: %s\n", __FILE__, __LINE__, #truth);            \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* How an input is cut: whole, octet by octet, or in pieces whose lengths follow from a number. */
enum cut { CUT_WHOLE, CUT_OCTETS, CUT_PIECES, CUTS };

/* The next piece from the front of *in. It is a copy of exactly its length, so that a read past its end is
 * seen by AddressSanitizer; the caller frees it. */
static inline struct span cut_piece(struct span *in, enum cut how, uint32_t *number)
{
    size_t n = how == CUT_WHOLE ? in->n : 1;
    if (how == CUT_PIECES) {
        *number = *number * 1664525u + 1013904223u;
        n = 1 + (*number >> 24) % 37;
    }
    struct span piece = span_head(*in, n);
    char *copy = malloc(piece.n ? piece.n : 1);
    REQUIRE(copy);
    if (piece.n)
        memcpy(copy, piece.p, piece.n);
    *in = span_skip(*in, piece.n);
    return span_make(copy, piece.n);
}

static inline void free_piece(struct span piece)
{
    free((void *)(uintptr_t)piece.p);
}

/* A trace is what a parser said, as text: two runs are the same when their traces are. */
static inline void trace_span(struct buf *trace, const char *name, struct span s)
{
    REQUIRE(buf_printf(trace, " %s=%zu:", name, s.n) && buf_append(trace, s));
}

#endif
