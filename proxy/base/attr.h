/* SPDX-License-Identifier: MIT */
/* Attributes that turn a rule of the house into a compiler's error. */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(at, first) __attribute__((__format__(__printf__, at, first)))
#define COUNT_OF(array)        (sizeof(array) / sizeof((array)[0]))

#endif
