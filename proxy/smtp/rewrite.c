/* SPDX-License-Identifier: MIT */
/* The rewriter. What it holds of a message is the start of one line, until it is known to be a field.
 *
 *   LINE_START --blank--------------> VALUE, of the field before
 *              --line end-----------> OVER
 *              --name octet--> NAME --':'--> VALUE, or LEAD where a prefix comes --line end--> LINE_START
 *                               |--blank--> GAP --':'--> likewise
 *                               `--anything else--> OVER: the body begins with this line
 *
 *   LEAD --blanks, folds--> LEAD --"="--> LEAD_WORD --"?"--> an encoded word --> VALUE
 *
 * A leading "From " line of a mailbox file stays the first line. Owners hold the struct; it owns no memory.
 */
#include "smtp/rewrite.h"

#define LOOK_AHEAD 1024u

enum state { LINE_START, NAME, GAP, VALUE, MAILBOX, LEAD, LEAD_START, LEAD_WORD, OVER };

static const struct span crlf = {"\r\n", 2}, lf = {"\n", 1};

void rewrite_begin(struct rewriter *r, const struct header_edit *edits, size_t n)
{
    r->edits = edits;
    r->n = n < REWRITE_EDITS_MAX ? n : REWRITE_EDITS_MAX;
    r->used = 0;
    r->prefix = NULL;
    r->state = LINE_START;
    r->line_n = 0;
    r->cr = r->dropped = r->any_line = r->first_line = false;
    r->begun = r->any_field = r->ours = r->theirs = false;
}

