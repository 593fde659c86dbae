/* SPDX-License-Identifier: MIT */
/* Text of strangers for a terminal: it says nothing there that was not meant as text. Pure. */
#ifndef EXPLAIN_VISIBLE_H
#define EXPLAIN_VISIBLE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

/* Appends at most `most` characters of `s`, and "..." where there is more. Controls are shown as \x1b, \r, \n
 * and \t; what steers the direction of text or cannot be seen as <U+202E>; bytes that are no UTF-8 as \xff.
 * false: no memory. */
MUST_CHECK bool visible(struct buf *out, struct span s, size_t most);

#endif
