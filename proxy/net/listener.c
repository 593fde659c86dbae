/* SPDX-License-Identifier: MIT */
/* Accepting connections.
 *
 *   bound fd -> watcher -> accept4, up to ACCEPTS_A_TURN -> accepted(ctx, fd)
 *                 ^                    |
 *                 +---- REST_US -------+ no descriptors or no memory
 *
 * The supervisor owns the fd; a listener is a worker's view of it and is owned by the worker. It may be
 * destroyed from inside `accepted`. */
#include "net/listener.h"
#include "base/clock.h"
#include "net/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_A_TURN = 64, BACKLOG = 4096 };
static const uint64_t rest_us = 100 * (uint64_t)US_PER_MS;

struct listener {
    struct loop *loop;
    ev_io io;
    struct loop_timer rest;
    struct loop_deferred end;
    bool paused, gone;
    void (*accepted)(void *ctx, int fd);
    void *ctx;
};

/* ---- binding ---- */

static int open_bound(const struct addrinfo *a)
{
    int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (a->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

bool listener_make_transparent(int fd, char *error, size_t error_size)
{
    if (socket_transparent(fd))
        return true;
    (void)snprintf(error, error_size,
                   "cannot take connections to other hosts' addresses: %s (it needs root, or CAP_NET_RAW)",
                   strerror(errno));
    return false;
}

int listener_bind(const char *host, uint16_t port, char *error, size_t error_size)
{
    char service[8];
    struct addrinfo *a = NULL;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    (void)snprintf(service, sizeof service, "%u", (unsigned)port);
    int failed = getaddrinfo(host, service, &hints, &a);
    if (failed) {
        (void)snprintf(error, error_size, "cannot listen on %s port %u: %s", host, (unsigned)port,
                       gai_strerror(failed));
        return -1;
    }
    int fd = open_bound(a);
    if (fd < 0)
        (void)snprintf(error, error_size, "cannot listen on %s port %u: %s", host, (unsigned)port,
                       strerror(errno));
    freeaddrinfo(a);
    return fd;
}

/* ---- accepting ---- */

static void on_rested(void *arg)
{
    struct listener *ls = arg;
    if (!ls->paused)
        ev_io_start(loop_ev(ls->loop), &ls->io);
}

static void take_a_rest(struct listener *ls)
{
    ev_io_stop(loop_ev(ls->loop), &ls->io);
    loop_timer_start(ls->loop, &ls->rest, rest_us, on_rested, ls);
}

/* What accept4's errno means for us. Errors of the connection that was to be accepted concern only that one;
 * all others (no descriptors, no memory, a bad socket) would come again at once. */
static bool only_that_one(int error)
{
    static const int harmless[] = {ECONNABORTED, EINTR,  EPROTO,       EPERM,      ENETDOWN,   ENOPROTOOPT,
                                   EHOSTDOWN,    ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH};
    for (size_t i = 0; i < COUNT_OF(harmless); i++)
        if (error == harmless[i])
            return true;
    return false;
}

static void on_acceptable(struct ev_loop *ev, ev_io *w, int revents)
{
    struct listener *ls = w->data;
    (void)ev;
    (void)revents;
    for (int i = 0; i < ACCEPTS_A_TURN && !ls->gone && !ls->paused; i++) {
        int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            ls->accepted(ls->ctx, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (!only_that_one(errno)) {
            take_a_rest(ls);
            return;
        }
    }
}

struct listener *listener_watch(struct loop *l, int fd, void (*accepted)(void *ctx, int fd), void *ctx)
{
    struct listener *ls = calloc(1, sizeof *ls);
    if (!ls)
        return NULL;
    ls->loop = l;
    ls->accepted = accepted;
    ls->ctx = ctx;
    socket_tune(fd, loop_patience(l)->silent_us); /* accepted sockets inherit */
    ev_io_init(&ls->io, on_acceptable, fd, EV_READ);
    ls->io.data = ls;
    ev_io_start(loop_ev(l), &ls->io);
    return ls;
}

void listener_pause(struct listener *ls, bool paused)
{
    ls->paused = paused;
    loop_timer_stop(&ls->rest);
    if (paused)
        ev_io_stop(loop_ev(ls->loop), &ls->io);
    else
        ev_io_start(loop_ev(ls->loop), &ls->io);
}

void listener_destroy(struct listener **lsp)
{
    struct listener *ls = *lsp;
    *lsp = NULL;
    if (!ls)
        return;
    ls->gone = true;
    loop_timer_stop(&ls->rest);
    ev_io_stop(loop_ev(ls->loop), &ls->io);
    loop_defer(ls->loop, &ls->end, free, ls);
}
