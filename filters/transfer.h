/* SPDX-License-Identifier: MIT */
/* Content-Transfer-Encoding, undone as a stream (RFC 2045 6): base64 and quoted-printable. Lenient as mail
 * programs are: what does not belong is skipped or taken as it stands, and noted. Private to the message
 * model. */
#ifndef FILTERS_TRANSFER_H
#define FILTERS_TRANSFER_H

#include "base/span.h"

#include <stdint.h>

enum transfer_kind { TRANSFER_IDENTITY, TRANSFER_BASE64, TRANSFER_QP };
#define TRANSFERS 3 /* how many */

#define TRANSFER_MORE 3 /* the output is at most so much longer than the input of one call */

struct transfer { /* set by transfer_begin; private but for kind and bad */
    enum transfer_kind kind;
    bool bad;       /* something did not belong */
    unsigned state; /* QP: see transfer.c. base64: digits of the group so far */
    uint32_t group; /* base64 */
    bool padded;    /* base64: a '=' was seen */
    char high;      /* QP: the first hexadecimal digit */
};

void transfer_begin(struct transfer *t, enum transfer_kind kind);
/* Returns how many bytes it wrote; `out` has room for in.n + TRANSFER_MORE. */
size_t transfer_decode(struct transfer *t, struct span in, char *out);
size_t transfer_end(struct transfer *t, char out[TRANSFER_MORE]);

/* 0 to 15, or -1. */
int hex_digit(char c);

#endif
