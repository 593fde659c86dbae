/* SPDX-License-Identifier: MIT */
/* Character sets: a table of the names that mail uses. Common ones are read here, others by the C library's
 * iconv, but only those in the table: strangers do not choose which converter is loaded.
 *
 *   bytes -> [ held | input ] -> utf-8, single-byte or iconv -> UTF-8, U+FFFD for what is no character
 *
 * Work is linear: a stream with very many errors is not in the charset that it says, and is read as
 * windows-1252 from there on, instead of restarting a converter for every byte. */
#include "filters/charset.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdint.h>

#define ERRORS_MAX 1000
#define WINDOW     512 /* bytes converted at a time where some may be held */

enum how { HOW_UTF8, HOW_WINDOWS_1252, HOW_LATIN9, HOW_ICONV };

struct charset {
    const char *name; /* lower case */
    enum how how;
    const char *converter; /* the C library's name */
};

/* ISO 8859-1 is read as windows-1252, as every mail program does: the octets between are control characters
 * in the one and quotation marks in the other. */
static const struct charset charsets[] = {
    {"utf-8", HOW_UTF8, NULL},
    {"utf8", HOW_UTF8, NULL},
    {"us-ascii", HOW_UTF8, NULL},
    {"ascii", HOW_UTF8, NULL},
    {"ansi_x3.4-1968", HOW_UTF8, NULL},
    {"windows-1252", HOW_WINDOWS_1252, NULL},
    {"cp1252", HOW_WINDOWS_1252, NULL},
    {"iso-8859-1", HOW_WINDOWS_1252, NULL},
    {"iso8859-1", HOW_WINDOWS_1252, NULL},
    {"latin1", HOW_WINDOWS_1252, NULL},
    {"iso-8859-15", HOW_LATIN9, NULL},
    {"iso8859-15", HOW_LATIN9, NULL},
    {"latin9", HOW_LATIN9, NULL},
    {"utf-16", HOW_ICONV, "UTF-16"},
    {"utf-16be", HOW_ICONV, "UTF-16BE"},
    {"utf-16le", HOW_ICONV, "UTF-16LE"},
    {"utf-7", HOW_ICONV, "UTF-7"},
    {"unicode-1-1-utf-7", HOW_ICONV, "UTF-7"},
    {"utf-32", HOW_ICONV, "UTF-32"},
    {"utf-32be", HOW_ICONV, "UTF-32BE"},
    {"utf-32le", HOW_ICONV, "UTF-32LE"},
    {"windows-874", HOW_ICONV, "CP874"},
    {"tis-620", HOW_ICONV, "TIS-620"},
    {"iso-8859-11", HOW_ICONV, "ISO-8859-11"},
    {"cp866", HOW_ICONV, "CP866"},
    {"ibm866", HOW_ICONV, "CP866"},
    {"cp850", HOW_ICONV, "CP850"},
    {"macintosh", HOW_ICONV, "MACINTOSH"},
    {"iso-2022-kr", HOW_ICONV, "ISO-2022-KR"},
    {"big5-hkscs", HOW_ICONV, "BIG5-HKSCS"},
    {"euc-tw", HOW_ICONV, "EUC-TW"},
    {"cp936", HOW_ICONV, "GB18030"},
    {"gb_2312-80", HOW_ICONV, "GB18030"},
    {"euc-cn", HOW_ICONV, "GB18030"},
    {"cp949", HOW_ICONV, "CP949"},
    {"windows-949", HOW_ICONV, "CP949"},
    {"windows-31j", HOW_ICONV, "CP932"},
    {"cp932", HOW_ICONV, "CP932"},
    {"x-sjis", HOW_ICONV, "SHIFT_JIS"},
    {"cp1250", HOW_ICONV, "CP1250"},
    {"cp1254", HOW_ICONV, "CP1254"},
    {"koi8-r", HOW_ICONV, "KOI8-R"},
    {"koi8-u", HOW_ICONV, "KOI8-U"},
    {"windows-1250", HOW_ICONV, "CP1250"},
    {"windows-1251", HOW_ICONV, "CP1251"},
    {"cp1251", HOW_ICONV, "CP1251"},
    {"windows-1253", HOW_ICONV, "CP1253"},
    {"windows-1254", HOW_ICONV, "CP1254"},
    {"windows-1255", HOW_ICONV, "CP1255"},
    {"windows-1256", HOW_ICONV, "CP1256"},
    {"windows-1257", HOW_ICONV, "CP1257"},
    {"windows-1258", HOW_ICONV, "CP1258"},
    {"iso-8859-2", HOW_ICONV, "ISO-8859-2"},
    {"iso-8859-3", HOW_ICONV, "ISO-8859-3"},
    {"iso-8859-4", HOW_ICONV, "ISO-8859-4"},
    {"iso-8859-5", HOW_ICONV, "ISO-8859-5"},
    {"iso-8859-6", HOW_ICONV, "ISO-8859-6"},
    {"iso-8859-7", HOW_ICONV, "ISO-8859-7"},
    {"iso-8859-8", HOW_ICONV, "ISO-8859-8"},
    {"iso-8859-9", HOW_ICONV, "ISO-8859-9"},
    {"iso-8859-10", HOW_ICONV, "ISO-8859-10"},
    {"iso-8859-13", HOW_ICONV, "ISO-8859-13"},
    {"iso-8859-14", HOW_ICONV, "ISO-8859-14"},
    {"iso-8859-16", HOW_ICONV, "ISO-8859-16"},
    {"gb18030", HOW_ICONV, "GB18030"},
    {"gbk", HOW_ICONV, "GB18030"},
    {"gb2312", HOW_ICONV, "GB18030"},
    {"big5", HOW_ICONV, "BIG5"},
    {"euc-jp", HOW_ICONV, "EUC-JP"},
    {"iso-2022-jp", HOW_ICONV, "ISO-2022-JP"},
    {"shift_jis", HOW_ICONV, "SHIFT_JIS"},
    {"shift-jis", HOW_ICONV, "SHIFT_JIS"},
    {"euc-kr", HOW_ICONV, "EUC-KR"},
    {"ks_c_5601-1987", HOW_ICONV, "EUC-KR"},
};

