/* SPDX-License-Identifier: MIT */
/* Filters. A block under `filters:` belongs to two tables: the common options and the plugin's own. The check
 * of the whole file has seen the common ones; here the plugin is asked for its table and the rest is checked.
 *
 *   content: { plugin, mode, rules, score }
 *        |-- common: plugin, mode, on_error, deadline   -> struct conf_filter
 *        `-- own:    rules, score, …                    -> conf_filter.block, which the plugin reads
 *
 * Afterwards the own options follow the common ones in one list again, so that the dump sees them all. */
#include "conf/build.h"

#include "conf/schema.h"

static bool is_plugin_name(struct span name)
{
    if (name.n == 0)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (!ascii_alpha(name.p[i]) && !ascii_digit(name.p[i]) && name.p[i] != '-' && name.p[i] != '_')
            return false;
    return true;
}

/* The plugin's options as they stand in the file, taken out of the filter's block. */
static struct conf_node *split_block(struct builder *b, struct conf_node *block)
{
    struct conf_node *own = node_new(b->checker->arena, POSTERN_NODE_MAP, block->n.file);
    if (own == NULL) {
        b->no_memory = true;
        return NULL;
    }
    own->n.name = block->n.name;
    own->n.line = block->n.line;
    own->n.column = block->n.column;
    own->key_line = block->key_line;
    own->key_column = block->key_column;
    own->parent = block->parent;
    struct conf_node *next, *m = node_take_members(block);
    for (; m; m = next) {
        next = m->next;
        node_append(option_find(conf_filter_options, node_name(m)) ? block : own, m);
    }
    return own;
}

static void join_block(struct conf_node *block, struct conf_node *own)
{
    if (own->first == NULL || block->last == NULL)
        return;
    block->last->next = own->first;
    block->last->n.next = own->n.first;
    block->last = own->last;
}

/* NULL after an error, which is at the name of the plugin. A plugin without options has an empty table. */
static const struct postern_option *plugin_options(struct builder *b, struct conf_node *plugin)
{
    static const struct postern_option none[1];
    const char *error = NULL;
    if (!is_plugin_name(node_text(plugin))) {
        node_error(b->checker->diags, plugin, "a plugin's name has letters, digits, '-' and '_' only");
        return NULL;
    }
    const struct postern_option *options = b->plugins->options(
        b->plugins->ctx, b->conf->plugins_path ? b->conf->plugins_path : "", node_text(plugin), &error);
    if (options == NULL && error)
        node_error(b->checker->diags, plugin, "plugin '%s' cannot be loaded: %s", plugin->n.text.p, error);
    for (const struct postern_option *o = options; o && o->name; o++)
        if (option_find(conf_filter_options, span_of(o->name)))
            node_error(b->checker->diags, plugin,
                       "plugin '%s' has an option '%s', which every filter has already", plugin->n.text.p,
                       o->name);
    if (plugin->bad)
        return NULL;
    return options ? options : none;
}

static void build_filter(struct builder *b, struct conf_node *block, struct conf_filter *filter)
{
    struct conf_node *plugin = node_good(block, "plugin");
    struct conf_node *own = split_block(b, block);
    filter->name = block->n.name.p;
    filter->plugin = plugin ? plugin->n.text.p : NULL;
    filter->shadow = build_number(block, "mode") != 0;
    filter->on_error = (enum conf_on_error)build_number(block, "on_error");
    filter->deadline_us = (uint64_t)build_number(block, "deadline");
    filter->at = &block->n;
    if (own == NULL)
        return;
    const struct postern_option *options = plugin ? plugin_options(b, plugin) : NULL;
    if (options)
        check_block(b->checker, own, options, conf_filter_options);
    join_block(block, own);
    filter->block = &own->n;
}

void build_filters(struct builder *b, const struct conf_node *section)
{
    struct conf *c = b->conf;
    c->filters = build_array(b, section, sizeof *c->filters);
    for (struct conf_node *m = build_first(section); m && c->filters; m = build_next(m)) {
        struct conf_filter *filter = &c->filters[c->filter_count++];
        build_filter(b, m, filter);
        names_add(&b->filters, filter->name, filter);
    }
    names_sort(&b->filters);
}
