/* SPDX-License-Identifier: MIT */
/* PROXY headers: however they are cut, they say the same and take the same octets; one that was taken and is
 * printed again by us is taken again and means the same. */
#include "fuzz/fuzz.h"

#include "smtp/proxyproto.h"

#define MAX 600u

static void trace_header(struct buf *trace, const struct proxy_header *h)
{
    REQUIRE(buf_printf(trace, " local=%d tls=%d ports=%u,%u", h->local, h->tls, h->from.port, h->to.port));
    REQUIRE(h->local || (h->from.ip_n == h->to.ip_n && (h->from.ip_n == 4 || h->from.ip_n == 16)));
    trace_span(trace, "from", span_make((const char *)h->from.ip, h->from.ip_n));
    trace_span(trace, "to", span_make((const char *)h->to.ip, h->to.ip_n));
    trace_span(trace, "authority", h->authority);
    trace_span(trace, "id", h->unique_id);
    trace_span(trace, "version", h->tls_version);
}

/* Takes a header that we wrote ourselves; its addresses must be those of `h`. */
static void take_again(struct buf *wire, const struct proxy_header *h, bool tlvs)
{
    struct proxy_parser p = {0};
    struct proxy_header again;
    struct span in = buf_span(wire);
    REQUIRE(proxy_feed(&p, &in, &again) == PROXY_READY && in.n == 0 && again.local == h->local);
    REQUIRE(h->local || memcmp(again.from.ip, h->from.ip, h->from.ip_n) == 0);
    REQUIRE(h->local || again.from.port == h->from.port);
    REQUIRE(!tlvs || (span_eq(again.authority, h->authority) && span_eq(again.unique_id, h->unique_id)));
    proxy_parser_free(&p);
    buf_free(wire);
}

static void print_and_take(const struct proxy_header *h)
{
    struct buf wire = {0};
    REQUIRE(proxy_print_v1(&wire, h));
    take_again(&wire, h, false);
    REQUIRE(proxy_print_v2(&wire, h));
    take_again(&wire, h, !h->local);
}

static struct buf run(struct span in, enum cut how)
{
    struct buf trace = {0};
    struct proxy_parser p = {.max = MAX};
    struct proxy_header h;
    uint32_t number = (uint32_t)in.n;
    size_t taken = 0;
    enum proxy_result r = PROXY_MORE;
    while (in.n && r == PROXY_MORE) {
        struct span piece = cut_piece(&in, how, &number), left = piece;
        r = proxy_feed(&p, &left, &h);
        taken += piece.n - left.n;
        REQUIRE(r != PROXY_NO_MEMORY && (r != PROXY_MORE || left.n == 0) && buf_len(&p.seen) <= MAX);
        free_piece(piece);
    }
    REQUIRE(buf_printf(&trace, "%d", (int)r));
    if (r == PROXY_READY) {
        REQUIRE(buf_printf(&trace, " taken=%zu", taken));
        trace_header(&trace, &h);
        print_and_take(&h);
    } else if (r == PROXY_BAD) {
        REQUIRE(p.why);
    }
    proxy_parser_free(&p);
    return trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    struct buf whole = run(in, CUT_WHOLE);
    for (enum cut how = CUT_OCTETS; how < CUTS; how++) {
        struct buf cut = run(in, how);
        REQUIRE(span_eq(buf_span(&cut), buf_span(&whole)));
        buf_free(&cut);
    }
    buf_free(&whole);
    return 0;
}
