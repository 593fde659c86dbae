/* SPDX-License-Identifier: MIT */
/* Content on its way to the filters. Pieces go to BODY hooks as they are; the message model, made only when
 * some filter of this transaction reads it, turns the same pieces into HEADER, HEADERS, PART, TEXT and the
 * like.
 *
 *   piece --> [ header section | the rest ]      the model stops behind the header section:
 *               HEADER, BODY  -> HEADERS -> BODY, PART, TEXT
 *
 * The model belongs to the transaction and goes with it. */
#include "filters/run.h"

static struct postern_event event_of(enum postern_phase phase)
{
    return (struct postern_event){.size = sizeof(struct postern_event), .phase = phase};
}

static struct postern_span to_plugin(struct span s)
{
    return (struct postern_span){s.p, s.n};
}

static void tell(struct chain_run *r, const struct postern_event *ev)
{
    run_tell(r, ev, TX_OPEN, r->chain->n);
}

/* ---- events of the model ---- */

static void on_field(void *ctx, struct span name, struct span value, struct span raw)
{
    struct postern_event ev = event_of(POSTERN_ON_HEADER);
    ev.name = to_plugin(name);
    ev.text = to_plugin(value);
    ev.raw = to_plugin(raw);
    tell(ctx, &ev);
}

static void on_headers_end(void *ctx)
{
    struct chain_run *r = ctx;
    r->headers_due = true;
}

static void tell_of_part(struct chain_run *r, struct postern_event *ev, const struct message_part *part)
{
    const struct postern_part shown = {.index = part->index,
                                       .depth = part->depth,
                                       .type = to_plugin(part->type),
                                       .filename = to_plugin(part->filename),
                                       .declared = to_plugin(part->declared),
                                       .detected = to_plugin(part->detected),
                                       .charset = to_plugin(part->charset),
                                       .disposition = to_plugin(part->disposition)};
    ev->part = &shown;
    tell(r, ev);
}

static void on_part(void *ctx, const struct message_part *part)
{
    struct postern_event ev = event_of(POSTERN_ON_PART);
    tell_of_part(ctx, &ev, part);
}

static void on_text(void *ctx, const struct message_part *part, struct span utf8)
{
    struct postern_event ev = event_of(POSTERN_ON_TEXT);
    ev.text = to_plugin(utf8);
    tell_of_part(ctx, &ev, part);
}

static void on_html(void *ctx, const struct message_part *part, struct span utf8)
{
    struct postern_event ev = event_of(POSTERN_ON_HTML);
    ev.text = to_plugin(utf8);
    tell_of_part(ctx, &ev, part);
}

static void on_url(void *ctx, const struct message_part *part, struct span url)
{
    struct postern_event ev = event_of(POSTERN_ON_URL);
    ev.text = to_plugin(url);
    tell_of_part(ctx, &ev, part);
}

static void on_member(void *ctx, const struct message_part *part, struct span name)
{
    struct postern_event ev = event_of(POSTERN_ON_MEMBER);
    ev.text = to_plugin(name);
    tell_of_part(ctx, &ev, part);
}

static void on_part_field(void *ctx, const struct message_part *part, struct span name, struct span value,
                          struct span raw)
{
    struct postern_event ev = event_of(POSTERN_ON_PART_HEADER);
    ev.name = to_plugin(name);
    ev.text = to_plugin(value);
    ev.raw = to_plugin(raw);
    tell_of_part(ctx, &ev, part);
}

/* Counted once per message, told once per part. */
static void on_flag(void *ctx, const struct message_part *part, enum message_flag flag)
{
    struct postern_event ev = event_of(POSTERN_ON_FLAG);
    struct chain_run *r = ctx;
    const char *name = message_flag(flag)->name;
    char counter[64];

    if (!(r->flags >> flag & 1)) {
        (void)snprintf(counter, sizeof(counter), "flag.%s", name);
        r->services->count(r->services->ctx, "message", counter, 1);
    }
    r->flags |= 1ull << flag;
    ev.text = to_plugin(span_of(name));
    if (part)
        tell_of_part(r, &ev, part);
    else
        tell(r, &ev);
}

static const struct message_events model_events = {.field = on_field,
                                                   .headers_end = on_headers_end,
                                                   .part = on_part,
                                                   .text = on_text,
                                                   .part_field = on_part_field,
                                                   .html = on_html,
                                                   .url = on_url,
                                                   .member = on_member,
                                                   .flag = on_flag};

/* ---- pieces ---- */

static bool wants_model(const struct chain_run *r)
{
    static const enum postern_phase phases[] = {POSTERN_ON_HEADER, POSTERN_ON_HEADERS,     POSTERN_ON_PART,
                                                POSTERN_ON_TEXT,   POSTERN_ON_PART_HEADER, POSTERN_ON_HTML,
                                                POSTERN_ON_URL,    POSTERN_ON_MEMBER,      POSTERN_ON_FLAG};

    for (size_t i = 0; i < COUNT_OF(phases); i++)
        if (run_wants(r, phases[i]))
            return true;
    return false;
}

/* With the first piece: who reads, and what? */
static bool begin(struct chain_run *r)
{
    const struct message_limits limits = {.header_bytes = r->max_header};

    if (wants_model(r)) {
        r->message = message_create(&limits, &model_events, r);
        r->mode = CONTENT_MODEL;
        return r->message != NULL;
    }
    r->mode = run_wants(r, POSTERN_ON_BODY) ? CONTENT_RAW : CONTENT_OVER;
    return true;
}

bool content_feed(struct chain_run *r, struct span *in)
{
    struct postern_event ev = event_of(POSTERN_ON_BODY);
    struct span before = *in;

    if (r->mode == CONTENT_NEW && !begin(r))
        return false;
    if (r->mode == CONTENT_OVER)
        return true;
    if (r->mode == CONTENT_MODEL) {
        if (!message_feed(r->message, in))
            return false;
    } else {
        *in = span_skip(*in, in->n);
    }
    ev.text = to_plugin(span_head(before, before.n - in->n));
    if (ev.text.n)
        tell(r, &ev);
    return true;
}

bool content_end(struct chain_run *r)
{
    if (r->mode == CONTENT_NEW && !begin(r))
        return false;
    if (r->mode != CONTENT_MODEL)
        return true;
    return message_end(r->message);
}

void content_close(struct chain_run *r)
{
    message_destroy(&r->message);
    buf_free(&r->kept_rest);
    r->rest = SPAN_NONE;
    r->headers_due = false;
    r->mode = CONTENT_OVER;
}
