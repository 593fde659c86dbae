/* SPDX-License-Identifier: MIT */
/* Scalars. Units are tables; nothing here depends on a locale, and nothing wraps: what does not fit into
 * 63 bits is no number. Owns nothing. */
#include "conf/value.h"

#include <stdio.h>
#include <stdlib.h>

struct unit {
    const char *name;
    int64_t factor;
};

/* Ascending, so that the last one that divides a number is the shortest way to write it. */
static const struct unit durations[] = {{"us", 1},
                                        {"ms", 1000},
                                        {"s", 1000000},
                                        {"m", 60 * 1000000LL},
                                        {"h", 3600 * 1000000LL},
                                        {"d", 86400 * 1000000LL},
                                        {NULL, 0}};
static const struct unit sizes[] = {{"", 1},
                                    {"B", 1},
                                    {"KiB", 1 << 10},
                                    {"MiB", 1 << 20},
                                    {"GiB", 1 << 30},
                                    {"TiB", 1LL << 40},
                                    {"KB", 1000},
                                    {"MB", 1000000},
                                    {"GB", 1000000000},
                                    {"TB", 1000000000000},
                                    {NULL, 0}};

/* Takes the digits at the start of *s. False: there are none, or too many. */
static bool take_number(struct span *s, int64_t *number_r)
{
    int64_t n = 0;
    size_t i = 0;
    for (; i < s->n && ascii_digit(s->p[i]); i++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, s->p[i] - '0', &n))
            return false;
    *s = span_skip(*s, i);
    *number_r = n;
    return i > 0;
}

static bool apply_unit(const struct unit *units, struct span name, int64_t *number)
{
    for (; units->name; units++)
        if (span_ieq(span_of(units->name), name))
            return !__builtin_mul_overflow(*number, units->factor, number);
    return false;
}

static bool parse_measure(const struct unit *units, struct span text, int64_t *number_r)
{
    return take_number(&text, number_r) && apply_unit(units, text, number_r);
}

static struct span text_of(const struct postern_node *scalar)
{
    return span_make(scalar->text.p, scalar->text.n);
}

static bool parse_bool(const struct postern_option *o, struct postern_node *v)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};
    (void)o;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (span_ieq(span_of(words[i]), text_of(v))) {
            v->number = (int64_t)(i % 2);
            return true;
        }
    return false;
}

static bool parse_count(const struct postern_option *o, struct postern_node *v)
{
    struct span text = text_of(v);
    bool negative = o->min < 0 && text.n && text.p[0] == '-';
    if (negative)
        text = span_skip(text, 1);
    if (!take_number(&text, &v->number) || text.n)
        return false;
    if (negative)
        v->number = -v->number;
    return true;
}

static bool parse_size(const struct postern_option *o, struct postern_node *v)
{
    (void)o;
    return parse_measure(sizes, text_of(v), &v->number);
}

/* "0" needs no unit; every other number without one could be read as seconds or as milliseconds. */
static bool parse_duration(const struct postern_option *o, struct postern_node *v)
{
    (void)o;
    v->number = 0;
    return span_eq(text_of(v), SPAN_LIT("0")) || parse_measure(durations, text_of(v), &v->number);
}

/* The form is checked here, so that strtod is not given its "nan", "0x1p3" or a comma. */
static bool parse_real(const struct postern_option *o, struct postern_node *v)
{
    struct span text = text_of(v);
    size_t digits = 0, points = 0;
    char copy[32];
    (void)o;
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        bool sign = i == 0 && (text.p[0] == '-' || text.p[0] == '+');
        digits += ascii_digit(text.p[i]);
        points += text.p[i] == '.';
        if (!sign && !ascii_digit(text.p[i]) && text.p[i] != '.')
            return false;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    v->real = strtod(copy, NULL);
    return digits > 0 && points <= 1;
}

static bool parse_text(const struct postern_option *o, struct postern_node *v)
{
    (void)o, (void)v;
    return true;
}

static bool parse_enum(const struct postern_option *o, struct postern_node *v)
{
    v->number = value_enum_index(o->values, text_of(v));
    return v->number >= 0;
}

/* "100/1h", "5/s": a count and the window it is for. Neither may be nothing. */
static bool parse_rate(const struct postern_option *o, struct postern_node *v)
{
    struct span text = text_of(v);
    int64_t window = 1;
    (void)o;
    if (!take_number(&text, &v->number) || v->number == 0 || text.n < 2 || text.p[0] != '/')
        return false;
    text = span_skip(text, 1);
    if (ascii_digit(text.p[0]) && !take_number(&text, &window))
        return false;
    if (!apply_unit(durations, text, &window) || window == 0)
        return false;
    v->real = (double)window;
    return true;
}

