/* SPDX-License-Identifier: MIT */
/* Rule files into rules. The set belongs to the filter instance and is read-only once it is configured.
 *
 *   source (logical lines) --+-- "[scope]"  -> the list that takes the next rules
 *                            +-- "/p/f A …" -> pattern + flags + action -> a rule, at the end of that list
 *
 * A line with an error makes no rule, but the rest of it and the rest of the file are still checked, so that
 * one run shows all that is wrong. */
#include "rules.h"

#include "action.h"
#include "names.h"
#include "source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const scope_names[SCOPES + 1] = {
    [SCOPE_HELO] = "helo",         [SCOPE_FROM] = "from", [SCOPE_TO] = "to",
    [SCOPE_HEADER] = "header",     [SCOPE_BODY] = "body", [SCOPE_TEXT] = "text",
    [SCOPE_FILENAME] = "filename", [SCOPES] = NULL,
};

struct reader {
    struct source source;
    struct rule_set *set;
    bool scope_seen;        /* there was a [scope] line, good or bad */
    enum scope scope;       /* SCOPES: the last one was bad; rules are checked and dropped */
    struct rule_list *list; /* of the scope; for helo see list_for */
};

/* ---- [scope] lines ---- */

static struct rule_list *field_list(struct rule_set *set, const char *name, size_t n)
{
    struct rule_field **at = &set->fields;
    for (; *at; at = &(*at)->next)
        if (name_is(name, n, (*at)->name))
            return &(*at)->rules;
    struct rule_field *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->name = strndup(name, n);
    if (!made->name) {
        free(made);
        return NULL;
    }
    *at = made;
    return &made->rules;
}

static void unknown_scope(struct source *s, size_t at, size_t n)
{
    const char *near = suggest_name(s->text + at, n, scope_names);
    source_error(
        s, at,
        "unknown scope '%.*s'%s%s; known are helo, from, to, header:NAME, header, body, text and filename",
        (int)(n > 40 ? 40 : n), s->text + at, near ? ", did you mean " : "", near ? near : "");
}

static enum scope find_scope(const char *p, size_t n)
{
    for (int i = 0; i < SCOPES; i++)
        if (name_is(p, n, scope_names[i]))
            return (enum scope)i;
    return SCOPES;
}

/* The NAME of [header:NAME], text[at..end). */
static struct rule_list *open_field(struct reader *r, size_t at, size_t end)
{
    struct source *s = &r->source;
    if (at == end)
        source_error(s, at, "the field's name is missing; write [header:Subject], or [header] for any field");
    for (size_t i = at; i < end; i++)
        if (s->text[i] <= ' ' || s->text[i] > '~' || s->text[i] == ':') {
            source_error(s, i, "no field has such a name");
            return NULL;
        }
    if (at == end)
        return NULL;
    struct rule_list *list = field_list(r->set, s->text + at, end - at);
    if (!list)
        source_error(s, at, "out of memory");
    return list;
}

static void open_scope(struct reader *r, size_t at, size_t end)
{
    struct source *s = &r->source;
    const char *colon = memchr(s->text + at, ':', end - at);
    size_t name_end = colon ? (size_t)(colon - s->text) : end;
    enum scope scope = find_scope(s->text + at, name_end - at);
    if (scope == SCOPES) {
        unknown_scope(s, at, name_end - at);
        return;
    }
    if (colon && scope != SCOPE_HEADER) {
        source_error(s, name_end, "only [header:NAME] takes a name, [%s] does not", scope_names[scope]);
        return;
    }
    r->list = colon ? open_field(r, name_end + 1, end) : &r->set->scopes[scope];
    if (r->list)
        r->scope = scope;
}

static void read_scope(struct reader *r)
{
    struct source *s = &r->source;
    const char *bracket = memchr(s->text, ']', s->n);
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
    pattern_destroy(&(*rule)->pattern);
    free((*rule)->text);
    free((*rule)->place);
    free(*rule);
    *rule = NULL;
}

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

static bool read_pattern(struct reader *r, size_t at, size_t n, uint32_t options, struct rule *rule)
{
    struct source *s = &r->source;
    struct pattern_error error;
    if (n == 0 || n > PATTERN_MAX) {
        source_error(s, at, n ? "the pattern is too long: at most 8192 bytes" : "the pattern is empty");
        return false;
    }
    rule->pattern = pattern_compile(s->text + at, n, options, r->scope != SCOPE_BODY, &error);
    if (!rule->pattern)
        source_error(s, at + error.offset, "%s", error.text);
    return rule->pattern != NULL;
}

static bool read_action(struct source *s, size_t at, struct rule *rule)
{
    if (at < source_trimmed_end(s))
        return action_parse(s, at, rule);
    source_error(s, at, "no action after the pattern: REJECT, DEFER, DISCARD, SCORE or WARN");
    return false;
}

/* The parts of a rule, each checked whatever the others are like. */
static bool read_parts(struct reader *r, struct rule *rule)
{
    struct source *s = &r->source;
    rule->negated = s->text[0] == '!';
    size_t open = rule->negated ? source_skip_blanks(s, 1) : 0;
    if (open == s->n || !is_delimiter(s->text[open])) {
        source_error(s, open,
                     "a rule begins with its pattern between two delimiters, as in /pattern/ REJECT");
        return false;
    }
    size_t close = pattern_end(s, open + 1, s->text[open]);
    if (close == s->n) {
        source_error(s, open, "the pattern that begins here has no second '%c'", s->text[open]);
        return false;
    }
    size_t flags_end = source_word_end(s, close + 1);
    uint32_t options = 0;
    bool good = read_flags(s, close + 1, flags_end, &options);
    good = read_pattern(r, open + 1, close - open - 1, options, rule) && good;
    return read_action(s, source_skip_blanks(s, flags_end), rule) && good;
}

static struct rule_list *list_for(struct reader *r, const struct rule *rule)
{
    bool waits = rule->action == RULE_SCORE || rule->action == RULE_DISCARD;
    return r->scope == SCOPE_HELO && waits ? &r->set->helo_at_mail : r->list;
}

static bool add_rule(struct reader *r, struct rule *rule)
{
    struct source *s = &r->source;
    if (asprintf(&rule->place, "%s:%u", s->file, source_line(s)) < 0) {
        rule->place = NULL;
        source_error(s, 0, "out of memory");
        return false;
    }
    struct rule_list *list = list_for(r, rule);
    rule->index = r->set->count++;
    if (list->last)
        list->last->next = rule;
    else
        list->first = rule;
    list->last = rule;
    return true;
}

static void read_rule(struct reader *r)
{
    struct source *s = &r->source;
    struct rule *rule = calloc(1, sizeof *rule);
    bool kept = false;
    if (!rule)
        source_error(s, 0, "out of memory");
    else if (read_parts(r, rule) && r->list)
        kept = add_rule(r, rule);
    if (!kept)
        free_rule(&rule);
    if (!r->scope_seen) {
        source_error(s, 0,
                     "a rule before any [scope] line: say first where it looks, as in [header:Subject]");
        r->scope_seen = true; /* once a file is enough */
    }
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
            read_rule(r);
        else {
            source_error(&r->source, 0, "too many rules: at most %d in one filter", (int)RULES_MAX);
            break;
        }
    }
    int result = r->source.errors ? -1 : 0;
    free(r);
    return result;
}

static void free_list(struct rule_list *list)
{
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
    free_list(&set->helo_at_mail);
    while (set->fields) {
        struct rule_field *field = set->fields;
        set->fields = field->next;
        free_list(&field->rules);
        free(field->name);
        free(field);
    }
}
