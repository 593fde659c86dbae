/* SPDX-License-Identifier: MIT */
/* How every stream socket is set. For net/ only. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "base/attr.h"

/* Non-blocking, close-on-exec, with socket_tune. -1: errno. */
MUST_CHECK int socket_open(int family);
/* TCP_NODELAY, keepalive, and an end for peers that acknowledge nothing. On a listening socket it holds for
 * what is accepted. Without effect on what is not TCP. */
void socket_tune(int fd);

#endif
