/* SPDX-License-Identifier: MIT */
/* From the greeting to READY, and EHLO said again.
 *
 *   CONNECTING -> GREETING -> EHLO -> READY                          plain, implicit TLS
 *                              |  `-> STARTTLS -> TLS -> EHLO -> READY     (what was offered in the clear is
 *                              |                                            forgotten)
 *                              `----> HELO -> READY                  (a server without ESMTP)
 *   CONNECTING -> GREETING -> READY -> EHLO [ -> STARTTLS -> TLS -> EHLO ] -> READY      config.relay
 *
 * Owns nothing beside the leg (upleg.c). */
#include "session/upleg_parts.h"

#define GREETING_MAX ((size_t)4 * 1024) /* what is kept of it; servers say a line or two */

/* A command of the leg's own; running out of memory ends it. */
static void say(struct upleg *u, enum upleg_kind kind, const char *verb, const char *argument)
{
    char line[300];
    int n = snprintf(line, sizeof(line), "%s%s%s", verb, *argument ? " " : "", argument);
    if (n < 0 || (size_t)n >= sizeof(line) || !upleg_owe(u, kind, NULL) ||
        !upleg_send_line(u, span_make(line, (size_t)n)))
        upleg_die(u, false, "no memory for a command", 0, SPAN_NONE);
}

/* ---- the steps ---- */

static void become_ready(struct upleg *u)
{
    u->state = AT_READY;
    if (u->user)
        u->user->ready(u->user_ctx, u);
}

static void say_hello(struct upleg *u, enum upleg_kind verb)
{
    u->state = verb == UPLEG_EHLO ? AT_EHLO : AT_HELO;
    say(u, verb,
        verb != UPLEG_EHLO ? "HELO"
        : u->config->lmtp  ? "LHLO"
                           : "EHLO",
        u->config->relay || u->named ? u->name : u->config->ehlo_name);
}

/* The end of the greetings: whose user said EHLO itself gets the reply to it. */
static void hello_answered(struct upleg *u, enum upleg_kind verb, unsigned code, struct span bytes)
{
    if (!u->config->relay) {
        become_ready(u);
        return;
    }
    u->state = AT_READY;
    if (code == 421)
        upleg_die(u, false, "the server closes the connection (421)", code, bytes);
    else if (u->user)
        u->user->reply(u->user_ctx, u, verb, u->hello_tag, code, bytes);
}

static void read_offer(struct upleg *u, struct span bytes)
{
    size_t at = 0;
    struct span text;
    memset(&u->offer, 0, sizeof(u->offer));
    if (!reply_next_line(bytes, &at, &text))
        return; /* the first line is the server's name */
    while (reply_next_line(bytes, &at, &text))
        ehlo_take(&u->offer, text);
    if (u->in_tls) /* where it is not offered any more */
        u->offer.caps |= CAP_STARTTLS;
    if (!u->in_tls || !u->config->verified) /* RFC 8689: else nobody could honour it */
        u->offer.caps &= ~(uint32_t)CAP_REQUIRETLS;
    if (u->config->lmtp) /* it answers for each recipient without being asked */
        u->offer.caps |= CAP_PRDR;
    if (u->config->chunking == UPLEG_CHUNKS_NEVER)
        u->offer.caps &= ~(uint32_t)CAP_CHUNKING;
    if (!(u->offer.caps & CAP_CHUNKING)) /* the one cannot be sent without the other (RFC 3030 3) */
        u->offer.caps &= ~(uint32_t)CAP_BINARYMIME;
}

static void keep_greeting(struct upleg *u, unsigned code, struct span bytes)
{
    if (bytes.n > GREETING_MAX || !buf_append(&u->greeting, bytes)) {
        upleg_die(u, false, "the server's greeting is too long", 0, SPAN_NONE);
        return;
    }
    u->greeting_code = code;
    become_ready(u);
}

static void after_greeting(struct upleg *u, unsigned code, struct span bytes)
{
    if (u->config->relay)
        keep_greeting(u, code, bytes);
    else if (code / 100 != 2)
        upleg_die(u, false, "the server's greeting refuses", code, bytes);
    else
        say_hello(u, UPLEG_EHLO);
}

static bool wants_tls(const struct upleg *u)
{
    if (u->in_tls || u->tls_refused)
        return false;
    return u->config->tls == UPLEG_REQUIRED || (u->config->tls == UPLEG_OPPORTUNISTIC && !u->in_clear);
}

