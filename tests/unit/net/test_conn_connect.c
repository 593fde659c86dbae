/* SPDX-License-Identifier: MIT */
/* Connecting: addresses, names, Unix sockets; refusals and deadlines. */
#include "own_dns.h"
#include "party.h"

#include <sys/un.h>

static void dial(struct net *net, struct resolver *r, const char *host, uint16_t port, uint64_t deadline_us)
{
    struct conn_target to = {.host = host, .port = port, .deadline_us = deadline_us};
    net->client.c = conn_connect(net->l, r, &to, &party_events, &net->client);
    assert_non_null(net->client.c);
    for (size_t e = 0; e <= CONN_CLOSED; e++)
        assert_int_equal(net->client.told[e], 0); /* never from inside the call */
}

static uint16_t free_port(void)
{
    char error[200];
    int fd = listener_bind("127.0.0.1", 0, error, sizeof error);
    assert_true(fd >= 0);
    uint16_t port = port_of(fd);
    (void)close(fd);
    return port;
}

static void test_refused(void **state)
{
    struct net *net = net_open();
    (void)state;
    dial(net, NULL, "127.0.0.1", free_port(), US_PER_S);
    TURN_UNTIL(net, net->client.told[CONN_CLOSED]);
    assert_int_equal(net->client.told[CONN_CONNECTED], 0);
    assert_non_null(strstr(net->client.why, "connecting to 127.0.0.1:"));
    assert_non_null(strstr(net->client.why, "refused"));
    net_close(net);
}

/* A socket that listens with a full backlog answers nobody. */
static int deaf_listener(uint32_t address, uint16_t *port_r, int fillers[4])
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    a.sin_addr.s_addr = htonl(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 0), 0);
    *port_r = port_of(fd);
    a.sin_port = htons(*port_r);
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fillers[i], (struct sockaddr *)&a, sizeof a);
    }
    return fd;
}

static void test_deadline(void **state)
{
    struct net *net = net_open();
    int fillers[4];
    uint16_t port;
    (void)state;
    int deaf = deaf_listener(INADDR_LOOPBACK, &port, fillers);
    uint64_t start = clock_mono_us();
    dial(net, NULL, "127.0.0.1", port, MS(100));
    TURN_UNTIL(net, net->client.told[CONN_CLOSED]);
    assert_in_range(clock_mono_us() - start, MS(90), SECONDS(3));
    assert_non_null(strstr(net->client.why, "no answer in time"));
    for (int i = 0; i < 4; i++)
        (void)close(fillers[i]);
    (void)close(deaf);
    net_close(net);
}

/* /etc/hosts may give ::1 first, where nobody listens: the next address is tried. */
static void test_name(void **state)
{
    struct net *net = net_open();
    struct resolver *r = resolver_create(net->l);
    (void)state;
    assert_non_null(r);
    dial(net, r, "localhost", net->port, SECONDS(2));
    TURN_UNTIL(net, net->client.told[CONN_CONNECTED] || net->client.told[CONN_CLOSED]);
    assert_string_equal(net->client.why, "");
    assert_int_equal(net->client.told[CONN_CONNECTED], 1);
    conn_close(&net->client.c, CONN_END_NOW);
    resolver_destroy(&r);
    net_close(net);
}

static int connect_past_a_black_hole(void)
{
    struct dns d = {.answers = {INADDR_LOOPBACK + 8, INADDR_LOOPBACK}, .n = 2};
    struct net net = {.l = loop_create()};
    int fillers[4];
    uint16_t port;
    char error[200];
    if (!own_dns_open(&d))
        return CHILD_CANNOT;
    on_tick(&net);
    own_dns_serve(&d, net.l);
    struct resolver *r = resolver_create(net.l);
    int deaf = deaf_listener(INADDR_LOOPBACK + 8, &port, fillers);
    int good = listener_bind("127.0.0.1", port, error, sizeof error);
    struct conn_target to = {.host = "mail.example.org", .port = port, .deadline_us = SECONDS(1)};
    net.client.c = conn_connect(net.l, r, &to, &party_events, &net.client);
    TURN_UNTIL_MS(&net, 3000, net.client.told[CONN_CONNECTED] || net.client.told[CONN_CLOSED]);
    CHILD_CHECK(net.client.told[CONN_CONNECTED] == 1);
    CHILD_CHECK(span_istarts(conn_peer_text(net.client.c), SPAN_LIT("127.0.0.1:")));
    conn_close(&net.client.c, CONN_END_NOW);
    (void)close(deaf);
    (void)close(good);
    resolver_destroy(&r);
    own_dns_close(&d, net.l);
    loop_timer_stop(&net.tick);
    loop_destroy(&net.l);
    return CHILD_GOOD;
}

/* The first address swallows what is sent to it; the second gets its share of the time. */
static void test_second_address(void **state)
{
    (void)state;
    in_a_child(connect_past_a_black_hole);
}

/* The deadline is for connecting, not for the connection. */
static void test_deadline_ends_with_connecting(void **state)
{
    struct net *net = net_open();
    (void)state;
    dial(net, NULL, "127.0.0.1", net->port, MS(300));
    TURN_UNTIL(net, net->client.told[CONN_CONNECTED]);
    TURN_FOR_MS(net, 400);
    assert_int_equal(net->client.told[CONN_CLOSED], 0);
    net_close(net);
}

static void test_name_that_is_none(void **state)
{
    struct net *net = net_open();
    struct resolver *r = resolver_create(net->l);
    (void)state;
    dial(net, r, "no..name", 25, SECONDS(2));
    TURN_UNTIL(net, net->client.told[CONN_CLOSED]);
    assert_non_null(strstr(net->client.why, "no..name: the name does not resolve"));
    resolver_destroy(&r);
    net_close(net);
}

