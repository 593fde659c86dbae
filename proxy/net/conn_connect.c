/* SPDX-License-Identifier: MIT */
/* From a name to a connected socket.
 *
 *   host -> address, path, or resolver -> addresses -> try each in turn -> CONN_CONNECTED or CONN_CLOSED
 *
 * One deadline for all. Each attempt gets an equal part of what is left of it, so that a first address that
 * swallows packets leaves time for the second. The connector is owned by its conn and goes with the outcome.
 */
#include "net/conn_parts.h"
#include "net/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct connector {
    struct resolver_query *query; /* while the name is being resolved */
    uint64_t deadline_at;
    size_t next, n;
    struct sockaddr_storage address[RESOLVER_ADDRESSES];
    struct endpoint source; /* ip_n 0: none */
    char host[];            /* for error texts */
};

void conn_connector_free(struct conn *c)
{
    if (!c->connector)
        return;
    resolver_cancel(&c->connector->query);
    free(c->connector);
    c->connector = NULL;
}

static void drop_attempt(struct conn *c)
{
    conn_detach(c);
    transport_close(&c->t, false);
}

static void fail_connecting(struct conn *c, const char *to, const char *why)
{
    const struct endpoint *e = &c->connector->source;
    struct sockaddr_storage from;
    char text[ADDRESS_TEXT] = "";
    if (e->ip_n) {
        from = address_from_ip(e->ip, e->ip_n, 0);
        (void)address_text(&from, text);
    }
    struct span host = address_host(span_of(text));
    transport_fail(&c->t, "connecting%s%.*s to %s: %s", host.n ? " from " : "", SPAN_FMT(host), to, why);
}

static void on_deadline(void *arg)
{
    struct conn *c = arg;
    if (c->connector->query) {
        transport_fail(&c->t, "%s: resolving the name took too long", c->connector->host);
        conn_fail(c, FAIL_NOW);
        return;
    }
    fail_connecting(c, c->peer,
                    c->connector->source.ip_n
                        ? "no answer in time (do answers to that address come back to this host?)"
                        : "no answer in time");
    drop_attempt(c);
    conn_step(c, STEP_TURN);
}

static uint64_t share_of_time(struct conn *c)
{
    const struct connector *k = c->connector;
    uint64_t now = loop_now_us(c->loop);
    return now < k->deadline_at ? (k->deadline_at - now) / (k->n - k->next + 1) : 0;
}

/* As somebody else: it must be of the same family, and the kernel must let us. */
static bool bind_source(struct conn *c, int fd, int family)
{
    const struct endpoint *e = &c->connector->source;
    if (!e->ip_n || family == AF_UNIX)
        return true;
    struct sockaddr_storage from = address_from_ip(e->ip, e->ip_n, 0);
    if (from.ss_family == family && socket_bind_source(fd, &from))
        return true;
    char text[ADDRESS_TEXT];
    (void)address_text(&from, text);
    transport_fail(&c->t, "connecting from %.*s: %s", SPAN_FMT(address_host(span_of(text))),
                   from.ss_family == family
                       ? strerror(errno)
                       : "the client and the server have not the same family of addresses");
    return false;
}

/* Starts the next attempt. false: this address failed at once. */
static bool attempt(struct conn *c)
{
    const struct sockaddr_storage *a = &c->connector->address[c->connector->next++];
    char text[ADDRESS_TEXT];
    (void)address_text(a, text);
    int fd = socket_open(a->ss_family, loop_patience(c->loop)->silent_us);
    if (fd < 0) {
        transport_fail(&c->t, "connecting to %s: no socket: %s", text, strerror(errno));
        return false;
    }
    if (!bind_source(c, fd, a->ss_family)) {
        (void)close(fd);
        return false;
    }
    if (connect(fd, (const struct sockaddr *)a, address_length(a)) < 0 && errno != EINPROGRESS) {
        fail_connecting(c, text, strerror(errno));
        (void)close(fd);
        return false;
    }
    conn_attach(c, fd, a);
    loop_timer_start(c->loop, &c->deadline, share_of_time(c), on_deadline, c);
    return true;
}

static void connected(struct conn *c)
{
    conn_connector_free(c);
    loop_timer_stop(&c->deadline);
    c->state = STATE_OPEN;
    if (buf_len(&c->out))
        conn_schedule(c);
    conn_tell(c, CONN_CONNECTED);
}

/* true: the attempt under way is over, and was in vain. */
static bool attempt_failed(struct conn *c, int events)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (!(events & EV_WRITE))
        return false;
    if (getsockopt(c->t.fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        error = errno;
    if (!error) {
        connected(c);
        return false;
    }
    fail_connecting(c, c->peer, strerror(error));
    drop_attempt(c);
    return true;
}

void conn_connect_step(struct conn *c, int events)
{
    struct connector *k = c->connector;
    if (c->broken) {
        conn_fail(c, FAIL_NOW);
        return;
    }
    if (k->query || (c->t.fd >= 0 && !attempt_failed(c, events)))
        return;
    while (k->next < k->n)
        if (attempt(c))
            return;
    conn_fail(c, FAIL_NOW);
}

static void on_resolved(void *arg, const struct resolver_answer *a)
{
    struct conn *c = arg;
    struct connector *k = c->connector;
    k->query = NULL;
    if (a->n == 0)
        transport_fail(&c->t, "%s: %s", k->host, a->error);
    k->n = a->n;
    memcpy(k->address, a->address, a->n * sizeof a->address[0]);
    conn_step(c, STEP_TURN);
}

/* Finds out what kind of host it is. What cannot be is told by the first step. false: no memory. */
static bool begin(struct conn *c, struct resolver *r, const struct conn_target *to)
{
    struct connector *k = c->connector;
    if (to->port == 0) {
        k->n = address_unix(to->host, &k->address[0]);
        if (!k->n)
            transport_fail(&c->t, "%s: the path is too long for a Unix socket", to->host);
    } else if (address_from_text(to->host, to->port, &k->address[0])) {
        k->n = 1;
    } else if (r) {
        k->query = resolver_ask(r, to->host, to->port, on_resolved, c);
        loop_timer_start(c->loop, &c->deadline, to->deadline_us, on_deadline, c);
        return k->query != NULL;
    } else {
        transport_fail(&c->t, "%s: an address is needed here, not a name", to->host);
    }
    conn_schedule(c);
    return true;
}

struct conn *conn_connect(struct loop *l, struct resolver *r, const struct conn_target *to,
                          const struct conn_events *ev, void *ctx)
{
    size_t host_n = strlen(to->host) + 1;
    struct conn *c = calloc(1, sizeof *c);
    struct connector *k = calloc(1, sizeof *k + host_n);
    if (!c || !k) {
        free(c);
        free(k);
        return NULL;
    }
    memcpy(k->host, to->host, host_n);
    if (to->source)
        k->source = *to->source;
    k->deadline_at = loop_now_us(l) + to->deadline_us;
    c->loop = l;
    c->events = ev;
    c->ctx = ctx;
    c->t = (struct transport){.ops = &tcp_transport, .fd = -1};
    c->state = STATE_CONNECTING;
    c->connector = k;
    if (!begin(c, r, to))
        conn_close(&c, CONN_END_NOW);
    return c;
}
