/* SPDX-License-Identifier: MIT */
/* The JSON Schema (draft 7) of a configuration, from the same table that checks it, for editors that complete
 * and mark as one types. It says what the table says: types, ranges, names. References between sections, and
 * what options need each other, are for `postern -t`.
 *
 *   conf_schema --row--> property: { type or pattern, range, default, description }
 *   filters     --> common options; for each plugin given: if its name, then its own options too */
#include "conf/conf.h"
#include "conf/json.h"
#include "conf/schema.h"
#include "conf/value.h"

#define NAME_PATTERN     "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
#define SIZE_PATTERN     "^[0-9]+([KMGTkmgt][Ii]?[Bb]|[Bb])?$"
#define DURATION_PATTERN "^([0-9]+([Uu][Ss]|[Mm][Ss]|[SsMmHhDd])|0)$"
#define RATE_PATTERN     "^[0-9]+/[0-9]*([Uu][Ss]|[Mm][Ss]|[SsMmHhDd])$"

struct plugins {
    const char *const *names; /* NULL-ended; NULL: none */
    const struct postern_option *const *options;
};

static void write_properties(struct json *j, const struct postern_option *table,
                             const struct plugins *plugins);
static void write_object(struct json *j, const struct postern_option *table);

/* ---- scalars ---- */

static void write_range(struct json *j, const struct postern_option *o)
{
    if (o->min == 0 && o->max == 0)
        return;
    json_number(j, "minimum", o->min);
    if (o->max >= o->min)
        json_number(j, "maximum", o->max);
}

/* Numbers may be written with a unit, as a text, or without, as a number. */
static void write_measure(struct json *j, const char *pattern, bool number_too)
{
    if (number_too) {
        json_open(j, "type", '[');
        json_text(j, NULL, "string");
        json_text(j, NULL, "integer");
        json_close(j, ']');
    } else {
        json_text(j, "type", "string");
    }
    json_text(j, "pattern", pattern);
}

static void write_bool(struct json *j)
{
    static const char *const words[] = {"yes", "no", "on", "off"};
    json_open(j, "enum", '[');
    json_bool(j, NULL, true);
    json_bool(j, NULL, false);
    for (size_t i = 0; i < COUNT_OF(words); i++)
        json_text(j, NULL, words[i]);
    json_close(j, ']');
}

static void write_enum(struct json *j, const char *values)
{
    struct span word = value_enum_name(values, 0);
    json_open(j, "enum", '[');
    for (size_t i = 0; word.n; word = value_enum_name(values, ++i))
        json_string(j, NULL, word);
    json_close(j, ']');
}

static void write_block(struct json *j, const struct postern_option *o)
{
    if (!(o->flags & CONF_OR_BOOL)) {
        write_object(j, o->children);
        return;
    }
    json_open(j, "anyOf", '[');
    json_open(j, NULL, '{');
    write_bool(j);
    json_close(j, '}');
    json_open(j, NULL, '{');
    write_object(j, o->children);
    json_close(j, '}');
    json_close(j, ']');
}

static void write_map(struct json *j, const struct postern_option *o)
{
    json_text(j, "type", "object");
    json_open(j, "propertyNames", '{');
    json_text(j, "pattern", NAME_PATTERN);
    json_close(j, '}');
    if (o->flags & CONF_NOT_EMPTY)
        json_number(j, "minProperties", 1);
    json_open(j, "additionalProperties", '{');
    write_object(j, o->children);
    json_close(j, '}');
}

/* What one value must be, as members of the open object. */
static void write_type(struct json *j, const struct postern_option *o)
{
    switch (o->type) {
    case POSTERN_BOOL:
        write_bool(j);
        break;
    case POSTERN_COUNT:
        json_text(j, "type", "integer");
        write_range(j, o);
        break;
    case POSTERN_SIZE:
        write_measure(j, SIZE_PATTERN, true);
        write_range(j, o);
        break;
    case POSTERN_DURATION: /* as a number, only 0 needs no unit */
        write_measure(j, DURATION_PATTERN, true);
        json_number(j, "maximum", 0);
        break;
    case POSTERN_REAL:
        json_text(j, "type", "number");
        write_range(j, o);
        break;
    case POSTERN_STRING:
    case POSTERN_SECRET:
        json_text(j, "type", "string");
        if (o->flags & CONF_NOT_EMPTY)
            json_number(j, "minLength", 1);
        break;
    case POSTERN_ENUM:
        write_enum(j, o->values);
        break;
    case POSTERN_RATE:
        write_measure(j, RATE_PATTERN, false);
        break;
    case POSTERN_BLOCK:
        write_block(j, o);
        break;
    case POSTERN_MAP:
        write_map(j, o);
        break;
    }
}

/* ---- options ---- */

