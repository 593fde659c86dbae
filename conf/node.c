/* SPDX-License-Identifier: MIT */
/* Nodes: making, linking, finding, and putting an error at their place. A node lives and dies with its arena;
 * nothing here frees one.
 *
 *   listeners (MAP) --first--> submission (MAP) --next--> gateway (MAP)
 *        ^--parent----------------/  \--first--> bind (LIST) --next--> tls (SCALAR) … */
#include "conf/node.h"

#include <stdio.h>

struct conf_node *node_new(struct arena *a, enum postern_node_kind kind, const char *file)
{
    struct conf_node *node = arena_alloc(a, sizeof *node);
    if (node == NULL)
        return NULL;
    node->n.kind = kind;
    node->n.file = file;
    return node;
}

void node_append(struct conf_node *parent, struct conf_node *child)
{
    child->parent = parent;
    child->next = NULL;
    child->n.next = NULL;
    if (parent->last) {
        parent->last->next = child;
        parent->last->n.next = &child->n;
    } else {
        parent->first = child;
        parent->n.first = &child->n;
    }
    parent->last = child;
}

struct conf_node *node_take_members(struct conf_node *parent)
{
    struct conf_node *first = parent->first;
    parent->first = parent->last = NULL;
    parent->n.first = NULL;
    return first;
}

struct conf_node *node_find(const struct conf_node *block, struct span name)
{
    for (struct conf_node *i = block->first; i; i = i->next)
        if (span_eq(node_name(i), name))
            return i;
    return NULL;
}

struct conf_node *node_good(const struct conf_node *block, const char *name)
{
    struct conf_node *found = node_find(block, span_of(name));
    return found && !found->bad ? found : NULL;
}

const struct postern_option *option_find(const struct postern_option *table, struct span name)
{
    for (; table && table->name; table++)
        if (span_eq(span_of(table->name), name))
            return table;
    return NULL;
}

/* From the top down, so it is written from the end of `out` towards its start. What does not fit is cut at
 * the front: the last names say the most. */
const char *node_path(const struct conf_node *node, char out[NODE_PATH_MAX])
{
    size_t at = NODE_PATH_MAX - 1;
    out[at] = '\0';
    for (; node; node = node->parent) {
        struct span name = node_name(node);
        if (name.n == 0)
            continue;
        if (name.n + 1 > at)
            break;
        if (out[at] != '\0')
            out[--at] = '.';
        at -= name.n;
        memcpy(out + at, name.p, name.n);
    }
    memmove(out, out + at, NODE_PATH_MAX - at);
    return out;
}

struct place {
    uint32_t line, column;
};

static struct place place_of(const struct conf_node *node, bool name)
{
    while (node->n.line == 0 && node->parent)
        node = node->parent;
    if (name && node->key_line)
        return (struct place){node->key_line, node->key_column};
    return (struct place){node->n.line, node->n.column};
}

void node_error(struct diags *d, struct conf_node *node, const char *format, ...)
{
    struct place at = place_of(node, false);
    va_list ap;
    node->bad = true;
    va_start(ap, format);
    diag_vadd(d, DIAG_ERROR, node->n.file, at.line, at.column, format, ap);
    va_end(ap);
}

void node_error_at_name(struct diags *d, const struct conf_node *node, const char *format, ...)
{
    struct place at = place_of(node, true);
    va_list ap;
    va_start(ap, format);
    diag_vadd(d, DIAG_ERROR, node->n.file, at.line, at.column, format, ap);
    va_end(ap);
}

void node_warning(struct diags *d, const struct conf_node *node, const char *format, ...)
{
    struct place at = place_of(node, true);
    va_list ap;
    va_start(ap, format);
    diag_vadd(d, DIAG_WARNING, node->n.file, at.line, at.column, format, ap);
    va_end(ap);
}
