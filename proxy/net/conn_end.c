/* SPDX-License-Identifier: MIT */
/* The ends of a connection; all of them are here.
 *
 *   conn_close(flush): out -> close_notify -> FIN -> read and forget until the peer's FIN -> close
 *
 * A socket that is closed with unread bytes in it sends RST, and then the peer may never read what we sent
 * last. So the end lingers, within bounds of time and bytes. In that while the conn owns itself; the loop
 * ends it when the loop itself goes. */
#include "net/conn_parts.h"
#include "net/loop_end.h"

#include <errno.h>
#include <stdlib.h>

static const size_t linger_bytes = (size_t)64 * 1024;

static void on_free(void *arg)
{
    struct conn *c = arg;
    buf_free(&c->in);
    buf_free(&c->out);
    transport_free(&c->t);
    free(c);
}

/* The socket goes at once, the memory at the end of the turn: somebody may be on the stack. */
static void die(struct conn *c, bool reset)
{
    if (c->state == STATE_DEAD)
        return;
    c->state = STATE_DEAD;
    loop_timer_stop(&c->deadline);
    loop_undefer(&c->turn);
    loop_undefer(&c->at_end);
    conn_connector_free(c);
    conn_detach(c);
    transport_close(&c->t, reset);
    loop_defer(c->loop, &c->turn, on_free, c);
}

static void on_end_deadline(void *arg)
{
    die(arg, false);
}

static void begin_end(struct conn *c)
{
    c->only_clear = c->state == STATE_HANDSHAKE;
    c->state = STATE_ENDING;
    c->read_wants_write = false; /* no read of TLS comes any more, so nothing would ever clear it */
    loop_timer_start(c->loop, &c->deadline, loop_patience(c->loop)->close_us, on_end_deadline, c);
    loop_at_end(c->loop, &c->at_end, on_end_deadline, c);
    conn_schedule(c);
}

/* Reads past TLS: nobody looks at it. */
static void discard_input(struct conn *c)
{
    ssize_t n = recv(c->t.fd, loop_read_buffer(c->loop), LOOP_READ_SIZE, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            die(c, false);
        return;
    }
    c->eof = n == 0;
    if (c->said_end)
        c->discarded += (size_t)n;
}

static void say_end(struct conn *c)
{
    enum transport_result r = c->t.ops->shutdown(&c->t);
    if (r == TRANSPORT_WANTS_WRITE) {
        c->write_blocked = true;
        return;
    }
    if (r != TRANSPORT_DONE) {
        die(c, false);
        return;
    }
    c->said_end = true;
    loop_timer_start(c->loop, &c->deadline, loop_patience(c->loop)->close_us / 5 * 2, on_end_deadline, c);
}

void conn_end_step(struct conn *c, int events)
{
    conn_flush(c);
    if (c->broken) {
        die(c, false);
        return;
    }
    if (!conn_sendable(c) && !c->said_end && !c->write_blocked)
        say_end(c);
    if (c->state == STATE_ENDING && (events & EV_READ) && !c->eof)
        discard_input(c);
    if (c->state == STATE_ENDING && c->said_end && (c->eof || c->discarded >= linger_bytes))
        die(c, false);
}

void conn_fail(struct conn *c, enum conn_failure how)
{
    const struct conn_events *events = c->events;
    void *ctx = c->ctx;
    if (how == FAIL_POLITELY)
        begin_end(c);
    else
        die(c, false);
    events->event(ctx, c, CONN_CLOSED, transport_why(&c->t));
}

void conn_close(struct conn **cp, enum conn_end how)
{
    struct conn *c = *cp;
    *cp = NULL;
    if (!c || c->state == STATE_DEAD)
        return;
    if (how == CONN_END_BRISK)
        conn_flush(c);
    if (how != CONN_END_FLUSH || c->state == STATE_CONNECTING || c->broken)
        die(c, how == CONN_END_RESET);
    else if (c->state != STATE_ENDING)
        begin_end(c);
}
