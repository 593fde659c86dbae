/* SPDX-License-Identifier: MIT */
/* Rule files into rules. The set belongs to the filter instance and is read-only once it is configured.
 *
 *   source (logical lines) --+-- "[scope]"          -> the list that takes the next rules
 *                            +-- "if …" "endif"     -> a rule without action, around the rules between
 *                            +-- "N = /p/f A …"     -> name, left side (left.c), action -> a rule, at the
 * list's end
 *
 * A line with an error makes no rule, but the rest of it and the rest of the file are still checked, so that
 * one run shows all that is wrong. */
#include "rules.h"

#include "action.h"
#include "left.h"
#include "names.h"
#include "scan.h"
#include "source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct source source;
    struct rule_set *set;
    bool scope_seen;                 /* there was a [scope] line, good or bad */
    enum scope scope;                /* SCOPES: the last one was bad; rules are checked and dropped */
    struct rule_list *list;          /* of the scope */
    struct rule *ifs[RULE_NESTING];  /* the open ones; NULL: one with an error */
    uint32_t if_lines[RULE_NESTING]; /* where they stand */
    size_t ifs_n;
};

/* ---- [scope] lines ---- */

static struct rule_list *field_list(struct rule_set *set, enum scope scope, const char *name, size_t n)
{
    struct rule_field **at = &set->fields;
    for (; *at; at = &(*at)->next)
        if ((*at)->rules.scope == scope && name_is(name, n, (*at)->name))
            return &(*at)->rules;
    struct rule_field *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->name = strndup(name, n);
    made->rules.scope = scope;
    if (!made->name) {
        free(made);
        return NULL;
    }
    *at = made;
    return &made->rules;
}

static void unknown_scope(struct source *s, size_t at, size_t n)
{
    char known[256];
    const char *near = scope_suggest(s->text + at, n);
    scope_list(known, sizeof known);
    source_error(s, at, "unknown scope '%.*s'%s%s; known are %s", (int)(n > 40 ? 40 : n), s->text + at,
                 near ? ", did you mean " : "", near ? near : "", known);
}

/* The NAME of [header:NAME], text[at..end). */
static struct rule_list *open_field(struct reader *r, enum scope scope, size_t at, size_t end)
{
    struct source *s = &r->source;
    const char *word = scope_rows[scope].name;
    if (at == end)
        source_error(s, at, "the field's name is missing; write [%s:Subject], or [%s] for any field", word,
                     word);
    for (size_t i = at; i < end; i++)
        if (s->text[i] <= ' ' || s->text[i] > '~' || s->text[i] == ':') {
            source_error(s, i, "no field has such a name");
            return NULL;
        }
    if (at == end)
        return NULL;
    struct rule_list *list = field_list(r->set, scope, s->text + at, end - at);
    if (!list)
        source_error(s, at, "out of memory");
    return list;
}

static void open_scope(struct reader *r, size_t at, size_t end)
{
    struct source *s = &r->source;
    const char *colon = memchr(s->text + at, ':', end - at);
    size_t name_end = colon ? (size_t)(colon - s->text) : end;
    enum scope scope = scope_find(s->text + at, name_end - at);
    if (scope == SCOPES) {
        unknown_scope(s, at, name_end - at);
        return;
    }
    if (colon && !scope_rows[scope].takes_name) {
        source_error(s, name_end, "only [header:NAME] and its like take a name, [%s] does not",
                     scope_rows[scope].name);
        return;
    }
    r->list = colon ? open_field(r, scope, name_end + 1, end) : &r->set->scopes[scope];
    if (r->list) {
        r->list->scope = scope;
        r->scope = scope;
    }
}

/* What is open where a scope or the file ends. */
static void close_ifs(struct reader *r)
{
    struct source *s = &r->source;
    while (r->ifs_n > 0) {
        s->host->file_error(s->self, s->file, r->if_lines[--r->ifs_n], 1,
                            "this 'if' has no 'endif' before its scope ends");
        s->errors++;
    }
}

