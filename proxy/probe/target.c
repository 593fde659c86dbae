/* SPDX-License-Identifier: MIT */
/* What is asked for on the command line: "HOST:PORT" in its forms. Owns nothing. */
#include "probe/probe.h"

#include "base/span.h"
#include "conf/address.h"

enum { PORT_DEFAULT = 25 };

/* *port_r: what stands behind the colon; p NULL: there is none. false: a bracket without its other half. */
static bool take_apart(struct span text, struct span *host_r, struct span *port_r)
{
    size_t colon = span_find(text, ':');
    *port_r = SPAN_NONE;
    *host_r = text;
    if (text.n && text.p[0] == '[') {
        size_t end = span_find(text, ']');
        struct span rest = span_skip(text, end + 1);
        *host_r = span_head(span_skip(text, 1), end - 1);
        if (end == text.n || (rest.n && rest.p[0] != ':'))
            return false;
        if (rest.n)
            *port_r = span_skip(rest, 1);
    } else if (colon < text.n && span_find(span_skip(text, colon + 1), ':') == text.n - colon - 1) {
        *host_r = span_head(text, colon); /* more colons than one: an address of IPv6 */
        *port_r = span_skip(text, colon + 1);
    }
    return true;
}

static bool host_ok(struct span host)
{
    for (size_t i = 0; i < host.n; i++)
        if (!ascii_alpha(host.p[i]) && !ascii_digit(host.p[i]) && span_find(SPAN_LIT("-._:"), host.p[i]) == 4)
            return false;
    return host.n > 0 && host.n < PROBE_HOST;
}

bool probe_target(const char *text, struct probe_request *r, const char **error_r)
{
    struct span host, port;
    *error_r = NULL;
    r->port = PORT_DEFAULT;
    if (!take_apart(span_of(text), &host, &port) || !host_ok(host))
        *error_r = "needs a host, such as mail.example.org, 192.0.2.1:25 or [2001:db8::1]:25";
    else if (port.p && !address_port(port, &r->port))
        *error_r = "has a port that is no number from 1 to 65535";
    if (*error_r)
        return false;
    memcpy(r->host, host.p, host.n);
    r->host[host.n] = '\0';
    return true;
}

bool probe_tls_word(const char *word, enum probe_tls *tls_r)
{
    static const char *const words[] = {
        [PROBE_TLS_NONE] = "none", [PROBE_TLS_STARTTLS] = "starttls", [PROBE_TLS_IMPLICIT] = "implicit"};
    for (size_t i = PROBE_TLS_NONE; i < COUNT_OF(words); i++)
        if (span_eq(span_of(words[i]), span_of(word))) {
            *tls_r = (enum probe_tls)i;
            return true;
        }
    return false;
}
