/* SPDX-License-Identifier: MIT */
/* The generic checker. It walks a tree and its table side by side, puts numbers into the scalars, makes lists
 * of lone scalars and appends the defaults, so that who reads the tree afterwards has no case to think of. It
 * never stops at an error: what is wrong is marked bad and the rest goes on.
 *
 *   block: { a: 1, b: x }   +   table: a, c="5s"   -->   a (number 1), b: unknown option, c (default)
 *
 * Nodes that are added belong to the checker's arena. Depth is bounded by the tree's own and, for defaults
 * within defaults, by the same number. */
#include "conf/check.h"

#include "conf/names.h"
#include "conf/schema.h"
#include "conf/value.h"
#include "conf/yaml.h"

enum {
    NAME_MAX_BYTES = 64,
    SHOWN = 64, /* bytes of a wrong value in a message */
    SUGGESTED = 96
};

static void check_members(struct checker *c, struct conf_node *block, const struct postern_option *table,
                          const struct postern_option *also, bool open);

static struct span shown(struct span s)
{
    return span_head(s, SHOWN);
}

/* Members of a list have no name; messages call them by the list's. */
static struct span label(const struct conf_node *node)
{
    while (node->n.name.n == 0 && node->parent)
        node = node->parent;
    return node_name(node);
}

static const char *kind_name(const struct conf_node *node)
{
    static const char *const names[] = {[POSTERN_NODE_SCALAR] = "a single value",
                                        [POSTERN_NODE_LIST] = "a list",
                                        [POSTERN_NODE_MAP] = "a block"};
    return names[node->n.kind];
}

bool check_name(struct span name)
{
    if (name.n == 0 || name.n > NAME_MAX_BYTES || (!ascii_alpha(name.p[0]) && !ascii_digit(name.p[0])))
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (!names_letter(name.p[i]))
            return false;
    return true;
}

/* ---- names ---- */

static size_t add_names(const char **names, size_t n, const struct postern_option *table)
{
    for (; table && table->name && n + 1 < SUGGESTED; table++)
        names[n++] = table->name;
    return n;
}

static void unknown_option(struct checker *c, const struct conf_node *node,
                           const struct postern_option *table, const struct postern_option *also)
{
    const char *names[SUGGESTED] = {NULL};
    char path[NODE_PATH_MAX];
    size_t n = add_names(names, add_names(names, 0, table), also);
    names[n] = NULL;
    const char *near = diag_full(c->diags) ? NULL : diag_near(names, node->n.name.p, node->n.name.n);
    const char *in = node->parent && node->parent->n.name.n ? " in " : "";
    node_error_at_name(c->diags, node, "unknown option '%.*s'%s%s%s%s%s", SPAN_FMT(shown(node_name(node))),
                       in, node_path(node->parent, path), near ? "; did you mean '" : "", near ? near : "",
                       near ? "'?" : "");
}

static void missing_option(struct checker *c, const struct conf_node *block, const struct postern_option *o)
{
    char path[NODE_PATH_MAX];
    const char *in = block->n.name.n || block->parent ? " in " : "";
    node_error_at_name(c->diags, block, "'%s' is missing%s%s: %s", o->name, in, node_path(block, path),
                       o->help ? o->help : "it is required");
}

/* ---- values ---- */

static void wrong_kind(struct checker *c, struct conf_node *node, const struct postern_option *o)
{
    char expected[VALUE_TEXT_MAX];
    bool list = (o->flags & POSTERN_LIST) && node->n.kind == POSTERN_NODE_MAP && node_name(node).n;
    node_error(c->diags, node, "'%.*s' must be %s%s, not %s", SPAN_FMT(shown(label(node))),
               o->flags & CONF_OR_BOOL ? "yes, no or " : "", list ? "a list" : value_expected(o, expected),
               kind_name(node));
}

