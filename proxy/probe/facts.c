/* SPDX-License-Identifier: MIT */
/* Small questions to what was learned, asked by the report and by the advice alike. Pure; owns nothing. */
#include "probe/facts.h"

const char *facts_way_word(enum facts_way_name way)
{
    static const char *const words[FACTS_WAYS] = {[FACTS_XCLIENT] = "xclient",
                                                  [FACTS_XFORWARD] = "xforward",
                                                  [FACTS_PROXY_V2] = "proxy-v2",
                                                  [FACTS_PROXY_V1] = "proxy-v1"};
    return words[way];
}

bool facts_lmtp(const struct facts *f)
{
    return f->verb && span_eq(span_of(f->verb), SPAN_LIT("LHLO"));
}

const struct facts_offer *facts_offer_of(const struct facts *f)
{
    return f->secure.given ? &f->secure : &f->clear;
}

bool facts_offers(const struct facts_offer *o, const char *line)
{
    for (size_t i = 0; i < o->n; i++)
        if (span_ieq(span_of(o->line[i]), span_of(line)))
            return true;
    return false;
}

/* ---- names of certificates ---- */

static struct span next_name(struct span *list)
{
    *list = span_trim(*list);
    struct span name = span_head(*list, span_find(*list, ' '));
    *list = span_skip(*list, name.n);
    return name;
}

/* "*.example.org" is good for one label in the star's place. */
static bool name_matches(struct span pattern, struct span host)
{
    if (!span_istarts(pattern, SPAN_LIT("*.")))
        return span_ieq(pattern, host);
    size_t dot = span_find(host, '.');
    return dot > 0 && dot < host.n && span_ieq(span_skip(pattern, 1), span_skip(host, dot));
}

bool facts_name_good(const struct facts *f)
{
    struct span list = span_of(f->tls.certificate.names), host = span_of(f->host);
    if (!f->tls.shown || !f->tls.certificate.verified)
        return false;
    if (host.n && host.p[host.n - 1] == '.')
        host.n--;
    for (struct span name = next_name(&list); name.n; name = next_name(&list))
        if (name_matches(name, host))
            return true;
    return false;
}

static bool is_dns_name(struct span name)
{
    bool letter = false;
    for (size_t i = 0; i < name.n; i++) {
        if (!ascii_alpha(name.p[i]) && !ascii_digit(name.p[i]) && name.p[i] != '-' && name.p[i] != '.')
            return false;
        letter = letter || ascii_alpha(name.p[i]);
    }
    return letter;
}

struct span facts_certified_name(const struct facts *f)
{
    struct span list = span_of(f->tls.certificate.names);
    for (struct span name = next_name(&list); name.n; name = next_name(&list))
        if (is_dns_name(name) && !span_eq(name, SPAN_LIT("...")))
            return name;
    return SPAN_NONE;
}
