/* SPDX-License-Identifier: MIT */
/* Text -> tree: the strict subset of YAML that a configuration is written in. One document of maps, lists and
 * scalars; no anchors, aliases, tags, merge keys, duplicate names, empty values or NUL characters. */
#ifndef CONF_YAML_H
#define CONF_YAML_H

#include "conf/node.h"

enum {
    YAML_BYTES_MAX = 1 << 20, /* of the text */
    YAML_NODES_MAX = 1 << 16,
    YAML_DEPTH_MAX = 32
};

/* The root, whatever its kind, or NULL after an error that ends the reading. Errors that do not end it are in
 * `d` too, and what they are about is marked bad. Nothing of the tree points into `text`. */
MUST_CHECK struct conf_node *yaml_read(struct arena *a, struct span text, const char *file, struct diags *d);

/* The same for a default from an option table: its nodes are at line 0. */
MUST_CHECK struct conf_node *yaml_read_default(struct arena *a, struct span text, const char *file,
                                               struct diags *d);

#endif
