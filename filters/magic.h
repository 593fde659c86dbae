/* SPDX-License-Identifier: MIT */
/* Which type a file has by its first bytes, and whether that is at odds with what it says it is. Private to
 * the message model. */
#ifndef FILTERS_MAGIC_H
#define FILTERS_MAGIC_H

#include "base/span.h"

#define MAGIC_HEAD 512   /* bytes that are looked at */
#define MAGIC_ISO  32769 /* where an image of a disc has its mark, of MAGIC_MARK bytes */
#define MAGIC_MARK 5

enum magic_kind {
    MAGIC_PROGRAM = 1,
    MAGIC_SCRIPT = 2,
    MAGIC_ARCHIVE = 4,
    MAGIC_PACKED = 8,
    MAGIC_DOCUMENT = 16,
    MAGIC_PICTURE = 32,
    MAGIC_MEDIA = 64,
    MAGIC_PAGE = 128,
    MAGIC_TEXT = 256 /* said only, never found */
};
struct magic {
    const char *type;
    unsigned kind;
    size_t offset, n;
    const char *bytes;
};

/* NULL: nothing that is known. `mark`: what stands at MAGIC_ISO, or nothing. */
const struct magic *magic_find(struct span head, struct span mark);
/* What a type and a file name say of the kind. */
unsigned magic_claims(struct span type, struct span filename);
/* Does it matter that a file of this kind says it is of those? */
bool magic_mismatch(unsigned kind, unsigned claims);
/* A better name for a zip with this member, or NULL. */
const char *magic_of_member(struct span name);

#endif
