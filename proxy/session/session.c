/* SPDX-License-Identifier: MIT */
/* The engine's frame: the life of a session, feeding it, the queue of commands, and time.
 *
 *   session_feed --> by mode:  COMMAND  line -> cmd at the end of the queue
 *                              CONTENT  content_receive
 *                              AUTH     auth_line
 *   session_run  --> begins the next command that may, sends upstream what is ready, lets replies leave
 *
 *        first            next            last
 *   [ DONE ][ SENT ][ SENT ][ QUEUED ][ QUEUED ]      only RCPT begins while commands before it are
 *      `-> client                                     unanswered; all others wait until they are first
 *
 * A cmd is owned by the queue and dies when its reply has left. The session is owned by its creator, who
 * destroys it after ops.close. */
#include "session/internal.h"

#include "base/clock.h"

#include <stdlib.h>

#define QUEUE_MAX     128 /* commands read ahead of the one that is worked on */
#define LINE_FLOOD_AT (64 * 1024)
#define GREET_POLL_US (50 * US_PER_MS)

/* ---- our own replies ---- */

enum own_flags { OWN_ERROR = 1, OWN_CLOSE = 2, OWN_SID = 4 };
/* The table is written with the short names. */
#define ERROR OWN_ERROR
#define CLOSE OWN_CLOSE
#define SID   OWN_SID
static const struct own_text {
    unsigned code;
    const char *enhanced, *text;
    unsigned flags;
} own_texts[OWN_REPLIES] = {
#define REPLY(id, code, enhanced, text, flags) [SAY_##id] = {code, enhanced, text, flags},
#include "session/replies.def"
#undef REPLY
};
#undef ERROR
#undef CLOSE
#undef SID

unsigned own_reply_code(enum own_reply r)
{
    return own_texts[r].code;
}

bool own_reply_closes(enum own_reply r)
{
    return own_texts[r].flags & OWN_CLOSE;
}

bool own_reply_print(const struct session *s, struct buf *out, enum own_reply r)
{
    const struct own_text *t = &own_texts[r];
    char text[200];
    int n = snprintf(text, sizeof(text), t->flags & OWN_SID ? "%s (%.*s)" : "%s", t->text,
                     SPAN_FMT(s->view.session_id));
    if (n < 0 || (size_t)n >= sizeof(text))
        return false;
    return reply_print(out, t->code, span_of(t->enhanced), span_make(text, (size_t)n));
}

/* ---- small services ---- */

uint64_t session_now(const struct session *s)
{
    return s->ops->now_us(s->ctx);
}

