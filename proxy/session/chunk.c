/* SPDX-License-Identifier: MIT */
/* BDAT (RFC 3030): payload between commands.
 *
 *   input:  BDAT 5 CRLF | 5 octets | BDAT 3 LAST CRLF | 3 octets | NOOP CRLF
 *                `-> queue    `-> waits in the connection until its command has begun;
 *                                 then to content.c, or, when the command was refused, nowhere
 *
 * The payload belongs to the command whatever its answer is: exactly so many octets are never read as
 * commands. Each BDAT has one reply, when its payload is over. Nothing is owned here. */
#include "session/internal.h"

static enum own_reply too_big(struct session *s)
{
    session_count(s, SESSION_COUNT_TOO_BIG);
    tx_note_own(s->tx, SAY_TOO_BIG);
    tx_decide(s->tx, "rejected", "content");
    tx_end(s);
    return SAY_TOO_BIG;
}

/* The chunks behind one that was refused are a message with a hole, up to its last (RFC 3030 2). */
enum own_reply chunk_refused(struct tx *t, const struct cmd *c, enum own_reply r)
{
    bool more = c->command.verb == VERB_BDAT && !c->bdat.last;
    t->hole = more ? r : SAY_NONE;
    return r;
}

enum own_reply chunk_check(struct session *s, struct cmd *c)
{
    struct tx *t = s->tx;
    if (!t || t->refused)
        return SAY_NEED_MAIL;
    if (t->hole || !t->rcpt_offered)
        return chunk_refused(t, c, t->hole ? t->hole : SAY_NEED_RCPT);
    uint64_t so_far = t->stage == TX_RECEIVING ? t->decoder.octets : 0;
    uint64_t max = s->policy->limits.message_bytes;
    if (c->bdat.size > max || so_far > max - c->bdat.size)
        return too_big(s);
    return SAY_NONE;
}

void chunk_proceed(struct session *s, struct cmd *c)
{
    struct tx *t = s->tx;
    if (t->stage == TX_RECEIVING) {
        c->receives = true;
        t->progress_us = session_now(s);
    } else if (t->lost) {
        cmd_answer(s, c, SAY_UPSTREAM_LOST);
    } else if (s->view.rcpt_count) {
        content_begin(s, c);
    } else {
        cmd_answer(s, c, chunk_refused(t, c, SAY_NO_VALID_RCPT));
    }
}

static void chunk_over(struct session *s, struct cmd *c)
{
    struct tx *t = s->tx;
    c->receives = false;
    if (content_refused(t)) {
        content_answer_refusal(s);
    } else if (t->lost) {
        content_conclude(s, SAY_CONTENT_LOST, "upstream");
    } else if (c->bdat.last) {
        content_over(s);
    } else {
        s->skipped = 0;
        cmd_answer(s, c, SAY_CHUNK_OK);
    }
}

/* Has it its answer, so that its payload is nothing but octets in the way? */
static bool is_answered(const struct cmd *c)
{
    return !c || c->state == CMD_DONE;
}

bool chunk_waits(const struct session *s)
{
    return s->chunk_due && !is_answered(s->chunk) && !s->chunk->receives;
}

void chunk_settle(struct session *s)
{
    struct cmd *c = s->chunk;
    if (!s->chunk_due || s->chunk_left || chunk_waits(s))
        return;
    if (!is_answered(c) && c->bdat.last && !s->tx->paused)
        content_take_last(s);
    if (!is_answered(c) && s->tx->paused)
        return;
    s->chunk_due = false;
    s->chunk = NULL;
    if (!is_answered(c))
        chunk_over(s, c);
}

/* Whoever sends several times what is allowed for nothing is not listened to until its end. */
static void skip(struct session *s, struct span *payload)
{
    uint64_t before = s->skipped;
    s->skipped += payload->n;
    payload->n = 0;
    if (before / CONTENT_SLACK != s->skipped / CONTENT_SLACK) /* so much may take as long as a command */
        s->idle_since_us = session_now(s);
    if (s->skipped / 2 <= s->policy->limits.message_bytes + CONTENT_SLACK)
        return;
    struct cmd *c = queue_add(s, SPAN_NONE);
    s->eof = true;
    if (c)
        c->refusal = SAY_FAR_TOO_BIG;
    else
        session_over(s, SESSION_CLOSE_FLUSH, "no memory");
}

/* false: no more is taken now. */
bool chunk_feed(struct session *s, struct span *in)
{
    if (chunk_waits(s))
        return false;
    struct span payload = *in;
    if (payload.n > s->chunk_left)
        payload.n = (size_t)s->chunk_left;
    size_t offered = payload.n;
    if (is_answered(s->chunk))
        skip(s, &payload);
    else if (content_waits(s))
        return false;
    else
        content_receive(s, &payload);
    *in = span_skip(*in, offered - payload.n);
    s->chunk_left -= offered - payload.n;
    chunk_settle(s);
    if (s->mode != MODE_OVER)
        session_run(s);
    return true;
}
