/* SPDX-License-Identifier: MIT */
/* Paths. Owns nothing: all spans point into the caller's argument.
 *
 *   FROM:  <  @a,@b:        "j. doe"  @  example.org  >   SIZE=9
 *             source route  local        domain           rest
 *
 * Beyond the grammar of RFC 5321, because clients send it and servers take it:
 *   - blanks between "FROM:" and "<" (clients old and new);
 *   - dots anywhere in an unquoted local part ("a..b@", ".a@", "a.@": large Japanese providers gave such
 * names);
 *   - "_" in a domain, and "-" at the end or start of a label (seen in internal names);
 *   - a local part without a domain in both directions (<root>: the server adds its own domain or refuses
 * it);
 *   - an address without brackets ("FROM:a@b": printers and scripts), which is passed on without them.
 * Not taken, though some servers do: blanks inside the brackets, "FROM :". */
#include "smtp/path.h"

#include "smtp/command.h"

#include <arpa/inet.h>

#define DOMAIN_MAX 255u
#define PATH_MAX_N 256u
#define LABEL_MAX  63u

static bool is_eight_bit(char c)
{
    return (unsigned char)c > 0x7F;
}

static bool is_alnum(char c)
{
    return ascii_alpha(c) || ascii_digit(c);
}

/* atext of RFC 5322, and RFC 6531's octets above 127. */
static bool is_atext(char c)
{
    const struct span others = SPAN_LIT("!#$%&'*+-/=?^_`{|}~");
    return is_alnum(c) || is_eight_bit(c) || span_find(others, c) < others.n;
}

static bool is_label_char(char c)
{
    return is_alnum(c) || is_eight_bit(c) || c == '-' || c == '_';
}

static bool starts_with(struct span s, char c)
{
    return s.n > 0 && s.p[0] == c;
}

/* Moves the first n octets from *s to *out. */
static enum path_error take(struct span *s, size_t n, struct span *out)
{
    *out = span_head(*s, n);
    *s = span_skip(*s, n);
    return PATH_OK;
}

/* ---- local part ---- */

static enum path_error take_quoted(struct span *s, struct span *out)
{
    for (size_t i = 1; i < s->n; i++) {
        if (s->p[i] == '"')
            return take(s, i + 1, out);
        if (s->p[i] == '\\' && ++i == s->n)
            break;
        if ((unsigned char)s->p[i] < 0x20 || s->p[i] == 0x7F)
            break;
    }
    return PATH_SYNTAX;
}

static enum path_error take_local(struct span *s, struct span *out)
{
    if (starts_with(*s, '"'))
        return take_quoted(s, out);
    size_t n = 0;
    while (n < s->n && (is_atext(s->p[n]) || s->p[n] == '.'))
        n++;
    return n ? take(s, n, out) : PATH_SYNTAX;
}

/* ---- domain ---- */

static bool is_address(int family, struct span text)
{
    char own[INET6_ADDRSTRLEN];
    unsigned char address[16];
    if (text.n >= sizeof own || span_find(text, '\0') < text.n)
        return false;
    memcpy(own, text.p, text.n);
    own[text.n] = '\0';
    return inet_pton(family, own, address) == 1;
}

/* General-address-literal: a tag with a colon, then what the tag's standard says. */
static bool is_general_literal(struct span text)
{
    const struct span not_dtext = SPAN_LIT("[\\]");
    size_t colon = span_find(text, ':');
    if (colon == 0 || colon + 1 >= text.n)
        return false;
    for (size_t i = 0; i < colon; i++)
        if (!is_alnum(text.p[i]) && text.p[i] != '-')
            return false;
    for (size_t i = colon + 1; i < text.n; i++)
        if (text.p[i] < 0x21 || text.p[i] > 0x7E || span_find(not_dtext, text.p[i]) < not_dtext.n)
            return false;
    return true;
}

static bool is_literal(struct span text)
{
    const struct span ipv6 = SPAN_LIT("IPv6:");
    if (span_istarts(text, ipv6))
        return is_address(AF_INET6, span_skip(text, ipv6.n));
    return is_address(AF_INET, text) || is_general_literal(text);
}

static enum path_error take_literal(struct span *s, struct span *out)
{
    size_t end = span_find(*s, ']');
    if (end == s->n || !is_literal(span_make(s->p + 1, end - 1)))
        return PATH_SYNTAX;
    return take(s, end + 1, out);
}

/* The limit of a label counts octets of its ASCII form, so a label in UTF-8 is left to the server. */
static size_t label_length(struct span s, bool *ascii_r)
{
    size_t n = 0;
    *ascii_r = true;
    for (; n < s.n && is_label_char(s.p[n]); n++)
        if (is_eight_bit(s.p[n]))
            *ascii_r = false;
    return n;
}

