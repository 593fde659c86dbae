/* SPDX-License-Identifier: MIT */
/* Interception: where did the client of an accepted socket mean to go, before a rule of the packet filter
 * sent it here? */
#ifndef NET_ORIGIN_H
#define NET_ORIGIN_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoint {
    unsigned char ip[16]; /* network order; IPv4 inside IPv6 is IPv4 */
    size_t ip_n;          /* 4 or 16 */
    uint16_t port;
};

/* "192.0.2.1:25", "[2001:db8::1]:25" */
#define ENDPOINT_TEXT 56

enum origin {
    ORIGIN_INTERCEPTED, /* *to_r is the destination as the client wrote it */
    ORIGIN_DIRECT, /* it came to our own address by itself; or the kernel knows of no redirection (any more)
                    */
};

/* After NAT, by SO_ORIGINAL_DST or IP6T_SO_ORIGINAL_DST. */
enum origin origin_redirected(int fd, struct endpoint *to_r);
/* After a TPROXY rule: our own end. It may be an address that we listen on; then the client came by itself,
 * and only the caller knows what is listened on. */
enum origin origin_tproxied(int fd, struct endpoint *to_r);
/* Can sockets have addresses of others here? See socket_transparent. */
bool origin_may_be_borrowed(void);

/* Is this address one of this machine? */
bool origin_is_local(const struct endpoint *e);

/* Their order, whatever it is: for tables. 0: the same. */
int endpoint_compare(const struct endpoint *a, const struct endpoint *b);
/* The address alone, in `host`, and with its port. */
void endpoint_text(const struct endpoint *e, char host[ENDPOINT_TEXT], char text[ENDPOINT_TEXT]);
/* "127.0.0.1", "::1". false: not an address. */
MUST_CHECK bool endpoint_parse(const char *host, uint16_t port, struct endpoint *e_r);

#endif
