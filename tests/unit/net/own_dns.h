/* SPDX-License-Identifier: MIT */
/* A DNS server for tests, in a child process with its own network and its own /etc/resolv.conf. Where that is
 * not allowed (no root, no namespaces) the test is skipped. */
#ifndef TESTS_NET_OWN_DNS_H
#define TESTS_NET_OWN_DNS_H

#include "base/span.h"
#include "net/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct dns {
    int fd;
    ev_io io;
    int queries;
    uint32_t answers[4]; /* IPv4, the answer to every A question */
    uint16_t n;
    struct span tlsa;   /* the data of the answer to every TLSA question; empty: there is none */
    bool authenticates; /* whoever asks with AD gets it */
};

enum { DNS_A = 1, DNS_TLSA = 52 };

/* A record of the name that was asked for, behind `end`. */
static inline size_t dns_record(unsigned char *m, size_t end, unsigned char type, const void *data, size_t n)
{
    unsigned char head[] = {0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, (unsigned char)n};
    memcpy(m + end, head, sizeof head);
    memcpy(m + end + sizeof head, data, n);
    m[7]++;
    return end + sizeof head + n;
}

/* Questions that are neither for A nor for TLSA are answered with nothing; those for "silent…" not at all,
 * those for "_25._tcp.broken…" with a failure. */
static inline void on_question(struct ev_loop *ev, ev_io *w, int revents)
{
    struct dns *d = w->data;
    unsigned char m[512 + 4 * 16];
    struct sockaddr_in from;
    socklen_t from_n = sizeof from;
    (void)ev;
    (void)revents;
    ssize_t got = recvfrom(w->fd, m, 512, 0, (struct sockaddr *)&from, &from_n);
    if (got < 17)
        return;
    d->queries++;
    size_t end = 12;
    while (end < (size_t)got && m[end])
        end += m[end] + 1u;
    end += 5; /* the root, type and class */
    if (memcmp(m + 13, "silent", 6) == 0 || end > (size_t)got)
        return;
    bool asked = m[3] & 0x20;
    unsigned char type = m[end - 3];
    m[2] |= 0x80; /* an answer */
    m[3] = 0x80 | (d->authenticates && asked ? 0x20 : 0);
    memset(m + 6, 0, 6); /* no records yet */
    if (memcmp(m + 13, "_25\4_tcp\6broken", 15) == 0)
        m[3] |= 2;
    else if (type == DNS_TLSA && d->tlsa.n)
        end = dns_record(m, end, DNS_TLSA, d->tlsa.p, d->tlsa.n);
    for (uint16_t i = 0; type == DNS_A && i < d->n; i++) {
        uint32_t ip = htonl(d->answers[i]);
        end = dns_record(m, end, DNS_A, &ip, sizeof ip);
    }
    (void)sendto(w->fd, m, end, 0, (struct sockaddr *)&from, from_n);
}

/* A network of our own, with loopback alone, and a socket for DNS at 127.0.0.1:53. */
static inline bool own_dns_open(struct dns *d)
{
    char path[] = "/tmp/postern-resolv-XXXXXX";
    static const char text[] = "nameserver 127.0.0.1\noptions ndots:1\n";
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(53)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    int fd = mkstemp(path);
    bool mounted = fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1 &&
                   mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;
    (void)close(fd);
    (void)unlink(path);
    d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    (void)ioctl(d->fd, SIOCSIFFLAGS, &up);
    return mounted && bind(d->fd, (struct sockaddr *)&a, sizeof a) == 0;
}

static inline void own_dns_serve(struct dns *d, struct loop *l)
{
    ev_io_init(&d->io, on_question, d->fd, EV_READ);
    d->io.data = d;
    ev_io_start(loop_ev(l), &d->io);
}

static inline void own_dns_close(struct dns *d, struct loop *l)
{
    ev_io_stop(loop_ev(l), &d->io);
    (void)close(d->fd);
}

enum { CHILD_GOOD, CHILD_FAILED, CHILD_CANNOT = 77 };

/* In the child cmocka cannot be told: the function returns the failure. */
#define CHILD_CHECK(condition)                                                                               \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)fprintf(stderr, "in the child: %s\n", #condition);                                         \
            return CHILD_FAILED;                                                                             \
        }                                                                                                    \
    } while (0)

static inline void in_a_child(int (*run)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(run());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CHILD_CANNOT)
        skip();
    assert_int_equal(WEXITSTATUS(status), CHILD_GOOD);
}

#endif
