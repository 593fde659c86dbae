/* SPDX-License-Identifier: MIT */
/* XCLIENT from a proxy in front: the client is who it says, and the session begins anew for it.
 *
 *   XCLIENT -> who it is -> room for it? -> filters see connect -> 220 | their refusal
 *
 * May it? That is asked of the address that counts now, so that nobody says it twice who became somebody
 * else. What the client itself has said, EHLO and AUTH, is forgotten; an XCLIENT right behind another adds to
 * it, as an identity may be too long for one command. The texts are the session's. */
#include "session/internal.h"

static bool is_trusted(const struct session *s)
{
    return networks_have(&s->policy->trust_xclient, s->view.ip, s->view.ip_n);
}

static bool needs_tls(const struct session *s)
{
    return s->policy->require_tls && !s->in_tls;
}

bool xclient_offered(const struct session *s)
{
    return is_trusted(s) && !needs_tls(s);
}

enum own_reply xclient_check(struct session *s, struct cmd *c)
{
    if (!is_trusted(s))
        return s->policy->trust_xclient.count ? SAY_NOT_TRUSTED : SAY_NOT_SERVED;
    if (needs_tls(s))
        return SAY_NEED_TLS;
    if (s->tx)
        return SAY_NOT_IN_MAIL;
    return c->command.arg.n ? SAY_NONE : SAY_NEEDS_ARGUMENT;
}

/* ---- the new client ---- */

static bool said(const struct identity_claim *claim, enum identity_attribute a)
{
    return claim->said & 1u << a;
}

static struct span text_of(const struct identity_text *t)
{
    return span_make(t->text, t->n);
}

static bool take_names(struct session *s, const struct identity_claim *claim, bool more)
{
    const struct {
        enum identity_attribute attribute;
        const struct identity_text *text;
        char **place;
        struct span *shown;
    } names[] = {
        {IDENTITY_HELO, &claim->helo, &s->helo, &s->view.helo},
        {IDENTITY_LOGIN, &claim->login, &s->user, &s->view.user},
        {IDENTITY_NAME, &claim->name, &s->name, &s->client_name},
    };
    if (said(claim, IDENTITY_NAME) || !more)
        s->name_later = claim->name_later;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if ((said(claim, names[i].attribute) || !more) &&
            !session_keep(names[i].place, names[i].shown, text_of(names[i].text)))
            return false;
    return true;
}

static bool take_client(struct session *s, const struct identity_claim *claim, bool more)
{
    const struct identity_end *e = &claim->client;
    if (said(claim, IDENTITY_ADDR)) {
        if (!session_keep(&s->address, &s->view.client_address, span_make(e->text, e->text_n)))
            return false;
        memcpy(s->view.ip, e->ip, sizeof(s->view.ip));
        s->view.ip_n = e->ip_n;
    }
    if (said(claim, IDENTITY_PORT) || (said(claim, IDENTITY_ADDR) && !more)) /* a port is of its address */
        s->client_port = e->port;
    return true;
}

static bool take_destination(struct session *s, const struct identity_claim *claim)
{
    const struct identity_end *e = &claim->destination;
    if (said(claim, IDENTITY_DESTADDR) &&
        !session_keep(&s->reached, &s->destination, span_make(e->text, e->text_n)))
        return false;
    if (said(claim, IDENTITY_DESTPORT))
        s->destination_port = e->port;
    return true;
}

static struct span tell_daemon(struct session *s, const struct identity_claim *claim)
{
    struct identity_end client = {.ip_n = s->view.ip_n, .port = s->client_port};
    memcpy(client.ip, s->view.ip, sizeof client.ip);
    return s->ops->identified(s->ctx, &client, &claim->destination);
}

/* A connection that was opened for the old one is of no use to the new. */
static void begin_anew(struct session *s, const struct identity_claim *claim)
{
    struct span refusal = tell_daemon(s, claim);
    if (refusal.n) {
        session_send(s, refusal);
        session_over(s, SESSION_CLOSE_FLUSH, "too many of this client");
        return;
    }
    introduce_done(s);
    leg_end(s);
    s->leg_lost = s->helo_done = false;
    s->errors = s->junk = s->transactions = s->commands = 0;
    s->mode = MODE_NEW;
    session_start(s);
}

void xclient_proceed(struct session *s, struct cmd *c)
{
    struct identity_claim claim;
    enum identity_result r = identity_parse(c->command.arg, &claim);
    bool more = !s->helo_done; /* what is known beside the address, another XCLIENT has said */
    if (r != IDENTITY_OK) {
        cmd_answer(s, c, r == IDENTITY_BAD ? SAY_BAD_IDENTITY : SAY_NO_MEMORY);
        return;
    }
    c->state = CMD_DONE;        /* the greeting is its reply */
    chain_run_destroy(&s->run); /* the filters take leave of the old client */
    if (said(&claim, IDENTITY_PROTO))
        s->esmtp = claim.esmtp;
    if (take_names(s, &claim, more) && take_client(s, &claim, more) && take_destination(s, &claim))
        begin_anew(s, &claim);
    else
        session_over(s, SESSION_CLOSE_FLUSH, "no memory");
}
