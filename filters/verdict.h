/* SPDX-License-Identifier: MIT */
/* What a filter said, made fit for the wire and the log. Private to the engine. */
#ifndef FILTERS_VERDICT_H
#define FILTERS_VERDICT_H

#include "base/attr.h"
#include "base/buf.h"
#include "filters/chain.h"
#include "postern/filter.h"

#define VERDICT_TEXT_MAX 900 /* bytes of text for the client */
#define VERDICT_RULE_MAX 200 /* bytes of a rule's name for the log */

struct action_info {
    const char *counter; /* NULL: not counted */
    const char *shadow_counter;
    const char *would; /* "shadow: would have …"; NULL: the same in shadow and in earnest */
};
/* NULL: no such action. */
const struct action_info *action_info(enum postern_action action);

/* Does the action end the transaction or the session, and not the message with a 250? */
bool verdict_refuses(enum postern_action action);

/* *out from what the filter filled in: code, enhanced code and text fit the action and each other; the texts
 * are copies in `words`, which is emptied first. Without memory the texts are the defaults. */
void verdict_clean(const struct postern_verdict *from, struct verdict *out, struct buf *words);

/* A verdict of the engine's own: the failure action. */
void verdict_failure(enum filter_on_error what, const char *filter, struct verdict *out, struct buf *words);

#endif
