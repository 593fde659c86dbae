/* SPDX-License-Identifier: MIT */
/* What the unit tests of the lower layers share: cmocka in its right order, and spans compared with literals.
 */
#ifndef TESTS_UNIT_BASE_CHECK_H
#define TESTS_UNIT_BASE_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/span.h"

static inline void check_span(struct span got, struct span want, const char *file, int line)
{
    if (span_eq(got, want))
        return;
    print_error("got  \"%.*s\" (%zu)\nwant \"%.*s\" (%zu)\n", SPAN_FMT(got), got.n, SPAN_FMT(want), want.n);
    _fail(file, line);
}

#define assert_span(got, literal)  check_span(got, SPAN_LIT(literal), __FILE__, __LINE__)
#define assert_spans_eq(got, want) check_span(got, want, __FILE__, __LINE__)

#endif
