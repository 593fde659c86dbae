/* SPDX-License-Identifier: MIT */
/* What was learned, for people and for programs. Pure. Texts inside the facts are printable already. */
#ifndef PROBE_REPORT_H
#define PROBE_REPORT_H

#include "base/attr.h"
#include "base/buf.h"
#include "probe/facts.h"

/* false: no memory. */
MUST_CHECK bool report_text(const struct facts *f, struct buf *out);
MUST_CHECK bool report_json(const struct facts *f, struct buf *out);

/* "works", "refused: 550 …": `out` has room for FACTS_TEXT + 32. */
#define REPORT_OUTCOME (FACTS_TEXT + 32)
void report_outcome(const struct facts_way *w, char out[REPORT_OUTCOME]);

#endif
