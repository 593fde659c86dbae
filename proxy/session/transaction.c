/* SPDX-License-Identifier: MIT */
/* One transaction, from MAIL to its line in the log.
 *
 * Begun when MAIL has passed its checks (the filters see it already), ended by tx_end exactly once: after the
 * final reply, a refusal of MAIL or of the message, RSET, EHLO, QUIT, or the end of the session. Everything
 * it owns is in its arena, but for the spool and the buffered refusal. */
#include "session/internal.h"

#include "base/clock.h"

#include <stdlib.h>

#define TX_ARENA_MAX ((size_t)4 * 1024 * 1024)

struct span lower_copy(struct arena *a, struct span s)
{
    char *p = arena_alloc(a, s.n + 1); /* one more, so that also an empty text has its place */
    if (!p)
        return SPAN_NONE;
    for (size_t i = 0; i < s.n; i++)
        p[i] = ascii_lower(s.p[i]);
    return span_make(p, s.n);
}

/* Which capabilities the parameters of MAIL lean on. */
static uint32_t caps_of(const struct params *p)
{
    static const uint32_t caps[PARAMS] = {
#define PARAM(id, keyword, verb, cap, rule) [PARAM_##id] = CAP_##cap,
#include "smtp/params.def"
#undef PARAM
    };
    uint32_t needed = 0;
    for (size_t i = 0; i < PARAMS; i++)
        if (p->value[i].p)
            needed |= caps[i];
    return needed;
}

static void tx_free(struct tx *t)
{
    spool_destroy(&t->spool);
    buf_free(&t->out);
    buf_free(&t->each_bytes);
    buf_free(&t->refusal);
    arena_destroy(&t->arena);
    free(t);
}

bool tx_begin(struct session *s, const struct cmd *mail)
{
    struct tx *t = calloc(1, sizeof(*t));
    if (!t)
        return false;
    t->arena = arena_create(TX_ARENA_MAX);
    if (!t->arena) {
        tx_free(t);
        return false;
    }
    s->view.sender = arena_span(t->arena, mail->path.mailbox);
    s->view.sender_domain = lower_copy(t->arena, mail->path.domain);
    if (!s->view.sender.p || !s->view.sender_domain.p) {
        tx_free(t);
        return false;
    }
    s->view.message_bytes = mail->params.size;
    s->view.smtputf8 = mail->params.value[PARAM_SMTPUTF8].p != NULL;
    t->caps_needed = caps_of(&mail->params);
    t->binary = span_ieq(mail->params.value[PARAM_BODY], SPAN_LIT("BINARYMIME"));
    t->prdr = mail->params.value[PARAM_PRDR].p != NULL;
    if (t->binary)
        t->caps_needed |= CAP_BINARYMIME;
    t->began_us = session_now(s);
    s->tx = t;
    s->transactions++;
    session_count(s, SESSION_COUNT_TRANSACTIONS);
    return true;
}

bool tx_add_rcpt(struct session *s, struct span mailbox)
{
    struct tx *t = s->tx;
    if (s->view.rcpt_count == t->rcpt_room) {
        size_t room = t->rcpt_room ? t->rcpt_room * 2 : 8;
        struct span *more = arena_alloc(t->arena, room * sizeof(*more));
        if (!more)
            return false;
        if (s->view.rcpt_count)
            memcpy(more, t->rcpts, s->view.rcpt_count * sizeof(*more));
        t->rcpts = more;
        t->rcpt_room = room;
    }
    struct span copy = arena_span(t->arena, mailbox);
    if (!copy.p)
        return false;
    t->rcpts[s->view.rcpt_count++] = copy;
    s->view.rcpts = t->rcpts;
    return true;
}

/* Filters see a recipient while they are asked or told about it; its text goes with its command. */
bool tx_show_rcpt(struct session *s, const struct cmd *c)
{
    s->view.rcpt = c->path.mailbox;
    s->view.rcpt_domain = lower_copy(s->tx->arena, c->path.domain);
    return s->view.rcpt_domain.p != NULL;
}

void tx_hide_rcpt(struct session *s)
{
    s->view.rcpt = s->view.rcpt_domain = SPAN_NONE;
}

/* The filters hear what became of a recipient, perhaps while they think about another one. */
void tx_tell_rcpt(struct session *s, const struct cmd *c, unsigned code, bool from_upstream)
{
    struct span rcpt = s->view.rcpt, domain = s->view.rcpt_domain;
    if (!s->run)
        return;
    (void)!tx_show_rcpt(s, c);
    chain_reply(s->run, POSTERN_ON_RCPT_REPLY, c->path.mailbox, code, from_upstream);
    s->view.rcpt = rcpt;
    s->view.rcpt_domain = domain;
}

void tx_answer_rcpt(struct session *s, struct cmd *c, enum own_reply r)
{
    cmd_answer(s, c, r);
    tx_tell_rcpt(s, c, own_reply_code(r), false);
}

/* ---- what will stand in the log ---- */

const char *verdict_of_code(unsigned code)
{
    return code / 100 == 5 ? "rejected" : code / 100 == 4 ? "deferred" : "accepted";
}

void tx_note(struct tx *t, const char *why)
{
    struct span copy = arena_span(t->arena, span_of(why));
    t->note = copy.p ? copy.p : "no memory for the reason";
}

void tx_note_more(struct tx *t, const char *why)
{
    const char *both = t->note ? arena_printf(t->arena, "%s; %s", t->note, why) : why;
    tx_note(t, both ? both : why);
}