static const struct {
    bool (*parse)(const struct postern_option *o, struct postern_node *v);
    const struct unit *units; /* of its range */
    const char *expected;
} types[] = {
    [POSTERN_BOOL] = {parse_bool, NULL, "yes or no"},
    [POSTERN_COUNT] = {parse_count, NULL, "a whole number"},
    [POSTERN_SIZE] = {parse_size, sizes, "a size such as 4096, 256KiB, 50MiB"},
    [POSTERN_DURATION] = {parse_duration, durations, "a duration such as 50ms, 5s, 10m, 1h"},
    [POSTERN_REAL] = {parse_real, NULL, "a number such as 2.5"},
    [POSTERN_STRING] = {parse_text, NULL, "a text"},
    [POSTERN_SECRET] = {parse_text, NULL, "a text"},
    [POSTERN_ENUM] = {parse_enum, NULL, NULL},
    [POSTERN_RATE] = {parse_rate, NULL, "a rate such as 100/1h, 60/1m, 5/s"},
    [POSTERN_BLOCK] = {NULL, NULL, "a block of options"},
    [POSTERN_MAP] = {NULL, NULL, "a block of names, each with its options"},
};

bool value_parse(const struct postern_option *o, struct postern_node *scalar)
{
    return types[o->type].parse && types[o->type].parse(o, scalar);
}

bool value_in_range(const struct postern_option *o, const struct postern_node *scalar)
{
    double v = o->type == POSTERN_REAL ? scalar->real : (double)scalar->number;
    bool numeric = o->type == POSTERN_COUNT || o->type == POSTERN_SIZE || o->type == POSTERN_DURATION ||
                   o->type == POSTERN_REAL || o->type == POSTERN_RATE;
    if (!numeric || (o->min == 0 && o->max == 0))
        return true;
    return v >= o->min && (o->max < o->min || v <= o->max);
}

/* ---- for messages ---- */

int value_enum_index(const char *values, struct span name)
{
    struct span word = value_enum_name(values, 0);
    for (int i = 0; word.n; word = value_enum_name(values, (size_t)++i))
        if (span_eq(word, name))
            return i;
    return -1;
}

struct span value_enum_name(const char *values, size_t i)
{
    struct span rest = span_of(values);
    for (; i && rest.n; i--)
        rest = span_skip(rest, span_find(rest, '|') + 1);
    return span_head(rest, span_find(rest, '|'));
}

const char *value_expected(const struct postern_option *o, char out[VALUE_TEXT_MAX])
{
    int n =
        snprintf(out, VALUE_TEXT_MAX, "%s", types[o->type].expected ? types[o->type].expected : "one of ");
    if (o->type != POSTERN_ENUM)
        return out;
    size_t at = n > 0 ? (size_t)n : 0;
    for (const char *v = o->values ? o->values : ""; *v && at + 3 < VALUE_TEXT_MAX; v++) {
        out[at++] = (char)(*v == '|' ? ',' : *v);
        if (*v == '|')
            out[at++] = ' ';
    }
    out[at] = '\0';
    return out;
}

static void write_number(const struct postern_option *o, double v, char *out, size_t room)
{
    const struct unit *best = NULL;
    int n;
    if (o->type == POSTERN_REAL) {
        n = snprintf(out, room, "%g", v);
    } else {
        int64_t number = (int64_t)v;
        for (const struct unit *u = types[o->type].units; u && u->name; u++)
            if (number && number % u->factor == 0 && (best == NULL || u->factor > best->factor))
                best = u;
        n = snprintf(out, room, "%lld%s", (long long)(best ? number / best->factor : number),
                     best ? best->name : "");
    }
    if (n < 0)
        out[0] = '\0';
}

const char *value_range(const struct postern_option *o, char out[VALUE_TEXT_MAX])
{
    char low[40], high[40];
    write_number(o, o->min, low, sizeof low);
    write_number(o, o->max, high, sizeof high);
    int n = o->max < o->min ? snprintf(out, VALUE_TEXT_MAX, "at least %s", low)
                            : snprintf(out, VALUE_TEXT_MAX, "%s to %s", low, high);
    if (n < 0)
        out[0] = '\0';
    return out;
}
