/* SPDX-License-Identifier: MIT */
/* Many literals looked for in a text at once, in both cases of ASCII letters. */
#ifndef CONTENT_FINDER_H
#define CONTENT_FINDER_H

#include "literal.h"
#include "match.h"

/* As the option `engine` lists them. AUTO is Vectorscan where it is built in and the processor can, else the
 * automaton. */
enum finder_engine { ENGINE_AUTO, ENGINE_VECTORSCAN, ENGINE_AUTOMATON, ENGINE_NONE };

struct finder;
/* Each occurrence, in the order of their ends; `at` is where it begins. */
typedef void (*finder_found)(void *arg, uint32_t literal, size_t at);

/* Literals are known by their number. NULL: no memory, or an engine that cannot be had. */
MUST_CHECK struct finder *finder_create(enum finder_engine engine, const struct literal *literals,
                                        uint32_t n);
void finder_free(struct finder **f);
/* -1: it could not be searched. */
MUST_CHECK int finder_scan(struct finder *f, const char *p, size_t n, finder_found found, void *arg);
bool finder_has_vectorscan(void);

#endif
