/* SPDX-License-Identifier: MIT */
/* Socket addresses as people write them. For net/ only. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include "base/attr.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* "[" + 45 characters of an address + "]:65535" + NUL */
#define ADDRESS_TEXT 56

/* "192.0.2.1", "2001:db8::1" or "[2001:db8::1]". false: not an address (perhaps a name). */
MUST_CHECK bool address_from_text(const char *host, uint16_t port, struct sockaddr_storage *address_r);
/* Out of 4 or 16 bytes. */
struct sockaddr_storage address_from_ip(const unsigned char *ip, size_t n, uint16_t port);
/* The path of a Unix socket. false: too long. */
MUST_CHECK bool address_unix(const char *path, struct sockaddr_storage *address_r);
socklen_t address_length(const struct sockaddr_storage *a);
/* The 4 or 16 bytes of the address; IPv4 inside IPv6 is IPv4. 0: not an IP address. */
size_t address_ip(const struct sockaddr_storage *a, unsigned char ip[16], uint16_t *port_r);
/* With the port, as conn_peer_text; "unix" for a Unix socket. Returns the length. */
size_t address_text(const struct sockaddr_storage *a, char out[ADDRESS_TEXT]);
/* "192.0.2.1:25" or "[2001:db8::1]:25" without the port and the brackets. */
struct span address_host(struct span with_port);

#endif
