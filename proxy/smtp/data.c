/* SPDX-License-Identifier: MIT */
/* Message content, from the wire and to the wire. Owners hold the structs, which own no memory: content is
 * given out as pieces of the input, or as constants.
 *
 * Decoder, one input octet at a time (the code takes runs):
 *
 *              other            CR              LF
 *   START -----------> MID -----------> CR ------------> START   a true line end
 *     |                 ^  <------------+  bare CR
 *     | "."             |
 *     v     other       |
 *    DOT ---------------+   a stuffed dot, dropped
 *     | CR      other   |
 *     v   --------------+   likewise; the CR is a bare one
 *   DOT_CR -- LF --> END
 *
 * A bare LF leads to MID: only a true CRLF makes a line start, whatever the LF becomes. In chunks a dot is
 * like any other octet.
 *
 * Emitter: `mid_line` says where it is; a CR at the end of a piece waits in `cr` for the octet behind it. */
#include "smtp/data.h"

enum state { AT_START, AT_MID, AT_CR, AT_DOT, AT_DOT_CR, AT_END };

#define LOOK_AHEAD 256u
#define BLOCK      128u /* counts of one fit into an octet */

/* The place of the first CR or LF, or s.n. Looking ahead in blocks bounds what one search may cost when the
 * other character is far away, so that no sequence of them makes the whole quadratic. */
static size_t find_line_char(struct span s)
{
    for (size_t at = 0; at < s.n; at += LOOK_AHEAD) {
        struct span block = span_head(span_skip(s, at), LOOK_AHEAD);
        size_t cr = span_find(block, '\r');
        size_t hit = span_find(span_head(block, cr), '\n');
        if (hit < block.n)
            return at + hit;
    }
    return s.n;
}

/* What may be passed as it is from the front of a span whose first octet is no dot at a line start: it ends
 * before a dot at a line start (where dots matter), and before a CR or LF that is not half of a CRLF within
 * the span. */
struct run {
    size_t n;
    size_t lines;
    bool at_start; /* it ends in CRLF */
};

/* A block, and the octet behind it: 0 unless every CR and LF of it is half of a CRLF and no dot begins a
 * line; else its length, without a CR at its end. Plain counting, which compilers turn into vectors: this
 * looks at each octet of every message. */
static size_t clean_block(const char *p, bool dots, size_t *lines)
{
    uint8_t cr = 0, lf = 0, crlf = 0, dot = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        cr = (uint8_t)(cr + (p[i] == '\r'));
        lf = (uint8_t)(lf + (p[i] == '\n'));
        crlf = (uint8_t)(crlf + ((p[i] == '\r') & (p[i + 1] == '\n')));
        dot = (uint8_t)(dot + ((p[i] == '\n') & (p[i + 1] == '.')));
    }
    uint8_t cut = p[BLOCK - 1] == '\r';
    if (cr != crlf || lf + cut != crlf || (dots && dot))
        return 0;
    *lines += lf;
    return BLOCK - cut;
}

static struct run ordinary_run(struct span s, bool dots)
{
    struct run r = {0};
    for (size_t n = 1; n && r.n + BLOCK < s.n; r.n += n)
        n = clean_block(s.p + r.n, dots, &r.lines);
    size_t after_crlf = r.n && s.p[r.n - 1] == '\n' ? r.n : 0;
    if (dots && after_crlf && s.p[r.n] == '.') {
        r.at_start = true;
        return r;
    }
    for (;;) {
        r.n += find_line_char(span_skip(s, r.n));
        if (r.n + 1 >= s.n || s.p[r.n] != '\r' || s.p[r.n + 1] != '\n')
            break;
        r.n += 2;
        r.lines++;
        after_crlf = r.n;
        if (dots && r.n < s.n && s.p[r.n] == '.')
            break;
    }
    r.at_start = r.n > 0 && r.n == after_crlf;
    return r;
}

/* ---- decoder ---- */

void data_decoder_init(struct data_decoder *d, enum data_form form, bool normalize)
{
    *d = (struct data_decoder){.form = form, .normalize = normalize, .state = AT_START};
}

