/* SPDX-License-Identifier: MIT */
/* The right side of a rule: "REJECT 554 5.7.1 No". */
#ifndef CONTENT_ACTION_H
#define CONTENT_ACTION_H

#include "rules.h"
#include "source.h"

/* Reads it from text[at] on into the rule. false: errors were reported. */
MUST_CHECK bool action_parse(struct source *s, size_t at, struct rule *rule);

extern const char action_words[]; /* all of them, for an error text */

#endif
