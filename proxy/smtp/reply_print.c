/* SPDX-License-Identifier: MIT */
/* Replies of our own. Owns nothing; the text may come from a filter's rule or from anywhere else.
 *
 *   450, "4.7.1", "Slow down\nplease"  -->  450-4.7.1 Slow down
 *                                           450 4.7.1 please */
#include "smtp/reply.h"

#define REPLY_LINE_MAX 512u /* RFC 5321 4.5.3.1.5, CRLF included */

/* Takes one line's worth from *text: up to LF, up to the last blank within `room`, or `room` octets. */
static struct span next_piece(struct span *text, size_t room)
{
    struct span line = span_head(*text, room + 1); /* one more tells whether a blank or the end follows */
    size_t n = span_find(line, '\n');
    size_t used = n + 1;
    if (n > room) {
        for (n = room; n > 0 && line.p[n] != ' ';)
            n--;
        used = n + 1;
        if (n == 0)
            n = used = room;
    }
    struct span piece = span_head(*text, n);
    *text = span_skip(*text, used);
    if (piece.n && piece.p[piece.n - 1] == '\r')
        piece.n--;
    return piece;
}

static char printable(char c)
{
    if (c == '\t')
        return ' ';
    return c >= 0x20 && c < 0x7F ? c : '?';
}

static bool print_line(struct buf *out, unsigned code, bool last, struct span enhanced, struct span text)
{
    if (!buf_printf(out, "%03u%c%.*s%s", code % 1000, last ? ' ' : '-', SPAN_FMT(enhanced),
                    enhanced.n && text.n ? " " : ""))
        return false;
    char *to = buf_reserve(out, text.n + 2);
    if (!to)
        return false;
    for (size_t i = 0; i < text.n; i++)
        to[i] = printable(text.p[i]);
    to[text.n] = '\r';
    to[text.n + 1] = '\n';
    buf_added(out, text.n + 2);
    return true;
}

bool reply_print(struct buf *out, unsigned code, struct span enhanced, struct span text)
{
    if (!reply_enhanced_ok(enhanced, code))
        enhanced = SPAN_NONE; /* a wrong one misleads more than none */
    size_t room = REPLY_LINE_MAX - sizeof "250-" + 1 - 2 - (enhanced.n ? enhanced.n + 1 : 0);
    bool last;
    do {
        struct span piece = next_piece(&text, room);
        last = text.n == 0;
        if (!print_line(out, code, last, enhanced, piece))
            return false;
    } while (!last);
    return true;
}
