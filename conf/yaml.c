/* SPDX-License-Identifier: MIT */
/* Reads YAML with libyaml's event parser. The tree is built without recursion: a stack holds the maps and
 * lists that are open, and its depth is bounded. Nodes live in the caller's arena; libyaml's own memory and
 * the events die before the functions here return.
 *
 *   text --libyaml--> event --on_event[type]--> node --attach--> the member list of the top of the stack
 *
 * What the subset leaves out is left out because it surprises: an alias hides where a value comes from, a
 * second "listeners:" silently wins over the first, and an empty value is a mistake more often than a wish.
 */
#include "conf/yaml.h"

#include <stdlib.h>
#include <yaml.h>

struct reader {
    struct arena *arena;
    struct diags *diags;
    const char *file;
    bool builtin; /* a default: no places */
    struct conf_node *stack[YAML_DEPTH_MAX];
    size_t depth, nodes;
    struct conf_node *root;
    bool documents;  /* one was seen */
    bool has_key;    /* the top of the stack is a map, and the next node is this key's value */
    struct span key; /* in the arena */
    uint32_t key_line, key_column;
};

static uint32_t line_of(const struct reader *r, yaml_mark_t mark)
{
    return r->builtin ? 0 : (uint32_t)mark.line + 1;
}
static uint32_t column_of(const struct reader *r, yaml_mark_t mark)
{
    return r->builtin ? 0 : (uint32_t)mark.column + 1;
}

static void error_at(struct reader *r, yaml_mark_t mark, const char *text)
{
    diag_add(r->diags, DIAG_ERROR, r->file, line_of(r, mark), column_of(r, mark), "%s", text);
}

/* An error that ends the reading. */
static bool stop(struct reader *r, yaml_mark_t mark, const char *text)
{
    error_at(r, mark, text);
    return false;
}

static bool expects_key(const struct reader *r)
{
    return r->depth && r->stack[r->depth - 1]->n.kind == POSTERN_NODE_MAP && !r->has_key;
}

/* A new node at the place where the reader is. Blocks and lists stand at their name, scalars at their text.
 */
static struct conf_node *attach(struct reader *r, enum postern_node_kind kind, yaml_mark_t mark)
{
    if (++r->nodes > YAML_NODES_MAX) {
        error_at(r, mark, "too many values: at most 65536 are allowed");
        return NULL;
    }
    struct conf_node *node = node_new(r->arena, kind, r->file);
    if (node == NULL) {
        error_at(r, mark, "no memory for the configuration");
        return NULL;
    }
    bool named = r->has_key;
    if (named) {
        node->n.name = (struct postern_span){r->key.p, r->key.n};
        node->key_line = r->key_line;
        node->key_column = r->key_column;
        r->has_key = false;
    }
    bool at_name = named && kind != POSTERN_NODE_SCALAR;
    node->n.line = at_name ? r->key_line : line_of(r, mark);
    node->n.column = at_name ? r->key_column : column_of(r, mark);
    if (r->depth)
        node_append(r->stack[r->depth - 1], node);
    else
        r->root = node;
    return node;
}

static bool open_node(struct reader *r, enum postern_node_kind kind, yaml_mark_t mark)
{
    if (expects_key(r))
        return stop(r, mark, "an option's name must be plain text, not a list or a block");
    if (r->depth == YAML_DEPTH_MAX)
        return stop(r, mark, "nested too deeply: at most 32 levels are allowed");
    struct conf_node *node = attach(r, kind, mark);
    if (node == NULL)
        return false;
    r->stack[r->depth++] = node;
    return true;
}

static void refuse_properties(struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag,
                              yaml_mark_t mark)
{
    if (anchor)
        error_at(r, mark, "anchors (&name) are not allowed here; write the value out where it is used");
    if (tag)
        error_at(r, mark, "tags (!name) are not allowed here; types come from the option itself");
}

/* ---- duplicate names ---- */

static int compare_names(const void *a, const void *b)
{
    const struct conf_node *const *l = a, *const *r = b;
    struct span x = node_name(*l), y = node_name(*r);
    size_t shorter = x.n < y.n ? x.n : y.n;
    int c = shorter ? memcmp(x.p, y.p, shorter) : 0;
    if (c == 0 && x.n != y.n)
        c = x.n < y.n ? -1 : 1;
    if (c == 0 && (*l)->key_line != (*r)->key_line)
        c = (*l)->key_line < (*r)->key_line ? -1 : 1;
    if (c == 0)
        c = (*l)->key_column < (*r)->key_column ? -1 : (*l)->key_column > (*r)->key_column;
    return c;
}

