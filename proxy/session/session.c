/* SPDX-License-Identifier: MIT */
/* The life of a session, and its time.
 *
 *   session_feed (feed.c)  --> by mode: a command for the queue, content, a SASL response
 *   session_run (queue.c)  --> begins the next command that may, sends upstream what is ready, lets replies
 * leave session_over           --> the one end; its creator destroys it after ops.close
 */
#include "session/internal.h"

#include "base/clock.h"

#include <stdlib.h>

#define GREET_POLL_US (50 * (uint64_t)US_PER_MS)

/* ---- small services ---- */

uint64_t session_now(const struct session *s)
{
    return s->ops->now_us(s->ctx);
}

void session_count(struct session *s, enum session_counter c)
{
    s->ops->count(s->ctx, c, &s->view);
}

void session_send(struct session *s, struct span bytes)
{
    if (bytes.n && !s->gone && s->mode != MODE_OVER)
        s->ops->send(s->ctx, bytes);
}

/* Replaces a text that the view shows. */
bool session_keep(char **place, struct span *shown, struct span text)
{
    char *copy = NULL;
    if (text.n) {
        copy = malloc(text.n);
        if (!copy)
            return false;
        memcpy(copy, text.p, text.n);
    }
    free(*place);
    *place = copy;
    *shown = span_make(copy, text.n);
    return true;
}

void session_error(struct session *s)
{
    s->errors++;
}

/* ---- time ---- */

/* What is awaited is a command, the response to a challenge, or that replies are read: before that, no other
 * command begins. */
static bool client_turn(const struct session *s)
{
    if (s->auth)
        return s->auth->state == CMD_BEGUN;
    return s->mode == MODE_COMMAND && (!s->first || s->first->state == CMD_QUEUED);
}

/* A client that sends content may be silent for a while, and slow for as long, but not for ever: an octet now
 * and then would hold a session, a leg and a place in the spool. Between the chunks of BDAT it has the time
 * that it has for any command, but that once for a message. */
static uint64_t content_due(const struct session *s)
{
    const struct session_limits *l = &s->policy->limits;
    const struct tx *t = s->tx;
    uint64_t pause = t->decoder.form == DATA_DOTS ? 0 : l->command_us;
    uint64_t silent = t->progress_us + (s->first ? l->content_us : l->command_us);
    if (!l->data_rate)
        return silent;
    uint64_t octets = t->decoder.octets, second = US_PER_S;
    uint64_t earned = octets / l->data_rate * second + octets % l->data_rate * second / l->data_rate;
    uint64_t waited = t->waits_since_us ? session_now(s) - t->waits_since_us : 0; /* it could not help that */
    uint64_t slow = t->rate_from_us + waited + l->content_us + pause + earned;
    return silent < slow ? silent : slow;
}

/* The moment at which somebody has taken too long; 0: nobody whom this session watches. Filters and upstream
 * replies have deadlines of their own. */
static uint64_t deadline(const struct session *s)
{
    const struct session_limits *l = &s->policy->limits;
    if (s->mode == MODE_NEW)
        return s->phases || s->leg_asked ? 0 : session_now(s) + GREET_POLL_US;
    if (s->tx && s->tx->yields)
        return session_now(s);
    if (s->tx && s->tx->stage == TX_RECEIVING) {
        if (content_congested(s))
            return s->tx->sent_us + l->content_us;
        uint64_t content = content_due(s);
        uint64_t idle = s->leg ? s->tx->kept_us + l->upstream_idle_us : UINT64_MAX;
        return s->tx->paused ? idle : (content < idle ? content : idle);
    }
    if (s->tx && s->tx->stage == TX_SENDING)
        return s->tx->sent_us + l->content_us;
    return client_turn(s) ? s->idle_since_us + l->command_us : 0;
}

/* The timer is left running where it would only move to a later moment: session_timeout looks again. */
void session_arm(struct session *s)
{
    uint64_t at = deadline(s);
    if (at == 0 || at == UINT64_MAX || (s->timer_us && s->timer_us <= at))
        return;
    s->timer_us = at;
    s->ops->timer(s->ctx, at);
}

static void client_timed_out(struct session *s, enum own_reply r, const char *why)
{
    struct buf b = {0};
    session_count(s, SESSION_COUNT_TIMEOUTS);
    if (own_reply_print(s, &b, r))
        session_send(s, buf_span(&b));
    buf_free(&b);
    if (s->tx)
        s->tx->note = why;
    session_over(s, SESSION_CLOSE_FLUSH, why);
}

