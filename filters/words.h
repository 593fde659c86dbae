/* SPDX-License-Identifier: MIT */
/* Text of header fields: unfolding (RFC 5322 2.2.3) and encoded words (RFC 2047). Private to the message
 * model. */
#ifndef FILTERS_WORDS_H
#define FILTERS_WORDS_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#include "filters/charset.h"
#include <stdint.h>

/* Appends s without the line ends of its folds; the blanks behind them stay. */
MUST_CHECK bool words_unfold(struct span s, struct buf *out);

/* Appends unfolded text as UTF-8: encoded words decoded, adjacent ones joined. At most `max` bytes are added.
 * *flags_r gains MESSAGE_FIELD_LIMIT, MESSAGE_CHARSET_UNKNOWN, MESSAGE_BAD_BASE64, MESSAGE_BAD_QP. */
MUST_CHECK bool words_decode(struct span s, size_t max, struct charset_pool *pool, struct buf *out,
                             uint64_t *flags_r);

#endif
