/* SPDX-License-Identifier: MIT */
/* A client's connection -> a PROXY header. Nothing is kept.
 *
 *   peer's address, the end it reached, TLS, the session's id -> smtp/proxyproto -> the first bytes to the
 * server */
#include "proxy/preface.h"

/* TLS that ended here, or in the proxy in front. */
static void describe_tls(struct proxy_header *h, const struct preface_client *client)
{
    struct tls_info tls = conn_tls_info(client->conn);
    h->tls = tls.version != NULL;
    h->tls_version = span_of(tls.version);
    h->authority = span_of(tls.server_name);
    if (h->tls || !client->front)
        return;
    h->tls = client->front->tls;
    h->tls_version = client->front->tls_version;
    h->authority = client->front->authority;
}

static struct proxy_header describe(const struct preface_client *client)
{
    struct proxy_header h = {.unique_id = client->session_id};
    h.from.ip_n = conn_peer_ip(client->conn, h.from.ip);
    h.from.port = conn_peer_port(client->conn);
    h.to.ip_n = conn_local_ip(client->conn, h.to.ip, &h.to.port);
    describe_tls(&h, client);
    return h;
}

bool preface_print(enum conf_identity identity, const struct preface_client *client, struct buf *out)
{
    struct proxy_header h = describe(client);
    if (identity == CONF_IDENTITY_PROXY_V1)
        return proxy_print_v1(out, &h);
    return identity != CONF_IDENTITY_PROXY_V2 || proxy_print_v2(out, &h);
}
