/* SPDX-License-Identifier: MIT */
/* Content to the upstream, to its last word.
 *
 *   END's verdict (or, past limits.hold, before it) -> the envelope as the filters want it (readdress.c)
 *     `-> BDAT server:            UP_OPEN --\
 *     `-> DATA -> 354:  UP_OPENING -> UP_OPEN -> spool --data_emit--> out --> content, or BDAT n
 *   END's verdict, nothing held: "." or BDAT n LAST -> TX_RELEASED -> final reply
 *
 * Until TX_RELEASED nothing at the upstream can become a message: what was begun is taken back by RSET
 * between chunks, or by closing the connection before the dot. From then on only the upstream's reply, or a
 * 4yz when it is lost, may reach the client.
 *
 * Streaming, the client is read only as fast as the upstream takes it, so that a session holds no more of a
 * message of any size. */
#include "session/internal.h"

#include "base/clock.h"

#define SLICE       ((size_t)64 * 1024)   /* of the spool to the wire, and the usual chunk */
#define TURN        ((size_t)1024 * 1024) /* of what is held, until other sessions have theirs */
#define CHUNKS_OWED 8u                    /* replies to chunks that may be out */

/* ---- the way there ---- */

static enum data_form wire_form(const struct tx *t)
{
    if (!t->chunks_up)
        return DATA_DOTS;
    return t->binary ? DATA_BINARY : DATA_CHUNKS;
}

/* A client that used DATA shall hear what the server says to DATA. What streams goes in chunks where it can:
 * only chunks can be taken back. */
static bool wants_chunks(const struct session *s)
{
    const struct tx *t = s->tx;
    enum upleg_chunking use = upleg_chunking(s->leg);
    return use == UPLEG_CHUNKS_ALWAYS ||
           (use == UPLEG_CHUNKS_AS_CAME && (t->streams || t->decoder.form != DATA_DOTS));
}

/* false: no memory, or the leg is dead. */
static bool open_upstream(struct session *s)
{
    struct tx *t = s->tx;
    t->chunks_up = wants_chunks(s);
    data_emitter_init(&t->emitter, wire_form(t));
    t->upstream_since_us = t->sent_us = t->kept_us = session_now(s);
    t->up = t->chunks_up ? UP_OPEN : UP_OPENING;
    return t->chunks_up || upleg_command(s->leg, UPLEG_DATA, SPAN_LIT("DATA"), t);
}

/* What stopped halfway can only be cut: the upstream must not see an end. */
static void cut_off(struct session *s, enum own_reply r, const char *note)
{
    content_take_back(s);
    s->tx->note = note;
    content_conclude(s, r, "upstream");
}

void content_send(struct session *s)
{
    struct tx *t = s->tx;
    if (!t->streams && !open_upstream(s)) {
        content_conclude(s, SAY_NO_SPACE, "upstream");
        return;
    }
    t->stage = TX_SENDING;
    t->sent_us = session_now(s);
    content_pump(s);
}

/* As the filters want it, or not at all. */
static void release_edited(struct session *s)
{
    enum own_reply no = s->tx->streams ? SAY_NONE : edited_begin(s);
    if (no)
        content_conclude(s, no, "end");
    else if (s->tx->streams || !readdress_begin(s))
        content_send(s);
}

void content_release(struct session *s, struct cmd *c)
{
    struct tx *t = s->tx;
    if (t->discard) {
        tx_decide(t, "discarded", t->where ? t->where : "end");
        content_conclude(s, SAY_OK, "end");
    } else if (content_refused(t)) {
        content_answer_refusal(s);
    } else if (t->lost || !s->leg) {
        content_conclude(s, SAY_CONTENT_LOST, "upstream");
    } else {
        c->state = CMD_SENT;
        release_edited(s);
    }
}

/* ---- streaming ---- */

static bool leg_congested(const struct session *s)
{
    size_t most = upleg_offer(s->leg)->caps & CAP_PIPELINING ? CHUNKS_OWED : 1;
    return upleg_full(s->leg) || (s->tx->chunks_up && upleg_owed(s->leg) >= most);
}

bool content_congested(const struct session *s)
{
    const struct tx *t = s->tx;
    if (!t->streams || t->up == UP_NOTHING || !s->leg || t->stage != TX_RECEIVING)
        return false;
    return t->up == UP_OPENING || t->spool || leg_congested(s);
}

void content_stream(struct session *s)
{
    struct tx *t = s->tx;
    if (!t->streams && !t->held && s->leg && spool_bytes(t->spool) > s->policy->limits.hold) {
        t->streams = true;
        if (!open_upstream(s)) {
            t->lost = true;
            content_abandon(s);
        }
    }
    if (t->streams)
        content_pump(s);
}

/* ---- to the wire ---- */

