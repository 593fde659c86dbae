/* SPDX-License-Identifier: MIT */
/* Two connections that are left to each other: what one peer sends goes to the other as it is, and is
 * counted.
 */
#ifndef PROXY_TUNNEL_H
#define PROXY_TUNNEL_H

#include "base/attr.h"
#include "net/conn.h"

struct tunnel;

struct tunnel_report {                 /* borrowed for the call */
    struct span client;                /* its address and port */
    uint64_t from_client, from_server; /* octets that were taken */
    uint64_t us;                       /* how long it lasted */
    const char *why;                   /* how it ended */
};

/* Takes both connections, also when it fails. `idle_us`: how long both may be silent. `over` is called once,
 * never from inside this call, when both connections are closed or handed over for closing; the caller then
 * destroys the tunnel, perhaps from inside `over`. NULL: no memory. */
MUST_CHECK struct tunnel *tunnel_create(struct loop *l, struct conn *client, struct conn *server,
                                        uint64_t idle_us,
                                        void (*over)(void *arg, const struct tunnel_report *r), void *arg);
void tunnel_end(struct tunnel *t, const char *why); /* `over` follows from inside */
void tunnel_destroy(struct tunnel **t);             /* closes what is open; `over` is not called */

#endif
