/* SPDX-License-Identifier: MIT */
/* What was seen, for people and for programs. Pure. */
#ifndef EXPLAIN_ACCOUNT_H
#define EXPLAIN_ACCOUNT_H

#include "base/attr.h"
#include "base/buf.h"
#include "explain/facts.h"
#include "explain/request.h"

/* false: no memory. */
MUST_CHECK bool account_text(const struct facts *f, const struct request *r, struct buf *out);
MUST_CHECK bool account_json(const struct facts *f, const struct request *r, struct buf *out);

/* Takes the next of "wallet=2.5 meds=4" from *list. false: the end. */
MUST_CHECK bool account_score(struct span *list, struct span *name_r, struct span *points_r);
/* "refuses", "would accept" … of an answer; NULL: none worth a word. */
const char *account_action(enum postern_action action, bool shadow);

#endif
