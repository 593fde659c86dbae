/* SPDX-License-Identifier: MIT */
/* What each verb does: a table of check -> filter -> proceed.
 *
 *   check    state and syntax; an own reply ends the command there
 *   phases   the filter phases that see it, and may answer in its place
 *   proceed  answers locally, or makes it ready to go upstream
 *
 * Nothing here owns anything: commands belong to the queue, transactions to the session. */
#include "session/internal.h"

#include "base/clock.h"

/* A client may send a long list in one go and learn from 452 which part of it to send again; one that goes on
 * for ever does not mean to. */
#define RCPT_OVERSHOOT 1000

struct verb_step {
    enum own_reply (*check)(struct session *s, struct cmd *c);
    unsigned phases;
    void (*proceed)(struct session *s, struct cmd *c);
};

/* ---- greeting and EHLO ---- */

static void send_own_greeting(struct session *s)
{
    struct buf b = {0};
    char text[300];
    int n = snprintf(text, sizeof(text), "%s ESMTP", s->policy->hostname);
    if (n > 0 && (size_t)n < sizeof(text) && reply_print(&b, 220, SPAN_NONE, span_make(text, (size_t)n)))
        session_send(s, buf_span(&b));
    buf_free(&b);
}

static void send_greeting(struct session *s)
{
    struct span theirs;
    unsigned code = 220;
    s->mode = MODE_COMMAND;
    if (s->policy->relay_greeting) {
        code = upleg_greeting(s->leg, &theirs);
        session_send(s, theirs);
    } else {
        send_own_greeting(s);
    }
    if (code / 100 != 2) {
        session_over(s, SESSION_CLOSE_FLUSH, "the server's greeting refuses");
        return;
    }
    s->idle_since_us = session_now(s);
    session_run(s);
}

void session_refuse_greeting(struct session *s, enum own_reply r)
{
    struct buf b = {0};
    s->mode = MODE_COMMAND;
    if (own_reply_print(s, &b, r))
        session_send(s, buf_span(&b));
    buf_free(&b);
    session_over(s, SESSION_CLOSE_FLUSH, "refused at the greeting");
}

bool session_upstream_offer(const struct session *s, struct ehlo *offer_r)
{
    if (!s->leg)
        return s->ops->offer(s->ctx, offer_r) == SESSION_OFFER_KNOWN;
    *offer_r = *upleg_offer(s->leg);
    return true;
}

/* The offer that EHLO will be made from; false: there is none (yet). */
bool session_refresh_offer(struct session *s)
{
    const struct session_limits *l = &s->policy->limits;
    struct ehlo upstream;
    struct ehlo_policy ours = {.own = CAP_PIPELINING,
                               .deny = query_denied(s->policy),
                               .max_size = l->message_bytes,
                               .limits = {[EHLO_RCPTMAX] = l->recipients, [EHLO_MAILMAX] = l->transactions}};
    if (!session_upstream_offer(s, &upstream))
        return false;
    if (starttls_offered(s))
        ours.own |= CAP_STARTTLS;
    if (s->policy->offer_chunking)
        ours.own |= CAP_CHUNKING;
    else
        ours.deny |= CAP_BINARYMIME;
    if (xclient_offered(s))
        ours.own |= CAP_XCLIENT;
    if ((s->policy->auth_needs_tls && !s->in_tls) || s->view.user.n)
        ours.deny |= CAP_AUTH;
    if (!s->in_tls)
        ours.deny |= CAP_REQUIRETLS;
    s->offered = ehlo_offer(&upstream, &ours);
    return true;
}

/* Greets when something is known of the upstream; asks again by the timer until then. */
void session_greet(struct session *s)
{
    struct ehlo ignored;
    if (s->mode != MODE_NEW || s->phases)
        return;
    if (s->draining) {
        session_refuse_greeting(s, SAY_SHUTDOWN);
        return;
    }
    if (s->policy->eager && !s->leg) {
        leg_want(s, true);
        return;
    }
    enum session_offer o = s->leg ? SESSION_OFFER_KNOWN : s->ops->offer(s->ctx, &ignored);
    if (o == SESSION_OFFER_KNOWN)
        send_greeting(s);
    else if (o == SESSION_OFFER_DOWN || session_now(s) >= s->greet_by_us)
        session_refuse_greeting(s, SAY_NO_UPSTREAM);
}