static void content_timed_out(struct session *s)
{
    const struct session_limits *l = &s->policy->limits;
    if (session_now(s) < s->tx->progress_us + (s->first ? l->content_us : l->command_us))
        client_timed_out(s, SAY_TOO_SLOW, "the client sent its content too slowly");
    else
        client_timed_out(s, SAY_IDLE, "the client took too long");
}

static void time_is_up(struct session *s)
{
    uint64_t now = session_now(s);
    if (s->mode == MODE_NEW) {
        session_greet(s);
    } else if (s->tx && s->tx->yields) {
        content_pump(s);
    } else if (s->tx && (s->tx->stage == TX_SENDING || content_congested(s))) {
        content_stalled(s);
    } else if (s->tx && s->tx->stage == TX_RECEIVING && (s->tx->paused || now < content_due(s))) {
        content_keepalive(s);
    } else if (s->tx && s->tx->stage == TX_RECEIVING) {
        content_timed_out(s);
    } else {
        client_timed_out(s, SAY_IDLE, "the client took too long");
    }
}

void session_timeout(struct session *s)
{
    s->timer_us = 0;
    if (s->mode == MODE_OVER)
        return;
    uint64_t at = deadline(s);
    if (at && at != UINT64_MAX && (s->mode == MODE_NEW || session_now(s) >= at))
        time_is_up(s);
    if (s->mode != MODE_OVER)
        session_run(s);
}

/* ---- life ---- */

static struct span append_text(char **at, struct span text)
{
    struct span copy = span_make(*at, text.n);
    if (text.n)
        memcpy(*at, text.p, text.n);
    *at += text.n;
    return copy;
}

struct session *session_create(const struct session_ops *ops, void *ctx, const struct session_client *client)
{
    const size_t tls_room = 16;
    struct session *s =
        calloc(1, sizeof(*s) + client->session_id.n + client->address.n + client->destination.n + tls_room);
    if (!s)
        return NULL;
    char *text = s->texts;
    s->ops = ops;
    s->ctx = ctx;
    s->last = &s->first;
    s->view.session_id = append_text(&text, client->session_id);
    s->view.client_address = append_text(&text, client->address);
    s->destination = append_text(&text, client->destination);
    s->destination_port = client->destination_port;
    s->client_port = client->port;
    s->tls_text = text;
    s->view.tls = append_text(&text, span_head(client->tls_version, tls_room));
    memcpy(s->view.ip, client->ip, sizeof(s->view.ip));
    s->view.ip_n = client->ip_n;
    s->in_tls = client->in_tls;
    line_init(&s->line, 0, 0); /* its limits come with the policy */
    return s;
}

void session_destroy(struct session **sp)
{
    struct session *s = *sp;
    if (!s)
        return;
    if (s->mode != MODE_OVER && s->policy)
        session_over(s, SESSION_CLOSE_RESET, "destroyed");
    queue_clear(s);
    chain_run_destroy(&s->run);
    if (s->policy)
        s->ops->policy_put(s->ctx, s->policy);
    line_free(&s->line);
    free(s->helo);
    free(s->user);
    free(s->name);
    free(s->address);
    free(s->reached);
    free(s);
    *sp = NULL;
}

void session_start(struct session *s)
{
    const struct session_policy *p = s->ops->policy_get(s->ctx);
    uint64_t now = session_now(s);
    s->idle_since_us = now;
    s->greet_by_us = now + p->limits.greeting_us;
    if (!phases_attach(s, p)) {
        session_over(s, SESSION_CLOSE_FLUSH, "no memory");
        return;
    }
    unsigned user = s->view.user.n ? PHASE_BIT(POSTERN_ON_AUTH) : 0; /* known from XCLIENT alone */
    phases_run(s, NULL, PHASE_BIT(POSTERN_ON_CONNECT) | user);
    if (s->mode != MODE_OVER)
        session_run(s);
}

static void let_go(struct session *s)
{
    s->mode = MODE_OVER;
    chain_run_destroy(&s->run);
    s->ops->timer(s->ctx, 0);
}

void session_pass(struct session *s)
{
    struct upleg *u = s->leg;
    s->leg = NULL;
    upleg_use(u, NULL, NULL);
    let_go(s);
    s->ops->pass(s->ctx, u);
}

/* The one end of a session that postern has a part in. */
void session_over(struct session *s, enum session_close how, const char *why)
{
    if (s->mode == MODE_OVER)
        return;
    phases_stop(s);
    auth_end(s);
    if (s->tx) {
        if (!s->tx->note)
            s->tx->note = why;
        tx_end(s);
    }
    if (s->leg_asked)
        s->ops->upstream_cancel(s->ctx);
    s->leg_asked = false;
    leg_end(s);
    let_go(s);
    s->ops->close(s->ctx, how, why);
}

