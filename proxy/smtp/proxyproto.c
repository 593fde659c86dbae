/* SPDX-License-Identifier: MIT */
/* The receiver of PROXY headers. It gathers octets until the header's length is known and reached, and takes
 * no octet behind it: the first tells the version, a line end or a length the rest.
 *
 *   'P' -> "PROXY …" CRLF      version 1
 *   CR  -> signature, 16 octets in all -> length -> addresses -> TLVs      version 2
 *
 * What was gathered belongs to the parser until proxy_parser_free; spans of the header point into it. */
#include "smtp/proxyproto.h"

#include "smtp/crc32c.h"

#include <arpa/inet.h>

#define V1_MAX      107u
#define V2_FIXED    16u
#define DEFAULT_MAX 4096u
#define UNIQUE_MAX  128u

static const struct span signature = {"\r\n\r\n\0\r\nQUIT\n", 12};

enum {
    TLV_AUTHORITY = 0x02,
    TLV_CRC32C = 0x03,
    TLV_UNIQUE_ID = 0x05,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21
};

static enum proxy_result bad(struct proxy_parser *p, const char *why)
{
    p->why = why;
    return PROXY_BAD;
}

static unsigned be16(const char *at)
{
    const unsigned char *p = (const unsigned char *)at;
    return (unsigned)p[0] << 8 | p[1];
}

/* ---- version 1 ---- */

static struct span next_field(struct span *s)
{
    size_t n = span_find(*s, ' ');
    struct span field = span_head(*s, n);
    *s = span_skip(*s, n + 1);
    return field;
}

static bool parse_ip(struct span text, int family, struct proxy_endpoint *e)
{
    char own[INET6_ADDRSTRLEN];
    if (text.n >= sizeof(own) || span_find(text, '\0') < text.n)
        return false;
    if (text.n)
        memcpy(own, text.p, text.n);
    own[text.n] = '\0';
    e->ip_n = family == AF_INET ? 4 : 16;
    return inet_pton(family, own, e->ip) == 1;
}

static bool parse_port(struct span text, uint16_t *port)
{
    unsigned n = 0;
    if (text.n == 0 || text.n > 5 || (text.n > 1 && text.p[0] == '0'))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (!ascii_digit(text.p[i]))
            return false;
        n = n * 10 + (unsigned)(text.p[i] - '0');
    }
    *port = (uint16_t)n;
    return n <= UINT16_MAX;
}

static bool parse_v1(struct span line, struct proxy_header *out)
{
    struct span word = next_field(&line), family = next_field(&line);
    if (!span_eq(word, SPAN_LIT("PROXY")))
        return false;
    out->local = span_eq(family, SPAN_LIT("UNKNOWN")); /* whatever stands behind it */
    if (out->local)
        return true;
    int af = span_eq(family, SPAN_LIT("TCP4")) ? AF_INET : span_eq(family, SPAN_LIT("TCP6")) ? AF_INET6 : 0;
    if (!af || !parse_ip(next_field(&line), af, &out->from) || !parse_ip(next_field(&line), af, &out->to) ||
        !parse_port(next_field(&line), &out->from.port))
        return false;
    return parse_port(line, &out->to.port);
}

/* ---- version 2 ---- */

/* One TLV of the list; false: it does not fit. */
static bool next_tlv(struct span *list, unsigned *type, struct span *value)
{
    if (list->n < 3)
        return false;
    size_t n = be16(list->p + 1);
    *type = (unsigned char)list->p[0];
    *list = span_skip(*list, 3);
    if (n > list->n)
        return false;
    *value = span_head(*list, n);
    *list = span_skip(*list, n);
    return true;
}

static bool parse_ssl(struct span value, struct proxy_header *out)
{
    const size_t fixed = 5; /* flags, and the result of a verification */
    if (value.n < fixed)
        return false;
    out->tls = value.p[0] & 1;
    for (struct span list = span_skip(value, fixed); list.n;) {
        unsigned type;
        struct span sub;
        if (!next_tlv(&list, &type, &sub))
            return false;
        if (type == TLV_SSL_VERSION)
            out->tls_version = sub;
    }
    return true;
}

/* The sum is over the whole header with its own four octets as zeros. */
static bool crc_is_good(struct span header, struct span value)
{
    if (value.n != 4)
        return false;
    static const char zeros[4];
    size_t at = (size_t)(value.p - header.p);
    uint32_t said = (uint32_t)be16(value.p) << 16 | be16(value.p + 2);
    uint32_t sum = crc32c(0, span_head(header, at));
    sum = crc32c(sum, span_make(zeros, sizeof(zeros)));
    return crc32c(sum, span_skip(header, at + 4)) == said;
}

static const char *parse_tlvs(struct span header, struct span list, struct proxy_header *out)
{
    while (list.n) {
        unsigned type;
        struct span value;
        if (!next_tlv(&list, &type, &value))
            return "a TLV does not fit into the PROXY header";
        if (type == TLV_AUTHORITY)
            out->authority = value;
        else if (type == TLV_UNIQUE_ID && value.n > UNIQUE_MAX)
            return "the unique id of the PROXY header is too long";
        else if (type == TLV_UNIQUE_ID)
            out->unique_id = value;
        else if (type == TLV_CRC32C && !crc_is_good(header, value))
            return "the checksum of the PROXY header is wrong";
        else if (type == TLV_SSL && !parse_ssl(value, out))
            return "the TLS part of the PROXY header is malformed";
    }
    return NULL;
}

