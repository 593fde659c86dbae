/* SPDX-License-Identifier: MIT */
/* The connections of one worker to one upstream.
 *
 *   upstream_get --> [ kept, clean ] --> got(leg)                 at once
 *        `---------> conn_connect -> upleg: greeting, EHLO, STARTTLS, EHLO -> READY -> got(leg)
 *   upstream_put --> clean? kept for keep_us : still owes replies? waits for them : closed
 *   probe timer  --> a connection of its own; what it offers is what EHLO is answered from
 *
 * A line is one connection with its leg; it is owned by the upstream object and dies when its connection
 * does. Legs are handed out by reference: between got() and upstream_put() the line belongs to a session. The
 * upstream object lives until it was released and its last line is gone. */
#include "proxy/upstream.h"

#include "base/clock.h"
#include "net/conn.h"
#include "smtp/proxyproto.h"
#include "smtp/reply.h"

#include <stdlib.h>

#define DOWN_PROBE_US (2 * (uint64_t)US_PER_S)
#define NO_TLS_US     (600 * (uint64_t)US_PER_S) /* how long it is remembered that TLS failed */

enum line_role { LINE_COMING, LINE_OUT, LINE_CLEANING, LINE_KEPT, LINE_DEAD };

struct upstream_wait {
    struct upstream *up;
    struct up_line *line; /* on its way; NULL: still to be made */
    void (*got)(void *arg, struct upleg *leg, const char *why);
    void *arg;
};

struct up_line {
    struct up_line *next, **prev;
    struct upstream *up;
    struct conn *conn;
    struct buf preface; /* goes out first */
    struct upleg *leg;
    struct upstream_wait *wait;
    const struct conf_address *server;
    enum line_role role;
    bool probe;                 /* made to see what the upstream offers */
    size_t tries;               /* servers tried before for this wish */
    bool plain;                 /* opportunistic TLS that failed: this one goes without */
    struct loop_timer timer;    /* of the leg */
    struct loop_timer patience; /* how long it is kept, or may take to become clean */
    struct loop_deferred burial;
};

struct upstream {
    struct upstream_env env;
    const struct conf_upstream *conf;
    struct upleg_config leg_config, plain_config;
    struct tls_client *tls;
    uint64_t connect_us, handshake_us;
    struct ehlo offer;
    enum session_offer state;
    struct up_line *lines;
    size_t kept;
    const struct conf_address *best; /* the server that answered last: it is asked first */
    struct loop_timer probe;
    bool probing, released, started;
    uint64_t no_tls_until_us; /* env.relay: the client has read the greeting, so the next one is better off */
    struct loop_deferred burial;
    size_t count_connects, count_failures, count_reused;
};

static const struct conn_events line_conn_events;
static const struct upleg_ops line_leg_ops;
static const struct upleg_user waiting_user, keeping_user;

static bool keep(struct up_line *l);

/* ---- life of the upstream object ---- */

struct upstream *upstream_create(const struct upstream_env *env, const struct conf_upstream *conf,
                                 const struct conf_timeouts *t, struct tls_client *tls)
{
    struct upstream *u = calloc(1, sizeof(*u));
    if (!u)
        return NULL;
    u->env = *env;
    u->conf = conf;
    u->best = conf->servers;
    u->tls = tls;
    u->state = SESSION_OFFER_UNKNOWN;
    u->connect_us = t->upstream_connect;
    u->handshake_us = t->tls_handshake;
    static const enum upleg_tls tls_of[] = {
        [CONF_UP_NONE] = UPLEG_PLAIN,
        [CONF_UP_OPPORTUNISTIC] = UPLEG_OPPORTUNISTIC,
        [CONF_UP_REQUIRED] = UPLEG_REQUIRED,
        [CONF_UP_IMPLICIT] = UPLEG_IMPLICIT,
    };
    u->leg_config = (struct upleg_config){
        .tls = tls_of[conf->tls],
        .relay = env->relay,
        .verified = conf->verify || conf->pin_count,
        .reply_lines = env->reply_lines,
        .reply_bytes = env->reply_bytes,
        .ehlo_name = env->hostname,
        .lmtp = conf->lmtp,
        .chunking = (enum upleg_chunking)conf->chunking,
        .greeting_us = t->upstream_greeting,
        .command_us = t->upstream_command,
        .data_us = t->upstream_data,
        .final_us = t->upstream_final,
    };
    u->plain_config = u->leg_config;
    u->plain_config.tls = UPLEG_PLAIN;
    u->count_connects = counters_find(env->counters, "upstream.connects");
    u->count_failures = counters_find(env->counters, "upstream.failures");
    u->count_reused = counters_find(env->counters, "upstream.reused");
    return u;
}

