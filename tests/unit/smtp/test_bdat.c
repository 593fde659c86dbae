/* SPDX-License-Identifier: MIT */
/* Sizes of chunks, and content in chunks: what stands between two of them, and where dots mean nothing. */
#include "unit/base/check.h"

#include "smtp/bdat.h"
#include "smtp/data.h"

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *argument;
        bool good, last;
        uint64_t size;
    } table[] = {
        {"0", true, false, 0},
        {"9 LAST", true, true, 9},
        {"9\t  last", true, true, 9},
        {"007", true, false, 7},
        {"4611686018427387904", true, false, BDAT_SIZE_MAX},
        {"4611686018427387905", false, false, 0},
        {"18446744073709551617", false, false, 0}, /* 1, for whoever wraps around */
        {"99999999999999999999999999999999", false, false, 0},
        {"", false, false, 0},
        {"LAST", false, false, 0},
        {"-1", false, false, 0},
        {"+1", false, false, 0},
        {"1LAST", false, false, 0},
        {"1 LAST x", false, false, 0},
        {"1 FIRST", false, false, 0},
        {"0x10", false, false, 0},
        {"1,0", false, false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct bdat b;
        bool good = bdat_parse(span_of(table[i].argument), &b);
        if (good != table[i].good || (good && (b.last != table[i].last || b.size != table[i].size)))
            fail_msg("\"%s\"", table[i].argument);
    }
}

struct seen {
    struct buf content;
    struct data_decoder d;
};

static struct seen decode(struct span chunks, size_t step, enum data_form form, bool normalize)
{
    struct seen s = {0};
    data_decoder_init(&s.d, form, normalize);
    while (chunks.n) {
        struct span in = span_head(chunks, step), piece;
        chunks = span_skip(chunks, in.n);
        while (data_decode(&s.d, &in, &piece) == DATA_CONTENT)
            assert_true(buf_append(&s.content, piece));
        assert_int_equal(in.n, 0);
    }
    assert_true(buf_append(&s.content, data_decode_last(&s.d)));
    return s;
}

static void check(struct span chunks, enum data_form form, bool normalize, struct span want)
{
    for (size_t step = 1; step <= chunks.n + 1; step++) {
        struct seen s = decode(chunks, step, form, normalize);
        assert_spans_eq(buf_span(&s.content), want);
        assert_int_equal(s.d.octets, chunks.n);
        buf_free(&s.content);
    }
}

static void dots_mean_nothing(void **state)
{
    (void)state;
    const struct span dots = SPAN_LIT(".\r\n..a\r\n.\r\nb");
    check(dots, DATA_CHUNKS, false, dots);
    struct seen s = decode(dots, 3, DATA_CHUNKS, false);
    assert_false(s.d.bare_cr || s.d.bare_lf || s.d.nul);
    buf_free(&s.content);
}

static void line_ends(void **state)
{
    (void)state;
    check(SPAN_LIT("a\nb\rc\r\n"), DATA_CHUNKS, true, SPAN_LIT("a\r\nb c\r\n"));
    check(SPAN_LIT("a\r"), DATA_CHUNKS, true, SPAN_LIT("a "));
    check(SPAN_LIT("a\r"), DATA_CHUNKS, false, SPAN_LIT("a\r"));
    struct seen s = decode(SPAN_LIT("a\r"), 1, DATA_CHUNKS, false);
    assert_true(s.d.bare_cr);
    buf_free(&s.content);
    check(SPAN_LIT("a\n\r\0\r"), DATA_BINARY, true, SPAN_LIT("a\n\r\0\r"));
}

static void check_wire(struct span content, enum data_form form, struct span want)
{
    for (size_t step = 1; step <= content.n + 1; step++) {
        struct data_emitter e;
        struct buf wire = {0};
        data_emitter_init(&e, form);
        for (struct span rest = content; rest.n;) {
            struct span piece = span_head(rest, step);
            rest = span_skip(rest, piece.n);
            assert_true(data_emit(&e, &piece, &wire, SIZE_MAX));
        }
        assert_true(data_emit_end(&e, &wire));
        assert_spans_eq(buf_span(&wire), want);
        buf_free(&wire);
    }
}

/* Nothing is stuffed, and nothing added to a last line without an end (RFC 3030 2). */
static void emitted(void **state)
{
    (void)state;
    check_wire(SPAN_LIT(".a\r\n.\r\nb"), DATA_CHUNKS, SPAN_LIT(".a\r\n.\r\nb"));
    check_wire(SPAN_LIT("a\nb\rc\r"), DATA_CHUNKS, SPAN_LIT("a\r\nb c "));
    check_wire(SPAN_LIT("a\nb\rc\0\r"), DATA_BINARY, SPAN_LIT("a\nb\rc\0\r"));
    check_wire(SPAN_LIT(""), DATA_CHUNKS, SPAN_LIT(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(dots_mean_nothing),
        cmocka_unit_test(line_ends),
        cmocka_unit_test(emitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
