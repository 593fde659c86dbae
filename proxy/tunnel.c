/* SPDX-License-Identifier: MIT */
/* Two connections, each the writer of what the other reads.
 *
 *   client conn --data--> conn_write(server conn)        and the other way
 *        ^---- paused while the other's output is above its high mark
 *
 * A tunnel owns both connections. It ends when either peer ends its side (TLS inside has said goodbye before,
 * and what it wrote last still goes out), when a connection breaks, or when nobody has said anything for too
 * long. */
#include "proxy/tunnel.h"

#include <stdlib.h>
#include <string.h>

struct tunnel_end {
    struct tunnel *tunnel;
    struct conn *conn; /* NULL: the tunnel is over */
    struct tunnel_end *other;
    uint64_t octets; /* that its peer sent */
};

struct tunnel {
    struct loop *loop;
    struct tunnel_end client, server;
    uint64_t began_us, heard_us, idle_us;
    struct loop_timer idle;
    void (*over)(void *arg, const struct tunnel_report *r);
    void *arg;
};

/* `gone`: the end whose connection is not there any more, or NULL. The caller may destroy the tunnel in
 * `over`: nothing of it is touched after that. */
static void end(struct tunnel *t, struct tunnel_end *gone, enum conn_end how, const char *why)
{
    if (!t->client.conn)
        return; /* it is over already */
    char text[CONN_ADDRESS_TEXT];
    struct span client_text = conn_peer_text(t->client.conn);
    memcpy(text, client_text.p, client_text.n);
    struct tunnel_report r = {.client = span_make(text, client_text.n),
                              .from_client = t->client.octets,
                              .from_server = t->server.octets,
                              .us = loop_now_us(t->loop) - t->began_us,
                              .why = why};
    loop_timer_stop(&t->idle);
    if (gone != &t->client)
        conn_close(&t->client.conn, how);
    if (gone != &t->server)
        conn_close(&t->server.conn, how);
    t->client.conn = t->server.conn = NULL;
    t->over(t->arg, &r);
}

/* Only looks at the time that has passed since something was heard, so that no octet moves a timer. */
static void look(void *arg)
{
    struct tunnel *t = arg;
    uint64_t due = t->heard_us + t->idle_us, now = loop_now_us(t->loop);
    if (now >= due)
        end(t, NULL, CONN_END_NOW, "both sides were silent for too long");
    else
        loop_timer_start(t->loop, &t->idle, due - now, look, t);
}

static size_t on_data(void *ctx, struct conn *c, struct span bytes)
{
    struct tunnel_end *e = ctx;
    e->octets += bytes.n;
    e->tunnel->heard_us = loop_now_us(e->tunnel->loop);
    if (conn_write(e->other->conn, bytes) && conn_full(e->other->conn)) /* else CONN_CLOSED follows */
        conn_pause(c, true);
    return bytes.n;
}

static void on_event(void *ctx, struct conn *c, enum conn_event event, const char *why)
{
    struct tunnel_end *e = ctx;
    (void)c;
    if (event == CONN_DRAINED) {
        conn_pause(e->other->conn, false);
    } else if (event == CONN_EOF) {
        end(e->tunnel, NULL, CONN_END_FLUSH,
            e == &e->tunnel->client ? "the client left" : "the server hung up");
    } else if (event == CONN_CLOSED) {
        end(e->tunnel, e, CONN_END_RESET, why); /* must not look like an end to the other */
    }
}

static const struct conn_events events = {.data = on_data, .event = on_event};

static void take(struct tunnel *t, struct tunnel_end *e, struct conn *c, struct tunnel_end *other)
{
    *e = (struct tunnel_end){.tunnel = t, .conn = c, .other = other};
    conn_set_events(c, &events, e);
}

struct tunnel *tunnel_create(struct loop *l, struct conn *client, struct conn *server, uint64_t idle_us,
                             void (*over)(void *arg, const struct tunnel_report *r), void *arg)
{
    struct tunnel *t = calloc(1, sizeof(*t));
    if (!t) {
        conn_close(&client, CONN_END_NOW);
        conn_close(&server, CONN_END_NOW);
        return NULL;
    }
    t->loop = l;
    t->idle_us = idle_us;
    t->began_us = t->heard_us = loop_now_us(l);
    t->over = over;
    t->arg = arg;
    take(t, &t->client, client, &t->server);
    take(t, &t->server, server, &t->client);
    conn_resume(client);
    conn_resume(server);
    loop_timer_start(l, &t->idle, idle_us, look, t);
    return t;
}

void tunnel_end(struct tunnel *t, const char *why)
{
    end(t, NULL, CONN_END_NOW, why);
}

void tunnel_destroy(struct tunnel **tp)
{
    struct tunnel *t = *tp;
    *tp = NULL;
    if (!t)
        return;
    loop_timer_stop(&t->idle);
    if (t->client.conn)
        conn_close(&t->client.conn, CONN_END_NOW);
    if (t->server.conn)
        conn_close(&t->server.conn, CONN_END_NOW);
    free(t);
}