void session_secured(struct session *s, struct span tls_version)
{
    if (s->mode != MODE_TLS)
        return;
    char *place = s->tls_text;
    s->view.tls = append_text(&place, span_head(tls_version, 16));
    s->in_tls = true;
    s->mode = MODE_COMMAND;
    s->idle_since_us = session_now(s);
    session_run(s);
}

void session_drained(struct session *s)
{
    if (s->mode != MODE_OVER)
        session_run(s);
}

void session_eof(struct session *s)
{
    if (s->mode == MODE_OVER)
        return;
    s->eof = true;
    bool half_said = s->mode == MODE_CONTENT || s->chunk_left || s->mode == MODE_AUTH || s->mode == MODE_NEW;
    if (half_said)
        session_over(s, SESSION_CLOSE_FLUSH, "the client left");
    else
        session_run(s);
}

void session_gone(struct session *s)
{
    if (s->mode == MODE_OVER)
        return;
    s->gone = true;
    /* An end that was released cannot be taken back: the upstream finishes, and the log says that nobody
     * heard. */
    if (!s->tx || s->tx->stage != TX_RELEASED)
        session_over(s, SESSION_CLOSE_RESET, "the client left");
}

void session_drain(struct session *s)
{
    if (s->mode == MODE_OVER)
        return;
    s->draining = true;
    if (s->mode != MODE_NEW) /* the greeting will say so */
        session_run(s);
}

void session_kill(struct session *s)
{
    struct buf b = {0};
    if (s->mode == MODE_OVER)
        return;
    if (s->mode != MODE_TLS && own_reply_print(s, &b, SAY_SHUTDOWN))
        session_send(s, buf_span(&b));
    buf_free(&b);
    session_over(s, SESSION_CLOSE_FLUSH, "shutting down");
}

const char *session_counter_name(enum session_counter c)
{
    static const char *const names[SESSION_COUNTERS] = {
        [SESSION_COUNT_TRANSACTIONS] = "transactions",
        [SESSION_COUNT_ACCEPTED] = "accepted",
        [SESSION_COUNT_REJECTED] = "rejected",
        [SESSION_COUNT_DEFERRED] = "deferred",
        [SESSION_COUNT_DISCARDED] = "discarded",
        [SESSION_COUNT_ABORTED] = "aborted",
        [SESSION_COUNT_UNKNOWN] = "outcome_unknown",
        [SESSION_COUNT_UNDELIVERED] = "outcome_undelivered",
        [SESSION_COUNT_SYNC_VIOLATIONS] = "sync_violations",
        [SESSION_COUNT_BARE_NEWLINES] = "bare_newlines",
        [SESSION_COUNT_TOO_MANY_ERRORS] = "too_many_errors",
        [SESSION_COUNT_TOO_MANY_RCPTS] = "too_many_recipients",
        [SESSION_COUNT_TOO_MANY_COMMANDS] = "too_many_commands",
        [SESSION_COUNT_TOO_BIG] = "too_big",
        [SESSION_COUNT_TOO_MANY_HOPS] = "too_many_hops",
        [SESSION_COUNT_LINE_TOO_LONG] = "line_too_long",
        [SESSION_COUNT_NO_SPACE] = "no_space",
        [SESSION_COUNT_TIMEOUTS] = "client_timeouts",
        [SESSION_COUNT_UPSTREAM_LOST] = "upstream_lost",
        [SESSION_COUNT_UPSTREAM_RETRIES] = "upstream_retries",
        [SESSION_COUNT_AUTH_FAILED] = "auth_failed",
        [SESSION_COUNT_COPIES_REFUSED] = "copies_refused",
    };
    return names[c];
}

bool session_counter_is_limit(enum session_counter c)
{
    static const bool is_limit[SESSION_COUNTERS] = {
        [SESSION_COUNT_SYNC_VIOLATIONS] = true,   [SESSION_COUNT_BARE_NEWLINES] = true,
        [SESSION_COUNT_TOO_MANY_ERRORS] = true,   [SESSION_COUNT_TOO_MANY_RCPTS] = true,
        [SESSION_COUNT_TOO_MANY_COMMANDS] = true, [SESSION_COUNT_TOO_BIG] = true,
        [SESSION_COUNT_TOO_MANY_HOPS] = true,     [SESSION_COUNT_LINE_TOO_LONG] = true,
        [SESSION_COUNT_NO_SPACE] = true,          [SESSION_COUNT_TIMEOUTS] = true,
    };
    return is_limit[c];
}
