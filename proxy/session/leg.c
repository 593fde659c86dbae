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
    bool named = s->policy->identity == SESSION_IDENTITY_CONNECTION && !s->policy->relay_greeting;
    s->leg_asked = true;
    s->ops->upstream_get(s->ctx, fresh, named ? s->view.helo : SPAN_NONE);
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

/* Content that was begun by DATA cannot be taken back: nothing may look like its end, so the connection goes.
 */
void leg_clean(struct session *s)
{
    struct tx *t = s->tx;
    bool in_data = t->up != UP_NOTHING && !t->chunks_up;
    bool released = t->up != UP_NOTHING && t->stage == TX_RELEASED; /* and not answered */
    bool cut = t->up == UP_OPEN && in_data && !released;
    t->up = UP_NOTHING;
    s->forwarded = 0;
    if (!s->leg)
        return;
    upleg_forget(s->leg, t);
    for (struct cmd *c = s->first; c; c = c->next)
        upleg_forget(s->leg, c);
    if (t->mail_sent && (in_data || released || !reset(s->leg)))
        leg_drop(s, cut);
    t->mail_sent = false;
}

void leg_give_back(struct session *s)
{
    if (s->leg_asked) {
        s->ops->upstream_cancel(s->ctx);
        s->leg_asked = false;
    }
    leg_clean(s);
    if (s->leg && upleg_marks(s->leg)->introduced)
        upleg_marks(s->leg)->used = true; /* stays; the server may close it at any time */
    else if (s->leg && !upleg_marks(s->leg)->personal)
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

bool leg_print_mail(struct buf *b, struct span path, const struct params *p)
{
    return buf_append(b, SPAN_LIT("MAIL FROM:")) && buf_append(b, path) && print_params(b, p);
}

/* Everything that goes upstream is written anew from what was parsed. */
static bool print_command(struct buf *b, const struct cmd *c)
{
    switch (c->command.verb) {
    case VERB_MAIL:
        return leg_print_mail(b, c->path.whole, &c->params);
    case VERB_RCPT:
        return buf_append(b, SPAN_LIT("RCPT TO:")) && buf_append(b, c->path.whole) &&
               print_params(b, &c->params);
    default:
        return buf_append(b, verb_info(c->command.verb)->word) &&
               (c->command.arg.n == 0 || buf_append(b, SPAN_LIT(" "))) && buf_append(b, c->command.arg);
    }
}

static enum upleg_kind kind_of(const struct cmd *c)
{
    static const enum upleg_kind kinds[VERBS] = {
        [VERB_MAIL] = UPLEG_MAIL,  [VERB_RCPT] = UPLEG_RCPT,    [VERB_DATA] = UPLEG_DATA,
        [VERB_VRFY] = UPLEG_QUERY, [VERB_EXPN] = UPLEG_QUERY,   [VERB_ETRN] = UPLEG_QUERY,
        [VERB_NOOP] = UPLEG_QUERY, [VERB_HELP] = UPLEG_QUERY,   [VERB_RSET] = UPLEG_QUERY,
        [VERB_QUIT] = UPLEG_QUIT,  [VERB_STARTTLS] = UPLEG_PASS};
    return kinds[c->command.verb];
}

/* A filter that changes messages may want it to be said again. */
static bool keep_mail(struct session *s, const struct cmd *c)
{
    return c->command.verb != VERB_MAIL || !s->run || !chain_holds(s->run) || readdress_keep_mail(s, c);
}

static void send_one(struct session *s, struct cmd *c)
{
    struct buf b = {0};
    if (upleg_lmtp(s->leg))
        c->params.value[PARAM_PRDR] = SPAN_NONE; /* there it goes without saying */
    enum introduction i = c->command.verb == VERB_MAIL ? introduce_by_xforward(s) : INTRODUCED;
    if (i == INTRODUCE_WAITS)
        return;
    if (i == INTRODUCED && keep_mail(s, c) && print_command(&b, c) &&
        upleg_command(s->leg, kind_of(c), buf_span(&b), c)) {
        c->state = CMD_SENT;
        if (c->command.verb == VERB_MAIL) {
            s->tx->mail_sent = s->tx->upstream_used = true;
            upleg_marks(s->leg)->mails++;
        }
        if (s->tx)
            s->tx->kept_us = session_now(s);
    } else {
        cmd_answer(s, c, SAY_NO_MEMORY);
    }
    buf_free(&b);
}

static void send_hello(struct session *s, struct cmd *c)
{
    enum upleg_kind kind = c->command.verb == VERB_EHLO ? UPLEG_EHLO : UPLEG_HELO;
    c->state = CMD_SENT; /* its answer may come from inside the call */
    bool theirs = s->policy->mirror_tls || s->policy->pass_tls;
    bool in_clear = theirs && !s->in_tls; /* STARTTLS is for the client to say */
    if (!upleg_hello(s->leg, kind, c->command.arg, in_clear, c))
        cmd_answer(s, c, SAY_NO_MEMORY);
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

static bool is_hello(const struct cmd *c)
{
    return c->command.verb == VERB_EHLO || c->command.verb == VERB_HELO;
}

/* QUIT, NOOP, RSET, HELP */
static bool says_nothing(const struct cmd *c)
{
    return kind_of(c) == UPLEG_QUIT || (kind_of(c) == UPLEG_QUERY && !is_query(c));
}

/* What a client in TLS says must not go on in the clear, where the listener mirrors TLS. */
static bool downgrades(const struct session *s)
{
    return s->policy->mirror_tls && s->in_tls && !upleg_in_tls(s->leg);
}

/* The server that was got may offer less than the one that EHLO was answered from. */
static enum own_reply cannot_carry(const struct session *s, const struct cmd *c)
{
    uint32_t have = upleg_offer(s->leg)->caps | CAP_AUTH;
    if (downgrades(s) && !is_hello(c) && !says_nothing(c))
        return SAY_LEG_IN_CLEAR;
    return s->tx && (s->tx->caps_needed & ~have) ? SAY_UPSTREAM_CHANGED : SAY_NONE;
}

static void refuse_to_carry(struct session *s, struct cmd *c, enum own_reply why)
{
    if (s->tx) {
        tx_note_own(s->tx, why);
        tx_decide(s->tx, "deferred", "upstream");
    }
    cmd_answer(s, c, why);
    if (c == s->auth)
        auth_end(s);
    if (s->tx)
        end_early(s);
    else if (!upleg_marks(s->leg)->personal)
        put(s); /* the next one may be better */
}

void leg_send_ready(struct session *s)
{
    if (s->introducing)
        return;
    for (struct cmd *c = s->first; c && s->leg && s->mode != MODE_OVER; c = c->next) {
        if (c->state != CMD_READY)
            continue;
        bool pipelining = upleg_offer(s->leg)->caps & CAP_PIPELINING;
        if (!pipelining && upleg_owed(s->leg))
            return;
        enum own_reply no = cannot_carry(s, c);
        if (no)
            refuse_to_carry(s, c, no);
        else if (c->command.verb == VERB_AUTH)
            auth_send(s, c);
        else if (is_hello(c))
            send_hello(s, c);
        else
            send_one(s, c);
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
    /* RSET follows also here: Postfix keeps the SIZE of a MAIL that it refused, and would hold it against the
     * next one on this connection. */
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
        readdress_note_rcpt(s->tx, c);
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

static void query_reply(struct session *s, struct cmd *c, struct span bytes)
{
    cmd_answer_bytes(s, c, bytes);
    if (!s->tx && !upleg_marks(s->leg)->personal)
        put(s);
}

static void pump(struct session *s)
{
    if (s->tx && s->tx->up == UP_OPEN)
        content_pump(s);
    else if (s->tx && s->leg && s->tx->stage == TX_ADDRESSING)
        readdress_go_on(s);
}

/* Replies to content carry the transaction as their tag, all others their command. */
static void on_reply(void *ctx, struct upleg *u, enum upleg_kind kind, void *tag, unsigned code,
                     struct span bytes)
{
    struct session *s = ctx;
    struct cmd *c = tag;
    (void)u;
    if (kind == UPLEG_XCLIENT) {
        introduce_reply(s, code, bytes);
    } else if (!tag) {
        pump(s); /* our own RSET or NOOP: only its being answered counts */
    } else if (tag == s->tx && s->tx->stage == TX_ADDRESSING) {
        readdress_reply(s, code, bytes);
    } else if (tag == s->tx) {
        content_leg_reply(s, kind, code, bytes);
    } else if (kind == UPLEG_AUTH) {
        auth_reply(s, c, code, bytes);
    } else if (kind == UPLEG_EHLO || kind == UPLEG_HELO) {
        hello_reply(s, c, code, bytes);
    } else if (kind == UPLEG_PASS) {
        starttls_reply(s, c, code, bytes);
    } else if (kind == UPLEG_QUERY) {
        query_reply(s, c, bytes);
    } else if (kind == UPLEG_QUIT) {
        cmd_answer_bytes(s, c, bytes);
        leg_drop(s, false); /* it has said its last word */
    } else if (!s->tx) {
        cmd_answer_bytes(s, c, bytes);
    } else if (kind == UPLEG_MAIL) {
        mail_reply(s, c, code, bytes);
    } else if (kind == UPLEG_RCPT) {
        rcpt_reply(s, c, code, bytes);
    } else {
        hopeless_data_reply(s, c, code, bytes);
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
    if (!was_used || s->leg_lost || !c || c->state != CMD_SENT)
        return false;
    if (s->tx ? s->tx->retried || c->command.verb != VERB_MAIL : !is_query(c))
        return false;
    if (s->tx) {
        s->tx->retried = true;
        s->tx->mail_sent = false;
    }
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
        tx_note(s->tx, why);
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

/* Greeted as the client, it says what it would have said to the client itself. */
static void answer_turned_away(struct session *s, struct cmd *c, unsigned code, struct span bytes)
{
    if (c)
        cmd_answer_bytes(s, c, bytes);
    if (c && c == s->auth)
        auth_end(s);
    if (!s->tx)
        return;
    tx_note_reply(s->tx, code, bytes);
    tx_decide(s->tx, verdict_of_code(code), "upstream");
    end_early(s);
}

/* The server is there and of no use: each command that it owes a reply to hears so, and the connection stays.
 * What it had agreed to before is lost, as the client's next command will hear. */
static void answer_failed(struct session *s, enum own_reply r, const char *why)
{
    bool mail = false;
    phases_stop(s);
    for (struct cmd *c = s->first; c; c = c->next) {
        if (c->state == CMD_QUEUED || c->state == CMD_DONE)
            continue;
        mail = mail || c->command.verb == VERB_MAIL;
        if (c->command.verb == VERB_RCPT)
            tx_answer_rcpt(s, c, r);
        else
            cmd_answer(s, c, r);
    }
    if (!s->tx)
        return;
    tx_note(s->tx, why);
    s->tx->lost = true;
    s->tx->mail_sent = false;
    tx_note_own(s->tx, r);
    tx_decide(s->tx, "deferred", "upstream");
    if (mail)
        tx_end(s);
}

/* What is said of an end that no reply came with; SAY_NONE: that the server is lost. */
static enum own_reply failure(const struct cmd *c, enum upleg_end end)
{
    if (c->command.verb == VERB_EHLO || c->command.verb == VERB_HELO)
        return SAY_NONE;
    if (end == UPLEG_LOST)
        return is_query(c) ? SAY_QUERY_LOST : SAY_NONE;
    return end == UPLEG_MUTE ? SAY_UPSTREAM_MUTE : SAY_UPSTREAM_BROKEN;
}

/* A server that was relayed from the first word on hangs up while nobody waits for it: so does postern, with
 * the server's last words if there were any. */
static void hang_up_too(struct session *s, unsigned code, struct span bytes)
{
    if (code == 421)
        session_send(s, bytes);
    session_over(s, SESSION_CLOSE_FLUSH, "the server hung up");
}

static void on_lost(void *ctx, struct upleg *u, const char *why, unsigned code, struct span bytes)
{
    struct session *s = ctx;
    bool personal = upleg_marks(u)->personal;
    bool used = upleg_marks(u)->used;
    struct cmd *c = first_unanswered(s);
    enum own_reply failed = c && !code ? failure(c, upleg_end(u)) : SAY_NONE;
    bool turned_away = s->introducing && code && code != 421;
    put(s);
    introduce_done(s);
    session_count(s, SESSION_COUNT_UPSTREAM_LOST);
    s->leg_lost = personal;
    bool again = try_again(s, c, used);
    bool idle = !c && !s->first && (!s->tx || s->tx->stage == TX_ENVELOPE);
    if (s->policy->relay_greeting && idle)
        hang_up_too(s, code, bytes);
    else if (s->tx && s->tx->stage != TX_ENVELOPE)
        content_leg_lost(s, why, code, bytes);
    else if (turned_away)
        answer_turned_away(s, c, code, bytes);
    else if (failed && !again)
        answer_failed(s, failed, why);
    else if (c && !again)
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
    pump(s);
    if (s->mode != MODE_OVER)
        session_run(s);
}

static void go_on(struct session *s)
{
    if (s->mode != MODE_NEW)
        session_run(s);
    else
        session_greet(s);
}

/* It has heard who the client is, and EHLO was said anew. */
static void on_ready(void *ctx, struct upleg *u)
{
    struct session *s = ctx;
    (void)u;
    introduce_done(s);
    go_on(s);
}

static void on_secured(void *ctx, struct upleg *u)
{
    (void)u;
    starttls_leg_secured(ctx);
}

static const struct upleg_user leg_user = {
    .ready = on_ready, .reply = on_reply, .secured = on_secured, .drained = on_drained, .lost = on_lost};

static void no_leg(struct session *s, const char *why)
{
    struct cmd *c = first_unanswered(s);
    session_count(s, SESSION_COUNT_UPSTREAM_LOST);
    if (s->mode == MODE_NEW)
        session_refuse_greeting(s, SAY_NO_UPSTREAM);
    else if (c && is_query(c))
        answer_failed(s, SAY_QUERY_LOST, why);
    else if (c)
        answer_lost(s, c, why, 0, SPAN_NONE);
}

void leg_failed(struct session *s, const char *why)
{
    introduce_done(s);
    leg_drop(s, false);
    no_leg(s, why);
}

static void turn_away_at_greeting(struct session *s, struct span bytes)
{
    session_send(s, bytes);
    session_over(s, SESSION_CLOSE_FLUSH, "the server refuses the client");
}

void leg_turned_away(struct session *s, unsigned code, struct span bytes)
{
    introduce_done(s);
    if (s->mode == MODE_NEW) {
        turn_away_at_greeting(s, bytes);
        return;
    }
    answer_turned_away(s, first_unanswered(s), code, bytes);
    leg_end(s);
}

/* A leg whose greetings are the client's own says nothing that the client did not. */
static void take_leg(struct session *s)
{
    struct upleg_marks *marks = upleg_marks(s->leg);
    marks->personal = marks->personal || s->policy->eager;
    marks->introduced = marks->introduced || s->policy->identity == SESSION_IDENTITY_CONNECTION;
    const char *lacks = s->policy->relay_greeting ? NULL : introduce_lacks(s);
    if (lacks)
        leg_failed(s, lacks);
    else if (!s->policy->relay_greeting && !introduce_by_xclient(s) && !s->leg)
        no_leg(s, "no memory for XCLIENT");
}

/* `code`, `bytes`: what the server said to this client alone. */
static void no_leg_for_us(struct session *s, const char *why, unsigned code, struct span bytes)
{
    bool turned_away = code && code != 421;
    if (turned_away && s->mode == MODE_NEW)
        turn_away_at_greeting(s, bytes);
    else if (turned_away)
        answer_turned_away(s, first_unanswered(s), code, bytes);
    else
        no_leg(s, why);
}

void session_upstream(struct session *s, struct upleg *u, const char *why, unsigned code, struct span bytes)
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
        take_leg(s);
    } else {
        no_leg_for_us(s, why, code, bytes);
    }
    if (s->mode != MODE_OVER && !s->introducing)
        go_on(s);
}
