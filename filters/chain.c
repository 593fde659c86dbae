/* SPDX-License-Identifier: MIT */
/* Chains, and the life of a run: session, transactions, and what filters are told without being asked.
 *
 *   member of a run:   NEW --first phase that comes to it--> MET --DISCONNECT, session_end--> gone
 *   its transaction:   NONE --MAIL--> OPEN --END--> ENDED --MESSAGE_REPLY--> NONE
 *                                       \--ABORT--> NONE
 *
 * A chain borrows its instances, a run borrows its chain: the runtime owns both and outlives every run. The
 * session owns the run. Between transactions a run holds nothing but itself. */
#include "filters/run.h"

struct chain *chain_create(struct filter_instance *const *filters, size_t n)
{
    struct chain *c = malloc(sizeof(*c) + n * sizeof(struct filter_instance *));
    if (!c)
        return NULL;
    c->n = n;
    for (size_t i = 0; i < n; i++)
        c->filters[i] = filters[i];
    return c;
}

void chain_destroy(struct chain **c)
{
    free(*c);
    *c = NULL;
}

bool chain_empty(const struct chain *c)
{
    return c->n == 0;
}

struct chain_run *chain_run_create(const struct chain *c, const struct filter_services *services,
                                   const struct txview *view, size_t max_header,
                                   void (*done)(void *ctx, const struct verdict *v), void *ctx)
{
    struct chain_run *r = calloc(1, sizeof(*r) + c->n * sizeof(struct member));
    if (!r)
        return NULL;
    r->tx.run = r;
    r->chain = c;
    r->services = services;
    r->view = view;
    r->max_header = max_header;
    r->done = done;
    r->ctx = ctx;
    r->rcpts_end = &r->rcpts;
    return r;
}

/* ---- telling ---- */

static void tell_one(struct chain_run *r, size_t i, const struct postern_event *ev)
{
    const struct filter_instance *f = r->chain->filters[i], *before = r->calling;
    postern_hook hook = instance_hook(f, ev->phase);
    struct postern_verdict ignored = {.size = sizeof(ignored)};

    r->calling = f;
    if (hook && r->members[i].state == MEMBER_MET)
        hook(f->filter, r->members[i].session, &r->tx, ev, &ignored);
    r->calling = before;
}

void run_tell(struct chain_run *r, const struct postern_event *ev, enum member_tx tx, size_t reach)
{
    for (size_t i = 0; i < reach; i++)
        if (r->members[i].tx == tx)
            tell_one(r, i, ev);
}

bool run_wants(const struct chain_run *r, enum postern_phase phase)
{
    for (size_t i = 0; i < r->chain->n; i++)
        if (r->members[i].tx == TX_OPEN && instance_hook(r->chain->filters[i], phase))
            return true;
    return false;
}

static struct postern_event reply_event(enum postern_phase phase, struct span text, unsigned code,
                                        bool from_upstream)
{
    return (struct postern_event){.size = sizeof(struct postern_event),
                                  .phase = phase,
                                  .text = {text.p, text.n},
                                  .code = code,
                                  .from_upstream = from_upstream};
}

bool run_note_rcpt(struct chain_run *r, struct span text)
{
    r->rcpt_now = NULL;
    if (!run_wants(r, POSTERN_ON_RCPT_REPLY))
        return true;
    struct rcpt_asked *asked = calloc(1, sizeof(*asked) + text.n);
    if (!asked)
        return false;
    asked->n = text.n;
    if (text.n)
        memcpy(asked->text, text.p, text.n);
    *r->rcpts_end = asked;
    r->rcpts_end = &asked->next;
    r->rcpt_now = asked;
    return true;
}

/* The oldest question about this recipient, taken out of the list. Replies come in the order of the
 * questions, so it is nearly always the first. */
static struct rcpt_asked *take_rcpt(struct chain_run *r, struct span text)
{
    for (struct rcpt_asked **at = &r->rcpts; *at; at = &(*at)->next) {
        struct rcpt_asked *asked = *at;
        if (!span_eq((struct span){asked->text, asked->n}, text))
            continue;
        *at = asked->next;
        if (!*at)
            r->rcpts_end = at;
        if (asked == r->rcpt_now)
            r->rcpt_now = NULL;
        return asked;
    }
    return NULL;
}

static void tell_message_reply(struct chain_run *r, const struct postern_event *ev)
{
    run_tell(r, ev, TX_ENDED, r->chain->n);
    for (size_t i = 0; i < r->chain->n; i++)
        if (r->members[i].tx == TX_ENDED)
            r->members[i].tx = TX_NONE;
}

void chain_reply(struct chain_run *r, enum postern_phase phase, struct span text, unsigned code,
                 bool from_upstream)
{
    struct postern_event ev = reply_event(phase, text, code, from_upstream);

    if (phase == POSTERN_ON_MESSAGE_REPLY) {
        tell_message_reply(r, &ev);
        return;
    }
    struct rcpt_asked *asked = take_rcpt(r, text);
    if (asked)
        run_tell(r, &ev, TX_OPEN, asked->reach);
    free(asked);
}

