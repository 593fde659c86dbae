/* SPDX-License-Identifier: MIT */
/* How connections end: flushed, at once, or with a reset; and what a slow or stubborn peer can do about it.
 */
#include "party.h"

static void test_flush_while_the_peer_is_slow(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    size_t total = (size_t)6 * 1024 * 1024;
    char *pattern = pattern_make(total), *seen = malloc(total);
    bool was_reset = false;
    (void)state;
    assert_non_null(seen);
    assert_int_equal(send(raw, "not read by anybody", 19, 0), 19);
    TURN_UNTIL(net, net->server.calls);
    assert_true(conn_write(net->server.c, span_make(pattern, total)));
    assert_int_equal(send(raw, "nor this", 8, 0), 8);
    conn_close(&net->server.c, CONN_END_FLUSH);
    TURN_FOR_MS(net, 50); /* the kernel is full, the peer has read nothing */
    size_t n = raw_drain(net, raw, seen, total, &was_reset);
    assert_false(was_reset);
    assert_int_equal(n, total);
    assert_memory_equal(seen, pattern, total);
    (void)close(raw);

    free(pattern);
    free(seen);
    net_close(net);
}

/* After our FIN the socket stays for what the peer still sends, so that no RST eats our last words. */
static void test_lingering(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    int before = count_fds();
    char seen[32];
    (void)state;
    say(&net->server, "421 bye");
    conn_close(&net->server.c, CONN_END_FLUSH);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(send(raw, "MAIL FROM", 9, MSG_NOSIGNAL), 9);
        TURN_FOR_MS(net, 2);
    }
    assert_int_equal(recv(raw, seen, sizeof seen, 0), 7);
    assert_int_equal(recv(raw, seen, sizeof seen, 0), 0);
    (void)close(raw);
    TURN_UNTIL_MS(net, 1000, count_fds() == before - 2); /* the peer's end ends it, before any timer */
    assert_int_equal(count_fds(), before - 2);
    assert_int_equal(net->server.told[CONN_CLOSED] + net->server.told[CONN_EOF], 0);
    net_close(net);
}

static int open_fds(struct net *net, int more)
{
    return count_fds() - net->fds_before - more;
}

/* A peer that ignores our FIN holds the descriptor for two seconds, or for 64 KiB. */
static void test_lingering_is_bounded(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    int before = count_fds();
    char junk[16 * 1024] = {0};
    (void)state;
    conn_close(&net->server.c, CONN_END_FLUSH);
    TURN_FOR_MS(net, 300);
    assert_int_equal(count_fds(), before);
    TURN_UNTIL(net, count_fds() == before - 1);
    (void)close(raw);

    raw = net_raw_client(net);
    before = count_fds();
    conn_close(&net->server.c, CONN_END_FLUSH);
    for (int i = 0; i < 8 && count_fds() == before; i++) {
        if (send(raw, junk, sizeof junk, MSG_NOSIGNAL) < 0)
            break;
        TURN_FOR_MS(net, 5);
    }
    assert_int_equal(count_fds(), before - 1);
    (void)close(raw);
    assert_true(open_fds(net, 0) > 0);
    net_close(net);
}

/* A peer that reads nothing and says nothing: close_us for what was written, two fifths of it for the rest.
 */
static void test_patience(void **state)
{
    (void)state;
    for (int unread = 0; unread < 2; unread++) {
        struct net *net = net_open();
        int raw = net_raw_client(net);
        int before = count_fds();
        size_t n = unread ? (size_t)16 * 1024 * 1024 : 1;
        char *bytes = pattern_make(n);
        loop_patience(net->l)->close_us = MS(200);
        uint64_t start = clock_mono_us();
        assert_true(conn_write(net->server.c, span_make(bytes, n)));
        conn_close(&net->server.c, CONN_END_FLUSH);
        TURN_UNTIL(net, count_fds() == before - 1);
        assert_in_range(clock_mono_us() - start, unread ? MS(190) : MS(75), SECONDS(2));
        free(bytes);
        (void)close(raw);
        net_close(net);
    }
}

static void test_reset(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    char byte;
    (void)state;
    say(&net->server, "half an answer");
    conn_close(&net->server.c, CONN_END_RESET);
    assert_null(net->server.c);
    assert_int_equal(recv(raw, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    (void)close(raw);
    net_close(net);
}

static void test_now_sends_nothing_more(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    char byte;
    (void)state;
    say(&net->server, "never sent");
    conn_close(&net->server.c, CONN_END_NOW);
    conn_close(&net->server.c, CONN_END_NOW); /* NULL is taken */
    assert_int_equal(recv(raw, &byte, 1, 0), 0);
    (void)close(raw);
    net_close(net);
}

/* A conn that flushes in the background has no owner; the loop's end is its end. */
static void test_loop_ends_while_flushing(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    size_t total = (size_t)6 * 1024 * 1024;
    char *pattern = pattern_make(total);
    (void)state;
    assert_true(conn_write(net->server.c, span_make(pattern, total)));
    conn_close(&net->server.c, CONN_END_FLUSH);
    TURN_FOR_MS(net, 10);
    free(pattern);
    (void)close(raw);
    net_close(net); /* counts descriptors; the sanitizer counts memory */
}

/* The peer is gone while output waits: the conn ends by itself. */
static void test_peer_leaves_while_flushing(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    int before = count_fds();
    size_t total = (size_t)6 * 1024 * 1024;
    char *pattern = pattern_make(total);
    (void)state;
    assert_true(conn_write(net->server.c, span_make(pattern, total)));
    conn_close(&net->server.c, CONN_END_FLUSH);
    TURN_FOR_MS(net, 10);
    (void)close(raw);
    TURN_UNTIL(net, count_fds() == before - 2);
    free(pattern);
    net_close(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flush_while_the_peer_is_slow),
        cmocka_unit_test(test_lingering),
        cmocka_unit_test(test_lingering_is_bounded),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_now_sends_nothing_more),
        cmocka_unit_test(test_loop_ends_while_flushing),
        cmocka_unit_test(test_peer_leaves_while_flushing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
