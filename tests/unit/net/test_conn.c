/* SPDX-License-Identifier: MIT */
/* An open connection without TLS: bytes both ways, what is not taken, back-pressure, ends of the stream, and
 * closing from inside callbacks. */
#include "party.h"

static void echo(struct party *p)
{
    assert_true(conn_write(p->c, buf_span(&p->got)));
    buf_consume(&p->got, buf_len(&p->got));
}

static void test_echo(void **state)
{
    struct net *net = net_joined();
    (void)state;
    net->server.on_data = echo;
    say(&net->client, "hello");
    TURN_UNTIL(net, party_has(&net->client, "hello"));
    assert_int_equal(conn_unsent(net->client.c), 0);
    assert_int_equal(conn_unread(net->client.c), 0);
    assert_null(conn_tls_info(net->client.c).version);
    net_close(net);
}

static void test_peer_address(void **state)
{
    struct net *net = net_joined();
    unsigned char ip[16] = {0};
    char want[64];
    (void)state;
    (void)snprintf(want, sizeof want, "127.0.0.1:%u", (unsigned)net->port);
    struct span text = conn_peer_text(net->client.c);
    assert_true(span_eq(text, span_of(want)));
    assert_int_equal(conn_peer_port(net->client.c), net->port);
    assert_int_equal(conn_peer_ip(net->server.c, ip), 4);
    assert_memory_equal(ip, "\x7f\0\0\1", 4);
    assert_true(conn_peer_port(net->server.c) != 0);
    net_close(net);
}

/* Many small writes of one turn leave in one system call, and so in one segment. A SEQPACKET socket keeps the
 * calls apart. */
static void test_writes_coalesce(void **state)
{
    struct net *net = net_open();
    int pair[2];
    char seen[4096];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    net->server.c = conn_accept(net->l, pair[0], &party_events, &net->server);
    assert_non_null(net->server.c);
    assert_true(span_eq(conn_peer_text(net->server.c), SPAN_LIT("unix")));
    for (int i = 0; i < 200; i++)
        say(&net->server, "0123456789");
    assert_int_equal(conn_unsent(net->server.c), 2000);
    TURN_UNTIL(net, conn_unsent(net->server.c) == 0);
    assert_int_equal(recv(pair[1], seen, sizeof seen, 0), 2000);
    (void)close(pair[1]);
    net_close(net);
}

/* What is not taken comes again, with more behind it, or when asked for. */
static void test_partial_consumption(void **state)
{
    struct net *net = net_joined();
    (void)state;
    net->server.takes = 3;
    say(&net->client, "abcdefgh");
    TURN_UNTIL(net, party_has(&net->server, "abc"));
    assert_int_equal(conn_unread(net->server.c), 5);
    TURN_FOR_MS(net, 10);
    assert_int_equal(net->server.calls, 1); /* nothing new: it is not offered by itself */
    say(&net->client, "ij");
    TURN_UNTIL(net, party_has(&net->server, "abcdef"));
    assert_int_equal(net->server.largest, 8);
    assert_int_equal(conn_unread(net->server.c), 4);
    conn_resume(net->server.c);
    TURN_UNTIL(net, party_has(&net->server, "abcdefghi"));
    net->server.takes = 0;
    conn_resume(net->server.c);
    TURN_UNTIL(net, party_has(&net->server, "abcdefghij"));
    conn_resume(net->server.c); /* with nothing there */
    TURN_FOR_MS(net, 5);
    assert_int_equal(net->server.calls, 4);
    net_close(net);
}

static void resume_while_there_is_more(struct party *p)
{
    conn_resume(p->c);
}

static void test_resume_from_inside_data(void **state)
{
    struct net *net = net_joined();
    (void)state;
    net->server.takes = 1;
    net->server.on_data = resume_while_there_is_more;
    say(&net->client, "abcdefgh");
    TURN_UNTIL(net, party_has(&net->server, "abcdefgh"));
    assert_int_equal(net->server.calls, 8);
    net_close(net);
}

/* Reading stops at CONN_IN_MAX, past which one read may go, and goes on when the owner has taken something;
 * nothing is lost. */
