/* SPDX-License-Identifier: MIT */
/* Content from the client, to the verdict.
 *
 *   client --data_decode--> piece --> spool           held until the verdict, always where it may be edited
 *                             |        `--(past limits.hold)--> streams upstream (release.c)
 *                             `-----> chain_content   filters read along
 *   end --> END's verdict --> content_release (release.c)
 *           TX_DECIDING
 *
 * DATA's content comes in a mode of its own, the payload of BDAT between commands (chunk.c). The spool dies
 * when its last byte went upstream, or with the transaction. */
#include "session/internal.h"

/* ---- receiving ---- */

void content_begin(struct session *s, struct cmd *c)
{
    phases_run(s, c, PHASE_BIT(POSTERN_ON_DATA));
}

static enum data_form form_of(const struct tx *t, const struct cmd *c)
{
    if (c->command.verb == VERB_DATA)
        return DATA_DOTS;
    return t->binary ? DATA_BINARY : DATA_CHUNKS;
}

static bool ask_for_content(struct session *s)
{
    struct buf b = {0};
    if (!own_reply_print(s, &b, SAY_START_CONTENT))
        return false;
    s->mode = MODE_CONTENT;
    s->turn_over = false;
    session_send(s, buf_span(&b));
    buf_free(&b);
    return true;
}

/* What will stream is in memory until then, with the read that goes past the limit; what is held longer than
 * memory allows moves to a file. */
static size_t memory_for_body(const struct session_limits *l, bool held)
{
    bool streams = !held && l->hold <= l->body_memory;
    return streams ? (size_t)l->hold + CONTENT_READ : (size_t)l->body_memory;
}

void content_start(struct session *s, struct cmd *c)
{
    struct tx *t = s->tx;
    if (s->eof) { /* it did not wait for this reply, or will send nothing */
        cmd_answer(s, c, SAY_OUT_OF_TURN);
        return;
    }
    t->held = s->run && chain_holds(s->run);
    t->spool = spool_create(s->ops->budget(s->ctx), memory_for_body(&s->policy->limits, t->held));
    if (!t->spool || (c->command.verb == VERB_DATA && !ask_for_content(s))) {
        cmd_answer(s, c, chunk_refused(t, c, SAY_NO_SPACE));
        return;
    }
    data_decoder_init(&t->decoder, form_of(t, c), s->normalize_newlines);
    t->hops = (struct hops){0};
    tx_forget_notes(t); /* of recipients refused: the message goes on */
    t->stage = TX_RECEIVING;
    t->progress_us = t->rate_from_us = t->sent_us = t->kept_us = session_now(s);
    s->view.message_bytes = 0;
    c->receives = true;
}

void content_abandon(struct session *s)
{
    spool_destroy(&s->tx->spool);
    if (s->tx->up != UP_NOTHING)
        content_take_back(s);
}

/* The message is lost to a limit of ours; what still comes is only counted. */
static void violate(struct session *s, enum own_reply r, enum session_counter counter)
{
    struct tx *t = s->tx;
    if (t->violation)
        return;
    t->violation = r;
    session_count(s, counter);
    if (s->run)
        chain_abort(s->run);
    content_abandon(s);
}

static void check_newlines(struct session *s)
{
    const struct data_decoder *d = &s->tx->decoder;
    if (d->nul)
        violate(s, SAY_NUL_BYTE, SESSION_COUNT_BARE_NEWLINES);
    else if ((d->bare_lf || d->bare_cr) && !d->normalize)
        violate(s, SAY_BARE_NEWLINE, SESSION_COUNT_BARE_NEWLINES);
}

static void check_size(struct session *s)
{
    uint64_t max = s->policy->limits.message_bytes;
    if (s->tx->decoder.octets > max)
        violate(s, SAY_TOO_BIG, SESSION_COUNT_TOO_BIG);
}

static void check_hops(struct session *s, struct span piece)
{
    struct hops *h = &s->tx->hops;
    uint32_t most = s->policy->limits.hops;
    if (!most)
        return;
    hops_feed(h, piece);
    if (h->count > most)
        violate(s, SAY_TOO_MANY_HOPS, SESSION_COUNT_TOO_MANY_HOPS);
}