/* Sorted, because a map may have thousands of names. */
static bool refuse_duplicates(struct reader *r, const struct conf_node *map)
{
    size_t n = 0, i = 0;
    for (const struct conf_node *m = map->first; m; m = m->next)
        n++;
    if (n < 2)
        return true;
    struct conf_node **sorted = malloc(n * sizeof(struct conf_node *));
    if (sorted == NULL) {
        diag_add(r->diags, DIAG_ERROR, r->file, 0, 0, "no memory for the configuration");
        return false;
    }
    for (struct conf_node *m = map->first; m; m = m->next)
        sorted[i++] = m;
    qsort(sorted, n, sizeof(struct conf_node *), compare_names);
    const struct conf_node *original = sorted[0];
    for (i = 1; i < n; i++) {
        struct span name = node_name(sorted[i]);
        if (!span_eq(name, node_name(original))) {
            original = sorted[i];
            continue;
        }
        sorted[i]->bad = true;
        node_error_at_name(r->diags, sorted[i], "'%.*s' was already given in line %u; remove one of the two",
                           SPAN_FMT(name), original->key_line);
    }
    free(sorted);
    return true;
}

/* ---- one function per kind of event ---- */

static bool on_nothing(struct reader *r, const yaml_event_t *e)
{
    (void)r, (void)e;
    return true;
}

static bool on_document(struct reader *r, const yaml_event_t *e)
{
    if (r->documents)
        return stop(r, e->start_mark, "a second document (---) is not allowed; write everything in one");
    r->documents = true;
    return true;
}

static bool on_alias(struct reader *r, const yaml_event_t *e)
{
    error_at(r, e->start_mark, "aliases (*name) are not allowed here; write the value out");
    if (expects_key(r))
        return false;
    struct conf_node *node = attach(r, POSTERN_NODE_SCALAR, e->start_mark);
    if (node)
        node->bad = true;
    return node != NULL;
}

static bool on_sequence(struct reader *r, const yaml_event_t *e)
{
    refuse_properties(r, e->data.sequence_start.anchor, e->data.sequence_start.tag, e->start_mark);
    return open_node(r, POSTERN_NODE_LIST, e->start_mark);
}

static bool on_mapping(struct reader *r, const yaml_event_t *e)
{
    refuse_properties(r, e->data.mapping_start.anchor, e->data.mapping_start.tag, e->start_mark);
    return open_node(r, POSTERN_NODE_MAP, e->start_mark);
}

static bool on_sequence_end(struct reader *r, const yaml_event_t *e)
{
    (void)e;
    r->depth--;
    return true;
}

static bool on_mapping_end(struct reader *r, const yaml_event_t *e)
{
    (void)e;
    return refuse_duplicates(r, r->stack[--r->depth]);
}

/* YAML reads all of these as "null", which no option here means. */
static bool is_null(const yaml_event_t *e, struct span text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < COUNT_OF(nulls); i++)
        if (span_eq(text, span_of(nulls[i])))
            return true;
    return false;
}

static bool add_value(struct reader *r, const yaml_event_t *e, struct span text)
{
    bool quoted = e->data.scalar.style == YAML_SINGLE_QUOTED_SCALAR_STYLE ||
                  e->data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    struct conf_node *node = attach(r, POSTERN_NODE_SCALAR, e->start_mark);
    if (node == NULL)
        return false;
    if (quoted && !r->builtin)
        node->n.column++; /* the text begins behind its quote: columns inside a regex are counted from here */
    node->n.text = (struct postern_span){text.p, text.n};
    if (is_null(e, text)) {
        struct span name = node_name(node);
        node->bad = true;
        node_error_at_name(r->diags, node,
                           "'%.*s' has no value; leave the line out, or write [] or {} for nothing",
                           SPAN_FMT(name));
    }
    return true;
}

static bool on_scalar(struct reader *r, const yaml_event_t *e)
{
    struct span text = span_make((const char *)e->data.scalar.value, e->data.scalar.length);
    refuse_properties(r, e->data.scalar.anchor, e->data.scalar.tag, e->start_mark);
    if (span_find(text, '\0') < text.n)
        return stop(r, e->start_mark, "a NUL character is not allowed in a name or a value");
    text = arena_span(r->arena, text);
    if (text.p == NULL)
        return stop(r, e->start_mark, "no memory for the configuration");
    if (!expects_key(r))
        return add_value(r, e, text);
    r->has_key = true;
    r->key = text;
    r->key_line = line_of(r, e->start_mark);
    r->key_column = column_of(r, e->start_mark);
    return true;
}

