/* SPDX-License-Identifier: MIT */
/* What has a name, found by it: certificates, filters, policies, upstreams; and what a name is made of. */
#ifndef CONF_NAMES_H
#define CONF_NAMES_H

#include "base/arena.h"
#include "base/span.h"

#include <stdint.h>

struct names { /* zeroed: none. Lives in the arena that names_create was given */
    struct names_entry {
        const char *name;
        const void *object;
    } * entries;
    const char **list; /* NULL-ended, for diag_near */
    size_t count;
    bool incomplete; /* some could not be read: a name that is not found is no error of its own */
};

/* Letters, digits, '-', '_' and '.': what names of hosts and of things in the file consist of. */
static inline bool names_letter(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_' || c == '.';
}

/* Room for `most` names. */
MUST_CHECK bool names_create(struct names *n, struct arena *a, size_t most);
void names_add(struct names *n, const char *name, const void *object);
void names_sort(struct names *n); /* once, after the last was added */
const void *names_find(const struct names *n, struct span name);

#endif