/* Nobody will read what comes: it was refused, goes nowhere, or its server is gone. */
static bool is_wanted(const struct tx *t)
{
    return !t->violation && !t->discard && !buf_len(&t->refusal) && !t->lost;
}

static void take_piece(struct session *s, struct span piece)
{
    struct tx *t = s->tx;
    check_newlines(s);
    check_size(s);
    check_hops(s, piece);
    s->view.message_bytes = t->decoder.octets;
    if (t->violation)
        return;
    if (is_wanted(t) && !content_keep(s, piece)) {
        violate(s, SAY_NO_SPACE, SESSION_COUNT_NO_SPACE);
        return;
    }
    phases_content(s, piece);
    if (is_wanted(t))
        content_stream(s);
}

bool content_waits(const struct session *s)
{
    return s->tx && (s->tx->paused || content_congested(s));
}

/* Whoever sends several times what is allowed is not listened to until its end. */
static bool far_too_much(const struct session *s)
{
    uint64_t max = s->policy->limits.message_bytes;
    return s->mode == MODE_CONTENT && s->tx->decoder.octets / 2 > max + CONTENT_SLACK;
}

/* The client's time begins again where it stood. */
void content_waited(struct session *s)
{
    struct tx *t = s->tx;
    t->progress_us = session_now(s);
    if (t->waits_since_us)
        t->rate_from_us += t->progress_us - t->waits_since_us;
    t->waits_since_us = 0;
}

void content_receive(struct session *s, struct span *in)
{
    struct tx *t = s->tx;
    struct span piece;
    content_waited(s);
    while (in->n && !content_waits(s)) {
        enum data_result r = data_decode(&t->decoder, in, &piece);
        if (r == DATA_CONTENT)
            take_piece(s, piece);
        if (r == DATA_END) {
            content_over(s);
            return;
        }
        if (far_too_much(s)) {
            in->n = 0;
            s->eof = true;
            t->violation = SAY_FAR_TOO_BIG;
            content_over(s);
            return;
        }
    }
    if (content_waits(s))
        s->tx->waits_since_us = session_now(s);
}

/* ---- deciding ---- */

/* The answer that ends the transaction without the upstream's word. */
void content_conclude(struct session *s, enum own_reply r, const char *where)
{
    if (!s->tx->code)
        tx_note_own(s->tx, r);
    if (!s->tx->verdict)
        tx_decide(s->tx, verdict_of_code(own_reply_code(r)), where);
    if (s->run && s->tx->stage != TX_RELEASED) /* else nobody knows what became of it */
        chain_reply(s->run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, own_reply_code(r), false);
    cmd_answer(s, s->first, r);
    tx_end(s);
}

/* By us, a filter or the upstream, before or behind the client's end. */
bool content_refused(const struct tx *t)
{
    return t->violation || buf_len(&t->refusal);
}

void content_answer_refusal(struct session *s)
{
    struct tx *t = s->tx;
    if (t->violation) {
        content_conclude(s, t->violation, "content");
        return;
    }
    if (s->run && t->stage != TX_RECEIVING)
        chain_reply(s->run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, t->code, true);
    cmd_answer_bytes(s, s->first, buf_span(&t->refusal));
    if (t->refusal_closes)
        s->first->closes = true;
    tx_end(s);
}

/* What the last chunk kept back, which ends the message like any other octet: a filter may think about it. */
void content_take_last(struct session *s)
{
    struct span piece = data_decode_last(&s->tx->decoder);
    if (piece.n)
        take_piece(s, piece);
}

void content_over(struct session *s)
{
    struct tx *t = s->tx;
    s->mode = MODE_COMMAND;
    s->idle_since_us = session_now(s);
    check_newlines(s);
    check_size(s);
    if (content_refused(t)) {
        content_answer_refusal(s);
    } else {
        t->stage = TX_DECIDING;
        phases_run(s, s->first, PHASE_BIT(POSTERN_ON_END));
    }
    if (s->mode != MODE_OVER)
        session_run(s);
}