static bool (*const on_event[])(struct reader *r, const yaml_event_t *e) = {
    [YAML_NO_EVENT] = on_nothing,
    [YAML_STREAM_START_EVENT] = on_nothing,
    [YAML_STREAM_END_EVENT] = on_nothing,
    [YAML_DOCUMENT_START_EVENT] = on_document,
    [YAML_DOCUMENT_END_EVENT] = on_nothing,
    [YAML_ALIAS_EVENT] = on_alias,
    [YAML_SCALAR_EVENT] = on_scalar,
    [YAML_SEQUENCE_START_EVENT] = on_sequence,
    [YAML_SEQUENCE_END_EVENT] = on_sequence_end,
    [YAML_MAPPING_START_EVENT] = on_mapping,
    [YAML_MAPPING_END_EVENT] = on_mapping_end,
};

/* ---- what libyaml itself refuses ---- */

/* libyaml says what it missed; an administrator wants to know what to look at. */
static const char *advice(const char *problem)
{
    static const struct {
        const char *problem, *advice;
    } table[] = {
        {"mapping values are not allowed in this context",
         "look for a value with ': ' in it that needs quotes, or for wrong indentation"},
        {"found character that cannot start any token",
         "tabs cannot indent, and a value that begins with @, ` or % needs quotes"},
        {"found a tab character that violates indentation", "indent with spaces"},
        {"could not find expected ':'", "an option is written as 'name: value'"},
        {"did not find expected key",
         "look at the indentation and the quotes of this line and the one before"},
        {"did not find expected ',' or ']'",
         "a list is written as [one, two]; values with ':' or '[' in them need quotes"},
        {"did not find expected ',' or '}'", "a block is written as { name: value, name: value }"},
        {"found unexpected end of stream", "a quote or a bracket is not closed"},
        {"found undefined alias", "aliases (*name) are not allowed here"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (strcmp(table[i].problem, problem) == 0)
            return table[i].advice;
    return NULL;
}

/* Where a byte of the text is: libyaml gives only the offset of a byte that is not UTF-8 or not printable. */
static yaml_mark_t mark_of(struct span text, size_t offset)
{
    yaml_mark_t mark = {0, 0, 0};
    for (size_t i = 0; i < offset && i < text.n; i++) {
        bool continuation = ((unsigned char)text.p[i] & 0xc0) == 0x80;
        if (text.p[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (!continuation) {
            mark.column++;
        }
    }
    return mark;
}

static void syntax_error(const struct reader *r, const yaml_parser_t *yaml, struct span text)
{
    const char *problem = yaml->problem ? yaml->problem : "it cannot be read";
    const char *hint = advice(problem);
    yaml_mark_t mark = yaml->problem_mark;
    if (yaml->error == YAML_READER_ERROR) {
        mark = mark_of(text, yaml->problem_offset);
        hint = "the file must be UTF-8 without control characters";
    }
    if (yaml->error == YAML_MEMORY_ERROR) {
        diag_add(r->diags, DIAG_ERROR, r->file, 0, 0, "no memory for the configuration");
        return;
    }
    diag_add(r->diags, DIAG_ERROR, r->file, line_of(r, mark), column_of(r, mark), "not valid YAML: %s%s%s",
             problem, hint ? "; " : "", hint ? hint : "");
}

static bool read_events(struct reader *r, yaml_parser_t *yaml, struct span text)
{
    for (bool ended = false; !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(yaml, &event)) {
            syntax_error(r, yaml, text);
            return false;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        bool ok = on_event[event.type](r, &event);
        yaml_event_delete(&event);
        if (!ok)
            return false;
    }
    return true;
}

static struct conf_node *read_text(struct reader *r, struct span text)
{
    static const struct span byte_order_mark = {"\xef\xbb\xbf", 3};
    yaml_parser_t yaml;
    if (span_eq(span_head(text, 3), byte_order_mark))
        text = span_skip(text, 3);
    if (text.n > YAML_BYTES_MAX) {
        diag_add(r->diags, DIAG_ERROR, r->file, 0, 0, "the file is larger than 1 MiB");
        return NULL;
    }
    if (!yaml_parser_initialize(&yaml)) {
        diag_add(r->diags, DIAG_ERROR, r->file, 0, 0, "no memory for the configuration");
        return NULL;
    }
    yaml_parser_set_encoding(&yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&yaml, (const unsigned char *)(text.n ? text.p : ""), text.n);
    bool ok = read_events(r, &yaml, text);
    yaml_parser_delete(&yaml);
    if (ok && r->root == NULL)
        diag_add(r->diags, DIAG_ERROR, r->file, 0, 0, "the file has no options in it");
    return ok ? r->root : NULL;
}

struct conf_node *yaml_read(struct arena *a, struct span text, const char *file, struct diags *d)
{
    struct reader r = {.arena = a, .diags = d, .file = file};
    return read_text(&r, text);
}

struct conf_node *yaml_read_default(struct arena *a, struct span text, const char *file, struct diags *d)
{
    struct reader r = {.arena = a, .diags = d, .file = file, .builtin = true};
    return read_text(&r, text);
}
