/* SPDX-License-Identifier: MIT */
/* Escapes for a terminal. Owns nothing. What is shown as it is: printable ASCII, and UTF-8 but for the ranges
 * below. */
#include "explain/visible.h"

#include "base/utf8.h"

static bool is_unseen(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00AD, 0x00AD},   /* soft hyphen */
        {0x061C, 0x061C},   /* Arabic letter mark */
        {0x180E, 0x180E},   /* Mongolian vowel separator */
        {0x200B, 0x200F},   /* zero width, marks of direction */
        {0x2028, 0x202E},   /* line and paragraph separators, embeddings and overrides */
        {0x2060, 0x206F},   /* joiners, isolates */
        {0xFEFF, 0xFEFF},   /* byte order mark */
        {0xFFF9, 0xFFFB},   /* interlinear annotation */
        {0xE0000, 0xE007F}, /* tags */
    };
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

static bool put_control(struct buf *out, uint32_t c)
{
    if (c == '\n' || c == '\r' || c == '\t')
        return buf_append(out, c == '\n' ? SPAN_LIT("\\n") : c == '\r' ? SPAN_LIT("\\r") : SPAN_LIT("\\t"));
    return buf_printf(out, "\\x%02x", c);
}

static bool put_one(struct buf *out, struct span one, uint32_t c)
{
    if (c < 0x20 || (c >= 0x7F && c <= 0x9F))
        return put_control(out, c);
    return is_unseen(c) ? buf_printf(out, "<U+%04X>", c) : buf_append(out, one);
}

bool visible(struct buf *out, struct span s, size_t most)
{
    bool good = true;
    for (; good && s.n && most; most--) {
        uint32_t c;
        size_t took = utf8_take(s, &c);
        good = took ? put_one(out, span_head(s, took), c) : buf_printf(out, "\\x%02x", (unsigned char)s.p[0]);
        s = span_skip(s, took ? took : 1);
    }
    return good && (!s.n || buf_append(out, SPAN_LIT("...")));
}
