/* SPDX-License-Identifier: MIT */
/* VRFY, EXPN and ETRN: what a client asks beside mail. The listener says what becomes of each.
 *
 *   refuse --> 502      answer --> 252 (VRFY)      relay --> upstream --> its reply, as it is
 *
 * A relayed one is the only command of its moment, so it may use the transaction's leg, or a kept one that
 * goes back as clean as it came. Its argument is checked, because it ends in other programs' hands: no
 * controls (smtp/command), no length of its own choice, of ETRN nothing but the letters of a name. Nothing is
 * owned here. */
#include "session/internal.h"

#define QUERY_MAX 500u /* what fits into a command line of RFC 5321 4.5.3.1.4 */

static enum session_query policy_for(const struct session *s, enum verb v)
{
    const struct session_policy *p = s->policy;
    return v == VERB_VRFY ? p->vrfy : v == VERB_EXPN ? p->expn : p->etrn;
}

bool is_query(const struct cmd *c)
{
    enum verb v = c->command.verb;
    return v == VERB_VRFY || v == VERB_EXPN || v == VERB_ETRN;
}

uint32_t query_denied(const struct session_policy *p)
{
    return (p->vrfy == SESSION_QUERY_RELAY ? 0 : (uint32_t)CAP_VRFY) |
           (p->expn == SESSION_QUERY_RELAY ? 0 : (uint32_t)CAP_EXPN) |
           (p->etrn == SESSION_QUERY_RELAY ? 0 : (uint32_t)CAP_ETRN);
}

/* [ "@" | "#" ] name (RFC 1985 5) */
static bool is_node_name(struct span arg)
{
    if (arg.n && (arg.p[0] == '@' || arg.p[0] == '#'))
        arg = span_skip(arg, 1);
    for (size_t i = 0; i < arg.n; i++)
        if (!ascii_alpha(arg.p[i]) && !ascii_digit(arg.p[i]) && !memchr(".-_:[]", arg.p[i], 6))
            return false;
    return arg.n > 0;
}

static bool is_ascii(struct span arg)
{
    for (size_t i = 0; i < arg.n; i++)
        if ((unsigned char)arg.p[i] > 0x7F)
            return false;
    return true;
}

static enum own_reply check_argument(const struct session *s, const struct cmd *c)
{
    struct span arg = c->command.arg;
    if (arg.n > QUERY_MAX || (c->command.verb == VERB_ETRN && !is_node_name(arg)))
        return SAY_BAD_ARGUMENT;
    return is_ascii(arg) || (s->offered.caps & CAP_SMTPUTF8) ? SAY_NONE : SAY_NEED_SMTPUTF8;
}

/* Whom to ask: a leg that is there, or one that can probably be had. */
static bool is_reachable(const struct session *s)
{
    struct ehlo ignored;
    if (s->tx && s->tx->lost)
        return false;
    return s->leg || s->ops->offer(s->ctx, &ignored) == SESSION_OFFER_KNOWN;
}

enum own_reply query_check(struct session *s, struct cmd *c)
{
    enum session_query policy = policy_for(s, c->command.verb);
    if (policy == SESSION_QUERY_REFUSE)
        return SAY_NOT_SERVED;
    if (c->command.arg.n == 0)
        return SAY_NEEDS_ARGUMENT;
    if (policy == SESSION_QUERY_ANSWER)
        return SAY_NONE;
    if (s->tx && s->tx->stage != TX_ENVELOPE)
        return SAY_CHUNKS_BEGUN;
    enum own_reply r = check_argument(s, c);
    return r || is_reachable(s) ? r : SAY_QUERY_LOST;
}

void query_proceed(struct session *s, struct cmd *c)
{
    if (policy_for(s, c->command.verb) == SESSION_QUERY_ANSWER) {
        cmd_answer(s, c, SAY_VRFY);
        return;
    }
    c->state = CMD_READY;
    leg_want(s, false);
}
