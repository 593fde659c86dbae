/* SPDX-License-Identifier: MIT */
/* Counters that survive reloads and workers: named 64-bit numbers in memory that all processes share. Adding
 * is one relaxed atomic; names are looked up once and kept as handles by those who count often. */
#ifndef PROXY_COUNTERS_H
#define PROXY_COUNTERS_H

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

struct counters; /* made by the supervisor before the first fork; mapped by all */

MUST_CHECK struct counters *counters_create(void); /* NULL: no memory */
void counters_destroy(struct counters **c);
/* The place of "name" (made on first use; lock-free). At most 1024 names; past it all go to "overflow". */
MUST_CHECK size_t counters_find(struct counters *c, const char *name);
void counters_add(struct counters *c, size_t place, uint64_t n);
uint64_t counters_value(const struct counters *c, const char *name);
void counters_each(const struct counters *c, void (*fn)(void *arg, const char *name, uint64_t value),
                   void *arg);

#endif