bool rewrite_over(const struct rewriter *r)
{
    return r->state == OVER;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- our fields ---- */

static bool write_ours(struct rewriter *r, struct span field, struct buf *out)
{
    r->ours = true;
    return buf_append(out, field);
}

static bool write_top(struct rewriter *r, struct buf *out)
{
    bool ok = true;
    for (size_t i = 0; i < r->n && ok && !r->begun; i++)
        if (r->edits[i].kind == HEADER_ADD)
            ok = write_ours(r, r->edits[i].field, out);
    r->begun = true;
    return ok;
}

/* What found no field of its name to change. */
static bool is_missing(const struct rewriter *r, size_t i)
{
    bool stands_alone = r->edits[i].kind == HEADER_REPLACE || r->edits[i].kind == HEADER_PREFIX;
    return stands_alone && !(r->used & (uint64_t)1 << i);
}

static bool write_missing(struct rewriter *r, struct buf *out)
{
    bool ok = write_top(r, out);
    for (size_t i = 0; i < r->n && ok; i++)
        if (is_missing(r, i))
            ok = write_ours(r, r->edits[i].field, out);
    return ok;
}

/* ---- fields of the message ---- */

static struct span held(const struct rewriter *r)
{
    return span_make(r->line, r->line_n);
}

static bool write_held(struct rewriter *r, struct buf *out)
{
    bool ok = buf_append(out, held(r));
    r->line_n = 0;
    return ok;
}

/* The section ended before the line that is held. Its fields must not run into a body that begins without an
 * empty line, where all of them are ours. */
static bool no_field(struct rewriter *r, struct buf *out)
{
    bool ok = write_missing(r, out);
    r->state = OVER;
    if (r->ours && !r->theirs)
        ok = ok && buf_append(out, crlf);
    return ok && write_held(r, out);
}

/* The edit that is about fields of this name; r->n: none. */
static size_t find(const struct rewriter *r, struct span name)
{
    size_t i = 0;
    while (i < r->n && (r->edits[i].kind == HEADER_ADD || !span_ieq(r->edits[i].name, name)))
        i++;
    return i;
}

/* The held line has its colon. */
static bool open_field(struct rewriter *r, struct buf *out)
{
    size_t i = find(r, span_trim(span_head(held(r), r->line_n - 1)));
    const struct header_edit *e = i < r->n ? &r->edits[i] : NULL;
    bool first = e && !(r->used & (uint64_t)1 << i);
    r->state = VALUE;
    r->any_field = true;
    r->dropped = e && e->kind != HEADER_PREFIX;
    if (e)
        r->used |= (uint64_t)1 << i;
    if (r->dropped) {
        r->line_n = 0;
        return e->kind == HEADER_REMOVE || !first || write_ours(r, e->field, out);
    }
    r->theirs = true;
    if (e) {
        r->prefix = e;
        r->state = LEAD;
    }
    return write_held(r, out) && (!e || buf_append(out, SPAN_LIT(" ")));
}

/* Of a line that is no field: does the message begin with it, as in a mailbox file? */
static bool is_mailbox_line(const struct rewriter *r)
{
    return r->first_line &&
           (span_istarts(held(r), SPAN_LIT("From ")) || span_istarts(held(r), SPAN_LIT(">From ")));
}

/* ---- octets ---- */

/* The first octet of a line. It is not taken. */
static void begin_line(struct rewriter *r, char c)
{
    bool continues = is_blank(c) && r->any_field;
    r->first_line = !r->any_line;
    r->any_line = true;
    r->state = continues ? VALUE : NAME;
    r->dropped = continues && r->dropped;
}

/* An octet that decides what the line is. */
static bool name_octet(struct rewriter *r, char c, struct buf *out)
{
    bool named = r->line_n > 0;
    r->line[r->line_n++] = c;
    if (c == ':' && named)
        return write_top(r, out) && open_field(r, out);
    if (is_blank(c) && named) {
        r->state = GAP;
    } else if (c <= ' ' || c > '~' || c == ':' || r->state == GAP || r->line_n == sizeof(r->line)) {
        if (!is_mailbox_line(r))
            return no_field(r, out);
        r->state = MAILBOX;
        return write_held(r, out);
    }
    return true;
}

/* The value begins, and not with a blank. */
static bool write_prefix(struct rewriter *r, struct span text, struct span value, struct buf *out)
{
    r->state = VALUE;
    return buf_append(out, text) && buf_append(out, r->prefix->join) && buf_append(out, value);
}

/* Text without line ends: takes what belongs to the state from the front of *s. */
static bool take_text(struct rewriter *r, struct span *s, struct buf *out)
{
    char c = s->p[0];
    bool ok = true;
    switch ((enum state)r->state) {
    case LINE_START:
        begin_line(r, c);
        return true;
    case NAME:
    case GAP:
        ok = name_octet(r, c, out);
        break;
    case LEAD_START:
        r->state = is_blank(c) ? LEAD : LINE_START;
        return is_blank(c) || (buf_append(out, r->prefix->text) && buf_append(out, crlf));
    case LEAD:
        if (c == '=')
            r->state = LEAD_WORD;
        else if (!is_blank(c))
            return write_prefix(r, r->prefix->text, SPAN_NONE, out);
        break;
    case LEAD_WORD:
        return write_prefix(r, c == '?' ? r->prefix->before_word : r->prefix->text, SPAN_LIT("="), out);
    case VALUE:
    case MAILBOX:
        ok = (r->state == VALUE && r->dropped) || buf_append(out, *s);
        *s = span_skip(*s, s->n);
        return ok;
    case OVER:
        return true;
    }
    *s = span_skip(*s, 1);
    return ok;
}

static bool line_end(struct rewriter *r, struct span eol, struct buf *out)
{
    bool drop = r->state == VALUE && r->dropped;
    switch ((enum state)r->state) {
    case LINE_START:
        r->state = OVER;
        return write_missing(r, out) && buf_append(out, eol);
    case NAME:
    case GAP:
        return no_field(r, out) && buf_append(out, eol);
    case LEAD: /* a fold, or the end of an empty value */
        r->state = LEAD_START;
        return true;
    case LEAD_START: /* an empty value, and the end of the section */
        r->state = LINE_START;
        return buf_append(out, r->prefix->text) && buf_append(out, crlf) && line_end(r, eol, out);
    case LEAD_WORD:
        r->state = LINE_START;
        return write_prefix(r, r->prefix->text, SPAN_LIT("="), out) && line_end(r, eol, out);
    case VALUE:
    case MAILBOX:
    case OVER:
        break;
    }
    r->state = LINE_START;
    return drop || buf_append(out, eol);
}

static bool take_all_text(struct rewriter *r, struct span *s, struct buf *out)
{
    while (s->n && r->state != OVER)
        if (!take_text(r, s, out))
            return false;
    return true;
}

/* Looking ahead is bounded, so that no mixture of line ends makes the whole quadratic. */
static size_t text_length(struct span s)
{
    s = span_head(s, LOOK_AHEAD);
    return span_find(span_head(s, span_find(s, '\r')), '\n');
}

/* The octet behind a CR: its LF, or the CR was text. */
static bool settle_cr(struct rewriter *r, struct span *in, struct buf *out)
{
    struct span bare = SPAN_LIT("\r");
    r->cr = false;
    if (!in->n || in->p[0] != '\n')
        return take_all_text(r, &bare, out);
    *in = span_skip(*in, 1);
    return line_end(r, crlf, out);
}

bool rewrite_feed(struct rewriter *r, struct span *in, struct buf *out)
{
    bool ok = true;
    while (in->n && ok && r->state != OVER) {
        if (r->cr) {
            ok = settle_cr(r, in, out);
            continue;
        }
        struct span text = span_head(*in, text_length(*in));
        size_t n = text.n;
        if (n) {
            ok = take_all_text(r, &text, out);
            *in = span_skip(*in, n - text.n);
            continue;
        }
        r->cr = in->p[0] == '\r';
        *in = span_skip(*in, 1);
        if (!r->cr)
            ok = line_end(r, lf, out);
    }
    return ok;
}

static bool anything_left(const struct rewriter *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (is_missing(r, i) || (!r->begun && r->edits[i].kind == HEADER_ADD))
            return true;
    return false;
}

/* A line without its end gets one only where a field of ours follows. */
static bool end_line(struct rewriter *r, struct buf *out)
{
    bool open = !(r->state == VALUE && r->dropped);
    if (open && anything_left(r) && !buf_append(out, crlf))
        return false;
    return write_missing(r, out);
}

/* The message ends where a prefix is due. */
static bool end_lead(struct rewriter *r, struct buf *out)
{
    bool at_start = r->state == LEAD_START;
    if (r->state == LEAD_WORD)
        return write_prefix(r, r->prefix->text, SPAN_LIT("="), out);
    r->state = at_start ? LINE_START : VALUE;
    return buf_append(out, r->prefix->text) && (!at_start || buf_append(out, crlf));
}

bool rewrite_end(struct rewriter *r, struct buf *out)
{
    struct span nothing = SPAN_NONE;
    bool ok = !r->cr || settle_cr(r, &nothing, out);
    if (r->state == LEAD || r->state == LEAD_START || r->state == LEAD_WORD)
        ok = ok && end_lead(r, out);
    if (r->state == NAME || r->state == GAP)
        ok = ok && no_field(r, out);
    else if (r->state == VALUE || r->state == MAILBOX)
        ok = ok && end_line(r, out);
    else if (r->state == LINE_START)
        ok = ok && write_missing(r, out);
    r->state = OVER;
    return ok;
}
