/* SPDX-License-Identifier: MIT */
/* The scopes: what a [scope] line may name, and what follows from each. */
#ifndef CONTENT_SCOPE_H
#define CONTENT_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

enum scope {
    SCOPE_CLIENT,
    SCOPE_LISTENER,
    SCOPE_USER,
    SCOPE_HELO,
    SCOPE_FROM,
    SCOPE_TO,
    SCOPE_HEADER,
    SCOPE_RAWHEADER,
    SCOPE_MIMEHEADER,
    SCOPE_BODY,
    SCOPE_TEXT,
    SCOPE_HTML,
    SCOPE_URL,
    SCOPE_FILENAME,
    SCOPE_TYPE,
    SCOPE_FLAG,
    SCOPE_SIZE,
    SCOPE_META,
    SCOPES
};

/* What of a subject is looked up in a list. */
enum list_key {
    KEY_NONE,      /* no lists here */
    KEY_WORD,      /* the whole of it */
    KEY_ADDRESS,   /* an IP address, in networks */
    KEY_HOST,      /* a host name and the domains above it; or an IP address */
    KEY_MAILBOX,   /* a mailbox, and its domain as a host */
    KEY_MAILBOXES, /* the whole of it, and each mailbox in it */
    KEY_URL        /* the whole of it, and its host */
};

struct scope_row {
    const char *name;
    bool takes_name; /* [header:NAME] is a scope of its own */
    bool bytes;      /* what is searched are bytes; else UTF-8 */
    bool patterns;   /* rules here have patterns; else what the scope's own syntax is */
    bool early;      /* all of it was seen when the header section is over */
    enum list_key key;
};

extern const struct scope_row scope_rows[SCOPES];

/* The scope of that name; SCOPES: none. */
enum scope scope_find(const char *p, size_t n);
/* A scope whose name is near, or NULL. */
const char *scope_suggest(const char *p, size_t n);
/* "client, listener, …": all names, for an error text. */
void scope_list(char *text_r, size_t size);

#endif
