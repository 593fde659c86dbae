/* SPDX-License-Identifier: MIT */
/* A world for the engine without sockets: what it sends to either side is recorded, time moves when told to,
 * and bytes come in as the test cuts them. Used by the transcripts, the unit tests and the fuzzer of the
 * engine.
 *
 *   client bytes -> world_client -> session -> to_client
 *   upstream bytes -> world_upstream -> leg -> session -> to_upstream */
#ifndef SUPPORT_ENGINE_H
#define SUPPORT_ENGINE_H

#include "base/buf.h"
#include "session/session.h"
#include "smtp/ehlo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORLD_TIMERS 64

struct world_timer {
    uint64_t at_us; /* 0: free */
    void (*fire)(void *arg);
    void *arg;
};

struct world {
    struct session *session;
    struct session_policy policy;
    const struct session_policy *newest; /* NULL: the one above */
    struct spool_budget budget;
    struct ehlo offer;
    enum session_offer offer_state;
    uint64_t now_us, session_timer, leg_timer;
    struct buf to_client, from_client; /* from_client: what the session did not take yet */
    bool closed, resume, client_tls;
    struct upleg_config leg_config;
    struct upleg *leg, *grave;
    struct buf to_upstream;
    bool leg_closed, leg_reset, leg_with_session, refuse_connect, wanted, leg_full;
    bool client_full;    /* the client does not read */
    size_t identified_n; /* octets of the address that XCLIENT gave; its port */
    uint16_t identified_port;
    unsigned connects, reports, releases, presented;
    bool passed; /* client and server were left to each other */
    char verdict[32], stage[32], note[300], tags[120], edits[120];
    unsigned code;
    uint64_t counters[SESSION_COUNTERS];
    int policies_out;
    struct filter_services services;
    struct world_timer timers[WORLD_TIMERS]; /* of the filters */
    unsigned config_errors;
};

static void world_bury(struct world *w)
{
    if (w->grave)
        upleg_destroy(&w->grave);
}

/* ---- the leg's connection ---- */

static bool world_leg_send(void *ctx, struct span bytes)
{
    struct world *w = ctx;
    return buf_append(&w->to_upstream, bytes);
}

static bool world_leg_full(void *ctx)
{
    struct world *w = ctx;
    return w->leg_full;
}

static void world_leg_tls(void *ctx)
{
    (void)ctx; /* the test says upleg_secured */
}

static void world_leg_close(void *ctx, bool reset)
{
    struct world *w = ctx;
    w->leg_closed = true;
    w->leg_reset = reset;
    w->leg_timer = 0;
    world_bury(w);
    w->grave = w->leg;
    w->leg = NULL;
}

static uint64_t world_leg_now(void *ctx)
{
    struct world *w = ctx;
    return w->now_us;
}

static void world_leg_timer(void *ctx, uint64_t at_us)
{
    struct world *w = ctx;
    w->leg_timer = at_us;
}

static const struct upleg_ops world_leg_ops = {
    .send = world_leg_send,
    .full = world_leg_full,
    .start_tls = world_leg_tls,
    .close = world_leg_close,
    .now_us = world_leg_now,
    .timer = world_leg_timer,
};

/* ---- until the leg is READY, and after the session gave it back ---- */

static void world_ready(void *ctx, struct upleg *u)
{
    struct world *w = ctx;
    if (!w->wanted)
        return;
    w->wanted = false;
    w->leg_with_session = true;
    upleg_use(u, NULL, NULL);
    session_upstream(w->session, u, NULL, 0, SPAN_NONE);
}

static void world_lost(void *ctx, struct upleg *u, const char *why, unsigned code, struct span bytes)
{
    struct world *w = ctx;
    (void)u;
    (void)code;
    (void)bytes;
    if (!w->wanted)
        return;
    w->wanted = false;
    session_upstream(w->session, NULL, why, 0, SPAN_NONE);
}

/* Nothing is kept here: who owes nothing is told goodbye. */
static void world_part(struct upleg *u)
{
    if (upleg_owed(u))
        return;
    (void)!upleg_command(u, UPLEG_QUIT, SPAN_LIT("QUIT"), NULL);
    upleg_abort(u, false);
}

