/* SPDX-License-Identifier: MIT */
/* Replies of an upstream: each case whole, byte by byte and cut in between. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "smtp/reply.h"

#define ROOM 2048

/* All replies of `in` as "{bytes}" and at last a letter: M malformed, T too long, ~ an unfinished one. */
static struct span replies(struct span in, size_t step, char out[ROOM])
{
    struct reply_parser p;
    size_t n = 0;
    enum reply_result r = REPLY_MORE;
    reply_parser_init(&p);
    p.max_line = 40;
    p.max_lines = 4;
    p.max_bytes = 100;
    while (in.n && r == REPLY_MORE) {
        struct span piece = span_head(in, step);
        in = span_skip(in, piece.n);
        while ((r = reply_feed(&p, &piece)) == REPLY_READY) {
            assert_in_range(p.code, 200, 599);
            assert_true(n + p.bytes.n + 2 < ROOM);
            out[n++] = '{';
            memcpy(out + n, p.bytes.p, p.bytes.n);
            n += p.bytes.n;
            out[n++] = '}';
            assert_false(reply_partial(&p));
        }
        assert_true(r != REPLY_MORE || piece.n == 0);
    }
    if (r != REPLY_MORE) {
        assert_non_null(p.why);
        out[n++] = r == REPLY_MALFORMED ? 'M' : 'T';
    } else if (reply_partial(&p)) {
        out[n++] = '~';
    } else {
        assert_null(p.text.data); /* between replies nothing is held */
        assert_null(p.line.held.data);
    }
    reply_parser_free(&p);
    return span_make(out, n);
}

static void check_replies(struct span in, struct span want)
{
    char out[ROOM];
    for (size_t step = 1; step <= in.n; step++)
        assert_spans_eq(replies(in, step, out), want);
}

#define REPLIES(in, want) check_replies(SPAN_LIT(in), SPAN_LIT(want))

static void good_replies(void **state)
{
    (void)state;
    REPLIES("250 ok\r\n", "{250 ok\r\n}");
    REPLIES("250-a\r\n250-b\r\n250 c\r\n220 x\r\n", "{250-a\r\n250-b\r\n250 c\r\n}{220 x\r\n}");
    REPLIES("250 a\r\n250 b\r\n", "{250 a\r\n}{250 b\r\n}"); /* UR-03 is for who counts what is owed */
    REPLIES("220\r\n250\r\n", "{220\r\n}{250\r\n}");         /* UR-09 */
    REPLIES("250-\r\n250 \r\n", "{250-\r\n250 \r\n}");
    REPLIES("250-\r\n250\r\n", "{250-\r\n250\r\n}");
    REPLIES("354 go\r\n599 x\r\n", "{354 go\r\n}{599 x\r\n}");
    REPLIES("250-a\r\n250 b", "~"); /* UR-16 */
    REPLIES("25", "~");
    REPLIES("250 x\r", "~");
}

static void octets_in_the_text(void **state) /* UR-08, UR-10 */
{
    (void)state;
    REPLIES("250 a\0b\x1b[2Jc\x7f\x03\r\n", "{250 a?b?[2Jc??\r\n}");
    REPLIES("250 \xc3\xbc\xff\t!\r\n", "{250 \xc3\xbc\xff\t!\r\n}");
    REPLIES("550 no\n250 ok\r\n", "M");
    REPLIES("550 no\r250 ok\r\n", "M");
    REPLIES("550 no\r\r\n", "M");
    REPLIES("550 no\n", "M");
    REPLIES("\0"
            "250 x\r\n",
            "M");
}

