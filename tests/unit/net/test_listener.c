/* SPDX-License-Identifier: MIT */
/* Listening: binding, pausing, and what happens when descriptors run out. */
#include "party.h"

#include <sys/resource.h>
#include <sys/wait.h>

static void test_bind_errors(void **state)
{
    char error[200] = "";
    (void)state;
    int fd = listener_bind("127.0.0.1", 0, error, sizeof error);
    assert_true(fd >= 0);
    assert_int_equal(listener_bind("127.0.0.1", port_of(fd), error, sizeof error), -1);
    assert_non_null(strstr(error, "cannot listen on 127.0.0.1 port"));
    assert_non_null(strstr(error, "in use"));
    (void)close(fd);
    assert_int_equal(listener_bind("192.0.2.77", 25, error, sizeof error), -1);
    assert_non_null(strstr(error, "192.0.2.77 port 25"));
    assert_int_equal(listener_bind("no such host", 25, error, sizeof error), -1);
    assert_non_null(strstr(error, "no such host"));
}

static void test_bind_localhost_and_v6(void **state)
{
    char error[200] = "";
    int on = 0;
    socklen_t n = sizeof on;
    (void)state;
    int fd = listener_bind("localhost", 0, error, sizeof error);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    (void)close(fd);
    fd = listener_bind("::1", 0, error, sizeof error);
    if (fd < 0)
        skip(); /* a machine without IPv6 */
    assert_int_equal(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, &n), 0);
    assert_int_equal(on, 1);
    (void)close(fd);
}

static int raw_dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void test_pause(void **state)
{
    struct net *net = net_open();
    (void)state;
    listener_pause(net->listener, true);
    int raw = raw_dial(net->port); /* the kernel takes it */
    TURN_FOR_MS(net, 20);
    assert_null(net->server.c);
    listener_pause(net->listener, false);
    TURN_UNTIL(net, net->server.c);
    (void)close(raw);
    net_close(net);
}

struct gate {
    struct listener *listener;
    int accepted, fd;
};

static void on_first(void *ctx, int fd)
{
    struct gate *g = ctx;
    g->accepted++;
    (void)close(fd);
    listener_destroy(&g->listener);
}

/* The fd stays open and others may go on with it. */
static void test_destroy_inside_accepted(void **state)
{
    struct net *net = net_open();
    struct gate g = {0};
    (void)state;
    listener_destroy(&net->listener);
    int a = raw_dial(net->port), b = raw_dial(net->port);
    g.listener = listener_watch(net->l, net->listen_fd, on_first, &g);
    TURN_UNTIL(net, g.accepted);
    TURN_FOR_MS(net, 10);
    assert_int_equal(g.accepted, 1);
    net->listener = listener_watch(net->l, net->listen_fd, on_accepted, net);
    TURN_UNTIL(net, net->server.c);
    (void)close(a);
    (void)close(b);
    net_close(net);
}

static void on_count(void *ctx, int fd)
{
    struct gate *g = ctx;
    g->accepted++;
    g->fd = fd;
}

/* In a child: takes every descriptor, lets a client knock, and watches how busy the loop is meanwhile.
 * Returns the number of the check that failed. */
static int without_descriptors(void)
{
    struct rlimit few = {32, 32};
    char error[200];
    struct gate g = {.fd = -1};
    struct net net = {.l = loop_create()};
    int taken[64], n = 0;
    on_tick(&net);
    int listen_fd = listener_bind("127.0.0.1", 0, error, sizeof error);
    g.listener = listener_watch(net.l, listen_fd, on_count, &g);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port_of(listen_fd))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (setrlimit(RLIMIT_NOFILE, &few) < 0)
        return 1;
    while (n < 64 && (taken[n] = open("/dev/null", O_RDONLY)) >= 0)
        n++;
    if (connect(client, (struct sockaddr *)&a, sizeof a) < 0)
        return 2;
    unsigned turns = 0;
    uint64_t until = clock_mono_us() + MS(60);
    while (clock_mono_us() < until) {
        ev_run(loop_ev(net.l), EVRUN_ONCE);
        turns++;
    }
    if (g.accepted || turns > 200)
        return 3; /* 60 ms of ticks are about 30 turns */
    while (n)
        (void)close(taken[--n]);
    TURN_UNTIL_MS(&net, 1000, g.accepted);
    if (g.accepted != 1)
        return 4;
    listener_destroy(&g.listener);
    (void)close(g.fd);
    (void)close(client);
    (void)close(listen_fd);
    loop_timer_stop(&net.tick);
    loop_destroy(&net.l);
    return 0;
}

static void test_rests_without_descriptors(void **state)
{
    int status = 0;
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(without_descriptors());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bind_errors),
        cmocka_unit_test(test_bind_localhost_and_v6),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_destroy_inside_accepted),
        cmocka_unit_test(test_rests_without_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