static void bury_upstream(void *arg)
{
    struct upstream *u = arg;
    tls_client_unref(&u->tls);
    free(u);
}

static void bury_if_done(struct upstream *u)
{
    if (u->released && !u->lines)
        loop_defer(u->env.loop, &u->burial, bury_upstream, u);
}

/* ---- life of a line ---- */

static void bury_line(void *arg)
{
    struct up_line *l = arg;
    struct upstream *u = l->up;
    loop_timer_stop(&l->timer);
    loop_timer_stop(&l->patience);
    *l->prev = l->next;
    if (l->next)
        l->next->prev = l->prev;
    upleg_destroy(&l->leg);
    buf_free(&l->preface);
    free(l);
    bury_if_done(u);
}

/* Its connection is gone already. */
static void line_dies(struct up_line *l)
{
    if (l->role == LINE_KEPT)
        l->up->kept--;
    l->role = LINE_DEAD;
    loop_timer_stop(&l->timer);
    loop_timer_stop(&l->patience);
    loop_defer(l->up->env.loop, &l->burial, bury_line, l);
}

static struct tls_client *tls_of_line(const struct up_line *l)
{
    return l->plain ? NULL : l->up->tls;
}

/* Makes the connection; the leg hears of it by the conn's events. */
static bool dial(struct up_line *l)
{
    struct upstream *u = l->up;
    l->leg = upleg_create(l->plain ? &u->plain_config : &u->leg_config, &line_leg_ops, l);
    if (!l->leg)
        return false;
    struct conn_target to = {.host = l->server->host, .port = l->server->port, .deadline_us = u->connect_us};
    l->conn = conn_connect(u->env.loop, u->env.resolver, &to, &line_conn_events, l);
    if (!l->conn)
        return false;
    counters_add(u->env.counters, u->count_connects, 1);
    upleg_use(l->leg, &waiting_user, l);
    return true;
}

static struct up_line *line_create(struct upstream *u, const struct conf_address *server, bool probe,
                                   size_t tries, bool plain, struct span preface)
{
    struct up_line *l = calloc(1, sizeof(*l));
    if (!l || !buf_append(&l->preface, preface)) {
        free(l);
        return NULL;
    }
    l->up = u;
    l->server = server;
    l->role = LINE_COMING;
    l->probe = probe;
    l->tries = tries;
    l->plain = plain;
    l->next = u->lines;
    l->prev = &u->lines;
    if (u->lines)
        u->lines->prev = &l->next;
    u->lines = l;
    if (!dial(l)) {
        line_dies(l);
        return NULL;
    }
    return l;
}

/* ---- probing: what does this upstream offer? ---- */

static void probe_again(void *arg);

static void probe_later(struct upstream *u)
{
    uint64_t after = u->state == SESSION_OFFER_KNOWN ? u->conf->probe_us : DOWN_PROBE_US;
    u->probing = false;
    if (!u->released)
        loop_timer_start(u->env.loop, &u->probe, after, probe_again, u);
}

static void now_up(struct upstream *u, const struct ehlo *offer)
{
    if (u->started && u->state == SESSION_OFFER_DOWN)
        log_plain(u->env.log, LOG_AT_INFO, "upstream %s is up", u->conf->name);
    u->state = SESSION_OFFER_KNOWN;
    u->offer = *offer;
}

static void now_down(struct upstream *u, const char *why)
{
    if (u->started && u->state != SESSION_OFFER_DOWN)
        log_plain(u->env.log, LOG_AT_WARN, "upstream %s is down: %s", u->conf->name, why);
    u->state = SESSION_OFFER_DOWN;
    if (u->started && !u->probing)
        probe_later(u);
}

static void probe_again(void *arg)
{
    struct upstream *u = arg;
    if (u->probing || u->released)
        return;
    u->probing = true;
    if (!line_create(u, u->best, true, 0, false, SPAN_NONE))
        probe_later(u);
}

void upstream_start(struct upstream *u)
{
    u->started = true;
    probe_again(u);
}