static void malformed(void **state) /* UR-08 */
{
    (void)state;
    REPLIES("22X OK\r\n", "M");
    REPLIES("220OK\r\n", "M");
    REPLIES("25\r\n", "M");
    REPLIES("250_x\r\n", "M");
    REPLIES("250\tx\r\n", "M");
    REPLIES("999 x\r\n", "M");
    REPLIES("600 x\r\n", "M");
    REPLIES("199 x\r\n", "M");
    REPLIES("099\r\n", "M");
    REPLIES("+OK\r\n", "M");
    REPLIES("\r\n", "M");
    REPLIES(" 250 x\r\n", "M");
    REPLIES("2500 x\r\n", "M");
    REPLIES("HTTP/1.1 400 Bad Request\r\n", "M");
    REPLIES("250-a\r\n550 b\r\n", "M"); /* UR-06 */
    REPLIES("200-This\r\n250 x\r\n", "M");
    REPLIES("250-a\r\nb\r\n250 c\r\n", "M");
    REPLIES("250 good\r\nbad\r\n", "{250 good\r\n}M");
}

static void limits(void **state)
{
    (void)state;
    REPLIES("250 456789012345678901234567890123456789\r\n", "{250 456789012345678901234567890123456789\r\n}");
    REPLIES("250 4567890123456789012345678901234567890\r\n", "T");
    REPLIES("250-1\r\n250-2\r\n250-3\r\n250 4\r\n", "{250-1\r\n250-2\r\n250-3\r\n250 4\r\n}");
    REPLIES("250-1\r\n250-2\r\n250-3\r\n250-4\r\n250 5\r\n", "T");
#define LINES_72 "250-567890123456789012345678901234\r\n250-567890123456789012345678901234\r\n"
    REPLIES(LINES_72 "250 5678901234567890123456\r\n", "{" LINES_72 "250 5678901234567890123456\r\n}");
    REPLIES(LINES_72 "250 56789012345678901234567\r\n", "T");
#undef LINES_72
}

static void usual_limits(void **state)
{
    (void)state;
    struct reply_parser p;
    static char line[3000] = "250 ";
    memset(line + 4, 'x', sizeof line - 4);
    memcpy(line + 2048, "\r\n", 2);
    struct span in = span_make(line, 2050);
    reply_parser_init(&p);
    assert_int_equal(reply_feed(&p, &in), REPLY_READY);
    assert_int_equal(p.bytes.n, 2050);
    memcpy(line + 2048, "xx", 2);
    in = span_make(line, sizeof line);
    assert_int_equal(reply_feed(&p, &in), REPLY_TOO_LONG);
    reply_parser_free(&p);

    reply_parser_init(&p);
    for (int i = 0; i < 128; i++) {
        in = SPAN_LIT("250-x\r\n");
        assert_int_equal(reply_feed(&p, &in), REPLY_MORE);
    }
    in = SPAN_LIT("250 x\r\n");
    assert_int_equal(reply_feed(&p, &in), REPLY_TOO_LONG);
    reply_parser_free(&p);
}

static void lines_of_a_reply(void **state)
{
    (void)state;
    const struct span bytes = SPAN_LIT("250-host\r\n250-\r\n250\r\n250 SIZE 10\r\n");
    static const char *const want[] = {"host", "", "", "SIZE 10"};
    struct span text;
    size_t at = 0;
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_true(reply_next_line(bytes, &at, &text));
        assert_spans_eq(text, span_of(want[i]));
    }
    assert_false(reply_next_line(bytes, &at, &text));
    at = 0;
    assert_false(reply_next_line(SPAN_NONE, &at, &text));
}

