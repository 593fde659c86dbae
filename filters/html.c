/* SPDX-License-Identifier: MIT */
/* The tokenizer of HTML, after WHATWG 13.2.5, without a tree:
 *
 *   DATA --'<'--> OPEN --letter--> NAME --blank--> BEFORE_ATTR -> ATTR -> VALUE … --'>'--> tag over, DATA
 *                   |--'/'-> END_OPEN --letter-^
 *                   `--'!'-> MARKUP --"--"--> COMMENT --"-->"--> DATA,   anything else --> BOGUS --'>'-->
 * DATA DATA, VALUE --'&'--> REFERENCE --> back, with the character in place of its name <script>, <style>,
 * <title>: RAW until their own end tag
 *
 * What is held is one name, one attribute value, the alt text and the refresh of one tag, all bounded. It
 * belongs to the body that is read. */
#include "filters/html.h"

#include "filters/html_hidden.h"
#include "filters/html_reference.h"
#include "filters/html_tag.h"
#include "filters/html_urls.h"

#define VALUE_MAX   8192 /* bytes of an attribute's value; the rest is dropped */
#define ALT_MAX     512
#define REFRESH_MAX 1024
#define ATTR_MAX    15

enum state {
    DATA,
    OPEN,
    END_OPEN,
    NAME,
    BEFORE_ATTR,
    ATTR,
    AFTER_ATTR,
    BEFORE_VALUE,
    VALUE_DOUBLE,
    VALUE_SINGLE,
    VALUE_BARE,
    MARKUP,
    COMMENT,
    BOGUS,
    REFERENCE,
    RAW,
    RAW_OPEN,
    RAW_END_OPEN
};

struct html {
    enum state state;
    html_url url;
    void *ctx;
    struct buf *out; /* during a call */
    bool no_memory, hid;
    struct html_hidden hidden;

    /* text: what stands between it and the next character */
    bool any, blank, line;

    /* a character reference */
    enum state back;
    struct html_reference reference;

    unsigned dashes; /* COMMENT, MARKUP: "-" before this byte; see comment_byte */
    bool fresh;      /* COMMENT: nothing but dashes came */

    /* the tag */
    bool end_tag;
    char tag[HTML_NAME_MAX + 1]; /* one more tells that it is longer */
    size_t tag_n;
    unsigned kind;
    struct html_look look;
    bool refreshes;
    size_t alt_n, refresh_n;
    char alt[ALT_MAX], refresh[REFRESH_MAX];

    /* RAW: whose end is waited for, and how much of it was read */
    char raw[HTML_NAME_MAX];
    size_t raw_n;
    bool raw_shown;
    size_t matched;
    char matching[HTML_NAME_MAX];

    char attr[ATTR_MAX + 1];
    size_t attr_n, value_n;
    char value[VALUE_MAX];
};

struct html *html_create(html_url url, void *ctx)
{
    struct html *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->url = url;
    h->ctx = ctx;
    return h;
}

void html_destroy(struct html **h)
{
    free(*h);
    *h = NULL;
}

bool html_hid(const struct html *h)
{
    return h->hid;
}

/* ---- text ---- */

static void add(struct html *h, struct span s)
{
    if (!h->no_memory && !buf_append(h->out, s))
        h->no_memory = true;
}

/* Text without white space. */
static void put(struct html *h, struct span s)
{
    if (html_hidden_now(&h->hidden)) {
        h->hid = true;
        return;
    }
    if (h->any && h->line)
        add(h, SPAN_LIT("\n"));
    else if (h->any && h->blank)
        add(h, SPAN_LIT(" "));
    h->any = true;
    h->line = h->blank = false;
    add(h, s);
}

static void put_char(struct html *h, char c)
{
    if (html_space(c))
        h->blank = true;
    else if (c != '\0')
        put(h, (struct span){&c, 1});
}

static void put_text(struct html *h, struct span s)
{
    for (size_t from = 0; from < s.n;) {
        size_t to = from;
        while (to < s.n && !html_space(s.p[to]) && s.p[to] != '\0')
            to++;
        if (to > from)
            put(h, (struct span){s.p + from, to - from});
        from = to;
        if (from < s.n)
            put_char(h, s.p[from++]);
    }
}

/* ---- attributes ---- */

