/* SPDX-License-Identifier: MIT */
/* The left side of a rule: what it looks for. */
#ifndef CONTENT_LEFT_H
#define CONTENT_LEFT_H

#include "rules.h"
#include "source.h"

/* Reads text[at..) into the rule's test, of a rule in that scope; SCOPES: the scope is not known, only the
 * form is checked. Returns the place behind it; *good_r is false when errors were reported, and where it
 * returns 0 the rest of the line makes no sense. */
MUST_CHECK size_t left_parse(struct source *s, size_t at, enum scope scope, struct rule_set *set,
                             struct rule *rule, bool *good_r);

#endif
