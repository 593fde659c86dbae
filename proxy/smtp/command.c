/* SPDX-License-Identifier: MIT */
/* A command line taken apart. Owns nothing: all spans point into the caller's line.
 *
 *   "mail  FROM:<a@b> SIZE=9 "  -->  verb MAIL, word "mail", arg "FROM:<a@b> SIZE=9"
 *
 * Beyond the grammar, because clients send it and servers take it: a tab counts as a blank, and more than one
 * blank may follow the word. */
#include "smtp/command.h"

#include "base/utf8.h"

#define HELO_NAME_MAX 255u

/* The words of verbs.def, as their bits. */
enum { SYNC = VERB_IS_SYNC, OPEN = VERB_IS_OPEN, NOTLS = VERB_IS_NOTLS, REFUSED = VERB_IS_REFUSED };

static const struct verb_info verbs[VERBS] = {
    [VERB_UNKNOWN] = {{"", 0}, VERB_ARG_OPTIONAL, 0},
#define VERB(id, text, rule, bits)                                                                           \
    [VERB_##id] = {{text, sizeof(text) - 1}, VERB_ARG_##rule, (unsigned)(bits)},
#include "smtp/verbs.def"
#undef VERB
};

const struct verb_info *verb_info(enum verb v)
{
    return &verbs[(unsigned)v < VERBS ? v : VERB_UNKNOWN];
}

static enum verb find_verb(struct span word)
{
    for (unsigned v = VERB_UNKNOWN + 1; v < VERBS; v++)
        if (span_ieq(word, verbs[v].word))
            return (enum verb)v;
    return VERB_UNKNOWN;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7F;
}

static enum command_error check_octets(struct span line)
{
    bool ascii = true;
    for (size_t i = 0; i < line.n; i++) {
        if (is_control(line.p[i]))
            return COMMAND_SYNTAX;
        ascii = ascii && (unsigned char)line.p[i] < 0x80;
    }
    return ascii || utf8_ok(line) ? COMMAND_OK : COMMAND_UTF8;
}

static enum command_error check_argument(const struct command *c)
{
    const struct verb_info *info = verb_info(c->verb);
    if (c->verb == VERB_UNKNOWN || info->flags & VERB_IS_REFUSED)
        return COMMAND_UNKNOWN;
    if (info->argument == VERB_ARG_REQUIRED && c->arg.n == 0)
        return COMMAND_NO_ARGUMENT;
    if (info->argument == VERB_ARG_NONE && c->arg.n > 0)
        return COMMAND_HAS_ARGUMENT;
    return COMMAND_OK;
}

enum command_error command_parse(struct span line, struct command *out)
{
    size_t n = 0;
    while (n < line.n && !is_blank(line.p[n]))
        n++;
    *out = (struct command){.word = span_head(line, n), .arg = span_trim(span_skip(line, n))};
    if (n == 0)
        return COMMAND_SYNTAX;
    out->verb = find_verb(out->word);
    enum command_error octets = check_octets(line);
    return octets != COMMAND_OK ? octets : check_argument(out);
}

bool helo_name_ok(struct span name)
{
    if (name.n == 0 || name.n > HELO_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (is_control(name.p[i]) || is_blank(name.p[i]))
            return false;
    return utf8_ok(name);
}

bool utf8_ok(struct span s)
{
    uint32_t point;
    while (s.n) {
        size_t n = utf8_take(s, &point);
        if (n == 0)
            return false;
        s = span_skip(s, n);
    }
    return true;
}
