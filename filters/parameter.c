/* SPDX-License-Identifier: MIT */
/* Parameters. Everything works on the field's text and a small table on the caller's stack.
 *
 *   attachment; filename="a.txt"; filename*0*=utf-8''b%20; filename*1="c.exe"
 *   `-value--'  `--- plain ----'  `------ one parameter, in sections ------'  */
#include "filters/parameter.h"

#include "filters/message.h"
#include "filters/transfer.h"
#include "filters/words.h"

#define VALUE_MAX 1024 /* bytes of one decoded value; the rest is cut and flagged */

/* ---- parsing ---- */

/* "name*", "name*0", "name*0*": takes the marks off the name. */
static void parse_marks(struct parameter *p)
{
    size_t star = span_find(p->name, '*');
    struct span marks = span_skip(p->name, star + 1);

    p->section = -1;
    if (star == p->name.n)
        return;
    p->name = span_head(p->name, star);
    if (marks.n == 0 || marks.p[marks.n - 1] == '*') {
        p->extended = true;
        marks = span_head(marks, marks.n ? marks.n - 1 : 0);
    }
    if (marks.n == 0)
        return;
    p->section = 0;
    for (size_t i = 0; i < marks.n && p->section < PARAMETERS_MAX; i++)
        p->section = ascii_digit(marks.p[i]) ? p->section * 10 + (marks.p[i] - '0') : PARAMETERS_MAX;
}

/* Behind the opening quote: up to the closing one, or to the end where there is none. */
static struct span take_quoted(struct span *text)
{
    size_t n = 0;
    while (n < text->n && text->p[n] != '"')
        n += text->p[n] == '\\' && n + 1 < text->n ? 2 : 1;
    struct span inside = span_head(*text, n);
    *text = span_skip(*text, n + 1);
    return inside;
}

static struct span take_until(struct span *text, char stop)
{
    size_t n = span_find(*text, stop);
    struct span taken = span_head(*text, n);
    *text = span_skip(*text, n + 1);
    return taken;
}

/* The bytes of the comment that s begins with (RFC 5322 3.2.2); 0: none, or it has no end. */
static size_t comment_length(struct span s)
{
    size_t n = 0, depth = 0;

    while (n < s.n) {
        char c = s.p[n];
        n += c == '\\' ? 2 : 1;
        if (c == '(')
            depth++;
        else if (c == ')')
            depth--;
        if (depth == 0)
            return c == ')' ? n : 0;
    }
    return 0;
}

/* To what stands behind white space and comments. *open_io: a comment has no end, so none is looked for
 * again: many of them cost no more than their bytes. */
static void skip_comments(struct span *s, bool *open_io)
{
    size_t n = 1;

    while (s->n && n) {
        bool blank = s->p[0] == ' ' || s->p[0] == '\t', comment = s->p[0] == '(' && !*open_io;
        n = blank ? 1 : comment ? comment_length(*s) : 0;
        *open_io = *open_io || (comment && n == 0);
        *s = span_skip(*s, n);
    }
}

static void parse_one(struct span *text, bool *open_io, struct parameter *p)
{
    skip_comments(text, open_io);
    size_t end = span_find(*text, ';');
    size_t equal = span_find(span_head(*text, end), '=');

    *p = (struct parameter){.section = -1};
    if (equal == end) { /* no value: skipped */
        *text = span_skip(*text, end + 1);
        return;
    }
    p->name = span_head(*text, equal);
    p->name = span_trim(span_head(p->name, span_find(p->name, '(')));
    parse_marks(p);
    *text = span_skip(*text, equal + 1);
    while (text->n && (text->p[0] == ' ' || text->p[0] == '\t'))
        *text = span_skip(*text, 1);
    if (text->n && text->p[0] == '"') {
        *text = span_skip(*text, 1);
        p->quoted = true;
        p->value = take_quoted(text);
        (void)take_until(text, ';');
    } else {
        p->value = span_trim(take_until(text, ';'));
    }
}

void parameters_parse(struct span text, struct parameters *out)
{
    bool open = false;

    skip_comments(&text, &open);
    out->value = span_trim(take_until(&text, ';'));
    out->n = 0;
    while (text.n && out->n < PARAMETERS_MAX) {
        parse_one(&text, &open, &out->list[out->n]);
        if (out->list[out->n].name.n)
            out->n++;
    }
    out->more = text.n > 0;
}