static const char *near_enum(const struct postern_option *o, struct span written, char out[VALUE_TEXT_MAX])
{
    const char *names[SUGGESTED] = {NULL};
    char *at = out;
    struct span word = value_enum_name(o->values, 0);
    for (size_t i = 0; word.n && i + 1 < SUGGESTED; word = value_enum_name(o->values, ++i)) {
        if (word.n >= (size_t)(out + VALUE_TEXT_MAX - at))
            break;
        memcpy(at, word.p, word.n);
        at[word.n] = '\0';
        names[i] = at;
        at += word.n + 1;
    }
    return diag_near(names, written.p, written.n);
}

static void wrong_value(struct checker *c, struct conf_node *node, const struct postern_option *o)
{
    char expected[VALUE_TEXT_MAX], names[VALUE_TEXT_MAX];
    const char *near = o->type == POSTERN_ENUM ? near_enum(o, node_text(node), names) : NULL;
    node_error(c->diags, node, "'%.*s' is '%.*s', but must be %s%s%s%s", SPAN_FMT(shown(label(node))),
               SPAN_FMT(shown(node_text(node))), value_expected(o, expected), near ? "; did you mean '" : "",
               near ? near : "", near ? "'?" : "");
}

static void check_scalar(struct checker *c, struct conf_node *node, const struct postern_option *o)
{
    char range[VALUE_TEXT_MAX];
    if (node->n.kind != POSTERN_NODE_SCALAR)
        wrong_kind(c, node, o);
    else if (!value_parse(o, &node->n))
        wrong_value(c, node, o);
    else if (!value_in_range(o, &node->n))
        node_error(c->diags, node, "'%.*s' is %.*s, but must be %s", SPAN_FMT(shown(label(node))),
                   SPAN_FMT(shown(node_text(node))), value_range(o, range));
    else if ((o->flags & CONF_NOT_EMPTY) && node->n.text.n == 0)
        node_error(c->diags, node, "'%.*s' must not be empty", SPAN_FMT(shown(label(node))));
}

/* `verify: no` where a block could stand. */
static bool check_bool_for_block(struct conf_node *node, const struct postern_option *o)
{
    static const struct postern_option as_bool = {.name = "", .type = POSTERN_BOOL};
    if (!(o->flags & CONF_OR_BOOL) || node->n.kind != POSTERN_NODE_SCALAR)
        return false;
    return value_parse(&as_bool, &node->n);
}

static void check_nested(struct checker *c, struct conf_node *block, const struct postern_option *o)
{
    if (c->depth == YAML_DEPTH_MAX) {
        node_error(c->diags, block, "options are nested too deeply");
        return;
    }
    c->depth++;
    check_members(c, block, o->children, NULL, (o->flags & CONF_OPEN) != 0);
    c->depth--;
}

static void check_map_member(struct checker *c, struct conf_node *member, const struct postern_option *o)
{
    if (member->bad)
        return;
    member->option = o;
    if (!check_name(node_name(member))) {
        member->bad = true;
        node_error_at_name(
            c->diags, member,
            "'%.*s' cannot be a name: use letters, digits, '-', '_' and '.', a letter or digit "
            "first, at most 64 in all",
            SPAN_FMT(shown(node_name(member))));
    } else if (member->n.kind != POSTERN_NODE_MAP) {
        node_error(c->diags, member, "'%.*s' must be a block of options, not %s",
                   SPAN_FMT(shown(node_name(member))), kind_name(member));
    } else {
        check_nested(c, member, o);
    }
}

static void check_one(struct checker *c, struct conf_node *node, const struct postern_option *o)
{
    if (node->bad)
        return;
    node->option = o;
    if (o->type != POSTERN_BLOCK && o->type != POSTERN_MAP) {
        check_scalar(c, node, o);
        return;
    }
    if (check_bool_for_block(node, o))
        return;
    if (node->n.kind != POSTERN_NODE_MAP) {
        wrong_kind(c, node, o);
        return;
    }
    if (o->type == POSTERN_BLOCK) {
        check_nested(c, node, o);
        return;
    }
    if ((o->flags & CONF_NOT_EMPTY) && node->first == NULL)
        node_error(c->diags, node, "'%s' is empty: %s", o->name, o->help);
    for (struct conf_node *m = node->first; m; m = m->next)
        check_map_member(c, m, o);
}

