/* SPDX-License-Identifier: MIT */
/* base64 (RFC 4648, 4). */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "attr.h"
#include "buf.h"
#include "span.h"

/* Strict in form: whole groups, right padding. Bits behind the last octet are not looked at. false: it is not
 * base64, or there is no memory. */
MUST_CHECK bool base64_decode(struct span s, struct buf *out);
MUST_CHECK bool base64_encode(struct span s, struct buf *out); /* false: no memory */

#endif