static void test_input_is_bounded(void **state)
{
    struct net *net = net_joined();
    size_t total = 4 * LOOP_READ_SIZE;
    char *pattern = pattern_make(total);
    (void)state;
    net->server.reads_nothing = true;
    assert_true(conn_write(net->client.c, span_make(pattern, total)));
    TURN_UNTIL(net, conn_unread(net->server.c) >= CONN_IN_MAX);
    TURN_FOR_MS(net, 20);
    assert_true(conn_unread(net->server.c) <= LOOP_READ_SIZE);
    net->server.reads_nothing = false;
    conn_resume(net->server.c);
    TURN_UNTIL(net, buf_len(&net->server.got) == total);
    assert_memory_equal(buf_span(&net->server.got).p, pattern, total);
    free(pattern);
    net_close(net);
}

static void test_pause(void **state)
{
    struct net *net = net_joined();
    (void)state;
    conn_pause(net->server.c, true);
    say(&net->client, "x");
    TURN_FOR_MS(net, 20);
    assert_int_equal(net->server.calls, 0);
    conn_pause(net->server.c, false);
    TURN_UNTIL(net, party_has(&net->server, "x"));
    net_close(net);
}

/* One turn gives each connection its share: a flood on one does not keep the loop. */
static void test_budget_a_turn(void **state)
{
    struct net *net = net_joined();
    size_t total = (size_t)3 * 1024 * 1024;
    char *pattern = pattern_make(total);
    (void)state;
    conn_pause(net->server.c, true);
    TURN_FOR_MS(net, 5);
    assert_true(conn_write(net->client.c, span_make(pattern, total)));
    TURN_FOR_MS(net, 30); /* the kernel's buffers are full now */
    conn_pause(net->server.c, false);
    size_t most = 0, before = 0;
    while (buf_len(&net->server.got) < total) {
        ev_run(loop_ev(net->l), EVRUN_ONCE);
        size_t now = buf_len(&net->server.got);
        if (now - before > most)
            most = now - before;
        before = now;
    }
    assert_true(most <= 8 * LOOP_READ_SIZE);
    assert_memory_equal(buf_span(&net->server.got).p, pattern, total);
    free(pattern);
    net_close(net);
}

static void note_unsent(struct party *p, enum conn_event e)
{
    if (e == CONN_DRAINED)
        assert_true(conn_unsent(p->c) < CONN_OUT_LOW);
}

static void test_back_pressure(void **state)
{
    struct net *net = net_joined();
    size_t piece = (size_t)64 * 1024, total = 0;
    char *pattern = pattern_make(piece);
    (void)state;
    conn_pause(net->server.c, true);
    TURN_FOR_MS(net, 5);
    while (!conn_full(net->client.c)) {
        assert_true(conn_write(net->client.c, span_make(pattern, piece)));
        total += piece;
        TURN_FOR_MS(net, 1);
        assert_true(total < (size_t)256 * 1024 * 1024);
    }
    assert_true(conn_unsent(net->client.c) > CONN_OUT_HIGH);
    assert_true(conn_unsent(net->client.c) <= CONN_OUT_HIGH + piece);
    for (int i = 0; i < 200; i++) { /* an owner that goes on: it is still taken */
        assert_true(conn_write(net->client.c, span_make(pattern, piece)));
        total += piece;
    }
    assert_int_equal(net->client.told[CONN_DRAINED], 0);
    net->client.on_event = note_unsent;
    conn_pause(net->server.c, false);
    TURN_UNTIL(net, net->client.told[CONN_DRAINED]);
    assert_false(conn_full(net->client.c));
    TURN_UNTIL(net, buf_len(&net->server.got) == total);
    assert_int_equal(net->client.told[CONN_DRAINED], 1);
    for (size_t at = 0; at < total; at += piece)
        assert_memory_equal(buf_span(&net->server.got).p + at, pattern, piece);
    free(pattern);
    net_close(net);
}

/* ---- the end of the stream ---- */

static void test_eof_and_answer(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    char seen[16];
    (void)state;
    assert_int_equal(send(raw, "bye", 3, 0), 3);
    assert_int_equal(shutdown(raw, SHUT_WR), 0);
    TURN_UNTIL(net, net->server.told[CONN_EOF]);
    assert_true(party_has(&net->server, "bye"));
    assert_int_equal(net->server.told[CONN_CLOSED], 0);
    say(&net->server, "221"); /* half-closed peers still read */
    TURN_UNTIL(net, conn_unsent(net->server.c) == 0);
    assert_int_equal(recv(raw, seen, sizeof seen, 0), 3);
    TURN_FOR_MS(net, 10);
    assert_int_equal(net->server.told[CONN_EOF], 1);
    (void)close(raw);
    net_close(net);
}

