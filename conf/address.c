/* SPDX-License-Identifier: MIT */
/* Addresses with ports. Nothing is resolved here: a name is only checked for its letters. Texts belong to the
 * arena of the configuration. */
#include "conf/address.h"

#include "conf/names.h"

#include <arpa/inet.h>

enum { HOST_MAX = 253 }; /* RFC 1035: a name's presentation form */

bool address_port(struct span s, uint16_t *port_r)
{
    unsigned port = 0;
    if (s.n == 0 || s.n > 5)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_digit(s.p[i]))
            return false;
        port = port * 10 + (unsigned)(s.p[i] - '0');
    }
    *port_r = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX;
}

/* Underscores are in use in private zones. */
static bool is_host_name(struct span host)
{
    if (host.n == 0 || host.n > HOST_MAX || host.p[0] == '-' || host.p[0] == '.')
        return false;
    for (size_t i = 0; i < host.n; i++)
        if (!names_letter(host.p[i]))
            return false;
    return true;
}

static bool is_address(int family, const char *host)
{
    unsigned char ip[16];
    return inet_pton(family, host, ip) == 1;
}

/* "1.2.3" and "1.2.3.400" are mistyped addresses rather than names: no top-level domain is a number. */
static bool looks_like_ipv4(struct span host)
{
    size_t digits = 0;
    while (digits < host.n && ascii_digit(host.p[host.n - 1 - digits]))
        digits++;
    return digits && (digits == host.n || host.p[host.n - 1 - digits] == '.');
}

static const char *split(struct span text, struct span *host_r, struct span *port_r, bool *bracketed_r)
{
    static const char form[] = "must be an address or a name with a port, such as 127.0.0.1:25, [::1]:25 or "
                               "mail.example.org:25";
    *bracketed_r = text.n && text.p[0] == '[';
    size_t end = *bracketed_r ? span_find(text, ']') : span_find(text, ':');
    if (*bracketed_r) {
        *host_r = span_skip(span_head(text, end), 1);
        end++;
    } else {
        *host_r = span_head(text, end);
    }
    if (end >= text.n || text.p[end] != ':')
        return form;
    *port_r = span_skip(text, end + 1);
    if (!*bracketed_r && span_find(*port_r, ':') < port_r->n)
        return "must have its IPv6 address in brackets, such as [::1]:25";
    return NULL;
}

bool address_parse(struct arena *a, struct span text, struct conf_address *address_r, const char **error_r)
{
    struct span host, port;
    bool bracketed;
    *error_r = split(text, &host, &port, &bracketed);
    if (*error_r)
        return false;
    struct span whole = arena_span(a, text), copy = arena_span(a, host);
    if (whole.p == NULL || copy.p == NULL)
        return false;
    address_r->text = whole.p;
    address_r->host = copy.p;
    address_r->literal = is_address(bracketed ? AF_INET6 : AF_INET, copy.p);
    if (!address_port(port, &address_r->port))
        *error_r = "must have a port from 1 to 65535";
    else if (bracketed && !address_r->literal)
        *error_r = "must have an IPv6 address in its brackets, such as [::1]:25";
    else if (!address_r->literal && looks_like_ipv4(host))
        *error_r = "is no valid IPv4 address";
    else if (!address_r->literal && !is_host_name(host))
        *error_r = "is no valid host name";
    return *error_r == NULL;
}

bool address_key(const struct conf_address *address, struct address_key *key_r)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    *key_r = (struct address_key){.port = address->port};
    if (inet_pton(AF_INET6, address->host, key_r->ip) == 1)
        return true;
    memcpy(key_r->ip, mapped, sizeof mapped);
    return inet_pton(AF_INET, address->host, key_r->ip + sizeof mapped) == 1;
}
