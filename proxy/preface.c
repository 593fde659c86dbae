/* SPDX-License-Identifier: MIT */
/* A client's connection -> a PROXY header. Nothing is kept.
 *
 *   peer's address, our own end, TLS, the session's id -> smtp/proxyproto -> the first bytes to the server */
#include "proxy/preface.h"

#include "smtp/proxyproto.h"

static struct proxy_header describe(const struct conn *client, struct span session_id)
{
    struct proxy_header h = {.unique_id = session_id};
    struct tls_info tls = conn_tls_info(client);
    h.from.ip_n = conn_peer_ip(client, h.from.ip);
    h.from.port = conn_peer_port(client);
    h.to.ip_n = conn_local_ip(client, h.to.ip, &h.to.port);
    h.tls = tls.version != NULL;
    h.tls_version = span_of(tls.version);
    h.authority = span_of(tls.server_name);
    return h;
}

bool preface_print(enum conf_identity identity, const struct conn *client, struct span session_id,
                   struct buf *out)
{
    struct proxy_header h = describe(client, session_id);
    if (identity == CONF_IDENTITY_PROXY_V1)
        return proxy_print_v1(out, &h);
    return identity != CONF_IDENTITY_PROXY_V2 || proxy_print_v2(out, &h);
}
