/* SPDX-License-Identifier: MIT */
/* Left sides, by the scope that they stand in:
 *
 *   [!] /pattern/flags     most scopes
 *   [!] in FILE            scopes with a key (scope.h); a file is read once however many rules name it
 *   [!] > 10MiB            [size]
 *   [!] (expression)       [meta] */
#include "left.h"

#include <stdlib.h>
#include <string.h>

struct left {
    struct source *s;
    enum scope scope;
    struct rule_set *set;
    struct rule *rule;
    bool good;
};

/* ---- patterns ---- */

static bool is_delimiter(char c)
{
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return c > ' ' && c <= '~' && c != '\\' && !alnum;
}

/* The next delimiter that no backslash takes its meaning from; s->n: none. */
static size_t pattern_end(const struct source *s, size_t at, char delimiter)
{
    while (at < s->n && s->text[at] != delimiter)
        at += s->text[at] == '\\' ? 2 : 1;
    return at < s->n ? at : s->n;
}

static bool read_flags(struct source *s, size_t at, size_t end, uint32_t *options_r)
{
    bool good = true;
    *options_r = 0;
    for (; at < end; at++)
        if (!pattern_flag(s->text[at], options_r)) {
            source_error(s, at, "unknown flag '%c'; flags turn on: %s; none is on unless it is written",
                         s->text[at], pattern_flags_help);
            good = false;
        }
    return good;
}

static bool compile(struct left *l, size_t at, size_t n, uint32_t options)
{
    struct source *s = l->s;
    struct pattern_error error;
    bool bytes = l->scope < SCOPES && scope_rows[l->scope].bytes;
    if (n == 0 || n > PATTERN_MAX) {
        source_error(s, at, n ? "the pattern is too long: at most 8192 bytes" : "the pattern is empty");
        return false;
    }
    l->rule->test = TEST_PATTERN;
    l->rule->pattern = pattern_compile(s->text + at, n, options, !bytes, &error);
    if (!l->rule->pattern)
        source_error(s, at + error.offset, "%s", error.text);
    return l->rule->pattern != NULL;
}

static size_t read_pattern(struct left *l, size_t open)
{
    struct source *s = l->s;
    if (open == s->n || !is_delimiter(s->text[open])) {
        source_error(s, open,
                     "a rule begins with its pattern between two delimiters, as in /pattern/ REJECT");
        return 0;
    }
    size_t close = pattern_end(s, open + 1, s->text[open]);
    if (close == s->n) {
        source_error(s, open, "the pattern that begins here has no second '%c'", s->text[open]);
        return 0;
    }
    size_t flags_end = source_word_end(s, close + 1);
    uint32_t options = 0;
    l->good = read_flags(s, close + 1, flags_end, &options) && l->good;
    l->good = compile(l, open + 1, close - open - 1, options) && l->good;
    return flags_end;
}

/* ---- lists ---- */

static struct list *known_list(const struct rule_set *set, const char *name, size_t n)
{
    struct list *at = set->lists;
    while (at && (strlen(at->name) != n || memcmp(at->name, name, n) != 0)) /* our copy, no NUL in it */
        at = at->next;
    return at;
}

static struct list *load_list(struct left *l, size_t at, size_t n)
{
    struct source *s = l->s;
    struct postern_span file = {s->text + at, n}, bytes = {NULL, 0};
    const char *path = NULL, *error = NULL;
    struct list *list = NULL;
    if (s->host->read_file(s->self, file, &bytes, &path, &error) < 0) {
        source_error(s, at, "cannot read the list '%.*s': %s", (int)n, file.p,
                     error ? error : "no reason known");
        return NULL;
    }
    list = calloc(1, sizeof *list);
    if (list)
        list->name = strndup(file.p, n);
    if (!list || !list->name) {
        source_error(s, at, "out of memory");
        list_free(&list);
        return NULL;
    }
    list->next = l->set->lists;
    l->set->lists = list;
    if (list_read(list, s->host, s->self, path, bytes) < 0)
        s->errors++;
    return list;
}

