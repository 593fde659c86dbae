/* SPDX-License-Identifier: MIT */
/* The session as the user of an upstream leg: asking for one, sending what is ready, taking replies, and what
 * to say when it is lost.
 *
 * A leg is borrowed from session_upstream to ops.upstream_put. Kept legs go back after each transaction;
 * a personal one (the client has authenticated over it, or the listener connects eagerly) stays to the end.
 */
#include "session/internal.h"

#include "base/clock.h"

static const struct upleg_user leg_user;

void leg_want(struct session *s, bool fresh)
{
    if (s->leg || s->leg_asked)
        return;
    s->leg_asked = true;
    s->ops->upstream_get(s->ctx, fresh);
}

static void put(struct session *s)
{
    struct upleg *u = s->leg;
    s->leg = NULL;
    upleg_use(u, NULL, NULL);
    s->ops->upstream_put(s->ctx, u);
}

void leg_drop(struct session *s, bool with_reset)
{
    if (!s->leg)
        return;
    s->leg_lost = upleg_marks(s->leg)->personal;
    upleg_abort(s->leg, with_reset);
    put(s);
}

/* A personal leg is of no use to anybody else: QUIT, whose answer nobody waits for. */
void leg_end(struct session *s)
{
    if (!s->leg)
        return;
    bool said = upleg_command(s->leg, UPLEG_QUIT, SPAN_LIT("QUIT"), NULL);
    upleg_abort(s->leg, !said);
    put(s);
}

/* false: RSET may not follow before the replies are there, or there is no memory. */
static bool reset(struct upleg *u)
{
    bool pipelining = upleg_offer(u)->caps & CAP_PIPELINING;
    return (pipelining || upleg_owed(u) == 0) && upleg_command(u, UPLEG_RSET, SPAN_LIT("RSET"), NULL);
}

/* In the middle of content nothing may look like its end, so the connection goes; else RSET cleans it. */
void leg_give_back(struct session *s)
{
    struct tx *t = s->tx;
    if (s->leg_asked) {
        s->ops->upstream_cancel(s->ctx);
        s->leg_asked = false;
    }
    if (!s->leg)
        return;
    for (struct cmd *c = s->first; c; c = c->next)
        upleg_forget(s->leg, c);
    bool mid_content = t->stage == TX_PUMPING || t->stage == TX_OPENING || t->stage == TX_RELEASED;
    if (t->mail_sent && mid_content)
        leg_drop(s, t->stage == TX_PUMPING);
    else if (t->mail_sent && !reset(s->leg))
        leg_drop(s, false);
    else if (!upleg_marks(s->leg)->personal)
        put(s);
}

/* ---- sending ---- */

static bool print_params(struct buf *b, const struct params *p)
{
    static const char *const keywords[PARAMS] = {
#define PARAM(id, keyword, verb, cap, rule) [PARAM_##id] = keyword,
#include "smtp/params.def"
#undef PARAM
    };
    bool ok = true;
    for (size_t i = 0; i < PARAMS && ok; i++) {
        if (!p->value[i].p)
            continue;
        ok = buf_append(b, SPAN_LIT(" ")) && buf_append(b, span_of(keywords[i]));
        if (ok && p->value[i].n)
            ok = buf_append(b, SPAN_LIT("=")) && buf_append(b, p->value[i]);
    }
    return ok;
}

/* Everything that goes upstream is written anew from what was parsed. */
static bool print_command(struct buf *b, const struct cmd *c)
{
    switch (c->command.verb) {
    case VERB_MAIL:
        return buf_append(b, SPAN_LIT("MAIL FROM:")) && buf_append(b, c->path.whole) &&
               print_params(b, &c->params);
    case VERB_RCPT:
        return buf_append(b, SPAN_LIT("RCPT TO:")) && buf_append(b, c->path.whole) &&
               print_params(b, &c->params);
    default:
        return buf_append(b, verb_info(c->command.verb)->word);
    }
}

static enum upleg_kind kind_of(const struct cmd *c)
{
    return c->command.verb == VERB_MAIL ? UPLEG_MAIL : c->command.verb == VERB_RCPT ? UPLEG_RCPT : UPLEG_DATA;
}

