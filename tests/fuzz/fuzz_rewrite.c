/* SPDX-License-Identifier: MIT */
/* The rewriter of header sections. The first octet chooses the edits, the rest is a message. However it is
 * cut the result is the same; without edits it is the message; and the message model, which reads header
 * sections by code of its own, must find in the result the fields that the edits leave of what it finds in
 * the message. */
#include "fuzz/fuzz.h"

#include "filters/message.h"
#include "smtp/rewrite.h"

#define EDITS 5
static const struct header_edit known[EDITS] = {
    {.kind = HEADER_ADD, .name = SPAN_LIT("A"), .field = SPAN_LIT("A: added\r\n")},
    {.kind = HEADER_REMOVE, .name = SPAN_LIT("A")},
    {.kind = HEADER_REPLACE, .name = SPAN_LIT("B"), .field = SPAN_LIT("B: replaced\r\n")},
    {.kind = HEADER_PREFIX,
     .name = SPAN_LIT("Subject"),
     .field = SPAN_LIT("Subject: p\r\n"),
     .text = SPAN_LIT("p"),
     .before_word = SPAN_LIT("q"),
     .join = SPAN_LIT("\r\n ")},
    {.kind = HEADER_ADD, .name = SPAN_LIT("Z"), .field = SPAN_LIT("Z: added\r\n")},
};

static struct buf rewrite(const struct header_edit *edits, size_t n, struct span in, enum cut how)
{
    struct rewriter r;
    struct buf out = {0};
    uint32_t number = (uint32_t)in.n;
    rewrite_begin(&r, edits, n);
    while (in.n && !rewrite_over(&r)) {
        struct span piece = cut_piece(&in, how, &number), left = piece;
        REQUIRE(rewrite_feed(&r, &left, &out));
        REQUIRE(left.n == 0 || rewrite_over(&r));
        REQUIRE(buf_append(&out, left));
        free_piece(piece);
    }
    REQUIRE(buf_append(&out, in) && rewrite_end(&r, &out) && rewrite_over(&r));
    return out;
}

/* ---- the names of the fields that the model finds, a line each ---- */

static void note_field(void *ctx, struct span name, struct span value, struct span raw)
{
    (void)value;
    (void)raw;
    REQUIRE(buf_append(ctx, name) && buf_append(ctx, SPAN_LIT("\n")));
}

static void ignore(void *ctx)
{
    (void)ctx;
}

static struct buf fields_of(struct span message)
{
    const struct message_limits limits = {.header_bytes = (size_t)1 << 24};
    const struct message_events events = {.field = note_field, .headers_end = ignore};
    struct buf names = {0};
    struct message *m = message_create(&limits, &events, &names);
    REQUIRE(m);
    while (message.n)
        REQUIRE(message_feed(m, &message));
    REQUIRE(message_end(m));
    message_destroy(&m);
    return names;
}

static bool is_edited(const struct header_edit *edits, size_t n, struct span name, enum header_edit_kind kind)
{
    for (size_t i = 0; i < n; i++)
        if (edits[i].kind == kind && span_ieq(edits[i].name, name))
            return true;
    return false;
}

/* What is found of ours and not of the message is taken out of both; the others must be the same. */
static struct buf others(const struct header_edit *edits, size_t n, struct span names)
{
    struct buf rest = {0};
    while (names.n) {
        struct span name = span_head(names, span_find(names, '\n'));
        names = span_skip(names, name.n + 1);
        bool ours = false;
        for (size_t i = 0; i < n; i++)
            ours = ours || span_ieq(edits[i].name, name);
        if (!ours)
            REQUIRE(buf_append(&rest, name) && buf_append(&rest, SPAN_LIT("\n")));
    }
    return rest;
}

static size_t count(struct span names, struct span wanted)
{
    size_t n = 0;
    while (names.n) {
        struct span name = span_head(names, span_find(names, '\n'));
        names = span_skip(names, name.n + 1);
        n += span_ieq(name, wanted);
    }
    return n;
}

static void check_fields(const struct header_edit *edits, size_t n, struct span in, struct span out)
{
    struct buf before = fields_of(in), after = fields_of(out);
    struct buf kept = others(edits, n, buf_span(&before)), found = others(edits, n, buf_span(&after));
    REQUIRE(span_eq(buf_span(&kept), buf_span(&found)));
    for (size_t i = 0; i < n; i++) {
        struct span name = edits[i].name;
        size_t was = count(buf_span(&before), name), is = count(buf_span(&after), name);
        size_t added = is_edited(edits, n, name, HEADER_ADD);
        if (is_edited(edits, n, name, HEADER_REMOVE))
            REQUIRE(is == added);
        else if (edits[i].kind == HEADER_REPLACE)
            REQUIRE(is == 1);
        else if (edits[i].kind == HEADER_PREFIX)
            REQUIRE(is == (was ? was : 1));
        else
            REQUIRE(is == was + added);
    }
    buf_free(&kept);
    buf_free(&found);
    buf_free(&before);
    buf_free(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct header_edit edits[EDITS];
    size_t n = 0;
    if (size == 0)
        return 0;
    for (size_t i = 0; i < EDITS; i++)
        if (data[0] & 1u << i)
            edits[n++] = known[i];
    struct span in = span_make((const char *)data + 1, size - 1);
    struct buf whole = rewrite(edits, n, in, CUT_WHOLE);
    for (int how = CUT_OCTETS; how < CUTS; how++) {
        struct buf cut = rewrite(edits, n, in, (enum cut)how);
        REQUIRE(span_eq(buf_span(&cut), buf_span(&whole)));
        buf_free(&cut);
    }
    REQUIRE(n || span_eq(buf_span(&whole), in));
    check_fields(edits, n, in, buf_span(&whole));
    buf_free(&whole);
    return 0;
}
