/* SPDX-License-Identifier: MIT */
/* uuencode, line by line.
 *
 *   TEXT --"begin 644 name"--> NAMED --line of data--> DATA --"end", or no line of data--> TEXT
 *
 * A line of data says in its first byte how many bytes it has; four characters are three of them. */
#include "filters/uu.h"

static unsigned value_of(char c)
{
    return ((unsigned char)c - ' ') & 63u;
}

/* The bytes that a line of data has, 0: it is none (or the empty last one). */
static size_t data_length(struct span line)
{
    size_t n = line.n ? value_of(line.p[0]) : 0;

    if (n == 0 || line.n - 1 < (n * 4 + 2) / 3)
        return 0;
    for (size_t i = 0; i < line.n; i++)
        if (line.p[i] < ' ' || line.p[i] > '`')
            return 0;
    return n;
}

static size_t decode(struct span line, size_t n, char out[64])
{
    size_t to = 0;

    for (size_t i = 1; to < n; i += 4) {
        unsigned group = 0;
        for (size_t k = 0; k < 4; k++)
            group = group << 6 | (i + k < line.n ? value_of(line.p[i + k]) : 0);
        for (int shift = 16; shift >= 0 && to < n; shift -= 8)
            out[to++] = (char)(group >> shift);
    }
    return to;
}

/* "begin", a mode in octal, a name. */
static struct span name_in(struct span line)
{
    size_t digits = 0;

    if (!span_istarts(line, SPAN_LIT("begin ")))
        return SPAN_NONE;
    line = span_trim(span_skip(line, 6));
    while (digits < line.n && line.p[digits] >= '0' && line.p[digits] <= '7')
        digits++;
    if (digits < 3 || digits > 4 || digits == line.n || line.p[digits] != ' ')
        return SPAN_NONE;
    return span_trim(span_skip(line, digits));
}

static bool is_last(struct span line)
{
    return (line.n == 1 && value_of(line.p[0]) == 0) || line.n == 0;
}

static bool take_data(struct uu *u, struct span line, const struct uu_events *events, void *ctx)
{
    char bytes[64];
    size_t n = data_length(line);

    if (n && !span_eq(line, SPAN_LIT("end"))) {
        bool good = u->state == UU_DATA || events->begin(ctx, (struct span){u->name, u->name_n});
        u->state = UU_DATA;
        return good && events->data(ctx, (struct span){bytes, decode(line, n, bytes)});
    }
    if (u->state == UU_DATA && is_last(line))
        return true;
    bool was_open = u->state == UU_DATA;
    u->state = UU_TEXT;
    return !was_open || events->end(ctx);
}

static bool take_line(struct uu *u, const struct uu_events *events, void *ctx)
{
    struct span line = {u->line, u->line_n};

    u->line_n = 0;
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    if (u->state != UU_TEXT && !take_data(u, line, events, ctx))
        return false;
    struct span name = u->state == UU_TEXT ? name_in(line) : SPAN_NONE;
    if (name.n) {
        memcpy(u->name, name.p, name.n);
        u->name_n = name.n;
        u->state = UU_NAMED;
    }
    return true;
}

bool uu_feed(struct uu *u, struct span text, const struct uu_events *events, void *ctx)
{
    bool good = true;

    while (text.n && good) {
        size_t n = span_find(text, '\n');
        if (!u->skip && n <= sizeof(u->line) - u->line_n) {
            memcpy(u->line + u->line_n, text.p, n);
            u->line_n += n;
        } else {
            u->skip = true;
            u->line_n = 0;
        }
        if (n < text.n) {
            u->at = text.p + n + 1;
            good = u->skip || take_line(u, events, ctx);
            u->skip = false;
        }
        text = span_skip(text, n + 1);
    }
    return good;
}

bool uu_end(struct uu *u, const struct uu_events *events, void *ctx)
{
    u->at = NULL;
    bool good = u->skip || take_line(u, events, ctx);

    if (good && u->state == UU_DATA)
        good = events->end(ctx);
    *u = (struct uu){0};
    return good;
}
