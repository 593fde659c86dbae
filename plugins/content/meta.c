/* SPDX-License-Identifier: MIT */
/* Expressions: a parser by precedence, and a machine with a stack. An expression belongs to its rule. The
 * stack's room follows from META_NESTING: each level of parentheses holds at most one value for each of the
 * LEVELS of precedence, and one for an `of`. */
#include "meta.h"

#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 31, LEVELS = 5, STACK = (META_NESTING + 1) * (LEVELS + 3) };

struct parser {
    struct source *s;
    struct words *names;
    struct meta *meta;
    size_t at, nesting;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

size_t meta_name_length(const char *p, size_t n)
{
    size_t i = 0;
    if (n > 0 && is_letter(p[0]))
        while (i < n && (is_letter(p[i]) || is_digit(p[i])))
            i++;
    return i;
}

static bool emit(struct parser *p, struct meta_step step)
{
    struct meta *m = p->meta;
    if (m->n == META_OPS) {
        source_error(p->s, p->at, "the expression is too long: at most %d names and operators",
                     (int)META_OPS);
        return false;
    }
    if (m->n == m->size) {
        size_t size = m->size ? m->size * 2 : 8;
        struct meta_step *steps = realloc(m->steps, size * sizeof *steps);
        if (!steps) {
            source_error(p->s, p->at, "out of memory");
            return false;
        }
        m->steps = steps;
        m->size = size;
    }
    m->steps[m->n++] = step;
    return true;
}

static bool emit_op(struct parser *p, enum meta_op op)
{
    return emit(p, (struct meta_step){.op = op});
}

static void skip(struct parser *p)
{
    p->at = source_skip_blanks(p->s, p->at);
}

/* Goes behind the symbol if it is what comes next. */
static bool take(struct parser *p, const char *symbol)
{
    size_t n = strlen(symbol); /* our own */
    skip(p);
    if (p->s->n - p->at < n || memcmp(p->s->text + p->at, symbol, n) != 0)
        return false;
    p->at += n;
    return true;
}

static bool expected(struct parser *p, const char *what)
{
    size_t left = p->s->n - p->at;
    if (left == 0)
        source_error(p->s, p->at, "the expression ends here, but %s is missing", what);
    else
        source_error(p->s, p->at, "'%c' stands where %s is expected", p->s->text[p->at], what);
    return false;
}

static bool too_deep(struct parser *p)
{
    source_error(p->s, p->at - 1, "too many parentheses in parentheses: at most %d", (int)META_NESTING);
    return false;
}

static bool parse_level(struct parser *p, unsigned level);

static bool parse_name(struct parser *p)
{
    const char *name = p->s->text + p->at;
    size_t n = meta_name_length(name, p->s->n - p->at);
    struct meta_step step = {.op = META_NAME};
    if (n > RULE_NAME_MAX) {
        source_error(p->s, p->at, "the name is too long: at most %d bytes", (int)RULE_NAME_MAX);
        return false;
    }
    step.name = words_add(p->names, name, n);
    if (step.name == WORDS_NONE) {
        source_error(p->s, p->at, "out of memory");
        return false;
    }
    source_place(p->s, p->at, &step.line, &step.column);
    p->at += n;
    return emit(p, step);
}

static bool parse_number(struct parser *p)
{
    char copy[NUMBER_MAX + 1];
    size_t n = 0;
    const char *text = p->s->text + p->at;
    while (p->at + n < p->s->n && (is_digit(text[n]) || text[n] == '.'))
        n++;
    if (n > NUMBER_MAX) {
        source_error(p->s, p->at, "the number is too long");
        return false;
    }
    memcpy(copy, text, n);
    copy[n] = '\0';
    char *end = NULL;
    double number = strtod(copy, &end);
    if (end != copy + n) {
        source_error(p->s, p->at, "'%s' is no number", copy);
        return false;
    }
    p->at += n;
    return emit(p, (struct meta_step){.op = META_NUMBER, .number = number});
}

/* "(A, B, C)" behind `of`: how many of them hold. */
static bool parse_members(struct parser *p)
{
    size_t count = 0;
    if (!take(p, "("))
        return expected(p, "'('");
    if (++p->nesting > META_NESTING)
        return too_deep(p);
    do {
        if (!parse_level(p, 0) || !emit_op(p, META_TRUE) || (count++ > 0 && !emit_op(p, META_ADD)))
            return false;
    } while (take(p, ","));
    p->nesting--;
    return take(p, ")") || expected(p, "',' or ')'");
}

static const struct {
    const char *symbol;
    enum meta_op op;
    unsigned level;
} operators[] = {
    {"||", META_OR, 0}, {"&&", META_AND, 1}, {"==", META_EQ, 2}, {"!=", META_NE, 2},
    {"<=", META_LE, 2}, {">=", META_GE, 2},  {"<", META_LT, 2},  {">", META_GT, 2},
    {"+", META_ADD, 3}, {"-", META_SUB, 3},  {"*", META_MUL, 4}, {"/", META_DIV, 4},
};
enum { OPERATORS = sizeof operators / sizeof operators[0] };

/* The operator of that level that comes next; OPERATORS: none. */
static size_t take_operator(struct parser *p, unsigned level)
{
    size_t i = 0;
    while (i < OPERATORS && (operators[i].level != level || !take(p, operators[i].symbol)))
        i++;
    return i;
}

/* ">= 3 of (A, B, C)": the only operand that begins with a comparison. */
static bool parse_count(struct parser *p)
{
    size_t i = take_operator(p, 2);
    if (i == OPERATORS)
        return expected(p, "a name, a number, '!' or '('");
    skip(p);
    double count = 0;
    size_t from = p->at;
    for (; p->at < p->s->n && p->at - from < 6 && is_digit(p->s->text[p->at]); p->at++)
        count = count * 10 + (p->s->text[p->at] - '0');
    if (p->at == from)
        return expected(p, "a count, as in '>= 3 of (A, B, C, D)'");
    return (take(p, "of") || expected(p, "'of'")) && parse_members(p) &&
           emit(p, (struct meta_step){.op = META_NUMBER, .number = count}) && emit_op(p, operators[i].op);
}

static bool parse_operand(struct parser *p)
{
    for (skip(p); p->at < p->s->n; skip(p)) {
        char c = p->s->text[p->at];
        if (c == '(') {
            p->at++;
            if (++p->nesting > META_NESTING)
                return too_deep(p);
            if (!parse_level(p, 0))
                return false;
            p->nesting--;
            return take(p, ")") || expected(p, "an operator or ')'");
        }
        return is_letter(c) ? parse_name(p) : is_digit(c) || c == '.' ? parse_number(p) : parse_count(p);
    }
    return expected(p, "a name");
}

/* Any number of ! and - before an operand. */
static bool parse_unary(struct parser *p)
{
    size_t from = p->at, behind;
    while (take(p, "!") || take(p, "-"))
        ;
    behind = p->at;
    if (!parse_operand(p))
        return false;
    for (size_t i = behind; i > from; i--) {
        char c = p->s->text[i - 1];
        if ((c == '!' || c == '-') && !emit_op(p, c == '!' ? META_NOT : META_NEGATE))
            return false;
    }
    return true;
}

static bool parse_level(struct parser *p, unsigned level)
{
    if (level == LEVELS)
        return parse_unary(p);
    if (!parse_level(p, level + 1))
        return false;
    for (;;) {
        size_t i = take_operator(p, level);
        if (i == OPERATORS)
            return true;
        if (!parse_level(p, level + 1) || !emit_op(p, operators[i].op))
            return false;
    }
}

struct meta *meta_parse(struct source *s, size_t *at_io, struct words *names)
{
    struct parser p = {.s = s, .names = names, .at = *at_io, .meta = calloc(1, sizeof *p.meta)};
    if (!p.meta) {
        source_error(s, *at_io, "out of memory");
        return NULL;
    }
    if (!parse_operand(&p))
        meta_free(&p.meta);
    *at_io = p.at;
    return p.meta;
}

static double combine(enum meta_op op, double a, double b)
{
    switch (op) {
    case META_OR:
        return a != 0 || b != 0;
    case META_AND:
        return a != 0 && b != 0;
    case META_EQ:
        return a == b;
    case META_NE:
        return a != b;
    case META_LE:
        return a <= b;
    case META_GE:
        return a >= b;
    case META_LT:
        return a < b;
    case META_GT:
        return a > b;
    case META_ADD:
        return a + b;
    case META_SUB:
        return a - b;
    case META_MUL:
        return a * b;
    case META_DIV:
        return b != 0 ? a / b : 0;
    default:
        return 0;
    }
}

bool meta_holds(const struct meta *m, const uint8_t *hits)
{
    double stack[STACK] = {0};
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct meta_step *step = &m->steps[i];
        if (step->op == META_NUMBER)
            stack[n++] = step->number;
        else if (step->op == META_NAME)
            stack[n++] = hits[step->name / 8] >> (step->name % 8) & 1;
        else if (n == 0)
            return false; /* the parser makes no such thing */
        else if (step->op == META_NOT)
            stack[n - 1] = stack[n - 1] == 0;
        else if (step->op == META_TRUE)
            stack[n - 1] = stack[n - 1] != 0;
        else if (step->op == META_NEGATE)
            stack[n - 1] = -stack[n - 1];
        else if (n > 1) {
            n--;
            stack[n - 1] = combine(step->op, stack[n - 1], stack[n]);
        }
    }
    return n == 1 && stack[0] != 0;
}

void meta_free(struct meta **m)
{
    if (!*m)
        return;
    free((*m)->steps);
    free(*m);
    *m = NULL;
}
