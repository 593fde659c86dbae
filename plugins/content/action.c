/* SPDX-License-Identifier: MIT */
/* Actions, as a table: one row a word. The texts that are made here belong to the rule.
 *
 *   REJECT  554  5.7.1  Not here, thanks
 *   word    code enhanced text             code and enhanced may be absent; both must agree with the word */
#include "action.h"

#include "names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct action_row {
    const char *word;
    bool (*arguments)(struct source *s, size_t at, const struct action_row *row, struct rule *rule);
    enum rule_action action;
    char reply_class; /* of the code and of the enhanced code */
    unsigned code;
    const char *enhanced, *text; /* where the rule has none */
};

static bool reply_arguments(struct source *s, size_t at, const struct action_row *row, struct rule *rule);
static bool text_argument(struct source *s, size_t at, const struct action_row *row, struct rule *rule);
static bool score_arguments(struct source *s, size_t at, const struct action_row *row, struct rule *rule);
static bool header_arguments(struct source *s, size_t at, const struct action_row *row, struct rule *rule);
static bool prefix_argument(struct source *s, size_t at, const struct action_row *row, struct rule *rule);
static bool mailbox_argument(struct source *s, size_t at, const struct action_row *row, struct rule *rule);
static bool tag_argument(struct source *s, size_t at, const struct action_row *row, struct rule *rule);

static const struct action_row rows[] = {
    {"REJECT", reply_arguments, RULE_REJECT, '5', 550, "5.7.1", "Message refused by content policy"},
    {"DEFER", reply_arguments, RULE_DEFER, '4', 450, "4.7.1",
     "Message deferred by content policy, try again later"},
    {"DISCARD", text_argument, RULE_DISCARD, 0, 0, NULL, NULL},
    {"SCORE", score_arguments, RULE_SCORE, 0, 0, NULL, NULL},
    {"WARN", text_argument, RULE_WARN, 0, 0, NULL, NULL},
    {"HEADER", header_arguments, RULE_HEADER_ADD, 0, 0, NULL, NULL},
    {"SUBJECT", prefix_argument, RULE_SUBJECT, 0, 0, NULL, NULL},
    {"REDIRECT", mailbox_argument, RULE_REDIRECT, 0, 0, NULL, NULL},
    {"BCC", mailbox_argument, RULE_BCC, 0, 0, NULL, NULL},
    {"TAG", tag_argument, RULE_TAG, 0, 0, NULL, NULL},
};
enum { ROWS = sizeof rows / sizeof rows[0] };
static const char *const words[] = {"REJECT",  "DEFER",    "DISCARD", "SCORE", "WARN", "HEADER",
                                    "SUBJECT", "REDIRECT", "BCC",     "TAG",   NULL};
const char action_words[] = "REJECT, DEFER, DISCARD, SCORE, WARN, HEADER, SUBJECT, REDIRECT, BCC or TAG";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Keeps text[at..end) for the rule, checked: it goes into replies and log lines. */
static bool keep_text(struct source *s, size_t at, size_t end, struct rule *rule)
{
    if (end - at > RULE_TEXT_MAX) {
        source_error(s, at + RULE_TEXT_MAX, "the text is too long: at most %d bytes", (int)RULE_TEXT_MAX);
        return false;
    }
    for (size_t i = at; i < end; i++)
        if (s->text[i] != '\t' && (s->text[i] < ' ' || s->text[i] > '~')) {
            source_error(s, i, "byte 0x%02x: a text may have printable ASCII characters only",
                         (unsigned char)s->text[i]);
            return false;
        }
    rule->text = strndup(s->text + at, end - at);
    if (!rule->text)
        source_error(s, at, "out of memory");
    return rule->text != NULL;
}

static bool text_argument(struct source *s, size_t at, const struct action_row *row, struct rule *rule)
{
    (void)row;
    size_t end = source_trimmed_end(s);
    return at >= end || keep_text(s, at, end, rule);
}

static bool is_code(const char *p, size_t n)
{
    return n == 3 && is_digit(p[0]) && is_digit(p[1]) && is_digit(p[2]);
}

/* X.Y.Z, one digit and two times one to three (RFC 3463). */
static bool is_enhanced(const char *p, size_t n)
{
    if (n < 5 || n > 9 || !is_digit(p[0]) || p[1] != '.')
        return false;
    size_t dots = 0, digits = 0;
    for (size_t i = 2; i < n; i++) {
        if (p[i] == '.' && digits > 0 && dots++ == 0)
            digits = 0;
        else if (!is_digit(p[i]) || ++digits > 3)
            return false;
    }
    return dots == 1 && digits > 0;
}