static void send_one(struct session *s, struct cmd *c)
{
    struct buf b = {0};
    if (print_command(&b, c) && upleg_command(s->leg, kind_of(c), buf_span(&b), c)) {
        c->state = CMD_SENT;
        if (c->command.verb == VERB_MAIL) {
            s->tx->mail_sent = s->tx->upstream_used = true;
        }
        s->tx->kept_us = session_now(s);
    } else {
        cmd_answer(s, c, SAY_NO_MEMORY);
    }
    buf_free(&b);
}

/* The transaction ends before its last recipients were sent: they belong to none any more. */
static void end_early(struct session *s)
{
    phases_stop(s);
    for (struct cmd *c = s->first; c; c = c->next)
        if (c->command.verb == VERB_RCPT && (c->state == CMD_BEGUN || c->state == CMD_READY))
            tx_answer_rcpt(s, c, SAY_NEED_MAIL);
    tx_end(s);
}

/* The server that was got may offer less than the one that EHLO was answered from. */
static bool can_carry(const struct session *s)
{
    uint32_t have = upleg_offer(s->leg)->caps | CAP_AUTH;
    return (s->tx->caps_needed & ~have) == 0;
}

void leg_send_ready(struct session *s)
{
    for (struct cmd *c = s->first; c && s->leg && s->mode != MODE_OVER; c = c->next) {
        if (c->state != CMD_READY)
            continue;
        bool pipelining = upleg_offer(s->leg)->caps & CAP_PIPELINING;
        if (!pipelining && upleg_owed(s->leg))
            return;
        if (c->command.verb == VERB_AUTH) {
            auth_send(s, c);
        } else if (!can_carry(s)) {
            tx_note_own(s->tx, SAY_UPSTREAM_CHANGED);
            tx_decide(s->tx, "deferred", "upstream");
            cmd_answer(s, c, SAY_UPSTREAM_CHANGED);
            end_early(s);
        } else {
            send_one(s, c);
        }
    }
}

/* ---- replies ---- */

static struct cmd *first_unanswered(const struct session *s)
{
    for (struct cmd *c = s->first; c; c = c->next)
        if (c->state == CMD_READY || c->state == CMD_SENT)
            return c;
    return NULL;
}

static void mail_reply(struct session *s, struct cmd *c, unsigned code, struct span bytes)
{
    cmd_answer_bytes(s, c, bytes);
    if (code / 100 == 2)
        return;
    s->tx->mail_sent = false;
    s->tx->refused = true; /* ends when the commands that were sent with it have their replies too */
    tx_note_reply(s->tx, code, bytes);
    tx_decide(s->tx, verdict_of_code(code), "upstream");
}

static void rcpt_reply(struct session *s, struct cmd *c, unsigned code, struct span bytes)
{
    if (code / 100 == 2 && !tx_add_rcpt(s, c->path.mailbox)) {
        /* The server has a recipient that we cannot remember: this transaction cannot be told truly any more.
         */
        cmd_answer(s, c, SAY_NO_MEMORY);
        return;
    }
    cmd_answer_bytes(s, c, bytes);
    tx_tell_rcpt(s, c, code, true);
    if (code / 100 == 2)
        s->tx->mail_sent = true; /* whatever it said to MAIL: it has a transaction to be cleaned of */
    if (s->tx->refused)
        return;
    if (code / 100 != 2 && !s->view.rcpt_count) {
        tx_note_reply(s->tx, code, bytes);
        tx_decide(s->tx, verdict_of_code(code), "upstream");
    } else if (code / 100 == 2) {
        tx_forget_notes(s->tx); /* it goes on after all */
    }
}

/* DATA that was relayed because no recipient was accepted: the server must refuse it. */
static void hopeless_data_reply(struct session *s, struct cmd *c, unsigned code, struct span bytes)
{
    if (code / 100 != 3) {
        cmd_answer_bytes(s, c, bytes);
        return;
    }
    s->tx->mail_sent = false;
    leg_drop(s, true);
    s->tx->lost = true;
    cmd_answer(s, c, SAY_NO_VALID_RCPT);
}

