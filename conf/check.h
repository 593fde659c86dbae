/* SPDX-License-Identifier: MIT */
/* A tree against a table of options. Knows nothing of what the options mean. */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include "conf/node.h"

struct checker {
    struct arena *arena; /* for what is added to the tree */
    struct diags *diags;
    const char *file;
    unsigned depth; /* of the block under check; zero it */
    bool no_memory; /* a default is missing for lack of memory: the tree cannot be used */
};

/* Checks the members of `block` and appends the defaults. Names in `also` (may be NULL) are not in this table
 * but may be meant by who mistyped one. Everything wrong is in `diags` afterwards. */
void check_block(struct checker *c, struct conf_node *block, const struct postern_option *table,
                 const struct postern_option *also);

/* A name that the administrator chose: starts with a letter or digit, goes on with those or "-_.". */
MUST_CHECK bool check_name(struct span name);

#endif
