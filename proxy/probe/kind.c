/* SPDX-License-Identifier: MIT */
/* What servers say of themselves, as a table: greetings as they come (many administrators change them), and
 * what the answer to HELP looks like, which few do. Owns nothing. */
#include "probe/kind.h"

static const struct clue {
    enum kind_source where;
    struct span text;
    enum facts_kind kind;
} clues[] = {
    {KIND_GREETING, {"OpenSMTPD", 9}, FACTS_OPENSMTPD},
    {KIND_GREETING, {"Postfix", 7}, FACTS_POSTFIX},
    {KIND_GREETING, {"Exim", 4}, FACTS_EXIM},
    {KIND_GREETING, {"Dovecot", 7}, FACTS_DOVECOT},
    {KIND_HELP, {"This is OpenSMTPD", 17}, FACTS_OPENSMTPD},
    {KIND_HELP, {"214-Commands supported:", 23}, FACTS_EXIM},
    {KIND_HELP, {"5.5.2 Error: command not recognized", 35}, FACTS_POSTFIX},
};

static bool contains(struct span s, struct span part)
{
    for (; s.n >= part.n; s = span_skip(s, 1))
        if (span_istarts(s, part))
            return true;
    return false;
}

void kind_take(struct facts *f, enum kind_source where, struct span said)
{
    static const char *const by[KIND_SOURCES] = {"its greeting", "its answer to HELP"};
    for (size_t i = 0; i < COUNT_OF(clues) && f->kind == FACTS_UNKNOWN; i++) {
        if (clues[i].where != where || !contains(said, clues[i].text))
            continue;
        f->kind = clues[i].kind;
        f->kind_by = by[where];
    }
}

const char *kind_name(enum facts_kind kind)
{
    static const char *const names[] = {[FACTS_POSTFIX] = "Postfix",
                                        [FACTS_EXIM] = "Exim",
                                        [FACTS_DOVECOT] = "Dovecot",
                                        [FACTS_OPENSMTPD] = "OpenSMTPD",
                                        [FACTS_UNKNOWN] = "unknown"};
    return names[kind];
}
