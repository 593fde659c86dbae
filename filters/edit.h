/* SPDX-License-Identifier: MIT */
/* What the filters want changed of one message: fields of its header section, its recipients, and tags. Each
 * wish is checked when it is asked for, by the grammar of what it would become, so that applying it cannot
 * make a broken message. Pure; nothing is applied here.
 *
 *   header_add(…) --edits_add--> checked, folded, encoded --edits_header--> smtp/rewrite
 *   rcpt_add(…)   --edits_copy-> checked                  --edits_copies--> session/readdress
 *
 * A wish is about the message as the wishes before it left it: a field that one filter adds can be removed by
 * the next. What came of it is kept, not the order: no name has more than one edit besides those that add.
 *
 * The list is of one transaction, and all of it lies in an arena. */
#ifndef FILTERS_EDIT_H
#define FILTERS_EDIT_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"
#include "smtp/rewrite.h"

#include <stdint.h>

struct edit_limits {    /* 0: the default */
    size_t fields;      /* edits of header fields; 64, which is also the most */
    size_t copies;      /* recipients added; 16 */
    size_t tags;        /* 32 */
    size_t bytes;       /* of all texts together; 64 KiB */
    size_t prefix;      /* of what comes in front of a Subject, in UTF-8; 200 */
    size_t name, value; /* of a tag; 64 and 256 */
};

struct edits;

MUST_CHECK struct edits *edits_create(const struct edit_limits *limits); /* NULL: no memory */
void edits_destroy(struct edits **e);

/* These return NULL, or why it cannot be (a phrase, constant), and then nothing has changed. `utf8`: the
 * transaction is SMTPUTF8, so that octets above 127 may stand in fields (RFC 6532) and mailboxes (RFC 6531).
 * 8BITMIME is no leave for that: it is about bodies (RFC 6152 3).
 *
 * A value may be folded (CRLF and a blank); else it has no control octets but TAB. Blanks around it are
 * dropped, and lines past 78 octets are folded at blanks (RFC 5322 2.1.1). */
MUST_CHECK const char *edits_add(struct edits *e, struct span name, struct span value, bool utf8);
MUST_CHECK const char *edits_replace(struct edits *e, struct span name, struct span value, bool utf8);
MUST_CHECK const char *edits_remove(struct edits *e, struct span name);
/* UTF-8 without control characters; written as encoded words (RFC 2047) where it is not plain ASCII. */
MUST_CHECK const char *edits_prefix(struct edits *e, struct span text);
MUST_CHECK const char *edits_copy(struct edits *e, struct span mailbox, bool utf8);
MUST_CHECK const char *edits_redirect(struct edits *e, struct span mailbox, bool utf8);
/* `shadow`: set by a filter that is only being tried out, and seen by none that is not. */
MUST_CHECK const char *edits_tag(struct edits *e, struct span name, struct span value, bool shadow);

/* What came of it. Spans live as long as the list; NULL is an empty one. */
bool edits_any(const struct edits *e); /* something is to change; tags do not count */
const struct header_edit *edits_header(const struct edits *e, size_t *n_r);
const struct span *edits_copies(const struct edits *e, size_t *n_r);
struct span edits_redirected(const struct edits *e);                             /* empty: not */
struct span edits_tag_get(const struct edits *e, struct span name, bool shadow); /* p is NULL: none */

/* For the log: "+X-Spam =Subject -Received bcc:a@b redirect:c@d", and "colour=green lane=fast". */
MUST_CHECK bool edits_print(const struct edits *e, struct buf *out);
MUST_CHECK bool edits_print_tags(const struct edits *e, struct buf *out);

#endif
