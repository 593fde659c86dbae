/* SPDX-License-Identifier: MIT */
/* The tree of a configuration as conf/ itself sees it: the node that plugins read, and beside it what only
 * the reader, the checker and the dump need. Nodes belong to the arena that they were made in. */
#ifndef CONF_NODE_H
#define CONF_NODE_H

#include "base/arena.h"
#include "base/span.h"
#include "conf/diag.h"
#include "postern/filter.h"

struct conf_node {
    struct postern_node n; /* what plugins see; its links are set together with those below */
    struct conf_node *parent, *first, *last, *next;
    const struct postern_option *option; /* checked against this one; NULL: not checked */
    uint32_t key_line, key_column;       /* of the name; `n` has those of the value (block: of the name) */
    bool bad; /* its value cannot be used, which was reported; whoever comes later leaves it alone */
};

MUST_CHECK struct conf_node *node_new(struct arena *a, enum postern_node_kind kind, const char *file);
void node_append(struct conf_node *parent, struct conf_node *child);
/* Takes all members of a node away from it and gives the first one. */
struct conf_node *node_take_members(struct conf_node *parent);

/* The first member with this name, or NULL. */
struct conf_node *node_find(const struct conf_node *block, struct span name);
/* The same, but NULL also for one with an error. */
struct conf_node *node_good(const struct conf_node *block, const char *name);

static inline struct span node_name(const struct conf_node *node)
{
    return span_make(node->n.name.p, node->n.name.n);
}
static inline struct span node_text(const struct conf_node *node)
{
    return span_make(node->n.text.p, node->n.text.n);
}

/* The table's row with this name, or NULL. `table` may be NULL. */
const struct postern_option *option_find(const struct postern_option *table, struct span name);

/* "listeners.submission.bind", for messages, written into `out`. Gives `out`. */
enum { NODE_PATH_MAX = 256 };
const char *node_path(const struct conf_node *node, char out[NODE_PATH_MAX]);

/* What is wrong with a value: at the value, and the node is bad from then on. What is wrong with an option as
 * such (unknown, something missing in it): at its name. A default's error is put at what it stands in. */
void node_error(struct diags *d, struct conf_node *node, const char *format, ...) PRINTF_LIKE(3, 4);
void node_error_at_name(struct diags *d, const struct conf_node *node, const char *format, ...)
    PRINTF_LIKE(3, 4);
void node_warning(struct diags *d, const struct conf_node *node, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