enum session_offer upstream_offer(const struct upstream *u, struct ehlo *offer_r)
{
    *offer_r = u->offer;
    return u->state;
}

/* ---- a connection that was asked for ---- */

static void deliver(struct up_line *l)
{
    struct upstream_wait *w = l->wait;
    l->wait = NULL;
    l->role = LINE_OUT;
    upleg_use(l->leg, NULL, NULL);
    w->got(w->arg, l->leg, NULL);
    free(w);
}

static void fail_wait(struct upstream_wait *w, const char *why)
{
    w->got(w->arg, NULL, why);
    free(w);
}

static void on_ready(void *ctx, struct upleg *leg)
{
    struct up_line *l = ctx;
    struct upstream *u = l->up;
    now_up(u, upleg_offer(leg));
    u->best = l->server;
    if (l->probe) {
        l->probe = false;
        probe_later(u);
        l->role = LINE_OUT;
        upstream_put(leg);
    } else if (l->wait) {
        deliver(l);
    }
}

static const struct conf_address *server_after(const struct upstream *u, const struct conf_address *server)
{
    size_t at = (size_t)(server - u->conf->servers);
    return &u->conf->servers[(at + 1) % u->conf->server_count];
}

/* Tries the next server, or this one without TLS where TLS is only an opportunity; true: one is on its way.
 */
static bool try_another(struct up_line *l)
{
    struct upstream *u = l->up;
    bool plain = upleg_was_securing(l->leg) && u->conf->tls == CONF_UP_OPPORTUNISTIC;
    size_t tries = plain ? l->tries : l->tries + 1;
    const struct conf_address *server = plain ? l->server : server_after(u, l->server);
    if (tries >= u->conf->server_count)
        return false;
    struct up_line *n = line_create(u, server, l->probe, tries, plain, buf_span(&l->preface));
    if (!n)
        return false;
    n->wait = l->wait;
    if (n->wait)
        n->wait->line = n;
    l->wait = NULL;
    return true;
}

/* A line that never became READY. */
static void on_failed(void *ctx, struct upleg *leg, const char *why, unsigned code, struct span bytes)
{
    struct up_line *l = ctx;
    struct upstream *u = l->up;
    char text[300];
    size_t at = 0;
    struct span said = SPAN_NONE;
    bool spoke = code && reply_next_line(bytes, &at, &said);
    (void)snprintf(text, sizeof(text), "%s%s%.*s", why, spoke ? ": " : "", SPAN_FMT(said));
    (void)leg;
    counters_add(u->env.counters, u->count_failures, 1);
    if (!u->released && try_another(l))
        return;
    struct upstream_wait *w = l->wait;
    l->wait = NULL;
    if (l->probe)
        u->probing = false;
    if (!u->released)
        now_down(u, text);
    if (w)
        fail_wait(w, text);
}

static const struct upleg_user waiting_user = {.ready = on_ready, .lost = on_failed};

static bool without_tls(const struct upstream *u)
{
    return loop_now_us(u->env.loop) < u->no_tls_until_us;
}

static struct up_line *take_kept(struct upstream *u, unsigned wish)
{
    for (struct up_line *l = u->lines; l; l = l->next)
        if (l->role == LINE_KEPT && (!(wish & UPSTREAM_SECURE) || upleg_in_tls(l->leg))) {
            u->kept--;
            loop_timer_stop(&l->patience);
            return l;
        }
    return NULL;
}

struct upstream_wait *upstream_get(struct upstream *u, unsigned wish, struct span preface,
                                   void (*got)(void *arg, struct upleg *leg, const char *why), void *arg)
{
    struct up_line *l = wish & UPSTREAM_FRESH || preface.n ? NULL : take_kept(u, wish);
    if (l) {
        l->role = LINE_OUT;
        upleg_use(l->leg, NULL, NULL);
        counters_add(u->env.counters, u->count_reused, 1);
        got(arg, l->leg, NULL);
        return NULL;
    }
    struct upstream_wait *w = calloc(1, sizeof(*w));
    if (w)
        *w = (struct upstream_wait){.up = u, .got = got, .arg = arg};
    l = w ? line_create(u, u->best, false, 0, without_tls(u), preface) : NULL;
    if (!l) {
        free(w);
        got(arg, NULL, "no memory or descriptors for a connection");
        return NULL;
    }
    l->wait = w;
    w->line = l;
    return w;
}

