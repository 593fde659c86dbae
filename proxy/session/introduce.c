/* SPDX-License-Identifier: MIT */
/* Who the client is, said to the upstream.
 *
 *   XCLIENT   once, as the first words over a leg: 220, EHLO anew; the leg is then this session's alone
 *   XFORWARD  in front of each MAIL: the leg stays good for everybody; one by one where it cannot be
 * pipelined
 *
 *
 * With `auto` whichever the server offers, XCLIENT first, because servers judge by it. A method that was
 * chosen by name and is not offered is a fault: mail that came in under a wrong identity would be judged
 * wrongly. */
#include "session/internal.h"

static struct client_identity who(const struct session *s)
{
    return (struct client_identity){
        .client = {s->view.client_address, s->client_port},
        .destination = {s->destination, s->destination_port},
        .helo = s->view.helo,
        .name = s->client_name,
        .login = s->view.user,
        .session_id = s->view.session_id,
        .esmtp = s->esmtp,
        .name_later = s->name_later,
    };
}

static bool wants(const struct session *s, enum session_identity method)
{
    return s->policy->identity == method || s->policy->identity == SESSION_IDENTITY_AUTO;
}

const char *introduce_lacks(const struct session *s)
{
    const struct ehlo *offer = upleg_offer(s->leg);
    if (s->policy->identity == SESSION_IDENTITY_XCLIENT && !offer->xclient)
        return "the server does not take XCLIENT from here";
    if (s->policy->identity == SESSION_IDENTITY_XFORWARD && !offer->xforward)
        return "the server does not take XFORWARD from here";
    return NULL;
}

enum said { SAID, SAID_ALL, SAID_NO_MEMORY };

/* After each XCLIENT the server begins anew, so that the next one may not be sent before its answer. */
static enum said say_xclient(struct session *s)
{
    struct client_identity identity = who(s);
    struct identity_writer w = {.verb = IDENTITY_XCLIENT,
                                .offered = upleg_offer(s->leg)->xclient,
                                .who = &identity,
                                .next = s->introduced};
    char line[IDENTITY_LINE];
    size_t n;
    if (!identity_next(&w, line, &n))
        return SAID_ALL;
    s->introduced = w.next;
    return upleg_command(s->leg, UPLEG_XCLIENT, span_make(line, n), NULL) ? SAID : SAID_NO_MEMORY;
}

/* true: the answer to XCLIENT is awaited, and nothing else may be said before it. */
bool introduce_by_xclient(struct session *s)
{
    uint32_t offered = upleg_offer(s->leg)->xclient;
    if (!offered || !wants(s, SESSION_IDENTITY_XCLIENT) || upleg_marks(s->leg)->introduced)
        return false;
    upleg_marks(s->leg)->introduced = true;
    introduce_done(s);
    s->introducing = say_xclient(s) == SAID;
    if (!s->introducing)
        leg_drop(s, false);
    return s->introducing;
}

/* Its answer is no part of the dialogue: a server that does not like it has the message all the same. */
enum introduction introduce_by_xforward(struct session *s)
{
    uint32_t offered = upleg_offer(s->leg)->xforward;
    bool pipelining = upleg_offer(s->leg)->caps & CAP_PIPELINING;
    if (!offered || !wants(s, SESSION_IDENTITY_XFORWARD) || upleg_marks(s->leg)->introduced)
        return INTRODUCED;
    struct client_identity identity = who(s);
    struct identity_writer w = {
        .verb = IDENTITY_XFORWARD, .offered = offered, .who = &identity, .next = s->forwarded};
    char line[IDENTITY_LINE];
    size_t n;
    while (identity_next(&w, line, &n)) {
        s->forwarded = w.next;
        if (!upleg_command(s->leg, UPLEG_XFORWARD, span_make(line, n), NULL))
            return INTRODUCE_FAILED;
        if (!pipelining)
            return INTRODUCE_WAITS;
    }
    s->forwarded = 0;
    return INTRODUCED;
}

/* Postfix' codes for what is wrong with the command. Any other is said to the client whom it names: the
 * server will not have it. */
static bool is_about_the_command(unsigned code)
{
    return code == 550 || (code >= 500 && code <= 504);
}

/* A server that takes the half of an identity and refuses the rest would judge by the half. */
static void refused(struct session *s)
{
    if (s->policy->identity == SESSION_IDENTITY_XCLIENT || s->xclient_taken) {
        leg_failed(s, "the server refuses XCLIENT");
        return;
    }
    introduce_done(s);
    upleg_marks(s->leg)->introduced = !upleg_offer(s->leg)->xforward; /* else there is another way */
}

/* A reply to XCLIENT: when it is good, a new greeting. */
void introduce_reply(struct session *s, unsigned code, struct span bytes)
{
    if (code / 100 != 2) {
        if (is_about_the_command(code))
            refused(s);
        else
            leg_turned_away(s, code, bytes);
        return;
    }
    s->xclient_taken = true;
    enum said more = say_xclient(s);
    if (more == SAID_ALL)
        upleg_hello_again(s->leg, s->view.helo);
    else if (more == SAID_NO_MEMORY)
        leg_failed(s, "no memory for XCLIENT");
}

void introduce_done(struct session *s)
{
    s->introducing = s->xclient_taken = false;
    s->introduced = 0;
}
