/* SPDX-License-Identifier: MIT */
/* The envelope as the filters want it, when they have let a held message pass and its content is not at the
 * upstream yet. The server has what the client said; this is said behind it:
 *
 *   redirect:  RSET, MAIL (all of its parameters again), RCPT of the new one
 *   copies:    RCPT …, RCPT …
 *                `-> TX_ADDRESSING, until each is answered -> content_send
 *
 * A redirect that the server does not take ends in 451: nothing may reach those whom the client named. A copy
 * that it does not take is noted and counted, and the message goes on: it is none of the client's business.
 * For that reason a copy asks for no notification (NOTIFY=NEVER, RFC 3461 4.1): one would tell the sender of
 * a recipient whom it did not name. The new recipient of a redirect may have notifications of failure, as
 * mail that is lost in silence would be worse; but not where the client wanted none for any of its own, and
 * no others, for these would tell of a delivery that was not made.
 *
 * Nothing is answered here but in the client's one command, the end of the message. What is kept is in the
 * transaction's arena. */
#include "session/internal.h"

struct envelope_step {
    enum upleg_kind kind;
    struct span line, mailbox;
    bool copy, taken; /* taken: it is one, and the server took it */
};

/* ---- what MAIL and RCPT were ---- */

bool readdress_keep_mail(struct session *s, const struct cmd *mail)
{
    struct envelope *e = &s->tx->envelope;
    e->mail_params = mail->params;
    e->mail_path = arena_span(s->tx->arena, mail->path.whole);
    for (size_t i = 0; i < PARAMS; i++) {
        const struct span *value = &mail->params.value[i];
        if (!value->p)
            continue;
        e->mail_params.value[i] = arena_span(s->tx->arena, *value);
        if (!e->mail_params.value[i].p)
            return false;
    }
    return e->mail_path.p != NULL;
}

void readdress_note_rcpt(struct tx *t, const struct cmd *rcpt)
{
    if (!span_ieq(rcpt->params.value[PARAM_NOTIFY], SPAN_LIT("NEVER")))
        t->envelope.notify = true;
}

/* ---- what is to be said ---- */

static bool add_step(struct session *s, enum upleg_kind kind, struct buf *line, struct span mailbox,
                     bool copy)
{
    struct envelope *e = &s->tx->envelope;
    struct envelope_step *step = &e->steps[e->n];
    *step = (struct envelope_step){
        .kind = kind, .line = arena_span(s->tx->arena, buf_span(line)), .mailbox = mailbox, .copy = copy};
    buf_free(line);
    e->n += step->line.p != NULL;
    return step->line.p != NULL;
}

static bool add_rcpt(struct session *s, struct span mailbox, bool copy)
{
    struct buf line = {0};
    bool quiet = upleg_offer(s->leg)->caps & CAP_DSN && (copy || !s->tx->envelope.notify);
    bool ok = buf_append(&line, SPAN_LIT("RCPT TO:<")) && buf_append(&line, mailbox) &&
              buf_append(&line, quiet ? SPAN_LIT("> NOTIFY=NEVER") : SPAN_LIT(">"));
    if (ok)
        return add_step(s, UPLEG_RCPT, &line, mailbox, copy);
    buf_free(&line);
    return false;
}

/* SIZE is that of the message as it will be. One recipient needs no replies of its own. */
static bool add_mail(struct session *s)
{
    struct tx *t = s->tx;
    struct envelope *e = &t->envelope;
    struct buf line = {0};
    char size[24];
    int n = snprintf(size, sizeof(size), "%llu", (unsigned long long)t->edited_bytes);
    if (e->mail_params.value[PARAM_SIZE].p && n > 0)
        e->mail_params.value[PARAM_SIZE] = span_make(size, (size_t)n);
    e->mail_params.value[PARAM_PRDR] = SPAN_NONE;
    t->prdr = t->prdr && upleg_lmtp(s->leg);
    bool printed = leg_print_mail(&line, e->mail_path, &e->mail_params);
    e->mail_params.value[PARAM_SIZE] = SPAN_NONE; /* it is on the stack */
    if (printed)
        return add_step(s, UPLEG_MAIL, &line, SPAN_NONE, false);
    buf_free(&line);
    return false;
}

