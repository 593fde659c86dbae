/* SPDX-License-Identifier: MIT */
/* "Did you mean": the nearest of some names. */
#ifndef CONTENT_SUGGEST_H
#define CONTENT_SUGGEST_H

#include <stddef.h>

/* The name in the list (NULL ends it) that the word was probably meant to be, or NULL. */
const char *suggest_name(const char *word, size_t n, const char *const *names);

#endif
