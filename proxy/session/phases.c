/* SPDX-License-Identifier: MIT */
/* Filter phases for a command: runs those that are due in their order, waits where a filter thinks, and turns
 * a verdict into the command's answer.
 *
 *   phases_run(CONNECT|HELO|MAIL) -> chain_phase -> CONTINUE -> next … -> cmd_proceed
 *                                        |-> PENDING … chain_done -> on
 *                                        `-> verdict -> the answer of the command
 *
 * The chain run is the session's; it is made anew when a session takes a newer policy. */
#include "session/internal.h"

/* ---- the answer to a verdict ---- */

static bool verdict_print(const struct session *s, struct buf *out, const struct verdict *v)
{
    char text[1200];
    int n = snprintf(text, sizeof(text), "%.*s (%.*s)", SPAN_FMT(v->text), SPAN_FMT(s->view.session_id));
    if (n < 0)
        return false;
    size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    return reply_print(out, v->code, v->enhanced, span_make(text, len));
}

static const char *const phase_names[POSTERN_PHASES] = {
    [POSTERN_ON_CONNECT] = "connect", [POSTERN_ON_HELO] = "helo", [POSTERN_ON_AUTH] = "auth",
    [POSTERN_ON_MAIL] = "mail",       [POSTERN_ON_RCPT] = "rcpt", [POSTERN_ON_DATA] = "data",
    [POSTERN_ON_HEADERS] = "headers", [POSTERN_ON_END] = "end",
};

/* A refusal outside a transaction has its own line in the log. */
static void report_session(struct session *s, const struct verdict *v)
{
    struct session_report r = {
        .view = &s->view,
        .policy = s->policy,
        .verdict = verdict_of_code(v->code),
        .stage = phase_names[s->phase],
        .filter = v->filter,
        .rule = v->rule,
        .code = v->code,
        .reply = v->text,
        .in_tls = s->in_tls,
    };
    s->ops->report(s->ctx, &r);
}

/* The client cannot be answered by a command's reply: the connection is refused. */
static void refuse_connection(struct session *s, const struct verdict *v)
{
    struct buf b = {0};
    report_session(s, v);
    s->mode = MODE_COMMAND;
    if (verdict_print(s, &b, v))
        session_send(s, buf_span(&b));
    buf_free(&b);
    session_over(s, SESSION_CLOSE_FLUSH, "refused by a filter");
}

/* 421 promises to (RFC 5321 3.8). */
static bool hangs_up(const struct verdict *v)
{
    return v->action == POSTERN_DISCONNECT || v->code == 421;
}

static void answer_verdict(struct session *s, struct cmd *c, const struct verdict *v)
{
    struct buf b = {0};
    buf_consume(&c->reply, buf_len(&c->reply));
    if (verdict_print(s, &b, v))
        cmd_answer_bytes(s, c, buf_span(&b));
    else
        cmd_answer(s, c, SAY_NO_MEMORY);
    buf_free(&b);
    if (hangs_up(v))
        c->closes = true;
}

static void refuse_command(struct session *s, struct cmd *c, const struct verdict *v)
{
    bool whole = s->phase != POSTERN_ON_RCPT; /* a refused recipient leaves the transaction as it is */
    if (s->tx)
        tx_note_verdict(s->tx, v, phase_names[s->phase]);
    else
        report_session(s, v);
    answer_verdict(s, c, v);
    if (s->phase == POSTERN_ON_RCPT)
        tx_tell_rcpt(s, c, v->code, false);
    if (s->phase == POSTERN_ON_END)
        chain_reply(s->run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, v->code, false);
    if (s->phase == POSTERN_ON_AUTH && !s->tx) {
        leg_drop(s, false); /* 235 was said by the server and is not passed on */
        c->closes = true;
    }
    if (s->tx && whole)
        tx_end(s);
}

/* true: go on with the next phase. */
static bool take_verdict(struct session *s, struct cmd *c, const struct verdict *v)
{
    switch (v->action) {
    case POSTERN_REJECT:
    case POSTERN_TEMPFAIL:
    case POSTERN_DISCONNECT:
        s->phases = 0;
        if (c)
            refuse_command(s, c, v);
        else
            refuse_connection(s, v);
        return false;
    case POSTERN_DISCARD:
        if (s->tx && !s->tx->discard) { /* the first such wish is the reason */
            s->tx->discard = true;
            tx_note_verdict(s->tx, v, phase_names[s->phase]);
        }
        return true;
    case POSTERN_CONTINUE:
    case POSTERN_ACCEPT:
    case POSTERN_DELAY:
    case POSTERN_PENDING:
        break;
    }
    return true;
}

