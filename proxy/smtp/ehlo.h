/* SPDX-License-Identifier: MIT */
/* What a server offers in its EHLO reply (RFC 5321 4.1.1.1): read from the upstream, masked by policy,
 * printed anew for the client. Pure. */
#ifndef SMTP_EHLO_H
#define SMTP_EHLO_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#include <stdint.h>

enum cap_bit {
#define CAP(id, keyword, how) CAPBIT_##id,
#include "smtp/ehlo.def"
#undef CAP
    CAPBITS
};
enum cap {
#define CAP(id, keyword, how) CAP_##id = 1 << CAPBIT_##id,
#include "smtp/ehlo.def"
#undef CAP
    CAP_ALL = (1 << CAPBITS) - 1
};

#define EHLO_AUTH_MAX  256
#define EHLO_VALUE_MAX 60

/* Keywords whose value goes on to the client as the upstream wrote it. */
enum ehlo_value { EHLO_DELIVERBY, EHLO_MT_PRIORITY, EHLO_FUTURERELEASE, EHLO_VALUES };
struct ehlo_text {
    unsigned char n; /* 0: the keyword stands alone */
    char text[EHLO_VALUE_MAX];
};

/* What LIMITS can speak of (RFC 9422 4). */
enum ehlo_limit { EHLO_RCPTMAX, EHLO_MAILMAX, EHLO_RCPTDOMAINMAX, EHLO_LIMITS };

struct ehlo {
    uint32_t caps;            /* bits of enum cap */
    uint64_t size;            /* SIZE's value; 0: none said */
    char auth[EHLO_AUTH_MAX]; /* mechanisms, upper case, one space between, no NUL; auth_n bytes */
    size_t auth_n;
    struct ehlo_text values[EHLO_VALUES];
    uint32_t limits[EHLO_LIMITS]; /* 0: none said */
    uint32_t xclient, xforward;   /* their attributes, see identity_offered */
};

/* Our side of an offer. */
struct ehlo_policy {
    uint32_t own, deny;           /* capabilities of ours, and those that may not be offered */
    uint64_t max_size;            /* 0: no limit of ours */
    uint32_t limits[EHLO_LIMITS]; /* likewise; what LIMITS cannot express is not said */
};

/* One line of the reply after the first, without the code ("SIZE 1000"). Unknown keywords, values that their
 * RFC does not know, and words past a limit are ignored. Both "AUTH A B" and "AUTH=A B" are taken; lists are
 * joined without doubles. */
void ehlo_take(struct ehlo *e, struct span line);

/* What may be offered to a client: what `upstream` offers, without what is denied, and our own; SIZE and
 * LIMITS are the smaller of both sides'. Mechanisms that bind to the TLS channel, or that need the server to
 * see it (…-PLUS, EXTERNAL), or that may begin a security layer which postern could not follow (GSSAPI,
 * DIGEST-MD5, KERBEROS_V4), are left out; AUTH without any mechanism left is not offered. */
struct ehlo ehlo_offer(const struct ehlo *upstream, const struct ehlo_policy *policy);

/* "250-hostname\r\n250-…\r\n250 LAST\r\n" */
MUST_CHECK bool ehlo_print(struct buf *out, struct span hostname, const struct ehlo *e);

/* Is the mechanism (any case) in the offered list? */
bool ehlo_has_mechanism(const struct ehlo *e, struct span mechanism);

#endif
