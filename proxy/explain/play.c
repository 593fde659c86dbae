/* SPDX-License-Identifier: MIT */
/* The run itself.
 *
 *   file --data_decode--> pieces with CRLF --+--> message model --> facts: fields, parts, texts, flags
 *                                            `--> chain_content --> filters ---> facts: hits, answers
 *   request --> txview --> chain_phase: CONNECT HELO AUTH MAIL RCPT… DATA … END --> facts: outcome
 *
 * A filter that waits is waited for with offline_step: nobody else could make it answer. The message is read
 * to its end and shown also when its sender was refused, for that is what was asked for. */
#include "explain/play.h"

#include "smtp/data.h"
#include "smtp/hops.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 64 * 1024 };

/* postern's own replies to content, with the words that a session has for them. */
enum own {
#define REPLY(id, code, enhanced, text, flags) OWN_##id,
#include "session/replies.def"
#undef REPLY
    OWNS
};
static const struct {
    unsigned code;
    const char *enhanced, *text;
} owns[OWNS] = {
#define REPLY(id, code, enhanced, text, flags) {code, enhanced, text},
#include "session/replies.def"
#undef REPLY
};

struct run {
    const struct play *play;
    struct facts *facts;
    struct txview view;
    struct span rcpts[REQUEST_RCPTS];
    struct chain_run *chain;
    struct message *model;
    struct data_decoder decoder;
    struct hops hops;
    bool over;              /* the outcome is known: filters are asked no more */
    bool model_over;        /* no memory for more of it */
    char last;              /* octet of the content */
    bool waits;             /* for a late verdict */
    struct verdict verdict; /* the last one */
};

/* ---- verdicts ---- */

static void on_late(void *ctx, const struct verdict *v)
{
    struct run *r = ctx;
    r->waits = false;
    r->verdict = *v;
}

/* Waits for it, and copies nothing: its texts are good until the next call on the chain. */
static const struct verdict *settle(struct run *r, enum chain_result result)
{
    r->waits = result == CHAIN_PENDING;
    while (r->waits && offline_step(r->play->offline, UINT64_MAX))
        ;
    return &r->verdict;
}

static const struct verdict *ask(struct run *r, enum postern_phase phase, struct span text)
{
    return settle(r, chain_phase(r->chain, phase, text, &r->verdict));
}

static bool refuses(const struct verdict *v)
{
    return v->action == POSTERN_REJECT || v->action == POSTERN_TEMPFAIL || v->action == POSTERN_DISCONNECT;
}

static void decide(struct run *r, const struct verdict *v, const char *stage)
{
    struct facts *f = r->facts;
    bool discarded = v->action == POSTERN_DISCARD;
    r->over = true;
    f->outcome = discarded ? FACTS_DISCARDED : v->code / 100 == 5 ? FACTS_REFUSED : FACTS_DEFERRED;
    f->stage = stage;
    f->filter = v->filter;
    f->reply = facts_keep_answer(f, v);
    if (discarded) { /* what the client reads */
        f->reply.code = owns[OWN_OK].code;
        f->reply.enhanced = span_of(owns[OWN_OK].enhanced);
        f->reply.text = span_of(owns[OWN_OK].text);
    }
}

static void refuse_by_own(struct run *r, enum own own)
{
    const struct verdict v = {.action = POSTERN_REJECT,
                              .code = owns[own].code,
                              .enhanced = span_of(owns[own].enhanced),
                              .text = span_of(owns[own].text)};
    decide(r, &v, "content");
    chain_abort(r->chain);
}

/* ---- the envelope ---- */

static struct span lower(struct run *r, struct span s)
{
    char *p = arena_alloc(r->facts->arena, s.n + 1);
    for (size_t i = 0; p && i < s.n; i++)
        p[i] = ascii_lower(s.p[i]);
    return span_make(p, p ? s.n : 0);
}

static void phase(struct run *r, enum postern_phase which, struct span text)
{
    if (r->over)
        return;
    const struct verdict *v = ask(r, which, text);
    if (refuses(v) || (which == POSTERN_ON_END && v->action == POSTERN_DISCARD))
        decide(r, v, facts_phase_word(which));
}

