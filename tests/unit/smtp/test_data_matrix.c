/* SPDX-License-Identifier: MIT */
/* The smuggling matrix: every string of up to 8 octets over CR, LF, dot, NUL and a letter, in the middle of a
 * body and as its very beginning, followed by a true end and by what a smuggler wants taken as commands.
 *
 *   octets -> decoder -> content -> emitter -> wire
 *      |         = where the end is,  |          = one message, and the same content
 *      +-> reference (line by line)   +---------> strict reader (a table)
 *
 * What the decoder gives is judged by the one, what the emitter writes by the other; neither shares code with
 * either of them. The same strings go in as the payload of BDAT, whose end is known, and out in both forms.
 */
#include "unit/base/check.h"

#include "base/attr.h"
#include "smtp/data.h"
#include "unit/smtp/data_reference.h"
#include "unit/smtp/strict_reader.h"
#include "unit/smtp/wire_check.h"

/* Up to LONGEST_CUT octets, each is cut in two at every place, and emitted through every small room. */
#ifdef __SANITIZE_ADDRESS__
#define LONGEST 7 /* the whole of it is run by the release build */
#else
#define LONGEST 8
#endif
#define LONGEST_CUT 5
#define END         "\r\n.\r\n"
#define TAIL        "MAIL FROM:<e>\r\n"
#define ROOM        128

struct decoded {
    char content[ROOM];
    size_t n;
    size_t left; /* octets not taken when the end came */
    struct data_decoder d;
    struct data_emitter e;
    struct buf wire;
};

static void begin(struct decoded *r, enum data_form from, enum data_form to, bool normalize)
{
    r->n = 0;
    r->wire = (struct buf){0};
    data_decoder_init(&r->d, from, normalize);
    data_emitter_init(&r->e, to);
}

static void pass_on(struct decoded *r, struct span content, size_t room)
{
    if (r->n + content.n > ROOM)
        fail_msg("a piece of %zu octets", content.n);
    if (content.n)
        memcpy(r->content + r->n, content.p, content.n);
    r->n += content.n;
    while (content.n)
        if (!data_emit(&r->e, &content, &r->wire, room))
            fail_msg("no memory");
}

/* One piece through the decoder, and each piece of content through the emitter. true: the end came. */
static bool feed(struct decoded *r, struct span piece, size_t room)
{
    struct span content;
    enum data_result x;
    while ((x = data_decode(&r->d, &piece, &content)) == DATA_CONTENT) {
        if (!content.n)
            fail_msg("a piece of nothing");
        pass_on(r, content, room);
    }
    r->left = piece.n;
    return x == DATA_END;
}

/* The first piece has `first` octets, the others `step`. */
static void decode(struct decoded *r, struct span in, bool normalize, size_t first, size_t step, size_t room)
{
    bool ended = false;
    begin(r, DATA_DOTS, DATA_DOTS, normalize);
    for (size_t n = first; in.n && !ended; n = step) {
        ended = feed(r, span_head(in, n), room);
        in = span_skip(in, n);
    }
    r->left += in.n;
    if (!ended)
        fail_msg("no end");
    if (!data_emit_end(&r->e, &r->wire))
        fail_msg("no memory");
}

static void print_octets(const char *what, struct span s)
{
    print_error("%s ", what);
    for (size_t i = 0; i < s.n; i++)
        print_error(s.p[i] > ' ' && s.p[i] < 127 ? "%c" : "\\x%02x", (unsigned char)s.p[i]);
    print_error("\n");
}

/* What is wrong, or NULL. Plain comparisons, because there are millions. */
static const char *fault(const struct decoded *r, struct span in, const struct reference *want)
{
    struct span content = span_make(r->content, r->n), wire = buf_span(&r->wire);
    char read[2 * ROOM], normal[2 * ROOM];
    if (in.n - r->left != want->end)
        return "the end is elsewhere";
    if (!span_eq(content, span_make(want->content, want->n)))
        return "the content is another";
    if (r->d.bare_lf != want->bare_lf || r->d.bare_cr != want->bare_cr || r->d.octets != want->end - 3)
        return "something was not noted";
    if (r->d.nul != (want->n && memchr(want->content, '\0', want->n)))
        return "a NUL was not noted, or there is none";
    if (wire_fault(wire))
        return wire_fault(wire);
    struct strict_reading got = strict_read(wire, read);
    if (got.end != wire.n)
        return "a strict reader sees another end";
    if (got.nul != r->d.nul || !span_eq(span_make(read, got.n), wire_normal(content, normal)))
        return "a strict reader sees other content";
    return NULL;
}

struct ways {
    size_t first, step, room;
};

