/* SPDX-License-Identifier: MIT */
/* Words that may be names: equal to one, or near to one ("did you mean"). Case does not count. */
#ifndef CONTENT_NAMES_H
#define CONTENT_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* The word is foreign and may hold anything, NUL included. */
bool name_is(const char *word, size_t n, const char *name);
/* The name in the list (NULL ends it) that the word was probably meant to be, or NULL. */
const char *suggest_name(const char *word, size_t n, const char *const *names);

#endif