/* The owner sees all bytes before it sees the end. */
static void test_eof_waits_for_bytes(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    (void)state;
    net->server.takes = 2;
    assert_int_equal(send(raw, "abcd", 4, 0), 4);
    (void)close(raw);
    TURN_UNTIL(net, party_has(&net->server, "ab"));
    TURN_FOR_MS(net, 10);
    assert_int_equal(net->server.told[CONN_EOF], 0);
    conn_resume(net->server.c);
    TURN_UNTIL(net, net->server.told[CONN_EOF]);
    assert_true(party_has(&net->server, "abcd"));
    net_close(net);
}

static void reset(int fd)
{
    struct linger none = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
    (void)close(fd);
}

static void test_reset_by_peer(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    (void)state;
    reset(raw);
    TURN_UNTIL(net, net->server.told[CONN_CLOSED]);
    assert_non_null(strstr(net->server.why, "reset by peer"));
    net_close(net);
}

/* The last words of a peer are heard although writing to it has failed. */
static void test_last_words(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    (void)state;
    conn_pause(net->server.c, true);
    TURN_FOR_MS(net, 5);
    assert_int_equal(send(raw, "421 bye", 7, 0), 7);
    assert_int_equal(shutdown(raw, SHUT_RD), 0);
    (void)close(raw);
    say(&net->server, "x");
    TURN_FOR_MS(net, 20); /* answered with RST */
    conn_pause(net->server.c, false);
    say(&net->server, "y");
    TURN_UNTIL(net, net->server.told[CONN_CLOSED] || net->server.told[CONN_EOF]);
    assert_true(party_has(&net->server, "421 bye"));
    net_close(net);
}

static void test_write_after_peer_is_gone(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    (void)state;
    (void)close(raw);
    TURN_UNTIL(net, net->server.told[CONN_EOF]);
    for (int i = 0; i < 50 && net->server.c; i++) {
        say(&net->server, "x");
        TURN_FOR_MS(net, 3);
    }
    assert_int_equal(net->server.told[CONN_CLOSED], 1);
    assert_non_null(strstr(net->server.why, "writing"));
    net_close(net);
}

static void test_byte_by_byte(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    const char *text = "EHLO client.example.org\r\n";
    (void)state;
    for (size_t i = 0; i < strlen(text); i++) {
        assert_int_equal(send(raw, text + i, 1, 0), 1);
        TURN_UNTIL(net, buf_len(&net->server.got) == i + 1);
    }
    assert_true(party_has(&net->server, text));
    (void)close(raw);
    net_close(net);
}

/* ---- another owner ---- */

static void test_set_events(void **state)
{
    struct net *net = net_joined();
    struct party other = {.c = net->server.c};
    (void)state;
    conn_set_events(net->server.c, &party_events, &other);
    say(&net->client, "hi");
    TURN_UNTIL(net, party_has(&other, "hi"));
    assert_int_equal(net->server.calls, 0);
    buf_free(&other.got);
    net_close(net);
}

/* ---- closing from inside ---- */

static void close_me_now(struct party *p)
{
    conn_close(&p->c, CONN_END_NOW);
}
static void close_me_reset(struct party *p)
{
    conn_close(&p->c, CONN_END_RESET);
}

static void close_me_flushing(struct party *p)
{
    say(p, "221 bye\r\n");
    conn_close(&p->c, CONN_END_FLUSH);
    assert_null(p->c);
}

static void close_the_other(struct party *p)
{
    struct party *other = p->user;
    conn_close(&other->c, CONN_END_NOW);
}

static void on_event_close(struct party *p, enum conn_event e)
{
    if (e != CONN_CLOSED)
        conn_close(&p->c, CONN_END_NOW);
}