static void read_scope(struct reader *r)
{
    struct source *s = &r->source;
    const char *bracket = memchr(s->text, ']', s->n);
    close_ifs(r);
    r->scope_seen = true;
    r->scope = SCOPES;
    r->list = NULL;
    if (!bracket) {
        source_error(s, s->n, "the ']' of this [scope] line is missing");
        return;
    }
    size_t close = (size_t)(bracket - s->text);
    size_t rest = source_skip_blanks(s, close + 1);
    if (rest < s->n)
        source_error(s, rest, "a [scope] stands alone on its line, and rules do not begin with white space");
    size_t at = source_skip_blanks(s, 1), end = close;
    while (end > at && (s->text[end - 1] == ' ' || s->text[end - 1] == '\t'))
        end--;
    open_scope(r, at, end);
}

/* ---- rules ---- */

static void free_rule(struct rule **rule)
{
    if (!*rule)
        return;
    if ((*rule)->test == TEST_PATTERN)
        pattern_destroy(&(*rule)->pattern);
    if ((*rule)->test == TEST_META)
        meta_free(&(*rule)->meta);
    free((*rule)->text);
    free((*rule)->field);
    free((*rule)->place);
    free(*rule);
    *rule = NULL;
}

bool rule_waits(const struct rule *rule)
{
    bool now = rule->action == RULE_REJECT || rule->action == RULE_DEFER || rule->action == RULE_WARN;
    return !now || rule->name != WORDS_NONE;
}

/* "NAME =" before the left side. *at_r: where that begins. */
static bool read_name(struct reader *r, struct rule *rule, size_t *at_r)
{
    struct source *s = &r->source;
    size_t n = meta_name_length(s->text, s->n), equals = source_skip_blanks(s, n);
    *at_r = 0;
    if (n == 0 || equals == s->n || s->text[equals] != '=')
        return true;
    *at_r = source_skip_blanks(s, equals + 1);
    if (n > RULE_NAME_MAX) {
        source_error(s, 0, "the name is too long: at most %d bytes", (int)RULE_NAME_MAX);
        return false;
    }
    rule->name = words_add(&r->set->names, s->text, n);
    if (rule->name == WORDS_NONE)
        source_error(s, 0, "out of memory");
    return rule->name != WORDS_NONE;
}

static bool read_action(struct source *s, size_t at, struct rule *rule)
{
    if (at < source_trimmed_end(s))
        return action_parse(s, at, rule);
    if (rule->name != WORDS_NONE)
        return true;
    source_error(s, at, "no action after the pattern: %s; or give the rule a name, for [meta]", action_words);
    return false;
}

/* The parts of a rule, each checked whatever the others are like. */
static bool read_parts(struct reader *r, struct rule *rule)
{
    size_t at = 0;
    bool left = true;
    bool named = read_name(r, rule, &at);
    at = left_parse(&r->source, at, r->scope, r->set, rule, &left);
    return at > 0 && read_action(&r->source, source_skip_blanks(&r->source, at), rule) && left && named;
}

static bool add_rule(struct reader *r, struct rule *rule)
{
    struct source *s = &r->source;
    struct rule_list *list = r->list;
    rule->file = s->file;
    rule->line = source_line(s);
    if (asprintf(&rule->place, "%s:%u", s->file, rule->line) < 0) {
        rule->place = NULL;
        source_error(s, 0, "out of memory");
        return false;
    }
    rule->inside = r->ifs_n > 0 ? r->ifs[r->ifs_n - 1] : NULL;
    rule->index = r->set->count++;
    rule->at = list->count++;
    if (list->last)
        list->last->next = rule;
    else
        list->first = rule;
    list->last = rule;
    return true;
}

static struct rule *new_rule(struct source *s)
{
    struct rule *rule = calloc(1, sizeof *rule);
    if (rule)
        rule->name = WORDS_NONE;
    else
        source_error(s, 0, "out of memory");
    return rule;
}

