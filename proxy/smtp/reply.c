/* SPDX-License-Identifier: MIT */
/* The upstream's replies. Who owns the parser owns its memory, which it holds from the first octet of a reply
 * to the call after the one that gave it out.
 *
 *   bytes -> line splitter -> check code and separator -> clean -> text "250-a\r\n250 b\r\n" -> READY
 *
 * What goes on to the client is only what was taken apart here: a bare CR or LF, which one reader sees as the
 * end of a line and another does not, makes the reply malformed, so that one reply can never become two. A
 * tab is kept; every other control character becomes '?'. */
#include "smtp/reply.h"

#define LINE_MAX_DEFAULT  2048u
#define LINES_MAX_DEFAULT 128u
#define BYTES_MAX_DEFAULT 65536u

void reply_parser_init(struct reply_parser *p)
{
    *p = (struct reply_parser){0};
    line_init(&p->line, LINE_MAX_DEFAULT, LINE_MAX_DEFAULT);
    p->line.nul_ok = true;
}

void reply_parser_free(struct reply_parser *p)
{
    line_free(&p->line);
    buf_free(&p->text);
    p->bytes = SPAN_NONE;
}

bool reply_partial(const struct reply_parser *p)
{
    return line_partial(&p->line) || (!p->done && buf_len(&p->text) > 0);
}

static size_t limit_or(size_t limit, size_t otherwise)
{
    return limit ? limit : otherwise;
}

static enum reply_result refuse(struct reply_parser *p, enum reply_result result, const char *why)
{
    p->why = why;
    return result;
}

/* The code at the start of a line, or 0. */
static unsigned line_code(struct span line)
{
    if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' || !ascii_digit(line.p[1]) ||
        !ascii_digit(line.p[2]))
        return 0;
    return (unsigned)(line.p[0] - '0') * 100 + (unsigned)(line.p[1] - '0') * 10 + (unsigned)(line.p[2] - '0');
}

static bool is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7F;
}

static bool append_clean(struct buf *out, struct span line)
{
    char *to = buf_reserve(out, line.n + 2);
    if (!to)
        return false;
    for (size_t i = 0; i < line.n; i++)
        to[i] = is_control(line.p[i]) ? '?' : line.p[i];
    to[line.n] = '\r';
    to[line.n + 1] = '\n';
    buf_added(out, line.n + 2);
    return true;
}

/* One line of the reply. MORE: others follow. */
static enum reply_result take_line(struct reply_parser *p, struct span line)
{
    unsigned code = line_code(line);
    if (code == 0)
        return refuse(p, REPLY_MALFORMED, "a line does not begin with a reply code");
    if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
        return refuse(p, REPLY_MALFORMED, "neither blank nor hyphen after a reply code");
    if (p->lines && code != p->code)
        return refuse(p, REPLY_MALFORMED, "the lines of a reply have different codes");
    if (p->lines >= limit_or(p->max_lines, LINES_MAX_DEFAULT))
        return refuse(p, REPLY_TOO_LONG, "a reply has too many lines");
    if (buf_len(&p->text) + line.n + 2 > limit_or(p->max_bytes, BYTES_MAX_DEFAULT))
        return refuse(p, REPLY_TOO_LONG, "a reply has too many octets");
    if (!append_clean(&p->text, line))
        return REPLY_NO_MEMORY;
    p->code = code;
    p->lines++;
    if (line.n > 3 && line.p[3] == '-')
        return REPLY_MORE;
    p->done = true;
    p->bytes = buf_span(&p->text);
    return REPLY_READY;
}

static enum reply_result take_event(struct reply_parser *p, enum line_result event)
{
    switch (event) {
    case LINE_BARE_LF:
        return refuse(p, REPLY_MALFORMED, "a bare LF in a reply");
    case LINE_BARE_CR:
        return refuse(p, REPLY_MALFORMED, "a bare CR in a reply");
    case LINE_TOO_LONG:
    case LINE_FLOOD:
        return refuse(p, REPLY_TOO_LONG, "a line of a reply is too long");
    case LINE_NO_MEMORY:
        return REPLY_NO_MEMORY;
    case LINE_NUL:
    case LINE_MORE:
    case LINE_READY:
        break;
    }
    return REPLY_MORE;
}

static void forget_reply(struct reply_parser *p)
{
    buf_free(&p->text);
    p->bytes = SPAN_NONE;
    p->code = 0;
    p->lines = 0;
    p->done = false;
}

enum reply_result reply_feed(struct reply_parser *p, struct span *in)
{
    if (p->done)
        forget_reply(p);
    p->line.max = p->line.flood = limit_or(p->max_line, LINE_MAX_DEFAULT);
    for (;;) {
        struct span line;
        enum line_result event = line_feed(&p->line, in, &line);
        if (event != LINE_READY)
            return take_event(p, event);
        enum reply_result result = take_line(p, line);
        if (result != REPLY_MORE)
            return result;
    }
}

bool reply_next_line(struct span bytes, size_t *at, struct span *text_r)
{
    struct span left = span_skip(bytes, *at);
    if (left.n == 0)
        return false;
    size_t n = span_find(left, '\n');
    *at += n < left.n ? n + 1 : n;
    struct span line = span_head(left, n);
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    *text_r = span_skip(line, sizeof "250-" - 1);
    return true;
}

/* ---- enhanced status codes (RFC 3463 2) ---- */

/* Octets of "." and one to three digits at `at`, or 0. */
static size_t number_length(struct span s, size_t at)
{
    size_t n = 0;
    if (at >= s.n || s.p[at] != '.')
        return 0;
    while (at + 1 + n < s.n && ascii_digit(s.p[at + 1 + n]))
        n++;
    return n >= 1 && n <= 3 ? n + 1 : 0;
}

/* Octets of "X.Y.Z" at the start, or 0. */
static size_t enhanced_length(struct span s)
{
    if (s.n == 0 || (s.p[0] != '2' && s.p[0] != '4' && s.p[0] != '5'))
        return 0;
    size_t subject = number_length(s, 1);
    size_t detail = subject ? number_length(s, 1 + subject) : 0;
    return detail ? 1 + subject + detail : 0;
}

struct span reply_enhanced(struct span text)
{
    size_t n = enhanced_length(text);
    if (n < text.n && text.p[n] != ' ' && text.p[n] != '\t')
        n = 0;
    return span_head(text, n);
}

bool reply_enhanced_ok(struct span enhanced, unsigned code)
{
    return enhanced.n > 0 && enhanced_length(enhanced) == enhanced.n &&
           (unsigned)(enhanced.p[0] - '0') == code / 100;
}