static const struct charset fallback = {"windows-1252", HOW_WINDOWS_1252, NULL};

/* What windows-1252 has from 0x80 to 0x9F; its five holes stay control characters. */
static const uint16_t windows_1252[32] = {
    0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8D,   0x017D, 0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178,
};

uint32_t charset_windows_1252(unsigned char c)
{
    return c >= 0x80 && c <= 0x9F ? windows_1252[c - 0x80] : c;
}

static uint32_t single_byte(enum how how, unsigned char c)
{
    static const struct {
        unsigned char c;
        uint16_t point;
    } latin9[] = {{0xA4, 0x20AC}, {0xA6, 0x160}, {0xA8, 0x161}, {0xB4, 0x17D},
                  {0xB8, 0x17E},  {0xBC, 0x152}, {0xBD, 0x153}, {0xBE, 0x178}};

    if (how == HOW_WINDOWS_1252)
        return charset_windows_1252(c);
    for (size_t i = 0; i < COUNT_OF(latin9); i++)
        if (latin9[i].c == c)
            return latin9[i].point;
    return c;
}

/* Points of the basic plane; returns behind what was written. */
static char *put_point(char *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (char)point;
    } else if (point < 0x800) {
        *to++ = (char)(0xC0 | point >> 6);
        *to++ = (char)(0x80 | (point & 0x3F));
    } else {
        *to++ = (char)(0xE0 | point >> 12);
        *to++ = (char)(0x80 | (point >> 6 & 0x3F));
        *to++ = (char)(0x80 | (point & 0x3F));
    }
    return to;
}

static bool append_bad(struct buf *out)
{
    return buf_append(out, SPAN_LIT("\xEF\xBF\xBD"));
}

