/* SPDX-License-Identifier: MIT */
/* Streams for filters, each one connection.
 *
 *   open -> [ resolve, connect ] -> [ TLS ] -> connected -> data … -> closed
 *              \______ one deadline ______/
 *
 * A stream belongs to the filter that opened it until `closed` was called or it closes it; both free it. What
 * cannot even begin (a wrong target, an unreadable CA) is told by `closed` from the loop, never from inside
 * stream_open. TLS contexts are kept by CA, so that reconnecting resumes sessions and reads no file. */
#include "proxy/hoststream.h"

#include "net/conn.h"

#define CONTEXTS_MAX 32
#define REASON_MAX   256

struct tls_context {
    struct tls_context *next;
    struct tls_client *client;
    bool verify;
    struct span ca; /* as the filter names it */
};

struct hoststreams {
    struct hostsvc_env env;
    struct arena *arena; /* contexts and their names */
    struct tls_context *contexts;
    size_t context_n;
    struct postern_stream *all;
};

struct postern_stream {
    struct hoststreams *owner;
    struct postern_stream *next, **prev;
    struct postern_stream_events events;
    void *arg;
    struct conn *conn;
    struct tls_client *tls;             /* borrowed from a context; NULL: plain */
    char name[HOSTSTREAM_HOST_MAX + 1]; /* for TLS */
    uint64_t deadline_at_us;
    bool ready, ending;
    struct loop_timer hopeless; /* tells `why` from the loop */
    char why[REASON_MAX];
};

/* ---- targets ---- */

static bool parse_port(struct span text, uint16_t *port_r)
{
    unsigned long value = 0;
    if (text.n == 0 || text.n > 5)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (!ascii_digit(text.p[i]))
            return false;
        value = value * 10 + (unsigned long)(text.p[i] - '0');
    }
    *port_r = (uint16_t)value;
    return value > 0 && value <= UINT16_MAX;
}

static bool put_host(struct hoststream_target *out, struct span host)
{
    if (host.n == 0 || host.n > HOSTSTREAM_HOST_MAX || span_find(host, '\0') < host.n)
        return false;
    memcpy(out->host, host.p, host.n);
    return true;
}

bool hoststream_parse(struct span text, struct hoststream_target *out_r)
{
    *out_r = (struct hoststream_target){0};
    if (text.n && text.p[0] == '/')
        return put_host(out_r, text);
    struct span host, port;
    if (text.n && text.p[0] == '[') {
        size_t end = span_find(text, ']');
        host = span_skip(span_head(text, end), 1);
        port = span_skip(text, end + 1);
    } else {
        size_t colon = span_find(text, ':');
        host = span_head(text, colon);
        port = span_skip(text, colon);
    }
    return port.n && port.p[0] == ':' && parse_port(span_skip(port, 1), &out_r->port) &&
           put_host(out_r, host);
}

/* ---- TLS contexts ---- */

static bool read_ca(const struct hoststreams *h, struct span name, struct tls_client_options *o,
                    char why[REASON_MAX])
{
    const char *error = "no memory";
    o->ca_name = conf_path(h->arena, h->env.file, name);
    if (o->ca_name && h->env.source->read(h->env.source->ctx, o->ca_name, &o->ca, &error) == 0)
        return true;
    (void)snprintf(why, REASON_MAX, "tls_ca %.*s: %s", SPAN_FMT(name), error);
    return false;
}

static struct tls_context *context_make(struct hoststreams *h, bool verify, struct span ca,
                                        char why[REASON_MAX])
{
    struct tls_client_options o = {.verify = verify};
    struct tls_context *c = arena_alloc(h->arena, sizeof *c);
    struct span kept = arena_span(h->arena, ca);
    if (!c || !kept.p || h->context_n >= CONTEXTS_MAX) {
        (void)snprintf(why, REASON_MAX, "too many different TLS settings for one configuration");
        return NULL;
    }
    if (ca.n && !read_ca(h, ca, &o, why))
        return NULL;
    c->client = tls_client_create(&o, why, REASON_MAX);
    if (!c->client)
        return NULL;
    c->verify = verify;
    c->ca = kept;
    c->next = h->contexts;
    h->contexts = c;
    h->context_n++;
    return c;
}

static struct tls_client *context_for(struct hoststreams *h, bool verify, struct span ca,
                                      char why[REASON_MAX])
{
    for (struct tls_context *c = h->contexts; c; c = c->next)
        if (c->verify == verify && span_eq(c->ca, ca))
            return c->client;
    struct tls_context *made = context_make(h, verify, ca, why);
    return made ? made->client : NULL;
}

/* ---- the end of a stream ---- */

static void stream_free(struct postern_stream *s)
{
    loop_timer_stop(&s->hopeless);
    if (s->conn)
        conn_close(&s->conn, CONN_END_NOW);
    *s->prev = s->next;
    if (s->next)
        s->next->prev = s->prev;
    free(s);
}

/* Tells the filter. It may call stream_close in there, which then has nothing left to do. */
static void stream_closed(struct postern_stream *s, const char *why)
{
    s->ending = true;
    if (s->events.closed)
        s->events.closed(s->arg, s, why ? why : "closed");
    stream_free(s);
}