static void world_cleaned(void *ctx, struct upleg *u, enum upleg_kind kind, void *tag, unsigned code,
                          struct span bytes)
{
    (void)ctx;
    (void)kind;
    (void)tag;
    (void)code;
    (void)bytes;
    world_part(u);
}

static const struct upleg_user world_waiting = {
    .ready = world_ready, .lost = world_lost, .reply = world_cleaned};

/* ---- what the session asks for ---- */

static void world_send(void *ctx, struct span bytes)
{
    struct world *w = ctx;
    if (!buf_append(&w->to_client, bytes))
        abort();
}

static bool world_full(void *ctx)
{
    struct world *w = ctx;
    return w->client_full;
}

static bool world_tls_allowed(void *ctx)
{
    (void)ctx;
    return true;
}

static void world_start_tls(void *ctx)
{
    struct world *w = ctx;
    w->client_tls = true;
    buf_free(&w->from_client);
}

static void world_resume(void *ctx)
{
    struct world *w = ctx;
    w->resume = true;
}

static void world_close(void *ctx, enum session_close how, const char *why)
{
    struct world *w = ctx;
    (void)how;
    (void)why;
    w->closed = true;
}

static struct span world_identified(void *ctx, const struct identity_end *client,
                                    const struct identity_end *reached)
{
    struct world *w = ctx;
    (void)reached;
    w->identified_n = client->ip_n;
    w->identified_port = client->port;
    return SPAN_NONE;
}

static uint64_t world_now(void *ctx)
{
    struct world *w = ctx;
    return w->now_us;
}

static void world_timer(void *ctx, uint64_t at_us)
{
    struct world *w = ctx;
    w->session_timer = at_us;
}

static enum session_offer world_offer(void *ctx, struct ehlo *offer_r)
{
    struct world *w = ctx;
    *offer_r = w->offer;
    return w->offer_state;
}

static void world_upstream_get(void *ctx, bool fresh, struct span helo)
{
    struct world *w = ctx;
    (void)fresh;
    (void)helo;
    w->connects++;
    if (w->refuse_connect || w->leg) {
        session_upstream(w->session, NULL, "connection refused", 0, SPAN_NONE);
        return;
    }
    w->wanted = true;
    w->leg_closed = w->leg_reset = false;
    w->leg = upleg_create(&w->leg_config, &world_leg_ops, w);
    if (!w->leg)
        abort();
    upleg_use(w->leg, &world_waiting, w);
    upleg_connected(w->leg);
}

static void world_upstream_cancel(void *ctx)
{
    struct world *w = ctx;
    w->wanted = false;
    if (w->leg)
        upleg_abort(w->leg, false);
}

static void world_upstream_put(void *ctx, struct upleg *u)
{
    struct world *w = ctx;
    w->leg_with_session = false;
    if (upleg_dead(u))
        return;
    upleg_use(u, &world_waiting, w);
    world_part(u);
}

static const struct session_policy *world_policy_get(void *ctx)
{
    struct world *w = ctx;
    w->policies_out++;
    return w->newest ? w->newest : &w->policy;
}

static void world_policy_put(void *ctx, const struct session_policy *p)
{
    struct world *w = ctx;
    (void)p;
    w->policies_out--;
}

static void world_report(void *ctx, const struct session_report *r)
{
    struct world *w = ctx;
    w->reports++;
    (void)snprintf(w->verdict, sizeof(w->verdict), "%s", r->verdict);
    (void)snprintf(w->stage, sizeof(w->stage), "%s", r->stage);
    (void)snprintf(w->note, sizeof(w->note), "%s", r->note ? r->note : "");
    (void)snprintf(w->tags, sizeof(w->tags), "%.*s", SPAN_FMT(r->tags));
    (void)snprintf(w->edits, sizeof(w->edits), "%.*s", SPAN_FMT(r->edits));
    w->code = r->code;
}

static void world_count(void *ctx, enum session_counter c, const struct txview *view)
{
    struct world *w = ctx;
    (void)view;
    w->counters[c]++;
}

static struct spool_budget *world_budget(void *ctx)
{
    struct world *w = ctx;
    return &w->budget;
}

