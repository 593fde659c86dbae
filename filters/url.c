/* SPDX-License-Identifier: MIT */
/* The plain form of an address:
 *
 *   scheme : // user:password @ host : port / path ? query
 *   lower     any number,  dropped     lower, %41 decoded, IPv4 as four numbers
 *             / or \                                        tabs and line ends are nowhere
 *
 * Works on copies of bounded size that live for the call. */
#include "filters/url.h"

#include "base/utf8.h"
#include "filters/transfer.h"

#include <stdint.h>

#define RAW_MAX  8192 /* bytes looked at */
#define HOST_MAX 1024

/* ---- numbers as hosts (WHATWG URL 4.4 to 4.6) ---- */

static bool parse_number(struct span s, uint64_t *value_r)
{
    unsigned base = 10;

    if (s.n == 0)
        return false;
    if (span_istarts(s, SPAN_LIT("0x"))) {
        base = 16;
        s = span_skip(s, 2);
    } else if (s.n > 1 && s.p[0] == '0') {
        base = 8;
        s = span_skip(s, 1);
    }
    *value_r = 0;
    for (size_t i = 0; i < s.n; i++) {
        int digit = hex_digit(s.p[i]);
        if (digit < 0 || (unsigned)digit >= base)
            return false;
        *value_r = *value_r * base + (unsigned)digit;
        if (*value_r > UINT32_MAX)
            return false;
    }
    return true;
}

/* Up to four numbers with dots between; the last one fills the rest. */
static bool parse_ipv4(struct span host, uint32_t *address_r)
{
    uint64_t part[4], address = 0;
    size_t n = 0;

    if (host.n && host.p[host.n - 1] == '.')
        host.n--;
    for (bool more = true; more; n++) {
        size_t dot = span_find(host, '.');
        more = dot < host.n;
        if (n == 4 || !parse_number(span_head(host, dot), &part[n]))
            return false;
        host = span_skip(host, dot + 1);
    }
    for (size_t i = 0; i + 1 < n; i++) {
        if (part[i] > 255)
            return false;
        address |= part[i] << (24 - 8 * i);
    }
    if (part[n - 1] >= (uint64_t)1 << (8 * (5 - n)))
        return false;
    *address_r = (uint32_t)(address | part[n - 1]);
    return true;
}

/* Without the start of a character at its end, where something cut it. */
static struct span whole_characters(struct span s)
{
    size_t n = 0;

    while (n < 3 && n < s.n && ((unsigned char)s.p[s.n - 1 - n] & 0xC0) == 0x80)
        n++;
    if (n == s.n)
        return s;
    uint32_t point;
    struct span last = span_skip(s, s.n - 1 - n);
    return utf8_take(last, &point) == last.n ? s : span_head(s, s.n - last.n);
}

/* ---- the parts of an address ---- */

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

/* The scheme's length at the front of s, 0: none. */
static size_t scheme_length(struct span s)
{
    size_t n = 0;

    if (s.n == 0 || !ascii_alpha(s.p[0]))
        return 0;
    while (n < s.n &&
           (ascii_alpha(s.p[n]) || ascii_digit(s.p[n]) || s.p[n] == '+' || s.p[n] == '-' || s.p[n] == '.'))
        n++;
    return n < s.n && s.p[n] == ':' ? n : 0;
}

static bool is_one_of(struct span s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (span_ieq(s, span_of(list[i])))
            return true;
    return false;
}

/* Schemes with a host, in which a browser is generous. */
static bool is_special(struct span scheme)
{
    static const char *const special[] = {"http", "https", "ftp", "ws", "wss"};
    return is_one_of(scheme, special, COUNT_OF(special));
}

static bool leads_nowhere(struct span scheme, struct span rest)
{
    static const char *const nowhere[] = {"mailto", "cid", "mid", "tel", "sms", "about"};
    return is_one_of(scheme, nowhere, COUNT_OF(nowhere)) ||
           (span_ieq(scheme, SPAN_LIT("data")) && span_istarts(rest, SPAN_LIT("image/")));
}

