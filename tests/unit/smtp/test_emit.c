/* SPDX-License-Identifier: MIT */
/* The emitter: whatever it is given, in whatever pieces and with whatever room, the wire has CRLF line ends,
 * stuffed dots and one end, and decodes to the same content. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "smtp/data.h"
#include "unit/smtp/wire_check.h"

/* Pieces of `step` octets, `room` octets of output a call. */
static struct buf emit(struct span content, size_t step, size_t room)
{
    struct buf wire = {0};
    struct data_emitter e;
    data_emitter_init(&e, DATA_DOTS);
    while (content.n) {
        struct span piece = span_head(content, step);
        content = span_skip(content, piece.n);
        while (piece.n) {
            size_t before = buf_len(&wire), left = piece.n;
            assert_true(data_emit(&e, &piece, &wire, room));
            assert_true(buf_len(&wire) - before <= room);
            assert_true(piece.n < left || buf_len(&wire) > before); /* a room of two always gets on */
        }
    }
    assert_true(data_emit_end(&e, &wire));
    return wire;
}

static void check_wire(struct span content, struct span want)
{
    for (size_t step = 1; step <= content.n + 1; step++)
        for (size_t room = 2; room < 9; room++) {
            struct buf wire = emit(content, step, room);
            assert_spans_eq(buf_span(&wire), want);
            assert_null(wire_fault(buf_span(&wire)));
            buf_free(&wire);
        }
}

#define WIRE(content, want) check_wire(SPAN_LIT(content), SPAN_LIT(want))

static void known_contents(void **state)
{
    (void)state;
    WIRE("", ".\r\n");
    WIRE("a", "a\r\n.\r\n");
    WIRE("a\r\n", "a\r\n.\r\n");
    WIRE(".", "..\r\n.\r\n");
    WIRE("..foo\r\n.\r\nb", "...foo\r\n..\r\nb\r\n.\r\n");
    WIRE("a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n");
    WIRE("a\rb\r", "a b \r\n.\r\n");
    WIRE("\r\r\n\n\r", " \r\n\r\n \r\n.\r\n");
    WIRE("\n\n", "\r\n\r\n.\r\n");
    WIRE("\r.\r\n", " .\r\n.\r\n");
    WIRE("\0.\xff\r\n.\0", "\0.\xff\r\n..\0\r\n.\r\n");
}

static void a_room_of_less_than_two_takes_nothing_wrong(void **state)
{
    (void)state;
    struct buf wire = {0};
    struct data_emitter e;
    struct span content = SPAN_LIT("ab");
    data_emitter_init(&e, DATA_DOTS);
    assert_true(data_emit(&e, &content, &wire, 1));
    assert_true(data_emit(&e, &content, &wire, 0));
    assert_int_equal(buf_len(&wire), 0);
    assert_int_equal(content.n, 2);
    assert_null(wire.data);
}

/* decode(emit(x)) is x with its line ends put right. */
static void check_round_trip(struct span content, size_t step, size_t room)
{
    char normal[32], back[64];
    struct buf wire = emit(content, step, room);
    assert_null(wire_fault(buf_span(&wire)));
    struct span want = wire_normal(content, normal), in = buf_span(&wire), piece;
    struct data_decoder d;
    size_t n = 0;
    data_decoder_init(&d, DATA_DOTS, false);
    enum data_result r;
    while ((r = data_decode(&d, &in, &piece)) == DATA_CONTENT) {
        memcpy(back + n, piece.p, piece.n);
        n += piece.n;
    }
    assert_int_equal(r, DATA_END);
    assert_int_equal(in.n, 0);
    assert_false(d.bare_cr || d.bare_lf);
    assert_spans_eq(span_make(back, n), want);
    buf_free(&wire);
}

static void every_short_content(void **state)
{
    (void)state;
    static const char alphabet[] = {'\r', '\n', '.', 'a'};
    char in[7];
    for (size_t n = 1, strings = 4; n <= sizeof in; n++, strings *= 4)
        for (size_t x = 0; x < strings; x++) {
            for (size_t i = 0, rest = x; i < n; i++, rest /= 4)
                in[i] = alphabet[rest % 4];
            check_round_trip(span_make(in, n), n, 64);
            check_round_trip(span_make(in, n), 1, 2);
            check_round_trip(span_make(in, n), 3, 3);
        }
}

static void long_content_with_a_small_room(void **state)
{
    (void)state;
    static char content[300000];
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = i % 60 == 58 ? '\r' : i % 60 == 59 ? '\n' : i % 60 == 0 ? '.' : 'x';
    struct buf small = emit(span_make(content, sizeof content), 4096, 1000);
    struct buf large = emit(span_make(content, sizeof content), sizeof content, SIZE_MAX);
    assert_true(span_eq(buf_span(&small), buf_span(&large)));
    assert_int_equal(buf_len(&large), sizeof content + sizeof content / 60 + 3);
    assert_null(wire_fault(buf_span(&large)));
    buf_free(&small);
    buf_free(&large);
}

static void hostile_content_is_not_quadratic(void **state)
{
    (void)state;
    static char content[1 << 20];
    static const char octets[] = {'\r', '\n', '.'};
    for (size_t i = 0; i < sizeof octets; i++) {
        memset(content, octets[i], sizeof content);
        struct buf wire = emit(span_make(content, sizeof content), sizeof content, SIZE_MAX);
        assert_null(wire_fault(buf_span(&wire)));
        buf_free(&wire);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_contents),
        cmocka_unit_test(a_room_of_less_than_two_takes_nothing_wrong),
        cmocka_unit_test(every_short_content),
        cmocka_unit_test(long_content_with_a_small_room),
        cmocka_unit_test(hostile_content_is_not_quadratic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
