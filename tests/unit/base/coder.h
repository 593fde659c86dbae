/* SPDX-License-Identifier: MIT */
/* What the tests of encoders and decoders share. */
#ifndef TESTS_UNIT_BASE_CODER_H
#define TESTS_UNIT_BASE_CODER_H

#include "unit/base/check.h"

#include "base/buf.h"

typedef bool coder(struct span s, struct buf *out);

/* NULL: it is refused, and the buf stays empty. */
static inline void check_coder(coder *code, struct span in, const char *want)
{
    struct buf out = {0};
    bool good = code(in, &out);
    assert_int_equal(good, want != NULL);
    assert_spans_eq(buf_span(&out), span_of(want ? want : ""));
    assert_int_equal(out.data == NULL, !want || !*want);
    buf_free(&out);
}

#endif