static void world_released(void *ctx, const struct txview *view)
{
    struct world *w = ctx;
    (void)view;
    w->releases++;
}

/* The daemon's business: here the client is shown what it is shown. */
static void world_present_tls(void *ctx)
{
    struct world *w = ctx;
    w->presented++;
}

/* What the two say to each other from now on is not looked at. */
static void world_pass(void *ctx, struct upleg *u)
{
    struct world *w = ctx;
    w->passed = true;
    w->leg_with_session = false;
    upleg_abort(u, false);
    world_close(ctx, SESSION_CLOSE_FLUSH, "passed");
}

static const struct session_ops world_ops = {
    .present_tls = world_present_tls,
    .pass = world_pass,
    .released = world_released,
    .send = world_send,
    .full = world_full,
    .tls_allowed = world_tls_allowed,
    .start_tls = world_start_tls,
    .resume = world_resume,
    .close = world_close,
    .identified = world_identified,
    .now_us = world_now,
    .timer = world_timer,
    .offer = world_offer,
    .upstream_get = world_upstream_get,
    .upstream_cancel = world_upstream_cancel,
    .upstream_put = world_upstream_put,
    .policy_get = world_policy_get,
    .policy_put = world_policy_put,
    .report = world_report,
    .count = world_count,
    .budget = world_budget,
};

/* ---- services of the filters ---- */

static void world_filter_log(void *ctx, enum postern_log_level level, const char *filter, const char *text)
{
    (void)ctx;
    (void)level;
    (void)filter;
    (void)text;
}

static void world_filter_count(void *ctx, const char *filter, const char *counter, uint64_t add)
{
    (void)ctx;
    (void)filter;
    (void)counter;
    (void)add;
}

static void world_config_error(void *ctx, const char *file, uint32_t line, uint32_t column, const char *text)
{
    struct world *w = ctx;
    (void)file;
    (void)line;
    (void)column;
    (void)text;
    w->config_errors++;
}

static struct postern_timer *world_timer_start(void *ctx, uint64_t after_us, void (*fire)(void *arg),
                                               void *arg)
{
    struct world *w = ctx;
    for (size_t i = 0; i < WORLD_TIMERS; i++)
        if (!w->timers[i].at_us) {
            w->timers[i] = (struct world_timer){w->now_us + after_us + 1, fire, arg};
            return (struct postern_timer *)&w->timers[i];
        }
    return NULL;
}

static void world_timer_stop(void *ctx, struct postern_timer *t)
{
    struct world_timer *mine = (struct world_timer *)t;
    (void)ctx;
    mine->at_us = 0;
}

static void world_fire_filters(struct world *w)
{
    for (size_t i = 0; i < WORLD_TIMERS; i++)
        if (w->timers[i].at_us && w->timers[i].at_us <= w->now_us) {
            struct world_timer t = w->timers[i];
            w->timers[i].at_us = 0;
            t.fire(t.arg);
        }
}

static uint64_t world_next_filter(const struct world *w, uint64_t end)
{
    for (size_t i = 0; i < WORLD_TIMERS; i++)
        if (w->timers[i].at_us && w->timers[i].at_us < end)
            end = w->timers[i].at_us;
    return end;
}

/* ---- for the tests ---- */