/* true: the client would be hung up on. */
static bool recipient(struct run *r, const struct path *to)
{
    r->view.rcpt = to->mailbox;
    r->view.rcpt_domain = lower(r, to->domain);
    const struct verdict *v = ask(r, POSTERN_ON_RCPT, to->mailbox);
    bool refused = refuses(v), hangs_up = v->action == POSTERN_DISCONNECT || v->code == 421;
    unsigned code = refused ? v->code : owns[OWN_OK].code;
    r->facts->rcpts[r->facts->rcpts_n++] =
        (struct facts_rcpt){facts_copy(r->facts, to->mailbox, FACTS_VALUE), facts_keep_answer(r->facts, v)};
    if (refused)
        decide(r, v, "rcpt");
    else
        r->rcpts[r->view.rcpt_count++] = to->mailbox;
    chain_reply(r->chain, POSTERN_ON_RCPT_REPLY, to->mailbox, code, !refused);
    r->view.rcpt = r->view.rcpt_domain = SPAN_NONE;
    return hangs_up;
}

/* The message goes on to those who may have it; where that is nobody, the last refusal is the outcome. */
static void recipients(struct run *r)
{
    const struct request *q = r->play->request;
    if (r->over)
        return;
    for (size_t i = 0; i < q->to_n; i++)
        if (recipient(r, &q->to[i]))
            return;
    if (r->view.rcpt_count == 0)
        return;
    r->over = false;
    r->facts->outcome = FACTS_ACCEPTED;
    r->facts->stage = r->facts->filter = NULL;
    r->facts->reply = (struct facts_answer){0};
}

static void envelope(struct run *r)
{
    const struct request *q = r->play->request;
    phase(r, POSTERN_ON_CONNECT, SPAN_NONE);
    phase(r, POSTERN_ON_HELO, r->view.helo);
    if (r->view.user.n)
        phase(r, POSTERN_ON_AUTH, r->view.user);
    r->view.sender = q->from.mailbox;
    r->view.sender_domain = lower(r, q->from.domain);
    phase(r, POSTERN_ON_MAIL, r->view.sender);
}

/* ---- the content ---- */

static void show_model(struct run *r, struct span piece)
{
    while (piece.n && !r->model_over)
        r->model_over = !message_feed(r->model, &piece);
}

static void take_piece(struct run *r, struct span piece)
{
    const struct conf_limits *limits = &r->play->runtime->conf->limits;
    r->facts->bytes += piece.n;
    r->view.message_bytes = r->facts->bytes;
    r->last = piece.p[piece.n - 1];
    hops_feed(&r->hops, piece);
    show_model(r, piece);
    if (r->over)
        return;
    if (r->decoder.nul)
        refuse_by_own(r, OWN_NUL_BYTE);
    else if (r->facts->bytes > limits->message_bytes)
        refuse_by_own(r, OWN_TOO_BIG);
    else if (limits->hops && r->hops.count > limits->hops)
        refuse_by_own(r, OWN_TOO_MANY_HOPS);
    if (r->over)
        return;
    const struct verdict *v = settle(r, chain_content(r->chain, piece, &r->verdict));
    if (refuses(v) || v->action == POSTERN_DISCARD)
        decide(r, v, facts_phase_word(POSTERN_ON_HEADERS));
}

static void decode(struct run *r, struct span in)
{
    struct span piece;
    while (in.n && data_decode(&r->decoder, &in, &piece) == DATA_CONTENT)
        if (piece.n)
            take_piece(r, piece);
}

/* A file whose last line has no end is a message all the same: the end of DATA is on a line of its own. */
static void decode_end(struct run *r)
{
    struct span rest = data_decode_last(&r->decoder);
    if (rest.n)
        take_piece(r, rest);
    if (r->facts->bytes && r->last != '\n')
        take_piece(r, SPAN_LIT("\r\n"));
    r->facts->line_ends = r->decoder.bare_lf || r->decoder.bare_cr;
    for (int i = 0; i < 2 && !r->model_over; i++) /* it stops once, behind the header section */
        r->model_over = !message_end(r->model);
}