static void enhanced_codes(void **state) /* UR-21 */
{
    (void)state;
    static const char *const table[][2] = {
        {"5.7.1 no", "5.7.1"},
        {"2.0.0", "2.0.0"},
        {"4.999.999 x", "4.999.999"},
        {"5.", ""},
        {"5.7", ""},
        {"5.7.", ""},
        {"5.7.1x", ""},
        {"9.999.9999 x", ""},
        {"5.1.1234", ""},
        {"3.0.0 x", ""},
        {"", ""},
        {"5", ""},
        {"5..1", ""},
        {" 5.7.1", ""},
        {"5.7.1\tx", "5.7.1"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_spans_eq(reply_enhanced(span_of(table[i][0])), span_of(table[i][1]));
    assert_true(reply_enhanced_ok(SPAN_LIT("5.7.1"), 550));
    assert_false(reply_enhanced_ok(SPAN_LIT("5.1.1"), 250));
    assert_false(reply_enhanced_ok(SPAN_LIT("5.7.1 "), 550));
    assert_false(reply_enhanced_ok(SPAN_LIT(""), 550));
    assert_false(reply_enhanced_ok(SPAN_LIT("5.7."), 550));
}

static void check_print(unsigned code, const char *enhanced, struct span text, struct span want)
{
    struct buf out = {0};
    assert_true(reply_print(&out, code, span_of(enhanced), text));
    assert_spans_eq(buf_span(&out), want);
    buf_free(&out);
}

#define PRINT(code, enhanced, text, want) check_print(code, enhanced, SPAN_LIT(text), SPAN_LIT(want))

static void our_own_replies(void **state)
{
    (void)state;
    PRINT(250, "2.0.0", "ok", "250 2.0.0 ok\r\n");
    PRINT(354, "", "go on", "354 go on\r\n");
    PRINT(250, "", "", "250 \r\n");
    PRINT(250, "2.0.0", "", "250 2.0.0\r\n");
    PRINT(550, "5.7.1", "a\nb\r\n\nc\n", "550-5.7.1 a\r\n550-5.7.1 b\r\n550-5.7.1\r\n550 5.7.1 c\r\n");
    PRINT(550, "", "x\0y\x1b\xc3\xbc\tz\r!", "550 x?y??? z?!\r\n");
    PRINT(550, "2.0.0", "class", "550 class\r\n");
    PRINT(550, "5.7.1\r\n250", "evil", "550 evil\r\n");
}

/* Every line within 512 octets, the words all there, and what comes back is one reply. */
static void check_long(char blank_every, struct span enhanced)
{
    static char text[20000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = blank_every && i % (size_t)blank_every == (size_t)blank_every - 1 ? ' ' : 'w';
    struct buf out = {0};
    assert_true(reply_print(&out, 550, enhanced, span_make(text, sizeof text)));
    struct span bytes = buf_span(&out), line;
    size_t at = 0, before = 0, words = 0;
    while (reply_next_line(bytes, &at, &line)) {
        assert_true(at - before <= 512);
        assert_spans_eq(reply_enhanced(line), enhanced);
        for (size_t i = enhanced.n; i < line.n; i++)
            words += line.p[i] == 'w';
        before = at;
    }
    size_t want = 0;
    for (size_t i = 0; i < sizeof text; i++)
        want += text[i] == 'w';
    assert_int_equal(words, want);
    struct reply_parser p;
    reply_parser_init(&p);
    assert_int_equal(reply_feed(&p, &bytes), REPLY_READY);
    assert_int_equal(bytes.n, 0);
    reply_parser_free(&p);
    buf_free(&out);
}

static void long_texts_become_lines(void **state)
{
    (void)state;
    static const char every[] = {0, 1, 2, 7, 80, 127};
    for (size_t i = 0; i < sizeof every; i++) {
        check_long(every[i], SPAN_LIT(""));
        check_long(every[i], SPAN_LIT("5.777.123"));
    }
    char text[600];
    memset(text, 'a', sizeof text);
    struct buf out = {0};
    assert_true(reply_print(&out, 250, SPAN_NONE, span_make(text, 506)));
    assert_int_equal(buf_len(&out), 512); /* one line, full */
    buf_free(&out);
    text[506] = ' ';
    assert_true(reply_print(&out, 250, SPAN_NONE, span_make(text, 508)));
    assert_int_equal(buf_len(&out), 512 + 4 + 1 + 2);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_replies),
        cmocka_unit_test(octets_in_the_text),
        cmocka_unit_test(malformed),
        cmocka_unit_test(limits),
        cmocka_unit_test(usual_limits),
        cmocka_unit_test(lines_of_a_reply),
        cmocka_unit_test(enhanced_codes),
        cmocka_unit_test(our_own_replies),
        cmocka_unit_test(long_texts_become_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
