/* SPDX-License-Identifier: MIT */
/* Required literals of a pattern, by reading it as PCRE2 does (pcre2pattern(3)) and keeping, for each piece,
 *
 *   exact   all strings that the piece can match, while they are few and short: "colou?r" -> color, colour
 *   best    strings one of which is in each match of the piece, and how far behind its beginning
 *   most    bytes that a match of the piece can have
 *
 * A sequence multiplies exact sets until they grow too large, then remembers the best of them; a choice joins
 * its branches. To know less than is true is always safe, so all that is rare makes it give up. Pure; nothing
 * is allocated; nesting is bounded. */
#include "literal.h"

#include <string.h>

enum { NESTING = 24, CLASS_MAX = 8, REPEAT_MAX = 8 };

struct set {
    size_t n;
    struct literal all[LITERALS_MAX];
};

struct piece {
    bool is_exact;
    struct set exact;
    struct set best; /* n 0: none */
    size_t before, most;
};

struct parser {
    const char *p;
    size_t n, at;
    bool utf, failed;
    unsigned nesting;
};

struct flags {
    bool caseless, extended;
};

static void parse_choice(struct parser *r, struct flags flags, struct piece *out);

static size_t add(size_t a, size_t b)
{
    return a > SIZE_MAX / 4 || b > SIZE_MAX / 4 ? LITERAL_ANYWHERE : a + b;
}

static size_t times(size_t a, size_t b)
{
    return a != 0 && b > (1u << 20) / a ? LITERAL_ANYWHERE : a * b;
}

static bool more(const struct parser *r)
{
    return r->at < r->n && !r->failed;
}

static char peek(const struct parser *r, size_t ahead)
{
    return r->at + ahead < r->n ? r->p[r->at + ahead] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* ---- sets ---- */

static bool put(struct set *set, const struct literal *l)
{
    for (size_t i = 0; i < set->n; i++)
        if (set->all[i].n == l->n && memcmp(set->all[i].text, l->text, l->n) == 0)
            return true;
    if (set->n == LITERALS_MAX)
        return false;
    set->all[set->n++] = *l;
    return true;
}

static bool join(struct set *to, const struct set *from)
{
    for (size_t i = 0; i < from->n; i++)
        if (!put(to, &from->all[i]))
            return false;
    return true;
}

/* Each of a followed by each of b. */
static bool multiply(struct set *a, const struct set *b)
{
    struct set made = {0};
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < b->n; k++) {
            struct literal l = a->all[i];
            if (l.n + b->all[k].n > LITERAL_MAX)
                return false;
            memcpy(l.text + l.n, b->all[k].text, b->all[k].n);
            l.n = (uint8_t)(l.n + b->all[k].n);
            if (!put(&made, &l))
                return false;
        }
    *a = made;
    return true;
}

static size_t shortest(const struct set *set)
{
    size_t n = set->n ? LITERAL_MAX : 0;
    for (size_t i = 0; i < set->n; i++)
        n = set->all[i].n < n ? set->all[i].n : n;
    return n;
}

/* How little a set is expected to be found by chance. */
static size_t worth(const struct set *set, size_t before)
{
    size_t n = shortest(set);
    if (n < LITERAL_MIN)
        return 0;
    return (n < 8 ? n : 8) * 4 + (before < 16 ? 8 : before < 256 ? 4 : 0) + (LITERALS_MAX - set->n) / 4;
}

static void offer(struct piece *to, const struct set *set, size_t before)
{
    if (worth(set, before) > worth(&to->best, to->before)) {
        to->best = *set;
        to->before = before;
    }
}

/* ---- pieces ---- */

static void nothing(struct piece *out) /* of no width: assertions */
{
    *out = (struct piece){.is_exact = true, .exact = {.n = 1}};
}

static void anything(struct piece *out, size_t most)
{
    *out = (struct piece){.most = most};
}

static void one(const struct parser *r, struct flags flags, const char *text, size_t n, struct piece *out)
{
    bool ascii = n == 1 && (unsigned char)text[0] < 0x80;
    bool folds =
        (n == 3 && memcmp(text, "\xe2\x84\xaa", 3) == 0) || (n == 2 && memcmp(text, "\xc5\xbf", 2) == 0);
    nothing(out);
    out->most = r->utf && flags.caseless ? 4 : n;
    if (r->utf && ((!ascii && flags.caseless) || folds)) { /* its other case has other bytes */
        anything(out, 4);
        return;
    }
    out->exact.all[0].n = (uint8_t)n;
    for (size_t i = 0; i < n; i++)
        out->exact.all[0].text[i] = lower(text[i]);
}

