/* SPDX-License-Identifier: MIT */
/* Options of sockets.
 *
 * A peer that vanished without a word is found in the time that it is given, whether we are sending
 * (TCP_USER_TIMEOUT) or waiting (keepalive: asked after half of that time, then three times in the other
 * half; TCP_USER_TIMEOUT says when it is enough).
 *
 * A byte that was sent as urgent stays where it was sent: in a stream of its own it would be missing in the
 * middle of a line or a message, and peers that disagree about that see different messages. */
#include "net/socket.h"
#include "base/clock.h"

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

int socket_open(int family, uint64_t silent_us)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && family != AF_UNIX)
        socket_tune(fd, silent_us);
    return fd;
}
