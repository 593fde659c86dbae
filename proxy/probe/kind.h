/* SPDX-License-Identifier: MIT */
/* Which software a server is, as far as it says so itself. Pure. */
#ifndef PROBE_KIND_H
#define PROBE_KIND_H

#include "base/span.h"
#include "probe/facts.h"

enum kind_source { KIND_GREETING, KIND_HELP, KIND_SOURCES };

/* Looks for what is known into all lines that the server has said there; a kind that is known stays. */
void kind_take(struct facts *f, enum kind_source where, struct span said);
const char *kind_name(enum facts_kind kind); /* "Postfix"; "unknown" */

#endif