void upstream_cancel(struct upstream_wait **wp)
{
    struct upstream_wait *w = *wp;
    if (!w)
        return;
    w->line->wait = NULL;
    upleg_abort(w->line->leg, false);
    free(w);
    *wp = NULL;
}

bool upstream_dials_from(const struct upstream *u, struct span peer_text)
{
    char local[CONN_ADDRESS_TEXT];
    for (const struct up_line *l = u->lines; l; l = l->next) {
        bool coming = l->role == LINE_COMING && l->conn;
        if (coming && span_eq(peer_text, span_make(local, conn_local_text(l->conn, local))))
            return true;
    }
    return false;
}

/* ---- coming back ---- */

/* A server that owes nothing is told goodbye; nobody waits for its answer. */
static void part(struct upleg *leg)
{
    if (upleg_ready(leg) && upleg_owed(leg) == 0)
        (void)!upleg_command(leg, UPLEG_QUIT, SPAN_LIT("QUIT"), NULL);
    upleg_abort(leg, false);
}

static void patience_over(void *arg)
{
    struct up_line *l = arg;
    if (l->role == LINE_KEPT)
        part(l->leg);
    else
        upleg_abort(l->leg, true);
}

/* A kept line that says or loses anything has had its day. */
static void on_kept_lost(void *ctx, struct upleg *leg, const char *why, unsigned code, struct span bytes)
{
    (void)ctx;
    (void)leg;
    (void)why;
    (void)code;
    (void)bytes;
}

static void on_cleaning_reply(void *ctx, struct upleg *leg, enum upleg_kind kind, void *tag, unsigned code,
                              struct span bytes)
{
    struct up_line *l = ctx;
    (void)tag;
    (void)bytes;
    bool clean = !upleg_marks(leg)->spent && (kind != UPLEG_RSET || code / 100 == 2);
    if (!clean || (upleg_owed(leg) == 0 && !keep(l)))
        part(leg);
}

static const struct upleg_user keeping_user = {.reply = on_cleaning_reply, .lost = on_kept_lost};

static bool keep(struct up_line *l)
{
    struct upstream *u = l->up;
    uint32_t most = upleg_offer(l->leg)->limits[EHLO_MAILMAX]; /* RFC 9422: it would refuse the next one */
    if (u->released || u->kept >= u->conf->keep || (most && upleg_marks(l->leg)->mails >= most))
        return false;
    l->role = LINE_KEPT;
    upleg_marks(l->leg)->used = true;
    u->kept++;
    loop_timer_start(u->env.loop, &l->patience, u->conf->keep_us, patience_over, l);
    return true;
}

static struct up_line *line_of(const struct upleg *leg)
{
    return upleg_owner(leg);
}

void upstream_put(struct upleg *leg)
{
    struct up_line *l = line_of(leg);
    struct upstream *u = l->up;
    if (upleg_dead(leg))
        return; /* its burial is under way */
    upleg_use(leg, &keeping_user, l);
    if (upleg_marks(leg)->personal || upleg_marks(leg)->introduced || upleg_marks(leg)->spent ||
        !upleg_ready(leg)) {
        upleg_abort(leg, false);
    } else if (upleg_owed(leg)) {
        l->role = LINE_CLEANING;
        loop_timer_start(u->env.loop, &l->patience, 10 * (uint64_t)US_PER_S, patience_over, l);
    } else if (!keep(l)) {
        part(leg);
    }
}

void upstream_release(struct upstream **up)
{
    struct upstream *u = *up;
    struct up_line *next;
    *up = NULL;
    if (!u)
        return;
    u->released = true;
    loop_timer_stop(&u->probe);
    for (struct up_line *l = u->lines; l; l = next) {
        next = l->next;
        if (l->role != LINE_DEAD) /* sessions that use one keep the runtime, and so this object, alive */
            part(l->leg);
    }
    bury_if_done(u);
}

struct span upstream_leg_address(const struct upleg *leg)
{
    return span_of(line_of(leg)->server->text);
}

struct tls_info upstream_leg_tls(const struct upleg *leg)
{
    const struct up_line *l = line_of(leg);
    return l->conn ? conn_tls_info(l->conn) : (struct tls_info){0};
}

/* ---- the leg's connection ---- */

static bool line_send(void *ctx, struct span bytes)
{
    struct up_line *l = ctx;
    return l->conn && conn_write(l->conn, bytes);
}

