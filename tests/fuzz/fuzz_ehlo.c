/* SPDX-License-Identifier: MIT */
/* What an upstream offers, and what becomes of it: a few octets are our policy, the rest are the lines of its
 * reply to EHLO.
 *
 *   lines -> ehlo_take -> offer -> print -> reply parser -> ehlo_take -> the same offer
 *
 * Nothing is offered that neither side has, nothing that is denied, no mechanism that postern could not
 * follow, and no number above either side's. */
#include "base/attr.h"
#include "fuzz/fuzz.h"

#include "smtp/ehlo.h"
#include "smtp/reply.h"

#define HEAD 12u

static uint32_t word(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static struct ehlo_policy read_policy(const uint8_t *head)
{
    return (struct ehlo_policy){.own = word(head) & (uint32_t)CAP_ALL,
                                .deny = word(head + 4) & (uint32_t)CAP_ALL,
                                .max_size = head[8],
                                .limits = {[EHLO_RCPTMAX] = head[9],
                                           [EHLO_MAILMAX] = head[10] * 9001u,
                                           [EHLO_RCPTDOMAINMAX] = head[11] & 1u}};
}

static bool is_printable(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7E)
            return false;
    return true;
}

static void check_bounds(const struct ehlo *e)
{
    REQUIRE((e->caps & ~(uint32_t)CAP_ALL) == 0);
    REQUIRE(e->auth_n <= EHLO_AUTH_MAX && is_printable(span_make(e->auth, e->auth_n)));
    for (size_t i = 0; i < EHLO_VALUES; i++)
        REQUIRE(e->values[i].n <= EHLO_VALUE_MAX &&
                is_printable(span_make(e->values[i].text, e->values[i].n)));
    for (size_t i = 0; i < EHLO_LIMITS; i++)
        REQUIRE(e->limits[i] <= 999999);
}

static struct ehlo read_upstream(struct span lines)
{
    struct ehlo e = {0};
    while (lines.n) {
        size_t n = span_find(lines, '\n');
        uint32_t number = 0;
        struct span line = span_head(lines, n), copy = cut_piece(&line, CUT_WHOLE, &number);
        ehlo_take(&e, copy);
        free_piece(copy);
        lines = span_skip(lines, n + 1);
    }
    check_bounds(&e);
    return e;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a && b ? (a < b ? a : b) : a + b;
}

static void check_offer(const struct ehlo *offer, const struct ehlo *upstream, const struct ehlo_policy *p)
{
    static const char *const never[] = {"EXTERNAL", "GSSAPI", "DIGEST-MD5", "KERBEROS_V4",
                                        "SCRAM-SHA-256-PLUS"};
    check_bounds(offer);
    REQUIRE((offer->caps & p->deny) == 0);
    REQUIRE((offer->caps & ~(upstream->caps | p->own | (uint32_t)CAP_LIMITS)) == 0);
    REQUIRE((offer->caps & CAP_XCLIENT & ~p->own) == 0 && (offer->caps & CAP_XFORWARD) == 0);
    if (offer->caps & CAP_SIZE)
        REQUIRE(offer->size == smaller(upstream->size, p->max_size));
    for (size_t i = 0; i < EHLO_LIMITS; i++)
        REQUIRE(!upstream->limits[i] || offer->limits[i] <= upstream->limits[i]);
    for (size_t i = 0; i < COUNT_OF(never); i++)
        REQUIRE(!ehlo_has_mechanism(offer, span_of(never[i])));
    REQUIRE(!(offer->caps & CAP_AUTH) == (offer->auth_n == 0));
}

/* What a client reads out of our reply is what we meant. */
static void check_printed(const struct ehlo *offer)
{
    struct buf out = {0};
    struct reply_parser p;
    struct ehlo read = {0};
    struct span text;
    size_t at = 0;
    REQUIRE(ehlo_print(&out, SPAN_LIT("gate.example.org"), offer));
    struct span in = buf_span(&out);
    reply_parser_init(&p);
    REQUIRE(reply_feed(&p, &in) == REPLY_READY && in.n == 0 && p.code == 250);
    REQUIRE(reply_next_line(p.bytes, &at, &text) && span_eq(text, SPAN_LIT("gate.example.org")));
    while (reply_next_line(p.bytes, &at, &text)) {
        REQUIRE(text.n + 6 <= 512);
        ehlo_take(&read, text);
    }
    REQUIRE(read.caps == offer->caps && read.size == offer->size);
    REQUIRE(span_eq(span_make(read.auth, read.auth_n), span_make(offer->auth, offer->auth_n)));
    for (size_t i = 0; i < EHLO_VALUES; i++)
        REQUIRE(span_eq(span_make(read.values[i].text, read.values[i].n),
                        span_make(offer->values[i].text, offer->values[i].n)));
    for (size_t i = 0; i < EHLO_LIMITS && offer->caps & CAP_LIMITS; i++)
        REQUIRE(read.limits[i] == offer->limits[i]);
    reply_parser_free(&p);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;
    struct ehlo_policy policy = read_policy(data);
    struct ehlo upstream = read_upstream(span_make((const char *)data + HEAD, size - HEAD));
    struct ehlo offer = ehlo_offer(&upstream, &policy);
    check_offer(&offer, &upstream, &policy);
    check_printed(&offer);
    return 0;
}
