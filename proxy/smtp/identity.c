/* SPDX-License-Identifier: MIT */
/* A client's identity to commands, one after another, each as full as it may be. Owns nothing.
 *
 *   who -> value of each attribute -> xtext -> "XCLIENT HELO=c.test PROTO=ESMTP PORT=4711 ADDR=192.0.2.1"
 */
#include "smtp/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "smtp/text.h"

#define VALUE_MAX 255u /* octets in xtext; a longer value is as good as none */

#define XCLIENT  IDENTITY_XCLIENT
#define XFORWARD IDENTITY_XFORWARD
static const struct row {
    struct span name;
    unsigned verbs;
} rows[IDENTITY_ATTRIBUTES] = {
#define ATTRIBUTE(id, name, verbs) [IDENTITY_##id] = {{name, sizeof(name) - 1}, verbs},
#include "smtp/identity.def"
#undef ATTRIBUTE
};
#undef XCLIENT
#undef XFORWARD

uint32_t identity_offered(struct span words)
{
    uint32_t offered = 0;
    for (words = span_trim(words); words.n; words = span_trim(words)) {
        size_t n = span_find(words, ' ');
        for (unsigned i = 0; i < IDENTITY_ATTRIBUTES; i++)
            if (span_ieq(span_head(words, n), rows[i].name))
                offered |= 1u << i;
        words = span_skip(words, n);
    }
    return offered;
}

/* ---- values ---- */

static bool put_xtext(struct buf *v, struct span s)
{
    return xtext_encode(s, v) && buf_len(v) <= VALUE_MAX;
}

/* XFORWARD goes into the headers of messages and no further: what is special there, blanks, and what is no
 * ASCII must not be in it (XFORWARD_README, note 1). */
static bool put_plain(struct buf *v, struct span s)
{
    const struct span special = SPAN_LIT("<>()\\\";@");
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool plain = c > 0x20 && c < 0x7F && span_find(special, c) == special.n;
        if (!put_xtext(v, plain ? span_make(&c, 1) : SPAN_LIT("?")))
            return false;
    }
    return true;
}

static bool put_address(struct buf *v, struct span text)
{
    bool six = span_find(text, ':') < text.n;
    return put_xtext(v, six ? SPAN_LIT("IPV6:") : SPAN_NONE) && put_xtext(v, text);
}

static bool put_port(struct buf *v, uint16_t port)
{
    char text[8];
    int n = snprintf(text, sizeof(text), "%" PRIu16, port);
    return port && n > 0 && put_xtext(v, span_make(text, (size_t)n));
}

/* false: not known, or too long to be said. */
static bool value_of(const struct identity_writer *w, enum identity_attribute a, struct buf *v)
{
    const struct client_identity *who = w->who;
    struct span text = SPAN_NONE;
    switch (a) {
    case IDENTITY_HELO:
        text = who->helo;
        break;
    case IDENTITY_LOGIN:
        text = who->login;
        break;
    case IDENTITY_NAME:
        text = who->name;
        break;
    case IDENTITY_SESSION:
    case IDENTITY_IDENT:
        text = who->session_id;
        break;
    case IDENTITY_SOURCE:
        text = SPAN_LIT("REMOTE");
        break;
    case IDENTITY_PROTO:
        text = who->esmtp ? SPAN_LIT("ESMTP") : SPAN_LIT("SMTP");
        break;
    case IDENTITY_DESTADDR:
        return who->destination.text.n && put_address(v, who->destination.text);
    case IDENTITY_DESTPORT:
        return put_port(v, who->destination.port);
    case IDENTITY_PORT:
        return put_port(v, who->client.port);
    case IDENTITY_ADDR:
        return who->client.text.n && put_address(v, who->client.text);
    case IDENTITY_ATTRIBUTES:
        break;
    }
    return text.n && (w->verb == IDENTITY_XFORWARD ? put_plain(v, text) : put_xtext(v, text));
}

/* Postfix has [TEMPUNAVAIL] for a name, and in XCLIENT alone. */
static struct span value_or_none(const struct identity_writer *w, enum identity_attribute a, struct buf *v)
{
    bool later = a == IDENTITY_NAME && w->verb == IDENTITY_XCLIENT && w->who->name_later;
    struct span none = later ? SPAN_LIT("[TEMPUNAVAIL]") : SPAN_LIT("[UNAVAILABLE]");
    return value_of(w, a, v) ? buf_span(v) : none;
}

/* ---- commands ---- */

static bool append(char line[IDENTITY_LINE], size_t *n, struct span s)
{
    if (s.n > IDENTITY_LINE - *n)
        return false;
    if (s.n)
        memcpy(line + *n, s.p, s.n);
    *n += s.n;
    return true;
}

/* " NAME=value"; false and nothing written: it does not fit. */
static bool append_attribute(char line[IDENTITY_LINE], size_t *n, struct span name, struct span value)
{
    size_t before = *n;
    if (append(line, n, SPAN_LIT(" ")) && append(line, n, name) && append(line, n, SPAN_LIT("=")) &&
        append(line, n, value))
        return true;
    *n = before;
    return false;
}

bool identity_next(struct identity_writer *w, char line[IDENTITY_LINE], size_t *n_r)
{
    size_t begun = 0;
    *n_r = 0;
    (void)!append(line, n_r, w->verb == IDENTITY_XCLIENT ? SPAN_LIT("XCLIENT") : SPAN_LIT("XFORWARD"));
    begun = *n_r;
    for (; w->next < IDENTITY_ATTRIBUTES; w->next++) {
        const struct row *row = &rows[w->next];
        if (!(row->verbs & w->verb) || !(w->offered & 1u << w->next))
            continue;
        struct buf v = {0};
        bool fits =
            append_attribute(line, n_r, row->name, value_or_none(w, (enum identity_attribute)w->next, &v));
        buf_free(&v);
        if (!fits)
            break;
    }
    return *n_r > begun;
}
