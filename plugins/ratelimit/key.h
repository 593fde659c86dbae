/* SPDX-License-Identifier: MIT */
/* Keys: what a limit counts by. Pure.
 *
 *   "client/24/56", "sender"  --key_part_parse-->  parts  --key_build(values)-->  "192.0.2.0/24|ann@x.test"
 *
 * A key's text is canonical: letters are lower case everywhere (a mail server may tell Ann@ from ann@, but
 * who dodges a limit may not), addresses are cut to their prefix, bytes outside a small printable set are
 * %XX, and what is longer than KEY_TEXT_MAX becomes '#' and 128 bits of its SHA-1. So it fits a Redis key and
 * a log line, whatever a stranger sent. */
#ifndef RATELIMIT_KEY_H
#define RATELIMIT_KEY_H

#include "spans.h"

enum key_kind {
    KEY_CLIENT,
    KEY_USER,
    KEY_SENDER,
    KEY_SENDER_DOMAIN,
    KEY_RCPT,
    KEY_RCPT_DOMAIN,
    KEY_LISTENER,
    KEY_KINDS
};

#define KEY_PARTS_MAX 8
#define KEY_TEXT_MAX  64

struct key_part {
    enum key_kind kind;
    unsigned bits4, bits6; /* KEY_CLIENT: the prefix of an IPv4 and of an IPv6 address */
};

enum key_fault { KEY_OK, KEY_UNKNOWN, KEY_PREFIX4, KEY_PREFIX6, KEY_NO_PREFIX };

MUST_CHECK enum key_fault key_part_parse(struct postern_span text, struct key_part *part_r);
/* The known names, for an error text; and the one that was meant, or NULL. */
extern const char key_names[];
const char *key_near(struct postern_span text);

static inline bool key_needs_recipient(struct key_part p)
{
    return p.kind == KEY_RCPT || p.kind == KEY_RCPT_DOMAIN;
}

/* By kind. KEY_CLIENT: 4 or 16 bytes in network order; the others: text. Empty: there is none. */
struct key_values {
    struct postern_span of[KEY_KINDS];
};

struct key_text {
    size_t n;
    char bytes[KEY_TEXT_MAX];
};

/* -1: a value is missing, so there is no key and the limit does not apply. */
MUST_CHECK int key_build(const struct key_part *parts, size_t n, const struct key_values *values,
                         struct key_text *key_r);

#endif
