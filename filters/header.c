/* SPDX-License-Identifier: MIT */
/* The reader of header sections. What it holds is the one field that is being read, and the start of a line
 * until it is known to be a field.
 *
 *   line start --blank----------------> continuation of the field, VALUE
 *              --name byte--> NAME --':'--> VALUE --line end--> line start
 *                               |--blank--> GAP --':'--> VALUE        ("Subject : x", old syntax)
 *                               `--anything else--> no field: the body begins with this line
 *
 * A line that is no field ends the section, as mail servers and mail programs read it. The one exception is a
 * leading "From " line of a mailbox file, which is skipped. */
#include "filters/header.h"

#include "filters/message.h"

enum mode { LINE_START, NAME, GAP, VALUE, SKIP };

void header_begin(struct header *h, size_t limit, header_field field, void *ctx)
{
    header_free(h);
    h->limit = limit;
    h->field = field;
    h->ctx = ctx;
    h->flags = 0;
    h->mode = LINE_START;
    h->seen = h->name_n = h->value_at = h->line_n = 0;
    h->any_line = h->first_line = h->only_blanks = false;
}

void header_free(struct header *h)
{
    buf_free(&h->raw);
}

/* Keeps what is within the limit; `whole`: all of it or nothing. */
static bool keep(struct header *h, struct span s, bool whole)
{
    size_t room = h->seen < h->limit ? h->limit - h->seen : 0;

    h->seen += s.n;
    if (s.n > room)
        h->flags |= MESSAGE_HEADER_LIMIT;
    if (s.n > room && whole)
        room = 0;
    return buf_append(&h->raw, span_head(s, room));
}

static bool give_field(struct header *h)
{
    struct span raw = buf_span(&h->raw);

    if (raw.n == 0)
        return true;
    bool good = h->field(h->ctx, span_head(raw, h->name_n), span_skip(raw, h->value_at), raw);
    buf_free(&h->raw);
    return good;
}

/* The line is a field: what was held of it begins a new one. The field before it was given at its first byte.
 */
static bool open_field(struct header *h)
{
    size_t name_n = 0;

    while (name_n < h->line_n && h->line[name_n] != ':' && h->line[name_n] != ' ' && h->line[name_n] != '\t')
        name_n++;
    h->name_n = name_n;
    h->value_at = h->line_n;
    bool good = keep(h, header_line(h), true);
    h->line_n = 0;
    h->mode = VALUE;
    return good;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The first byte of a line, which is not taken yet. */
static enum header_result begin_line(struct header *h, char c)
{
    bool first = !h->any_line;

    h->any_line = true;
    h->only_blanks = is_blank(c);
    if (is_blank(c) &&
        (buf_len(&h->raw) || h->seen >= h->limit)) { /* a field, perhaps one behind the limit */
        h->mode = VALUE;
        return HEADER_MORE;
    }
    h->mode = NAME;
    h->first_line = first;
    return give_field(h) ? HEADER_MORE : HEADER_NO_MEMORY;
}

static bool is_mailbox_line(const struct header *h)
{
    return h->first_line && (span_istarts(header_line(h), SPAN_LIT("From ")) ||
                             span_istarts(header_line(h), SPAN_LIT(">From ")));
}

/* A byte that decides what the line is; it is taken into the line. */
static enum header_result name_byte(struct header *h, char c)
{
    bool named = h->line_n > 0;

    h->line[h->line_n++] = c;
    if (c == ':' && named)
        return open_field(h) ? HEADER_MORE : HEADER_NO_MEMORY;
    if (is_blank(c) && named) {
        h->mode = GAP;
        h->flags |= MESSAGE_BAD_HEADER;
    } else if (c <= ' ' || c > '~' || c == ':' || h->mode == GAP || h->line_n == sizeof(h->line)) {
        h->flags |= MESSAGE_BAD_HEADER;
        if (!is_mailbox_line(h))
            return HEADER_NO_FIELD;
        h->line_n = 0;
        h->mode = SKIP;
    }
    return HEADER_MORE;
}

/* A continuation of blanks alone looks like the section's end to some programs, a bare CR like a line's end.
 */
static void note_oddities(struct header *h, struct span value)
{
    for (size_t i = 0; h->only_blanks && i < value.n; i++)
        h->only_blanks = is_blank(value.p[i]);
    if (span_find(value, '\r') < value.n)
        h->flags |= MESSAGE_BAD_HEADER;
}

enum header_result header_text(struct header *h, struct span *in)
{
    enum header_result result = HEADER_MORE;

    if (in->n && h->mode == LINE_START)
        result = begin_line(h, in->p[0]);
    while (in->n && result == HEADER_MORE && (h->mode == NAME || h->mode == GAP)) {
        result = name_byte(h, in->p[0]);
        *in = span_skip(*in, 1);
    }
    if (result != HEADER_MORE || in->n == 0)
        return result;
    note_oddities(h, *in);
    bool good = h->mode == SKIP || keep(h, *in, false);
    *in = span_skip(*in, in->n);
    return good ? HEADER_MORE : HEADER_NO_MEMORY;
}

enum header_result header_eol(struct header *h, struct span eol)
{
    unsigned mode = h->mode;

    h->mode = LINE_START;
    if (mode == NAME || mode == GAP) {
        h->flags |= MESSAGE_BAD_HEADER;
        return HEADER_NO_FIELD;
    }
    if (mode == LINE_START)
        return header_end(h) ? HEADER_OVER : HEADER_NO_MEMORY;
    if (h->only_blanks)
        h->flags |= MESSAGE_BAD_HEADER;
    return mode == SKIP || keep(h, eol, false) ? HEADER_MORE : HEADER_NO_MEMORY;
}

bool header_end(struct header *h)
{
    return give_field(h);
}