void session_count(struct session *s, enum session_counter c)
{
    s->ops->count(s->ctx, c);
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

/* ---- the queue ---- */

static struct cmd *cmd_create(struct span line)
{
    struct cmd *c = calloc(1, sizeof(*c) + line.n + 1);
    if (!c)
        return NULL;
    c->line_n = line.n;
    if (line.n)
        memcpy(c->line, line.p, line.n);
    return c;
}

static void cmd_destroy(struct cmd *c)
{
    if (c->command.verb == VERB_AUTH)
        wipe(c->line, c->line_n);
    buf_free(&c->reply);
    free(c);
}

static void enqueue(struct session *s, struct cmd *c)
{
    *s->last = c;
    s->last = &c->next;
    s->queued++;
    if (!s->next)
        s->next = c;
}

static void pop_first(struct session *s)
{
    struct cmd *c = s->first;
    s->first = c->next;
    if (!s->first)
        s->last = &s->first;
    if (s->next == c)
        s->next = c->next;
    s->queued--;
    cmd_destroy(c);
}

void cmd_answer_bytes(struct session *s, struct cmd *c, struct span bytes)
{
    (void)s;
    if (!buf_append(&c->reply, bytes))
        c->closes = true; /* nothing can be said: closing is the only honest answer left */
    c->state = CMD_DONE;
}

void cmd_answer(struct session *s, struct cmd *c, enum own_reply r)
{
    if (own_texts[r].flags & OWN_ERROR)
        session_error(s);
    if (!own_reply_print(s, &c->reply, r))
        c->closes = true;
    if (own_texts[r].flags & OWN_CLOSE)
        c->closes = true;
    c->state = CMD_DONE;
}

/* Commands that come often for no reason count as errors, so that nobody is kept busy for nothing. */
static void count_junk(struct session *s, enum verb v)
{
    static const bool junk[VERBS] = {[VERB_RSET] = true, [VERB_NOOP] = true, [VERB_VRFY] = true,
                                     [VERB_HELP] = true, [VERB_EHLO] = true, [VERB_HELO] = true};
    if (junk[v] && ++s->junk > s->policy->limits.junk_commands)
        session_error(s);
}

static bool too_many_errors(struct session *s, struct cmd *c)
{
    if (s->errors <= s->policy->limits.errors || c->closes)
        return false;
    session_count(s, SESSION_COUNT_TOO_MANY_ERRORS);
    buf_consume(&c->reply, buf_len(&c->reply)); /* this goes instead of what it would have been */
    cmd_answer(s, c, SAY_TOO_MANY_ERRORS);
    return true;
}

/* Lets finished replies leave, in order. */
static void flush_replies(struct session *s)
{
    while (s->first && s->first->state == CMD_DONE && s->mode != MODE_OVER) {
        struct cmd *c = s->first;
        count_junk(s, c->command.verb);
        (void)too_many_errors(s, c);
        session_send(s, buf_span(&c->reply));
        bool closes = c->closes;
        if (verb_info(c->command.verb)->flags & VERB_IS_SYNC)
            s->turn_over = false;
        pop_first(s);
        s->idle_since_us = session_now(s);
        if (closes) {
            session_over(s, SESSION_CLOSE_FLUSH, "closed after a reply");
            return;
        }
        s->again = true;
    }
}

/* RCPT may begin while the replies to MAIL and other RCPTs are out; every other command waits until it is
 * first: what it may do depends on all before it. */
static bool may_begin(const struct session *s)
{
    const struct cmd *c = s->next;
    if (!c || s->phases || s->auth || s->mode == MODE_OVER || s->mode == MODE_NEW || s->mode == MODE_TLS ||
        s->ops->full(s->ctx))
        return false;
    return c == s->first || (c->command.verb == VERB_RCPT && !c->refusal);
}

static void begin_next(struct session *s)
{
    struct cmd *c = s->next;
    s->next = c->next;
    c->state = CMD_BEGUN;
    if (c->refusal)
        cmd_answer(s, c, c->refusal);
    else if (s->leg_lost && c->command.verb != VERB_QUIT)
        cmd_answer(s, c, SAY_UPSTREAM_LOST);
    else if (s->draining && !s->tx && c->command.verb != VERB_QUIT)
        cmd_answer(s, c, SAY_SHUTDOWN);
    else
        cmd_begin(s, c);
}

static bool nothing_to_do(const struct session *s)
{
    return !s->first && !s->phases && s->mode == MODE_COMMAND;
}

static void end_if_due(struct session *s)
{
    if (!nothing_to_do(s))
        return;
    if (s->eof || s->gone) {
        session_over(s, SESSION_CLOSE_FLUSH, "the client left");
    } else if (s->draining && !s->tx) {
        struct buf b = {0};
        if (own_reply_print(s, &b, SAY_SHUTDOWN))
            session_send(s, buf_span(&b));
        buf_free(&b);
        session_over(s, SESSION_CLOSE_FLUSH, "shutting down");
    }
}

static void arm(struct session *s);

void session_run(struct session *s)
{
    if (s->running) {
        s->again = true;
        return;
    }
    s->running = true;
    do {
        s->again = false;
        while (may_begin(s))
            begin_next(s);
        leg_send_ready(s);
        flush_replies(s);
    } while (s->again && s->mode != MODE_OVER);
    s->running = false;
    if (s->mode == MODE_OVER)
        return;
    end_if_due(s);
    if (s->mode == MODE_OVER)
        return;
    arm(s);
    if (s->held_input && !s->turn_over && s->queued < QUEUE_MAX) {
        s->held_input = false;
        s->ops->resume(s->ctx);
    }
}

/* ---- feeding ---- */

static void refuse_line(struct session *s, enum own_reply r)
{
    struct cmd *c = cmd_create(SPAN_NONE);
    if (!c) {
        session_over(s, SESSION_CLOSE_FLUSH, "no memory");
        return;
    }
    c->refusal = r;
    enqueue(s, c);
    session_run(s);
}

/* A line that cannot be trusted, or came out of turn: the answer, and no byte after it is read. */
static void refuse_for_good(struct session *s, struct span *in, enum own_reply r)
{
    in->n = 0;
    s->turn_over = false;
    refuse_line(s, r);
    if (s->mode != MODE_OVER)
        s->eof = true; /* what still comes is thrown away */
}

static enum own_reply command_refusal(const struct command *c, enum command_error e)
{
    static const enum own_reply by_error[] = {
        [COMMAND_OK] = SAY_NONE,
        [COMMAND_UNKNOWN] = SAY_UNKNOWN,
        [COMMAND_SYNTAX] = SAY_BAD_COMMAND,
        [COMMAND_NO_ARGUMENT] = SAY_NEEDS_ARGUMENT,
        [COMMAND_HAS_ARGUMENT] = SAY_TAKES_NO_ARGUMENT,
        [COMMAND_UTF8] = SAY_BAD_COMMAND,
    };
    if (verb_info(c->verb)->flags & VERB_IS_REFUSED)
        return SAY_NOT_SERVED;
    return by_error[e];
}

static void take_command(struct session *s, struct span line, struct span *in)
{
    struct cmd *c = cmd_create(line);
    if (!c) {
        session_over(s, SESSION_CLOSE_FLUSH, "no memory");
        return;
    }
    c->refusal = command_refusal(&c->command, command_parse(span_make(c->line, c->line_n), &c->command));
    uint32_t max =
        c->command.verb == VERB_AUTH ? s->policy->limits.auth_line : s->policy->limits.command_line;
    if (line.n > max) {
        session_count(s, SESSION_COUNT_LINE_TOO_LONG);
        c->refusal = SAY_LINE_TOO_LONG;
    }
    bool last_of_group = verb_info(c->command.verb)->flags & VERB_IS_SYNC;
    enqueue(s, c);
    if (last_of_group && in->n && s->policy->enforce_sync) {
        session_count(s, SESSION_COUNT_SYNC_VIOLATIONS);
        c->refusal = SAY_OUT_OF_TURN;
        in->n = 0;
    } else if (last_of_group) {
        s->turn_over = true;
    }
    session_run(s);
}

static void line_event(struct session *s, enum line_result r, struct span line, struct span *in)
{
    switch (r) {
    case LINE_MORE:
        break;
    case LINE_READY:
        take_command(s, line, in);
        break;
    case LINE_TOO_LONG:
        session_count(s, SESSION_COUNT_LINE_TOO_LONG);
        refuse_line(s, SAY_LINE_TOO_LONG);
        break;
    case LINE_FLOOD:
        session_count(s, SESSION_COUNT_LINE_TOO_LONG);
        refuse_for_good(s, in, SAY_LINE_FLOOD);
        break;
    case LINE_BARE_LF:
    case LINE_BARE_CR:
    case LINE_NUL:
        session_count(s, SESSION_COUNT_BARE_NEWLINES);
        refuse_for_good(s, in, SAY_BAD_LINE_END);
        break;
    case LINE_NO_MEMORY:
        refuse_for_good(s, in, SAY_NO_MEMORY);
        break;
    }
}

/* false: no more is taken now. */
static bool feed_command(struct session *s, struct span *in)
{
    if (s->turn_over && s->policy->enforce_sync) {
        session_count(s, SESSION_COUNT_SYNC_VIOLATIONS);
        refuse_for_good(s, in, SAY_OUT_OF_TURN);
        return true;
    }
    if (s->turn_over || s->queued >= QUEUE_MAX)
        return false;
    struct span line;
    s->line.max = s->policy->limits.auth_line;
    enum line_result r = line_feed(&s->line, in, &line);
    line_event(s, r, line, in);
    return true;
}

static bool feed_auth(struct session *s, struct span *in)
{
    struct span line;
    if (!s->auth || s->auth->state == CMD_SENT)
        return feed_command(s, in); /* the upstream's turn: bytes now are out of turn */
    enum line_result r = line_feed(&s->line, in, &line);
    if (r == LINE_READY) {
        auth_line(s, line);
    } else if (r != LINE_MORE) {
        leg_drop(s, true);
        auth_end(s);
        refuse_for_good(s, in,
                        r == LINE_TOO_LONG || r == LINE_FLOOD ? SAY_AUTH_LINE_TOO_LONG : SAY_BAD_LINE_END);
    }
    return true;
}

/* Before the greeting: whoever talks now does not listen (RFC 5321 3.1). */
static bool feed_new(struct session *s, struct span *in)
{
    if (!s->policy->enforce_sync || s->in_tls)
        return false;
    session_count(s, SESSION_COUNT_SYNC_VIOLATIONS);
    phases_stop(s);
    s->mode = MODE_COMMAND;
    refuse_for_good(s, in, SAY_OUT_OF_TURN);
    return true;
}

static bool feed_content(struct session *s, struct span *in)
{
    if (s->tx->paused)
        return false;
    content_receive(s, in);
    return true;
}

static bool feed_step(struct session *s, struct span *in)
{
    if (s->eof || s->gone) {
        in->n = 0;
        return true;
    }
    switch (s->mode) {
    case MODE_NEW:
        return feed_new(s, in);
    case MODE_COMMAND:
        return feed_command(s, in);
    case MODE_AUTH:
        return feed_auth(s, in);
    case MODE_CONTENT:
        return feed_content(s, in);
    case MODE_TLS:
    case MODE_OVER:
        in->n = 0;
        break;
    }
    return true;
}

size_t session_feed(struct session *s, struct span in)
{
    struct span rest = in;
    while (rest.n && feed_step(s, &rest))
        ;
    if (rest.n)
        s->held_input = true;
    if (s->mode != MODE_OVER)
        arm(s);
    return in.n - rest.n;
}

/* ---- time ---- */

/* The moment at which somebody has taken too long; 0: nobody whom this session watches. Filters and upstream
 * replies have deadlines of their own. */
static uint64_t deadline(const struct session *s)
{
    const struct session_limits *l = &s->policy->limits;
    if (s->mode == MODE_NEW)
        return s->phases ? 0 : session_now(s) + GREET_POLL_US;
    if (s->tx && s->tx->stage == TX_RECEIVING) {
        uint64_t content = s->tx->progress_us + l->content_us;
        uint64_t idle = s->leg ? s->tx->kept_us + l->upstream_idle_us : UINT64_MAX;
        return s->tx->paused ? idle : (content < idle ? content : idle);
    }
    if (s->tx && s->tx->stage == TX_PUMPING)
        return s->tx->progress_us + l->content_us;
    bool client_turn = (s->mode == MODE_COMMAND && !s->first) || (s->auth && s->auth->state != CMD_SENT);
    return client_turn ? s->idle_since_us + l->command_us : 0;
}

/* The timer is left running where it would only move to a later moment: session_timeout looks again. */
static void arm(struct session *s)
{
    uint64_t at = deadline(s);
    if (at == 0 || at == UINT64_MAX || (s->timer_us && s->timer_us <= at))
        return;
    s->timer_us = at;
    s->ops->timer(s->ctx, at);
}

static void client_timed_out(struct session *s)
{
    struct buf b = {0};
    session_count(s, SESSION_COUNT_TIMEOUTS);
    if (own_reply_print(s, &b, SAY_IDLE))
        session_send(s, buf_span(&b));
    buf_free(&b);
    if (s->tx)
        s->tx->note = "the client took too long";
    session_over(s, SESSION_CLOSE_FLUSH, "the client took too long");
}

static void time_is_up(struct session *s)
{
    uint64_t now = session_now(s);
    if (s->mode == MODE_NEW) {
        session_greet(s);
    } else if (s->tx && s->tx->stage == TX_PUMPING) {
        content_stalled(s);
    } else if (s->tx && s->tx->stage == TX_RECEIVING &&
               (s->tx->paused || now < s->tx->progress_us + s->policy->limits.content_us)) {
        content_keepalive(s);
    } else {
        client_timed_out(s);
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
    struct session *s = calloc(1, sizeof(*s) + client->session_id.n + client->address.n + tls_room);
    if (!s)
        return NULL;
    char *text = s->texts;
    s->ops = ops;
    s->ctx = ctx;
    s->last = &s->first;
    s->view.session_id = append_text(&text, client->session_id);
    s->view.client_address = append_text(&text, client->address);
    s->view.tls = append_text(&text, span_head(client->tls_version, tls_room));
    memcpy(s->view.ip, client->ip, sizeof(s->view.ip));
    s->view.ip_n = client->ip_n;
    s->in_tls = client->in_tls;
    line_init(&s->line, LINE_FLOOD_AT, LINE_FLOOD_AT);
    return s;
}

void session_destroy(struct session **sp)
{
    struct session *s = *sp;
    if (!s)
        return;
    if (s->mode != MODE_OVER && s->policy)
        session_over(s, SESSION_CLOSE_RESET, "destroyed");
    while (s->first)
        pop_first(s);
    chain_run_destroy(&s->run);
    if (s->policy)
        s->ops->policy_put(s->ctx, s->policy);
    line_free(&s->line);
    free(s->helo);
    free(s->user);
    free(s);
    *sp = NULL;
}

void session_start(struct session *s)
{
    const struct session_policy *p = s->ops->policy_get(s->ctx);
    uint64_t now = session_now(s);
    s->idle_since_us = now;
    s->greet_by_us = now + 10 * (uint64_t)US_PER_S;
    if (!phases_attach(s, p)) {
        session_over(s, SESSION_CLOSE_FLUSH, "no memory");
        return;
    }
    phases_run(s, NULL, PHASE_BIT(POSTERN_ON_CONNECT));
    if (s->mode != MODE_OVER)
        session_run(s);
}

/* The one end of a session. */
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
    s->mode = MODE_OVER;
    chain_run_destroy(&s->run);
    s->ops->timer(s->ctx, 0);
    s->ops->close(s->ctx, how, why);
}

void session_secured(struct session *s, struct span tls_version)
{
    if (s->mode != MODE_TLS)
        return;
    /* The room behind the address was left for this. */
    char *place = s->texts + s->view.session_id.n + s->view.client_address.n;
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
    bool half_said = s->mode == MODE_CONTENT || s->mode == MODE_AUTH || s->mode == MODE_NEW;
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

bool session_idle(const struct session *s)
{
    return nothing_to_do(s) && !s->tx;
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
        [SESSION_COUNT_TOO_BIG] = "too_big",
        [SESSION_COUNT_LINE_TOO_LONG] = "line_too_long",
        [SESSION_COUNT_NO_SPACE] = "no_space",
        [SESSION_COUNT_TIMEOUTS] = "client_timeouts",
        [SESSION_COUNT_UPSTREAM_LOST] = "upstream_lost",
        [SESSION_COUNT_UPSTREAM_RETRIES] = "upstream_retries",
        [SESSION_COUNT_AUTH_FAILED] = "auth_failed",
    };
    return names[c];
}
