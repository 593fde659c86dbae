/* SPDX-License-Identifier: MIT */
/* A checked tree -> struct conf. Inside conf/ only. */
#ifndef CONF_BUILD_H
#define CONF_BUILD_H

#include "conf/check.h"
#include "conf/conf.h"
#include "conf/names.h"

struct builder {
    struct conf *conf;
    struct checker *checker; /* with the arena and the list of findings */
    const struct conf_plugins *plugins;
    struct names certificates, filters, policies, upstreams;
    bool no_memory;
};

/* Fills b->conf from the tree, which check_block has seen. What cannot be resolved is in the findings. False:
 * no memory. */
MUST_CHECK bool build_conf(struct builder *b, struct conf_node *root);

/* The sections, in the order in which they refer to each other. `section` may be NULL. */
void build_upstreams(struct builder *b, const struct conf_node *section);
void build_filters(struct builder *b, const struct conf_node *section);
void build_listeners(struct builder *b, const struct conf_node *section);

/* ---- what they share ---- */

/* Values of a block's options; NULL, 0 or false when absent or bad. Texts end in a NUL. */
const char *build_text(const struct conf_node *block, const char *name);
int64_t build_number(const struct conf_node *block, const char *name);
/* The same as a complete path. */
const char *build_path(struct builder *b, const struct conf_node *block, const char *name);

/* The members of a list or a map that can be used, and how many there are. */
struct conf_node *build_first(const struct conf_node *list);
struct conf_node *build_next(const struct conf_node *member);
size_t build_count(const struct conf_node *list);
/* A zeroed array for build_count(list) items, or NULL: none, or no memory (noted). */
void *build_array(struct builder *b, const struct conf_node *list, size_t item);
/* A list of networks; what is wrong is an error at its place. */
struct networks build_networks(struct builder *b, const struct conf_node *list);
/* A section of the root, NULL when absent or bad, and an empty table with room for its names. */
const struct conf_node *build_section(struct builder *b, const struct conf_node *root, const char *name,
                                      struct names *names);
/* The object that a text names, or NULL after an error at the text. `what`: "upstream". */
const void *build_resolve(struct builder *b, const struct names *names, struct conf_node *text,
                          const char *what);

#endif
