/* SPDX-License-Identifier: MIT */
/* HTML to text, and addresses in text. However the input is cut, the text and the addresses are the same;
 * text and addresses are bounded by what was fed, and an address in its plain form stays as it is when it is
 * read once more. */
#include "fuzz/fuzz.h"

#include "filters/html.h"
#include "filters/url.h"

#define URL_MAX 300

struct seen {
    struct buf text, trace;
    size_t urls;
};

static bool note(struct seen *s, struct span raw)
{
    struct buf plain = {0}, again = {0};
    bool cut, cut_again;

    REQUIRE(url_plain(raw, URL_MAX, &plain, &cut) && buf_len(&plain) <= URL_MAX);
    if (!cut)
        REQUIRE(url_plain(buf_span(&plain), URL_MAX, &again, &cut_again));
    s->urls++;
    trace_span(&s->trace, "raw", raw);
    trace_span(&s->trace, "plain", buf_span(&plain));
    buf_free(&plain);
    buf_free(&again);
    return true;
}

static void on_url(void *ctx, struct span url)
{
    REQUIRE(url.n > 0 && note(ctx, url));
}

static bool on_found(void *ctx, struct span url, bool cut)
{
    REQUIRE(url.n <= URL_MAX || cut);
    return note(ctx, url);
}

static struct buf run(struct span in, enum cut how)
{
    struct seen s = {0};
    struct url_finder f = {0};
    size_t all = in.n;
    uint32_t number = (uint32_t)in.n;
    struct html *h = html_create(on_url, &s);

    REQUIRE(h);
    for (struct span left = in; left.n;) {
        struct span piece = cut_piece(&left, how, &number);
        REQUIRE(html_feed(h, piece, &s.text));
        free_piece(piece);
    }
    REQUIRE(html_end(h, &s.text));
    REQUIRE(buf_printf(&s.trace, "\nhid %d", html_hid(h)));
    html_destroy(&h);
    for (struct span left = buf_span(&s.text); left.n;) {
        struct span piece = cut_piece(&left, how, &number);
        REQUIRE(url_find(&f, piece, URL_MAX, on_found, &s));
        free_piece(piece);
    }
    REQUIRE(url_find_end(&f, on_found, &s));
    url_finder_free(&f);
    REQUIRE(buf_len(&s.text) <= all * 3 + 8 && s.urls <= all * 5);
    trace_span(&s.trace, "text", buf_span(&s.text));
    buf_free(&s.text);
    return s.trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    struct buf whole = run(in, CUT_WHOLE);

    for (int how = CUT_WHOLE + 1; how < CUTS; how++) {
        struct buf other = run(in, (enum cut)how);
        REQUIRE(span_eq(buf_span(&whole), buf_span(&other)));
        buf_free(&other);
    }
    buf_free(&whole);
    return 0;
}
