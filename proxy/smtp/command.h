/* SPDX-License-Identifier: MIT */
/* One command line to a verb and its argument (RFC 5321 4.1.1). Pure; the spans point into the line. */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "base/attr.h"
#include "base/span.h"

enum verb {
    VERB_UNKNOWN,
#define VERB(id, word, argument, flags) VERB_##id,
#include "smtp/verbs.def"
#undef VERB
    VERBS
};

enum verb_flags { VERB_IS_SYNC = 1, VERB_IS_OPEN = 2, VERB_IS_NOTLS = 4, VERB_IS_REFUSED = 8 };
enum verb_argument { VERB_ARG_NONE, VERB_ARG_OPTIONAL, VERB_ARG_REQUIRED };

struct verb_info {
    struct span word;
    enum verb_argument argument;
    unsigned flags;
};
const struct verb_info *verb_info(enum verb v); /* never NULL; VERB_UNKNOWN has an empty word */

struct command {
    enum verb verb;
    struct span word; /* as the client wrote it */
    struct span arg;  /* what follows the word and its space, trailing blanks cut */
};

enum command_error {
    COMMAND_OK,
    COMMAND_UNKNOWN,      /* 500 5.5.1, or 502 for a verb that is REFUSED: see its flags */
    COMMAND_SYNTAX,       /* 500 5.5.2: empty, leading blank, control octets other than a tab */
    COMMAND_NO_ARGUMENT,  /* 501 5.5.4 */
    COMMAND_HAS_ARGUMENT, /* 501 5.5.4 */
    COMMAND_UTF8          /* 500 5.5.2: octets above 127 that are not well-formed UTF-8 */
};

/* out->verb is set whenever the word was recognised, also when the argument is wrong. */
MUST_CHECK enum command_error command_parse(struct span line, struct command *out);

/* "HELO"/"EHLO" argument: a domain, or an address literal, or what is seen in the wild of them: printable
 * ASCII (or UTF-8 letters) without blanks, 1 to 255 octets. Transparent rather than strict; the upstream
 * judges the rest. */
MUST_CHECK bool helo_name_ok(struct span name);

/* Well-formed UTF-8 (RFC 3629)? ASCII is. */
MUST_CHECK bool utf8_ok(struct span s);

#endif