/* NULL, or why not. */
static const char *read_message(struct run *r)
{
    char *block = malloc(BLOCK);
    const char *why = block ? NULL : "no memory";
    ssize_t n = 0;
    data_decoder_init(&r->decoder, DATA_CHUNKS, true);
    while (block && ((n = read(r->play->message, block, BLOCK)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0)
            decode(r, span_make(block, (size_t)n));
    if (n < 0)
        why = strerror(errno);
    free(block);
    if (!why)
        decode_end(r);
    return why;
}

/* ---- what is left of it ---- */

static void keep_additions(struct facts *f, const struct edits *edits)
{
    size_t n = 0;
    const struct header_edit *edit = edits_header(edits, &n);
    f->added = arena_alloc(f->arena, (n + 1) * sizeof *f->added);
    for (size_t i = 0; f->added && i < n; i++) {
        struct span field = edit[i].kind == HEADER_PREFIX ? edit[i].text : edit[i].field;
        while (field.n && (field.p[field.n - 1] == '\r' || field.p[field.n - 1] == '\n'))
            field.n--;
        if (field.n && edit[i].kind != HEADER_REMOVE)
            f->added[f->added_n++] = facts_copy(f, field, FACTS_VALUE);
    }
}

static void keep_results(struct run *r)
{
    struct facts *f = r->facts;
    f->score = chain_score(r->chain);
    f->score_names = facts_copy(f, chain_score_text(r->chain), FACTS_LIST);
    f->edits = facts_copy(f, chain_edits_text(r->chain), FACTS_LIST);
    f->tags = facts_copy(f, chain_tags_text(r->chain), FACTS_LIST);
    if (chain_edits(r->chain))
        keep_additions(f, chain_edits(r->chain));
}

/* ---- the whole ---- */

static void show_client(struct run *r)
{
    const struct request *q = r->play->request;
    r->view = (struct txview){.session_id = SPAN_LIT("explain"),
                              .listener = span_of(r->play->listener),
                              .client_address = span_of(q->client),
                              .ip_n = q->ip_n,
                              .helo = span_of(q->helo),
                              .user = span_of(q->user),
                              .rcpts = r->rcpts,
                              .smtputf8 = q->from.utf8};
    memcpy(r->view.ip, q->ip, sizeof r->view.ip);
    for (size_t i = 0; i < q->to_n; i++)
        r->view.smtputf8 = r->view.smtputf8 || q->to[i].utf8;
}

static bool list_filters(struct run *r)
{
    static const char *const on_error[] = {[CONF_ON_ERROR_TEMPFAIL] = "tempfail",
                                           [CONF_ON_ERROR_ACCEPT] = "accept",
                                           [CONF_ON_ERROR_REJECT] = "reject"};
    const struct conf_policy *policy = r->play->policy;
    struct facts *f = r->facts;
    f->policy = policy->name;
    f->filters = arena_alloc(f->arena, (policy->filter_count + 1) * sizeof *f->filters);
    f->rcpts = arena_alloc(f->arena, (r->play->request->to_n + 1) * sizeof *f->rcpts);
    if (!f->filters || !f->rcpts)
        return false;
    f->filters_n = policy->filter_count;
    for (size_t i = 0; i < f->filters_n; i++) {
        const struct conf_filter *c = policy->filters[i];
        f->filters[i] = (struct facts_filter){
            .name = c->name, .plugin = c->plugin, .shadow = c->shadow, .on_error = on_error[c->on_error]};
        f->filters[i].notes_end = &f->filters[i].notes;
    }
    return true;
}

static bool make_run(struct run *r)
{
    const struct runtime *rt = r->play->runtime;
    const struct message_limits limits = {.header_bytes = rt->conf->limits.header_bytes};
    r->chain = chain_run_create(rt->chains[r->play->policy - rt->conf->policies], &rt->services, &r->view,
                                rt->conf->limits.header_bytes, on_late, r);
    r->model = message_create(&limits, &facts_events, r->facts);
    return r->chain && r->model && list_filters(r);
}

const char *play_run(const struct play *p, struct facts *f)
{
    struct run *r = calloc(1, sizeof *r);
    const char *why = "no memory";
    if (!r)
        return why;
    r->play = p;
    r->facts = f;
    show_client(r);
    if (!make_run(r))
        goto out;
    while (offline_step(p->offline, 1000)) /* streams that filters opened at their start break now */
        ;
    envelope(r);
    recipients(r);
    phase(r, POSTERN_ON_DATA, SPAN_NONE);
    why = read_message(r);
    phase(r, POSTERN_ON_END, SPAN_NONE);
    keep_results(r);
    f->incomplete = f->incomplete || r->model_over;
out:
    chain_run_destroy(&r->chain);
    message_destroy(&r->model);
    free(r);
    return why;
}
