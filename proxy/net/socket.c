/* SPDX-License-Identifier: MIT */
/* Options of sockets. A peer that vanished without a word is found in about two minutes, whether we are
 * sending (TCP_USER_TIMEOUT) or waiting (keepalive). */
#include "net/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

enum { LOST_PEER_MS = 120 * 1000, KEEPALIVE_AFTER_S = 60, KEEPALIVE_EVERY_S = 20 };

void socket_tune(int fd)
{
    static const struct {
        int level, option, value;
    } settings[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_AFTER_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, LOST_PEER_MS},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        (void)setsockopt(fd, settings[i].level, settings[i].option, &settings[i].value, sizeof(int));
}

int socket_open(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && family != AF_UNIX)
        socket_tune(fd);
    return fd;
}
