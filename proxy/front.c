/* SPDX-License-Identifier: MIT */
/* The PROXY header of one connection. Read in such pieces that no octet behind it is taken: with implicit TLS
 * the handshake follows at once, and belongs to OpenSSL.
 *
 *   conn --(at most proxy_wants octets)--> proxy_feed --> conn_set_peer
 *
 * A front belongs to its relay and dies when the header is read, or with it. */
#include "proxy/front.h"

#include <stdlib.h>

struct front {
    struct proxy_parser parser;
    struct proxy_header header;
};

bool front_is_expected(const struct conf_listener *l, const struct conn *c)
{
    unsigned char ip[16];
    size_t n = conn_peer_ip(c, ip);
    return networks_have(&l->trust_proxy, ip, n);
}

struct front *front_create(struct conn *c)
{
    struct front *f = calloc(1, sizeof(*f));
    if (f)
        conn_limit_read(c, proxy_wants(&f->parser));
    return f;
}

void front_destroy(struct front **fp)
{
    struct front *f = *fp;
    *fp = NULL;
    if (!f)
        return;
    proxy_parser_free(&f->parser);
    free(f);
}

enum proxy_result front_take(struct front *f, struct conn *c, struct span bytes, struct span *tls_r)
{
    enum proxy_result r = proxy_feed(&f->parser, &bytes, &f->header);
    *tls_r = SPAN_NONE;
    conn_limit_read(c, r == PROXY_MORE ? proxy_wants(&f->parser) : 0);
    if (r != PROXY_READY || f->header.local)
        return r;
    conn_set_peer(c, f->header.from.ip, f->header.from.ip_n, f->header.from.port);
    if (f->header.tls)
        *tls_r = f->header.tls_version.n ? f->header.tls_version : SPAN_LIT("TLS");
    return r;
}

const char *front_why(const struct front *f)
{
    return f->parser.why;
}
