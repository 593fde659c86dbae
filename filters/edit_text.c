/* SPDX-License-Identifier: MIT */
/* A value comes in as lines of words, and goes out as lines of at most 78 octets where its words allow it:
 *
 *   value -> line, line … -> " word" " word" … -> "Name:" " word" CRLF " word" … CRLF
 *
 * A fold puts CRLF in front of the last blank between two words, so that unfolding gives the value back octet
 * by octet. Nothing is owned here. */
#include "filters/edit_text.h"

#include "base/base64.h"
#include "base/utf8.h"

/* "=?UTF-8?B?" + 4/3 of so many octets + "?=" behind "Subject: " is at most 76 octets (RFC 2047 2). */
#define WORD_OCTETS 39u
#define SHORT       40u /* a prefix that need not stand on a line of its own */

static const char no_memory[] = "no memory";

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool edit_name_ok(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ':')
            return false;
    return name.n > 0 && name.n <= EDIT_NAME_MAX;
}

bool edit_is_ascii(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] > 127)
            return false;
    return true;
}

static bool is_utf8(struct span s)
{
    uint32_t point;
    while (s.n) {
        size_t n = utf8_take(s, &point);
        if (!n)
            return false;
        s = span_skip(s, n);
    }
    return true;
}

static bool has_control(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 127)
            return true;
    return false;
}

/* ---- values ---- */

/* Blanks, and what is none behind them, from the front of the line. */
static struct span next_word(struct span line)
{
    size_t n = 0;
    while (n < line.n && is_blank(line.p[n]))
        n++;
    while (n < line.n && !is_blank(line.p[n]))
        n++;
    return span_head(line, n);
}

/* How many blanks it begins with, less the one that a fold needs. */
static size_t blanks_before_fold(struct span word)
{
    size_t n = 0;
    while (n < word.n && is_blank(word.p[n]))
        n++;
    return n ? n - 1 : 0;
}

static const char *print_line(struct span line, size_t *column, struct buf *out)
{
    for (bool first = true; line.n; first = false) {
        struct span word = next_word(line);
        size_t before = first ? 0 : blanks_before_fold(word);
        line = span_skip(line, word.n);
        if (!first && *column + word.n > EDIT_LINE && before + 1 < word.n) {
            if (!buf_append(out, span_head(word, before)) || !buf_append(out, SPAN_LIT("\r\n")))
                return no_memory;
            word = span_skip(word, before);
            *column = 0;
        }
        *column += word.n;
        if (*column > EDIT_LINE_MAX)
            return "the value has a line of more than 998 octets that cannot be folded";
        if (!buf_append(out, word))
            return no_memory;
    }
    return NULL;
}

/* The first line of *value, without its end. NULL, or what is wrong with the end. */
static const char *take_line(struct span *value, struct span *line_r)
{
    size_t n = span_find(span_head(*value, span_find(*value, '\r')), '\n');
    *line_r = span_head(*value, n);
    *value = span_skip(*value, n);
    if (!value->n)
        return NULL;
    if (value->n < 3 || value->p[0] != '\r' || value->p[1] != '\n' || !is_blank(value->p[2]))
        return "the value has a bare CR or LF, or a line end without a blank behind it";
    *value = span_skip(*value, 2);
    return NULL;
}

static const char *print_value(struct span value, size_t column, struct buf *out)
{
    const char *why = NULL;
    struct span line;
    for (bool first = true; value.n && !why; first = false) {
        why = take_line(&value, &line);
        if (!why && has_control(line))
            why = "the value has a control character";
        else if (!why && !first && !span_trim(line).n)
            why = "the value has an empty line";
        if (!why && !first) {
            column = 0;
            why = buf_append(out, SPAN_LIT("\r\n")) ? NULL : no_memory;
        }
        if (!why)
            why = print_line(line, &column, out);
    }
    return why;
}

const char *edit_print_field(struct span name, struct span value, bool utf8, struct buf *out)
{
    value = span_trim(value);
    if (!edit_is_ascii(value) && !utf8)
        return "the value is not ASCII, and the client did not ask for SMTPUTF8: encode it (RFC 2047)";
    if (!is_utf8(value))
        return "the value is not UTF-8";
    if (!buf_append(out, name) || !buf_append(out, SPAN_LIT(": ")))
        return no_memory;
    const char *why = print_value(value, name.n + 2, out);
    return why || buf_append(out, SPAN_LIT("\r\n")) ? why : no_memory;
}

/* ---- encoded words ---- */

/* As many whole characters as one encoded word takes. */
static struct span word_of(struct span utf8)
{
    uint32_t point;
    size_t n = 0;
    while (n < utf8.n) {
        size_t more = utf8_take(span_skip(utf8, n), &point);
        if (!more || n + more > WORD_OCTETS)
            break;
        n += more;
    }
    return span_head(utf8, n);
}

static bool encode(struct span utf8, struct buf *out)
{
    bool ok = true;
    for (bool first = true; utf8.n && ok; first = false) {
        struct span word = word_of(utf8);
        ok = word.n && buf_append(out, first ? SPAN_NONE : SPAN_LIT("\r\n ")) &&
             buf_append(out, SPAN_LIT("=?UTF-8?B?")) && base64_encode(word, out) &&
             buf_append(out, SPAN_LIT("?="));
        utf8 = span_skip(utf8, word.n);
    }
    return ok;
}

static bool has_encoded_word(struct span s)
{
    for (size_t i = 0; i + 1 < s.n; i++)
        if (s.p[i] == '=' && s.p[i + 1] == '?')
            return true;
    return false;
}

const char *edit_make_prefix(struct span utf8, struct edit_prefix *p)
{
    struct buf spaced = {0};
    bool plain = edit_is_ascii(utf8) && !has_encoded_word(utf8);
    if (!utf8.n)
        return "there is no text for the Subject";
    if (has_control(utf8) || !is_utf8(utf8))
        return "the text for the Subject has a control character, or is not UTF-8";
    p->join = plain && utf8.n <= SHORT ? SPAN_LIT(" ") : SPAN_LIT("\r\n ");
    bool ok = buf_append(&spaced, utf8) && buf_append(&spaced, SPAN_LIT(" "));
    if (plain)
        ok = ok && buf_append(&p->text, utf8) && buf_append(&p->before_word, utf8);
    else
        ok = ok && encode(utf8, &p->text) && encode(buf_span(&spaced), &p->before_word);
    buf_free(&spaced);
    return ok ? NULL : no_memory;
}

void edit_free_prefix(struct edit_prefix *p)
{
    buf_free(&p->text);
    buf_free(&p->before_word);
}
