/* SPDX-License-Identifier: MIT */
/* The message model over any bytes. The events are the same however the input is cut (but for where TEXT is
 * cut), headers_end comes exactly once and before the first part, text is UTF-8 and no longer than decoding
 * can make it, and parts are numbered in their order. The first byte chooses narrow limits or the default
 * ones. */
#include "fuzz/fuzz.h"

#include "base/utf8.h"
#include "filters/message.h"

struct seen {
    struct buf trace;
    struct buf html, urls;
    struct buf text; /* of the part that is being read */
    size_t text_bytes;
    uint32_t text_part, parts;
    bool in_text;
    unsigned headers_ends;
};

/* Text is compared part by part, when it is whole. */
static void end_text(struct seen *s)
{
    uint32_t point;

    if (!s->in_text)
        return;
    s->in_text = false;
    REQUIRE(buf_printf(&s->trace, "\ntext %u", s->text_part));
    trace_span(&s->trace, "utf8", buf_span(&s->text));
    for (struct span left = buf_span(&s->text); left.n;) {
        size_t n = utf8_take(left, &point);
        REQUIRE(n > 0);
        left = span_skip(left, n);
    }
    buf_free(&s->text);
}

static void on_field(void *ctx, struct span name, struct span value, struct span raw)
{
    struct seen *s = ctx;
    uint32_t point;

    REQUIRE(s->headers_ends == 0 && name.n > 0 && raw.n >= name.n);
    for (struct span left = value; left.n; left = span_skip(left, utf8_take(left, &point)))
        REQUIRE(utf8_take(left, &point) > 0);
    trace_span(&s->trace, "name", name);
    trace_span(&s->trace, "value", value);
    trace_span(&s->trace, "raw", raw);
}

static void on_headers_end(void *ctx)
{
    struct seen *s = ctx;
    s->headers_ends++;
    REQUIRE(s->parts == 0 && buf_append(&s->trace, SPAN_LIT("\nheaders end")));
}

static void on_part(void *ctx, const struct message_part *part)
{
    struct seen *s = ctx;

    end_text(s);
    REQUIRE(s->headers_ends == 1 && part->type.n > 0);
    REQUIRE(part->index <= s->parts); /* again for each further file name and reading */
    if (part->index == s->parts)
        s->parts++;
    REQUIRE(buf_printf(&s->trace, "\npart %u %u", part->index, part->depth));
    trace_span(&s->trace, "type", part->type);
    trace_span(&s->trace, "name", part->filename);
}

static void on_text(void *ctx, const struct message_part *part, struct span utf8)
{
    struct seen *s = ctx;

    REQUIRE(s->parts > part->index && utf8.n > 0);
    if (s->in_text && s->text_part != part->index)
        end_text(s);
    s->in_text = true;
    s->text_part = part->index;
    s->text_bytes += utf8.n;
    REQUIRE(buf_append(&s->text, utf8));
}

static void on_part_field(void *ctx, const struct message_part *part, struct span name, struct span value,
                          struct span raw)
{
    struct seen *s = ctx;

    end_text(s);
    REQUIRE(s->headers_ends == 1 && part->index == s->parts && raw.n >= name.n);
    REQUIRE(buf_printf(&s->trace, "\nfield of %u", part->index));
    trace_span(&s->trace, "name", name);
    trace_span(&s->trace, "value", value);
}

static void on_flag(void *ctx, const struct message_part *part, enum message_flag flag)
{
    struct seen *s = ctx;

    end_text(s);
    REQUIRE(!part || part->index < s->parts);
    REQUIRE(buf_printf(&s->trace, "\nflag %s of %d", message_flag(flag)->name, part ? (int)part->index : -1));
}

/* Pieces of markup may be cut anywhere: their bytes are compared. */
static void on_html(void *ctx, const struct message_part *part, struct span utf8)
{
    struct seen *s = ctx;
    REQUIRE(part->index < s->parts && utf8.n > 0 && buf_append(&s->html, utf8));
}

static void on_url(void *ctx, const struct message_part *part, struct span url)
{
    struct seen *s = ctx;
    uint32_t point;

    for (struct span left = url; left.n; left = span_skip(left, utf8_take(left, &point)))
        REQUIRE(utf8_take(left, &point) > 0);
    REQUIRE(part->index < s->parts && url.n > 0 && buf_printf(&s->urls, "\nurl %u", part->index));
    trace_span(&s->urls, "url", url);
}

static void on_member(void *ctx, const struct message_part *part, struct span name)
{
    struct seen *s = ctx;
    REQUIRE(part->index < s->parts && buf_printf(&s->urls, "\nmember of %u", part->index));
    trace_span(&s->urls, "name", name);
}

static struct buf run(struct span in, enum cut how, const struct message_limits *limits)
{
    static const struct message_events events = {.field = on_field,
                                                 .headers_end = on_headers_end,
                                                 .part = on_part,
                                                 .text = on_text,
                                                 .part_field = on_part_field,
                                                 .html = on_html,
                                                 .url = on_url,
                                                 .member = on_member,
                                                 .flag = on_flag};
    struct seen s = {0};
    uint32_t number = (uint32_t)in.n;
    size_t all = in.n;
    struct message *m = message_create(limits, &events, &s);

    REQUIRE(m);
    while (in.n) {
        struct span piece = cut_piece(&in, how, &number), left = piece;
        while (left.n) {
            unsigned before = s.headers_ends;
            REQUIRE(message_feed(m, &left));
            REQUIRE(left.n == 0 || s.headers_ends > before);
        }
        free_piece(piece);
    }
    REQUIRE(message_end(m) && message_end(m) && message_end(m));
    end_text(&s);
    REQUIRE(s.headers_ends == 1 && s.parts > 0 && s.text_bytes <= 9 * (4 * all + 64));
    REQUIRE(buf_printf(&s.trace, "\nflags %#llx", (unsigned long long)message_flags(m)));
    message_destroy(&m);
    trace_span(&s.trace, "html", buf_span(&s.html));
    trace_span(&s.trace, "urls", buf_span(&s.urls));
    buf_free(&s.html);
    buf_free(&s.urls);
    return s.trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct message_limits narrow = {
        .header_bytes = 200, .field_bytes = 40, .depth = 2, .parts = 4};
    static const struct message_limits defaults = {0};
    struct span in = span_make((const char *)data, size);
    const struct message_limits *limits = size && data[0] == '!' ? &narrow : &defaults;
    struct buf whole = run(in, CUT_WHOLE, limits);

    for (int how = CUT_WHOLE + 1; how < CUTS; how++) {
        struct buf other = run(in, (enum cut)how, limits);
        REQUIRE(span_eq(buf_span(&whole), buf_span(&other)));
        buf_free(&other);
    }
    buf_free(&whole);
    return 0;
}