static enum own_reply check_helo(struct session *s, struct cmd *c)
{
    if (!helo_name_ok(c->command.arg))
        return SAY_BAD_HELO;
    if (!session_keep(&s->helo, &s->view.helo, c->command.arg))
        return SAY_NO_MEMORY;
    return SAY_NONE;
}

static void own_hello(struct session *s, struct cmd *c)
{
    if (!session_refresh_offer(s)) {
        cmd_answer(s, c, SAY_NO_UPSTREAM);
        return;
    }
    s->helo_done = true;
    s->esmtp = c->command.verb == VERB_EHLO;
    bool printed = c->command.verb == VERB_EHLO
                       ? ehlo_print(&c->reply, span_of(s->policy->hostname), &s->offered)
                       : reply_print(&c->reply, 250, SPAN_NONE, span_of(s->policy->hostname));
    if (printed)
        c->state = CMD_DONE;
    else
        cmd_answer(s, c, SAY_NO_MEMORY);
}

static void proceed_helo(struct session *s, struct cmd *c)
{
    tx_end(s); /* EHLO is also a RSET (RFC 5321 4.1.4) */
    if (!s->policy->relay_greeting)
        own_hello(s, c);
    else if (s->leg)
        c->state = CMD_READY;
    else
        cmd_answer(s, c, SAY_UPSTREAM_LOST);
}

/* The server's own words, but for what it offers: of that only what can be honoured. */
void hello_reply(struct session *s, struct cmd *c, unsigned code, struct span bytes)
{
    size_t at = 0;
    struct span name;
    if (code / 100 != 2) {
        cmd_answer_bytes(s, c, bytes);
        return;
    }
    s->helo_done = session_refresh_offer(s);
    if (c->command.verb == VERB_HELO || !reply_next_line(bytes, &at, &name))
        cmd_answer_bytes(s, c, bytes);
    else if (ehlo_print(&c->reply, name, &s->offered))
        c->state = CMD_DONE;
    else
        cmd_answer(s, c, SAY_NO_MEMORY);
}

/* ---- MAIL and RCPT ---- */

static enum own_reply path_reply(const struct session *s, const struct cmd *c, enum path_error e,
                                 enum own_reply bad)
{
    if (e != PATH_OK)
        return bad;
    bool declared = c->params.value[PARAM_SMTPUTF8].p || (s->tx && (s->tx->caps_needed & CAP_SMTPUTF8));
    return c->path.utf8 && !declared ? SAY_NEED_SMTPUTF8 : SAY_NONE;
}

static enum own_reply parse_envelope(struct session *s, struct cmd *c, enum path_kind kind, enum params_of of,
                                     enum own_reply bad)
{
    static const enum own_reply by_error[] = {
        [PARAMS_OK] = SAY_NONE,
        [PARAMS_SYNTAX] = SAY_BAD_PARAMETER,
        [PARAMS_TWICE] = SAY_BAD_PARAMETER,
        [PARAMS_UNKNOWN] = SAY_UNKNOWN_PARAMETER,
        [PARAMS_NOT_OFFERED] = SAY_UNKNOWN_PARAMETER,
    };
    struct span rest, culprit;
    enum path_error pe = path_parse(c->command.arg, kind, s->policy->limits.local_part, &c->path, &rest);
    if (pe != PATH_OK)
        return bad;
    /* AUTH= is legal for a client that has authenticated, though EHLO does not show AUTH to it any more. */
    uint32_t caps = s->offered.caps | (s->view.user.n ? (uint32_t)CAP_AUTH : 0);
    enum params_error e = params_parse(rest, of, caps, &c->params, &culprit);
    if (e == PARAMS_NOT_OFFERED && span_ieq(culprit, SPAN_LIT("REQUIRETLS")))
        return SAY_NEED_REQUIRETLS;
    if (e != PARAMS_OK)
        return by_error[e];
    return path_reply(s, c, pe, bad);
}

