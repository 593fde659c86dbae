/* SPDX-License-Identifier: MIT */
/* What a proxy in front says in XCLIENT. Strict: what is not understood whole is not believed at all. Owns
 * nothing; the claim holds copies.
 *
 *   "ADDR=IPV6:2001:db8::1 HELO=c.test" -> word by word -> name, value -> xtext -> its reader -> claim
 */
#include "smtp/identity.h"

#include "smtp/command.h"
#include "smtp/text.h"

#include <arpa/inet.h>

/* ---- values, decoded; empty where the proxy does not know ---- */

static bool keep(struct identity_text *to, struct span value)
{
    if (value.n)
        memcpy(to->text, value.p, value.n);
    to->n = value.n;
    return true;
}

/* A name is what EHLO would take. */
static bool read_helo(struct identity_claim *c, struct span value)
{
    return (!value.n || helo_name_ok(value)) && keep(&c->helo, value);
}

/* A name from the DNS: servers refuse the whole command for another one. */
static bool read_name(struct identity_claim *c, struct span value)
{
    for (size_t i = 0; i < value.n; i++) {
        char lower = ascii_lower(value.p[i]);
        if (!ascii_digit(lower) && !(lower >= 'a' && lower <= 'z') && lower != '-' && lower != '.' &&
            lower != '_')
            return false;
    }
    return keep(&c->name, value);
}

static bool read_login(struct identity_claim *c, struct span value)
{
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7F)
            return false;
    return utf8_ok(value) && keep(&c->login, value);
}

static bool read_proto(struct identity_claim *c, struct span value)
{
    c->esmtp = span_ieq(value, SPAN_LIT("ESMTP"));
    return !value.n || c->esmtp || span_ieq(value, SPAN_LIT("SMTP"));
}

static bool read_port(uint16_t *port_r, struct span value)
{
    unsigned port = 0;
    if (value.n > 5)
        return false;
    for (size_t i = 0; i < value.n; i++) {
        if (!ascii_digit(value.p[i]))
            return false;
        port = port * 10 + (unsigned)(value.p[i] - '0');
    }
    *port_r = (uint16_t)port;
    return value.n == 0 || (port > 0 && port <= UINT16_MAX);
}

static bool read_client_port(struct identity_claim *c, struct span value)
{
    return read_port(&c->client.port, value);
}

static bool read_destination_port(struct identity_claim *c, struct span value)
{
    return read_port(&c->destination.port, value);
}

/* IPv4 inside IPv6 is IPv4, as everywhere. */
static void unmap(struct identity_end *e)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (e->ip_n != sizeof e->ip || memcmp(e->ip, mapped, sizeof mapped) != 0)
        return;
    memmove(e->ip, e->ip + sizeof mapped, 4);
    memset(e->ip + 4, 0, sizeof e->ip - 4);
    e->ip_n = 4;
}

static bool read_address(struct identity_end *e, struct span value)
{
    const struct span prefix = SPAN_LIT("IPV6:");
    char own[sizeof e->text] = "";
    bool six = span_istarts(value, prefix);
    struct span digits = six ? span_skip(value, prefix.n) : value;
    if (value.n == 0)
        return true;
    if (digits.n == 0 || digits.n >= sizeof own || span_find(digits, '\0') < digits.n)
        return false;
    memcpy(own, digits.p, digits.n);
    if (inet_pton(six ? AF_INET6 : AF_INET, own, e->ip) != 1)
        return false;
    e->ip_n = six ? 16 : 4;
    unmap(e);
    if (!inet_ntop(e->ip_n == 4 ? AF_INET : AF_INET6, e->ip, e->text, sizeof e->text))
        return false;
    e->text_n = span_of(e->text).n;
    return true;
}

static bool read_client(struct identity_claim *c, struct span value)
{
    return read_address(&c->client, value);
}

static bool read_destination(struct identity_claim *c, struct span value)
{
    return read_address(&c->destination, value);
}

/* ---- attributes ---- */

static const struct reader {
    enum identity_attribute attribute;
    struct span name;
    bool (*take)(struct identity_claim *c, struct span value);
} readers[] = {
    {IDENTITY_NAME, {"NAME", 4}, read_name},
    {IDENTITY_ADDR, {"ADDR", 4}, read_client},
    {IDENTITY_PORT, {"PORT", 4}, read_client_port},
    {IDENTITY_PROTO, {"PROTO", 5}, read_proto},
    {IDENTITY_HELO, {"HELO", 4}, read_helo},
    {IDENTITY_LOGIN, {"LOGIN", 5}, read_login},
    {IDENTITY_DESTADDR, {"DESTADDR", 8}, read_destination},
    {IDENTITY_DESTPORT, {"DESTPORT", 8}, read_destination_port},
};

static const struct reader *find_reader(struct span name)
{
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        if (span_ieq(name, readers[i].name))
            return &readers[i];
    return NULL;
}

/* An empty value says nothing, and not even that nothing is known. */
static enum identity_result read_value(const struct reader *r, struct identity_claim *c, struct span value)
{
    struct buf decoded = {0};
    enum identity_result result = IDENTITY_BAD;
    bool later = span_ieq(value, SPAN_LIT("[TEMPUNAVAIL]"));
    bool unknown = later || span_ieq(value, SPAN_LIT("[UNAVAILABLE]"));
    if (value.n == 0 || !xtext_ok(value))
        return IDENTITY_BAD;
    if (!unknown && !xtext_decode(value, &decoded))
        return IDENTITY_NO_MEMORY;
    if (buf_len(&decoded) <= IDENTITY_VALUE && r->take(c, buf_span(&decoded)))
        result = IDENTITY_OK;
    if (later && r->attribute == IDENTITY_NAME)
        c->name_later = true;
    buf_free(&decoded);
    return result;
}

static enum identity_result read_attribute(struct identity_claim *c, struct span word)
{
    size_t n = span_find(word, '=');
    const struct reader *r = find_reader(span_head(word, n));
    if (!r || n == word.n || c->said & 1u << r->attribute)
        return IDENTITY_BAD;
    c->said |= 1u << r->attribute;
    return read_value(r, c, span_skip(word, n + 1));
}

enum identity_result identity_parse(struct span words, struct identity_claim *claim_r)
{
    enum identity_result result = IDENTITY_OK;
    *claim_r = (struct identity_claim){0};
    for (words = span_trim(words); words.n && result == IDENTITY_OK; words = span_trim(words)) {
        size_t n = span_find(words, ' ');
        result = read_attribute(claim_r, span_head(words, n));
        words = span_skip(words, n);
    }
    return result == IDENTITY_OK && !claim_r->said ? IDENTITY_BAD : result;
}
