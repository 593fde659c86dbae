/* SPDX-License-Identifier: MIT */
/* Invisible characters are dropped wherever they are. Inside a word of Latin, Greek or Cyrillic letters,
 * which need none, they are there to break it for filters only; a soft hyphen is one of these where no
 * hyphenation would put it, behind the first letter. Arabic, Indic scripts and emoji are written with
 * joiners. */
#include "filters/clean.h"

#include "base/utf8.h"

#define SOFT_HYPHEN 0xAD

static bool is_invisible(uint32_t point)
{
    static const struct {
        uint32_t from, to;
    } ranges[] = {{SOFT_HYPHEN, SOFT_HYPHEN}, {0x34F, 0x34F},   {0x61C, 0x61C},   {0x17B4, 0x17B5},
                  {0x180B, 0x180F},           {0x200B, 0x200F}, {0x202A, 0x202E}, {0x2060, 0x206F},
                  {0xFE00, 0xFE0F},           {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE0FFF}};

    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        if (point >= ranges[i].from && point <= ranges[i].to)
            return true;
    return false;
}

static bool is_letter(uint32_t point)
{
    if (point < 0x80)
        return ascii_alpha((char)point) || ascii_digit((char)point);
    return (point >= 0xC0 && point <= 0x24F) || (point >= 0x370 && point <= 0x52F);
}

static void see(struct clean *c, uint32_t point)
{
    bool letter = is_letter(point);

    c->hid = c->hid || (c->in_word && letter);
    c->in_word = false;
    c->letters = letter ? c->letters + 1 : 0;
}

static void drop(struct clean *c, uint32_t point)
{
    if (c->letters && (point != SOFT_HYPHEN || c->letters == 1))
        c->in_word = true;
}

/* ASCII characters at the front of s; the last two tell all that matters of the rest. */
static size_t take_ascii(struct clean *c, struct span s)
{
    size_t n = 0;

    while (n < s.n && (unsigned char)s.p[n] < 0x80)
        n++;
    if (n)
        see(c, (unsigned char)s.p[0]);
    for (size_t i = n > 3 ? n - 2 : 1; i < n; i++)
        see(c, (unsigned char)s.p[i]);
    return n;
}

bool clean_feed(struct clean *c, struct span s, struct buf *out)
{
    size_t seen = 0;

    while (seen < s.n) {
        uint32_t point;
        seen += take_ascii(c, span_skip(s, seen));
        size_t n = seen < s.n ? utf8_take(span_skip(s, seen), &point) : 0;
        if (n && is_invisible(point)) {
            drop(c, point);
            if (!buf_append(out, span_head(s, seen)))
                return false;
            s = span_skip(s, seen + n);
            seen = 0;
        } else if (n) {
            see(c, point);
            seen += n;
        } else if (seen < s.n) {
            seen++;
        }
    }
    return buf_append(out, s);
}
