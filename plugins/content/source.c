/* SPDX-License-Identifier: MIT */
/* Rule files as text. A source belongs to the loader's stack and dies when the file is read.
 *
 *   bytes of the file --source_next--> logical line (continuations joined, comments and blank lines gone)
 *                                        | source_error(offset in it)
 *                                        v
 *                                      file:line:column, handed to the host
 */
#include "source.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

void source_open(struct source *s, const struct postern_host *host, void *self, const char *file,
                 struct postern_span bytes)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    *s = (struct source){.host = host, .self = self, .file = file, .next_line = 1};
    s->next = bytes.p ? bytes.p : "";
    s->end = s->next + bytes.n;
    if (bytes.n >= 3 && memcmp(s->next, byte_order_mark, 3) == 0)
        s->next += 3;
}

/* Foreign text is part of some messages: one line, no control characters. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

void source_place(const struct source *s, size_t at, uint32_t *line_r, uint32_t *column_r)
{
    size_t i = s->pieces_n - 1;
    while (i > 0 && s->pieces[i].at > at)
        i--;
    *line_r = s->pieces[i].line;
    *column_r = (uint32_t)(at - s->pieces[i].at) + 1;
}

static void report(struct source *s, size_t at, const char *text)
{
    uint32_t line = 0, column = 0;
    source_place(s, at, &line, &column);
    s->host->file_error(s->self, s->file, line, column, "%s", text);
    s->errors++;
}

void source_error(struct source *s, size_t at, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang 14 overlooks the va_start in this file */
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_printable(text);
    report(s, at, text);
}

struct line {
    const char *p;
    size_t n;
    const char *after;
};

static struct line peek_line(const struct source *s)
{
    size_t left = (size_t)(s->end - s->next);
    const char *feed = memchr(s->next, '\n', left);
    struct line l = {.p = s->next, .n = feed ? (size_t)(feed - s->next) : left};
    l.after = feed ? feed + 1 : s->end;
    while (l.n > 0 && l.p[l.n - 1] == '\r')
        l.n--;
    return l;
}

static bool says_nothing(const struct line *l)
{
    size_t i = 0;
    while (i < l->n && is_blank(l->p[i]))
        i++;
    return i == l->n || l->p[i] == '#';
}

static void line_error(struct source *s, const char *what)
{
    s->host->file_error(s->self, s->file, s->next_line, 1, "%s", what);
    s->errors++;
}

static bool append(struct source *s, const struct line *l)
{
    if (l->n > SOURCE_LINE_MAX - s->n || s->pieces_n == SOURCE_PIECES) {
        line_error(s, "the rule grows too long here: at most 16 KiB on 64 lines");
        return false;
    }
    s->pieces[s->pieces_n].at = s->n;
    s->pieces[s->pieces_n++].line = s->next_line;
    memcpy(s->text + s->n, l->p, l->n);
    s->n += l->n;
    return true;
}

static void consume(struct source *s, const struct line *l)
{
    s->next = l->after;
    s->next_line++;
}

bool source_next(struct source *s)
{
    bool spoilt = false; /* the rule is too long, what is left of it is passed over */
    s->n = s->pieces_n = 0;
    while (s->next < s->end) {
        struct line l = peek_line(s);
        if (says_nothing(&l)) {
            consume(s, &l);
            continue;
        }
        bool continues = is_blank(l.p[0]);
        if (!continues && s->pieces_n > 0 && !spoilt)
            break;
        if (!continues) {
            s->n = s->pieces_n = 0;
            spoilt = false;
        }
        if (continues && s->pieces_n == 0 && !spoilt)
            line_error(s, "a line that begins with white space continues a rule, but none came before");
        else if (!spoilt)
            spoilt = !append(s, &l);
        consume(s, &l);
    }
    return s->pieces_n > 0 && !spoilt;
}

uint32_t source_line(const struct source *s)
{
    return s->pieces[0].line;
}

size_t source_skip_blanks(const struct source *s, size_t at)
{
    while (at < s->n && is_blank(s->text[at]))
        at++;
    return at;
}

size_t source_word_end(const struct source *s, size_t at)
{
    while (at < s->n && !is_blank(s->text[at]))
        at++;
    return at;
}

size_t source_trimmed_end(const struct source *s)
{
    size_t end = s->n;
    while (end > 0 && is_blank(s->text[end - 1]))
        end--;
    return end;
}
