/* SPDX-License-Identifier: MIT */
/* Many connections whose owners do anything at any time, from inside and outside of callbacks. Nothing is
 * said about what arrives where; the sanitizers say whether memory and descriptors are right. */
#include "net/conn_parts.h"
#include "net/tls_ssl.h"
#include "tls_peer.h"

enum { ENDS = 24, ROUNDS = 4000 };

struct chaos {
    struct net *net;
    struct tls_server *s, *minting;
    struct tls_client *c;
    struct tls_shown *like;
    struct party end[ENDS];
    unsigned seed;
    unsigned long closed, connected, tls, presented;
};

static unsigned dice(struct chaos *k, unsigned sides)
{
    k->seed = k->seed * 1103515245u + 12345u;
    return (k->seed >> 16) % sides;
}

static void act(struct chaos *k, struct party *p);

static void chaos_data(struct party *p)
{
    struct chaos *k = p->user;
    p->takes = dice(k, 3) ? 0 : 1 + dice(k, 40);
    buf_consume(&p->got, buf_len(&p->got));
    act(k, p);
}

static void chaos_event(struct party *p, enum conn_event e)
{
    struct chaos *k = p->user;
    k->closed += e == CONN_CLOSED;
    k->connected += e == CONN_CONNECTED;
    k->tls += e == CONN_TLS;
    if (e != CONN_CLOSED)
        act(k, p);
}

static struct party *free_end(struct chaos *k)
{
    for (size_t i = 0; i < ENDS; i++)
        if (!k->end[i].c)
            return &k->end[i];
    return NULL;
}

static void chaos_accepted(void *ctx, int fd)
{
    struct chaos *k = ctx;
    struct party *p = free_end(k);
    if (!p) {
        (void)close(fd);
        return;
    }
    p->c = conn_accept(k->net->l, fd, &party_events, p);
    assert_non_null(p->c);
}

static void dial(struct chaos *k)
{
    struct party *p = free_end(k);
    struct conn_target to = {.host = "127.0.0.1", .port = k->net->port, .deadline_us = US_PER_S};
    if (p)
        p->c = conn_connect(k->net->l, NULL, &to, &party_events, p);
}

/* Something random, mostly with p and sometimes with another. */
static void act(struct chaos *k, struct party *p)
{
    static const char bytes[70000];
    if (!dice(k, 8))
        p = &k->end[dice(k, ENDS)];
    if (!p->c)
        return;
    switch (dice(k, 16)) {
    case 0:
        conn_close(&p->c, CONN_END_FLUSH);
        break;
    case 1:
        conn_close(&p->c, dice(k, 2) ? CONN_END_NOW : CONN_END_RESET);
        break;
    case 2:
        (void)!conn_tls_accept(p->c, dice(k, 2) ? k->s : k->minting, MS(50));
        break;
    case 3:
        (void)!conn_tls_connect(p->c, k->c, "mail.example.org", NULL, MS(50));
        break;
    case 4:
        conn_pause(p->c, dice(k, 2));
        break;
    case 5:
        conn_resume(p->c);
        break;
    case 6:
    case 7:
        k->presented += conn_tls_present(p->c, k->like);
        break;
    default:
        assert_true(conn_write(p->c, span_make(bytes, dice(k, 5) ? dice(k, 100) : dice(k, sizeof bytes))));
    }
}

static bool enough(const struct chaos *k)
{
    return k->closed > 50 && k->connected > 50 && k->tls > 10 && k->presented > 10;
}

static void test_chaos(void **state)
{
    struct authority a = authority_make();
    struct chaos k = {.net = net_open(), .s = server_of(&a.good), .c = client_of(NULL), .seed = 7};
    struct tls_pair ca = pair_of(&a.ca, "ca");
    struct tls_server_options o = {.mint = &ca};
    char error[256];
    (void)state;
    k.minting = tls_server_create(&o, error, sizeof error);
    k.like = tls_shown_make(a.good.certificate, true, X509_V_OK);
    assert_non_null(k.minting);
    assert_non_null(k.like);
    for (size_t i = 0; i < ENDS; i++)
        k.end[i] = (struct party){.on_data = chaos_data, .on_event = chaos_event, .user = &k};
    listener_destroy(&k.net->listener);
    k.net->listener = listener_watch(k.net->l, k.net->listen_fd, chaos_accepted, &k);
    for (int i = 0; i < ROUNDS || (i < 20 * ROUNDS && !enough(&k)); i++) {
        if (!dice(&k, 2))
            dial(&k);
        act(&k, &k.end[dice(&k, ENDS)]);
        ev_run(loop_ev(k.net->l), EVRUN_NOWAIT);
    }
    assert_true(enough(&k));
    for (size_t i = 0; i < ENDS; i++) {
        conn_close(&k.end[i].c, CONN_END_FLUSH);
        buf_free(&k.end[i].got);
    }
    tls_server_unref(&k.s);
    tls_server_unref(&k.minting);
    tls_shown_unref(&k.like);
    tls_client_unref(&k.c);
    authority_free(&a);
    net_close(k.net);
}

/* What a connection without traffic costs. */
static void test_idle_costs_little(void **state)
{
    struct net *net = net_joined();
    (void)state;
    say(&net->client, "EHLO client.example.org\r\n");
    TURN_UNTIL(net, buf_len(&net->server.got));
    say(&net->server, "250 mail.example.org\r\n");
    TURN_UNTIL(net, buf_len(&net->client.got));
    assert_null(net->server.c->in.data);
    assert_null(net->server.c->out.data);
    assert_null(net->client.c->in.data);
    assert_null(net->client.c->out.data);
    assert_null(net->client.c->connector);
    assert_true(sizeof(struct conn) <= 640);
    net_close(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chaos),
        cmocka_unit_test(test_idle_costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