static void tell_hopeless(void *arg)
{
    struct postern_stream *s = arg;
    stream_closed(s, s->why);
}

/* ---- events of the connection ---- */

static size_t on_data(void *ctx, struct conn *c, struct span bytes)
{
    struct postern_stream *s = ctx;
    size_t n = bytes.n; /* the filter may close the stream in there */
    (void)c;
    if (s->events.data)
        s->events.data(s->arg, s, (struct postern_span){bytes.p, bytes.n});
    return n;
}

static void begin_tls(struct postern_stream *s)
{
    uint64_t now = loop_now_us(s->owner->env.loop);
    uint64_t left = s->deadline_at_us > now ? s->deadline_at_us - now : 1;
    if (!conn_tls_connect(s->conn, s->tls, s->name, NULL, left))
        stream_closed(s, "no memory for TLS");
}

static void stream_ready(struct postern_stream *s)
{
    s->ready = true;
    if (s->events.connected)
        s->events.connected(s->arg, s);
}

static void on_event(void *ctx, struct conn *c, enum conn_event e, const char *why)
{
    struct postern_stream *s = ctx;
    (void)c;
    switch (e) {
    case CONN_CONNECTED:
        if (s->tls)
            begin_tls(s);
        else
            stream_ready(s);
        break;
    case CONN_TLS:
        stream_ready(s);
        break;
    case CONN_TLS_ASKS: /* of servers only */
    case CONN_DRAINED:
        break;
    case CONN_EOF:
        stream_closed(s, "the other side closed the connection");
        break;
    case CONN_CLOSED:
        s->conn = NULL;
        stream_closed(s, why);
        break;
    }
}

/* ---- opening ---- */

static bool begin_connect(struct postern_stream *s, const struct postern_stream_target *to)
{
    static const struct conn_events events = {.data = on_data, .event = on_event};
    const struct hostsvc_env *env = &s->owner->env;
    uint64_t within = to->connect_us ? to->connect_us : HOSTSTREAM_CONNECT_US;
    struct span name = span_make(to->tls_name.p, to->tls_name.n);
    struct hoststream_target target;
    if (!hoststream_parse(span_make(to->server.p, to->server.n), &target)) {
        (void)snprintf(s->why, sizeof s->why, "\"%.*s\" is no HOST:PORT, [ADDRESS]:PORT or /PATH",
                       SPAN_FMT(span_make(to->server.p, to->server.n)));
        return false;
    }
    if (to->tls) {
        s->tls = context_for(s->owner, name.n > 0, span_make(to->tls_ca.p, to->tls_ca.n), s->why);
        if (!s->tls)
            return false;
        (void)snprintf(s->name, sizeof s->name, "%.*s", SPAN_FMT(name.n ? name : span_of(target.host)));
    }
    s->deadline_at_us = loop_now_us(env->loop) + within;
    struct conn_target address = {.host = target.host, .port = target.port, .deadline_us = within};
    s->conn = conn_connect(env->loop, env->resolver, &address, &events, s);
    if (!s->conn)
        (void)snprintf(s->why, sizeof s->why, "no memory for a connection");
    return s->conn != NULL;
}

struct postern_stream *hoststream_open(struct hoststreams *h, const struct postern_stream_target *to,
                                       const struct postern_stream_events *events, void *arg)
{
    struct postern_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    memcpy(&s->events, events, events->size < sizeof s->events ? events->size : sizeof s->events);
    s->arg = arg;
    s->owner = h;
    s->next = h->all;
    s->prev = &h->all;
    if (s->next)
        s->next->prev = &s->next;
    h->all = s;
    if (!begin_connect(s, to))
        loop_timer_start(h->env.loop, &s->hopeless, 0, tell_hopeless, s);
    return s;
}

/* Not before `connected`: on a TLS stream the bytes would go out in the clear. */
int hoststream_write(struct postern_stream *s, struct postern_span bytes)
{
    if (!s->ready || s->ending || bytes.n > HOSTSTREAM_UNSENT_MAX ||
        conn_unsent(s->conn) > HOSTSTREAM_UNSENT_MAX - bytes.n)
        return -1;
    return conn_write(s->conn, span_make(bytes.p, bytes.n)) ? 0 : -1;
}

void hoststream_close(struct postern_stream *s)
{
    if (s && !s->ending)
        stream_free(s);
}

/* ---- life ---- */

struct hoststreams *hoststreams_create(const struct hostsvc_env *env)
{
    struct hoststreams *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->env = *env;
    h->arena = arena_create((size_t)1024 * 1024);
    if (!h->arena)
        hoststreams_destroy(&h);
    return h;
}

void hoststreams_destroy(struct hoststreams **h)
{
    if (!*h)
        return;
    struct postern_stream *next;
    for (struct postern_stream *s = (*h)->all; s; s = next) {
        next = s->next;
        stream_free(s);
    }
    for (struct tls_context *c = (*h)->contexts; c; c = c->next)
        tls_client_unref(&c->client);
    arena_destroy(&(*h)->arena);
    free(*h);
    *h = NULL;
}
