/* SPDX-License-Identifier: MIT */
/* The end of data. Names like SM-02 are those of the catalogue of smuggling sequences: bytes that one server
 * takes for the end of a message and another does not. Each goes in whole, byte by byte and cut in two.
 * test_data_matrix.c has every short string there is. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "smtp/data.h"
#include "unit/smtp/data_reference.h"

#define ROOM 512

struct decoded {
    char content[ROOM];
    size_t n;
    size_t end; /* octets taken when the end came; SIZE_MAX: it has not */
    struct data_decoder d;
};

/* Feeds `in` in pieces: the first of `first` octets, the others of `step`. */
static void decode(struct span in, size_t first, size_t step, bool normalize, struct decoded *r)
{
    size_t at = 0;
    r->n = 0;
    r->end = SIZE_MAX;
    data_decoder_init(&r->d, DATA_DOTS, normalize);
    for (size_t n = first; at < in.n && r->end == SIZE_MAX; n = step) {
        struct span piece = span_head(span_skip(in, at), n), content;
        at += piece.n;
        for (enum data_result x; (x = data_decode(&r->d, &piece, &content)) != DATA_MORE;) {
            if (x == DATA_END) {
                r->end = at - piece.n;
                break;
            }
            if (content.n == 0 || r->n + content.n > ROOM)
                fail_msg("a piece of %zu octets", content.n);
            memcpy(r->content + r->n, content.p, content.n);
            r->n += content.n;
        }
    }
}

static void check_decoded(const struct decoded *got, const struct reference *want)
{
    /* One comparison, because there are millions of them; the octets and a bare CR at the very end of an
     * unfinished input are known a little later than the reference knows them. */
    bool same = got->n == want->n && memcmp(got->content, want->content, want->n) == 0 &&
                got->end == want->end && got->d.bare_lf == want->bare_lf && got->d.lines == want->lines &&
                (want->end == SIZE_MAX || got->d.octets == want->end - 3);
    if (!same)
        fail_msg("\"%.*s\" (end %zd) instead of \"%.*s\" (end %zd)", (int)got->n, got->content,
                 (ssize_t)got->end, (int)want->n, want->content, (ssize_t)want->end);
}

/* Both modes; whole, byte by byte, and cut in two at every place. */
static void check_all_ways(struct span in)
{
    char room[ROOM];
    struct decoded got;
    assert_true(in.n * 2 <= ROOM);
    for (int normalize = 0; normalize < 2; normalize++) {
        struct reference want = {.content = room};
        reference_decode(in, normalize, &want);
        for (size_t cut = 1; cut <= in.n; cut++) {
            decode(in, cut, in.n, normalize, &got);
            check_decoded(&got, &want);
            assert_int_equal(got.d.bare_cr, want.bare_cr);
        }
        decode(in, 1, 1, normalize, &got);
        check_decoded(&got, &want);
    }
}

/* The commands that a smuggler wants to be taken as such. */
#define ST "MAIL FROM:<evil@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nhi"

struct sequence {
    const char *name;
    struct span bytes;
    struct span normal; /* the content in normalize mode, up to ST */
};

#define SEQUENCE(name, bytes, normal)                                                                        \
    {                                                                                                        \
        name, {bytes ST, sizeof bytes ST - 1},                                                               \
        {                                                                                                    \
            normal ST, sizeof normal ST - 1                                                                  \
        }                                                                                                    \
    }
