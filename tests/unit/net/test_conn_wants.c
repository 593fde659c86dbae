/* SPDX-License-Identifier: MIT */
/* A transport that wants the opposite of what it was asked for: reading needs the socket writable, writing
 * needs it readable, writes are short, wake-ups come for nothing. No byte may be lost, and nothing may spin.
 *
 *   conn -> moody transport -> tcp_transport
 */
#include "net/conn_parts.h"
#include "tls_peer.h"

#include <sys/resource.h>

enum { BULK = 1024 * 1024 };

/* The ops have no context of their own. */
static struct {
    unsigned seed;
    unsigned long calls, opposite_reads, opposite_writes, short_writes;
} mood;

static unsigned dice(unsigned sides)
{
    mood.seed = mood.seed * 1103515245u + 12345u;
    return (mood.seed >> 16) % sides;
}

static bool has_input(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static enum transport_result moody_read(struct transport *t, char *p, size_t n, size_t *got_r)
{
    mood.calls++;
    *got_r = 0;
    switch (dice(4)) {
    case 0:
        mood.opposite_reads++;
        return TRANSPORT_WANTS_WRITE;
    case 1:
        return TRANSPORT_WANTS_READ; /* woken for nothing */
    case 2:
        n = 1 + dice(300);
        break;
    default:
        break;
    }
    return tcp_transport.read(t, p, n, got_r);
}

/* Wants to read only where there is something to be read: the peer of a real one has an answer to give. */
static enum transport_result moody_write(struct transport *t, struct span bytes, size_t *sent_r)
{
    mood.calls++;
    *sent_r = 0;
    if (dice(3) == 0 && has_input(t->fd)) {
        mood.opposite_writes++;
        return TRANSPORT_WANTS_READ;
    }
    if (dice(3) == 0)
        return TRANSPORT_WANTS_WRITE;
    if (dice(2) == 0 && bytes.n > 1) {
        mood.short_writes++;
        bytes = span_head(bytes, 1 + dice((unsigned)(bytes.n > 5000 ? 5000 : bytes.n)));
    }
    return tcp_transport.write(t, bytes, sent_r);
}

static enum transport_result moody_shutdown(struct transport *t)
{
    return dice(3) ? TRANSPORT_WANTS_WRITE : tcp_transport.shutdown(t);
}

static bool moody_pending(const struct transport *t)
{
    return tcp_transport.pending(t);
}

static enum transport_result moody_handshake(struct transport *t)
{
    return tcp_transport.handshake(t);
}

static const struct transport_ops moody = {moody_handshake, moody_read, moody_write, moody_shutdown,
                                           moody_pending};

static void turn_idle(struct net *net, unsigned ms)
{
    unsigned long before = mood.calls;
    TURN_FOR_MS(net, ms);
    assert_in_range(mood.calls - before, 0, 20); /* quiet, once what was begun is done */
}

static void check_bulk(unsigned seed)
{
    struct net *net = net_joined();
    char *up = pattern_make(BULK), *down = pattern_make(BULK);
    size_t at = 0;
    mood.seed = seed;
    net->server.c->t.ops = &moody;
    net->client.c->t.ops = &moody;
    down[7] = '!';
    for (; at < BULK; at += 16384) { /* both at once, with a turn in between */
        assert_true(conn_write(net->client.c, span_make(up + at, 16384)));
        assert_true(conn_write(net->server.c, span_make(down + at, 16384)));
        TURN_FOR_MS(net, 1);
    }
    TURN_UNTIL_MS(net, 20000, buf_len(&net->server.got) == BULK && buf_len(&net->client.got) == BULK);
    assert_int_equal(buf_len(&net->server.got), BULK);
    assert_int_equal(buf_len(&net->client.got), BULK);
    assert_memory_equal(buf_span(&net->server.got).p, up, BULK);
    assert_memory_equal(buf_span(&net->client.got).p, down, BULK);
    turn_idle(net, 100);
    say(&net->client, "last words");
    conn_close(&net->client.c, CONN_END_FLUSH);
    TURN_UNTIL(net, net->server.told[CONN_EOF]);
    assert_int_equal(buf_len(&net->server.got), BULK + 10);
    free(up);
    free(down);
    net_close(net);
}

static void test_opposite_wishes(void **state)
{
    (void)state;
    memset(&mood, 0, sizeof mood);
    for (unsigned seed = 1; seed <= 4; seed++)
        check_bulk(seed);
    assert_true(mood.opposite_reads > 20 && mood.opposite_writes > 20 && mood.short_writes > 20);
}

/* ---- a handshake that does not fit into the socket ---- */

static uint64_t cpu_us(void)
{
    struct rusage u;
    assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * US_PER_S + (uint64_t)u.ru_utime.tv_usec +
           (uint64_t)u.ru_stime.tv_usec;
}

static struct tls_server *long_chain(const struct authority *a, char *pem, size_t size)
{
    size_t n = a->good.certificate_pem.n;
    memcpy(pem, a->good.certificate_pem.p, n);
    while (n + a->ca.certificate_pem.n <= size) {
        memcpy(pem + n, a->ca.certificate_pem.p, a->ca.certificate_pem.n);
        n += a->ca.certificate_pem.n;
    }
    struct tls_pair pair = {span_make(pem, n), a->good.key_pem, "long"};
    return server_make(&pair, 1, NULL);
}

/* Both sockets are as small as they can be. */
static int small_client(struct net *net)
{
    int small = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(net->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(net->listen_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    TURN_UNTIL(net, net->server.c);
    return fd;
}

static void test_handshake_wants_to_write(void **state)
{
    struct authority a = authority_make();
    char *pem = malloc(60000);
    assert_non_null(pem);
    struct tls_server *s = long_chain(&a, pem, 60000);
    (void)state;
    for (int reads = 0; reads < 2; reads++) {
        struct net *net = net_open();
        int raw = small_client(net);
        assert_true(conn_tls_accept(net->server.c, s, MS(reads ? 4000 : 500)));
        struct tls_peer t = tls_peer_open(raw, 0);
        (void)SSL_do_handshake(t.ssl);
        tls_peer_send(net, &t);
        TURN_UNTIL(net, net->server.c->write_blocked);
        uint64_t before = cpu_us();
        TURN_FOR_MS(net, 300); /* nobody reads: it waits */
        assert_in_range(cpu_us() - before, 0, MS(150));
        assert_int_equal(net->server.told[CONN_TLS] + net->server.told[CONN_CLOSED], 0);
        if (reads) {
            assert_int_equal(tls_peer_handshake(net, &t), 1);
            TURN_UNTIL(net, net->server.told[CONN_TLS]);
        } else {
            TURN_UNTIL(net, net->server.told[CONN_CLOSED]);
            assert_non_null(strstr(net->server.why, "not finished in time"));
        }
        tls_peer_close(&t);
        net_close(net);
    }
    tls_server_unref(&s);
    free(pem);
    authority_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opposite_wishes),
        cmocka_unit_test(test_handshake_wants_to_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