static bool feed_single(enum how how, struct span in, struct buf *out)
{
    while (in.n) {
        struct span piece = span_head(in, WINDOW);
        char *start = buf_reserve(out, piece.n * 3), *to = start;
        if (!start)
            return false;
        for (size_t i = 0; i < piece.n; i++)
            to = put_point(to, single_byte(how, (unsigned char)piece.p[i]));
        buf_added(out, (size_t)(to - start));
        in = span_skip(in, piece.n);
    }
    return true;
}

/* ---- UTF-8 ---- */

/* May more bytes make a character of s? */
static bool utf8_begun(struct span s)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t needs = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;

    if (c < 0xC2 || c > 0xF4 || s.n >= needs)
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (((unsigned char)s.p[i] & 0xC0) != 0x80)
            return false;
    return true;
}

/* Most text is ASCII: eight octets at a time. */
static size_t ascii_length(struct span s)
{
    size_t n = 0;
    uint64_t word;
    for (; s.n - n >= sizeof(word); n += sizeof(word)) {
        memcpy(&word, s.p + n, sizeof(word));
        if (word & 0x8080808080808080u)
            break;
    }
    while (n < s.n && (unsigned char)s.p[n] < 0x80)
        n++;
    return n;
}

static size_t utf8_good(struct span s)
{
    size_t good = 0, n = 1;
    uint32_t point;

    while (n && good < s.n) {
        good += ascii_length(span_skip(s, good));
        n = good < s.n ? utf8_take(span_skip(s, good), &point) : 0;
        good += n;
    }
    return good;
}

/* Each of these converts from *in what is whole, and leaves the start of a character unless this is the end.
 */
static bool convert_utf8(struct charset_decoder *d, struct span *in, bool end, struct buf *out)
{
    while (in->n) {
        size_t good = utf8_good(*in);
        if (!buf_append(out, span_head(*in, good)))
            return false;
        *in = span_skip(*in, good);
        if (in->n == 0 || (!end && utf8_begun(*in)))
            return true;
        d->errors++;
        if (!append_bad(out))
            return false;
        *in = span_skip(*in, 1);
    }
    return true;
}

/* ---- the C library's ---- */

/* One call of iconv; its errno, or 0 when all was taken. -1: no memory. */
static int call_iconv(struct charset_decoder *d, struct span *in, struct buf *out)
{
    size_t room = in->n * 4 + 16;
    char *to = buf_reserve(out, room);
    char *from = (char *)(uintptr_t)in->p; /* iconv takes char **, and does not write to it */
    size_t left = room;

    if (!to)
        return -1;
    errno = 0;
    size_t result = iconv(d->converter, &from, &in->n, &to, &left);
    int why = result == (size_t)-1 ? errno : 0;
    in->p = from;
    buf_added(out, room - left);
    return why;
}

static bool convert_iconv(struct charset_decoder *d, struct span *in, bool end, struct buf *out)
{
    while (in->n) {
        int why = call_iconv(d, in, out);
        if (why == 0)
            break;
        if (why < 0)
            return false;
        if (why == E2BIG)
            continue;
        if (why == EINVAL && !end && in->n < sizeof(d->held))
            break;
        d->errors++;
        if (!append_bad(out))
            return false;
        *in = span_skip(*in, 1);
        if (d->errors >= ERRORS_MAX) {
            d->charset = &fallback;
            break;
        }
    }
    return true;
}

static bool convert(struct charset_decoder *d, struct span *in, bool end, struct buf *out)
{
    return d->charset->how == HOW_UTF8 ? convert_utf8(d, in, end, out) : convert_iconv(d, in, end, out);
}

/* ---- the stream ---- */

static void hold(struct charset_decoder *d, struct span rest)
{
    if (rest.n)
        memcpy(d->held, rest.p, rest.n);
    d->held_n = rest.n;
}