/* Content in wire form, with nothing that waits before it. */
static bool send_piece(struct session *s, struct span bytes, bool last)
{
    struct tx *t = s->tx;
    enum upleg_kind kind = !last ? UPLEG_BDAT : t->prdr && !upleg_lmtp(s->leg) ? UPLEG_PRDR : UPLEG_FINAL;
    size_t replies = last && upleg_lmtp(s->leg) ? readdress_rcpts(s) + t->envelope.copies : 1;
    t->kept_us = session_now(s);
    if (t->chunks_up)
        return upleg_chunk(s->leg, bytes, kind, replies, t);
    return last ? upleg_content_end(s->leg, bytes, kind, replies, t) : upleg_content(s->leg, bytes);
}

static bool send_out(struct session *s, bool last)
{
    struct tx *t = s->tx;
    size_t n = buf_len(&t->out);
    bool ok = send_piece(s, buf_span(&t->out), last);
    buf_consume(&t->out, n);
    return ok;
}

/* Large enough for a write of its own, and nothing to be changed in it. */
static bool goes_as_it_is(struct tx *t, struct span content)
{
    return content.n >= SLICE / 4 && !buf_len(&t->out) && data_emit_as_is(&t->emitter, content);
}

/* The next slice of what is held. */
static bool send_slice(struct session *s)
{
    struct tx *t = s->tx;
    struct span slice = spool_read(t->spool, t->pumped, SLICE);
    size_t n = slice.n;
    bool ok = slice.p != NULL;
    bool last = t->pumped + n >= spool_bytes(t->spool);
    if (ok && t->rewriter)
        ok = edited_emit(t, &slice, last);
    if (ok && !(last && t->chunks_up) && goes_as_it_is(t, slice))
        ok = send_piece(s, slice, false);
    else
        ok = ok && (!slice.n || data_emit(&t->emitter, &slice, &t->out, SIZE_MAX));
    t->pumped += n;
    if (last)
        spool_destroy(&t->spool);
    return ok;
}

/* The end is written only while the client is there to hear of it. */
static bool send_end(struct session *s)
{
    struct tx *t = s->tx;
    if (s->gone || !data_emit_end(&t->emitter, &t->out))
        return false;
    s->ops->released(s->ctx, &s->view);
    if (!send_out(s, true))
        return false;
    t->stage = TX_RELEASED;
    return true;
}

/* false: it cannot be done. */
static bool pump_step(struct session *s, bool *more_r)
{
    struct tx *t = s->tx;
    *more_r = false;
    if (t->spool && !send_slice(s))
        return false;
    if (!t->spool && t->stage == TX_SENDING)
        return send_end(s);
    bool enough = t->chunks_up ? buf_len(&t->out) >= SLICE : buf_len(&t->out) > 0;
    if (enough && !send_out(s, false))
        return false;
    *more_r = t->spool != NULL;
    return true;
}

/* The server stopped taking content, or we cannot give it: before the client's end the news waits for that.
 */
static void fail_upstream(struct session *s, enum own_reply r, const char *note)
{
    struct tx *t = s->tx;
    if (t->stage == TX_SENDING) {
        cut_off(s, r, note);
        return;
    }
    t->note = note;
    t->lost = true;
    t->progress_us = session_now(s); /* the client's time begins anew: it was not read */
    content_abandon(s);
}

void content_pump(struct session *s)
{
    struct tx *t = s->tx;
    uint64_t turn_over = t->pumped + TURN;
    bool more = true;
    t->sent_us = session_now(s);
    t->yields = false;
    if (content_congested(s))
        t->progress_us = t->sent_us; /* likewise */
    while (more && t->up == UP_OPEN && t->stage != TX_RELEASED && s->leg && !leg_congested(s)) {
        t->yields = t->pumped >= turn_over;
        if (t->yields)
            return;
        if (!pump_step(s, &more)) {
            fail_upstream(s, SAY_NO_SPACE, "the content could not be passed on");
            return;
        }
    }
}

/* One more piece, behind what is held; once all of that is gone, straight to the wire. */
bool content_keep(struct session *s, struct span piece)
{
    struct tx *t = s->tx;
    if (t->spool)
        return spool_append(t->spool, piece) == SPOOL_OK;
    if (goes_as_it_is(t, piece))
        return send_piece(s, piece, false);
    return data_emit(&t->emitter, &piece, &t->out, SIZE_MAX);
}

void content_take_back(struct session *s)
{
    buf_free(&s->tx->out);
    leg_clean(s);
}

/* ---- the upstream's words ---- */

