/* SPDX-License-Identifier: MIT */
/* How every stream socket is set. For net/ only. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Non-blocking, close-on-exec, with socket_tune. -1: errno. */
MUST_CHECK int socket_open(int family, uint64_t silent_us);
/* TCP_NODELAY, urgent data in its place among the others, and an end for peers that acknowledge nothing for
 * `silent_us`. On a listening socket it holds for what is accepted. Without effect on what is not TCP. */
void socket_tune(int fd, uint64_t silent_us);
/* May have an address that is not this host's, from now on (IP_TRANSPARENT). Needs CAP_NET_RAW or
 * CAP_NET_ADMIN in the network namespace. false: errno. */
MUST_CHECK bool socket_transparent(int fd);
/* What it connects to will see this address, with a port of the kernel's choice. false: errno. */
MUST_CHECK bool socket_bind_source(int fd, const struct sockaddr_storage *source);

#endif
