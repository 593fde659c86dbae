/* SPDX-License-Identifier: MIT */
/* The way of a body's bytes:
 *
 *   bytes -> transfer.c -> charset.c -> UTF-8 -> [ html.c ] -> clean.c -> TEXT
 *                                          `--> HTML   `--> URL   `--> url.c -> URL
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

/* What a reader sees, to the filters. */
static bool give_seen(struct body *b, struct span utf8)
{
    struct buf clean = {0};
    bool good = clean_feed(&b->clean, utf8, &clean) &&
                url_find(&b->urls, buf_span(&clean), b->sink->limits.url_bytes, on_found, b);

    if (good)
        sink_text(b->sink, buf_span(&clean));
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
    b->url_lost = false;
    b->clean = (struct clean){0};
    transfer_begin(&b->transfer, how->transfer);
    if (!charset_begin(&b->charset, &sink->pool, how->charset))
        sink->raised |= MESSAGE_CHARSET_UNKNOWN;
    if (how->html)
        b->html = html_create(on_url, b);
    return !how->html || b->html;
}

static bool put_decoded(struct body *b, struct span s)
{
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
    if (b->clean.hid)
        b->sink->raised |= MESSAGE_ZERO_WIDTH;
    return good && url_find_end(&b->urls, on_found, b);
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
    bool good = put_decoded(b, last) && charset_end(&b->charset, &b->text) && end_text(b);
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
    b->open = false;
}
