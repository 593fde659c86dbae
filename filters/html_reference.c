/* SPDX-License-Identifier: MIT */
/* Reading of references as WHATWG 13.2.5.72 to 13.2.5.80 has it. Any number of digits is one number; a name
 * is bounded by the longest that there is. */
#include "filters/html_reference.h"

#include "filters/transfer.h"

static bool number_byte(struct html_reference *r, char c)
{
    bool hex = r->n == 2;
    int digit = hex || ascii_digit(c) ? hex_digit(c) : -1;

    if (!hex && !r->digits && (c == 'x' || c == 'X')) {
        r->name[r->n++] = c;
        return true;
    }
    if (digit < 0)
        return false;
    r->digits = true;
    if (r->number <= 0x10FFFF)
        r->number = r->number * (hex ? 16 : 10) + (uint32_t)digit;
    return true;
}

bool html_reference_byte(struct html_reference *r, char c)
{
    if (r->n && r->name[0] == '#')
        return number_byte(r, c);
    if (r->n == HTML_ENTITY_MAX || !(ascii_alpha(c) || ascii_digit(c) || (c == '#' && r->n == 0)))
        return false;
    r->name[r->n++] = c;
    return true;
}

/* Without its semicolon only an old name counts, and of a longer word its longest beginning; in a value only
 * where nothing follows that may belong to a query. Returns its code point, or 0. */
static uint32_t read_unended(struct span name, bool in_value, char next, size_t *n_r)
{
    uint32_t point = 0;

    *n_r = name.n;
    if (in_value)
        return next == '=' ? 0 : html_entity(name, true);
    for (; *n_r >= 2; --*n_r) {
        point = html_entity(span_head(name, *n_r), true);
        if (point)
            return point;
    }
    return 0;
}

void html_reference_read(const struct html_reference *r, bool in_value, char next, struct html_meaning *m)
{
    struct span name = {r->name, r->n};
    uint32_t point = 0;
    size_t n = name.n;

    if (r->digits)
        point = html_number(r->number);
    else if (next == ';')
        point = html_entity(name, false);
    m->ended = point && next == ';';
    if (!point)
        point = read_unended(name, in_value, next, &n);
    m->n = point ? utf8_put(point, m->text) : 0;
    m->rest = point ? span_skip(name, n) : name;
}
