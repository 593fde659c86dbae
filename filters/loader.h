/* SPDX-License-Identifier: MIT */
/* Plugins: from the name to the descriptor. A shared object stays loaded for good: nothing is dlclosed while
 * anything may still point into it, and a process that lives through many reloads has few plugins. */
#ifndef FILTERS_LOADER_H
#define FILTERS_LOADER_H

#include "base/attr.h"
#include "base/span.h"
#include "postern/filter.h"

/* DIR/NAME.so with immediate binding and local symbols; magic, ABI and size are checked. NULL with the reason
 * in `error` (always ended by a NUL). The name is [a-z0-9_-]+, never a path. */
MUST_CHECK const struct postern_filter *loader_open(const char *dir, struct span name, char *error,
                                                    size_t error_size);
/* The same checks for a descriptor at hand (tests, plugins linked in). */
MUST_CHECK bool loader_check(const struct postern_filter *f, char *error, size_t error_size);
/* A checked descriptor as this postern knows it. That of an older minor is shorter: what it lacks is NULL,
 * and nobody else may look into one behind what 1.0 had. */
void loader_copy(const struct postern_filter *f, struct postern_filter *out);

#endif