/* With something held, input is added to it a window at a time. */
static bool feed_behind_held(struct charset_decoder *d, struct span *in, struct buf *out)
{
    char window[sizeof(d->held) + WINDOW];
    struct span piece = span_head(*in, WINDOW);

    memcpy(window, d->held, d->held_n);
    memcpy(window + d->held_n, piece.p, piece.n);
    struct span all = {window, d->held_n + piece.n};
    *in = span_skip(*in, piece.n);
    if (!convert(d, &all, false, out))
        return false;
    if (d->charset != &fallback) {
        hold(d, all);
        return true;
    }
    d->held_n = 0;
    return feed_single(fallback.how, all, out);
}

static bool is_single(const struct charset_decoder *d)
{
    return d->charset->how == HOW_WINDOWS_1252 || d->charset->how == HOW_LATIN9;
}

bool charset_feed(struct charset_decoder *d, struct span in, struct buf *out)
{
    while (in.n) {
        if (is_single(d))
            return feed_single(d->charset->how, in, out);
        if (d->held_n || d->charset->how == HOW_ICONV) {
            if (!feed_behind_held(d, &in, out))
                return false;
            continue;
        }
        if (!convert_utf8(d, &in, false, out))
            return false;
        hold(d, in);
        in.n = 0;
    }
    return true;
}

/* Some converters keep a letter until they know that no accent follows. */
static bool flush_converter(struct charset_decoder *d, struct buf *out)
{
    char *to = buf_reserve(out, sizeof(d->held)), *start = to;
    size_t left = sizeof(d->held);

    if (!to)
        return false;
    (void)iconv(d->converter, NULL, NULL, &to, &left);
    buf_added(out, (size_t)(to - start));
    return true;
}

bool charset_end(struct charset_decoder *d, struct buf *out)
{
    struct span rest = {d->held, d->held_n};

    d->held_n = 0;
    if (is_single(d))
        return true;
    if (!convert(d, &rest, true, out) || !feed_single(fallback.how, rest, out))
        return false;
    return d->charset->how != HOW_ICONV || flush_converter(d, out);
}

/* ---- names ---- */

static const struct charset *find(struct span name)
{
    name = span_trim(name);
    if (name.n == 0)
        return &charsets[0];
    for (size_t i = 0; i < COUNT_OF(charsets); i++)
        if (span_ieq(name, span_of(charsets[i].name)))
            return &charsets[i];
    return NULL;
}

/* The first row with the same converter holds it for all of them. */
static size_t pool_place(const struct charset *c)
{
    _Static_assert(COUNT_OF(charsets) <= CHARSETS_MAX, "a place for every row");
    size_t place = 0;

    while (!charsets[place].converter || !span_eq(span_of(charsets[place].converter), span_of(c->converter)))
        place++;
    return place;
}

static bool open_converter(struct charset_decoder *d, struct charset_pool *pool)
{
    size_t place = pool_place(d->charset);

    if (!pool->is_open[place]) {
        iconv_t opened = iconv_open("UTF-8", d->charset->converter);
        if (opened == (iconv_t)(intptr_t)-1)
            return false;
        pool->open[place] = opened;
        pool->is_open[place] = true;
    }
    d->converter = pool->open[place];
    (void)iconv(d->converter, NULL, NULL, NULL, NULL); /* to its initial state */
    return true;
}

bool charset_is_utf7(const struct charset_decoder *d)
{
    return d->charset->converter && span_eq(span_of(d->charset->converter), SPAN_LIT("UTF-7"));
}

bool charset_begin(struct charset_decoder *d, struct charset_pool *pool, struct span name)
{
    *d = (struct charset_decoder){.charset = find(name)};
    if (d->charset && (d->charset->how != HOW_ICONV || open_converter(d, pool)))
        return true;
    d->charset = &fallback;
    return false;
}

void charset_pool_free(struct charset_pool *pool)
{
    for (size_t i = 0; i < COUNT_OF(pool->open); i++)
        if (pool->is_open[i])
            (void)iconv_close(pool->open[i]);
    *pool = (struct charset_pool){0};
}