static bool add_redirect(struct session *s, struct span mailbox)
{
    struct buf rset = {0};
    s->tx->envelope.redirected = true;
    return buf_append(&rset, SPAN_LIT("RSET")) && add_step(s, UPLEG_RSET, &rset, SPAN_NONE, false) &&
           add_mail(s) && add_rcpt(s, mailbox, false);
}

static bool plan(struct session *s, const struct edits *wanted)
{
    const size_t of_redirect = 3;
    struct envelope *e = &s->tx->envelope;
    size_t n;
    const struct span *copies = edits_copies(wanted, &n);
    struct span redirect = edits_redirected(wanted);
    e->steps = arena_alloc(s->tx->arena, (n + of_redirect) * sizeof(*e->steps));
    bool ok = e->steps && (!redirect.n || add_redirect(s, redirect));
    for (size_t i = 0; i < n && ok; i++)
        ok = add_rcpt(s, copies[i], true);
    return ok;
}

/* ---- saying it ---- */

static void fail(struct session *s, enum own_reply r, const char *why)
{
    tx_note_more(s->tx, why);
    content_conclude(s, r, "upstream");
}

void readdress_go_on(struct session *s)
{
    struct tx *t = s->tx;
    struct envelope *e = &t->envelope;
    bool pipelining = upleg_offer(s->leg)->caps & CAP_PIPELINING;
    while (e->sent < e->n && (pipelining || !upleg_owed(s->leg))) {
        const struct envelope_step *step = &e->steps[e->sent];
        bool mail = step->kind == UPLEG_MAIL;
        enum introduction i = mail ? introduce_by_xforward(s) : INTRODUCED;
        if (i == INTRODUCE_WAITS)
            return;
        if (i == INTRODUCE_FAILED || !upleg_command(s->leg, step->kind, step->line, t)) {
            fail(s, SAY_NO_SPACE, "no memory to change the envelope");
            return;
        }
        e->sent++;
        upleg_marks(s->leg)->mails += mail;
    }
}

bool readdress_begin(struct session *s)
{
    struct tx *t = s->tx;
    const struct edits *wanted = s->run ? chain_edits(s->run) : NULL;
    size_t copies;
    (void)edits_copies(wanted, &copies);
    if (!copies && !edits_redirected(wanted).n)
        return false;
    t->stage = TX_ADDRESSING;
    if (plan(s, wanted))
        readdress_go_on(s);
    else
        fail(s, SAY_NO_SPACE, "no memory to change the envelope");
    return true;
}

size_t readdress_rcpts(const struct session *s)
{
    return s->tx->envelope.redirected ? 1 : s->view.rcpt_count;
}

/* ---- what the server says ---- */

static void note_refusal(struct session *s, const char *whose, struct span mailbox, unsigned code,
                         struct span text)
{
    char why[400];
    (void)snprintf(why, sizeof(why), "%s <%.*s> was refused: %u %.*s", whose, SPAN_FMT(mailbox), code,
                   SPAN_FMT(text));
    tx_note_more(s->tx, why);
}

void readdress_copy_answered(struct session *s, struct span mailbox, unsigned code, struct span text)
{
    if (code / 100 == 2)
        return;
    note_refusal(s, "the copy to", mailbox, code, text);
    session_count(s, SESSION_COUNT_COPIES_REFUSED);
}

struct span readdress_copy(const struct tx *t, size_t i)
{
    const struct envelope *e = &t->envelope;
    for (size_t at = 0; at < e->n; at++)
        if (e->steps[at].taken && i-- == 0)
            return e->steps[at].mailbox;
    return SPAN_NONE;
}

void readdress_reply(struct session *s, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    struct envelope *e = &t->envelope;
    struct envelope_step *step = &e->steps[e->answered++];
    size_t at = 0;
    struct span text = SPAN_NONE;
    (void)!reply_next_line(bytes, &at, &text);
    if (step->copy) {
        step->taken = code / 100 == 2;
        e->copies += step->taken;
        readdress_copy_answered(s, step->mailbox, code, text);
    } else if (code / 100 != 2) {
        note_refusal(s, step->kind == UPLEG_RCPT ? "the redirect to" : "the envelope of the redirect to",
                     edits_redirected(chain_edits(s->run)), code, text);
        content_conclude(s, SAY_NOT_REDIRECTED, "upstream");
        return;
    }
    if (e->answered == e->n)
        content_send(s);
    else
        readdress_go_on(s);
}
