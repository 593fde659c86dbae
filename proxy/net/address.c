/* SPDX-License-Identifier: MIT */
/* Socket addresses to text and back. No state; the caller owns every buffer. */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

bool address_from_text(const char *host, uint16_t port, struct sockaddr_storage *address_r)
{
    char bare[INET6_ADDRSTRLEN];
    size_t n = strlen(host);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        if (n - 2 >= sizeof bare)
            return false;
        memcpy(bare, host + 1, n - 2);
        bare[n - 2] = '\0';
        host = bare;
    }
    memset(address_r, 0, sizeof *address_r);
    struct sockaddr_in *v4 = (struct sockaddr_in *)address_r;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address_r;
    if (host != bare && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return true;
    }
    return false;
}

struct sockaddr_storage address_from_ip(const unsigned char *ip, size_t n, uint16_t port)
{
    struct sockaddr_storage a = {0};
    if (n == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        memcpy(&v4->sin_addr, ip, 4);
    } else {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        memcpy(&v6->sin6_addr, ip, 16);
    }
    return a;
}

bool address_unix(const char *path, struct sockaddr_storage *address_r)
{
    struct sockaddr_un *un = (struct sockaddr_un *)address_r;
    size_t n = strlen(path);
    memset(address_r, 0, sizeof *address_r);
    if (n == 0 || n >= sizeof un->sun_path)
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, n + 1);
    return true;
}

socklen_t address_length(const struct sockaddr_storage *a)
{
    switch (a->ss_family) {
    case AF_INET:
        return sizeof(struct sockaddr_in);
    case AF_INET6:
        return sizeof(struct sockaddr_in6);
    default:
        return sizeof(struct sockaddr_un);
    }
}

size_t address_ip(const struct sockaddr_storage *a, unsigned char ip[16], uint16_t *port_r)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
    *port_r = 0;
    if (a->ss_family == AF_INET) {
        memcpy(ip, &v4->sin_addr, 4);
        *port_r = ntohs(v4->sin_port);
        return 4;
    }
    if (a->ss_family != AF_INET6)
        return 0;
    *port_r = ntohs(v6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        memcpy(ip, v6->sin6_addr.s6_addr + 12, 4);
        return 4;
    }
    memcpy(ip, &v6->sin6_addr, 16);
    return 16;
}

size_t address_text(const struct sockaddr_storage *a, char out[ADDRESS_TEXT])
{
    unsigned char ip[16];
    char text[INET6_ADDRSTRLEN];
    uint16_t port;
    size_t n = address_ip(a, ip, &port);
    int length;
    if (n == 0 || !inet_ntop(n == 4 ? AF_INET : AF_INET6, ip, text, sizeof text))
        length = snprintf(out, ADDRESS_TEXT, a->ss_family == AF_UNIX ? "unix" : "unknown");
    else
        length = snprintf(out, ADDRESS_TEXT, n == 4 ? "%s:%u" : "[%s]:%u", text, (unsigned)port);
    return length < 0 ? 0 : (size_t)length;
}

struct span address_host(struct span with_port)
{
    size_t end = with_port.n;
    while (end && with_port.p[end - 1] != ':')
        end--;
    struct span host = span_head(with_port, end ? end - 1 : 0);
    if (host.n >= 2 && host.p[0] == '[')
        host = span_make(host.p + 1, host.n - 2);
    return host;
}
