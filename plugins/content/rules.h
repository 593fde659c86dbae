/* SPDX-License-Identifier: MIT */
/* Rule files, in the manner of Postfix's pcre_table(5), and the rules made of them.
 *
 *   # comments and blank lines are passed over; a line that begins with white space continues the one before
 *   [scope]                      where the next rules look, see below
 *   /pattern/flags  ACTION args  the delimiter may be any printable character but letters, digits, \ [ ! #
 *   !/pattern/flags ACTION args  hits where the pattern does not match
 *
 * Scopes: helo, from, to: the envelope. header:NAME: the value of such fields; header: any field, as
 * "Name: value"; both unfolded and decoded. body: the lines of the content after the header section, as sent.
 * text: the decoded text of each text part. filename: the decoded name of each attachment.
 *
 * Flags turn something ON: i caseless, m multi-line, s dot matches newlines, x extended, A anchored, E dollar
 * at the very end only, U not greedy. This is not as in Postfix, where i and s are on and the flags toggle.
 *
 * Actions: REJECT [code] [enhanced] [text], DEFER [code] [enhanced] [text], DISCARD [text], SCORE points
 * [name], WARN [text]. A text is taken as it is: $1 is no capture. */
#ifndef CONTENT_RULES_H
#define CONTENT_RULES_H

#include "match.h"

#include "postern/filter.h"

enum {
    RULES_MAX = 100000,  /* of one instance */
    RULE_TEXT_MAX = 512, /* bytes of a reply's or a log line's text */
    RULE_NAME_MAX = 64   /* bytes of a score's name */
};

enum scope { SCOPE_HELO, SCOPE_FROM, SCOPE_TO, SCOPE_HEADER, SCOPE_BODY, SCOPE_TEXT, SCOPE_FILENAME, SCOPES };

enum rule_action { RULE_REJECT, RULE_DEFER, RULE_DISCARD, RULE_SCORE, RULE_WARN };

struct rule {
    struct rule *next;
    struct pattern *pattern;
    bool negated;
    enum rule_action action;
    uint32_t index; /* its place in marks that are kept for each rule */
    unsigned code;  /* REJECT, DEFER: the reply; `text` is its text */
    char enhanced[12];
    double points; /* SCORE; `text` is the name, or NULL: `place` serves */
    char *text;    /* NULL: none */
    char *place;   /* "rules/a.rules:12" */
};

struct rule_list { /* in the order of the files */
    struct rule *first, *last;
};

struct rule_field { /* the rules of [header:NAME] */
    struct rule_field *next;
    char *name;
    struct rule_list rules;
};

struct rule_set {
    struct rule_list scopes[SCOPES];
    /* HELO comes once a session, before there is a transaction: what needs one waits for MAIL. */
    struct rule_list helo_at_mail;
    struct rule_field *fields;
    uint32_t count;
};

/* Adds the rules of one file. All errors of the file go to the host. -1: there was at least one. */
MUST_CHECK int rules_read(struct rule_set *set, const struct postern_host *host, void *self, const char *file,
                          struct postern_span bytes);
void rules_free(struct rule_set *set);

#endif