/* ---- running ---- */

static struct span phase_text(const struct session *s)
{
    switch (s->phase) {
    case POSTERN_ON_HELO:
        return s->view.helo;
    case POSTERN_ON_AUTH:
        return s->view.user;
    case POSTERN_ON_MAIL:
        return s->view.sender;
    case POSTERN_ON_RCPT:
        return s->view.rcpt;
    default:
        return SPAN_NONE;
    }
}

static void phases_done(struct session *s, struct cmd *c)
{
    if (c)
        cmd_proceed(s, c);
    else
        session_greet(s);
}

/* true: go on with the next phase. */
static bool phase_over(struct session *s, const struct verdict *v)
{
    if (s->tx)
        s->tx->filter_us += session_now(s) - s->asked_us;
    s->phases &= ~PHASE_BIT(s->phase);
    tx_hide_rcpt(s);
    return take_verdict(s, s->asking, v);
}

/* Asks the chain phase by phase. false: a filter thinks, or the answer is given. */
static bool ask_on(struct session *s)
{
    while (s->phases) {
        struct verdict v = {.action = POSTERN_CONTINUE};
        s->phase = (enum postern_phase)__builtin_ctz(s->phases);
        s->asked_us = session_now(s);
        if (s->run && chain_phase(s->run, s->phase, phase_text(s), &v) == CHAIN_PENDING)
            return false;
        if (!phase_over(s, &v))
            return false;
    }
    return true;
}

void phases_run(struct session *s, struct cmd *c, unsigned phases)
{
    s->asking = c;
    s->phases = phases;
    s->phase = POSTERN_PHASES;
    if (ask_on(s))
        phases_done(s, c);
}

/* HEADERS, in the middle of the content: its refusal is told at the end of it. */
static void take_headers_verdict(struct session *s, const struct verdict *v)
{
    struct tx *t = s->tx;
    if (v->action == POSTERN_CONTINUE || v->action == POSTERN_ACCEPT)
        return;
    tx_note_verdict(t, v, phase_names[POSTERN_ON_HEADERS]);
    if (v->action == POSTERN_DISCARD)
        t->discard = true;
    else if (!verdict_print(s, &t->refusal, v))
        t->violation = SAY_NO_MEMORY;
    t->refusal_closes = hangs_up(v);
    content_abandon(s);
}

/* The chain's late answer. */
static void chain_answered(void *ctx, const struct verdict *v)
{
    struct session *s = ctx;
    if (s->tx && s->tx->paused) {
        s->tx->paused = false;
        content_waited(s);
        s->tx->filter_us += s->tx->progress_us - s->asked_us;
        take_headers_verdict(s, v);
        s->held_input = false;
        s->ops->resume(s->ctx);
        session_run(s); /* the paused piece may have been the last of a chunk */
        return;
    }
    if (phase_over(s, v) && ask_on(s))
        phases_done(s, s->asking);
    if (s->mode != MODE_OVER)
        session_run(s);
}

void phases_content(struct session *s, struct span piece)
{
    struct verdict v = {.action = POSTERN_CONTINUE};
    if (!s->run || buf_len(&s->tx->refusal) || s->tx->discard)
        return;
    s->asked_us = session_now(s);
    if (chain_content(s->run, piece, &v) == CHAIN_PENDING) {
        s->tx->paused = true;
        return;
    }
    s->tx->filter_us += session_now(s) - s->asked_us;
    take_headers_verdict(s, &v);
}

void phases_stop(struct session *s)
{
    if (s->run)
        chain_cancel(s->run);
    s->phases = 0;
}

bool phases_attach(struct session *s, const struct session_policy *p)
{
    const struct session_policy *old = s->policy;
    chain_run_destroy(&s->run);
    s->policy = p;
    s->view.listener = span_of(p->listener);
    s->line.flood = p->limits.line_flood;
    s->enforce_sync = p->enforce_sync && !networks_have(&p->lenient_sync, s->view.ip, s->view.ip_n);
    s->normalize_newlines =
        p->normalize_newlines || networks_have(&p->normalize_for, s->view.ip, s->view.ip_n);
    if (old)
        s->ops->policy_put(s->ctx, old);
    if (!p->chain || chain_empty(p->chain))
        return true;
    s->run = chain_run_create(p->chain, p->services, &s->view, p->limits.header_bytes, chain_answered, s);
    return s->run != NULL;
}
