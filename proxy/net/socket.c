/* SPDX-License-Identifier: MIT */
/* Options of sockets.
 *
 * A peer that vanished without a word is found in the time that it is given, whether we are sending
 * (TCP_USER_TIMEOUT) or waiting (keepalive: asked after half of that time, then three times in the other
 * half; TCP_USER_TIMEOUT says when it is enough).
 *
 * A transparent socket (IP_TRANSPARENT) may have an address that is not this host's: a client's own, towards
 * its server, or the server's, towards the client.
 *
 * A byte that was sent as urgent stays where it was sent: in a stream of its own it would be missing in the
 * middle of a line or a message, and peers that disagree about that see different messages. */
#include "net/socket.h"
#include "base/clock.h"
#include "net/address.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

static int within(uint64_t n, int least)
{
    return n < (uint64_t)least ? least : n > INT_MAX ? INT_MAX : (int)n;
}

void socket_tune(int fd, uint64_t silent_us)
{
    const struct {
        int level, option, value;
    } settings[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_OOBINLINE, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, within(silent_us / US_PER_S / 2, 1)},
        {IPPROTO_TCP, TCP_KEEPINTVL, within(silent_us / US_PER_S / 6, 1)},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, within(silent_us / US_PER_MS, 1)},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        (void)setsockopt(fd, settings[i].level, settings[i].option, &settings[i].value, sizeof(int));
}

bool socket_transparent(int fd)
{
    int on = 1, family = 0;
    socklen_t n = sizeof family;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) != 0)
        return false;
    bool v6 = family == AF_INET6;
    return setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on,
                      sizeof on) == 0;
}

/* The kernel chooses the port when it knows the server too: before that it could take none that any other
 * connection of this address has, and a busy client would run out of them. */
bool socket_bind_source(int fd, const struct sockaddr_storage *source)
{
    int on = 1;
    return socket_transparent(fd) &&
           setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0 &&
           bind(fd, (const struct sockaddr *)source, address_length(source)) == 0;
}

int socket_open(int family, uint64_t silent_us)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && family != AF_UNIX)
        socket_tune(fd, silent_us);
    return fd;
}