/* ---- transactions ---- */

void run_forget_rcpts(struct chain_run *r)
{
    while (r->rcpts) {
        struct rcpt_asked *asked = r->rcpts;
        struct postern_event ev =
            reply_event(POSTERN_ON_RCPT_REPLY, (struct span){asked->text, asked->n}, 0, false);
        r->rcpts = asked->next;
        run_tell(r, &ev, TX_OPEN, asked->reach);
        free(asked);
    }
    r->rcpts_end = &r->rcpts;
    r->rcpt_now = NULL;
}

void run_transaction_over(struct chain_run *r)
{
    struct postern_event ev = reply_event(POSTERN_ON_ABORT, SPAN_NONE, 0, false);

    r->editable = false;
    content_close(r);
    run_forget_rcpts(r);
    for (size_t i = 0; i < r->chain->n; i++) {
        if (r->members[i].tx != TX_OPEN)
            continue;
        r->members[i].tx = TX_NONE;
        tell_one(r, i, &ev);
    }
}

static void forget_edits(struct chain_run *r)
{
    edits_destroy(&r->edits);
    buf_free(&r->edits_text);
    buf_free(&r->tags_text);
}

void run_transaction_begin(struct chain_run *r)
{
    run_transaction_over(r);
    for (size_t i = 0; i < r->chain->n; i++)
        r->members[i].tx = TX_NONE;
    score_reset(&r->score);
    r->flags = 0;
    r->shadow_points = 0;
    forget_edits(r);
    r->editable = true;
    r->mode = CONTENT_NEW;
    r->refused = false;
    r->discarded_by = NULL;
}

void chain_abort(struct chain_run *r)
{
    chain_cancel(r);
    run_transaction_over(r);
    r->refused = false;
}

void chain_forget(struct chain_run *r)
{
    chain_abort(r);
    forget_edits(r);
}

/* ---- the end ---- */

void chain_run_destroy(struct chain_run **run)
{
    struct chain_run *r = *run;
    struct postern_event ev = reply_event(POSTERN_ON_DISCONNECT, SPAN_NONE, 0, false);

    if (!r)
        return;
    *run = NULL;
    chain_abort(r);
    for (size_t i = 0; i < r->chain->n; i++) {
        const struct filter_instance *f = r->chain->filters[i];
        if (r->members[i].state != MEMBER_MET)
            continue;
        tell_one(r, i, &ev);
        if (f->plugin.session_end)
            f->plugin.session_end(f->filter, r->members[i].session);
    }
    score_reset(&r->score);
    forget_edits(r);
    buf_free(&r->words);
    buf_free(&r->kept);
    buf_free(&r->flags_text);
    free(r);
}

/* ---- the score ---- */

double chain_score(const struct chain_run *r)
{
    return score_sum(&r->score);
}

struct span chain_score_text(struct chain_run *r)
{
    return score_text(&r->score);
}

/* ---- flags ---- */

struct span chain_flags_text(struct chain_run *r)
{
    bool good = true;

    buf_free(&r->flags_text);
    for (unsigned i = 0; good && r->flags >> i; i++)
        if (r->flags >> i & 1)
            good = buf_printf(&r->flags_text, "%s%s", buf_len(&r->flags_text) ? "," : "",
                              message_flag((enum message_flag)i)->name);
    return buf_span(&r->flags_text);
}

/* ---- edits ---- */

const struct filter_instance *run_caller(const struct chain_run *r)
{
    if (r->calling)
        return r->calling;
    return r->waiting == WAIT_ANSWER ? r->chain->filters[r->at] : NULL;
}

bool run_in_shadow(const struct chain_run *r)
{
    const struct filter_instance *f = run_caller(r);
    return f && f->shadow;
}

bool chain_holds(const struct chain_run *r)
{
    for (size_t i = 0; i < r->chain->n; i++) {
        const struct filter_instance *f = r->chain->filters[i];
        if (r->members[i].tx == TX_OPEN && f->plugin.wants & POSTERN_WANTS_EDITS && !f->shadow)
            return true;
    }
    return edits_any(r->edits);
}

const struct edits *chain_edits(const struct chain_run *r)
{
    return r->edits;
}

struct span chain_edits_text(struct chain_run *r)
{
    buf_free(&r->edits_text);
    return edits_print(r->edits, &r->edits_text) ? buf_span(&r->edits_text) : SPAN_NONE;
}

struct span chain_tags_text(struct chain_run *r)
{
    buf_free(&r->tags_text);
    return edits_print_tags(r->edits, &r->tags_text) ? buf_span(&r->tags_text) : SPAN_NONE;
}