static const struct sequence no_ends[] = {
    SEQUENCE("SM-02", "\n.\r\n", "\r\n.\r\n"),
    SEQUENCE("SM-03", "\r\n.\n", "\r\n\r\n"),
    SEQUENCE("SM-04", "\r.\r", " . "),
    SEQUENCE("SM-05", "\r.\n", " .\r\n"),
    SEQUENCE("SM-06", "\n.\r", "\r\n. "),
    SEQUENCE("SM-07", "\r.\r\n", " .\r\n"),
    SEQUENCE("SM-08", "\r\n.\r", "\r\n "),
    SEQUENCE("SM-09", "\r\n.\r\r\n", "\r\n \r\n"),
    SEQUENCE("SM-10", "\r\r\n.\r\r\n", " \r\n \r\n"),
    SEQUENCE("SM-11", "\r\n\0.\r\n", "\r\n\0.\r\n"),
    SEQUENCE("SM-12", "\r\n.\0\r\n", "\r\n\0\r\n"),
    SEQUENCE("SM-13", "\n\r.\n\r", "\r\n .\r\n "),
    SEQUENCE("SM-14 VT", "\v.\v", "\v.\v"),
    SEQUENCE("SM-14 FF", "\f.\r\n", "\f.\r\n"),
    SEQUENCE("SM-14 x85", "\x85.\r\n", "\x85.\r\n"),
    SEQUENCE("SM-14 NEL", "\xc2\x85.\r\n", "\xc2\x85.\r\n"),
    SEQUENCE("SM-14 LS", "\xe2\x80\xa8.\r\n", "\xe2\x80\xa8.\r\n"),
    SEQUENCE("SM-15 blank", "\r\n. \r\n", "\r\n \r\n"),
    SEQUENCE("SM-15 tab", "\r\n.\t\r\n", "\r\n\t\r\n"),
    SEQUENCE("SM-15 x", "\r\n.x\r\n", "\r\nx\r\n"),
    SEQUENCE("LF only", "\n.\n", "\r\n.\r\n"),
};

/* In the middle of a body, and (SM-18) as the first bytes after 354. */
static void sequences_that_are_no_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(no_ends); i++) {
        const struct sequence *s = &no_ends[i];
        char body[ROOM / 2] = "Subject: x\r\n\r\nbody";
        size_t n = sizeof "Subject: x\r\n\r\nbody" - 1;
        memcpy(body + n, s->bytes.p, s->bytes.n);
        struct span in = span_make(body, n + s->bytes.n);
        struct decoded got;
        decode(in, in.n, in.n, true, &got);
        if (got.end != SIZE_MAX)
            fail_msg("%s ends the message", s->name);
        assert_spans_eq(span_skip(span_make(got.content, got.n), n), s->normal);
        check_all_ways(in);
        check_all_ways(s->bytes);
        memcpy(body + in.n, "\r\n.\r\nQUIT\r\n", 11);
        decode(span_make(body, in.n + 11), 1, 1, true, &got);
        assert_int_equal(got.end, in.n + 5);
    }
}

static void the_true_end(void **state)
{
    (void)state;
    struct decoded got;
    decode(SPAN_LIT(".\r\nQUIT\r\n"), 99, 99, false, &got); /* SM-19 */
    assert_int_equal(got.end, 3);
    assert_int_equal(got.n + got.d.octets + got.d.lines, 0);

    decode(SPAN_LIT("a\r\n\r\n.\r\nMAIL FROM:<c@x.test>\r\n"), 99, 99, false, &got); /* SM-30 */
    assert_int_equal(got.end, 8);
    assert_span(span_make(got.content, got.n), "a\r\n\r\n");
    assert_int_equal(got.d.octets, 5);
    assert_int_equal(got.d.lines, 2);
    check_all_ways(SPAN_LIT("a\r\n.\r\nb\r\n.\r\n")); /* SM-20 */
}

static void nothing_is_taken_after_the_end(void **state)
{
    (void)state;
    struct data_decoder d;
    struct span in = SPAN_LIT(".\r\nQUIT\r\n"), content;
    data_decoder_init(&d, DATA_DOTS, true);
    assert_int_equal(data_decode(&d, &in, &content), DATA_END);
    assert_span(in, "QUIT\r\n");
    assert_int_equal(data_decode(&d, &in, &content), DATA_END);
    assert_span(in, "QUIT\r\n");
    in = SPAN_NONE;
    assert_int_equal(data_decode(&d, &in, &content), DATA_END);
}

static void stuffed_dots_are_removed(void **state) /* SM-24 */
{
    (void)state;
    struct decoded got;
    decode(SPAN_LIT("..foo\r\n...\r\n.bar\r\na..b\r\n..\r\n.\r\n"), 99, 99, false, &got);
    assert_span(span_make(got.content, got.n), ".foo\r\n..\r\nbar\r\na..b\r\n.\r\n");
    assert_int_equal(got.d.lines, 5);
}

