/* SPDX-License-Identifier: MIT */
/* PROXY headers as a sender writes them. Owns nothing but the buffer that it is given.
 *
 *   addresses -> TLVs: AUTHORITY, UNIQUE_ID, SSL { VERSION }, CRC32C (last, over all)
 */
#include "smtp/crc32c.h"
#include "smtp/proxyproto.h"

#include <arpa/inet.h>

static bool ends_are_known(const struct proxy_header *h)
{
    return !h->local && h->from.ip_n && h->from.ip_n == h->to.ip_n;
}

bool proxy_print_v1(struct buf *out, const struct proxy_header *h)
{
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    int family = h->from.ip_n == 4 ? AF_INET : AF_INET6;
    if (!ends_are_known(h))
        return buf_append(out, SPAN_LIT("PROXY UNKNOWN\r\n"));
    if (!inet_ntop(family, h->from.ip, from, sizeof(from)) || !inet_ntop(family, h->to.ip, to, sizeof(to)))
        return false;
    return buf_printf(out, "PROXY TCP%c %s %s %u %u\r\n", family == AF_INET ? '4' : '6', from, to,
                      (unsigned)h->from.port, (unsigned)h->to.port);
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
    return buf_append(b, span_make((const char *)h->from.ip, n)) &&
           buf_append(b, span_make((const char *)h->to.ip, n)) && put_16(b, h->from.port) &&
           put_16(b, h->to.port);
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

bool proxy_print_v2(struct buf *out, const struct proxy_header *h)
{
    struct buf head = {0}, body = {0};
    bool known = ends_are_known(h);
    bool ok = (!known || put_addresses(&body, h)) && put_tlvs(&body, h);
    ok = ok && buf_append(&head, SPAN_LIT("\r\n\r\n\0\r\nQUIT\n")) &&
         buf_append(&head, !known              ? SPAN_LIT("\x20\0")
                           : h->from.ip_n == 4 ? SPAN_LIT("\x21\x11")
                                               : SPAN_LIT("\x21\x21")) &&
         put_16(&head, buf_len(&body)) && put_sum(&head, &body) && buf_append(out, buf_span(&head));
    buf_free(&head);
    buf_free(&body);
    return ok;
}
