/* SPDX-License-Identifier: MIT */
/* Invisible elements: inline styles, and the stack of elements from the outermost invisible one on.
 *
 *   <div style="font-size:0">  a  <b style="font-size:12px">  b  </b>  c  </div>  d
 *        stack: FONT              FONT, -                        FONT      (empty)
 *        shown: no                yes                            no        yes
 */
#include "filters/html_hidden.h"

#include "base/attr.h"
#include "filters/html_tag.h"
#include "filters/transfer.h"

#define DECLARATION_MAX 128 /* bytes of one, without blanks; the rest says nothing */

/* ---- styles ---- */

struct declaration {
    char text[DECLARATION_MAX];
    size_t n;
};

/* \64 and the like: returns the bytes it takes. */
static size_t take_escape(struct span s, char *c_r)
{
    unsigned value = 0;
    size_t n = 1;

    while (n < s.n && n < 7 && hex_digit(s.p[n]) >= 0)
        value = value << 4 | (unsigned)hex_digit(s.p[n++]);
    if (n == 1) {
        *c_r = s.n > 1 ? s.p[1] : '\\';
        return 2;
    }
    *c_r = value < 0x80 ? (char)value : '?';
    return n < s.n && s.p[n] == ' ' ? n + 1 : n;
}

/* Takes one declaration, without comments, blanks and escapes, in lower case. */
static void take_declaration(struct span *s, struct declaration *d)
{
    d->n = 0;
    while (s->n && s->p[0] != ';') {
        char c = s->p[0];
        size_t n = 1;
        if (span_istarts(*s, SPAN_LIT("/*"))) {
            const char *end = memmem(s->p + 2, s->n - 2, "*/", 2);
            n = end ? (size_t)(end - s->p) + 2 : s->n;
            c = ' ';
        } else if (c == '\\') {
            n = take_escape(*s, &c);
        }
        if ((unsigned char)c > ' ' && d->n < sizeof(d->text))
            d->text[d->n++] = ascii_lower(c);
        *s = span_skip(*s, n);
    }
    *s = span_skip(*s, 1);
}

/* "0", "0px", ".0em", "0%": nothing to see. */
static bool is_zero(struct span v)
{
    size_t n = 0;

    while (n < v.n && (v.p[n] == '0' || v.p[n] == '.'))
        n++;
    return n > 0 && span_find(span_head(v, n), '0') < n && (n == v.n || !ascii_digit(v.p[n]));
}

/* A size that is its own, not a part of the parent's. */
static bool is_absolute(struct span v)
{
    static const char *const units[] = {"px", "pt", "pc", "cm", "mm", "in", "rem"};
    static const char *const words[] = {"small", "medium", "large", "xx-", "x-"};

    for (size_t i = 0; i < COUNT_OF(units); i++) {
        struct span unit = span_of(units[i]);
        if (v.n > unit.n && span_eq(span_skip(v, v.n - unit.n), unit))
            return true;
    }
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (span_istarts(v, span_of(words[i])))
            return true;
    return false;
}

static void font_size(struct html_look *l, struct span v)
{
    if (is_zero(v))
        l->hides |= HTML_HIDES_FONT;
    else if (is_absolute(v))
        l->shows |= HTML_HIDES_FONT;
}

static void display(struct html_look *l, struct span v)
{
    if (span_eq(v, SPAN_LIT("none")))
        l->hides |= HTML_HIDES;
}

static void visibility(struct html_look *l, struct span v)
{
    if (span_eq(v, SPAN_LIT("hidden")) || span_eq(v, SPAN_LIT("collapse")))
        l->hides |= HTML_HIDES_VISIBILITY;
    else if (span_eq(v, SPAN_LIT("visible")))
        l->shows |= HTML_HIDES_VISIBILITY;
}

static void opacity(struct html_look *l, struct span v)
{
    if (is_zero(v))
        l->hides |= HTML_HIDES;
}

static void colour(struct html_look *l, struct span v)
{
    html_look_colour(l, false, v);
}

static void background(struct html_look *l, struct span v)
{
    html_look_colour(l, true, v);
}