static void lf_only_messages(void **state) /* SM-16 */
{
    (void)state;
    struct decoded got;
    const struct span in = SPAN_LIT("Subject: x\n\nhello\n.\nbye\n\r\n.\r\n");
    decode(in, 99, 99, true, &got);
    assert_int_equal(got.end, in.n);
    assert_true(got.d.bare_lf);
    assert_span(span_make(got.content, got.n), "Subject: x\r\n\r\nhello\r\n.\r\nbye\r\n\r\n");
    decode(in, 99, 99, false, &got);
    assert_true(got.d.bare_lf);
    assert_span(span_make(got.content, got.n), "Subject: x\n\nhello\n.\nbye\n\r\n");
}

static void octets_are_noted(void **state)
{
    (void)state;
    static const struct {
        struct span in;
        bool nul, eight_bit, bare_cr;
    } cases[] = {
        {{"abcdefghijklmnop\r\n", 18}, false, false, false},
        {{"a\0b\r\n", 5}, true, false, false},
        {{"abcdefg\xfc\r\n", 10}, false, true, false},
        {{"abcdefgh\xfc\r\n", 11}, false, true, false},
        {{"..\x80\r\n", 5}, false, true, false},
        {{".\0\r\n", 4}, true, false, false},
        {{"a\r\xff\r\n", 5}, false, true, true},
        {{"a\r\0", 3}, true, false, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (size_t step = 1; step < 30; step++) {
            struct decoded got;
            decode(cases[i].in, step, step, step & 1, &got);
            assert_int_equal(got.d.nul, cases[i].nul);
            assert_int_equal(got.d.eight_bit, cases[i].eight_bit);
            assert_int_equal(got.d.bare_cr, cases[i].bare_cr);
        }
}

static void random_strings_in_a_body(void **state) /* SM-40 as it stands */
{
    (void)state;
    static const char alphabet[] = {'\r', '\n', '.', '\0', 'a'};
    uint32_t random = 40;
    for (int round = 0; round < 1000; round++) {
        char body[ROOM / 2] = "x: y\r\n\r\nbody";
        size_t n = 12;
        random = random * 1664525u + 1013904223u;
        for (uint32_t left = 1 + (random >> 8) % 12; left > 0; left--) {
            random = random * 1664525u + 1013904223u;
            body[n++] = alphabet[(random >> 8) % 5];
        }
        memcpy(body + n, ST, sizeof ST - 1);
        check_all_ways(span_make(body, n + sizeof ST - 1));
    }
}

/* A long line of one character, a long run of short lines: the cost is that of reading them. */
static void long_runs_are_one_piece(void **state)
{
    (void)state;
    static char big[1 << 20];
    struct data_decoder d;
    struct span content;
    memset(big, 'a', sizeof big);
    data_decoder_init(&d, DATA_DOTS, false);
    struct span in = span_make(big, sizeof big);
    assert_int_equal(data_decode(&d, &in, &content), DATA_CONTENT);
    assert_int_equal(content.n, sizeof big);

    for (size_t i = 0; i + 1 < sizeof big; i += 2)
        memcpy(big + i, "\r\n", 2);
    in = span_make(big, sizeof big);
    assert_int_equal(data_decode(&d, &in, &content), DATA_CONTENT);
    assert_int_equal(content.n, sizeof big);
    assert_int_equal(d.lines, sizeof big / 2);
}

static void hostile_runs_are_not_quadratic(void **state)
{
    (void)state;
    static char big[1 << 22];
    static const char octets[] = {'\r', '\n', '\0'};
    for (size_t i = 0; i < sizeof octets; i++) {
        memset(big, octets[i], sizeof big);
        struct data_decoder d;
        struct span in = span_make(big, sizeof big), content;
        data_decoder_init(&d, DATA_DOTS, true);
        while (data_decode(&d, &in, &content) == DATA_CONTENT)
            assert_true(content.n > 0);
        assert_int_equal(d.octets, sizeof big);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_that_are_no_end),
        cmocka_unit_test(the_true_end),
        cmocka_unit_test(nothing_is_taken_after_the_end),
        cmocka_unit_test(stuffed_dots_are_removed),
        cmocka_unit_test(lf_only_messages),
        cmocka_unit_test(octets_are_noted),
        cmocka_unit_test(random_strings_in_a_body),
        cmocka_unit_test(long_runs_are_one_piece),
        cmocka_unit_test(hostile_runs_are_not_quadratic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
