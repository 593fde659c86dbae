/* SPDX-License-Identifier: MIT */
/* From plain text to TLS on a connection that is open.
 *
 *   out: [ written before: in the clear | written since: waits for TLS ]
 *   in:  thrown away, whether it lies in the buffer or in the hands of the data callback
 */
#include "net/conn_parts.h"
#include "net/tls_ssl.h"

static void on_deadline(void *arg)
{
    struct conn *c = arg;
    transport_fail(&c->t, "TLS handshake: not finished in time");
    conn_fail(c, FAIL_NOW);
}

void conn_handshake_step(struct conn *c)
{
    if (c->clear)
        conn_flush(c);
    if (c->broken) {
        conn_fail(c, FAIL_NOW);
        return;
    }
    if (c->clear)
        return;
    c->t.ops = &tls_transport;
    enum transport_result r = c->t.ops->handshake(&c->t);
    c->write_blocked = r == TRANSPORT_WANTS_WRITE;
    if (r == TRANSPORT_WANTS_READ || r == TRANSPORT_WANTS_WRITE)
        return;
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

bool conn_tls_connect(struct conn *c, struct tls_client *t, const char *name, uint64_t deadline_us)
{
    return start(c, tls_client_ssl(t, name), deadline_us);
}
