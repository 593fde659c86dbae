/* SPDX-License-Identifier: MIT */
/* The message model's events as text, one a line:
 *
 *   F name=value          H            P index depth type "filename"          T index "text"
 *   f index name=value    of a part, and  ! index name  for a flag, where the trace is `full`
 *
 * Text pieces of one part that follow each other are one line, since only where text is cut may differ. */
#ifndef TESTS_UNIT_FILTERS_TRACE_H
#define TESTS_UNIT_FILTERS_TRACE_H

#include "unit/base/check.h"

#include "base/buf.h"
#include "filters/message.h"

struct trace {
    struct buf out;
    struct buf urls; /* U index url, one a line, where the trace is full */
    bool in_text;
    bool full; /* all events, not the old ones alone */
    uint32_t text_part;
    size_t headers;      /* how often headers_end came */
    size_t longest_text; /* bytes of the longest piece */
    size_t texts;
};

static inline void trace_add(struct trace *t, struct span s)
{
    assert_true(buf_append(&t->out, s));
}

static inline void trace_text_over(struct trace *t)
{
    if (t->in_text)
        trace_add(t, SPAN_LIT("\"\n"));
    t->in_text = false;
}

static inline void trace_field(void *ctx, struct span name, struct span value, struct span raw)
{
    struct trace *t = ctx;
    assert_true(raw.n >= name.n);
    trace_add(t, SPAN_LIT("F "));
    trace_add(t, name);
    trace_add(t, SPAN_LIT("="));
    trace_add(t, value);
    trace_add(t, SPAN_LIT("\n"));
}

static inline void trace_headers_end(void *ctx)
{
    struct trace *t = ctx;
    t->headers++;
    trace_add(t, SPAN_LIT("H\n"));
}

static inline void trace_part(void *ctx, const struct message_part *part)
{
    struct trace *t = ctx;
    trace_text_over(t);
    assert_true(buf_printf(&t->out, "P %u %u %.*s \"", part->index, part->depth, SPAN_FMT(part->type)));
    trace_add(t, part->filename);
    trace_add(t, SPAN_LIT("\"\n"));
}

static inline void trace_text(void *ctx, const struct message_part *part, struct span utf8)
{
    struct trace *t = ctx;
    if (t->in_text && t->text_part != part->index)
        trace_text_over(t);
    if (!t->in_text)
        assert_true(buf_printf(&t->out, "T %u \"", part->index));
    t->in_text = true;
    t->text_part = part->index;
    t->texts++;
    if (utf8.n > t->longest_text)
        t->longest_text = utf8.n;
    trace_add(t, utf8);
}

static inline void trace_part_field(void *ctx, const struct message_part *part, struct span name,
                                    struct span value, struct span raw)
{
    struct trace *t = ctx;
    assert_true(raw.n >= name.n);
    if (!t->full)
        return;
    trace_text_over(t);
    assert_true(buf_printf(&t->out, "f %u ", part->index));
    trace_add(t, name);
    trace_add(t, SPAN_LIT("="));
    trace_add(t, value);
    trace_add(t, SPAN_LIT("\n"));
}

static inline void trace_url(void *ctx, const struct message_part *part, struct span url)
{
    struct trace *t = ctx;
    if (!t->full)
        return;
    assert_true(buf_printf(&t->urls, "U %u %.*s\n", part->index, SPAN_FMT(url)));
}

static inline void trace_member(void *ctx, const struct message_part *part, struct span name)
{
    struct trace *t = ctx;
    if (!t->full)
        return;
    assert_true(
        buf_printf(&t->urls, "M %u %.*s %.*s\n", part->index, SPAN_FMT(part->detected), SPAN_FMT(name)));
}

static inline void trace_flag(void *ctx, const struct message_part *part, enum message_flag flag)
{
    struct trace *t = ctx;
    if (!t->full)
        return;
    trace_text_over(t);
    assert_true(buf_printf(&t->out, "! %d %s\n", part ? (int)part->index : -1, message_flag(flag)->name));
}

static const struct message_events trace_events = {.field = trace_field,
                                                   .headers_end = trace_headers_end,
                                                   .part = trace_part,
                                                   .text = trace_text,
                                                   .part_field = trace_part_field,
                                                   .url = trace_url,
                                                   .member = trace_member,
                                                   .flag = trace_flag};

/* Feeds the content in pieces of `step` bytes; 0: whole. Returns the flags. */
static inline uint64_t trace_run(struct trace *t, const struct message_limits *limits, struct span content,
                                 size_t step)
{
    struct message *m = message_create(limits, &trace_events, t);
    assert_non_null(m);
    while (content.n) {
        struct span piece = span_head(content, step ? step : content.n);
        content = span_skip(content, piece.n);
        while (piece.n) {
            size_t before = piece.n, headers = t->headers;
            assert_true(message_feed(m, &piece));
            assert_true(piece.n == 0 || t->headers > headers);
            assert_true(piece.n < before || t->headers > headers);
        }
    }
    for (int i = 0; i < 2; i++)
        assert_true(message_end(m));
    uint64_t flags = message_flags(m);
    message_destroy(&m);
    trace_text_over(t);
    assert_int_equal(t->headers, 1);
    return flags;
}

#endif
