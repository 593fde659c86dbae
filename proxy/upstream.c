/* SPDX-License-Identifier: MIT */
/* The connections of one worker to one upstream.
 *
 *   upstream_get --> [ kept, clean ] --> got(leg)                 at once
 *        `---------> conn_connect -> upleg: greeting, EHLO, STARTTLS, EHLO -> READY -> got(leg)
 *   upstream_put --> clean? kept for keep_us : still owes replies? waits for them : closed
 *   probe timer  --> a connection of its own; what it offers is what EHLO is answered from
 *
 * A line is one connection with its leg (upstream_line.c). Legs are handed out by reference: between got()
 * and upstream_put() the line belongs to a session. The upstream object lives until it was released and its
 * last line is gone. */
#include "base/clock.h"
#include "proxy/upstream_parts.h"
#include "smtp/reply.h"

#include <stdlib.h>

#define LOOP_LINKS    3
#define DOWN_PROBE_US (2 * (uint64_t)US_PER_S)

static const struct upleg_user waiting_user, keeping_user;

static bool keep(struct up_line *l);

/* ---- life of the upstream object ---- */

struct upstream *upstream_create(const struct upstream_env *env, const struct conf_upstream *conf,
                                 const struct conf_timeouts *t, struct tls_client *tls)
{
    struct upstream *u = calloc(1, sizeof(*u));
    if (!u)
        return NULL;
    if (conf->dane != CONF_DANE_NONE && !(u->dane = dane_create(env->loop, env->resolver, conf))) {
        free(u);
        return NULL;
    }
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
    u->count_connects = counters_find(env->counters, "upstream.connects");
    u->count_failures = counters_find(env->counters, "upstream.failures");
    u->count_reused = counters_find(env->counters, "upstream.reused");
    return u;
}

static void bury_upstream(void *arg)
{
    struct upstream *u = arg;
    tls_client_unref(&u->tls);
    dane_destroy(&u->dane);
    free(u);
}

void upstream_line_gone(struct upstream *u)
{
    if (u->released && !u->lines)
        loop_defer(u->env.loop, &u->burial, bury_upstream, u);
}

/* A line on its way, for a wish or to see what the upstream offers. */
static struct up_line *line_create(struct upstream *u, const struct conf_address *server, bool probe,
                                   size_t tries, bool plain, const struct upstream_caller *caller)
{
    struct up_line *l = upstream_line_create(u, server, plain, caller);
    if (!l)
        return NULL;
    l->probe = probe;
    l->tries = tries;
    upleg_use(l->leg, &waiting_user, l);
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
    static const struct upstream_caller nobody;
    struct upstream *u = arg;
    if (u->probing || u->released)
        return;
    u->probing = true;
    if (!line_create(u, u->best, true, 0, false, &nobody))
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
    w->got(w->arg, l->leg, NULL, 0, SPAN_NONE);
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
    bool plain = upleg_was_securing(l->leg) && l->config.tls == UPLEG_OPPORTUNISTIC;
    size_t tries = plain ? l->tries : l->tries + 1;
    const struct conf_address *server = plain ? l->server : server_after(u, l->server);
    if (tries >= u->conf->server_count)
        return false;
    struct upstream_caller caller = {buf_span(&l->preface), l->source, l->tls_name, upleg_name(l->leg)};
    struct up_line *n = line_create(u, server, l->probe, tries, plain, &caller);
    if (!n)
        return false;
    n->wait = l->wait;
    if (n->wait)
        n->wait->line = n;
    l->wait = NULL;
    return true;
}

static bool names_somebody(const struct upstream_caller *caller)
{
    return caller->preface.n || caller->source.ip_n;
}

static bool is_for_one(const struct up_line *l)
{
    return !l->probe && (buf_len(&l->preface) || l->source.ip_n);
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
    upstream_line_log_dane(l, text);
    if (!u->released && try_another(l))
        return;
    struct upstream_wait *w = l->wait;
    l->wait = NULL;
    if (l->probe)
        u->probing = false;
    bool for_one = is_for_one(l);
    if (!u->released && !for_one)
        now_down(u, text);
    else if (!u->released && u->started) /* it may be that client alone whom it does not take */
        probe_again(u);
    if (w)
        w->got(w->arg, NULL, text, for_one ? code : 0, for_one ? bytes : SPAN_NONE);
    free(w);
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

struct upstream_wait *upstream_get(struct upstream *u, unsigned wish, const struct upstream_caller *caller,
                                   upstream_got *got, void *arg)
{
    struct up_line *l = wish & UPSTREAM_FRESH || names_somebody(caller) ? NULL : take_kept(u, wish);
    if (l) {
        l->role = LINE_OUT;
        upleg_use(l->leg, NULL, NULL);
        counters_add(u->env.counters, u->count_reused, 1);
        got(arg, l->leg, NULL, 0, SPAN_NONE);
        return NULL;
    }
    struct upstream_wait *w = calloc(1, sizeof(*w));
    if (w)
        *w = (struct upstream_wait){.up = u, .got = got, .arg = arg};
    l = w ? line_create(u, u->best, false, 0, without_tls(u), caller) : NULL;
    if (!l) {
        free(w);
        got(arg, NULL, "no memory or descriptors for a connection", 0, SPAN_NONE);
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

/* The connection on its way that has this end here, or NULL. */
static const struct up_line *coming_from(const struct upstream *u, const struct endpoint *end)
{
    for (const struct up_line *l = u->lines; l; l = l->next) {
        struct endpoint own = {0};
        if (l->role != LINE_COMING || !l->conn)
            continue;
        own.ip_n = conn_local_ip(l->conn, own.ip, &own.port);
        if (endpoint_compare(&own, end) == 0)
            return l;
    }
    return NULL;
}

/* One with an address of this host can only be ours. One with the client's address may have a port that the
 * client itself takes meanwhile, so that they look the same: only a chain of them, each made for the one
 * before, is a loop. */
bool upstream_dials_from(const struct upstream *u, const struct endpoint *peer)
{
    struct endpoint end = *peer;
    for (int links = 1;; links++) {
        const struct up_line *l = coming_from(u, &end);
        if (!l)
            return false;
        if (!l->source.ip_n || links == LOOP_LINKS)
            return true;
        end = l->source;
    }
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
    if (u->released || l->source.ip_n || u->kept >= u->conf->keep ||
        (most && upleg_marks(l->leg)->mails >= most))
        return false;
    l->role = LINE_KEPT;
    upleg_marks(l->leg)->used = true;
    u->kept++;
    loop_timer_start(u->env.loop, &l->patience, u->conf->keep_us, patience_over, l);
    return true;
}

void upstream_put(struct upleg *leg)
{
    struct up_line *l = upstream_line_of(leg);
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
    upstream_line_gone(u);
}
