/* SPDX-License-Identifier: MIT */
/* Small encodings of SMTP: xtext (RFC 3461 4), and the user name inside a SASL exchange.
 * Pure. */
#ifndef SMTP_TEXT_H
#define SMTP_TEXT_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

MUST_CHECK bool xtext_ok(struct span s);                      /* syntax, and no +00 +0A +0D */
MUST_CHECK bool xtext_decode(struct span s, struct buf *out); /* false: not xtext, or no memory */
MUST_CHECK bool xtext_encode(struct span s, struct buf *out);

/* Who is authenticating? Fed with what the client sends (base64, as on the wire; the initial response first
 * if there is one), it finds the name for PLAIN (the authcid: whose password it is), LOGIN, CRAM-MD5,
 * SCRAM-*, XOAUTH2 and OAUTHBEARER; other mechanisms give none. The password is decoded into memory that is
 * wiped. */
struct sasl_user {
    char mechanism[24]; /* upper case */
    size_t mechanism_n;
    char name[256];     /*  printable */
    size_t name_n;      /* 0: not known (yet) */
    unsigned responses; /* seen */
};

/* false: the name of the mechanism is not one (RFC 4422 3.1). */
MUST_CHECK bool sasl_user_begin(struct sasl_user *u, struct span mechanism);
void sasl_user_response(struct sasl_user *u, struct span base64);
/* Overwrites memory that held a secret; not optimised away. */
void wipe(void *p, size_t n);

#endif
