/* SPDX-License-Identifier: MIT */
/* How every stream socket is set. For net/ only. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "base/attr.h"

#include <stdint.h>

/* Non-blocking, close-on-exec, with socket_tune. -1: errno. */
MUST_CHECK int socket_open(int family, uint64_t silent_us);
/* TCP_NODELAY, urgent data in its place among the others, and an end for peers that acknowledge nothing for
 * `silent_us`. On a listening socket it holds for what is accepted. Without effect on what is not TCP. */
void socket_tune(int fd, uint64_t silent_us);

#endif
