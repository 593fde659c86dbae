/* SPDX-License-Identifier: MIT */
/* Reverse-path and forward-path (RFC 5321 4.1.2): "FROM:<@a,@b:local@domain> params". Pure; spans point into
 * the argument. Nothing that this cannot parse is ever forwarded. What is taken beyond the grammar, because
 * clients send it and servers take it, is named in path.c. */
#ifndef SMTP_PATH_H
#define SMTP_PATH_H

#include "base/attr.h"
#include "base/span.h"

enum path_kind { PATH_FROM, PATH_TO }; /* "FROM:" may be <>; "TO:" may be <postmaster> without a domain */

struct path {
    struct span whole;   /* with its angle brackets, if it has them: as forwarded */
    struct span mailbox; /* inside the brackets, without a source route; empty: the null path */
    struct span local, domain;
    bool utf8; /* has octets above 127: needs SMTPUTF8 (RFC 6531) */
};

enum path_error {
    PATH_OK,
    PATH_NO_KEYWORD, /* "FROM:" or "TO:" missing */
    PATH_SYNTAX,     /* brackets, quoting, dots */
    PATH_TOO_LONG,   /* local part over its limit, domain 255, path 256 octets (RFC 5321 4.5.3.1), label 63 */
    PATH_NULL,       /* <> where a recipient is needed */
    PATH_NOT_UTF8
};

#define PATH_LOCAL_MAX 64 /* what RFC 5321 4.5.3.1.1 asks for; senders of bulk mail use more */

/* `rest_r`: what follows the path (parameters), blanks trimmed. */
MUST_CHECK enum path_error path_parse(struct span arg, enum path_kind kind, size_t local_max,
                                      struct path *out, struct span *rest_r);

/* A mailbox alone, without brackets: "local@domain". */
MUST_CHECK bool path_mailbox_ok(struct span mailbox);

#endif