static bool take_code(struct source *s, size_t at, const struct action_row *row, struct rule *rule)
{
    const char *p = s->text + at;
    if (p[0] != row->reply_class || p[1] > '5') {
        source_error(s, at, "%s cannot answer %.3s: its code is from %c00 to %c59", row->word, p,
                     row->reply_class, row->reply_class);
        return false;
    }
    rule->code = (unsigned)(p[0] - '0') * 100 + (unsigned)(p[1] - '0') * 10 + (unsigned)(p[2] - '0');
    return true;
}

static bool take_enhanced(struct source *s, size_t at, size_t n, const struct action_row *row,
                          struct rule *rule)
{
    if (s->text[at] != row->reply_class) {
        source_error(s, at, "%s cannot answer %.*s: its enhanced code begins with %c", row->word, (int)n,
                     s->text + at, row->reply_class);
        return false;
    }
    memcpy(rule->enhanced, s->text + at, n);
    rule->enhanced[n] = '\0';
    return true;
}

static bool reply_arguments(struct source *s, size_t at, const struct action_row *row, struct rule *rule)
{
    bool good = true;
    rule->code = row->code;
    (void)snprintf(rule->enhanced, sizeof rule->enhanced, "%s", row->enhanced);
    size_t end = source_word_end(s, at);
    if (is_code(s->text + at, end - at)) {
        good = take_code(s, at, row, rule);
        at = source_skip_blanks(s, end);
        end = source_word_end(s, at);
    }
    if (is_enhanced(s->text + at, end - at)) {
        good = take_enhanced(s, at, end - at, row, rule) && good;
        at = source_skip_blanks(s, end);
    }
    if (!text_argument(s, at, row, rule))
        return false;
    if (!rule->text)
        rule->text = strdup(row->text);
    if (!rule->text)
        source_error(s, at, "out of memory");
    return good && rule->text;
}

/* A decimal number, no more: strtod would also take "inf", "nan" and "0x10". */
static bool take_points(const char *p, size_t n, double *points_r)
{
    char copy[32];
    if (n == 0 || n >= sizeof copy)
        return false;
    memcpy(copy, p, n);
    copy[n] = '\0';
    if (copy[strspn(copy, "+-.0123456789")] != '\0')
        return false;
    char *end = NULL;
    *points_r = strtod(copy, &end);
    return end == copy + n && fabs(*points_r) <= 1e6;
}

static bool score_arguments(struct source *s, size_t at, const struct action_row *row, struct rule *rule)
{
    (void)row;
    size_t end = source_word_end(s, at);
    if (at == end) {
        source_error(s, at, "SCORE wants points, as in SCORE 2.5 wallet");
        return false;
    }
    if (!take_points(s->text + at, end - at, &rule->points)) {
        source_error(s, at, "'%.*s' is no number of points, as in SCORE 2.5 wallet (at most a million)",
                     (int)(end - at > 40 ? 40 : end - at), s->text + at);
        return false;
    }
    size_t name = source_skip_blanks(s, end);
    size_t stop = source_trimmed_end(s);
    if (name >= stop)
        return true;
    for (size_t i = name; i < stop; i++)
        if (s->text[i] <= ' ' || s->text[i] > '~' || s->text[i] == '=' || s->text[i] == '"') {
            source_error(s, i, "a score's name is one word, without '=' and quotes");
            return false;
        }
    if (stop - name > RULE_NAME_MAX) {
        source_error(s, name, "the score's name is too long: at most %d bytes", (int)RULE_NAME_MAX);
        return false;
    }
    return keep_text(s, name, stop, rule);
}

/* ---- edits ---- */

static bool keep(struct source *s, size_t at, size_t end, char **text_r)
{
    *text_r = strndup(s->text + at, end - at);
    if (!*text_r)
        source_error(s, at, "out of memory");
    return *text_r != NULL;
}

/* The first byte in text[at..end) that is none of a name's; `end`: all are. */
static size_t name_end(const struct source *s, size_t at, size_t end, const char *stops)
{
    while (at < end && s->text[at] > ' ' && s->text[at] <= '~' && !strchr(stops, s->text[at]))
        at++;
    return at;
}

static const struct {
    const char *word;
    enum rule_action action;
} header_rows[] = {
    {"ADD", RULE_HEADER_ADD}, {"REPLACE", RULE_HEADER_REPLACE}, {"REMOVE", RULE_HEADER_REMOVE}};