void tx_decide(struct tx *t, const char *verdict, const char *where)
{
    t->verdict = verdict;
    t->where = where;
}

/* "Ok: queued as 4XyZ" (Postfix, sink), "OK id=1abc-000-xy" (Exim), "2.0.0 1a2b Message accepted"
 * (OpenSMTPD). */
static struct span find_queue_id(struct span text)
{
    static const struct span marks[] = {{"queued as ", 10}, {"id=", 3}};
    for (size_t m = 0; m < COUNT_OF(marks); m++)
        for (size_t i = 0; i + marks[m].n < text.n; i++)
            if (span_istarts(span_skip(text, i), marks[m])) {
                struct span id = span_skip(text, i + marks[m].n);
                return span_head(id, span_find(id, ' '));
            }
    return SPAN_NONE;
}

void tx_note_reply(struct tx *t, unsigned code, struct span bytes)
{
    size_t at = 0;
    struct span text;
    t->code = code;
    if (!reply_next_line(bytes, &at, &text))
        return;
    t->reply_text = arena_span(t->arena, text);
    if (code / 100 == 2)
        t->queue_id = find_queue_id(t->reply_text);
}

void tx_note_own(struct tx *t, enum own_reply r)
{
    t->code = own_reply_code(r);
    t->reply_text = span_of(own_reply_text(r));
}

/* The message goes on after all; what makes it go nowhere in the end stays. */
void tx_forget_notes(struct tx *t)
{
    if (t->discard)
        return;
    t->verdict = t->where = t->filter = NULL;
    t->code = 0;
    t->reply_text = t->rule = SPAN_NONE;
}

void tx_note_verdict(struct tx *t, const struct verdict *v, const char *where)
{
    tx_decide(t, v->action == POSTERN_DISCARD ? "discarded" : verdict_of_code(v->code), where);
    t->filter = v->filter ? arena_span(t->arena, span_of(v->filter)).p : NULL;
    t->rule = arena_span(t->arena, v->rule);
    t->code = v->code;
    t->reply_text = arena_span(t->arena, v->text);
}

static void count_verdict(struct session *s, const char *verdict)
{
    static const struct {
        const char *verdict;
        enum session_counter counter;
    } counters[] = {
        {"accepted", SESSION_COUNT_ACCEPTED}, {"rejected", SESSION_COUNT_REJECTED},
        {"deferred", SESSION_COUNT_DEFERRED}, {"discarded", SESSION_COUNT_DISCARDED},
        {"aborted", SESSION_COUNT_ABORTED},   {"unknown", SESSION_COUNT_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT_OF(counters); i++)
        if (span_eq(span_of(verdict), span_of(counters[i].verdict)))
            session_count(s, counters[i].counter);
}

static void report(struct session *s)
{
    struct tx *t = s->tx;
    bool undelivered = t->stage == TX_RELEASED && (s->gone || t->unsaid);
    if (!t->verdict && t->stage == TX_RELEASED)
        tx_decide(t, "unknown", "upstream");
    else if (!t->verdict)
        tx_decide(t, "aborted", t->stage == TX_ENVELOPE ? "envelope" : "content");
    struct session_report r = {
        .view = &s->view,
        .policy = s->policy,
        .verdict = t->verdict,
        .stage = t->where,
        .filter = t->filter,
        .rule = t->rule,
        .score_text = s->run ? chain_score_text(s->run) : SPAN_NONE,
        .flags = s->run ? chain_flags_text(s->run) : SPAN_NONE,
        .score = s->run ? chain_score(s->run) : 0,
        .tags = s->run ? chain_tags_text(s->run) : SPAN_NONE,
        .edits = s->run ? chain_edits_text(s->run) : SPAN_NONE,
        .rcpt_accepted = s->view.rcpt_count,
        .rcpt_offered = t->rcpt_offered,
        .bytes = t->decoder.octets,
        .code = t->code,
        .reply = t->reply_text,
        .queue_id = t->queue_id,
        .note = t->note,
        .undelivered = undelivered,
        .in_tls = s->in_tls,
        .upstream_used = t->upstream_used,
        .total_us = session_now(s) - t->began_us,
        .filter_us = t->filter_us,
        .upstream_us = t->upstream_us,
    };
    count_verdict(s, t->verdict);
    if (undelivered)
        session_count(s, SESSION_COUNT_UNDELIVERED);
    s->ops->report(s->ctx, &r);
}

/* Those that saw the end of the message and no outcome: whether it was released is all that is known. */
static void end_filters(struct session *s)
{
    unsigned code = s->tx->stage == TX_RELEASED ? 0 : own_reply_code(SAY_UPSTREAM_LOST);
    chain_reply(s->run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, code, false);
    chain_forget(s->run);
}

/* The one end of a transaction. Harmless without one. */
void tx_end(struct session *s)
{
    struct tx *t = s->tx;
    if (!t)
        return;
    if (s->phases && s->asking)
        phases_stop(s);
    report(s);
    if (s->run)
        end_filters(s);
    leg_give_back(s);
    s->tx = NULL;
    tx_hide_rcpt(s);
    s->view.sender = s->view.sender_domain = SPAN_NONE;
    s->view.rcpts = NULL;
    s->view.rcpt_count = 0;
    s->view.message_bytes = 0;
    s->view.smtputf8 = false;
    tx_free(t);
}