static void on_reply(void *ctx, struct upleg *u, enum upleg_kind kind, void *tag, unsigned code,
                     struct span bytes)
{
    struct session *s = ctx;
    struct cmd *c = tag;
    (void)u;
    if (!c) {
        /* our own RSET or NOOP: only its being answered counts */
    } else if (kind == UPLEG_AUTH) {
        auth_reply(s, c, code, bytes);
    } else if (!s->tx) {
        cmd_answer_bytes(s, c, bytes);
    } else if (kind == UPLEG_MAIL) {
        mail_reply(s, c, code, bytes);
    } else if (kind == UPLEG_RCPT) {
        rcpt_reply(s, c, code, bytes);
    } else if (s->tx->stage == TX_ENVELOPE) {
        hopeless_data_reply(s, c, code, bytes);
    } else {
        content_leg_reply(s, kind, code, bytes);
    }
    if (s->tx && s->tx->refused && !first_unanswered(s))
        end_early(s);
    if (s->mode != MODE_OVER)
        session_run(s);
}

/* ---- losing it ---- */

/* A kept connection may be closed by the server at any time. Once, and only while the client has seen nothing
 * of this transaction, all of it is sent again over a fresh one; never in place of a personal one. */
static bool try_again(struct session *s, struct cmd *c, bool was_used)
{
    if (!was_used || s->leg_lost || !s->tx || s->tx->retried || !c || c->command.verb != VERB_MAIL ||
        c->state != CMD_SENT)
        return false;
    s->tx->retried = true;
    s->tx->mail_sent = false;
    for (; c; c = c->next)
        if (c->state == CMD_SENT)
            c->state = CMD_READY;
    session_count(s, SESSION_COUNT_UPSTREAM_RETRIES);
    leg_want(s, true);
    return true;
}

static void answer_lost(struct session *s, struct cmd *c, const char *why, unsigned code, struct span bytes)
{
    if (s->tx) {
        s->tx->note = why;
        s->tx->mail_sent = false;
        tx_decide(s->tx, "deferred", "upstream");
    }
    if (code == 421) {
        if (s->tx)
            tx_note_reply(s->tx, code, bytes);
        cmd_answer_bytes(s, c, bytes);
        c->closes = true;
    } else {
        if (s->tx)
            tx_note_own(s->tx, SAY_UPSTREAM_LOST);
        cmd_answer(s, c, SAY_UPSTREAM_LOST);
    }
    tx_end(s);
}

static void on_lost(void *ctx, struct upleg *u, const char *why, unsigned code, struct span bytes)
{
    struct session *s = ctx;
    bool personal = upleg_marks(u)->personal;
    bool used = upleg_marks(u)->used;
    struct cmd *c = first_unanswered(s);
    put(s);
    session_count(s, SESSION_COUNT_UPSTREAM_LOST);
    s->leg_lost = personal;
    if (s->tx && s->tx->stage != TX_ENVELOPE)
        content_leg_lost(s, why, code, bytes);
    else if (!try_again(s, c, used) && c)
        answer_lost(s, c, why, code, bytes);
    else if (!c && s->tx)
        s->tx->lost = s->leg_lost = true; /* the client's next command hears of it */
    if (s->auth && s->auth->state != CMD_DONE)
        cmd_answer(s, s->auth, SAY_UPSTREAM_LOST);
    auth_end(s);
    if (s->mode != MODE_OVER)
        session_run(s);
}

static void on_drained(void *ctx, struct upleg *u)
{
    struct session *s = ctx;
    (void)u;
    if (s->tx && s->tx->stage == TX_PUMPING)
        content_pump(s);
    if (s->mode != MODE_OVER)
        session_run(s);
}

static const struct upleg_user leg_user = {.reply = on_reply, .drained = on_drained, .lost = on_lost};

void session_upstream(struct session *s, struct upleg *u, const char *why)
{
    s->leg_asked = false;
    if (s->mode == MODE_OVER) {
        if (u)
            s->ops->upstream_put(s->ctx, u);
        return;
    }
    if (u) {
        s->leg = u;
        upleg_use(u, &leg_user, s);
        if (s->policy->eager)
            upleg_marks(u)->personal = true;
    } else if (s->mode == MODE_NEW) {
        session_refuse_greeting(s, SAY_NO_UPSTREAM);
        return;
    } else {
        struct cmd *c = first_unanswered(s);
        session_count(s, SESSION_COUNT_UPSTREAM_LOST);
        if (c)
            answer_lost(s, c, why, 0, SPAN_NONE);
    }
    if (s->mode != MODE_NEW)
        session_run(s);
    else
        session_greet(s);
}
