/* SPDX-License-Identifier: MIT */
/* Lists from files: one entry a line, '#' begins a comment line, case does not count.
 *
 *   ann@example.org      that mailbox                 192.0.2.0/24, 2001:db8::1    a network, an address
 *   @example.org         mailboxes of that domain     sha256:9F86…                 what has this digest, in
 * small example.org          that domain and all below    anything else                exactly that: a file
 * name, a type
 *
 * Which of them is looked up is the scope's matter (enum list_key). A lookup costs the same in a list of ten
 * and of a million entries. */
#ifndef CONTENT_LIST_H
#define CONTENT_LIST_H

#include "scope.h"
#include "words.h"

#include "postern/filter.h"

enum {
    LIST_ENTRY_MAX = 1024,     /* bytes */
    LIST_ENTRIES_MAX = 4000000 /* of one list */
};

struct list {
    struct list *next;
    char *name; /* as the rule names it */
    struct words words;
    struct words networks; /* prefix length and 16 bytes; IPv4 as mapped */
    uint8_t prefixes[129]; /* the lengths that occur, longest first */
    size_t prefixes_n;
    bool digests; /* there are sha256: entries */
};

/* Fills the list from the bytes of its file. -1: errors were reported under the name `file`. */
MUST_CHECK int list_read(struct list *list, const struct postern_host *host, void *self, const char *file,
                         struct postern_span bytes);
/* 1: p[0..n) is in it, 0: not, -1: no memory. */
MUST_CHECK int list_has(const struct list *list, enum list_key key, const char *p, size_t n);
void list_free(struct list **list);

#endif
