/* SPDX-License-Identifier: MIT */
/* From plain text to TLS on a connection that is open.
 *
 *   out: [ written before: in the clear | written since: waits for TLS ]
 *   in:  thrown away, whether it lies in the buffer or in the hands of the data callback
 *
 * A minting server's handshake stops after the ClientHello and asks its owner for a certificate to copy.
 * While it waits nothing is read, but an end of the client is seen.
 */
#include "net/conn_parts.h"
#include "net/tls_ssl.h"

#include <poll.h>
#include <string.h>

enum { CROWD = 32 * 1024 }; /* so much may come while the owner is asked before the socket is left alone */

static void on_deadline(void *arg)
{
    struct conn *c = arg;
    transport_fail(&c->t, "TLS handshake: not finished in time");
    conn_fail(c, FAIL_NOW);
}

/* ---- while the owner is asked ---- */

/* What the client sends now (early data for somebody else's ticket, say) waits in the kernel. With a
 * low-water mark above it the socket becomes readable only at the end of the connection. */
static void set_low_water(const struct conn *c, int bytes)
{
    (void)setsockopt(c->t.fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

static void ask(struct conn *c)
{
    c->asks = true;
    set_low_water(c, CROWD);
    conn_tell(c, CONN_TLS_ASKS);
}

static void look_whether_gone(struct conn *c)
{
    struct pollfd socket = {.fd = c->t.fd, .events = POLLIN | POLLRDHUP};
    int error = 0;
    socklen_t n = sizeof error;
    if (poll(&socket, 1, 0) != 1)
        return;
    if (!(socket.revents & (POLLRDHUP | POLLHUP | POLLERR))) {
        c->crowded = true;
        return;
    }
    (void)getsockopt(c->t.fd, SOL_SOCKET, SO_ERROR, &error, &n);
    transport_fail(&c->t, "TLS handshake: %s", error ? strerror(error) : "the peer closed the connection");
    conn_fail(c, FAIL_NOW);
}

bool conn_tls_present(struct conn *c, const struct tls_shown *like)
{
    if (c->state != STATE_HANDSHAKE || !c->asks || !tls_server_present(c->t.ssl, like))
        return false;
    c->asks = c->crowded = false;
    set_low_water(c, 1);
    conn_schedule(c);
    return true;
}

/* ---- the handshake ---- */

void conn_handshake_step(struct conn *c, int events)
{
    if (c->clear)
        conn_flush(c);
    if (c->broken) {
        conn_fail(c, FAIL_NOW);
        return;
    }
    if (c->clear)
        return;
    if (c->asks) {
        if (events & EV_READ)
            look_whether_gone(c);
        return;
    }
    c->t.ops = &tls_transport;
    enum transport_result r = c->t.ops->handshake(&c->t);
    c->write_blocked = r == TRANSPORT_WANTS_WRITE;
    if (r == TRANSPORT_WANTS_READ || r == TRANSPORT_WANTS_WRITE)
        return;
    if (r == TRANSPORT_ASKS) {
        ask(c);
        return;
    }
    if (r != TRANSPORT_DONE) {
        conn_fail(c, FAIL_POLITELY);
        return;
    }
    loop_timer_stop(&c->deadline);
    c->state = STATE_OPEN;
    if (buf_len(&c->out))
        conn_schedule(c);
    conn_tell(c, CONN_TLS);
}

/* Takes the SSL. */
static bool start(struct conn *c, SSL *ssl, uint64_t deadline_us)
{
    if (!ssl || c->state != STATE_OPEN || c->t.ssl || SSL_set_fd(ssl, c->t.fd) != 1) {
        tls_ssl_free(&ssl);
        return false;
    }
    c->t.ssl = ssl;
    c->state = STATE_HANDSHAKE;
    c->clear = buf_len(&c->out);
    if (!c->offered) /* else the data callback is looking at these bytes; they go when it returns */
        buf_free(&c->in);
    loop_timer_start(c->loop, &c->deadline, deadline_us, on_deadline, c);
    conn_schedule(c);
    return true;
}

bool conn_tls_accept(struct conn *c, struct tls_server *t, uint64_t deadline_us)
{
    return start(c, tls_server_ssl(t), deadline_us);
}

bool conn_tls_connect(struct conn *c, struct tls_client *t, const char *name, const struct tls_dane *dane,
                      uint64_t deadline_us)
{
    return start(c, tls_client_ssl(t, name, dane), deadline_us);
}
