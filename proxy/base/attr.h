/* SPDX-License-Identifier: MIT */
/* Attributes that turn a rule of the house into a compiler's error. */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format, first) __attribute__((format(printf, format, first)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
