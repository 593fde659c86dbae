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

#define EHLO_AUTH_MAX 256

struct ehlo {
    uint32_t caps;            /* bits of enum cap */
    uint64_t size;            /* SIZE's value; 0: none said */
    char auth[EHLO_AUTH_MAX]; /* mechanisms, upper case, one space between, no NUL; auth_n bytes */
    size_t auth_n;
};

/* One line of the reply after the first, without the code ("SIZE 1000"). Unknown keywords and words past a
 * limit are ignored. Both "AUTH A B" and "AUTH=A B" are taken; lists are joined without doubles. */
void ehlo_take(struct ehlo *e, struct span line);

/* What may be offered to a client: RELAY and AUTH capabilities of `upstream`, without those in `deny`, and
 * the OWN ones in `own`; SIZE is the smaller of the upstream's and max_size (0: no limit of ours). Mechanisms
 * that bind to the TLS channel, or that need the server to see it (…-PLUS, EXTERNAL), or that may begin a
 * security layer which postern could not follow (GSSAPI, DIGEST-MD5, KERBEROS_V4), are left out; AUTH without
 * any mechanism left is not offered. */
struct ehlo ehlo_offer(const struct ehlo *upstream, uint32_t own, uint32_t deny, uint64_t max_size);

/* "250-hostname\r\n250-…\r\n250 LAST\r\n" */
MUST_CHECK bool ehlo_print(struct buf *out, struct span hostname, const struct ehlo *e);

/* Is the mechanism (any case) in the offered list? */
bool ehlo_has_mechanism(const struct ehlo *e, struct span mechanism);

#endif