static void test_close_inside_data(void **state)
{
    void (*const ways[])(struct party *) = {close_me_now, close_me_reset, close_me_flushing};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++)
        for (size_t takes = 0; takes < 2; takes++) {
            struct net *net = net_joined();
            net->server.on_data = ways[i];
            net->server.takes = takes;
            say(&net->client, "some bytes");
            TURN_UNTIL(net, net->client.told[CONN_EOF] || net->client.told[CONN_CLOSED]);
            assert_int_equal(net->server.told[CONN_CLOSED], 0); /* no event follows */
            assert_int_equal(net->server.calls, 1);
            net_close(net);
        }
}

/* With bytes in `in`, whose memory the callback is looking at. */
static void test_close_inside_second_data(void **state)
{
    struct net *net = net_joined();
    (void)state;
    net->server.takes = 1;
    say(&net->client, "some bytes");
    TURN_UNTIL(net, net->server.calls == 1);
    net->server.on_data = close_me_flushing;
    conn_resume(net->server.c);
    TURN_UNTIL(net, net->client.told[CONN_EOF]);
    assert_true(party_has(&net->client, "221 bye\r\n"));
    net_close(net);
}

static void test_close_the_other_inside_data(void **state)
{
    struct net *net = net_joined();
    (void)state;
    net->server.on_data = close_the_other;
    net->server.user = &net->client;
    say(&net->client, "x");
    TURN_UNTIL(net, net->server.told[CONN_EOF] || net->server.told[CONN_CLOSED]);
    net_close(net);
}

static void test_close_inside_events(void **state)
{
    struct net *net = net_open();
    (void)state;
    net->client.on_event = on_event_close;
    net_dial(net);
    TURN_UNTIL(net, net->client.told[CONN_CONNECTED]);
    assert_null(net->client.c);
    TURN_UNTIL(net, net->server.told[CONN_EOF] || net->server.told[CONN_CLOSED]);
    net_close(net);

    net = net_joined();
    net->server.on_event = on_event_close;
    conn_close(&net->client.c, CONN_END_FLUSH);
    TURN_UNTIL(net, net->server.told[CONN_EOF]);
    assert_null(net->server.c);
    net_close(net);
}

static void on_drained_close(struct party *p, enum conn_event e)
{
    if (e == CONN_DRAINED)
        conn_close(&p->c, CONN_END_NOW);
}

static void test_close_inside_drained(void **state)
{
    struct net *net = net_joined();
    char *pattern = pattern_make(CONN_OUT_LOW);
    (void)state;
    conn_pause(net->server.c, true);
    net->client.on_event = on_drained_close;
    while (!conn_full(net->client.c))
        assert_true(conn_write(net->client.c, span_make(pattern, CONN_OUT_LOW)));
    conn_pause(net->server.c, false);
    TURN_UNTIL(net, net->client.told[CONN_DRAINED]);
    TURN_UNTIL(net, net->server.told[CONN_EOF] || net->server.told[CONN_CLOSED]);
    free(pattern);
    net_close(net);
}

static void on_closed_misuse(struct party *p, enum conn_event e)
{
    if (e != CONN_CLOSED)
        return;
    struct conn *c = p->c;
    assert_true(conn_write(c, SPAN_LIT("too late")));
    conn_resume(c);
    conn_close(&c, CONN_END_FLUSH);
}

/* A conn that is gone takes calls until its callback returns. */
static void test_calls_inside_closed(void **state)
{
    struct net *net = net_open();
    int raw = net_raw_client(net);
    (void)state;
    net->server.on_event = on_closed_misuse;
    reset(raw);
    TURN_UNTIL(net, net->server.told[CONN_CLOSED]);
    TURN_FOR_MS(net, 5);
    net_close(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_peer_address),
        cmocka_unit_test(test_writes_coalesce),
        cmocka_unit_test(test_partial_consumption),
        cmocka_unit_test(test_resume_from_inside_data),
        cmocka_unit_test(test_input_is_bounded),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_budget_a_turn),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_eof_and_answer),
        cmocka_unit_test(test_eof_waits_for_bytes),
        cmocka_unit_test(test_reset_by_peer),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_write_after_peer_is_gone),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_set_events),
        cmocka_unit_test(test_close_inside_data),
        cmocka_unit_test(test_close_inside_second_data),
        cmocka_unit_test(test_close_the_other_inside_data),
        cmocka_unit_test(test_close_inside_events),
        cmocka_unit_test(test_close_inside_drained),
        cmocka_unit_test(test_calls_inside_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