/* ---- values ---- */

struct span parameter_token(struct span s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t' && s.p[n] != '(')
        n++;
    return span_head(s, n);
}

static bool append_unquoted(const struct parameter *p, bool words, struct buf *out)
{
    struct span s = p->quoted || words ? p->value : parameter_token(p->value);

    while (p->quoted && s.n) {
        size_t n = span_find(s, '\\');
        if (!buf_append(out, span_head(s, n)))
            return false;
        s = span_skip(s, n + 1);
        if (s.n && !buf_append(out, span_head(s, 1)))
            return false;
        s = span_skip(s, 1);
    }
    return buf_append(out, s);
}

static bool append_percent_decoded(struct span s, struct buf *out)
{
    while (s.n) {
        size_t n = span_find(s, '%');
        if (!buf_append(out, span_head(s, n)))
            return false;
        s = span_skip(s, n);
        bool escape = s.n >= 3 && hex_digit(s.p[1]) >= 0 && hex_digit(s.p[2]) >= 0;
        int byte = escape ? hex_digit(s.p[1]) << 4 | hex_digit(s.p[2]) : '%';
        const char one = (char)byte;
        if (s.n && !buf_append(out, (struct span){&one, 1}))
            return false;
        s = span_skip(s, escape ? 3 : 1);
    }
    return true;
}

/* charset'language'text: takes the front off. */
static struct span take_charset(struct span *s)
{
    size_t first = span_find(*s, '\'');
    size_t second = first + 1 + span_find(span_skip(*s, first + 1), '\'');

    if (second >= s->n)
        return SPAN_NONE;
    struct span charset = span_head(*s, first);
    *s = span_skip(*s, second + 1);
    return charset;
}

static const struct parameter *find_section(const struct parameters *p, struct span name, int section)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->list[i].section == section && span_ieq(p->list[i].name, name))
            return &p->list[i];
    return NULL;
}

/* The bytes of an extended value or of all its sections, from `first` on, and their charset. */
static bool collect(const struct parameters *p, const struct parameter *first, bool words,
                    struct span *charset_r, struct buf *bytes)
{
    *charset_r = SPAN_NONE;
    for (const struct parameter *at = first; at; at = find_section(p, first->name, at->section + 1)) {
        struct span value = at->value;
        if (at == first && at->extended)
            *charset_r = take_charset(&value);
        if (!(at->extended ? append_percent_decoded(value, bytes) : append_unquoted(at, words, bytes)))
            return false;
        if (at->section < 0)
            break;
    }
    return true;
}

static bool to_utf8(struct span bytes, struct span charset, struct charset_pool *pool, struct buf *out,
                    uint64_t *flags_r)
{
    struct charset_decoder d;

    if (bytes.n > VALUE_MAX)
        *flags_r |= MESSAGE_FIELD_LIMIT;
    if (!charset_begin(&d, pool, charset))
        *flags_r |= MESSAGE_CHARSET_UNKNOWN;
    return charset_feed(&d, span_head(bytes, VALUE_MAX), out) && charset_end(&d, out);
}

static bool append_reading(const struct parameters *p, const struct parameter *first, bool words,
                           struct charset_pool *pool, struct buf *out, uint64_t *flags_r)
{
    struct buf bytes = {0};
    struct span charset;
    bool good = collect(p, first, words, &charset, &bytes);

    if (good && words && !first->extended)
        good = words_decode(buf_span(&bytes), VALUE_MAX, pool, out, flags_r);
    else if (good)
        good = to_utf8(buf_span(&bytes), charset, pool, out, flags_r);
    buf_free(&bytes);
    return good;
}

bool parameter_next(const struct parameters *p, struct span name, size_t *at, bool words,
                    struct charset_pool *pool, struct buf *out, uint64_t *flags_r, bool *found_r)
{
    *found_r = false;
    while (*at < p->n) {
        const struct parameter *here = &p->list[(*at)++];
        if (here->section > 0 || !span_ieq(here->name, name))
            continue;
        *found_r = true;
        return append_reading(p, here, words, pool, out, flags_r);
    }
    return true;
}
