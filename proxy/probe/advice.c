/* SPDX-License-Identifier: MIT */
/* The lines to paste. What each kind of server can do, and under which names, is a table, checked against the
 * servers of Debian 12 (Postfix 3.7, Exim 4.96, Dovecot 2.3, OpenSMTPD 6.8): tests/interop/test_probe.py
 * pastes every row into the real one. Owns nothing.
 *
 *   {own}       our address, as the server sees it     {own[]}     the same, IPv6 in brackets
 *   {server}    its address                            {server[]}  likewise
 *   {port}      a port of its own for the header
 */
#include "probe/advice.h"

#include <stdio.h>

enum { PORT_STEP = 10000 };

/* ---- postern's side ---- */

struct advice_identity advice_identity(const struct facts *f)
{
    static const struct {
        enum facts_way_name way;
        const char *why;
    } order[] = {
        {FACTS_PROXY_V2, "the server wants a PROXY header, and judges by the address in it"},
        {FACTS_PROXY_V1, "the server wants a PROXY header, of version 1, and judges by the address in it"},
        {FACTS_XCLIENT, "the server takes XCLIENT from here, and judges by what it says"},
        {FACTS_XFORWARD, "the server takes XFORWARD from here, for its log; it judges by postern's address"},
    };
    for (size_t i = 0; i < COUNT_OF(order); i++)
        if (f->ways[order[i].way].outcome == FACTS_WORKS)
            return (struct advice_identity){facts_way_word(order[i].way), order[i].why};
    return (struct advice_identity){
        "auto",
        "nothing works yet: the server sees postern's address. auto takes XCLIENT or XFORWARD as soon as "
        "it is offered"};
}

static const char *tls_word(const struct facts *f)
{
    if (f->tls.state != FACTS_TLS_WORKS)
        return "none";
    return f->tls.implicit ? "implicit" : "required";
}

/* What holds in practice: the system's authorities where they know the server, else its key. */
static bool put_verify(const struct facts *f, struct buf *out)
{
    const struct tls_shown_info *c = &f->tls.certificate;
    struct span name = facts_certified_name(f);
    if (f->tls.state != FACTS_TLS_WORKS || !f->tls.shown)
        return true;
    if (facts_name_good(f))
        return buf_printf(out, "    verify: { name: %s }\n", f->host);
    if (c->verified && name.n)
        return buf_printf(out, "    verify: { name: %.*s }\n", SPAN_FMT(name));
    return buf_printf(out, "    verify: { pin: \"%s\" }\n", c->pin);
}

bool advice_upstream(const struct facts *f, struct buf *out)
{
    bool six = span_find(span_of(f->host), ':') < span_of(f->host).n;
    return buf_printf(out, "upstreams:\n  mta:\n    servers: [\"%s%s%s:%u\"]\n", six ? "[" : "", f->host,
                      six ? "]" : "", f->port) &&
           buf_printf(out, "    tls: %s\n", tls_word(f)) && put_verify(f, out) &&
           (!facts_lmtp(f) || buf_printf(out, "    protocol: lmtp\n")) &&
           buf_printf(out, "    identity: %s\n", advice_identity(f).value);
}

/* ---- the server's side ---- */

