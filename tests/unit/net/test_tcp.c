/* SPDX-License-Identifier: MIT */
/* What TCP does beside bytes in order: urgent data, and peers that fall silent without an end. */
#include "party.h"

#include <linux/filter.h>

/* A byte that was sent as urgent is read where it was sent (one that is missing makes two messages of one).
 */
static void test_urgent_bytes_stay_in_place(void **state)
{
    (void)state;
    for (int accepted = 0; accepted < 2; accepted++) {
        struct net *net = net_open();
        int raw = accepted ? net_raw_client(net) : net_raw_server(net);
        struct party *p = accepted ? &net->server : &net->client;
        assert_int_equal(send(raw, "Subject: a\r\n", 12, 0), 12);
        assert_int_equal(send(raw, ".", 1, MSG_OOB), 1);
        assert_int_equal(send(raw, "\r\n", 2, 0), 2);
        assert_int_equal(send(raw, "x", 1, MSG_OOB), 1);
        assert_int_equal(send(raw, "y", 1, MSG_OOB), 1); /* the older mark is forgotten, its byte is not */
        TURN_UNTIL(net, buf_len(&p->got) >= 17);
        assert_true(party_has(p, "Subject: a\r\n.\r\nxy"));
        (void)close(raw);
        net_close(net);
    }
}

/* From now on nothing reaches this socket, so its end acknowledges nothing. */
static void go_deaf(int fd)
{
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog all = {.len = 1, .filter = &drop};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all), 0);
}

static struct net *impatient(void)
{
    struct net *net = net_open();
    loop_patience(net->l)->silent_us = SECONDS(1);
    listener_destroy(&net->listener);
    net->listener = listener_watch(net->l, net->listen_fd, on_accepted, net);
    assert_non_null(net->listener);
    return net;
}

/* It waits for us, or we for it: found out either way, on both legs. */
static void test_silent_peers(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct net *net = impatient();
        bool accepted = i & 1, talking = i & 2;
        int raw = accepted ? net_raw_client(net) : net_raw_server(net);
        struct party *p = accepted ? &net->server : &net->client;
        go_deaf(raw);
        if (talking)
            say(p, "250 can you hear me?\r\n");
        uint64_t start = clock_mono_us();
        TURN_UNTIL_MS(net, 8000, p->told[CONN_CLOSED]);
        assert_int_equal(p->told[CONN_CLOSED], 1);
        assert_true(clock_mono_us() - start > MS(500));
        assert_non_null(strstr(p->why, "timed out"));
        (void)close(raw);
        net_close(net);
    }
}

/* Who only has nothing to say is left alone. */
static void test_quiet_peers(void **state)
{
    struct net *net = impatient();
    int raw = net_raw_client(net);
    (void)state;
    TURN_FOR_MS(net, 2200);
    assert_int_equal(net->server.told[CONN_CLOSED], 0);
    (void)close(raw);
    net_close(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urgent_bytes_stay_in_place),
        cmocka_unit_test(test_silent_peers),
        cmocka_unit_test(test_quiet_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
