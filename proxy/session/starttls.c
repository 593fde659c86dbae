/* SPDX-License-Identifier: MIT */
/* STARTTLS: whose it is, and what it changes.
 *
 *   own          220 of our own -> ops.start_tls -> session_secured                     policy.offer_starttls
 *   mirrored     the same, but offered only where the server offers it                  + mirror_tls
 *   like theirs  ... -> session_tls_asks -> TLS with the server -> ops.present_tls -> session_secured
 *   passed       the server's answer, and on 220 the rest is between the two: ops.pass  + pass_tls
 *
 * Owns nothing. */
#include "session/internal.h"

/* Where it is mirrored or passed, TLS is the upstream's to offer. */
bool starttls_offered(const struct session *s)
{
    struct ehlo upstream;
    if (s->in_tls || !s->policy->offer_starttls)
        return false;
    if (!s->policy->mirror_tls && !s->policy->pass_tls)
        return true;
    return session_upstream_offer(s, &upstream) && (upstream.caps & CAP_STARTTLS);
}

enum own_reply starttls_check(struct session *s, struct cmd *c)
{
    (void)c;
    if (s->in_tls)
        return SAY_TLS_ALREADY;
    if (s->tx)
        return SAY_NOT_IN_MAIL;
    if (!starttls_offered(s))
        return SAY_TLS_UNAVAILABLE;
    return s->ops->tls_allowed(s->ctx) ? SAY_NONE : SAY_TLS_TOO_MANY;
}

/* What was said in the clear is forgotten (RFC 3207 4.2), and so is the connection that believed it. */
static void forget_client(struct session *s)
{
    tx_end(s);
    if (s->view.user.n)
        leg_end(s);
    s->helo_done = false;
    (void)!session_keep(&s->helo, &s->view.helo, SPAN_NONE); /* forgetting cannot fail */
    (void)!session_keep(&s->user, &s->view.user, SPAN_NONE);
}

static void begin_own(struct session *s, struct cmd *c)
{
    struct buf b = {0};
    if (!own_reply_print(s, &b, SAY_TLS_READY)) {
        cmd_answer(s, c, SAY_NO_MEMORY);
        return;
    }
    forget_client(s);
    session_send(s, buf_span(&b));
    buf_free(&b);
    s->mode = MODE_TLS;
    c->state = CMD_DONE; /* with nothing more to say */
    s->ops->start_tls(s->ctx);
}

void starttls_proceed(struct session *s, struct cmd *c)
{
    if (!s->policy->pass_tls)
        begin_own(s, c);
    else if (s->leg)
        c->state = CMD_READY;
    else
        cmd_answer(s, c, SAY_UPSTREAM_LOST);
}

/* ---- passed ---- */

void starttls_reply(struct session *s, struct cmd *c, unsigned code, struct span bytes)
{
    cmd_answer_bytes(s, c, bytes);
    c->passes = code == 220;
}

/* ---- like the server's ---- */

static void fail(struct session *s, const char *why)
{
    session_over(s, SESSION_CLOSE_RESET,
                 why); /* there is no way to say anything to a client in a handshake */
}

void session_tls_asks(struct session *s)
{
    if (s->mode != MODE_TLS)
        return;
    if (!s->leg)
        fail(s, "the server is lost, and with it the certificate to show");
    else if (upleg_in_tls(s->leg))
        s->ops->present_tls(s->ctx);
    else if (!upleg_secure(s->leg))
        fail(s, "no memory for TLS with the server");
}

void starttls_leg_secured(struct session *s)
{
    if (s->mode == MODE_TLS)
        s->ops->present_tls(s->ctx);
}
