/* SPDX-License-Identifier: MIT */
/* The two ends of a connection for the tests of net/: a loop, a listener on a free port, and parties that
 * note what happens to them. A raw end is a bare socket, for peers that misbehave. */
#ifndef TESTS_NET_PARTY_H
#define TESTS_NET_PARTY_H

#include "base/buf.h"
#include "base/clock.h"
#include "net/conn.h"
#include "net/listener.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MS(n)      ((uint64_t)(n)*US_PER_MS)
#define SECONDS(n) ((uint64_t)(n)*US_PER_S)

struct party {
    struct conn *c;
    struct buf got;
    unsigned told[CONN_CLOSED + 1]; /* how often each event came */
    unsigned calls;                 /* of data */
    size_t largest;                 /* span that data was given */
    char why[512];
    bool reads_nothing; /* data takes none */
    size_t takes;       /* most that data takes at once; 0: all */
    void (*on_data)(struct party *p);
    void (*on_event)(struct party *p, enum conn_event e);
    void *user;
};

static inline size_t party_data(void *ctx, struct conn *c, struct span bytes)
{
    struct party *p = ctx;
    assert_ptr_equal(p->c, c);
    assert_true(bytes.n > 0);
    p->calls++;
    if (bytes.n > p->largest)
        p->largest = bytes.n;
    size_t n = p->reads_nothing ? 0 : bytes.n;
    if (p->takes && n > p->takes)
        n = p->takes;
    if (n)
        assert_true(buf_append(&p->got, span_head(bytes, n)));
    if (p->on_data)
        p->on_data(p);
    return n;
}

static inline void party_event(void *ctx, struct conn *c, enum conn_event e, const char *why)
{
    struct party *p = ctx;
    assert_ptr_equal(p->c, c);
    p->told[e]++;
    if (e == CONN_CLOSED) {
        assert_non_null(why);
        (void)snprintf(p->why, sizeof p->why, "%s", why);
    }
    if (p->on_event)
        p->on_event(p, e);
    if (e == CONN_CLOSED)
        p->c = NULL;
}

static const struct conn_events party_events = {party_data, party_event};

struct net {
    struct loop *l;
    struct loop_timer tick;
    int listen_fd;
    uint16_t port;
    struct listener *listener;
    struct party server, client;
    int accepted_fd; /* when keep_fd: not given to a conn */
    bool keep_fd;
    int fds_before;
};

static inline int count_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static inline void on_tick(void *arg)
{
    struct net *net = arg;
    loop_timer_start(net->l, &net->tick, 2000, on_tick, net);
}

/* Turns the loop until `condition` holds, at most for `ms`. */
#define TURN_UNTIL_MS(net, ms, condition)                                                                    \
    do {                                                                                                     \
        uint64_t turn_end = clock_mono_us() + (uint64_t)(ms)*1000;                                           \
        while (!(condition) && clock_mono_us() < turn_end)                                                   \
            ev_run(loop_ev((net)->l), EVRUN_ONCE);                                                           \
    } while (0)
#define TURN_UNTIL(net, condition)                                                                           \
    do {                                                                                                     \
        TURN_UNTIL_MS(net, 4000, condition);                                                                 \
        assert_true(condition);                                                                              \
    } while (0)
#define TURN_FOR_MS(net, ms) TURN_UNTIL_MS(net, ms, false)

static inline void on_accepted(void *ctx, int fd)
{
    struct net *net = ctx;
    if (net->keep_fd) {
        net->accepted_fd = fd;
        return;
    }
    assert_null(net->server.c);
    net->server.c = conn_accept(net->l, fd, &party_events, &net->server);
    assert_non_null(net->server.c);
}

/* The port is at the same place in addresses of both families. */
static inline uint16_t port_of(int fd)
{
    struct sockaddr_in6 a = {0};
    socklen_t n = sizeof a;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    return ntohs(a.sin6_port);
}

static inline struct net *net_open(void)
{
    char error[200] = "";
    struct net *net = calloc(1, sizeof *net);
    assert_non_null(net);
    (void)signal(SIGPIPE, SIG_IGN);
    net->fds_before = count_fds();
    net->accepted_fd = -1;
    net->l = loop_create();
    assert_non_null(net->l);
    on_tick(net);
    net->listen_fd = listener_bind("127.0.0.1", 0, error, sizeof error);
    if (net->listen_fd < 0)
        fail_msg("%s", error);
    net->port = port_of(net->listen_fd);
    net->listener = listener_watch(net->l, net->listen_fd, on_accepted, net);
    assert_non_null(net->listener);
    return net;
}

/* Ends both parties at once, and looks for descriptors that were left. */
static inline void net_close(struct net *net)
{
    conn_close(&net->server.c, CONN_END_NOW);
    conn_close(&net->client.c, CONN_END_NOW);
    buf_free(&net->server.got);
    buf_free(&net->client.got);
    listener_destroy(&net->listener);
    if (net->accepted_fd >= 0)
        (void)close(net->accepted_fd);
    (void)close(net->listen_fd);
    loop_timer_stop(&net->tick);
    loop_destroy(&net->l);
    assert_int_equal(count_fds(), net->fds_before);
    free(net);
}

static inline void net_dial(struct net *net)
{
    struct conn_target to = {.host = "127.0.0.1", .port = net->port, .deadline_us = SECONDS(3)};
    net->client.c = conn_connect(net->l, NULL, &to, &party_events, &net->client);
    assert_non_null(net->client.c);
}

/* Two conns that talk to each other. */
static inline struct net *net_joined(void)
{
    struct net *net = net_open();
    net_dial(net);
    TURN_UNTIL(net, net->client.told[CONN_CONNECTED] && net->server.c);
    return net;
}

/* A raw, blocking client of the listener; the server is a conn. */
static inline int net_raw_client(struct net *net)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(net->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    TURN_UNTIL(net, net->server.c || net->accepted_fd >= 0);
    return fd;
}

/* A conn as client; the other end is a raw blocking socket. */
static inline int net_raw_server(struct net *net)
{
    net->keep_fd = true;
    net_dial(net);
    TURN_UNTIL(net, net->client.told[CONN_CONNECTED] && net->accepted_fd >= 0);
    int fd = net->accepted_fd;
    net->accepted_fd = -1;
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    return fd;
}

static inline void say(struct party *p, const char *text)
{
    assert_true(conn_write(p->c, span_of(text)));
}

/* n bytes of a pattern that shows a loss or a swap. */
static inline char *pattern_make(size_t n)
{
    char *p = malloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
    return p;
}

static inline bool party_has(const struct party *p, const char *text)
{
    return p->got.data && span_eq(buf_span(&p->got), span_of(text));
}

static inline void party_forget(struct party *p)
{
    buf_consume(&p->got, buf_len(&p->got));
    p->calls = 0;
    p->largest = 0;
}

/* Everything that a raw socket gives until EOF or error, with the loop turning; returns the count. */
static inline size_t raw_drain(struct net *net, int fd, char *out, size_t size, bool *reset_r)
{
    size_t n = 0;
    uint64_t end = clock_mono_us() + SECONDS(4);
    *reset_r = false;
    while (clock_mono_us() < end) {
        char piece[32 * 1024];
        ssize_t got = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (got == 0)
            return n;
        if (got < 0 && errno != EAGAIN) {
            *reset_r = true;
            return n;
        }
        for (ssize_t i = 0; i < got && n < size; i++)
            out[n++] = piece[i];
        ev_run(loop_ev(net->l), EVRUN_ONCE);
    }
    fail_msg("the peer did not end in time");
    return n;
}

#endif
