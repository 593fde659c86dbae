/* SPDX-License-Identifier: MIT */
/* The transport without TLS: the socket itself. */
#include "net/transport.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static bool not_now(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static enum transport_result tcp_handshake(struct transport *t)
{
    (void)t;
    return TRANSPORT_DONE;
}

static enum transport_result tcp_read(struct transport *t, char *p, size_t n, size_t *got_r)
{
    ssize_t got = recv(t->fd, p, n, 0);
    *got_r = got > 0 ? (size_t)got : 0;
    if (got > 0)
        return TRANSPORT_DONE;
    if (got == 0)
        return TRANSPORT_EOF;
    if (not_now(errno))
        return TRANSPORT_WANTS_READ;
    return transport_fail(t, "reading: %s", strerror(errno));
}

static enum transport_result tcp_write(struct transport *t, struct span bytes, size_t *sent_r)
{
    ssize_t sent = send(t->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
    *sent_r = sent > 0 ? (size_t)sent : 0;
    if (sent >= 0) /* a short write means that the socket is full */
        return *sent_r == bytes.n ? TRANSPORT_DONE : TRANSPORT_WANTS_WRITE;
    if (not_now(errno))
        return TRANSPORT_WANTS_WRITE;
    return transport_fail(t, "writing: %s", strerror(errno));
}

static enum transport_result tcp_shutdown(struct transport *t)
{
    if (shutdown(t->fd, SHUT_WR) < 0)
        return transport_fail(t, "shutdown: %s", strerror(errno));
    return TRANSPORT_DONE;
}

static bool tcp_pending(const struct transport *t)
{
    (void)t;
    return false;
}

const struct transport_ops tcp_transport = {tcp_handshake, tcp_read, tcp_write, tcp_shutdown, tcp_pending};
