/* SPDX-License-Identifier: MIT */
/* The way of a body's bytes:
 *
 *   bytes -> transfer.c -> parcel.c: what file it is, names inside -> MEMBER
 *                      `-> charset.c -> UTF-8 -> [ html.c ] -> clean.c -> TEXT
 *                                          `--> HTML   `--> URL   `--> url.c -> URL
 *                                                                 `--> uu.c -> PART, parcel.c
 *
 * Text is given in pieces, so that what is held is bounded. A body belongs to its message and is used for one
 * entity after the other. */
#include "filters/body.h"

#define TEXT_PIECE 4096 /* decoded text is given in pieces of about so much */
#define DECODE_MAX 1024 /* bytes decoded at a time, on the stack */

static void on_url(void *ctx, struct span url)
{
    struct body *b = ctx;
    b->url_lost = !sink_url(b->sink, url) || b->url_lost;
}

static bool on_found(void *ctx, struct span url, bool cut)
{
    struct body *b = ctx;

    if (cut)
        b->sink->raised |= MESSAGE_URL_LONG;
    return sink_url(b->sink, url);
}

/* ---- files in text: each is a part of its own ---- */

/* The text before this place comes before the part. */
static void give_pending(struct body *b, const char *to)
{
    size_t n = to ? (size_t)(to - b->pending.p) : b->pending.n;

    sink_text(b->sink, span_head(b->pending, n));
    b->pending = span_skip(b->pending, n);
}

static bool uu_begin(void *ctx, struct span name)
{
    struct body *b = ctx;
    struct sink *s = b->sink;

    s->raised |= MESSAGE_UUENCODED;
    if (s->parts >= s->limits.parts) {
        s->raised |= MESSAGE_PART_LIMIT;
        return true;
    }
    give_pending(b, b->uu.at);
    b->uu_part = (struct message_part){.index = s->parts++,
                                       .depth = s->part.depth + 1,
                                       .type = SPAN_LIT("application/octet-stream"),
                                       .filename = name};
    if (s->events.part)
        s->events.part(s->ctx, &b->uu_part);
    parcel_open(&b->uu_parcel, s, &b->uu_part, magic_claims(SPAN_NONE, name));
    return true;
}

static bool uu_data(void *ctx, struct span bytes)
{
    struct body *b = ctx;
    return parcel_put(&b->uu_parcel, bytes);
}

static bool uu_over(void *ctx)
{
    struct body *b = ctx;

    return parcel_close(&b->uu_parcel);
}

static const struct uu_events uu_events = {uu_begin, uu_data, uu_over};

/* ---- text ---- */

/* What a reader sees, to the filters. */
static bool give_seen(struct body *b, struct span utf8)
{
    struct buf clean = {0};
    bool good = clean_feed(&b->clean, utf8, &clean) &&
                url_find(&b->urls, buf_span(&clean), b->sink->limits.url_bytes, on_found, b);

    b->pending = good ? buf_span(&clean) : SPAN_NONE;
    good = good && (b->html || uu_feed(&b->uu, b->pending, &uu_events, b));
    give_pending(b, NULL);
    buf_free(&clean);
    return good;
}

/* What was decoded so far. */
static bool give(struct body *b)
{
    bool good = true;

    if (b->html) {
        sink_html(b->sink, buf_span(&b->text));
        good = html_feed(b->html, buf_span(&b->text), &b->seen) && give_seen(b, buf_span(&b->seen));
        buf_free(&b->seen);
    } else {
        good = give_seen(b, buf_span(&b->text));
    }
    buf_free(&b->text);
    return good && !b->url_lost;
}

bool body_open(struct body *b, struct sink *sink, const struct body_reading *how)
{
    b->sink = sink;
    b->open = true;
    b->text_open = how->text || how->html;
    b->url_lost = false;
    b->uu = (struct uu){0};
    if (how->file)
        parcel_open(&b->parcel, sink, &sink->part, how->claims);
    b->clean = (struct clean){0};
    transfer_begin(&b->transfer, how->transfer);
    if (b->text_open && !charset_begin(&b->charset, &sink->pool, how->charset))
        sink->raised |= MESSAGE_CHARSET_UNKNOWN;
    if (how->html)
        b->html = html_create(on_url, b);
    return !how->html || b->html;
}

static bool put_decoded(struct body *b, struct span s)
{
    b->sink->decoded += s.n;
    if (b->sink->decoded > b->sink->limits.decoded_bytes) {
        b->sink->raised |= MESSAGE_DECODED_LIMIT;
        return true;
    }
    if (!parcel_put(&b->parcel, s))
        return false;
    if (!b->text_open)
        return true;
    if (!charset_feed(&b->charset, s, &b->text))
        return false;
    return buf_len(&b->text) < TEXT_PIECE || give(b);
}

bool body_put(struct body *b, struct span s)
{
    char bytes[DECODE_MAX + TRANSFER_MORE];

    for (; s.n && b->open; s = span_skip(s, DECODE_MAX)) {
        struct span in = span_head(s, DECODE_MAX);
        if (b->transfer.kind != TRANSFER_IDENTITY)
            in = (struct span){bytes, transfer_decode(&b->transfer, in, bytes)};
        if (!put_decoded(b, in))
            return false;
    }
    return true;
}

/* All is read: what the readers of text hold comes out. */
static bool end_text(struct body *b)
{
    bool good = give(b);

    if (good && b->html) {
        good = html_end(b->html, &b->seen) && give_seen(b, buf_span(&b->seen)) && !b->url_lost;
        if (html_hid(b->html))
            b->sink->raised |= MESSAGE_HTML_HIDDEN;
        buf_free(&b->seen);
    }
    if (b->charset.errors)
        b->sink->raised |= MESSAGE_BAD_CHARSET;
    if (charset_is_utf7(&b->charset))
        b->sink->raised |= MESSAGE_UTF_7;
    if (b->clean.hid)
        b->sink->raised |= MESSAGE_ZERO_WIDTH;
    return good && url_find_end(&b->urls, on_found, b) && uu_end(&b->uu, &uu_events, b);
}

bool body_close(struct body *b)
{
    char bytes[TRANSFER_MORE];

    if (!b->open)
        return true;
    b->open = false;
    struct span last = {bytes, transfer_end(&b->transfer, bytes)};
    if (b->transfer.bad)
        b->sink->raised |= b->transfer.kind == TRANSFER_QP ? MESSAGE_BAD_QP : MESSAGE_BAD_BASE64;
    bool good = put_decoded(b, last);
    if (b->text_open)
        good = good && charset_end(&b->charset, &b->text) && end_text(b);
    good = good && parcel_close(&b->parcel);
    body_free(b);
    return good;
}

void body_free(struct body *b)
{
    buf_free(&b->text);
    buf_free(&b->seen);
    html_destroy(&b->html);
    url_finder_free(&b->urls);
    b->urls = (struct url_finder){0};
    parcel_free(&b->parcel);
    parcel_free(&b->uu_parcel);
    b->open = false;
}