/* `cleared`: the server has no transaction of ours any more. */
static void final_reply(struct session *s, unsigned code, struct span bytes, bool cleared)
{
    struct tx *t = s->tx;
    struct cmd *c = s->first;
    t->upstream_us = session_now(s) - t->upstream_since_us;
    t->mail_sent = !cleared;
    t->up = UP_NOTHING;
    tx_note_reply(t, code, bytes);
    tx_decide(t, verdict_of_code(code), "upstream");
    if (s->run)
        chain_reply(s->run, POSTERN_ON_MESSAGE_REPLY, SPAN_NONE, code, true);
    if (code / 100 == 2) {
        s->junk = 0;
        s->skipped = 0;
    }
    cmd_answer_bytes(s, c, bytes);
    t->unsaid = !buf_len(&c->reply);
    if (code == 421)
        c->closes = true;
    tx_end(s);
}

static void keep_refusal(struct session *s, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    if (buf_len(&t->refusal))
        return;
    if (!buf_append(&t->refusal, bytes))
        t->violation = SAY_NO_MEMORY; /* not to be forgotten for that */
    t->refusal_closes = code == 421;
    tx_note_reply(t, code, bytes);
    tx_decide(t, verdict_of_code(code), "upstream");
    spool_destroy(&t->spool);
}

/* DATA or a chunk was refused; the server keeps its transaction open until the RSET that follows. Behind the
 * last chunk its final reply is still to come; it cannot make a message whole that lacks a chunk. */
static void refused(struct session *s, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    if (t->stage == TX_SENDING) {
        t->stage = TX_DECIDING;
        final_reply(s, code, bytes, false);
        return;
    }
    keep_refusal(s, code, bytes);
    if (t->stage != TX_RELEASED) {
        t->up = UP_NOTHING;
        buf_free(&t->out);
    }
}

/* To the end of a message that lacks a chunk. A server that answers for each recipient may have more to say,
 * or not: the next message must not be answered by it. */
static void end_of_refused(struct session *s, unsigned code)
{
    s->tx->up = UP_NOTHING;
    if (upleg_owed(s->leg) || code / 100 == 3)
        leg_drop(s, false);
    content_answer_refusal(s);
}

static void end_reply(struct session *s, enum upleg_kind kind, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    if (content_refused(t)) {
        end_of_refused(s, code);
        return;
    }
    if (!recipients_fold(s, kind, &code, &bytes))
        return;
    bool cleared = !t->chunks_up || code / 100 == 2; /* RFC 3030 2: after a failed BDAT comes RSET */
    if (!cleared)
        upleg_marks(s->leg)->spent = true;
    final_reply(s, code, bytes, cleared);
}

void content_leg_reply(struct session *s, enum upleg_kind kind, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    if (kind == UPLEG_FINAL || kind == UPLEG_PRDR) {
        end_reply(s, kind, code, bytes);
    } else if (t->up == UP_NOTHING) {
        /* to a chunk behind the one that was refused */
    } else if (code / 100 == 2 || code / 100 == 3) {
        t->up = UP_OPEN;
        content_pump(s);
    } else {
        refused(s, code, bytes);
    }
}

/* The upstream is gone in the middle. A reply that came with it is passed on when it refuses; after the end
 * was released, silence means that nobody knows. Before the client's end it is told there. */
void content_leg_lost(struct session *s, const char *why, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    bool refuses = code / 100 == 4 || code / 100 == 5;
    bool heard_of_content = t->up != UP_NOTHING;
    tx_note(t, why);
    t->mail_sent = false;
    t->up = UP_NOTHING;
    if (t->stage == TX_RECEIVING || t->stage == TX_DECIDING) {
        t->lost = true;
        if (refuses && (heard_of_content || code == 421))
            keep_refusal(s, code, bytes);
        content_abandon(s);
    } else if (content_refused(t)) {
        content_answer_refusal(s);
    } else if (t->stage == TX_ADDRESSING) { /* what it says may name a recipient whom the client did not */
        content_conclude(s, SAY_CONTENT_LOST, "upstream");
    } else if (refuses) {
        final_reply(s, code, bytes, true);
    } else {
        if (t->stage == TX_RELEASED)
            tx_decide(t, "unknown", "upstream");
        content_conclude(s, SAY_CONTENT_LOST, "upstream");
    }
}

/* ---- time ---- */

/* The client takes its time with the content: the server must not think that we are gone. */
void content_keepalive(struct session *s)
{
    struct tx *t = s->tx;
    bool ok = true;
    t->kept_us = session_now(s);
    if (!s->leg || (t->up != UP_NOTHING && !t->chunks_up))
        return; /* in the midst of DATA only content can be said, and all there is has been */
    if (buf_len(&t->out))
        ok = send_out(s, false);
    else if (upleg_owed(s->leg) == 0)
        ok = upleg_command(s->leg, UPLEG_NOOP, SPAN_LIT("NOOP"), NULL);
    if (!ok)
        fail_upstream(s, SAY_CONTENT_LOST, "no memory to keep the mail server waiting");
}

void content_stalled(struct session *s)
{
    fail_upstream(s, SAY_CONTENT_LOST, "the mail server took no content for too long");
}
