/* SPDX-License-Identifier: MIT */
/* Encoded words: =?charset?B or Q?text?=. Read as mail programs read them, not as they should be written:
 * inside other text, with blanks, of any length. Two with only blanks between them are one text, and a
 * character that was cut between them is whole again as long as the charset stays the same.
 *
 *   text  =?..?=  =?..?=  text          a word is found in one pass: once no "?=" follows, none is looked for
 *   `---literal---'`--joined--'          again, so 100,000 beginnings of words cost no more than their bytes
 */
#include "filters/words.h"

#include "filters/message.h"
#include "filters/transfer.h"

#define CHARSET_NAME_MAX 64

struct word {
    struct span charset, text;
    enum transfer_kind kind;
    size_t n; /* of the whole word */
};

struct reader {
    struct charset_pool *pool;
    struct charset_decoder decoder;
    struct span charset; /* of the decoder that is open; SPAN_NONE: plain text */
    bool joined;         /* the last thing read was a word */
    bool no_more_ends;   /* no "?=" is left in the text */
    struct buf *out;
    uint64_t *flags;
};

bool words_unfold(struct span s, struct buf *out)
{
    while (s.n) {
        size_t n = span_find(s, '\n');
        size_t text = n < s.n && n > 0 && s.p[n - 1] == '\r' ? n - 1 : n;
        if (!buf_append(out, span_head(s, text)))
            return false;
        s = span_skip(s, n + 1);
    }
    return true;
}

/* The place of "?=" from `at` on, or s.n. */
static size_t find_end(struct span s, size_t at)
{
    const char *hit = memmem(s.p + at, s.n - at, "?=", 2);
    return hit ? (size_t)(hit - s.p) : s.n;
}

/* A word at the start of s, which begins with "=?". */
static bool parse_word(struct reader *r, struct span s, struct word *w)
{
    size_t charset_n = span_find(span_head(span_skip(s, 2), CHARSET_NAME_MAX), '?');
    size_t text = 2 + charset_n + 3;

    if (r->no_more_ends || charset_n == 0 || text > s.n || s.p[2 + charset_n] != '?' || s.p[text - 1] != '?')
        return false;
    char encoding = ascii_lower(s.p[text - 2]);
    if (encoding != 'b' && encoding != 'q')
        return false;
    size_t end = find_end(s, text);
    if (end == s.n) {
        r->no_more_ends = true;
        return false;
    }
    struct span charset = span_head(span_skip(s, 2), charset_n);
    w->charset = span_head(charset, span_find(charset, '*')); /* RFC 2231 5: a language may follow */
    w->kind = encoding == 'b' ? TRANSFER_BASE64 : TRANSFER_QP;
    w->text = (struct span){s.p + text, end - text};
    w->n = end + 2;
    return true;
}

/* ---- output ---- */

static bool close_decoder(struct reader *r)
{
    return charset_end(&r->decoder, r->out);
}

static bool open_decoder(struct reader *r, struct span charset)
{
    if (!close_decoder(r))
        return false;
    r->charset = charset;
    if (!charset_begin(&r->decoder, r->pool, charset))
        *r->flags |= MESSAGE_CHARSET_UNKNOWN;
    return true;
}

static bool put_literal(struct reader *r, struct span s)
{
    if (s.n == 0)
        return true;
    r->joined = false;
    return open_decoder(r, SPAN_NONE) && charset_feed(&r->decoder, s, r->out);
}

static void underscores_to_blanks(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] == '_')
            p[i] = ' ';
}

/* Pieces small enough for the stack; the underscores of Q stand for blanks before decoding (RFC 2047 4.2). */
static bool put_word(struct reader *r, const struct word *w)
{
    char raw[256], bytes[sizeof(raw) + TRANSFER_MORE];
    struct transfer t;
    bool good = true;

    if (!(r->joined && span_ieq(r->charset, w->charset)) && !open_decoder(r, w->charset))
        return false;
    r->joined = true;
    transfer_begin(&t, w->kind);
    for (struct span left = w->text; left.n && good; left = span_skip(left, sizeof(raw))) {
        struct span piece = span_head(left, sizeof(raw));
        memcpy(raw, piece.p, piece.n);
        if (w->kind == TRANSFER_QP)
            underscores_to_blanks(raw, piece.n);
        size_t n = transfer_decode(&t, (struct span){raw, piece.n}, bytes);
        good = charset_feed(&r->decoder, (struct span){bytes, n}, r->out);
    }
    size_t n = transfer_end(&t, bytes);
    if (t.bad)
        *r->flags |= w->kind == TRANSFER_QP ? MESSAGE_BAD_QP : MESSAGE_BAD_BASE64;
    return good && charset_feed(&r->decoder, (struct span){bytes, n}, r->out);
}

/* The literal text before a word: blanks between two words are not text. */
static bool put_between(struct reader *r, struct span s)
{
    return r->joined && span_trim(s).n == 0 ? true : put_literal(r, s);
}

static size_t find_start(struct span s, size_t from)
{
    const char *hit = from < s.n ? memmem(s.p + from, s.n - from, "=?", 2) : NULL;
    return hit ? (size_t)(hit - s.p) : s.n;
}

static bool decode_all(struct reader *r, struct span s, size_t enough)
{
    size_t from = 0;

    while (s.n && buf_len(r->out) <= enough) {
        struct word w;
        size_t start = r->no_more_ends ? s.n : find_start(s, from);
        if (start == s.n)
            return put_literal(r, s);
        if (!parse_word(r, span_skip(s, start), &w)) {
            from = start + 2;
            continue;
        }
        if (!put_between(r, span_head(s, start)) || !put_word(r, &w))
            return false;
        s = span_skip(s, start + w.n);
        from = 0;
    }
    return true;
}

/* How much of s fits into max without cutting a character. */
static size_t fitting(struct span s, size_t max)
{
    if (s.n <= max)
        return s.n;
    while (max && ((unsigned char)s.p[max] & 0xC0) == 0x80)
        max--;
    return max;
}

bool words_decode(struct span s, size_t max, struct charset_pool *pool, struct buf *out, uint64_t *flags_r)
{
    struct buf decoded = {0};
    struct reader r = {.pool = pool, .out = &decoded, .flags = flags_r};

    (void)charset_begin(&r.decoder, pool, SPAN_NONE);
    bool good = decode_all(&r, s, max) && close_decoder(&r);
    struct span all = buf_span(&decoded);
    if (all.n > max)
        *flags_r |= MESSAGE_FIELD_LIMIT;
    good = good && buf_append(out, span_head(all, fitting(all, max)));
    buf_free(&decoded);
    return good;
}
