/* SPDX-License-Identifier: MIT */
/* How many servers a message has seen: the Received lines of its header section (RFC 5321 6.3). Pure. */
#ifndef SMTP_HOPS_H
#define SMTP_HOPS_H

#include "base/span.h"

#include <stdbool.h>

struct hops { /* zeroed is new */
    unsigned count;
    /* private */
    size_t at;  /* octets of this line, as far as they are its name */
    bool other; /* this line is another */
    bool body;  /* the header section is over */
};

/* More of the content, decoded; cut anywhere. */
void hops_feed(struct hops *h, struct span content);

#endif
