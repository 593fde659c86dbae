/* SPDX-License-Identifier: MIT */
/* One scalar: its text -> its number, by the type of its option; and back, for messages. Pure. */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "base/attr.h"
#include "base/span.h"
#include "postern/filter.h"

/* Fills number and real from text. False: the text is not of this type. */
MUST_CHECK bool value_parse(const struct postern_option *o, struct postern_node *scalar);
/* False: the number is outside the option's range. A max below min is no upper limit. */
MUST_CHECK bool value_in_range(const struct postern_option *o, const struct postern_node *scalar);

/* What a value of this type looks like: "a duration such as 50ms, 5s, 10m, 1h". */
enum { VALUE_TEXT_MAX = 256 };
const char *value_expected(const struct postern_option *o, char out[VALUE_TEXT_MAX]);
/* The range in the option's own unit: "1s to 1h", "at least 512". */
const char *value_range(const struct postern_option *o, char out[VALUE_TEXT_MAX]);

/* The place of `name` in "a|b|c" from 0, or -1. */
int value_enum_index(const char *values, struct span name);
/* The i-th of "a|b|c"; empty past the last. */
struct span value_enum_name(const char *values, size_t i);

#endif
