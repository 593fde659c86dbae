/* SPDX-License-Identifier: MIT */
/* Message content: the decoder against a reference of another making, cut in any way; and the emitter, whose
 * output must be one message for every reader and decode to what went in. By DATA, by BDAT, and binary. */
#include "fuzz/fuzz.h"

#include "smtp/data.h"
#include "unit/smtp/data_reference.h"
#include "unit/smtp/wire_check.h"

static char *room_for(struct span in)
{
    char *room = malloc(in.n * 2 + 4);
    REQUIRE(room);
    return room;
}

/* What the decoder says of `in`. *used_r: octets up to the end, or SIZE_MAX. */
static struct buf decode(struct span in, enum cut how, struct data_decoder *d, size_t *used_r)
{
    struct buf content = {0};
    uint32_t number = (uint32_t)in.n;
    size_t taken = 0;
    enum data_result r = DATA_MORE;
    *used_r = SIZE_MAX;
    while (in.n && r != DATA_END) {
        struct span piece = cut_piece(&in, how, &number), left = piece, got;
        while ((r = data_decode(d, &left, &got)) == DATA_CONTENT)
            REQUIRE(got.n > 0 && buf_append(&content, got));
        taken += piece.n - left.n;
        free_piece(piece);
    }
    if (r == DATA_END)
        *used_r = taken;
    return content;
}

static void check_decoder(struct span in, bool normalize)
{
    struct reference want = {.content = room_for(in)};
    reference_decode(in, normalize, &want);
    for (int how = 0; how < CUTS; how++) {
        struct data_decoder d;
        size_t used;
        data_decoder_init(&d, DATA_DOTS, normalize);
        struct buf got = decode(in, (enum cut)how, &d, &used);
        REQUIRE(used == want.end);
        REQUIRE(span_eq(buf_span(&got), span_make(want.content, want.n)));
        REQUIRE(d.bare_lf == want.bare_lf && d.bare_cr == want.bare_cr && d.lines == want.lines);
        REQUIRE(used == SIZE_MAX || d.octets == used - 3);
        if (normalize)
            REQUIRE(memchr(want.content, '\n', want.n) == NULL || want.lines + d.bare_lf > 0);
        buf_free(&got);
    }
    free(want.content);
}

static struct buf emit(struct span content, enum data_form form, enum cut how, size_t room)
{
    struct buf wire = {0};
    struct data_emitter e;
    uint32_t number = (uint32_t)content.n;
    data_emitter_init(&e, form);
    while (content.n) {
        struct span piece = cut_piece(&content, how, &number), left = piece;
        while (left.n) {
            size_t before = buf_len(&wire), octets = left.n;
            REQUIRE(data_emit(&e, &left, &wire, room));
            REQUIRE(buf_len(&wire) - before <= room);
            REQUIRE(left.n < octets || buf_len(&wire) > before);
        }
        free_piece(piece);
    }
    REQUIRE(data_emit_end(&e, &wire));
    return wire;
}

static void check_emitter(struct span content)
{
    char *room = room_for(content);
    struct span want = wire_normal(content, room);
    for (int how = 0; how < CUTS; how++) {
        struct buf wire =
            emit(content, DATA_DOTS, (enum cut)how, how == CUT_WHOLE ? SIZE_MAX : 2 + content.n % 50);
        const char *fault = wire_fault(buf_span(&wire));
        if (fault)
            (void)fprintf(stderr, "the wire has %s\n", fault);
        REQUIRE(!fault);
        struct data_decoder d;
        size_t used;
        data_decoder_init(&d, DATA_DOTS, false);
        struct buf back = decode(buf_span(&wire), CUT_WHOLE, &d, &used);
        REQUIRE(used == buf_len(&wire) && !d.bare_cr && !d.bare_lf);
        REQUIRE(span_eq(buf_span(&back), want));
        buf_free(&back);
        buf_free(&wire);
    }
    free(room);
}

/* The content of a payload, whose end is the input's. */
static struct buf decode_payload(struct span in, enum cut how, struct data_decoder *d)
{
    size_t used;
    struct buf content = decode(in, how, d, &used);
    struct span last = data_decode_last(d);
    REQUIRE(used == SIZE_MAX && d->octets == in.n && buf_append(&content, last));
    return content;
}

static void check_payload(struct span in, bool normalize)
{
    char *room = room_for(in);
    struct span normal = wire_normal_chunk(in, room);
    bool bare = !span_eq(normal, in);
    for (int how = 0; how < CUTS; how++) {
        struct data_decoder d;
        data_decoder_init(&d, DATA_CHUNKS, normalize);
        struct buf got = decode_payload(in, (enum cut)how, &d);
        REQUIRE(span_eq(buf_span(&got), normalize ? normal : in));
        REQUIRE((d.bare_cr || d.bare_lf) == bare);
        REQUIRE(d.nul == (in.n && memchr(in.p, '\0', in.n)));
        struct buf wire = emit(buf_span(&got), DATA_CHUNKS, (enum cut)how, 2 + in.n % 50);
        REQUIRE(span_eq(buf_span(&wire), normal));
        buf_free(&wire);
        buf_free(&got);

        data_decoder_init(&d, DATA_BINARY, normalize);
        got = decode_payload(in, (enum cut)how, &d);
        wire = emit(buf_span(&got), DATA_BINARY, (enum cut)how, 2 + in.n % 50);
        REQUIRE(span_eq(buf_span(&got), in) && span_eq(buf_span(&wire), in));
        buf_free(&wire);
        buf_free(&got);
    }
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    check_decoder(in, false);
    check_decoder(in, true);
    check_emitter(in);
    check_payload(in, false);
    check_payload(in, true);
    return 0;
}
