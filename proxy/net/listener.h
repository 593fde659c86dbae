/* SPDX-License-Identifier: MIT */
/* Listening sockets: bound once by the supervisor, watched by every worker. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "base/attr.h"
#include "net/loop.h"

/* Bound, listening, non-blocking, close-on-exec; IPv6 sockets take IPv6 only. `host` is an address, or a name
 * that has one. -1 with the reason in `error`. */
MUST_CHECK int listener_bind(const char *host, uint16_t port, char *error, size_t error_size);

/* It also takes connections whose destination is another host, if a TPROXY rule brings them. false with the
 * reason in `error`. */
MUST_CHECK bool listener_make_transparent(int fd, char *error, size_t error_size);

struct listener;
/* `accepted` gets each new socket (non-blocking, close-on-exec, TCP_NODELAY) and owns it. A bounded number is
 * accepted each turn; when descriptors run out, accepting rests for a moment instead of spinning. The fd
 * stays the caller's. NULL: no memory. */
MUST_CHECK struct listener *listener_watch(struct loop *l, int fd, void (*accepted)(void *ctx, int fd),
                                           void *ctx);
void listener_pause(struct listener *ls, bool paused);
void listener_destroy(struct listener **ls); /* does not close the fd */

#endif