static void keep(char *p, size_t *n, size_t max, struct span s)
{
    size_t fits = s.n < max - *n ? s.n : max - *n;

    while (fits < s.n && fits && ((unsigned char)s.p[fits] & 0xC0) == 0x80)
        fits--; /* no half characters */
    s = span_head(s, fits);
    if (s.n)
        memcpy(p + *n, s.p, s.n);
    *n += s.n;
}

static void give_url(struct html *h, struct span url)
{
    if (url.n)
        h->url(h->ctx, url);
}

static void take_srcset(struct html *h, struct span v)
{
    html_urls_of_srcset(v, h->url, h->ctx);
}

static void take_style(struct html *h, struct span v)
{
    html_look_style(&h->look, v);
    html_urls_of_style(v, h->url, h->ctx);
}

static void take_hidden(struct html *h, struct span v)
{
    (void)v;
    h->look.hides |= HTML_HIDES;
}

static void take_colour(struct html *h, struct span v)
{
    html_look_colour(&h->look, false, v);
}

static void take_background(struct html *h, struct span v)
{
    html_look_colour(&h->look, true, v);
}

static void take_alt(struct html *h, struct span v)
{
    if (h->alt_n == 0)
        keep(h->alt, &h->alt_n, ALT_MAX, v);
}

static void take_content(struct html *h, struct span v)
{
    if (h->refresh_n == 0)
        keep(h->refresh, &h->refresh_n, REFRESH_MAX, v);
}

static void take_equiv(struct html *h, struct span v)
{
    h->refreshes = h->refreshes || span_ieq(span_trim(v), SPAN_LIT("refresh"));
}

static void attr_over(struct html *h)
{
    static const struct {
        const char *name;
        void (*take)(struct html *h, struct span value);
    } attrs[] = {
        {"href", give_url},
        {"src", give_url},
        {"action", give_url},
        {"formaction", give_url},
        {"background", give_url},
        {"poster", give_url},
        {"data", give_url},
        {"lowsrc", give_url},
        {"xlink:href", give_url},
        {"longdesc", give_url},
        {"cite", give_url},
        {"srcset", take_srcset},
        {"style", take_style},
        {"hidden", take_hidden},
        {"alt", take_alt},
        {"color", take_colour},
        {"bgcolor", take_background},
        {"content", take_content},
        {"http-equiv", take_equiv},
    };
    struct span name = {h->attr, h->attr_n}, value = {h->value, h->value_n};

    for (size_t i = 0; name.n && !h->end_tag && i < COUNT_OF(attrs); i++)
        if (span_eq(name, span_of(attrs[i].name)))
            attrs[i].take(h, value);
    h->attr_n = h->value_n = 0;
}

/* ---- tags ---- */

static void begin_tag(struct html *h, bool end_tag)
{
    h->end_tag = end_tag;
    h->tag_n = h->attr_n = h->value_n = 0;
    h->alt_n = h->refresh_n = 0;
    h->refreshes = false;
    h->look = (struct html_look){0};
    h->state = NAME;
}

static void start_tag_over(struct html *h, struct span name)
{
    if (h->kind & HTML_BLOCK)
        h->line = true;
    if (h->kind & HTML_CELL)
        h->blank = true;
    html_hidden_start(&h->hidden, name, h->kind, &h->look);
    if (h->kind & HTML_IMAGE && h->alt_n && !h->look.hides) {
        h->blank = true;
        put_text(h, (struct span){h->alt, h->alt_n});
        h->blank = true;
    }
    if (h->refreshes)
        html_url_of_refresh((struct span){h->refresh, h->refresh_n}, h->url, h->ctx);
    if (!(h->kind & (HTML_RAW | HTML_TITLE)))
        return;
    h->state = RAW;
    h->raw_shown = h->kind & HTML_TITLE;
    h->raw_n = 0;
    keep(h->raw, &h->raw_n, sizeof(h->raw), name);
}

static void tag_over(struct html *h)
{
    struct span name = {h->tag, h->tag_n};

    attr_over(h);
    h->state = DATA;
    h->kind = html_tag_kind(name);
    if (!h->end_tag) {
        start_tag_over(h, name);
        return;
    }
    if (h->kind & HTML_BLOCK)
        h->line = true;
    html_hidden_end(&h->hidden, name);
}

/* ---- character references ---- */

