/* SPDX-License-Identifier: MIT */
/* The destination that a client had before it was brought to us. After NAT, connection tracking remembers it,
 * and two socket options ask for it; with TPROXY nothing was changed, and it is our own end of the
 * connection.
 *
 *   client --> 192.0.2.9:25 --[ nat: redirect to :2526 ]--> 127.0.0.1:2526 (us)
 *                   ^---------- SO_ORIGINAL_DST -----------------'
 *   client --> 192.0.2.9:25 --[ tproxy to :2526 ]---------> 192.0.2.9:25 (us)
 *                                                              ^-- getsockname
 *
 * A client that came by itself has our own address there, or nothing at all. Owns nothing. */
#include "net/origin.h"

#include "net/address.h"
#include "net/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* <linux/netfilter_ipv4.h> and its IPv6 sister clash with <netinet/in.h>; both numbers are kernel ABI. */
enum { ORIGINAL_DST_V4 = 80, ORIGINAL_DST_V6 = 80 };

static bool endpoint_of(const struct sockaddr_storage *a, struct endpoint *e_r)
{
    memset(e_r, 0, sizeof *e_r);
    e_r->ip_n = address_ip(a, e_r->ip, &e_r->port);
    return e_r->ip_n != 0;
}

static bool ask(int fd, int level, int option, struct endpoint *to_r)
{
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;
    return getsockopt(fd, level, option, &a, &n) == 0 && endpoint_of(&a, to_r);
}

static bool own_end(int fd, struct endpoint *own_r)
{
    struct sockaddr_storage here = {0};
    socklen_t n = sizeof here;
    return getsockname(fd, (struct sockaddr *)&here, &n) == 0 && endpoint_of(&here, own_r);
}

enum origin origin_redirected(int fd, struct endpoint *to_r)
{
    struct endpoint own;
    memset(to_r, 0, sizeof *to_r);
    if (!own_end(fd, &own))
        return ORIGIN_DIRECT;
    bool v4 = own.ip_n == 4; /* also over an IPv6 socket */
    bool known =
        v4 ? ask(fd, IPPROTO_IP, ORIGINAL_DST_V4, to_r) : ask(fd, IPPROTO_IPV6, ORIGINAL_DST_V6, to_r);
    return known && endpoint_compare(to_r, &own) != 0 ? ORIGIN_INTERCEPTED : ORIGIN_DIRECT;
}

enum origin origin_tproxied(int fd, struct endpoint *to_r)
{
    memset(to_r, 0, sizeof *to_r);
    return own_end(fd, to_r) ? ORIGIN_INTERCEPTED : ORIGIN_DIRECT;
}

/* Only an address of this machine can be bound: the kernel's own answer, without a list of interfaces that
 * could be out of date. Nothing is sent. */
bool origin_is_local(const struct endpoint *e)
{
    struct sockaddr_storage a = address_from_ip(e->ip, e->ip_n, 0);
    int fd = socket(a.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool local = fd >= 0 && bind(fd, (const struct sockaddr *)&a, address_length(&a)) == 0;
    if (fd >= 0)
        (void)close(fd);
    return local;
}

bool origin_may_be_borrowed(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool may = fd >= 0 && socket_transparent(fd);
    if (fd >= 0)
        (void)close(fd);
    return may;
}

int endpoint_compare(const struct endpoint *a, const struct endpoint *b)
{
    if (a->ip_n != b->ip_n)
        return a->ip_n < b->ip_n ? -1 : 1;
    int by_ip = memcmp(a->ip, b->ip, a->ip_n);
    return by_ip ? by_ip : (a->port > b->port) - (a->port < b->port);
}

void endpoint_text(const struct endpoint *e, char host[ENDPOINT_TEXT], char text[ENDPOINT_TEXT])
{
    struct sockaddr_storage a = address_from_ip(e->ip, e->ip_n, e->port);
    (void)address_text(&a, text);
    if (!inet_ntop(e->ip_n == 4 ? AF_INET : AF_INET6, e->ip, host, ENDPOINT_TEXT))
        host[0] = '\0'; /* cannot be: both families are known and the room is enough */
}

bool endpoint_parse(const char *host, uint16_t port, struct endpoint *e_r)
{
    struct sockaddr_storage a;
    return address_from_text(host, port, &a) && endpoint_of(&a, e_r);
}