static void world_defaults(struct world *w)
{
    const uint64_t s = 1000000;
    memset(w, 0, sizeof(*w));
    w->now_us = 1000 * s;
    w->offer_state = SESSION_OFFER_KNOWN;
    w->offer = (struct ehlo){.caps = CAP_PIPELINING | CAP_SIZE | CAP_8BITMIME | CAP_DSN | CAP_SMTPUTF8 |
                                     CAP_ENHANCEDSTATUSCODES,
                             .size = 10000000};
    w->budget = (struct spool_budget){.memory_max = 1 << 20, .disk_max = 1 << 20};
    w->policy = (struct session_policy){
        .generation = 1,
        .listener = "test",
        .hostname = "gate.test",
        .limits = {.message_bytes = 1 << 20,
                   .body_memory = 1 << 18,
                   .hold = 1 << 18,
                   .local_part = 64,
                   .recipients = 100,
                   .command_line = 2048,
                   .auth_line = 12288,
                   .errors = 20,
                   .junk_commands = 100,
                   .header_bytes = 1 << 18,
                   .pipelined = 128,
                   .line_flood = 1 << 16,
                   .data_rate = 500,
                   .greeting_us = 10 * s,
                   .command_us = 300 * s,
                   .content_us = 180 * s,
                   .upstream_idle_us = 60 * s},
        .auth_needs_tls = true,
        .offer_chunking = true,
        .enforce_sync = true,
        .vrfy = SESSION_QUERY_ANSWER,
    };
    w->services = (struct filter_services){.ctx = w,
                                           .log = world_filter_log,
                                           .now_us = world_now,
                                           .wall_us = world_now,
                                           .count = world_filter_count,
                                           .config_error = world_config_error,
                                           .timer_start = world_timer_start,
                                           .timer_stop = world_timer_stop};
    w->policy.services = &w->services;
    w->leg_config = (struct upleg_config){.tls = UPLEG_PLAIN,
                                          .chunking = UPLEG_CHUNKS_AS_CAME,
                                          .ehlo_name = "gate.test",
                                          .greeting_us = 120 * s,
                                          .command_us = 300 * s,
                                          .data_us = 115 * s,
                                          .final_us = 600 * s};
}

static void world_begin(struct world *w)
{
    struct session_client client = {
        .session_id = SPAN_LIT("sid1"), .address = SPAN_LIT("192.0.2.1"), .ip = {192, 0, 2, 1}, .ip_n = 4};
    w->session = session_create(&world_ops, w, &client);
    if (!w->session)
        abort();
    session_start(w->session);
}

/* Offers what waits; again as long as the session asks for it. */
static void world_offer_bytes(struct world *w)
{
    do {
        w->resume = false;
        struct span waiting = buf_span(&w->from_client);
        if (!waiting.n || w->closed)
            break;
        size_t taken = session_feed(w->session, waiting);
        if (taken > buf_len(&w->from_client))
            taken = buf_len(&w->from_client); /* STARTTLS threw the rest away */
        buf_consume(&w->from_client, taken);
    } while (w->resume);
}

/* slice 0: in one piece. */
static void world_client(struct world *w, struct span bytes, size_t slice)
{
    while (bytes.n && !w->closed) {
        size_t n = slice && slice < bytes.n ? slice : bytes.n;
        if (!buf_append(&w->from_client, span_head(bytes, n)))
            abort();
        world_offer_bytes(w);
        bytes = span_skip(bytes, n);
        world_bury(w);
    }
}

static void world_upstream(struct world *w, struct span bytes, size_t slice)
{
    while (bytes.n && w->leg) {
        size_t n = slice && slice < bytes.n ? slice : bytes.n;
        upleg_feed(w->leg, span_head(bytes, n));
        bytes = span_skip(bytes, n);
        world_bury(w);
    }
    if (w->resume)
        world_offer_bytes(w);
}

/* Moves the clock, firing what is due on the way. */
static void world_wait(struct world *w, uint64_t us)
{
    uint64_t end = w->now_us + us;
    for (int i = 0; i < 10000; i++) {
        uint64_t at = world_next_filter(w, end);
        if (w->session_timer && w->session_timer < at)
            at = w->session_timer;
        if (w->leg_timer && w->leg_timer < at)
            at = w->leg_timer;
        w->now_us = at > w->now_us ? at : w->now_us;
        world_fire_filters(w);
        if (w->session_timer && w->session_timer <= w->now_us && !w->closed) {
            w->session_timer = 0;
            session_timeout(w->session);
        } else if (w->leg_timer && w->leg_timer <= w->now_us && w->leg) {
            w->leg_timer = 0;
            upleg_timeout(w->leg);
        } else if (at == end) {
            break;
        }
        world_bury(w);
    }
    if (w->resume)
        world_offer_bytes(w);
}

static void world_end(struct world *w)
{
    session_destroy(&w->session);
    if (w->leg)
        upleg_abort(w->leg, false);
    world_bury(w);
    buf_free(&w->to_client);
    buf_free(&w->to_upstream);
    buf_free(&w->from_client);
}

#endif