static struct span take(struct data_decoder *d, struct span *in, size_t n)
{
    struct span taken = span_head(*in, n);
    *in = span_skip(*in, n);
    d->octets += n;
    return taken;
}

/* Eight octets at a time: this looks at every octet of every message. */
static bool has_eight_bit(struct span s)
{
    uint64_t word, seen = 0;
    while (s.n >= sizeof word) {
        memcpy(&word, s.p, sizeof word);
        seen |= word;
        s = span_skip(s, sizeof word);
    }
    for (size_t i = 0; i < s.n; i++)
        seen |= (unsigned char)s.p[i];
    return (seen & 0x8080808080808080u) != 0;
}

static void note_octets(struct data_decoder *d, struct span run)
{
    if (!d->nul)
        d->nul = memchr(run.p, '\0', run.n) != NULL;
    if (!d->eight_bit)
        d->eight_bit = has_eight_bit(run);
}

/* In the middle of a line. false: no content yet, go on. */
static bool decode_text(struct data_decoder *d, struct span *in, struct span *content_r)
{
    struct run r = ordinary_run(*in, d->form == DATA_DOTS);
    if (r.n) {
        *content_r = take(d, in, r.n);
        note_octets(d, *content_r);
        d->lines += r.lines;
        d->state = r.at_start ? AT_START : AT_MID;
        return true;
    }
    struct span c = take(d, in, 1);
    if (c.p[0] == '\r') {
        d->state = AT_CR;
        return false;
    }
    d->bare_lf = true;
    d->state = AT_MID;
    *content_r = d->normalize ? SPAN_LIT("\r\n") : c;
    return true;
}

static struct span decode_after_cr(struct data_decoder *d, struct span *in)
{
    if (in->p[0] == '\n') {
        (void)take(d, in, 1);
        d->lines++;
        d->state = AT_START;
        return SPAN_LIT("\r\n");
    }
    d->bare_cr = true;
    d->state = AT_MID;
    return d->normalize ? SPAN_LIT(" ") : SPAN_LIT("\r");
}

/* After a dot at a line start, and perhaps a CR. What is not the end leaves the dot out and is looked at
 * again. */
static enum data_result decode_after_dot(struct data_decoder *d, struct span *in)
{
    bool had_cr = d->state == AT_DOT_CR;
    char c = in->p[0];
    if (had_cr && c == '\n') {
        (void)take(d, in, 1);
        d->octets -= sizeof ".\r\n" - 1;
        d->state = AT_END;
        return DATA_END;
    }
    if (had_cr) {
        d->state = AT_CR;
    } else if (c == '\r') {
        (void)take(d, in, 1);
        d->state = AT_DOT_CR;
    } else {
        d->state = AT_MID;
    }
    return DATA_MORE;
}

static enum data_result decode_binary(struct data_decoder *d, struct span *in, struct span *content_r)
{
    if (!in->n)
        return DATA_MORE;
    *content_r = take(d, in, in->n);
    if (!d->eight_bit)
        d->eight_bit = has_eight_bit(*content_r);
    return DATA_CONTENT;
}

struct span data_decode_last(struct data_decoder *d)
{
    bool waiting_cr = d->form == DATA_CHUNKS && d->state == AT_CR;
    d->state = AT_END;
    if (!waiting_cr)
        return SPAN_NONE;
    d->bare_cr = true;
    return d->normalize ? SPAN_LIT(" ") : SPAN_LIT("\r");
}

enum data_result data_decode(struct data_decoder *d, struct span *in, struct span *content_r)
{
    if (d->form == DATA_BINARY)
        return decode_binary(d, in, content_r);
    while (in->n && d->state != AT_END) {
        switch ((enum state)d->state) {
        case AT_START:
            d->state = in->p[0] == '.' && d->form == DATA_DOTS ? AT_DOT : AT_MID;
            if (d->state == AT_DOT)
                (void)take(d, in, 1);
            break;
        case AT_MID:
            if (decode_text(d, in, content_r))
                return DATA_CONTENT;
            break;
        case AT_CR:
            *content_r = decode_after_cr(d, in);
            return DATA_CONTENT;
        case AT_DOT:
        case AT_DOT_CR:
            if (decode_after_dot(d, in) == DATA_END)
                return DATA_END;
            break;
        case AT_END:
            break;
        }
    }
    return d->state == AT_END ? DATA_END : DATA_MORE;
}