static bool append_lower(struct buf *out, struct span s)
{
    char *to = s.n ? buf_reserve(out, s.n) : NULL;

    if (s.n == 0)
        return true;
    if (!to)
        return false;
    for (size_t i = 0; i < s.n; i++)
        to[i] = ascii_lower(s.p[i]);
    buf_added(out, s.n);
    return true;
}

/* In lower case, escapes of ASCII undone. */
static size_t plain_host(struct span s, char out[HOST_MAX])
{
    size_t n = 0;

    while (s.n && n < HOST_MAX) {
        bool escape = s.p[0] == '%' && s.n >= 3 && hex_digit(s.p[1]) >= 0 && hex_digit(s.p[2]) >= 0;
        int c = escape ? hex_digit(s.p[1]) << 4 | hex_digit(s.p[2]) : s.p[0];
        escape = escape && c > ' ' && c < 0x7f;
        out[n++] = escape ? ascii_lower((char)c) : ascii_lower(s.p[0]);
        s = span_skip(s, escape ? 3 : 1);
    }
    return n;
}

static bool append_host(struct buf *out, struct span host)
{
    char plain[HOST_MAX];
    uint32_t address;
    struct span s = whole_characters((struct span){plain, plain_host(host, plain)});

    if (parse_ipv4(s, &address))
        return buf_printf(out, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
                          address & 255);
    return buf_append(out, s);
}

/* user@host:port: the host begins behind the last '@', and its port behind the last ':' outside brackets. */
static bool append_authority(struct buf *out, struct span s)
{
    const char *at = s.n ? memrchr(s.p, '@', s.n) : NULL;

    if (at)
        s = span_skip(s, (size_t)(at - s.p) + 1);
    const char *bracket = s.n ? memrchr(s.p, ']', s.n) : NULL;
    struct span behind = bracket ? span_skip(s, (size_t)(bracket - s.p)) : s;
    struct span host = span_head(s, s.n - behind.n + span_find(behind, ':'));
    return append_host(out, host) && buf_append(out, span_skip(s, host.n));
}

/* Behind the authority: a path whose backslashes are slashes, up to the query. */
static bool append_rest(struct buf *out, struct span s)
{
    size_t path = 0;

    while (path < s.n && s.p[path] != '?' && s.p[path] != '#')
        path++;
    for (size_t i = 0; i < path; i++)
        if (!buf_append(out, s.p[i] == '\\' ? SPAN_LIT("/") : (struct span){s.p + i, 1}))
            return false;
    return buf_append(out, span_skip(s, path));
}

static bool append_special(struct buf *out, struct span scheme, struct span rest)
{
    size_t n = 0;

    while (rest.n && is_slash(rest.p[0]))
        rest = span_skip(rest, 1);
    while (n < rest.n && !is_slash(rest.p[n]) && rest.p[n] != '?' && rest.p[n] != '#')
        n++;
    if (n == 0)
        return true;
    return append_lower(out, scheme) && buf_append(out, SPAN_LIT("://")) &&
           append_authority(out, span_head(rest, n)) && append_rest(out, span_skip(rest, n));
}

/* ---- the whole ---- */

/* Without what is ignored everywhere: tabs and line ends inside, blanks and control characters around. */
static struct span squeeze(struct span s, char *out)
{
    size_t n = 0;

    while (s.n && (unsigned char)s.p[0] <= ' ')
        s = span_skip(s, 1);
    while (s.n && (unsigned char)s.p[s.n - 1] <= ' ')
        s.n--;
    for (size_t i = 0; i < s.n && n < RAW_MAX; i++)
        if (s.p[i] != '\t' && s.p[i] != '\n' && s.p[i] != '\r')
            out[n++] = s.p[i];
    return (struct span){out, n};
}

static bool append_plain(struct span s, struct buf *out)
{
    size_t n = scheme_length(s);
    struct span scheme = span_head(s, n), rest = span_skip(s, n + 1);

    if (n == 0 && s.n >= 2 && is_slash(s.p[0]) &&
        is_slash(s.p[1])) /* the scheme of the page, which has none */
        return append_special(out, SPAN_LIT("http"), s);
    if (n == 0 && span_istarts(s, SPAN_LIT("www.")))
        return append_special(out, SPAN_LIT("http"), s);
    if (n == 0 || leads_nowhere(scheme, rest))
        return true;
    if (is_special(scheme))
        return append_special(out, scheme, rest);
    return append_lower(out, scheme) && buf_append(out, SPAN_LIT(":")) && buf_append(out, rest);
}