static bool line_full(void *ctx)
{
    struct up_line *l = ctx;
    return l->conn && conn_full(l->conn);
}

static void line_start_tls(void *ctx)
{
    struct up_line *l = ctx;
    const char *name = l->up->conf->verify_name ? l->up->conf->verify_name : l->server->host;
    if (!l->conn || !tls_of_line(l) || !conn_tls_connect(l->conn, tls_of_line(l), name, l->up->handshake_us))
        upleg_lost(l->leg, "TLS could not be started");
}

/* The leg is dead: so is its line. */
static void line_close(void *ctx, bool reset)
{
    struct up_line *l = ctx;
    if (l->conn)
        conn_close(&l->conn, reset ? CONN_END_RESET : CONN_END_FLUSH);
    line_dies(l);
}

static uint64_t line_now(void *ctx)
{
    struct up_line *l = ctx;
    return loop_now_us(l->up->env.loop);
}

static void line_time_up(void *arg)
{
    struct up_line *l = arg;
    upleg_timeout(l->leg);
}

static void line_timer(void *ctx, uint64_t at_us)
{
    struct up_line *l = ctx;
    uint64_t now = line_now(l);
    loop_timer_stop(&l->timer);
    if (at_us)
        loop_timer_start(l->up->env.loop, &l->timer, at_us > now ? at_us - now : 0, line_time_up, l);
}

static const struct upleg_ops line_leg_ops = {
    .send = line_send,
    .full = line_full,
    .start_tls = line_start_tls,
    .close = line_close,
    .now_us = line_now,
    .timer = line_timer,
};

static size_t on_data(void *ctx, struct conn *c, struct span bytes)
{
    struct up_line *l = ctx;
    (void)c;
    upleg_feed(l->leg, bytes);
    return bytes.n;
}

/* The daemon's own question, to a server that expects a PROXY header: it is we who ask. Version 1 has no word
 * for that which Postfix would take, so it says the connection's own ends. */
static bool own_preface(struct up_line *l)
{
    struct proxy_header h = {.local = l->up->conf->identity == CONF_IDENTITY_PROXY_V2};
    if (l->up->conf->identity == CONF_IDENTITY_PROXY_V2)
        return proxy_print_v2(&l->preface, &h);
    if (l->up->conf->identity != CONF_IDENTITY_PROXY_V1)
        return true;
    h.from.ip_n = conn_local_ip(l->conn, h.from.ip, &h.from.port);
    h.to.ip_n = conn_peer_ip(l->conn, h.to.ip);
    h.to.port = conn_peer_port(l->conn);
    return proxy_print_v1(&l->preface, &h);
}

static void on_connected(struct up_line *l)
{
    if (!buf_len(&l->preface) && !own_preface(l)) {
        upleg_lost(l->leg, "no memory for a PROXY header");
        return;
    }
    if (buf_len(&l->preface) && !conn_write(l->conn, buf_span(&l->preface)))
        return; /* CONN_CLOSED follows */
    if (l->up->conf->tls == CONF_UP_IMPLICIT && !l->plain)
        line_start_tls(l);
    else
        upleg_connected(l->leg);
}

static void on_secured(struct up_line *l)
{
    if (l->up->conf->tls == CONF_UP_IMPLICIT)
        upleg_connected(l->leg);
    else
        upleg_secured(l->leg);
}

static void on_conn_event(void *ctx, struct conn *c, enum conn_event e, const char *why)
{
    struct up_line *l = ctx;
    (void)c;
    switch (e) {
    case CONN_CONNECTED:
        on_connected(l);
        break;
    case CONN_TLS:
        on_secured(l);
        break;
    case CONN_DRAINED:
        upleg_drained(l->leg);
        break;
    case CONN_EOF: /* a server that stops talking is gone, whatever it may still read */
        upleg_lost(l->leg, "the server closed the connection");
        break;
    case CONN_CLOSED:
        l->conn = NULL;
        upleg_lost(l->leg, why);
        if (l->up->env.relay && l->up->conf->tls == CONF_UP_OPPORTUNISTIC && upleg_was_securing(l->leg))
            l->up->no_tls_until_us = line_now(l) + NO_TLS_US;
        break;
    }
}

static const struct conn_events line_conn_events = {.data = on_data, .event = on_conn_event};