static enum path_error take_domain(struct span *s, struct span *out)
{
    if (starts_with(*s, '['))
        return take_literal(s, out);
    bool long_label = false;
    size_t n = 0;
    for (;;) {
        bool ascii;
        size_t label = label_length(span_skip(*s, n), &ascii);
        if (label == 0)
            return PATH_SYNTAX; /* nothing, or a dot too many */
        long_label = long_label || (ascii && label > LABEL_MAX);
        n += label;
        if (n == s->n || s->p[n] != '.')
            break;
        n++;
    }
    return long_label ? PATH_TOO_LONG : take(s, n, out);
}

/* ---- path ---- */

/* "@a,@b:" is read and stays in the path; the mailbox behind it is what counts (RFC 5321 appendix C). */
static enum path_error skip_route(struct span *s)
{
    while (starts_with(*s, '@')) {
        struct span domain;
        *s = span_skip(*s, 1);
        enum path_error e = take_domain(s, &domain);
        if (e != PATH_OK)
            return e;
        if (starts_with(*s, ':')) {
            *s = span_skip(*s, 1);
            return PATH_OK;
        }
        if (!starts_with(*s, ','))
            return PATH_SYNTAX;
        *s = span_skip(*s, 1);
    }
    return PATH_SYNTAX; /* a comma and no domain behind it */
}

static enum path_error take_mailbox(struct span *s, struct path *out)
{
    const char *start = s->p;
    enum path_error e = take_local(s, &out->local);
    if (e == PATH_OK && starts_with(*s, '@')) {
        *s = span_skip(*s, 1);
        e = take_domain(s, &out->domain);
    }
    if (e == PATH_OK)
        out->mailbox = span_make(start, (size_t)(s->p - start));
    return e;
}

/* What stands between the brackets, and the closing one. */
static enum path_error take_inside(struct span *s, enum path_kind kind, struct path *out)
{
    if (starts_with(*s, '>')) {
        out->mailbox = span_head(*s, 0);
        *s = span_skip(*s, 1);
        return kind == PATH_TO ? PATH_NULL : PATH_OK;
    }
    enum path_error e = starts_with(*s, '@') ? skip_route(s) : PATH_OK;
    if (e == PATH_OK)
        e = take_mailbox(s, out);
    if (e != PATH_OK)
        return e;
    if (!starts_with(*s, '>'))
        return PATH_SYNTAX;
    *s = span_skip(*s, 1);
    return PATH_OK;
}

static enum path_error check_whole(struct path *p, size_t local_max)
{
    for (size_t i = 0; i < p->whole.n && !p->utf8; i++)
        p->utf8 = is_eight_bit(p->whole.p[i]);
    if (p->utf8 && !utf8_ok(p->whole))
        return PATH_NOT_UTF8;
    if (p->local.n > local_max || p->domain.n > DOMAIN_MAX || p->whole.n > PATH_MAX_N)
        return PATH_TOO_LONG;
    return PATH_OK;
}

/* An address that is none without its domain: else any word would be one. */
static enum path_error take_bare(struct span *s, struct path *out)
{
    enum path_error e = take_mailbox(s, out);
    return e == PATH_OK && out->domain.n == 0 ? PATH_SYNTAX : e;
}

enum path_error path_parse(struct span arg, enum path_kind kind, size_t local_max, struct path *out,
                           struct span *rest_r)
{
    const struct span keyword = kind == PATH_FROM ? SPAN_LIT("FROM:") : SPAN_LIT("TO:");
    *out = (struct path){0};
    *rest_r = SPAN_NONE;
    if (!span_istarts(arg, keyword))
        return PATH_NO_KEYWORD;
    struct span s = span_trim(span_skip(arg, keyword.n));
    const char *start = s.p;
    bool brackets = starts_with(s, '<');
    s = span_skip(s, brackets ? 1 : 0);
    enum path_error e = brackets ? take_inside(&s, kind, out) : take_bare(&s, out);
    if (e != PATH_OK)
        return e;
    if (s.n && s.p[0] != ' ' && s.p[0] != '\t')
        return PATH_SYNTAX;
    out->whole = span_make(start, (size_t)(s.p - start));
    *rest_r = span_trim(s);
    return check_whole(out, local_max);
}

bool path_mailbox_ok(struct span mailbox)
{
    struct path p = {0};
    if (take_mailbox(&mailbox, &p) != PATH_OK || mailbox.n > 0)
        return false;
    p.whole = p.mailbox;
    return check_whole(&p, PATH_LOCAL_MAX) == PATH_OK;
}
