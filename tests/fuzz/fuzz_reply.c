/* SPDX-License-Identifier: MIT */
/* What an upstream sends: the reply parser, and EHLO keywords in the replies. And our own replies, with the
 * input as their text: they must come back as one reply. */
#include "fuzz/fuzz.h"

#include "smtp/ehlo.h"
#include "smtp/reply.h"

static void check_clean(struct span bytes, unsigned code, size_t lines)
{
    size_t ends = 0;
    REQUIRE(bytes.n >= 5 && span_eq(span_skip(bytes, bytes.n - 2), SPAN_LIT("\r\n")));
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        REQUIRE(c != '\r' || bytes.p[i + 1] == '\n');
        REQUIRE(c != '\n' || bytes.p[i - 1] == '\r');
        REQUIRE((c >= 0x20 && c != 0x7F) || c == '\r' || c == '\n' || c == '\t');
        if (i == 0 || bytes.p[i - 1] == '\n')
            REQUIRE((unsigned)((c - '0') * 100 + (bytes.p[i + 1] - '0') * 10 + (bytes.p[i + 2] - '0')) ==
                    code);
        ends += c == '\n';
    }
    REQUIRE(ends == lines);
}

static void take_lines(struct span bytes, size_t lines, struct ehlo *e)
{
    struct span text;
    size_t at = 0, seen = 0;
    while (reply_next_line(bytes, &at, &text)) {
        REQUIRE(reply_enhanced(text).n <= 9);
        ehlo_take(e, text);
        seen++;
    }
    REQUIRE(seen == lines && at == bytes.n);
}

static struct buf run(struct span in, enum cut how, struct ehlo *e)
{
    struct buf trace = {0};
    struct reply_parser p;
    uint32_t number = (uint32_t)in.n;
    enum reply_result r = REPLY_MORE;
    reply_parser_init(&p);
    p.max_line = 100;
    p.max_lines = 10;
    p.max_bytes = 500;
    while (in.n && r == REPLY_MORE) {
        struct span piece = cut_piece(&in, how, &number), left = piece;
        while ((r = reply_feed(&p, &left)) == REPLY_READY) {
            check_clean(p.bytes, p.code, p.lines);
            take_lines(p.bytes, p.lines, e);
            REQUIRE(buf_printf(&trace, "\n%u %zu", p.code, p.lines));
            trace_span(&trace, "bytes", p.bytes);
        }
        REQUIRE(r != REPLY_NO_MEMORY && (r != REPLY_MORE || left.n == 0) && buf_len(&p.text) <= 500);
        free_piece(piece);
    }
    REQUIRE(buf_printf(&trace, "\nend %d %s %d", (int)r, r == REPLY_MORE ? "" : p.why, reply_partial(&p)));
    reply_parser_free(&p);
    return trace;
}

static void check_one_reply(struct buf *out, unsigned code)
{
    struct reply_parser p;
    struct span in = buf_span(out);
    reply_parser_init(&p);
    p.max_line = 510;
    p.max_lines = p.max_bytes = SIZE_MAX;
    REQUIRE(reply_feed(&p, &in) == REPLY_READY && in.n == 0 && p.code == code);
    reply_parser_free(&p);
    buf_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    struct ehlo first = {0};
    struct buf whole = run(in, CUT_WHOLE, &first), out = {0};
    for (int how = CUT_WHOLE + 1; how < CUTS; how++) {
        struct ehlo e = {0};
        struct buf other = run(in, (enum cut)how, &e);
        REQUIRE(span_eq(buf_span(&whole), buf_span(&other)));
        REQUIRE(e.caps == first.caps && e.size == first.size && e.auth_n == first.auth_n);
        buf_free(&other);
    }
    buf_free(&whole);

    struct ehlo_policy own = {.own = CAP_PIPELINING, .max_size = size, .limits = {[EHLO_RCPTMAX] = 100}};
    struct ehlo offer = ehlo_offer(&first, &own);
    REQUIRE(ehlo_print(&out, SPAN_LIT("gate.example.org"), &offer));
    check_one_reply(&out, 250);
    REQUIRE(reply_print(&out, 550, SPAN_LIT("5.7.1"), in));
    check_one_reply(&out, 550);
    REQUIRE(reply_print(&out, 450, span_head(in, 5), in));
    check_one_reply(&out, 450);
    return 0;
}
