/* SPDX-License-Identifier: MIT */
/* ESMTP parameters (RFC 5321 4.1.1.11): "SIZE=1000 BODY=8BITMIME". Every known one is checked by its own RFC
 * and carried as the client wrote it. The policy for the others: a parameter that nobody here knows, or whose
 * extension was not offered to this client, is refused with 555 and never relayed, so that nothing goes
 * upstream which postern did not understand. A client cannot want one: EHLO did not offer its extension.
 * Pure; spans point into the argument. */
#ifndef SMTP_PARAMS_H
#define SMTP_PARAMS_H

#include "base/attr.h"
#include "base/span.h"

#include <stdint.h>

enum param_id {
#define PARAM(id, keyword, verb, cap, rule) PARAM_##id,
#include "smtp/params.def"
#undef PARAM
    PARAMS
};

enum params_of { PARAMS_OF_MAIL, PARAMS_OF_RCPT };

struct params {
    /* p is NULL where the parameter is absent; empty but not NULL without a value. */
    struct span value[PARAMS];
    uint64_t size; /* SIZE's number; saturates at UINT64_MAX */
};

enum params_error {
    PARAMS_OK,
    PARAMS_SYNTAX,  /* 501 5.5.4: not keyword[=value], a value that its rule refuses, or two that exclude */
    PARAMS_TWICE,   /* 501 5.5.4 */
    PARAMS_UNKNOWN, /* 555 5.5.4 */
    PARAMS_NOT_OFFERED /* 555 5.5.4 */
};

/* `caps`: what the client was offered (bits of enum cap, ehlo.h). On error *bad_r is the parameter. */
MUST_CHECK enum params_error params_parse(struct span rest, enum params_of of, uint32_t caps,
                                          struct params *out, struct span *bad_r);

#endif