static void begin_reference(struct html *h)
{
    h->back = h->state;
    h->state = REFERENCE;
    h->reference = (struct html_reference){0};
}

static bool in_value(const struct html *h)
{
    return h->back == VALUE_DOUBLE || h->back == VALUE_SINGLE || h->back == VALUE_BARE;
}

/* To where the reference stood. */
static void put_back(struct html *h, struct span s)
{
    if (in_value(h))
        keep(h->value, &h->value_n, VALUE_MAX, s);
    else if (h->back == DATA || h->raw_shown)
        put_text(h, s);
}

/* c comes behind the reference. true: it belongs to it. */
static bool reference_over(struct html *h, char c)
{
    struct html_meaning m;

    h->state = h->back;
    html_reference_read(&h->reference, in_value(h), c, &m);
    if (m.n)
        put_back(h, (struct span){m.text, m.n});
    else
        put_back(h, SPAN_LIT("&"));
    put_back(h, m.rest);
    return m.ended;
}

/* true: c is taken. */
static bool reference_byte(struct html *h, char c)
{
    return html_reference_byte(&h->reference, c) || reference_over(h, c);
}

/* ---- bytes by state; each returns whether it took c ---- */

static bool open_byte(struct html *h, char c)
{
    if (c == '/') {
        h->state = END_OPEN;
    } else if (c == '!') {
        h->state = MARKUP;
        h->dashes = 0;
    } else if (c == '?') {
        h->state = BOGUS;
    } else if (ascii_alpha(c)) {
        begin_tag(h, false);
        return false;
    } else {
        h->state = DATA;
        put(h, SPAN_LIT("<"));
        return false;
    }
    return true;
}

static bool end_open_byte(struct html *h, char c)
{
    if (ascii_alpha(c)) {
        begin_tag(h, true);
        return false;
    }
    h->state = c == '>' ? DATA : BOGUS;
    return c == '>';
}

static bool name_byte(struct html *h, char c)
{
    if (c == '>') {
        tag_over(h);
    } else if (html_space(c) || c == '/') {
        h->state = BEFORE_ATTR;
    } else if (h->tag_n < sizeof(h->tag)) {
        h->tag[h->tag_n++] = ascii_lower(c);
    }
    return true;
}

static bool before_attr_byte(struct html *h, char c)
{
    if (c == '>') {
        tag_over(h);
    } else if (!html_space(c) && c != '/') {
        attr_over(h);
        h->attr[h->attr_n++] = ascii_lower(c);
        h->state = ATTR;
    }
    return true;
}

static bool attr_byte(struct html *h, char c)
{
    if (c == '>')
        tag_over(h);
    else if (c == '=')
        h->state = BEFORE_VALUE;
    else if (html_space(c) || c == '/')
        h->state = AFTER_ATTR;
    else if (h->attr_n < sizeof(h->attr))
        h->attr[h->attr_n++] = ascii_lower(c);
    return true;
}

static bool after_attr_byte(struct html *h, char c)
{
    if (html_space(c))
        return true;
    h->state = c == '=' ? BEFORE_VALUE : BEFORE_ATTR;
    return c == '=';
}

static bool before_value_byte(struct html *h, char c)
{
    if (html_space(c))
        return true;
    h->state = c == '"' ? VALUE_DOUBLE : c == '\'' ? VALUE_SINGLE : VALUE_BARE;
    return h->state != VALUE_BARE;
}

static bool value_byte(struct html *h, char c)
{
    bool quoted = h->state != VALUE_BARE;

    if (quoted ? c == (h->state == VALUE_DOUBLE ? '"' : '\'') : html_space(c)) {
        attr_over(h);
        h->state = BEFORE_ATTR;
    } else if (!quoted && c == '>') {
        tag_over(h);
    } else if (c == '&') {
        begin_reference(h);
    } else if (h->value_n < VALUE_MAX) {
        h->value[h->value_n++] = c;
    }
    return true;
}

static bool markup_byte(struct html *h, char c)
{
    if (c == '-' && ++h->dashes == 2) {
        h->state = COMMENT;
        h->dashes = 0;
        h->fresh = true;
    } else if (c != '-') {
        h->state = BOGUS;
        return false;
    }
    return true;
}

