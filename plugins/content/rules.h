/* SPDX-License-Identifier: MIT */
/* Rule files, in the manner of Postfix's pcre_table(5), and the rules made of them. This is the reference;
 * deploy/man/postern-rules.5 says the same to administrators, at length.
 *
 *   # comments and blank lines are passed over; a line that begins with white space continues the one before
 *   [scope]                       where the next rules look, see below
 *   /pattern/flags   ACTION args  the delimiter may be any printable character but letters, digits, \ [ ! #
 *   in FILE          ACTION args  hits what stands in a list (list.h); the file as seen from the
 * configuration ! …              ACTION args  hits where the pattern does not match, where the list does not
 * have it NAME = …         ACTION args  the rule has a name, for [meta]; then it may have no action. Several
 * rules may share a name: it holds when one of them hit if … / if ! …                 the rules down to its
 * `endif` are for what this matches (or does not) alone. endif                         They nest, 16 deep,
 * and end in their scope
 *
 * Scopes of the envelope: client (the address), listener (its name), user (of AUTH), helo, from, to; all but
 * helo and to are tried at MAIL. Of the header section: header:NAME is the value of such fields, header any
 * field as "Name: value", both unfolded and decoded; rawheader:NAME and rawheader the same as sent, without
 * the last line end. Of the content: body, its lines after the header section, as sent; text, the text of
 * each part as a person sees it; html, the HTML parts with their markup; mimeheader:NAME and mimeheader,
 * fields of parts; url, each URL in texts; filename, of attachments and in archives; type, of parts, as
 * declared and as their first bytes say; flag, what is not as it should be, by name.
 *
 *   [size]  > 10MiB ACTION        the whole message, in bytes: < <= > >= and B, KiB, MiB, GiB
 *   [meta]  (A && (B || !C)) ACTION, (>= 3 of (A, B, C, D)) ACTION
 *                                 names of rules in any file; also == != < <= > >= + - * / and numbers. Tried
 * when the header section is over if all its names can be known then, else at the end
 *
 * Flags turn something ON: i caseless, m multi-line, s dot matches newlines, x extended, A anchored, E dollar
 * at the very end only, U not greedy. This is not as in Postfix, where i and s are on and the flags toggle.
 *
 * Actions: REJECT [code] [enhanced] [text], DEFER [code] [enhanced] [text], DISCARD [text], SCORE points
 * [name], WARN [text]. Edits: HEADER ADD Name: value, HEADER REPLACE Name: value, HEADER REMOVE Name, SUBJECT
 * prefix, REDIRECT mailbox, BCC mailbox, TAG name[=value]. They are done when the message has passed all
 * filters; one that cannot be done is logged, and of a REDIRECT defers the message. A text is taken as it is:
 * $1 is no capture. */
#ifndef CONTENT_RULES_H
#define CONTENT_RULES_H

#include "list.h"
#include "match.h"
#include "meta.h"
#include "scope.h"

#include "postern/filter.h"

enum {
    RULES_MAX = 100000,  /* of one instance */
    RULE_TEXT_MAX = 512, /* bytes of a reply's or a log line's text */
    RULE_NESTING = 16    /* `if` in `if` */
};

enum rule_action {
    RULE_NONE,
    RULE_REJECT,
    RULE_DEFER,
    RULE_DISCARD,
    RULE_SCORE,
    RULE_WARN,
    RULE_HEADER_ADD,
    RULE_HEADER_REPLACE,
    RULE_HEADER_REMOVE,
    RULE_SUBJECT,
    RULE_REDIRECT,
    RULE_BCC,
    RULE_TAG
};

enum rule_test { TEST_NOTHING, TEST_PATTERN, TEST_LIST, TEST_SIZE, TEST_META };

struct comparison { /* of a size in bytes; `below`: less than, else more than; or equal */
    bool below, equal;
    uint64_t bytes;
};

struct rule { /* an `if` is a rule without an action */
    struct rule *next;
    const struct rule *inside; /* the `if` that it stands in; NULL: none */
    enum rule_test test;
    union { /* by `test` */
        struct pattern *pattern;
        const struct list *list;
        struct comparison size;
        struct meta *meta;
    };
    bool negated;
    enum rule_action action;
    uint32_t index; /* its place in marks that are kept for each rule */
    uint32_t at;    /* its place in its list */
    uint32_t name;  /* in rule_set.names; WORDS_NONE: it has none */
    unsigned code;  /* REJECT, DEFER: the reply; `text` is its text */
    char enhanced[12];
    double points; /* SCORE; `text` is the name, or NULL: the rule's name or `place` serve */
    char *text;    /* NULL: none. Of an edit: the value, the prefix, the mailbox */
    char *field;   /* HEADER: the field's name; TAG: the tag's */
    char *place;   /* "rules/a.rules:12" */
    const char *file;
    uint32_t line;
};

struct rule_list { /* in the order of the files */
    enum scope scope;
    struct rule *first, *last;
    uint32_t count;
    struct scanner *scanner; /* scan.h; NULL: no rules */
};

struct rule_field { /* the rules of [header:NAME] and its like */
    struct rule_field *next;
    char *name;
    struct rule_list rules;
};

struct rule_set {
    struct rule_list scopes[SCOPES];
    struct rule_field *fields;
    uint32_t count;
    struct words names;
    struct list *lists;
    /* Made by rules_finish(): [meta] rules, each after those whose names it uses; the first `early` of them
     * can be tried when the header section is over. */
    const struct rule **metas;
    uint32_t metas_n, early;
};

/* Adds the rules of one file. All errors of the file go to the host. -1: there was at least one. */
MUST_CHECK int rules_read(struct rule_set *set, const struct postern_host *host, void *self, const char *file,
                          struct postern_span bytes);
/* After the last file: ties names to rules. -1: errors were reported. */
MUST_CHECK int rules_finish(struct rule_set *set, const struct postern_host *host, void *self);
void rules_free(struct rule_set *set);

/* A helo rule that needs a transaction: HELO comes once a session, before there is one, so it waits for MAIL.
 */
bool rule_waits(const struct rule *rule);

#endif
