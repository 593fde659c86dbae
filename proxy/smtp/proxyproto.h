/* SPDX-License-Identifier: MIT */
/* The PROXY protocol, versions 1 and 2, as a receiver and as a sender: who the client is, said by a proxy in
 * front of us before the first byte of SMTP (or TLS), or by us to the server behind. Pure.
 *
 *   v1:  PROXY TCP4 192.0.2.1 198.51.100.2 4711 25 CRLF                     at most 107 octets
 *   v2:  12 octets of signature, version|command, family, length, addresses, TLVs
 *
 * A receiver takes exactly the header: what follows it is the connection. */
#ifndef SMTP_PROXYPROTO_H
#define SMTP_PROXYPROTO_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

#include <stdint.h>

struct proxy_endpoint {
    unsigned char ip[16];
    size_t ip_n; /* 4 or 16; 0: not known */
    uint16_t port;
};

struct proxy_header {
    bool local; /* the proxy speaks for itself (a health check), or does not know: the connection's own ends
                   count */
    struct proxy_endpoint from, to;
    /* TLVs of version 2, good as long as the parser; empty: not there */
    struct span authority, unique_id;
    bool tls; /* the client came in TLS */
    struct span tls_version;
};

enum proxy_result {
    PROXY_MORE,
    PROXY_READY, /* *in starts with what follows the header */
    PROXY_BAD,   /* not a header (see why): the connection cannot be trusted */
    PROXY_NO_MEMORY
};

struct proxy_parser {
    size_t max; /* octets of a version 2 header; 0: 4096 */
    const char *why;
    /* private */
    struct buf seen;
};

/* How many octets more are the header's for certain: whoever reads no more than these takes nothing of what
 * follows. At least 1. */
size_t proxy_wants(const struct proxy_parser *p);
void proxy_parser_free(struct proxy_parser *p); /* zeroed is new */
MUST_CHECK enum proxy_result proxy_feed(struct proxy_parser *p, struct span *in, struct proxy_header *out);

/* Appends a header. Version 1 knows no TLVs. Both ends must be of one family in it: `to` is said in that of
 * `from`, and as the unspecified address (0.0.0.0, ::) where that cannot be. Version 1 says UNKNOWN when
 * `from` is not known or `local` is set; version 2 has LOCAL for the one, which a server may take for its
 * proxy's own word, and UNSPEC for the other, which it may refuse. */
MUST_CHECK bool proxy_print_v1(struct buf *out, const struct proxy_header *h);
MUST_CHECK bool proxy_print_v2(struct buf *out, const struct proxy_header *h);

#endif
