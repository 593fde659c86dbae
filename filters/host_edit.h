/* SPDX-License-Identifier: MIT */
/* The host functions for edits and tags; their contract stands in postern/filter.h. */
#ifndef FILTERS_HOST_EDIT_H
#define FILTERS_HOST_EDIT_H

#include "postern/filter.h"

int host_header_add(struct postern_tx *tx, struct postern_span name, struct postern_span value);
int host_header_replace(struct postern_tx *tx, struct postern_span name, struct postern_span value);
int host_header_remove(struct postern_tx *tx, struct postern_span name);
int host_subject_prefix(struct postern_tx *tx, struct postern_span text);
int host_rcpt_add(struct postern_tx *tx, struct postern_span mailbox);
int host_rcpt_replace(struct postern_tx *tx, struct postern_span mailbox);
int host_tag(struct postern_tx *tx, struct postern_span name, struct postern_span value);
struct postern_span host_tag_get(const struct postern_tx *tx, struct postern_span name);

#endif