static void write_list(struct json *j, const struct postern_option *o)
{
    json_open(j, "anyOf", '[');
    json_open(j, NULL, '{');
    write_type(j, o);
    json_close(j, '}');
    json_open(j, NULL, '{');
    json_text(j, "type", "array");
    if (o->flags & CONF_NOT_EMPTY)
        json_number(j, "minItems", 1);
    json_open(j, "items", '{');
    write_type(j, o);
    json_close(j, '}');
    json_close(j, '}');
    json_close(j, ']');
}

/* As the type that an editor would insert. */
static void write_default(struct json *j, const struct postern_option *o)
{
    struct postern_node value = {.text = {o->fallback, o->fallback ? strlen(o->fallback) : 0}};
    bool structured = o->type == POSTERN_BLOCK || o->type == POSTERN_MAP || (o->flags & POSTERN_LIST);
    if (o->fallback == NULL || structured || !value_parse(o, &value))
        return;
    if (o->type == POSTERN_BOOL)
        json_bool(j, "default", value.number != 0);
    else if (o->type == POSTERN_COUNT)
        json_number(j, "default", (double)value.number);
    else if (o->type == POSTERN_REAL)
        json_number(j, "default", value.real);
    else
        json_text(j, "default", o->fallback);
}

static void write_option(struct json *j, const struct postern_option *o)
{
    json_open(j, o->name, '{');
    if (o->help)
        json_text(j, "description", o->help);
    if (o->flags & POSTERN_LIST)
        write_list(j, o);
    else
        write_type(j, o);
    write_default(j, o);
    json_close(j, '}');
}

static void write_required(struct json *j, const struct postern_option *table)
{
    bool any = false;
    for (const struct postern_option *o = table; o && o->name; o++)
        any = any || (o->flags & POSTERN_REQUIRED);
    if (!any)
        return;
    json_open(j, "required", '[');
    for (const struct postern_option *o = table; o->name; o++)
        if (o->flags & POSTERN_REQUIRED)
            json_text(j, NULL, o->name);
    json_close(j, ']');
}

/* A block of options and no others. */
static void write_object(struct json *j, const struct postern_option *table)
{
    json_text(j, "type", "object");
    json_open(j, "properties", '{');
    write_properties(j, table, NULL);
    json_close(j, '}');
    write_required(j, table);
    json_bool(j, "additionalProperties", false);
}

/* ---- filters ---- */

/* "if": the block names this plugin. "then": the common options and the plugin's, and no others. */
static void write_plugin(struct json *j, const char *name, const struct postern_option *options)
{
    json_open(j, NULL, '{');
    json_open(j, "if", '{');
    json_open(j, "properties", '{');
    json_open(j, "plugin", '{');
    json_text(j, "const", name);
    json_close(j, '}');
    json_close(j, '}');
    json_open(j, "required", '[');
    json_text(j, NULL, "plugin");
    json_close(j, ']');
    json_close(j, '}');
    json_open(j, "then", '{');
    json_open(j, "properties", '{');
    write_properties(j, conf_filter_options, NULL);
    write_properties(j, options, NULL);
    json_close(j, '}');
    write_required(j, options);
    json_bool(j, "additionalProperties", false);
    json_close(j, '}');
    json_close(j, '}');
}

static void write_filters(struct json *j, const struct postern_option *o, const struct plugins *plugins)
{
    json_open(j, o->name, '{');
    json_text(j, "description", o->help);
    json_text(j, "type", "object");
    json_open(j, "propertyNames", '{');
    json_text(j, "pattern", NAME_PATTERN);
    json_close(j, '}');
    json_open(j, "additionalProperties", '{');
    json_text(j, "type", "object");
    json_open(j, "properties", '{');
    write_properties(j, conf_filter_options, NULL);
    json_close(j, '}');
    write_required(j, conf_filter_options);
    if (plugins->names && plugins->names[0]) {
        json_open(j, "allOf", '[');
        for (size_t i = 0; plugins->names[i]; i++)
            write_plugin(j, plugins->names[i], plugins->options[i]);
        json_close(j, ']');
    }
    json_close(j, '}');
    json_close(j, '}');
}

static void write_properties(struct json *j, const struct postern_option *table,
                             const struct plugins *plugins)
{
    for (const struct postern_option *o = table; o && o->name; o++)
        if (plugins && (o->flags & CONF_OPEN))
            write_filters(j, o, plugins);
        else
            write_option(j, o);
}

bool conf_json_schema(struct buf *out, const char *const *plugin_names,
                      const struct postern_option *const *plugin_options)
{
    struct json j = {.out = out, .ok = true};
    struct plugins plugins = {plugin_names, plugin_options};
    json_open(&j, NULL, '{');
    json_text(&j, "$schema", "http://json-schema.org/draft-07/schema#");
    json_text(&j, "title", "postern configuration");
    json_text(&j, "type", "object");
    json_open(&j, "properties", '{');
    write_properties(&j, conf_schema, &plugins);
    json_close(&j, '}');
    write_required(&j, conf_schema);
    json_bool(&j, "additionalProperties", false);
    json_close(&j, '}');
    return j.ok && buf_append(out, SPAN_LIT("\n"));
}