/* A newer policy is taken here, between two transactions; its filters are shown what they missed. */
static bool newest_policy(struct session *s, unsigned *missed_r)
{
    const struct session_policy *p = s->ops->policy_get(s->ctx);
    *missed_r = 0;
    if (p == s->policy) {
        s->ops->policy_put(s->ctx, p);
        return true;
    }
    *missed_r = PHASE_BIT(POSTERN_ON_CONNECT) | (s->view.helo.n ? PHASE_BIT(POSTERN_ON_HELO) : 0) |
                (s->view.user.n ? PHASE_BIT(POSTERN_ON_AUTH) : 0);
    return phases_attach(s, p);
}

static enum own_reply check_mail(struct session *s, struct cmd *c)
{
    if (s->tx)
        return SAY_NESTED_MAIL;
    if (s->draining)
        return SAY_SHUTDOWN;
    enum own_reply r = parse_envelope(s, c, PATH_FROM, PARAMS_OF_MAIL, SAY_BAD_SENDER);
    if (r)
        return r;
    const struct session_limits *l = &s->policy->limits;
    if (c->params.size > l->message_bytes) {
        session_count(s, SESSION_COUNT_TOO_BIG);
        return SAY_TOO_BIG;
    }
    if (l->transactions && s->transactions >= l->transactions)
        return SAY_TOO_MANY_MAILS;
    if (!newest_policy(s, &s->phases) || !tx_begin(s, c))
        return SAY_NO_MEMORY;
    return SAY_NONE;
}

static void proceed_mail(struct session *s, struct cmd *c)
{
    if (s->tx->lost) { /* the user's own connection, while the filters thought */
        cmd_answer(s, c, SAY_UPSTREAM_LOST);
    } else if (s->tx->discard) {
        cmd_answer(s, c, SAY_OK);
    } else {
        c->state = CMD_READY;
        leg_want(s, false);
    }
}

static enum own_reply check_rcpt(struct session *s, struct cmd *c)
{
    if (!s->tx || s->tx->refused)
        return SAY_NEED_MAIL;
    if (s->tx->stage != TX_ENVELOPE)
        return SAY_CHUNKS_BEGUN;
    enum own_reply r = parse_envelope(s, c, PATH_TO, PARAMS_OF_RCPT, SAY_BAD_RCPT);
    if (r)
        return r;
    if (s->tx->rcpt_offered >= s->policy->limits.recipients) {
        session_count(s, SESSION_COUNT_TOO_MANY_RCPTS);
        if (++s->tx->rcpt_excess > RCPT_OVERSHOOT)
            session_error(s);
        return SAY_TOO_MANY_RCPTS;
    }
    s->tx->rcpt_offered++;
    return tx_show_rcpt(s, c) ? SAY_NONE : SAY_NO_MEMORY;
}

static void proceed_rcpt(struct session *s, struct cmd *c)
{
    if (s->tx->lost)
        tx_answer_rcpt(s, c, SAY_UPSTREAM_LOST);
    else if (s->tx->discard)
        tx_answer_rcpt(s, c, tx_add_rcpt(s, c->path.mailbox) ? SAY_OK : SAY_NO_MEMORY);
    else
        c->state = CMD_READY;
}

/* ---- DATA ---- */

static enum own_reply check_data(struct session *s, struct cmd *c)
{
    (void)c;
    if (!s->tx)
        return SAY_NEED_MAIL;
    if (s->tx->stage != TX_ENVELOPE)
        return SAY_CHUNKS_BEGUN;
    if (s->tx->binary)
        return SAY_BINARY_BY_DATA;
    return s->tx->rcpt_offered ? SAY_NONE : SAY_NEED_RCPT;
}

/* Without any accepted recipient the upstream itself says what it thinks of DATA. */
static void proceed_data(struct session *s, struct cmd *c)
{
    if (s->tx->lost)
        cmd_answer(s, c, SAY_UPSTREAM_LOST);
    else if (s->view.rcpt_count)
        content_begin(s, c);
    else if (s->leg && s->tx->mail_sent)
        c->state = CMD_READY;
    else
        cmd_answer(s, c, SAY_NO_VALID_RCPT);
}