bool url_plain(struct span raw, size_t max, struct buf *out, bool *cut_r)
{
    char squeezed[RAW_MAX];
    struct buf plain = {0};
    bool good = append_plain(squeeze(raw, squeezed), &plain);
    struct span all = buf_span(&plain);

    *cut_r = all.n > max;
    good = good && buf_append(out, whole_characters(span_head(all, max)));
    buf_free(&plain);
    return good;
}

/* ---- in text ---- */

static bool ends_url(char c)
{
    return (unsigned char)c <= ' ' || c == '<' || c == '>' || c == '"' || c == '`' || c == '{' || c == '}' ||
           c == '|' || c == '^' || c == '\x7f';
}

static bool in_scheme(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '+' || c == '-' || c == '.';
}

/* What belongs to the sentence around it. */
static struct span without_punctuation(struct span s)
{
    static const char ends[] = ".,;:!?'*_~]";
    bool open = span_find(s, '(') < s.n;

    while (s.n && (memchr(ends, s.p[s.n - 1], sizeof(ends) - 1) || (s.p[s.n - 1] == ')' && !open)))
        s.n--;
    return s;
}

/* An address may carry another one, to which it leads on: that is told, too. */
static bool give_inner(struct span s, url_found found, void *ctx)
{
    static const char *const starts[] = {"http://", "https://"};

    for (size_t from = 1, told = 0; from < s.n && told < 4; from++)
        for (size_t i = 0; i < COUNT_OF(starts); i++) {
            if (!span_istarts(span_skip(s, from), span_of(starts[i])))
                continue;
            if (!found(ctx, without_punctuation(span_skip(s, from)), false))
                return false;
            told++;
        }
    return true;
}

bool url_find_end(struct url_finder *f, url_found found, void *ctx)
{
    struct span url = buf_span(&f->url);
    bool good = true, cut = f->too_long;

    if (url.n) {
        struct span whole = cut ? url : without_punctuation(url);
        good = found(ctx, whole, cut) && give_inner(whole, found, ctx);
    }
    buf_free(&f->url);
    f->too_long = false;
    f->scheme_n = f->slashes = 0;
    return good;
}

/* Outside of an address: is this byte the one that begins it? */
static bool look(struct url_finder *f, char c, bool *begun_r)
{
    static const char after[] = "://";

    *begun_r = false;
    if (c == after[f->slashes] && (f->slashes || (f->scheme_n && ascii_alpha(f->scheme[0])))) {
        *begun_r = ++f->slashes == sizeof(after) - 1;
        return !*begun_r || (buf_append(&f->url, (struct span){f->scheme, f->scheme_n}) &&
                             buf_append(&f->url, SPAN_LIT("://")));
    }
    if (!in_scheme(c) || f->slashes || f->scheme_n == sizeof(f->scheme))
        f->scheme_n = 0;
    f->slashes = 0;
    if (in_scheme(c) && (f->scheme_n || ascii_alpha(c)))
        f->scheme[f->scheme_n++] = c;
    *begun_r = f->scheme_n == 4 && span_ieq((struct span){f->scheme, 4}, SPAN_LIT("www."));
    return !*begun_r || buf_append(&f->url, (struct span){f->scheme, 4});
}

bool url_find(struct url_finder *f, struct span text, size_t max, url_found found, void *ctx)
{
    bool good = true, begun;

    for (size_t i = 0; good && i < text.n; i++) {
        char c = text.p[i];
        if (buf_len(&f->url) == 0) {
            good = look(f, c, &begun);
        } else if (ends_url(c) || buf_len(&f->url) >= max) {
            f->too_long = !ends_url(c);
            good = url_find_end(f, found, ctx);
        } else {
            good = buf_append(&f->url, (struct span){&c, 1});
        }
    }
    return good;
}

void url_finder_free(struct url_finder *f)
{
    buf_free(&f->url);
}