/* A comment ends with "-->" or "--!>"; right at its start ">" and "->" end it, too. */
static bool comment_byte(struct html *h, char c)
{
    enum { BANG = 3 }; /* "--!" came */

    if (c == '>' && (h->dashes >= 2 || h->fresh)) {
        h->state = DATA;
    } else if (c == '-') {
        h->dashes = h->dashes == BANG ? 1 : h->dashes < 2 ? h->dashes + 1 : 2;
        h->fresh = h->fresh && h->dashes < 2;
    } else {
        h->dashes = c == '!' && h->dashes == 2 ? BANG : 0;
        h->fresh = false;
    }
    return true;
}

static bool bogus_byte(struct html *h, char c)
{
    if (c == '>')
        h->state = DATA;
    return true;
}

static bool raw_byte(struct html *h, char c)
{
    if (c == '<')
        h->state = RAW_OPEN;
    else if (c == '&' && h->raw_shown)
        begin_reference(h);
    else if (h->raw_shown)
        put_char(h, c);
    return true;
}

static bool not_raw_end(struct html *h, struct span read)
{
    h->state = RAW;
    if (h->raw_shown)
        put_text(h, read);
    return false;
}

static bool raw_open_byte(struct html *h, char c)
{
    if (c != '/')
        return not_raw_end(h, SPAN_LIT("<"));
    h->state = RAW_END_OPEN;
    h->matched = 0;
    return true;
}

static bool raw_end_open_byte(struct html *h, char c)
{
    if (h->matched < h->raw_n && ascii_lower(c) == h->raw[h->matched]) {
        h->matching[h->matched++] = c;
        return true;
    }
    if (h->matched == h->raw_n && (html_space(c) || c == '/' || c == '>')) {
        begin_tag(h, true);
        for (size_t i = 0; i < h->raw_n; i++)
            h->tag[h->tag_n++] = h->raw[i];
        return false;
    }
    (void)not_raw_end(h, SPAN_LIT("</"));
    return not_raw_end(h, (struct span){h->matching, h->matched});
}

static bool data_byte(struct html *h, char c)
{
    if (c == '<')
        h->state = OPEN;
    else if (c == '&')
        begin_reference(h);
    else
        put_char(h, c);
    return true;
}

/* ---- the stream ---- */

static bool (*const by_state[])(struct html *h, char c) = {
    [DATA] = data_byte,
    [OPEN] = open_byte,
    [END_OPEN] = end_open_byte,
    [NAME] = name_byte,
    [BEFORE_ATTR] = before_attr_byte,
    [ATTR] = attr_byte,
    [AFTER_ATTR] = after_attr_byte,
    [BEFORE_VALUE] = before_value_byte,
    [VALUE_DOUBLE] = value_byte,
    [VALUE_SINGLE] = value_byte,
    [VALUE_BARE] = value_byte,
    [MARKUP] = markup_byte,
    [COMMENT] = comment_byte,
    [BOGUS] = bogus_byte,
    [REFERENCE] = reference_byte,
    [RAW] = raw_byte,
    [RAW_OPEN] = raw_open_byte,
    [RAW_END_OPEN] = raw_end_open_byte,
};

/* A run of plain text at the front of s. */
static size_t plain_length(struct span s)
{
    size_t n = 0;
    while (n < s.n && (unsigned char)s.p[n] > ' ' && s.p[n] != '<' && s.p[n] != '&')
        n++;
    return n;
}

bool html_feed(struct html *h, struct span utf8, struct buf *out)
{
    h->out = out;
    while (utf8.n && !h->no_memory) {
        size_t n = h->state == DATA ? plain_length(utf8) : 0;
        if (n) {
            put(h, span_head(utf8, n));
            utf8 = span_skip(utf8, n);
        } else if (by_state[h->state](h, utf8.p[0])) {
            utf8 = span_skip(utf8, 1);
        }
    }
    return !h->no_memory;
}

/* A tag that does not end: a browser shows nothing of it, but its addresses are told. */
bool html_end(struct html *h, struct buf *out)
{
    h->out = out;
    if (h->state == REFERENCE)
        (void)reference_over(h, '\0');
    if (h->state == OPEN)
        put(h, SPAN_LIT("<"));
    if (h->state >= NAME && h->state <= VALUE_BARE)
        attr_over(h);
    h->state = DATA;
    return !h->no_memory;
}
