/* SPDX-License-Identifier: MIT */
/* The line splitter: only CRLF ends a line, limits hold, and a cut of the input changes nothing. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "smtp/line.h"

#define ROOM 4096

/* Events as text: "[line]" for a line, a letter for all else. Stops after `most` events. */
static struct span events(struct span in, size_t step, size_t max, size_t flood, char out[ROOM])
{
    static const char letters[] = {[LINE_TOO_LONG] = 'T', [LINE_FLOOD] = 'F', [LINE_BARE_LF] = 'L',
                                   [LINE_BARE_CR] = 'C',  [LINE_NUL] = 'N',   [LINE_NO_MEMORY] = 'M'};
    struct line l;
    size_t n = 0;
    line_init(&l, max, flood);
    while (in.n) {
        struct span piece = span_head(in, step), line;
        in = span_skip(in, piece.n);
        for (enum line_result r; (r = line_feed(&l, &piece, &line)) != LINE_MORE;) {
            if (r != LINE_READY) {
                out[n++] = letters[r];
                if (r == LINE_FLOOD)
                    goto out;
                continue;
            }
            assert_true(n + line.n + 2 < ROOM);
            out[n++] = '[';
            memcpy(out + n, line.p, line.n);
            n += line.n;
            out[n++] = ']';
        }
        assert_int_equal(piece.n, 0);
    }
    if (line_partial(&l))
        out[n++] = '~';
    else
        assert_null(l.held.data); /* an idle splitter holds nothing */
out:
    line_free(&l);
    assert_null(l.held.data);
    return span_make(out, n);
}

static void check_events(struct span in, struct span want)
{
    char out[ROOM];
    for (size_t step = 1; step <= in.n; step++)
        assert_spans_eq(events(in, step, 10, 20, out), want);
}

#define EVENTS(in, want) check_events(SPAN_LIT(in), SPAN_LIT(want))

static void lines_end_in_crlf_and_nothing_else(void **state)
{
    (void)state;
    EVENTS("NOOP\r\n", "[NOOP]");
    EVENTS("\r\n\r\n", "[][]");
    EVENTS("a\r\nbc\r\nd", "[a][bc]~");
    EVENTS("a\r", "~");
    EVENTS("\r", "~");
    EVENTS("\v\f\x85\r\n", "[\v\f\x85]");
}

static void what_is_not_crlf_spoils_the_line(void **state)
{
    (void)state;
    EVENTS("RSET\rQUIT\r\nNOOP\r\n", "CT[NOOP]"); /* SM-34 */
    EVENTS("MAIL\nRCPT\nDATA\n", "LLL~");         /* SM-33 */
    EVENTS("a\0b\r\nc\r\n", "NT[c]");             /* CP-03 */
    EVENTS("\r\r\n", "CT");
    EVENTS("\r\0\r\n", "CNT");
    EVENTS("\n\r\n", "LT");
    EVENTS("MAIL <a\r\nRCPT>\r\n", "[MAIL <a][RCPT>]"); /* SM-35 */
}

static void limits(void **state)
{
    (void)state;
    EVENTS("0123456789\r\n", "[0123456789]");
    EVENTS("0123456789a\r\nNOOP\r\n", "T[NOOP]"); /* CP-02 */
    EVENTS("0123456789a\nx\r\nNOOP\r\n", "LT[NOOP]");
    EVENTS("0123456789abcdefghij\r\n", "T");
    EVENTS("0123456789abcdefghijk\r\n", "F");
    EVENTS("0123456789abcdefghijk\0\n", "F");
}

static void the_rest_is_left_in_place(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        struct line l;
        struct span line, in = SPAN_LIT("xxxxxxxx");
        line_init(&l, 2, 4);
        if (cut) {
            struct span first = span_head(in, 3);
            in = span_skip(in, 3);
            assert_int_equal(line_feed(&l, &first, &line), LINE_MORE);
        }
        assert_int_equal(line_feed(&l, &in, &line), LINE_FLOOD);
        assert_int_equal(in.n, 3); /* one more than the limit was taken */
        assert_int_equal(line_feed(&l, &in, &line), LINE_FLOOD);
        line_free(&l);
        in = SPAN_LIT("a\r\nrest");
        assert_int_equal(line_feed(&l, &in, &line), LINE_READY);
        assert_span(line, "a");
        assert_span(in, "rest");
        line_free(&l);
    }
}

static void a_whole_line_is_not_copied(void **state)
{
    (void)state;
    struct line l;
    const struct span all = SPAN_LIT("EHLO x\r\n");
    struct span in = all, line;
    line_init(&l, 100, 200);
    assert_int_equal(line_feed(&l, &in, &line), LINE_READY);
    assert_ptr_equal(line.p, all.p);
    assert_null(l.held.data);
}

/* CP-01: the sizes that standards and servers name. */
static void line_lengths(void **state)
{
    (void)state;
    static char big[1 << 20];
    memset(big, 'x', sizeof big);
    static const struct {
        size_t octets;
        enum line_result result;
    } cases[] = {{510, LINE_READY},     {511, LINE_READY},      {2046, LINE_READY},
                 {2047, LINE_TOO_LONG}, {60000, LINE_TOO_LONG}, {100001, LINE_FLOOD}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct line l;
        struct span line, in = span_make(big, cases[i].octets), end = SPAN_LIT("\r\n");
        line_init(&l, 2046, 100000);
        enum line_result r = line_feed(&l, &in, &line);
        if (r == LINE_MORE) {
            assert_true(buf_len(&l.held) <= 2046);
            r = line_feed(&l, &end, &line);
        }
        assert_int_equal(r, cases[i].result);
        if (r == LINE_READY)
            assert_int_equal(line.n, cases[i].octets);
        line_free(&l);
    }
}

static void a_nul_may_be_allowed(void **state)
{
    (void)state;
    struct line l;
    struct span line, in = SPAN_LIT("a\0b\r\n");
    line_init(&l, 100, 200);
    l.nul_ok = true;
    assert_int_equal(line_feed(&l, &in, &line), LINE_READY);
    assert_span(line, "a\0b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_in_crlf_and_nothing_else),
        cmocka_unit_test(what_is_not_crlf_spoils_the_line),
        cmocka_unit_test(limits),
        cmocka_unit_test(the_rest_is_left_in_place),
        cmocka_unit_test(a_whole_line_is_not_copied),
        cmocka_unit_test(line_lengths),
        cmocka_unit_test(a_nul_may_be_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