static void test_name_without_resolver(void **state)
{
    struct net *net = net_open();
    (void)state;
    dial(net, NULL, "localhost", 25, US_PER_S);
    TURN_UNTIL(net, net->client.told[CONN_CLOSED]);
    assert_non_null(strstr(net->client.why, "an address is needed"));
    net_close(net);
}

static void test_unix_socket(void **state)
{
    struct net *net = net_open();
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    unsigned char ip[16];
    char byte = 0;
    (void)state;
    (void)snprintf(a.sun_path, sizeof a.sun_path, "/tmp/postern-test-%ld.sock", (long)getpid());
    (void)unlink(a.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 5), 0);
    dial(net, NULL, a.sun_path, 0, US_PER_S);
    say(&net->client, "x"); /* before it is connected: waits */
    TURN_UNTIL(net, net->client.told[CONN_CONNECTED]);
    assert_int_equal(conn_peer_ip(net->client.c, ip), 0);
    int peer = accept(fd, NULL, NULL);
    TURN_UNTIL(net, conn_unsent(net->client.c) == 0);
    assert_int_equal(recv(peer, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    (void)close(peer);
    (void)close(fd);
    (void)unlink(a.sun_path);
    net_close(net);

    char path[300];
    memset(path, 'p', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    net = net_open();
    dial(net, NULL, path, 0, US_PER_S);
    TURN_UNTIL(net, net->client.told[CONN_CLOSED]);
    assert_non_null(strstr(net->client.why, "too long"));
    net_close(net);

    net = net_open();
    dial(net, NULL, "/nowhere/at/all.sock", 0, US_PER_S);
    TURN_UNTIL(net, net->client.told[CONN_CLOSED]);
    assert_non_null(strstr(net->client.why, "No such file"));
    net_close(net);
}

/* Closed before anything happened, in each stage. */
static void test_close_while_connecting(void **state)
{
    struct net *net = net_open();
    struct resolver *r = resolver_create(net->l);
    int fillers[4];
    uint16_t port;
    (void)state;
    int deaf = deaf_listener(INADDR_LOOPBACK, &port, fillers);
    dial(net, r, "localhost", net->port, US_PER_S);
    conn_close(&net->client.c, CONN_END_FLUSH);
    dial(net, NULL, "127.0.0.1", port, US_PER_S);
    conn_close(&net->client.c, CONN_END_FLUSH);
    dial(net, NULL, "127.0.0.1", port, US_PER_S);
    TURN_FOR_MS(net, 10);
    conn_close(&net->client.c, CONN_END_FLUSH);
    TURN_FOR_MS(net, 10);
    assert_int_equal(net->client.told[CONN_CLOSED] + net->client.told[CONN_CONNECTED], 0);
    for (int i = 0; i < 4; i++)
        (void)close(fillers[i]);
    (void)close(deaf);
    resolver_destroy(&r);
    net_close(net);
}

/* The server sees the address that was asked for, which need not be this host's. */
static void test_source(void **state)
{
    struct net *net = net_open();
    struct endpoint as = {.ip = {127, 0, 0, 9}, .ip_n = 4, .port = 99}, six = {.ip_n = 16};
    struct conn_target to = {
        .host = "127.0.0.1", .port = net->port, .deadline_us = SECONDS(3), .source = &as};
    struct sockaddr_in peer;
    socklen_t n = sizeof peer;
    (void)state;
    if (!origin_may_be_borrowed()) {
        net_close(net);
        skip(); /* needs CAP_NET_RAW */
    }
    net->keep_fd = true;
    net->client.c = conn_connect(net->l, NULL, &to, &party_events, &net->client);
    TURN_UNTIL(net, net->accepted_fd >= 0 && net->client.told[CONN_CONNECTED]);
    assert_int_equal(getpeername(net->accepted_fd, (struct sockaddr *)&peer, &n), 0);
    assert_int_equal(ntohl(peer.sin_addr.s_addr), 0x7f000009);
    assert_int_not_equal(ntohs(peer.sin_port), 99);
    conn_close(&net->client.c, CONN_END_NOW);

    to.source = &six;
    net->client.c = conn_connect(net->l, NULL, &to, &party_events, &net->client);
    TURN_UNTIL(net, net->client.told[CONN_CLOSED]);
    assert_non_null(strstr(net->client.why, "not the same family"));
    net_close(net);
}

static void test_socket_options(void **state)
{
    struct net *net = net_open();
    int on = 0;
    socklen_t n = sizeof on;
    (void)state;
    net->keep_fd = true;
    net_dial(net);
    TURN_UNTIL(net, net->accepted_fd >= 0 && net->client.told[CONN_CONNECTED]);
    assert_int_equal(getsockopt(net->accepted_fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    assert_int_equal(on, 1);
    assert_int_equal(getsockopt(net->accepted_fd, SOL_SOCKET, SO_KEEPALIVE, &on, &n), 0);
    assert_int_equal(on, 1);
    assert_int_equal(getsockopt(net->accepted_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &on, &n), 0);
    assert_int_equal(on, 120000);
    assert_true(fcntl(net->accepted_fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(net->accepted_fd, F_GETFD) & FD_CLOEXEC);
    net_close(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_second_address),
        cmocka_unit_test(test_deadline_ends_with_connecting),
        cmocka_unit_test(test_name_that_is_none),
        cmocka_unit_test(test_name_without_resolver),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_close_while_connecting),
        cmocka_unit_test(test_source),
        cmocka_unit_test(test_socket_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
