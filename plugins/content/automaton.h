/* SPDX-License-Identifier: MIT */
/* Aho's and Corasick's automaton over bytes, ASCII letters in both cases. */
#ifndef CONTENT_AUTOMATON_H
#define CONTENT_AUTOMATON_H

#include "finder.h"

struct automaton;
MUST_CHECK struct automaton *automaton_create(const struct literal *literals, uint32_t n);
void automaton_free(struct automaton **a);
void automaton_scan(const struct automaton *a, const char *p, size_t n, finder_found found, void *arg);

#endif