static void declare(struct html_look *l, struct span text)
{
    static const struct {
        const char *property;
        void (*take)(struct html_look *l, struct span value);
    } properties[] = {{"display", display},       {"visibility", visibility},
                      {"font-size", font_size},   {"font", font_size},
                      {"opacity", opacity},       {"color", colour},
                      {"background", background}, {"background-color", background}};
    size_t colon = span_find(text, ':');
    struct span value = span_skip(text, colon + 1);

    value = span_head(value, span_find(value, '!'));
    for (size_t i = 0; i < COUNT_OF(properties); i++)
        if (span_eq(span_head(text, colon), span_of(properties[i].property)))
            properties[i].take(l, value);
}

void html_look_style(struct html_look *l, struct span style)
{
    struct declaration d;

    while (style.n) {
        take_declaration(&style, &d);
        declare(l, (struct span){d.text, d.n});
    }
}

/* One way to write the colours that mail hides text with. */
static struct span plain_colour(struct span v)
{
    static const struct {
        const char *written, *plain;
    } colours[] = {{"white", "#ffffff"}, {"#fff", "#ffffff"}, {"rgb(255,255,255)", "#ffffff"},
                   {"black", "#000000"}, {"#000", "#000000"}, {"rgb(0,0,0)", "#000000"}};

    for (size_t i = 0; i < COUNT_OF(colours); i++)
        if (span_ieq(v, span_of(colours[i].written)))
            return span_of(colours[i].plain);
    return v;
}

void html_look_colour(struct html_look *l, bool is_background, struct span value)
{
    struct span v = span_head(plain_colour(span_trim(value)), HTML_COLOUR_MAX);
    char *to = is_background ? l->background : l->colour;

    for (size_t i = 0; i < v.n; i++)
        to[i] = ascii_lower(v.p[i]);
    *(is_background ? &l->background_n : &l->colour_n) = v.n;
    if (!is_background && v.n)
        l->shows |= HTML_HIDES_COLOUR;
    if (!is_background && span_eq(v, SPAN_LIT("transparent")))
        l->hides |= HTML_HIDES_COLOUR;
}

static unsigned hides_of(const struct html_look *l, unsigned kind)
{
    struct span fore = {l->colour, l->colour_n}, back = {l->background, l->background_n};
    unsigned hides = l->hides;

    if (fore.n && span_eq(fore, back))
        hides |= HTML_HIDES_COLOUR;
    return kind & HTML_GONE ? hides | HTML_HIDES : hides;
}

/* ---- the stack ---- */

/* The place of the innermost element of this name, or n. */
static size_t find(const struct html_hidden *h, struct span name)
{
    for (size_t i = h->n; i > 0; i--)
        if (span_eq((struct span){h->open[i - 1].name, h->open[i - 1].name_n}, name))
            return i - 1;
    return h->n;
}

static void close_named(struct html_hidden *h, struct span name)
{
    h->n = find(h, name);
}

/* What every reader closes before this start tag, though no end tag came. */
static void close_implied(struct html_hidden *h, struct span name, unsigned kind)
{
    if (kind & HTML_ALONE)
        close_named(h, name);
    if (kind & HTML_BLOCK)
        close_named(h, SPAN_LIT("p"));
    if (kind & HTML_TABLE && find(h, SPAN_LIT("table")) == h->n)
        h->n = 0;
}

void html_hidden_start(struct html_hidden *h, struct span name, unsigned kind, const struct html_look *look)
{
    if (h->n)
        close_implied(h, name, kind);
    unsigned inherited = h->n ? h->open[h->n - 1].hides : 0;
    unsigned hides = (inherited & ~(look->shows & ~(unsigned)HTML_HIDES)) | hides_of(look, kind);
    if (kind & HTML_ROOT || kind & HTML_VOID || (h->n == 0 && hides == 0))
        return;
    if (h->n == HTML_OPEN_MAX || name.n > HTML_NAME_MAX) {
        h->n = 0;
        return;
    }
    memcpy(h->open[h->n].name, name.p, name.n);
    h->open[h->n].name_n = (unsigned char)name.n;
    h->open[h->n++].hides = (unsigned char)hides;
}

/* The end of an element that is not in the stack ends one around it, and so all of them. */
void html_hidden_end(struct html_hidden *h, struct span name)
{
    size_t at = find(h, name);
    h->n = at == h->n ? 0 : at;
}