enum { HEADER_ROWS = sizeof header_rows / sizeof header_rows[0] };

/* "Name: value", or "Name" alone for REMOVE. */
static bool field_arguments(struct source *s, size_t at, struct rule *rule)
{
    size_t stop = source_trimmed_end(s), colon = name_end(s, at, stop, ":");
    bool removes = rule->action == RULE_HEADER_REMOVE;
    if (colon == at || colon - at > RULE_NAME_MAX || (colon < stop && s->text[colon] != ':')) {
        source_error(s, at, "no field has such a name");
        return false;
    }
    if (removes != (colon == stop)) {
        source_error(s, colon,
                     removes ? "HEADER REMOVE takes the field's name alone"
                             : "a ':' and the field's value are missing, as in X-Spam: yes");
        return false;
    }
    size_t value = removes ? stop : source_skip_blanks(s, colon + 1);
    return keep(s, at, colon, &rule->field) &&
           (removes || keep_text(s, value, stop > value ? stop : value, rule));
}

static bool header_arguments(struct source *s, size_t at, const struct action_row *row, struct rule *rule)
{
    (void)row;
    size_t end = source_word_end(s, at);
    for (size_t i = 0; i < HEADER_ROWS; i++)
        if (name_is(s->text + at, end - at, header_rows[i].word)) {
            rule->action = header_rows[i].action;
            return field_arguments(s, source_skip_blanks(s, end), rule);
        }
    source_error(s, at, "HEADER wants ADD, REPLACE or REMOVE, as in HEADER ADD X-Spam: yes");
    return false;
}

/* The bytes of the UTF-8 character at text[at]; 0: there is none. */
static size_t character(const struct source *s, size_t at, size_t end)
{
    unsigned char c = (unsigned char)s->text[at];
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : c >= 0xe0 && c < 0xf0 ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;
    if (n > end - at || c < ' ' || c == 0x7f)
        return 0;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s->text[at + i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static bool prefix_argument(struct source *s, size_t at, const struct action_row *row, struct rule *rule)
{
    (void)row;
    size_t end = source_trimmed_end(s), n = 0;
    if (at >= end || end - at > RULE_TEXT_MAX) {
        source_error(s, at, "SUBJECT wants what to put in front, as in SUBJECT [spam]; at most %d bytes",
                     (int)RULE_TEXT_MAX);
        return false;
    }
    for (size_t i = at; i < end; i += n) {
        n = character(s, i, end);
        if (n == 0) {
            source_error(s, i, "byte 0x%02x: a prefix is printable text in UTF-8", (unsigned char)s->text[i]);
            return false;
        }
    }
    return keep(s, at, end, &rule->text);
}

static bool mailbox_argument(struct source *s, size_t at, const struct action_row *row, struct rule *rule)
{
    size_t stop = source_trimmed_end(s);
    const char *sign = at < stop ? memchr(s->text + at, '@', stop - at) : NULL;
    bool good = sign && sign > s->text + at && sign + 1 < s->text + stop && stop - at <= 254;
    if (!good || name_end(s, at, stop, "<>,;:()\"[]\\") < stop) {
        source_error(s, at, "%s wants one mailbox, as in %s spam@example.org", row->word, row->word);
        return false;
    }
    return keep(s, at, stop, &rule->text);
}

static bool tag_argument(struct source *s, size_t at, const struct action_row *row, struct rule *rule)
{
    (void)row;
    size_t stop = source_trimmed_end(s), end = name_end(s, at, stop, "=\"");
    if (end == at || end - at > RULE_NAME_MAX || (end < stop && s->text[end] != '=')) {
        source_error(s, at, "TAG wants a name, or name=value, as in TAG verdict=bulk");
        return false;
    }
    return keep(s, at, end, &rule->field) && (end == stop || keep_text(s, end + 1, stop, rule));
}

bool action_parse(struct source *s, size_t at, struct rule *rule)
{
    size_t end = source_word_end(s, at);
    size_t n = end - at;
    for (size_t i = 0; i < ROWS; i++)
        if (name_is(s->text + at, n, rows[i].word)) {
            rule->action = rows[i].action;
            return rows[i].arguments(s, source_skip_blanks(s, end), &rows[i], rule);
        }
    const char *near = suggest_name(s->text + at, n, words);
    source_error(s, at, "unknown action '%.*s'%s%s; known are %s", (int)(n > 40 ? 40 : n), s->text + at,
                 near ? ", did you mean " : "", near ? near : "", action_words);
    return false;
}
