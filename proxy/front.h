/* SPDX-License-Identifier: MIT */
/* A proxy in front of us, which names the client in a PROXY header before anything else. Only networks in
 * trust_proxy are believed, and from them nothing else is taken. */
#ifndef PROXY_FRONT_H
#define PROXY_FRONT_H

#include "base/attr.h"
#include "conf/conf.h"
#include "net/conn.h"
#include "smtp/proxyproto.h"

struct front; /* one connection's header */

bool front_is_expected(const struct conf_listener *l, const struct conn *c);
/* The connection is read octet by octet as far as its header goes. NULL: no memory. */
MUST_CHECK struct front *front_create(struct conn *c);
void front_destroy(struct front **f);
/* More of it came. READY: the connection's peer is the client now, unless the proxy spoke for itself. */
MUST_CHECK enum proxy_result front_take(struct front *f, struct conn *c, struct span bytes);
const char *front_why(const struct front *f); /* after PROXY_BAD */
bool front_awaited(const struct front *f);    /* false also for NULL: no proxy, or its header is read */
/* What it said of the client; NULL: nothing. Good as long as the front, as is the next. */
const struct proxy_header *front_header(const struct front *f);
struct span front_tls(const struct front *f); /* the version of TLS that ended in the proxy; empty: none */

#endif
