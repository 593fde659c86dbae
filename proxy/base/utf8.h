/* SPDX-License-Identifier: MIT */
/* UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing past U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "attr.h"
#include "span.h"

#include <stdint.h>

/* How many octets the first character of s has, and which one it is; 0 when s starts with none. */
MUST_CHECK size_t utf8_take(struct span s, uint32_t *point_r);

#endif
