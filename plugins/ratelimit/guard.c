/* SPDX-License-Identifier: MIT */
/* See guard.h. One byte at a time, so that a reply may be cut anywhere; nothing is kept but numbers. */
#include "guard.h"

enum { AT_TYPE, IN_LINE, IN_NUMBER, IN_SIGNED, AT_LF, IN_BULK };

static const char *at_type(struct guard *g, char c)
{
    g->type = c;
    g->line_n = g->number = 0;
    g->negative = g->digits = false;
    switch (c) {
    case '+':
    case '-':
        g->state = IN_LINE;
        return NULL;
    case ':':
        g->state = IN_SIGNED;
        return NULL;
    case '*':
        if (g->elements)
            return "an array within an array";
        g->state = IN_NUMBER;
        return NULL;
    case '$':
        g->state = IN_NUMBER;
        return NULL;
    default:
        return "not a Redis reply, or one of a kind that was not asked for";
    }
}

static const char *in_line(struct guard *g, char c)
{
    if (c == '\r') {
        g->state = AT_LF;
        return NULL;
    }
    if (c == '\n')
        return "a line feed without its carriage return";
    return ++g->line_n > g->max_line ? "a line that is too long" : NULL;
}

/* An integer's own value does not matter here: hiredis refuses what does not fit. */
static const char *in_signed(struct guard *g, char c)
{
    if (c == '\r' && g->digits) {
        g->state = AT_LF;
        return NULL;
    }
    if (c == '-' && g->line_n == 0) {
        g->line_n = 1;
        return NULL;
    }
    if (c < '0' || c > '9' || ++g->line_n > 20)
        return "not a number where one must stand";
    g->digits = true;
    return NULL;
}

static const char *in_number(struct guard *g, char c)
{
    size_t most = g->type == '*' ? g->max_elements : g->max_bulk;

    if (c == '\r' && g->digits) {
        g->state = AT_LF;
        return NULL;
    }
    if (c == '-' && !g->digits && !g->negative) {
        g->negative = true;
        return NULL;
    }
    if (c < '0' || c > '9')
        return "not a number where one must stand";
    g->digits = true;
    g->number = g->number * 10 + (size_t)(c - '0');
    if (g->number > most || (g->negative && g->number > 1))
        return g->type == '*' ? "an array that is too long" : "a string that is too long";
    return NULL;
}

static void value_done(struct guard *g)
{
    if (g->elements)
        g->elements--;
    g->state = AT_TYPE;
}

static const char *at_lf(struct guard *g, char c)
{
    if (c != '\n')
        return "a carriage return without its line feed";
    if (g->type == '*') {
        g->elements = g->negative ? 0 : g->number;
        g->state = AT_TYPE;
    } else if (g->type == '$' && !g->negative) {
        g->skip = g->number + 2; /* and the CRLF behind it */
        g->state = IN_BULK;
    } else {
        value_done(g);
    }
    return NULL;
}

static const char *in_bulk(struct guard *g, char c)
{
    static const char end[2] = {'\n', '\r'};

    g->skip--;
    if (g->skip < 2 && c != end[g->skip])
        return "a string that does not end where it should";
    if (g->skip == 0)
        value_done(g);
    return NULL;
}

const char *guard_check(struct guard *g, struct postern_span bytes)
{
    static const char *(*const steps[])(struct guard *, char) = {
        [AT_TYPE] = at_type,     [IN_LINE] = in_line, [IN_NUMBER] = in_number,
        [IN_SIGNED] = in_signed, [AT_LF] = at_lf,     [IN_BULK] = in_bulk,
    };
    const char *wrong = NULL;

    for (size_t i = 0; i < bytes.n && !wrong; i++)
        wrong = steps[g->state](g, bytes.p[i]);
    return wrong;
}
