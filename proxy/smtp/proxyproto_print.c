/* SPDX-License-Identifier: MIT */
/* PROXY headers as a sender writes them. Owns nothing but the buffer that it is given.
 *
 *   addresses -> TLVs: AUTHORITY, UNIQUE_ID, SSL { VERSION }, CRC32C (last, over all); of LOCAL, none of it
 */
#include "smtp/crc32c.h"
#include "smtp/proxyproto.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_known(const struct proxy_header *h)
{
    return !h->local && h->from.ip_n;
}

/* A front may name a client of another family than the connection over which it does. */
static struct proxy_endpoint in_family_of(const struct proxy_endpoint *from, const struct proxy_endpoint *to)
{
    struct proxy_endpoint e = {.ip_n = from->ip_n, .port = to->port};
    if (to->ip_n == from->ip_n) {
        memcpy(e.ip, to->ip, to->ip_n);
    } else if (to->ip_n == 4) { /* IPv4 inside IPv6 */
        e.ip[10] = e.ip[11] = 0xff;
        memcpy(e.ip + 12, to->ip, 4);
    }
    return e;
}

bool proxy_print_v1(struct buf *out, const struct proxy_header *h)
{
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    int family = h->from.ip_n == 4 ? AF_INET : AF_INET6;
    struct proxy_endpoint reached = in_family_of(&h->from, &h->to);
    if (!is_known(h))
        return buf_append(out, SPAN_LIT("PROXY UNKNOWN\r\n"));
    if (!inet_ntop(family, h->from.ip, from, sizeof(from)) || !inet_ntop(family, reached.ip, to, sizeof(to)))
        return false;
    return buf_printf(out, "PROXY TCP%c %s %s %u %u\r\n", family == AF_INET ? '4' : '6', from, to,
                      (unsigned)h->from.port, (unsigned)reached.port);
}

static bool put_16(struct buf *b, size_t n)
{
    char octets[2] = {(char)(n >> 8 & 0xff), (char)(n & 0xff)};
    return n <= UINT16_MAX && buf_append(b, span_make(octets, 2));
}

static bool put_tlv(struct buf *b, char type, struct span value)
{
    return buf_append(b, span_make(&type, 1)) && put_16(b, value.n) && buf_append(b, value);
}

static bool put_addresses(struct buf *b, const struct proxy_header *h)
{
    size_t n = h->from.ip_n;
    struct proxy_endpoint to = in_family_of(&h->from, &h->to);
    return buf_append(b, span_make((const char *)h->from.ip, n)) &&
           buf_append(b, span_make((const char *)to.ip, n)) && put_16(b, h->from.port) && put_16(b, to.port);
}

/* The client came in TLS and showed no certificate. */
static bool put_ssl(struct buf *b, const struct proxy_header *h)
{
    struct buf ssl = {0};
    bool ok = buf_append(&ssl, SPAN_LIT("\1\0\0\0\1")) && put_tlv(&ssl, 0x21, h->tls_version) &&
              put_tlv(b, 0x20, buf_span(&ssl));
    buf_free(&ssl);
    return ok;
}

static bool put_tlvs(struct buf *b, const struct proxy_header *h)
{
    return (!h->authority.n || put_tlv(b, 0x02, h->authority)) &&
           (!h->unique_id.n || put_tlv(b, 0x05, h->unique_id)) && (!h->tls || put_ssl(b, h)) &&
           put_tlv(b, 0x03, SPAN_LIT("\0\0\0\0"));
}

/* The sum goes into the last four octets, which were zeros while it was made. */
static bool put_sum(struct buf *out, struct buf *body)
{
    uint32_t sum = crc32c(crc32c(0, buf_span(out)), buf_span(body));
    struct span all = buf_span(body);
    return buf_append(out, span_head(all, all.n - 4)) && put_16(out, sum >> 16) && put_16(out, sum & 0xffff);
}

/* Command and family. */
static struct span kind_of(const struct proxy_header *h)
{
    if (h->local)
        return SPAN_LIT("\x20\0");
    if (!h->from.ip_n)
        return SPAN_LIT("\x21\0");
    return h->from.ip_n == 4 ? SPAN_LIT("\x21\x11") : SPAN_LIT("\x21\x21");
}

bool proxy_print_v2(struct buf *out, const struct proxy_header *h)
{
    struct buf head = {0}, body = {0};
    bool ok = (!is_known(h) || put_addresses(&body, h)) && (h->local || put_tlvs(&body, h));
    ok = ok && buf_append(&head, SPAN_LIT("\r\n\r\n\0\r\nQUIT\n")) && buf_append(&head, kind_of(h)) &&
         put_16(&head, buf_len(&body)) && (h->local || put_sum(&head, &body)) &&
         buf_append(out, buf_span(&head));
    buf_free(&head);
    buf_free(&body);
    return ok;
}