static size_t read_list(struct left *l, size_t at)
{
    struct source *s = l->s;
    size_t end = source_word_end(s, at);
    l->rule->test = TEST_LIST;
    if (at == end)
        source_error(s, at, "the name of a list's file is missing, as in: in lists/bad.domains REJECT");
    else if (memchr(s->text + at, 0, end - at))
        source_error(s, at, "no file has such a name");
    else if (l->scope < SCOPES && scope_rows[l->scope].key == KEY_NONE)
        source_error(s, at, "[%s] takes patterns only: a list has whole words, names and addresses",
                     scope_rows[l->scope].name);
    else {
        l->rule->list = known_list(l->set, s->text + at, end - at);
        if (!l->rule->list)
            l->rule->list = load_list(l, at, end - at);
    }
    l->good = l->rule->list && l->good;
    return at == end ? 0 : end;
}

/* ---- sizes ---- */

static const struct {
    const char *name;
    unsigned shift;
} units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};

static bool take_unit(const char *p, size_t n, uint64_t *bytes_io)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strlen(units[i].name) == n && memcmp(p, units[i].name, n) == 0) {
            *bytes_io <<= units[i].shift;
            return true;
        }
    return false;
}

static size_t read_size(struct left *l, size_t at)
{
    struct source *s = l->s;
    struct comparison *c = &l->rule->size;
    l->rule->test = TEST_SIZE;
    if (at == s->n || (s->text[at] != '<' && s->text[at] != '>')) {
        source_error(s, at, "a size is compared, as in: > 10MiB REJECT");
        return 0;
    }
    c->below = s->text[at++] == '<';
    c->equal = at < s->n && s->text[at] == '=';
    at = source_skip_blanks(s, at + c->equal);
    size_t end = source_word_end(s, at), digits = at;
    c->bytes = 0;
    for (; digits < end && digits - at < 10 && s->text[digits] >= '0' && s->text[digits] <= '9'; digits++)
        c->bytes = c->bytes * 10 + (uint64_t)(s->text[digits] - '0');
    if (digits > at && take_unit(s->text + digits, end - digits, &c->bytes))
        return end;
    source_error(s, at, "'%.*s' is no size; write bytes, or KiB, MiB or GiB, as in 10MiB",
                 (int)(end - at > 40 ? 40 : end - at), s->text + at);
    l->good = false;
    return end;
}

/* ---- expressions ---- */

static size_t read_meta(struct left *l, size_t at)
{
    l->rule->test = TEST_META;
    if (at == l->s->n || l->s->text[at] != '(') {
        source_error(l->s, at, "[meta] takes expressions in parentheses, as in (A && !B) REJECT");
        return 0;
    }
    l->rule->meta = meta_parse(l->s, &at, &l->set->names);
    return l->rule->meta ? at : 0;
}

/* ---- all of them ---- */

static bool is_in(const struct source *s, size_t at)
{
    return source_word_end(s, at) == at + 2 && memcmp(s->text + at, "in", 2) == 0;
}

size_t left_parse(struct source *s, size_t at, enum scope scope, struct rule_set *set, struct rule *rule,
                  bool *good_r)
{
    struct left l = {.s = s, .scope = scope, .set = set, .rule = rule, .good = true};
    rule->negated = at < s->n && s->text[at] == '!';
    at = rule->negated ? source_skip_blanks(s, at + 1) : at;
    if (scope == SCOPE_META)
        at = read_meta(&l, at);
    else if (scope == SCOPE_SIZE)
        at = read_size(&l, at);
    else if (is_in(s, at))
        at = read_list(&l, source_skip_blanks(s, at + 2));
    else
        at = read_pattern(&l, at);
    *good_r = at > 0 && l.good;
    return at;
}