static void after_ehlo(struct upleg *u, unsigned code, struct span bytes)
{
    if (code / 100 != 2 && u->config->relay) {
        hello_answered(u, UPLEG_EHLO, code, bytes);
        return;
    }
    if (code / 100 == 5 && !u->in_tls && u->config->tls != UPLEG_REQUIRED && !u->config->lmtp) {
        say_hello(u, UPLEG_HELO);
        return;
    }
    if (code / 100 != 2) {
        upleg_die(u, false, "the server refuses EHLO", code, bytes);
        return;
    }
    read_offer(u, bytes);
    if (wants_tls(u) && (u->offer.caps & CAP_STARTTLS)) {
        u->state = AT_STARTTLS;
        say(u, UPLEG_STARTTLS, "STARTTLS", "");
    } else if (wants_tls(u) && u->config->tls == UPLEG_REQUIRED) {
        upleg_die(u, false, "the server does not offer STARTTLS, which is required", 0, SPAN_NONE);
    } else {
        hello_answered(u, UPLEG_EHLO, code, bytes);
    }
}

static void after_helo(struct upleg *u, unsigned code, struct span bytes)
{
    memset(&u->offer, 0, sizeof(u->offer));
    if (code / 100 != 2 && !u->config->relay)
        upleg_die(u, false, "the server refuses HELO", code, bytes);
    else
        hello_answered(u, UPLEG_HELO, code, bytes);
}

static void after_starttls(struct upleg *u, unsigned code, struct span bytes)
{
    if (code / 100 == 2) {
        u->state = AT_TLS;
        u->ops->start_tls(u->ops_ctx);
    } else if (u->secures) {
        upleg_die(u, false, "the server refuses the STARTTLS that it offers", code, bytes);
    } else if (u->config->tls == UPLEG_REQUIRED) {
        upleg_die(u, false, "the server refuses STARTTLS, which is required", code, bytes);
    } else if (u->config->relay) {
        u->tls_refused = true;
        say_hello(u, UPLEG_EHLO); /* the answer to the first one is gone */
    } else {
        become_ready(u);
    }
}

upleg_own_step *const upleg_own_steps[UPLEG_KINDS] = {
    [UPLEG_GREETING] = after_greeting,
    [UPLEG_EHLO] = after_ehlo,
    [UPLEG_HELO] = after_helo,
    [UPLEG_STARTTLS] = after_starttls,
};

/* ---- events of the connection ---- */

void upleg_connected(struct upleg *u)
{
    if (u->state != AT_CONNECT)
        return;
    u->state = AT_GREETING;
    u->in_tls = u->config->tls == UPLEG_IMPLICIT;
    if (!upleg_owe(u, UPLEG_GREETING, NULL))
        upleg_die(u, false, "no memory", 0, SPAN_NONE);
}

void upleg_secured(struct upleg *u)
{
    if (u->state != AT_TLS)
        return;
    u->in_tls = true;
    if (!u->secures) {
        say_hello(u, UPLEG_EHLO);
        return;
    }
    u->secures = false;
    u->state = AT_READY;
    if (u->user && u->user->secured)
        u->user->secured(u->user_ctx, u);
}

/* ---- the user's calls ---- */

/* false: it cannot be said; the name that was there stays. */
static bool keep_name(struct upleg *u, struct span name)
{
    if (!name.n || name.n >= sizeof(u->name))
        return false;
    memcpy(u->name, name.p, name.n);
    u->name[name.n] = '\0';
    return true;
}

unsigned upleg_greeting(const struct upleg *u, struct span *bytes_r)
{
    *bytes_r = buf_span(&u->greeting);
    return u->greeting_code;
}

bool upleg_secure(struct upleg *u)
{
    if (u->state != AT_READY || u->content || u->in_tls || u->owed_count)
        return false;
    u->secures = true;
    u->state = AT_STARTTLS;
    say(u, UPLEG_STARTTLS, "STARTTLS", "");
    return u->state == AT_STARTTLS;
}

/* TLS needs EHLO, so a client that says HELO goes on in the clear, or not at all. */
bool upleg_hello(struct upleg *u, enum upleg_kind verb, struct span name, bool in_clear, void *tag)
{
    if (u->state != AT_READY || u->content || !keep_name(u, name))
        return false;
    u->hello_tag = tag;
    u->in_clear = in_clear;
    if (verb == UPLEG_HELO && wants_tls(u) && u->config->tls == UPLEG_REQUIRED)
        upleg_die(u, false, "the client said HELO, and TLS, which is required, needs EHLO", 0, SPAN_NONE);
    else
        say_hello(u, verb);
    return true;
}

void upleg_set_name(struct upleg *u, struct span name)
{
    u->named = keep_name(u, name);
}

struct span upleg_name(const struct upleg *u)
{
    return u->named ? span_of(u->name) : SPAN_NONE;
}

void upleg_hello_again(struct upleg *u, struct span name)
{
    if (u->state != AT_READY)
        return;
    upleg_set_name(u, name);
    say_hello(u, UPLEG_EHLO);
}