/* ---- the small ones ---- */

/* A client that heard the server's own greeting hears it here too, though nothing depends on the answer. */
static void answer_small(struct session *s, struct cmd *c, enum own_reply r)
{
    bool in_content = s->tx && s->tx->stage != TX_ENVELOPE;
    if (s->policy->relay_greeting && s->leg && !in_content)
        c->state = CMD_READY;
    else
        cmd_answer(s, c, r);
}

static void proceed_rset(struct session *s, struct cmd *c)
{
    tx_end(s);
    answer_small(s, c, SAY_OK);
}

static void proceed_noop(struct session *s, struct cmd *c)
{
    answer_small(s, c, SAY_OK);
}

static void proceed_quit(struct session *s, struct cmd *c)
{
    tx_end(s);
    answer_small(s, c, SAY_BYE);
    c->closes = true;
}

static void proceed_help(struct session *s, struct cmd *c)
{
    answer_small(s, c, SAY_HELP);
}

static const struct verb_step steps[VERBS] = {
    [VERB_HELO] = {check_helo, PHASE_BIT(POSTERN_ON_HELO), proceed_helo},
    [VERB_EHLO] = {check_helo, PHASE_BIT(POSTERN_ON_HELO), proceed_helo},
    [VERB_MAIL] = {check_mail, PHASE_BIT(POSTERN_ON_MAIL), proceed_mail},
    [VERB_RCPT] = {check_rcpt, PHASE_BIT(POSTERN_ON_RCPT), proceed_rcpt},
    [VERB_DATA] = {check_data, 0, proceed_data},
    [VERB_BDAT] = {chunk_check, 0, chunk_proceed},
    [VERB_RSET] = {NULL, 0, proceed_rset},
    [VERB_NOOP] = {NULL, 0, proceed_noop},
    [VERB_QUIT] = {NULL, 0, proceed_quit},
    [VERB_VRFY] = {query_check, 0, query_proceed},
    [VERB_EXPN] = {query_check, 0, query_proceed},
    [VERB_ETRN] = {query_check, 0, query_proceed},
    [VERB_HELP] = {NULL, 0, proceed_help},
    [VERB_STARTTLS] = {starttls_check, 0, starttls_proceed},
    [VERB_AUTH] = {auth_check, 0, auth_proceed},
    [VERB_XCLIENT] = {xclient_check, 0, xclient_proceed},
};

/* What holds for every verb before its own check. */
static enum own_reply check_state(const struct session *s, const struct cmd *c)
{
    unsigned flags = verb_info(c->command.verb)->flags;
    if (s->policy->require_tls && !s->in_tls && !(flags & VERB_IS_NOTLS))
        return SAY_NEED_TLS;
    if (!s->helo_done && !(flags & VERB_IS_OPEN) && c->command.verb != VERB_STARTTLS)
        return SAY_NEED_HELO;
    return SAY_NONE;
}

void cmd_begin(struct session *s, struct cmd *c)
{
    const struct verb_step *step = &steps[c->command.verb];
    if (!step->proceed) {
        cmd_answer(s, c, SAY_NOT_SERVED);
        return;
    }
    enum own_reply r = check_state(s, c);
    if (!r && step->check)
        r = step->check(s, c);
    if (r) {
        s->phases = 0;
        cmd_answer(s, c, r);
        return;
    }
    phases_run(s, c, s->phases | step->phases);
}

/* The phases in the middle of a command go on where they began; the others at the verb's own step. */
void cmd_proceed(struct session *s, struct cmd *c)
{
    if (s->phase == POSTERN_ON_DATA)
        content_start(s, c);
    else if (s->phase == POSTERN_ON_END)
        content_release(s, c);
    else if (s->phase == POSTERN_ON_AUTH)
        auth_accepted(s, c);
    else
        steps[c->command.verb].proceed(s, c);
}