static const struct advice rows[] = {
    {FACTS_POSTFIX, FACTS_XCLIENT, "main.cf", "smtpd_authorized_xclient_hosts = {own[]}\n", NULL,
     "Then: postfix reload. Whoever connects from there may claim to be any client."},
    {FACTS_POSTFIX, FACTS_XFORWARD, "main.cf", "smtpd_authorized_xforward_hosts = {own[]}\n", NULL,
     "Then: postfix reload. For the log; restrictions still judge by postern's address."},
    {FACTS_POSTFIX, FACTS_PROXY_V2, "master.cf",
     "{server[]}:{port} inet n - n - - smtpd\n  -o smtpd_upstream_proxy_protocol=haproxy\n", NULL,
     "A port of its own, which only postern should reach; add the -o lines of the port that it stands for. "
     "Where "
     "postscreen listens: postscreen_upstream_proxy_protocol = haproxy in main.cf, for all of its ports."},
    {FACTS_EXIM, FACTS_PROXY_V2, "exim4.conf, main section", "hosts_proxy = <; {own}\n", NULL,
     "exim -bV must list PROXY: Debian's exim4-daemon-heavy does, exim4-daemon-light does not. Every "
     "connection "
     "from there must then begin with the header; to ask for it at one port alone: "
     "hosts_proxy = ${if eq{$received_port}{{port}}{<; {own}}{}} and that port in daemon_smtp_ports."},
    {FACTS_EXIM, FACTS_XCLIENT, NULL, NULL, NULL, "Exim 4.96 has neither XCLIENT nor XFORWARD."},
    {FACTS_DOVECOT, FACTS_XCLIENT, "dovecot.conf", "login_trusted_networks = {own}\n", NULL,
     "Then: doveadm reload. For every protocol of this Dovecot, and these clients may log in without TLS."},
    {FACTS_DOVECOT, FACTS_PROXY_V2, "dovecot.conf",
     "haproxy_trusted_networks = {own}\nservice submission-login {\n  inet_listener postern {\n"
     "    address = {server}\n    port = {port}\n    haproxy = yes\n  }\n}\n",
     "haproxy_trusted_networks = {own}\nservice lmtp {\n  inet_listener postern {\n"
     "    address = {server}\n    port = {port}\n    haproxy = yes\n  }\n}\n",
     "Then: doveadm reload. A port of its own."},
    {FACTS_DOVECOT, FACTS_XFORWARD, NULL, NULL, NULL, "Dovecot 2.3 has no XFORWARD."},
    {FACTS_OPENSMTPD, FACTS_PROXY_V2, "smtpd.conf", "listen on {server} port {port} proxy-v2\n", NULL,
     "A port of its own, which only postern should reach; add tls, pki, auth and filter of the listener that "
     "it "
     "stands for. Version 2 alone."},
    {FACTS_OPENSMTPD, FACTS_XCLIENT, NULL, NULL, NULL, "OpenSMTPD 6.8 has neither XCLIENT nor XFORWARD."},
};

static bool works(const struct facts *f, enum facts_way_name way)
{
    return way == FACTS_PROXY_V2 ? facts_behind_proxy(f) : f->ways[way].outcome == FACTS_WORKS;
}

const struct advice *advice_next(const struct facts *f, size_t *at)
{
    for (; *at < 2 * COUNT_OF(rows); ++*at) {
        const struct advice *a = &rows[*at % COUNT_OF(rows)];
        bool first_round = *at < COUNT_OF(rows);
        bool foreign = !first_round && f->kind != FACTS_UNKNOWN; /* what it cannot do is of no interest */
        if ((a->kind == f->kind) != first_round || works(f, a->way) || (foreign && !a->where))
            continue;
        ++*at;
        return a;
    }
    return NULL;
}

/* ---- patterns ---- */

static bool put_address(struct buf *out, const char *ip, bool bracketed)
{
    bool six = span_find(span_of(ip), ':') < span_of(ip).n;
    return buf_printf(out, bracketed && six ? "[%s]" : "%s", ip);
}

/* The word in braces at the start of `s`. *n_r: its octets; 0: it is none of ours. */
static bool put_word(const struct facts *f, struct span s, size_t *n_r, struct buf *out)
{
    static const struct {
        struct span word;
        bool server, bracketed;
    } addresses[] = {
        {{"{own}", 5}, false, false},
        {{"{own[]}", 7}, false, true},
        {{"{server}", 8}, true, false},
        {{"{server[]}", 10}, true, true},
    };
    const struct span port = SPAN_LIT("{port}");
    for (size_t i = 0; i < COUNT_OF(addresses); i++)
        if (span_istarts(s, addresses[i].word)) {
            *n_r = addresses[i].word.n;
            return put_address(out, addresses[i].server ? f->server_ip : f->own_ip, addresses[i].bracketed);
        }
    *n_r = span_istarts(s, port) ? port.n : 0;
    return *n_r == 0 ||
           buf_printf(out, "%d", f->port + (f->port < UINT16_MAX - PORT_STEP ? PORT_STEP : -PORT_STEP));
}

static bool put_pattern(const struct facts *f, struct span s, struct buf *out)
{
    bool good = true;
    while (good && s.n) {
        size_t n = 0;
        good = put_word(f, s, &n, out);
        if (good && n == 0) {
            n = 1;
            good = buf_append(out, span_head(s, n));
        }
        s = span_skip(s, n);
    }
    return good;
}

bool advice_lines(const struct advice *a, const struct facts *f, struct buf *out)
{
    const char *pattern = a->lmtp_lines && facts_lmtp(f) ? a->lmtp_lines : a->lines;
    return !pattern || put_pattern(f, span_of(pattern), out);
}

bool advice_note(const struct advice *a, const struct facts *f, struct buf *out)
{
    return put_pattern(f, span_of(a->note), out);
}
