/* SPDX-License-Identifier: MIT */
/* The way of a body's bytes:
 *
 *   bytes -> transfer.c -> charset.c -> UTF-8 -> sink.c: TEXT
 *
 * Text is given in pieces, so that what is held is bounded. A body belongs to its message and is used for one
 * entity after the other. */
#include "filters/body.h"

#define TEXT_PIECE 4096 /* decoded text is given in pieces of about so much */
#define DECODE_MAX 1024 /* bytes decoded at a time, on the stack */

static void give(struct body *b)
{
    sink_text(b->sink, buf_span(&b->text));
    buf_free(&b->text);
}

void body_open(struct body *b, struct sink *sink, const struct body_reading *how)
{
    b->sink = sink;
    b->open = true;
    transfer_begin(&b->transfer, how->transfer);
    if (!charset_begin(&b->charset, &sink->pool, how->charset))
        sink->raised |= MESSAGE_CHARSET_UNKNOWN;
}

static bool put_decoded(struct body *b, struct span s)
{
    if (!charset_feed(&b->charset, s, &b->text))
        return false;
    if (buf_len(&b->text) >= TEXT_PIECE)
        give(b);
    return true;
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

bool body_close(struct body *b)
{
    char bytes[TRANSFER_MORE];

    if (!b->open)
        return true;
    b->open = false;
    struct span last = {bytes, transfer_end(&b->transfer, bytes)};
    if (b->transfer.bad)
        b->sink->raised |= b->transfer.kind == TRANSFER_QP ? MESSAGE_BAD_QP : MESSAGE_BAD_BASE64;
    if (!put_decoded(b, last) || !charset_end(&b->charset, &b->text))
        return false;
    give(b);
    return true;
}

void body_free(struct body *b)
{
    buf_free(&b->text);
    b->open = false;
}
