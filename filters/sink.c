/* SPDX-License-Identifier: MIT */
/* From readers to events, within the limits of the message. */
#include "filters/sink.h"

#include "filters/url.h"

void sink_text(struct sink *s, struct span utf8)
{
    if (utf8.n && s->events.text)
        s->events.text(s->ctx, &s->part, utf8);
}

void sink_html(struct sink *s, struct span utf8)
{
    if (utf8.n && s->events.html)
        s->events.html(s->ctx, &s->part, utf8);
}

bool sink_url(struct sink *s, struct span raw)
{
    struct buf plain = {0};
    bool cut;
    bool good = url_plain(raw, s->limits.url_bytes, &plain, &cut);

    if (cut)
        s->raised |= MESSAGE_URL_LONG;
    if (good && buf_len(&plain) && s->urls >= s->limits.urls)
        s->raised |= MESSAGE_URL_LIMIT;
    else if (good && buf_len(&plain)) {
        s->urls++;
        if (s->events.url)
            s->events.url(s->ctx, &s->part, buf_span(&plain));
    }
    buf_free(&plain);
    return good;
}

/* Names in archives are of any charset: what is no UTF-8 becomes U+FFFD. */
bool sink_member(struct sink *s, const struct message_part *part, struct span name)
{
    struct charset_decoder d;
    struct buf utf8 = {0};

    (void)charset_begin(&d, &s->pool, SPAN_NONE);
    bool good = charset_feed(&d, name, &utf8) && charset_end(&d, &utf8);
    if (good && s->events.member)
        s->events.member(s->ctx, part, buf_span(&utf8));
    s->no_memory = s->no_memory || !good;
    buf_free(&utf8);
    return good;
}
