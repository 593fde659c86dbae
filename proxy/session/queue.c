/* SPDX-License-Identifier: MIT */
/* The queue of commands, and the loop that moves a session on.
 *
 *        first            next            last
 *   [ DONE ][ SENT ][ SENT ][ QUEUED ][ QUEUED ]      only RCPT begins while MAIL and RCPTs before it are
 *      `-> client                                     unanswered; all others wait until they are first
 *
 * A cmd is owned by the queue and dies when its reply has left, or with the session. */
#include "session/internal.h"

#include <stdlib.h>

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

struct cmd *queue_add(struct session *s, struct span line)
{
    struct cmd *c = cmd_create(line);
    if (!c)
        return NULL;
    *s->last = c;
    s->last = &c->next;
    s->queued++;
    if (!s->next)
        s->next = c;
    return c;
}

bool queue_full(const struct session *s)
{
    return s->queued >= s->policy->limits.pipelined;
}

static void pop_first(struct session *s)
{
    struct cmd *c = s->first;
    s->first = c->next;
    if (!s->first)
        s->last = &s->first;
    if (s->next == c)
        s->next = c->next;
    if (s->chunk == c)
        s->chunk = NULL; /* answered before its payload: that is in the way, no more */
    s->queued--;
    cmd_destroy(c);
}

void queue_clear(struct session *s)
{
    while (s->first)
        pop_first(s);
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
    if (own_reply_flags(r) & OWN_ERROR)
        session_error(s);
    if (!own_reply_print(s, &c->reply, r))
        c->closes = true;
    if (own_reply_flags(r) & OWN_CLOSE)
        c->closes = true;
    c->state = CMD_DONE;
}

/* Commands that come often for no reason count as errors, so that nobody is kept busy for nothing. */
static void count_junk(struct session *s, const struct cmd *c)
{
    static const bool junk[VERBS] = {
        [VERB_RSET] = true, [VERB_NOOP] = true, [VERB_VRFY] = true, [VERB_EXPN] = true,
        [VERB_ETRN] = true, [VERB_HELP] = true, [VERB_EHLO] = true, [VERB_HELO] = true};
    bool empty_chunk = c->command.verb == VERB_BDAT && c->bdat.size == 0 && !c->bdat.last;
    if ((junk[c->command.verb] || empty_chunk) && ++s->junk > s->policy->limits.junk_commands)
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
        count_junk(s, c);
        (void)too_many_errors(s, c);
        session_send(s, buf_span(&c->reply));
        bool closes = c->closes, passes = c->passes && s->leg;
        if (!c->next && verb_info(c->command.verb)->flags & VERB_IS_SYNC)
            s->turn_over = false; /* else it is the turn of a command behind this one that counts */
        pop_first(s);
        s->idle_since_us = session_now(s);
        if (passes) {
            session_pass(s);
            return;
        }
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
        s->gone || s->ops->full(s->ctx))
        return false;
    bool in_envelope = s->tx && s->tx->stage == TX_ENVELOPE; /* else what is unanswered is a message */
    return c == s->first || (c->command.verb == VERB_RCPT && !c->refusal && in_envelope);
}

static bool too_many_commands(struct session *s, const struct cmd *c)
{
    uint32_t most = s->policy->limits.commands;
    if (!most || ++s->commands <= most || c->command.verb == VERB_QUIT)
        return false;
    session_count(s, SESSION_COUNT_TOO_MANY_COMMANDS);
    return true;
}

static void begin_next(struct session *s)
{
    struct cmd *c = s->next;
    s->next = c->next;
    c->state = CMD_BEGUN;
    if (too_many_commands(s, c))
        cmd_answer(s, c, SAY_TOO_MANY_COMMANDS);
    else if (c->refusal)
        cmd_answer(s, c, c->refusal);
    else if (s->leg_lost && c->command.verb != VERB_QUIT)
        cmd_answer(s, c, SAY_UPSTREAM_LOST);
    else if (s->draining && !s->tx && c->command.verb != VERB_QUIT)
        cmd_answer(s, c, SAY_SHUTDOWN);
    else
        cmd_begin(s, c);
}

static bool quiet(const struct session *s)
{
    return !s->first && !s->phases && s->mode == MODE_COMMAND;
}

static void end_if_due(struct session *s)
{
    if (s->gone && !s->tx)
        session_over(s, SESSION_CLOSE_FLUSH, "the client left");
    if (!quiet(s))
        return;
    if (s->eof) {
        session_over(s, SESSION_CLOSE_FLUSH, "the client left");
    } else if (s->draining && !s->tx) {
        struct buf b = {0};
        if (own_reply_print(s, &b, SAY_SHUTDOWN))
            session_send(s, buf_span(&b));
        buf_free(&b);
        session_over(s, SESSION_CLOSE_FLUSH, "shutting down");
    }
}

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
        chunk_settle(s);
        leg_send_ready(s);
        flush_replies(s);
    } while (s->again && s->mode != MODE_OVER);
    s->running = false;
    if (s->mode == MODE_OVER)
        return;
    end_if_due(s);
    if (s->mode == MODE_OVER)
        return;
    session_arm(s);
    if (s->held_input && !s->turn_over && !queue_full(s) && !chunk_waits(s) && !content_waits(s)) {
        s->held_input = false;
        s->ops->resume(s->ctx);
    }
}