static void read_rule(struct reader *r)
{
    struct rule *rule = new_rule(&r->source);
    if (rule && !(read_parts(r, rule) && r->list && add_rule(r, rule)))
        free_rule(&rule);
    if (!r->scope_seen) {
        source_error(&r->source, 0,
                     "a rule before any [scope] line: say first where it looks, as in [header:Subject]");
        r->scope_seen = true; /* once a file is enough */
    }
}

/* ---- if and endif ---- */

static bool read_condition(struct reader *r, struct rule *rule)
{
    struct source *s = &r->source;
    bool good = true;
    if (r->scope < SCOPES && !scope_rows[r->scope].patterns) {
        source_error(s, 0, "[%s] has no 'if'", scope_rows[r->scope].name);
        return false;
    }
    size_t at = left_parse(s, source_skip_blanks(s, 2), r->scope, r->set, rule, &good);
    size_t rest = at > 0 ? source_skip_blanks(s, at) : s->n;
    if (rest < s->n)
        source_error(s, rest, "an 'if' has no action: its rules stand on the lines before 'endif'");
    return at > 0 && good && rest == s->n;
}

static void read_if(struct reader *r)
{
    struct source *s = &r->source;
    struct rule *rule = new_rule(s);
    if (r->ifs_n == RULE_NESTING) {
        source_error(s, 0, "too many 'if' in 'if': at most %d", (int)RULE_NESTING);
        free_rule(&rule);
        return;
    }
    if (rule && !(read_condition(r, rule) && r->list && add_rule(r, rule)))
        free_rule(&rule);
    r->if_lines[r->ifs_n] = source_line(s);
    r->ifs[r->ifs_n++] = rule;
}

static void read_endif(struct reader *r)
{
    struct source *s = &r->source;
    size_t rest = source_skip_blanks(s, 5);
    if (rest < s->n)
        source_error(s, rest, "'endif' stands alone on its line");
    if (r->ifs_n > 0)
        r->ifs_n--;
    else
        source_error(s, 0, "this 'endif' has no 'if' in its scope");
}

/* ---- files ---- */

/* The first word, unless it is a name with "=". */
static bool begins(const struct source *s, const char *word, size_t n)
{
    size_t behind = source_skip_blanks(s, n);
    return meta_name_length(s->text, s->n) == n && memcmp(s->text, word, n) == 0 &&
           (behind == s->n || s->text[behind] != '=');
}

static void read_line(struct reader *r)
{
    if (begins(&r->source, "if", 2))
        read_if(r);
    else if (begins(&r->source, "endif", 5))
        read_endif(r);
    else
        read_rule(r);
}

int rules_read(struct rule_set *set, const struct postern_host *host, void *self, const char *file,
               struct postern_span bytes)
{
    struct reader *r = calloc(1, sizeof *r);
    if (!r) {
        host->file_error(self, file, 1, 1, "out of memory");
        return -1;
    }
    r->set = set;
    r->scope = SCOPES;
    source_open(&r->source, host, self, file, bytes);
    while (source_next(&r->source)) {
        if (r->source.text[0] == '[')
            read_scope(r);
        else if (set->count < RULES_MAX)
            read_line(r);
        else {
            source_error(&r->source, 0, "too many rules: at most %d in one filter", (int)RULES_MAX);
            r->ifs_n = 0;
            break;
        }
    }
    close_ifs(r);
    int result = r->source.errors ? -1 : 0;
    free(r);
    return result;
}

static void free_list(struct rule_list *list)
{
    scanner_free(&list->scanner);
    while (list->first) {
        struct rule *rule = list->first;
        list->first = rule->next;
        free_rule(&rule);
    }
    list->last = NULL;
}

void rules_free(struct rule_set *set)
{
    for (int i = 0; i < SCOPES; i++)
        free_list(&set->scopes[i]);
    while (set->fields) {
        struct rule_field *field = set->fields;
        set->fields = field->next;
        free_list(&field->rules);
        free(field->name);
        free(field);
    }
    while (set->lists) {
        struct list *list = set->lists;
        set->lists = list->next;
        list_free(&list);
    }
    words_free(&set->names);
    free(set->metas);
    set->metas = NULL;
}