static void check(struct span in, bool normalize, struct ways how)
{
    struct decoded got;
    char room[2 * ROOM];
    struct reference want = {.content = room};
    reference_decode(in, normalize, &want);
    decode(&got, in, normalize, how.first, how.step, how.room);
    const char *wrong = fault(&got, in, &want);
    if (wrong) {
        print_octets("input", in);
        print_octets("wire ", buf_span(&got.wire));
    }
    buf_free(&got.wire);
    if (wrong)
        fail_msg("%s (%s, first %zu, then %zu, room %zu)", wrong, normalize ? "normalize" : "reject",
                 how.first, how.step, how.room);
}

static void check_all_ways(struct span in, bool normalize, bool every_cut)
{
    check(in, normalize, (struct ways){in.n, in.n, SIZE_MAX});
    check(in, normalize, (struct ways){1, 1, 2});
    for (size_t i = 1; every_cut && i < in.n; i++)
        check(in, normalize, (struct ways){i, in.n, 2 + i % 7});
}

/* The string of n octets whose number is x, written to the base of five. */
static void write_string(char *to, size_t n, size_t x)
{
    static const char alphabet[] = {'\r', '\n', '.', '\0', 'a'};
    for (; n > 0; n--, x /= sizeof alphabet)
        *to++ = alphabet[x % sizeof alphabet];
}

static void check_length(size_t n, struct span before)
{
    char in[64];
    size_t strings = 1, size = before.n + n;
    memcpy(in, before.p, before.n);
    memcpy(in + size, END TAIL, sizeof END TAIL - 1);
    size += sizeof END TAIL - 1;
    for (size_t i = 0; i < n; i++)
        strings *= 5;
    for (size_t x = 0; x < strings; x++) {
        write_string(in + before.n, n, x);
        for (int normalize = 0; normalize < 2; normalize++)
            check_all_ways(span_make(in, size), normalize, n <= LONGEST_CUT);
    }
}

static void in_the_middle_of_a_body(void **state)
{
    (void)state;
    for (size_t n = 0; n <= LONGEST; n++)
        check_length(n, SPAN_LIT("b"));
}

static void right_behind_354(void **state)
{
    (void)state;
    for (size_t n = 0; n <= LONGEST; n++)
        check_length(n, SPAN_LIT(""));
}

/* ---- chunks ---- */

static const char *chunk_fault(const struct decoded *r, struct span in, bool normalize, enum data_form to)
{
    char normal[2 * ROOM], read[2 * ROOM];
    struct span want = wire_normal_chunk(in, normal), content = span_make(r->content, r->n),
                wire = buf_span(&r->wire);
    bool bare = !span_eq(want, in);
    if (!span_eq(content, normalize ? want : in))
        return "the content is another";
    if ((r->d.bare_cr || r->d.bare_lf) != bare || r->d.octets != in.n)
        return "something was not noted";
    if (r->d.nul != (in.n && memchr(in.p, '\0', in.n)))
        return "a NUL was not noted, or there is none";
    if (to == DATA_CHUNKS)
        return span_eq(wire, want) ? NULL : "the chunk for the upstream is another";
    struct strict_reading got = strict_read(wire, read);
    if (got.end != wire.n || wire_fault(wire))
        return "a strict reader sees another end";
    return span_eq(span_make(read, got.n), wire_normal(in, normal)) ? NULL
                                                                    : "a strict reader sees other content";
}

static void check_chunks(struct span in, bool normalize, enum data_form to, size_t step, size_t room)
{
    struct decoded got;
    struct span left = in;
    bool ended = false;
    begin(&got, DATA_CHUNKS, to, normalize);
    for (; left.n; left = span_skip(left, step))
        ended = feed(&got, span_head(left, step), room) || ended;
    pass_on(&got, data_decode_last(&got.d), room);
    if (ended || !data_emit_end(&got.e, &got.wire))
        fail_msg("an end, or no memory");
    const char *wrong = chunk_fault(&got, in, normalize, to);
    if (wrong)
        print_octets("input", in);
    buf_free(&got.wire);
    if (wrong)
        fail_msg("%s (%s, to %s, step %zu)", wrong, normalize ? "normalize" : "reject",
                 to == DATA_DOTS ? "DATA" : "BDAT", step);
}

static void in_chunks(void **state)
{
    (void)state;
    char in[LONGEST];
    for (size_t n = 1, strings = 5; n <= LONGEST; n++, strings *= 5)
        for (size_t x = 0; x < strings; x++) {
            write_string(in, n, x);
            for (unsigned way = 0; way < 8; way++)
                check_chunks(span_make(in, n), way & 1, way & 2 ? DATA_DOTS : DATA_CHUNKS, way & 4 ? 1 : n,
                             way & 4 ? 2 : SIZE_MAX);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_middle_of_a_body),
        cmocka_unit_test(right_behind_354),
        cmocka_unit_test(in_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
