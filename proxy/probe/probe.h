/* SPDX-License-Identifier: MIT */
/* `postern --probe HOST:PORT`: asks a mail server once what it offers, tries how it can be told who clients
 * are, and says what to write into postern's configuration and into the server's. */
#ifndef PROBE_PROBE_H
#define PROBE_PROBE_H

#include "base/attr.h"
#include "base/buf.h"

#include <stdint.h>

enum probe_tls { PROBE_TLS_OFFERED, PROBE_TLS_NONE, PROBE_TLS_STARTTLS, PROBE_TLS_IMPLICIT };

#define PROBE_HOST 254

struct probe_request {
    char host[PROBE_HOST]; /* a name or an address, without brackets */
    uint16_t port;
    enum probe_tls tls; /* OFFERED: STARTTLS where it is; port 465: from the first byte */
    bool json;
};

/* "HOST", "HOST:PORT", "[IPv6]", "[IPv6]:PORT", an IPv6 address alone. False: *error_r says what is wrong. */
MUST_CHECK bool probe_target(const char *text, struct probe_request *r, const char **error_r);
/* "none", "starttls" or "implicit". */
MUST_CHECK bool probe_tls_word(const char *word, enum probe_tls *tls_r);

/* Asks, and appends the report, or the JSON, to `out`. Takes half a minute at most. false: the server could
 * not be reached, or what answered is no SMTP server; the report says so. */
MUST_CHECK bool probe_run(const struct probe_request *r, struct buf *out);

#endif