/* A scalar becomes a list with itself as the only member. */
static bool make_list(struct checker *c, struct conf_node *node)
{
    struct conf_node *member = node_new(c->arena, POSTERN_NODE_SCALAR, node->n.file);
    if (member == NULL) {
        c->no_memory = true;
        return false;
    }
    member->n.text = node->n.text;
    member->n.line = node->n.line;
    member->n.column = node->n.column;
    node->n.kind = POSTERN_NODE_LIST;
    node->n.text = (struct postern_span){NULL, 0};
    if (node->key_line) {
        node->n.line = node->key_line;
        node->n.column = node->key_column;
    }
    node_append(node, member);
    return true;
}

static void check_list(struct checker *c, struct conf_node *node, const struct postern_option *o)
{
    if (node->n.kind == POSTERN_NODE_SCALAR && !make_list(c, node))
        return;
    if (node->n.kind != POSTERN_NODE_LIST)
        wrong_kind(c, node, o);
    else if ((o->flags & CONF_NOT_EMPTY) && node->first == NULL)
        node_error(c->diags, node, "'%s' is an empty list: %s", o->name, o->help);
    for (struct conf_node *m = node->first; m && node->n.kind == POSTERN_NODE_LIST; m = m->next)
        check_one(c, m, o);
}

static void check_value(struct checker *c, struct conf_node *node, const struct postern_option *o)
{
    if (node->bad)
        return;
    node->option = o;
    if (o->flags & POSTERN_LIST)
        check_list(c, node, o);
    else
        check_one(c, node, o);
    if ((o->flags & CONF_LATER) && !node->bad && node->first)
        node_warning(c->diags, node, "'%s' is not available in this version; ignored", o->name);
}

/* ---- defaults ---- */

/* A default is written as a user would write it, so blocks and lists are YAML. */
static struct conf_node *read_default(struct checker *c, const struct postern_option *o)
{
    struct span text = span_of(o->fallback);
    bool structured = o->type == POSTERN_BLOCK || o->type == POSTERN_MAP ||
                      ((o->flags & POSTERN_LIST) && text.n && text.p[0] == '[');
    if (structured)
        return yaml_read_default(c->arena, text, c->file, c->diags);
    struct conf_node *node = node_new(c->arena, POSTERN_NODE_SCALAR, c->file);
    struct span copy = arena_span(c->arena, text);
    if (node == NULL || copy.p == NULL)
        return NULL;
    node->n.text = (struct postern_span){copy.p, copy.n};
    return node;
}

static void add_default(struct checker *c, struct conf_node *block, const struct postern_option *o)
{
    struct conf_node *node = read_default(c, o);
    if (node == NULL) {
        c->no_memory = true;
        return;
    }
    node->n.name = (struct postern_span){o->name, strlen(o->name)};
    node_append(block, node);
    check_value(c, node, o);
}

/* ---- blocks ---- */

static void check_members(struct checker *c, struct conf_node *block, const struct postern_option *table,
                          const struct postern_option *also, bool open)
{
    for (struct conf_node *m = block->first; m; m = m->next) {
        const struct postern_option *o = option_find(table, node_name(m));
        if (m->bad)
            continue;
        if (o)
            check_value(c, m, o);
        else if (!open)
            unknown_option(c, m, table, also);
    }
    for (const struct postern_option *o = table; o && o->name; o++) {
        if (node_find(block, span_of(o->name)))
            continue;
        if (o->flags & POSTERN_REQUIRED)
            missing_option(c, block, o);
        else if (o->fallback)
            add_default(c, block, o);
    }
}

void check_block(struct checker *c, struct conf_node *block, const struct postern_option *table,
                 const struct postern_option *also)
{
    check_members(c, block, table, also, false);
}
