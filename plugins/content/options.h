/* SPDX-License-Identifier: MIT */
/* The plugin's block of the configuration -> struct content. */
#ifndef CONTENT_OPTIONS_H
#define CONTENT_OPTIONS_H

#include "content.h"

extern const struct postern_option content_options[];

/* Reads options and rule files, with all their errors. -1: there was at least one. `c` has host and self, and
 * the caller frees what it got, in either case. */
MUST_CHECK int options_read(struct content *c, const struct postern_node *block);

#endif
