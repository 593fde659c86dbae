/* SPDX-License-Identifier: MIT */
/* Bytes in and out of an open connection.
 *
 *   transport -> loop's read buffer -> owner -> (what it left) -> in -> owner again, with more behind it
 *   owner -> out -> transport at the end of the turn, or at once when it is much
 *
 * Both ways a turn has its share of work: a peer at line rate must not keep the loop from the others. */
#include "net/conn_parts.h"

#include <assert.h>

enum {
    READS_A_TURN = 4,
    WRITES_A_TURN = 16,       /* records of TLS, 16 KiB each */
    WRITE_AT_ONCE = 32 * 1024 /* so much does not wait for the end of the turn, nor is it copied */
};

static void no_memory(struct conn *c)
{
    transport_fail(&c->t, "out of memory for the connection's buffers");
    c->broken = true;
    conn_schedule(c);
}

/* ---- out ---- */

/* What of `out` may leave now. */
size_t conn_sendable(const struct conn *c)
{
    return c->state == STATE_HANDSHAKE || c->only_clear ? c->clear : buf_len(&c->out);
}

/* Sends from `bytes` what the socket takes, and returns what is left. */
static struct span send_some(struct conn *c, struct span bytes)
{
    enum transport_result r = TRANSPORT_DONE;
    for (int i = 0; i < WRITES_A_TURN && bytes.n && r == TRANSPORT_DONE; i++) {
        size_t sent = 0;
        r = c->t.ops->write(&c->t, bytes, &sent);
        bytes = span_skip(bytes, sent);
    }
    c->write_blocked = r == TRANSPORT_WANTS_WRITE;
    c->write_wants_read = r == TRANSPORT_WANTS_READ;
    if (r == TRANSPORT_FAILED)
        c->broken = true;
    return bytes;
}

void conn_flush(struct conn *c)
{
    size_t before = conn_sendable(c);
    if (!before || c->broken || c->write_blocked)
        return;
    size_t sent = before - send_some(c, span_head(buf_span(&c->out), before)).n;
    buf_consume(&c->out, sent);
    if (c->clear)
        c->clear -= sent;
    if (c->full && buf_len(&c->out) < CONN_OUT_LOW) {
        c->full = false;
        c->tell_drained = true;
        conn_schedule(c);
    }
    if (c->broken || (conn_sendable(c) && !c->write_blocked && !c->write_wants_read))
        conn_schedule(c);
}

static bool idle_output(const struct conn *c)
{
    return c->state == STATE_OPEN && !c->write_blocked && !c->write_wants_read;
}

bool conn_write(struct conn *c, struct span bytes)
{
    if (!bytes.n || c->broken || c->state >= STATE_ENDING)
        return true;
    if (bytes.n >= WRITE_AT_ONCE && !buf_len(&c->out) && idle_output(c)) {
        bytes = send_some(c, bytes);
        if (c->broken) {
            conn_schedule(c);
            return true;
        }
    }
    if (bytes.n && !buf_append(&c->out, bytes)) {
        no_memory(c);
        return false;
    }
    if (buf_len(&c->out) >= WRITE_AT_ONCE && idle_output(c))
        conn_flush(c);
    if (buf_len(&c->out) > CONN_OUT_HIGH)
        c->full = true;
    if (buf_len(&c->out))
        conn_schedule(c); /* to send it, or to watch for room */
    return true;
}

/* ---- in ---- */

bool conn_may_read(const struct conn *c)
{
    return c->state == STATE_OPEN && !c->paused && !c->eof && buf_len(&c->in) < CONN_IN_MAX;
}

/* After the last byte was taken, so that the owner sees a stream and then its end. */
static void tell_eof(struct conn *c)
{
    if (!c->eof || c->eof_told || buf_len(&c->in) || c->state != STATE_OPEN)
        return;
    c->eof_told = true;
    conn_tell(c, CONN_EOF);
}

/* Calls the owner. Whatever it did to the conn, the memory of `bytes` was left alone. When it started TLS or
 * closed, what waited is no longer wanted. */
static size_t show(struct conn *c, struct span bytes)
{
    c->offered = bytes.n;
    size_t taken = c->events->data(c->ctx, c, bytes);
    c->offered = 0;
    assert(taken <= bytes.n);
    if (c->state != STATE_OPEN)
        buf_free(&c->in);
    return taken;
}

void conn_offer(struct conn *c)
{
    c->offer = false;
    if (buf_len(&c->in)) {
        size_t taken = show(c, buf_span(&c->in));
        if (c->state == STATE_OPEN)
            buf_consume(&c->in, taken);
    }
    tell_eof(c);
}

static void deliver(struct conn *c, struct span fresh)
{
    if (buf_len(&c->in)) {
        if (buf_append(&c->in, fresh))
            conn_offer(c);
        else
            no_memory(c);
        return;
    }
    struct span left = span_skip(fresh, show(c, fresh));
    if (left.n && c->state == STATE_OPEN && !buf_append(&c->in, left))
        no_memory(c);
}

/* What a read said that brought no bytes. */
static void input_stopped(struct conn *c, enum transport_result r)
{
    if (r == TRANSPORT_FAILED)
        c->broken = true;
    c->read_wants_write = r == TRANSPORT_WANTS_WRITE;
    c->eof = c->eof || r == TRANSPORT_EOF;
    tell_eof(c);
}

void conn_take_input(struct conn *c)
{
    c->read_wants_write = false;
    for (int i = 0; i < READS_A_TURN && conn_may_read(c); i++) {
        size_t waiting = buf_len(&c->in), got = 0;
        size_t room = waiting ? CONN_IN_MAX - waiting : LOOP_READ_SIZE;
        if (c->read_most && c->read_most < room)
            room = c->read_most;
        char *p = loop_read_buffer(c->loop);
        enum transport_result r = c->t.ops->read(&c->t, p, room, &got);
        if (r != TRANSPORT_DONE) {
            input_stopped(c, r);
            return;
        }
        deliver(c, span_make(p, got));
        if (got <= BUF_WIPED)
            explicit_bzero(p, got); /* as a buf would */
        if (c->state != STATE_OPEN || (got < room && !c->t.ops->pending(&c->t)))
            return;
    }
    /* What lies in the kernel raises its event again; what lies in OpenSSL does not. */
    if (conn_may_read(c) && c->t.ops->pending(&c->t))
        conn_schedule(c);
}