/* ---- emitter ---- */

/* Free space of the output, filled from the front. */
struct room {
    char *p;
    size_t n;
};

static void put(struct room *to, struct span s)
{
    memcpy(to->p, s.p, s.n);
    to->p += s.n;
    to->n -= s.n;
}

void data_emitter_init(struct data_emitter *e, enum data_form form)
{
    *e = (struct data_emitter){.form = form};
}

static void put_line_end(struct data_emitter *e, struct room *to)
{
    put(to, SPAN_LIT("\r\n"));
    e->mid_line = false;
}

/* The octet behind a CR that waits is there: the CR is half of a line end, or a blank. */
static void put_waiting_cr(struct data_emitter *e, struct span *content, struct room *to)
{
    e->cr = false;
    if (content->p[0] == '\n') {
        *content = span_skip(*content, 1);
        put_line_end(e, to);
    } else {
        put(to, SPAN_LIT(" "));
        e->mid_line = true;
    }
}

/* Writes the next piece of the wire form; there is room for two octets or more. */
static void put_next(struct data_emitter *e, struct span *content, struct room *to)
{
    if (e->cr) {
        put_waiting_cr(e, content, to);
        return;
    }
    if (!e->mid_line && content->p[0] == '.' && e->form == DATA_DOTS) {
        *content = span_skip(*content, 1);
        put(to, SPAN_LIT(".."));
        e->mid_line = true;
        return;
    }
    struct run r = ordinary_run(span_head(*content, to->n), e->form == DATA_DOTS);
    if (r.n) {
        put(to, span_head(*content, r.n));
        *content = span_skip(*content, r.n);
        e->mid_line = !r.at_start;
        return;
    }
    e->cr = content->p[0] == '\r';
    *content = span_skip(*content, 1);
    if (!e->cr)
        put_line_end(e, to);
}

bool data_emit_as_is(struct data_emitter *e, struct span content)
{
    if (e->form == DATA_BINARY || !content.n)
        return true;
    if (e->cr || (e->form == DATA_DOTS && !e->mid_line && content.p[0] == '.'))
        return false;
    struct run r = ordinary_run(content, e->form == DATA_DOTS);
    if (r.n < content.n)
        return false;
    e->mid_line = !r.at_start;
    return true;
}

static bool emit_binary(struct span *content, struct buf *out, size_t room)
{
    struct span now = span_head(*content, room);
    *content = span_skip(*content, now.n);
    return buf_append(out, now);
}

bool data_emit(struct data_emitter *e, struct span *content, struct buf *out, size_t room)
{
    if (e->form == DATA_BINARY)
        return emit_binary(content, out, room);
    while (content->n && room >= 2) {
        size_t usual = content->n + content->n / 64 + 2; /* few lines begin with a dot */
        struct room to = {.n = usual < room ? usual : room};
        size_t before = to.n;
        to.p = buf_reserve(out, to.n);
        if (!to.p)
            return false;
        while (content->n && to.n >= 2)
            put_next(e, content, &to);
        buf_added(out, before - to.n);
        room -= before - to.n;
    }
    return true;
}

bool data_emit_end(struct data_emitter *e, struct buf *out)
{
    bool cr = e->cr, mid_line = e->mid_line || e->cr;
    data_emitter_init(e, e->form);
    if (cr && !buf_append(out, SPAN_LIT(" ")))
        return false;
    if (e->form != DATA_DOTS)
        return true;
    return buf_append(out, mid_line ? SPAN_LIT("\r\n") : SPAN_NONE) && buf_append(out, SPAN_LIT(".\r\n"));
}
