/* SPDX-License-Identifier: MIT */
/* What filters may know of a session and its transaction: plain fields that the session fills and keeps true,
 * read by the getters of postern/filter.h. Owned by the session; the chain keeps a pointer. Every span lives
 * until the session changes the field. */
#ifndef FILTERS_TXVIEW_H
#define FILTERS_TXVIEW_H

#include "base/span.h"

#include <stdint.h>

struct txview {
    struct span session_id, listener;
    struct span client_address; /* canonical text */
    unsigned char ip[16];       /* network order */
    size_t ip_n;                /* 4 or 16 */
    struct span helo, user, tls;
    struct span sender, sender_domain; /* domain in lower case */
    struct span rcpt, rcpt_domain;     /* during RCPT and RCPT_REPLY */
    const struct span *rcpts;          /* accepted ones */
    size_t rcpt_count;
    uint64_t message_bytes;
    bool smtputf8; /* MAIL said so: addresses and header fields may be UTF-8 */
};

#endif