static void take_endpoints(struct span at, size_t ip_n, struct proxy_header *out)
{
    memcpy(out->from.ip, at.p, ip_n);
    memcpy(out->to.ip, at.p + ip_n, ip_n);
    out->from.ip_n = out->to.ip_n = ip_n;
    out->from.port = (uint16_t)be16(at.p + 2 * ip_n);
    out->to.port = (uint16_t)be16(at.p + 2 * ip_n + 2);
}

static enum proxy_result parse_v2(struct proxy_parser *p, struct span header, struct proxy_header *out)
{
    static const struct {
        unsigned family;
        size_t octets, ip_n; /* ip_n 0: a Unix socket */
    } families[] = {{0x11, 12, 4}, {0x21, 36, 16}, {0x31, 216, 0}};
    unsigned command = (unsigned char)header.p[12], family = (unsigned char)header.p[13];
    struct span rest = span_skip(header, V2_FIXED);
    size_t i = 0;
    if (command != 0x20 && command != 0x21)
        return bad(p, "a PROXY header with an unknown version or command");
    while (i < COUNT_OF(families) && families[i].family != family)
        i++;
    out->local = command == 0x20 || i == COUNT_OF(families) || !families[i].ip_n;
    if (command == 0x20)
        return PROXY_READY; /* LOCAL: the rest is to be ignored */
    if (i == COUNT_OF(families) && family != 0)
        return bad(p, "a PROXY header for another transport than TCP");
    size_t octets = family == 0 ? 0 : families[i].octets;
    if (rest.n < octets)
        return bad(p, "a PROXY header that is too short for its addresses");
    if (!out->local)
        take_endpoints(rest, families[i].ip_n, out);
    p->why = parse_tlvs(header, span_skip(rest, octets), out);
    return p->why ? PROXY_BAD : PROXY_READY;
}

/* ---- feeding ---- */

/* How many octets the header has, as far as can be told; 0: it is none. */
static size_t v2_wants(struct span seen, size_t max)
{
    size_t known = seen.n < signature.n ? seen.n : signature.n;
    if (!span_eq(span_head(seen, known), span_head(signature, known)))
        return 0;
    if (seen.n < V2_FIXED)
        return V2_FIXED;
    size_t all = V2_FIXED + be16(seen.p + 14);
    return all <= max ? all : 0;
}

static enum proxy_result feed_v2(struct proxy_parser *p, struct span *in, struct proxy_header *out)
{
    for (;;) {
        size_t wants = v2_wants(buf_span(&p->seen), p->max ? p->max : DEFAULT_MAX);
        if (!wants)
            return bad(p, "not a PROXY header, or one that is too long");
        size_t have = buf_len(&p->seen);
        if (have == wants && have > V2_FIXED)
            return parse_v2(p, buf_span(&p->seen), out);
        if (have == wants && be16(buf_span(&p->seen).p + 14) == 0)
            return parse_v2(p, buf_span(&p->seen), out);
        struct span now = span_head(*in, wants - have);
        if (!now.n)
            return PROXY_MORE;
        if (!buf_append(&p->seen, now))
            return PROXY_NO_MEMORY;
        *in = span_skip(*in, now.n);
    }
}

static enum proxy_result feed_v1(struct proxy_parser *p, struct span *in, struct proxy_header *out)
{
    while (in->n) {
        if (!buf_append(&p->seen, span_head(*in, 1)))
            return PROXY_NO_MEMORY;
        *in = span_skip(*in, 1);
        struct span seen = buf_span(&p->seen);
        const struct span word = SPAN_LIT("PROXY ");
        size_t known = seen.n < word.n ? seen.n : word.n;
        if (!span_eq(span_head(seen, known), span_head(word, known)))
            return bad(p, "not a PROXY header");
        if (seen.n >= 2 && seen.p[seen.n - 1] == '\n')
            return seen.p[seen.n - 2] == '\r' && parse_v1(span_head(seen, seen.n - 2), out)
                       ? PROXY_READY
                       : bad(p, "a malformed PROXY line");
        if (seen.n >= V1_MAX)
            return bad(p, "a PROXY line that is too long");
    }
    return PROXY_MORE;
}

enum proxy_result proxy_feed(struct proxy_parser *p, struct span *in, struct proxy_header *out)
{
    struct span seen = buf_span(&p->seen);
    *out = (struct proxy_header){0};
    if (!seen.n && !in->n)
        return PROXY_MORE;
    char first = seen.n ? seen.p[0] : in->p[0];
    return first == signature.p[0] ? feed_v2(p, in, out) : feed_v1(p, in, out);
}

size_t proxy_wants(const struct proxy_parser *p)
{
    const size_t shortest = sizeof("PROXY UNKNOWN\r\n") - 1;
    struct span seen = buf_span(&p->seen);
    if (seen.n < shortest)
        return shortest - seen.n;
    size_t all = seen.p[0] == signature.p[0] ? v2_wants(seen, SIZE_MAX) : 0;
    return all > seen.n ? all - seen.n : 1;
}

void proxy_parser_free(struct proxy_parser *p)
{
    buf_free(&p->seen);
}
