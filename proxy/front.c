/* SPDX-License-Identifier: MIT */
/* The PROXY header of one connection. Read in such pieces that no octet behind it is taken: with implicit TLS
 * the handshake follows at once, and belongs to OpenSSL.
 *
 *   conn --(at most proxy_wants octets)--> proxy_feed --> conn_set_peer, conn_set_local
 *
 * A front belongs to its relay and dies with it: what the header says of TLS goes on to the next server. */
#include "proxy/front.h"

#include <stdlib.h>

struct front {
    struct proxy_parser parser;
    struct proxy_header header;
    bool read;
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

enum proxy_result front_take(struct front *f, struct conn *c, struct span bytes)
{
    enum proxy_result r = proxy_feed(&f->parser, &bytes, &f->header);
    f->read = r == PROXY_READY;
    conn_limit_read(c, r == PROXY_MORE ? proxy_wants(&f->parser) : 0);
    if (r != PROXY_READY || f->header.local)
        return r;
    conn_set_peer(c, f->header.from.ip, f->header.from.ip_n, f->header.from.port);
    conn_set_local(c, f->header.to.ip, f->header.to.ip_n, f->header.to.port);
    return r;
}

bool front_awaited(const struct front *f)
{
    return f && !f->read;
}

const struct proxy_header *front_header(const struct front *f)
{
    return f && f->read && !f->header.local ? &f->header : NULL;
}

struct span front_tls(const struct front *f)
{
    const struct proxy_header *h = front_header(f);
    if (!h || !h->tls)
        return SPAN_NONE;
    return h->tls_version.n ? h->tls_version : SPAN_LIT("TLS");
}

const char *front_why(const struct front *f)
{
    return f->parser.why;
}