static void any_character(const struct parser *r, struct piece *out)
{
    anything(out, r->utf ? 4 : 1);
}

/* ---- escapes ---- */

static int hex(char c)
{
    if (is_digit(c))
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void parse_hex(struct parser *r, struct flags flags, struct piece *out)
{
    bool braces = peek(r, 0) == '{';
    uint32_t code = 0;
    size_t digits = 0;
    r->at += braces;
    for (; hex(peek(r, 0)) >= 0 && digits < (braces ? 6 : 2); digits++)
        code = code * 16 + (uint32_t)hex(r->p[r->at++]);
    if (braces && peek(r, 0) != '}')
        r->failed = true;
    r->at += braces;
    char c = (char)code;
    if (code < 0x80 || (!r->utf && code < 0x100))
        one(r, flags, &c, 1, out);
    else
        any_character(r, out);
}

static void skip_property(struct parser *r)
{
    if (peek(r, 0) != '{') {
        r->at++;
        return;
    }
    while (more(r) && r->p[r->at] != '}')
        r->at++;
    r->at++;
}

static void parse_escape(struct parser *r, struct flags flags, struct piece *out)
{
    static const char controls[] = "t\tn\nr\rf\fa\ae\x1b";
    char c = peek(r, 0);
    r->at++;
    const char *control = c ? strchr(controls, c) : NULL;
    if (c == 'x')
        parse_hex(r, flags, out);
    else if (control && (control - controls) % 2 == 0)
        one(r, flags, control + 1, 1, out);
    else if (c && strchr("bBAZzK", c))
        nothing(out);
    else if ((c && strchr("dDwWsShHvVR", c)) || (c == 'N' && peek(r, 0) != '{'))
        any_character(r, out);
    else if (c == 'p' || c == 'P') {
        skip_property(r);
        any_character(r, out);
    } else if (c == '0') {
        for (int i = 0; i < 2 && peek(r, 0) >= '0' && peek(r, 0) <= '7'; i++)
            r->at++;
        any_character(r, out);
    } else if (is_digit(c) || c == 'X') {
        while (c != 'X' && is_digit(peek(r, 0)))
            r->at++;
        anything(out, LITERAL_ANYWHERE);
    } else if (!is_alnum(c) && c >= ' ' && c <= '~')
        one(r, flags, &c, 1, out);
    else
        r->failed = true;
}

/* ---- classes ---- */

static bool skip_posix(struct parser *r)
{
    size_t i = r->at + 1;
    if (peek(r, 0) != ':' && peek(r, 0) != '.' && peek(r, 0) != '=')
        return false;
    while (i < r->n && (is_alnum(r->p[i]) || r->p[i] == '^'))
        i++;
    if (i + 1 >= r->n || r->p[i] != r->p[r->at] || r->p[i + 1] != ']')
        return false;
    r->at = i + 2;
    return true;
}

/* One member; false: it is more than one ASCII character. */
static bool class_member(struct parser *r, char *c_r)
{
    char c = r->p[r->at++];
    *c_r = c;
    if (c == '[' && skip_posix(r))
        return false;
    if (c != '\\')
        return (unsigned char)c < 0x80;
    *c_r = c = peek(r, 0);
    r->at++;
    if (c == 'Q' || c == 'E' || c == 'c' || (unsigned char)c >= 0x80)
        r->failed = true; /* \E, \Q and \c can hide the class's end */
    if (strchr("xpPNo", c) && peek(r, 0) == '{')
        skip_property(r);
    return !is_alnum(c);
}

static void parse_class(struct parser *r, struct flags flags, struct piece *out)
{
    bool simple = true, first = true;
    struct set set = {0};
    if (peek(r, 0) == '^') {
        simple = false;
        r->at++;
    }
    for (; more(r) && (first || r->p[r->at] != ']'); first = false) {
        char from = 0, to = 0;
        simple = class_member(r, &from) && simple;
        to = from;
        if (peek(r, 0) == '-' && peek(r, 1) != ']') {
            r->at++;
            simple = more(r) && class_member(r, &to) && simple;
        }
        for (int c = (unsigned char)from; simple && c <= (unsigned char)to; c++) {
            struct literal l = {.n = 1, .text = {lower((char)c)}};
            simple = set.n < CLASS_MAX && put(&set, &l);
        }
    }
    if (!more(r))
        r->failed = true;
    r->at++;
    any_character(r, out);
    if (simple && set.n > 0) {
        out->is_exact = true;
        out->exact = set;
        out->most = r->utf && flags.caseless ? 4 : 1;
    }
}

/* ---- groups ---- */

/* "(?i)" and "(?i-x:"; true: it was a group's beginning. */
static bool parse_flags(struct parser *r, struct flags *flags)
{
    bool on = true;
    for (; more(r); r->at++) {
        char c = r->p[r->at];
        if (c == '-')
            on = false;
        else if (c == 'i')
            flags->caseless = on;
        else if (c == 'x' && peek(r, 1) != 'x')
            flags->extended = on;
        else if (c == ':' || c == ')') {
            r->at++;
            return c == ':';
        } else if (!strchr("smnJU", c))
            break;
    }
    r->failed = true;
    return false;
}

static void skip_name(struct parser *r, char end)
{
    while (more(r) && r->p[r->at] != end)
        r->at++;
    r->at++;
}

static bool opens(struct parser *r, const char *what)
{
    size_t n = strlen(what); /* our own */
    if (r->n - r->at < n || memcmp(r->p + r->at, what, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* Behind a '('. *flags is what holds around it, and changes by "(?i)". */
static void parse_group(struct parser *r, struct flags *flags, struct piece *out)
{
    struct flags inner = *flags;
    bool looks = opens(r, "?=") || opens(r, "?!") || opens(r, "?<=") || opens(r, "?<!");
    nothing(out);
    if (looks || opens(r, "?:") || opens(r, "?|") || opens(r, "?>"))
        ;
    else if (opens(r, "?P<") || opens(r, "?<"))
        skip_name(r, '>');
    else if (opens(r, "?'"))
        skip_name(r, '\'');
    else if (opens(r, "?")) {
        if (!parse_flags(r, &inner)) {
            *flags = inner;
            return;
        }
    } else if (peek(r, 0) == '*')
        r->failed = true;
    if (r->failed || ++r->nesting > NESTING) {
        r->failed = true;
        return;
    }
    parse_choice(r, inner, out);
    r->nesting--;
    if (peek(r, 0) != ')' || !more(r))
        r->failed = true;
    r->at++;
    if (looks)
        nothing(out);
}

/* ---- repeats ---- */

static size_t number(struct parser *r)
{
    size_t value = 0;
    for (int i = 0; i < 6 && is_digit(peek(r, 0)); i++)
        value = value * 10 + (size_t)(r->p[r->at++] - '0');
    return value;
}

static bool braces(struct parser *r, size_t *least, size_t *most)
{
    size_t from = r->at++;
    char c = peek(r, 0);
    if (!is_digit(c)) {
        r->failed = r->failed || c == ',' || c == ' ' || c == '\t'; /* a repeat in newer versions of PCRE2 */
        r->at = from;
        return false;
    }
    *least = *most = number(r);
    if (peek(r, 0) == ',') {
        r->at++;
        *most = is_digit(peek(r, 0)) ? number(r) : LITERAL_ANYWHERE;
    }
    if (peek(r, 0) != '}')
        r->failed = true;
    r->at++;
    return true;
}

static bool take_repeat(struct parser *r, size_t *least, size_t *most)
{
    char c = peek(r, 0);
    if (!more(r))
        return false;
    *least = c == '+';
    *most = c == '?' ? 1 : LITERAL_ANYWHERE;
    if (c == '{') {
        if (!braces(r, least, most))
            return false;
    } else if (c == '*' || c == '+' || c == '?')
        r->at++;
    else
        return false;
    if (more(r) && (peek(r, 0) == '?' || peek(r, 0) == '+'))
        r->at++;
    return true;
}

static void append(struct piece *to, struct set *run, size_t *run_at, const struct piece *next);
static void close_run(struct piece *to, const struct set *run, size_t run_at);

static void repeat(struct piece *x, size_t least, size_t most)
{
    struct piece single = *x;
    if (least == 1 && most == 1)
        return;
    if (least == most && most > 0 && most <= REPEAT_MAX && x->is_exact) {
        struct set made = {.n = 1};
        bool fits = true;
        for (size_t i = 0; i < most && fits; i++)
            fits = multiply(&made, &single.exact);
        if (fits) {
            x->exact = made;
            x->most = times(single.most, most);
            return;
        }
    }
    struct literal empty = {0};
    if (least == 0 && most == 1 && x->is_exact && put(&x->exact, &empty))
        return;
    anything(x, most == LITERAL_ANYWHERE ? (single.most ? LITERAL_ANYWHERE : 0) : times(single.most, most));
    if (least > 0) {
        if (single.is_exact)
            offer(x, &single.exact, 0);
        if (single.best.n)
            offer(x, &single.best, single.before);
    }
}

/* ---- sequences and choices ---- */

static void append(struct piece *to, struct set *run, size_t *run_at, const struct piece *next)
{
    bool joined = next->is_exact && multiply(run, &next->exact);
    if (!joined) {
        close_run(to, run, *run_at);
        if (next->best.n)
            offer(to, &next->best, add(to->most, next->before));
        *run = next->is_exact ? next->exact : (struct set){.n = 1};
        *run_at = next->is_exact ? to->most : add(to->most, next->most);
        to->is_exact = false;
    }
    to->most = add(to->most, next->most);
}

static void close_run(struct piece *to, const struct set *run, size_t run_at)
{
    offer(to, run, run_at);
}

static void skip_extended(struct parser *r, struct flags flags)
{
    while (flags.extended && more(r)) {
        char c = r->p[r->at];
        if ((unsigned char)c >= 0x80)
            r->failed = true; /* some of these are blanks too */
        if (c == '#')
            while (more(r) && r->p[r->at] != '\n')
                r->at++;
        else if (c == ' ' || (c >= '\t' && c <= '\r'))
            r->at++;
        else
            break;
    }
}

static void parse_character(struct parser *r, struct flags flags, struct piece *out)
{
    size_t n = 1;
    if (r->utf && (unsigned char)r->p[r->at] >= 0xc0)
        while (((unsigned char)peek(r, n) & 0xc0) == 0x80)
            n++;
    one(r, flags, r->p + r->at, n, out);
    r->at += n;
}

static void parse_atom(struct parser *r, struct flags *flags, struct piece *out)
{
    char c = r->p[r->at];
    if (c == '\\' || c == '[' || c == '(' || c == '.' || c == '^' || c == '$')
        r->at++;
    if (c == '\\')
        parse_escape(r, *flags, out);
    else if (c == '[')
        parse_class(r, *flags, out);
    else if (c == '(')
        parse_group(r, flags, out);
    else if (c == '.')
        any_character(r, out);
    else if (c == '^' || c == '$')
        nothing(out);
    else
        parse_character(r, *flags, out);
}

static void parse_sequence(struct parser *r, struct flags *flags, struct piece *out)
{
    struct set run = {.n = 1};
    size_t run_at = 0;
    nothing(out);
    for (skip_extended(r, *flags); more(r) && peek(r, 0) != '|' && peek(r, 0) != ')';
         skip_extended(r, *flags)) {
        struct piece next;
        size_t least = 1, most = 1;
        nothing(&next);
        parse_atom(r, flags, &next);
        skip_extended(r, *flags);
        if (take_repeat(r, &least, &most))
            repeat(&next, least, most);
        append(out, &run, &run_at, &next);
    }
    if (out->is_exact)
        out->exact = run;
    else
        close_run(out, &run, run_at);
}

static void merge(struct piece *to, const struct piece *branch)
{
    struct piece left = {0}, right = {0};
    bool was_exact = to->is_exact;
    to->most = to->most > branch->most ? to->most : branch->most;
    if (to->is_exact && branch->is_exact) {
        struct set both = to->exact;
        if (join(&both, &branch->exact)) {
            to->exact = both;
            return;
        }
    }
    left = *to;
    if (was_exact)
        offer(&left, &to->exact, 0);
    right = *branch;
    if (branch->is_exact)
        offer(&right, &branch->exact, 0);
    to->is_exact = false;
    to->before = left.before > right.before ? left.before : right.before;
    to->best = left.best;
    if (left.best.n == 0 || right.best.n == 0 || !join(&to->best, &right.best))
        to->best.n = 0;
}

static void parse_choice(struct parser *r, struct flags flags, struct piece *out)
{
    parse_sequence(r, &flags, out);
    while (more(r) && peek(r, 0) == '|') {
        struct piece branch;
        r->at++;
        parse_sequence(r, &flags, &branch);
        merge(out, &branch);
    }
}

void literals_of(const char *p, size_t n, bool caseless, bool extended, bool utf, struct literals *out)
{
    struct parser r = {.p = p, .n = n, .utf = utf};
    struct piece whole;
    *out = (struct literals){0};
    parse_choice(&r, (struct flags){caseless, extended}, &whole);
    if (r.failed || r.at != n)
        return;
    if (whole.is_exact)
        offer(&whole, &whole.exact, 0);
    out->n = whole.best.n;
    memcpy(out->all, whole.best.all, whole.best.n * sizeof whole.best.all[0]);
    out->before = whole.before;
    out->folds = utf;
}
