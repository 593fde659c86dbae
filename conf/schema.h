/* SPDX-License-Identifier: MIT */
/* The table of every option: its name, type, range, default and help. The checker, the defaults, the dump,
 * the JSON Schema and "did you mean" are all made from it; an option is added here and used in build*.c. */
#ifndef CONF_SCHEMA_H
#define CONF_SCHEMA_H

#include "postern/filter.h"

#include <stdbool.h>

/* Beside the flags that plugins may use. */
#define CONF_NOT_EMPTY (1u << 16) /* an empty text or list says nothing here */
#define CONF_OR_BOOL   (1u << 17) /* BLOCK: yes or no may stand for it */
#define CONF_OPEN      (1u << 18) /* BLOCK, MAP: options that the table does not know belong to a plugin */
/* BLOCK: known, so that nobody looks for a spelling mistake, but without effect in this version; a warning
 * says so. */
#define CONF_LATER (1u << 19)

extern const struct postern_option conf_schema[];
/* What every block under `filters:` may have beside its plugin's own options. */
extern const struct postern_option conf_filter_options[];

#endif
