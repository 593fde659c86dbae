/* SPDX-License-Identifier: MIT */
/* From DATA to the upstream's last word.
 *
 *   client --data_decode--> piece --> spool           (held until the verdict)
 *                             `-----> chain_content   (filters read along)
 *   end --> END's verdict --> DATA upstream --> 354 --> spool --data_emit--> upstream --> "." --> final reply
 *           TX_DECIDING      TX_OPENING              TX_PUMPING             TX_RELEASED
 *
 * Until TX_RELEASED nothing at the upstream can become a message; from then on only the upstream's reply, or
 * a 4yz when it is lost, may reach the client. The spool dies when its last byte was written, or with the
 * transaction. */
#include "session/internal.h"

#include "base/clock.h"

#define PUMP_SLICE ((size_t)64 * 1024)

/* ---- receiving ---- */

void content_begin(struct session *s, struct cmd *data)
{
    phases_run(s, data, PHASE_BIT(POSTERN_ON_DATA));
}

void content_start(struct session *s, struct cmd *data)
{
    struct tx *t = s->tx;
    struct buf b = {0};
    if (s->eof) { /* it did not wait for this reply, or will send nothing */
        cmd_answer(s, data, SAY_OUT_OF_TURN);
        return;
    }
    t->spool = spool_create(s->ops->budget(s->ctx), (size_t)s->policy->limits.body_memory);
    if (!t->spool || !own_reply_print(s, &b, SAY_START_CONTENT)) {
        buf_free(&b);
        cmd_answer(s, data, SAY_NO_SPACE);
        return;
    }
    data_decoder_init(&t->decoder, s->policy->normalize_newlines);
    tx_forget_notes(t); /* of recipients refused: the message goes on */
    t->stage = TX_RECEIVING;
    t->progress_us = t->kept_us = session_now(s);
    s->view.message_bytes = 0;
    s->mode = MODE_CONTENT;
    s->turn_over = false;
    session_send(s, buf_span(&b));
    buf_free(&b);
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
    spool_destroy(&t->spool);
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

static void take_piece(struct session *s, struct span piece)
{
    struct tx *t = s->tx;
    check_newlines(s);
    check_size(s);
    s->view.message_bytes = t->decoder.octets;
    if (t->violation)
        return;
    if (!t->discard && !buf_len(&t->refusal) && spool_append(t->spool, piece) != SPOOL_OK) {
        violate(s, SAY_NO_SPACE, SESSION_COUNT_NO_SPACE);
        return;
    }
    phases_content(s, piece);
}

/* Whoever sends several times what is allowed is not listened to until its end. */
static bool far_too_much(const struct session *s)
{
    return s->tx->decoder.octets / 2 > s->policy->limits.message_bytes + PUMP_SLICE;
}

static void content_over(struct session *s);

void content_receive(struct session *s, struct span *in)
{
    struct tx *t = s->tx;
    struct span piece;
    t->progress_us = session_now(s);
    while (in->n && !t->paused) {
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
}

/* ---- deciding ---- */

/* The answer that ends the transaction without the upstream's word. */
static void conclude(struct session *s, struct cmd *data, enum own_reply r, const char *where)
{
    if (!s->tx->code)
        tx_note_own(s->tx, r);
    if (!s->tx->verdict)
        tx_decide(s->tx, verdict_of_code(own_reply_code(r)), where);
    if (s->run && s->tx->stage != TX_RELEASED) /* else nobody knows what became of it */
        chain_reply(s->run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, own_reply_code(r), false);
    cmd_answer(s, data, r);
    tx_end(s);
}

static void refuse_held_verdict(struct session *s, struct cmd *data)
{
    cmd_answer_bytes(s, data, buf_span(&s->tx->refusal));
    tx_end(s);
}

static void content_over(struct session *s)
{
    struct tx *t = s->tx;
    struct cmd *data = s->first;
    s->mode = MODE_COMMAND;
    s->idle_since_us = session_now(s);
    check_newlines(s);
    check_size(s);
    t->stage = TX_DECIDING;
    if (t->violation)
        conclude(s, data, t->violation, "content");
    else if (buf_len(&t->refusal))
        refuse_held_verdict(s, data);
    else
        phases_run(s, data, PHASE_BIT(POSTERN_ON_END));
    if (s->mode != MODE_OVER)
        session_run(s);
}

static void discard(struct session *s, struct cmd *data)
{
    tx_decide(s->tx, "discarded", s->tx->where ? s->tx->where : "end");
    conclude(s, data, SAY_OK, "end");
}

void content_release(struct session *s, struct cmd *data)
{
    struct tx *t = s->tx;
    if (t->discard) {
        discard(s, data);
    } else if (t->lost || !s->leg) {
        conclude(s, data, SAY_CONTENT_LOST, "upstream");
    } else if (!upleg_command(s->leg, UPLEG_DATA, SPAN_LIT("DATA"), data)) {
        conclude(s, data, SAY_NO_SPACE, "upstream");
    } else {
        data->state = CMD_SENT;
        t->stage = TX_OPENING;
        t->upstream_since_us = t->progress_us = session_now(s);
        data_emitter_init(&t->emitter);
    }
}

/* ---- to the upstream ---- */

/* What stopped halfway can only be cut: the upstream must not see an end. */
static void cut_off(struct session *s, enum own_reply r, const char *note)
{
    struct cmd *data = s->first;
    leg_drop(s, true);
    s->tx->mail_sent = false;
    s->tx->note = note;
    conclude(s, data, r, "upstream");
}

/* The end is written only while the client is there to hear of it. */
static bool pump_end(struct session *s, struct buf *out)
{
    struct tx *t = s->tx;
    if (s->gone || !data_emit_end(&t->emitter, out) || !upleg_content(s->leg, buf_span(out)) ||
        !upleg_content_ended(s->leg, s->first))
        return false;
    t->stage = TX_RELEASED;
    spool_destroy(&t->spool);
    return true;
}

/* One slice of the spool to the wire. true: go on. */
static bool pump_slice(struct session *s, struct buf *out)
{
    struct tx *t = s->tx;
    struct span slice = spool_read(t->spool, t->pumped, PUMP_SLICE);
    size_t n = slice.n;
    if (n && !data_emit(&t->emitter, &slice, out, SIZE_MAX))
        return false;
    t->pumped += n;
    if (!slice.p && n == 0 && t->pumped < spool_bytes(t->spool))
        return false;
    if (t->pumped >= spool_bytes(t->spool))
        return pump_end(s, out);
    return upleg_content(s->leg, buf_span(out));
}

void content_pump(struct session *s)
{
    struct tx *t = s->tx;
    struct buf out = {0};
    t->progress_us = session_now(s);
    while (t->stage == TX_PUMPING && s->leg && !upleg_full(s->leg)) {
        bool ok = pump_slice(s, &out);
        buf_consume(&out, buf_len(&out));
        if (!ok) {
            cut_off(s, SAY_NO_SPACE, "the held content could not be passed on");
            break;
        }
    }
    buf_free(&out);
}

static void final_reply(struct session *s, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    struct cmd *data = s->first;
    t->upstream_us = session_now(s) - t->upstream_since_us;
    tx_note_reply(t, code, bytes);
    tx_decide(t, verdict_of_code(code), "upstream");
    if (s->run)
        chain_reply(s->run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, code, true);
    if (code / 100 == 2)
        s->junk = 0;
    cmd_answer_bytes(s, data, bytes);
    if (code == 421)
        data->closes = true;
    tx_end(s);
}

void content_leg_reply(struct session *s, enum upleg_kind kind, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    if (kind == UPLEG_DATA && code / 100 == 3) {
        t->stage = TX_PUMPING;
        content_pump(s);
    } else {
        /* A server that refuses DATA keeps its transaction open until the RSET that follows. */
        t->mail_sent = kind == UPLEG_DATA;
        if (kind == UPLEG_DATA)
            t->stage = TX_DECIDING;
        final_reply(s, code, bytes);
    }
}

/* Lost while the client still sends or the filters think: told at the end of the content. */
static void lost_meanwhile(struct session *s, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    t->lost = true;
    if (code != 421 || t->stage != TX_RECEIVING || buf_len(&t->refusal) || !buf_append(&t->refusal, bytes))
        return;
    tx_note_reply(t, code, bytes);
    tx_decide(t, "deferred", "upstream");
    s->first->closes = true;
}

/* The upstream is gone in the middle. A reply that came with it is passed on when it refuses; after the end
 * was released, silence means that nobody knows. */
void content_leg_lost(struct session *s, const char *why, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    struct cmd *data = s->first;
    t->note = why;
    t->mail_sent = false;
    if (t->stage == TX_RECEIVING || t->stage == TX_DECIDING) {
        lost_meanwhile(s, code, bytes);
        return;
    }
    if (code / 100 == 4 || code / 100 == 5) {
        final_reply(s, code, bytes);
        return;
    }
    if (t->stage == TX_RELEASED)
        tx_decide(t, "unknown", "upstream");
    conclude(s, data, SAY_CONTENT_LOST, "upstream");
}

/* ---- time ---- */

/* The client takes its time with the content: the server must not think that we are gone. */
void content_keepalive(struct session *s)
{
    s->tx->kept_us = session_now(s);
    if (s->leg && upleg_owed(s->leg) == 0 && !upleg_command(s->leg, UPLEG_NOOP, SPAN_LIT("NOOP"), NULL))
        leg_drop(s, false);
}

void content_stalled(struct session *s)
{
    cut_off(s, SAY_CONTENT_LOST, "the mail server took no content for too long");
}
