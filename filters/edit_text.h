/* SPDX-License-Identifier: MIT */
/* Texts of header fields that a filter wrote: checked, folded (RFC 5322 2.2.3), encoded (RFC 2047). Private
 * to the list of edits. */
#ifndef FILTERS_EDIT_TEXT_H
#define FILTERS_EDIT_TEXT_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#define EDIT_LINE     78u /* longer lines are folded where they can be */
#define EDIT_LINE_MAX 998u
#define EDIT_NAME_MAX 76u

MUST_CHECK bool edit_name_ok(struct span name);
MUST_CHECK bool edit_is_ascii(struct span s);
/* Appends "Name: value" CRLF. NULL, or why it cannot be; then what was appended is to be thrown away. */
MUST_CHECK const char *edit_print_field(struct span name, struct span value, bool utf8, struct buf *out);

/* Text in front of a Subject; see struct header_edit. Freed by its owner, also after an error. */
struct edit_prefix {
    struct buf text, before_word;
    struct span join; /* a constant */
};
MUST_CHECK const char *edit_make_prefix(struct span utf8, struct edit_prefix *p_r);
void edit_free_prefix(struct edit_prefix *p);

#endif
