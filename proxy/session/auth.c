/* SPDX-License-Identifier: MIT */
/* AUTH, relayed (RFC 4954): the upstream judges, postern only learns who it is.
 *
 *   AUTH PLAIN … ---> upstream        334 … ---> client
 *   response     ---> upstream        235   ---> AUTH's filters ---> client
 *
 * The connection over which a client has authenticated is its own from then on. What passes here is never
 * logged, and wiped with the command. */
#include "session/internal.h"

#include <stdlib.h>

static struct span first_word(struct span *rest)
{
    size_t n = span_find(*rest, ' ');
    struct span word = span_head(*rest, n);
    *rest = span_trim(span_skip(*rest, n));
    return word;
}

enum own_reply auth_check(struct session *s, struct cmd *c)
{
    struct span rest = c->command.arg;
    struct span mechanism = first_word(&rest);
    if (s->view.user.n)
        return SAY_AUTH_TWICE;
    if (s->tx)
        return SAY_NOT_IN_MAIL;
    if (s->policy->auth_needs_tls && !s->in_tls)
        return SAY_AUTH_NEEDS_TLS;
    if (!(s->offered.caps & CAP_AUTH))
        return SAY_AUTH_NOT_OFFERED;
    if (!ehlo_has_mechanism(&s->offered, mechanism))
        return SAY_AUTH_MECHANISM;
    return span_find(rest, ' ') == rest.n ? SAY_NONE : SAY_BAD_COMMAND;
}

void auth_proceed(struct session *s, struct cmd *c)
{
    struct span rest = c->command.arg;
    struct span mechanism = first_word(&rest);
    s->sasl = calloc(1, sizeof(*s->sasl));
    if (!s->sasl || !sasl_user_begin(s->sasl, mechanism)) {
        free(s->sasl);
        s->sasl = NULL;
        cmd_answer(s, c, SAY_BAD_COMMAND);
        return;
    }
    if (rest.n)
        sasl_user_response(s->sasl, rest);
    s->auth = c;
    c->state = CMD_READY;
    leg_want(s, false);
}

static void forward(struct session *s, struct span line)
{
    s->auth->state = CMD_SENT;
    if (!upleg_command(s->leg, UPLEG_AUTH, line, s->auth)) {
        leg_drop(s, true);
        cmd_answer(s, s->auth, SAY_NO_MEMORY);
        auth_end(s);
        session_run(s);
    }
}

/* A leg is there: the command goes out, written anew. From now on the leg belongs to this session. */
void auth_send(struct session *s, struct cmd *c)
{
    struct buf b = {0};
    upleg_marks(s->leg)->personal = true;
    if (buf_append(&b, SPAN_LIT("AUTH ")) && buf_append(&b, c->command.arg)) {
        forward(s, buf_span(&b));
    } else {
        cmd_answer(s, c, SAY_NO_MEMORY);
        auth_end(s);
    }
    if (b.data)
        wipe(b.data, b.cap);
    buf_free(&b);
}

/* The client's next response, or "*" to give up. */
void auth_line(struct session *s, struct span line)
{
    if (!span_eq(line, SPAN_LIT("*")))
        sasl_user_response(s->sasl, line);
    s->turn_over = true;
    if (s->leg)
        forward(s, line);
}

/* The client's response cannot be passed on: the exchange is cancelled on both sides. */
void auth_give_up(struct session *s, enum own_reply r)
{
    struct cmd *c = s->auth;
    if (s->leg && !upleg_command(s->leg, UPLEG_AUTH, SPAN_LIT("*"), NULL))
        leg_drop(s, true);
    auth_end(s);
    cmd_answer(s, c, r);
    session_run(s);
}

static void learn_user(struct session *s)
{
    struct span name = span_make(s->sasl->name, s->sasl->name_n);
    if (!name.n)
        name = SPAN_LIT("unknown"); /* authenticated, by a mechanism that does not tell as whom */
    if (!session_keep(&s->user, &s->view.user, name))
        session_over(s, SESSION_CLOSE_FLUSH, "no memory");
}

static void accepted(struct session *s, struct cmd *c, struct span bytes)
{
    learn_user(s);
    if (s->mode == MODE_OVER)
        return;
    s->offered.caps &= ~(uint32_t)CAP_AUTH;
    c->state = CMD_BEGUN;
    if (!buf_append(&c->reply, bytes)) { /* waits for the filters */
        cmd_answer(s, c, SAY_NO_MEMORY);
        return;
    }
    phases_run(s, c, PHASE_BIT(POSTERN_ON_AUTH));
}

void auth_accepted(struct session *s, struct cmd *c)
{
    (void)s;
    c->state = CMD_DONE;
}

void auth_reply(struct session *s, struct cmd *c, unsigned code, struct span bytes)
{
    if (c != s->auth)
        return;
    if (code / 100 == 3 && s->eof) { /* it did not wait for this reply, or will send nothing */
        auth_give_up(s, SAY_OUT_OF_TURN);
        return;
    }
    if (code / 100 == 3) {
        c->state = CMD_BEGUN;
        s->mode = MODE_AUTH;
        s->turn_over = false;
        s->idle_since_us = session_now(s);
        session_send(s, bytes);
        return;
    }
    if (code == 235) {
        accepted(s, c, bytes);
    } else {
        session_count(s, SESSION_COUNT_AUTH_FAILED);
        session_error(s);
        cmd_answer_bytes(s, c, bytes);
    }
    auth_end(s);
}

void auth_end(struct session *s)
{
    if (s->sasl) {
        wipe(s->sasl, sizeof(*s->sasl));
        free(s->sasl);
    }
    s->sasl = NULL;
    s->auth = NULL;
    if (s->mode == MODE_AUTH)
        s->mode = MODE_COMMAND;
}
