/* SPDX-License-Identifier: MIT */
/* PROXY headers, whole and octet by octet; what follows a header is left alone. */
#include "unit/base/check.h"

#include "smtp/crc32c.h"
#include "smtp/proxyproto.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

/* Feeds in steps, and says how much of `all` was taken. */
static enum proxy_result feed(struct proxy_parser *p, struct span all, size_t step, struct proxy_header *h,
                              size_t *taken)
{
    enum proxy_result r = PROXY_MORE;
    *taken = 0;
    while (r == PROXY_MORE && *taken < all.n) {
        struct span in = span_head(span_skip(all, *taken), step);
        size_t n = in.n;
        r = proxy_feed(p, &in, h);
        *taken += n - in.n;
        if (r == PROXY_MORE)
            assert_int_equal(in.n, 0);
    }
    return r;
}

struct row {
    struct span bytes;
    enum proxy_result result;
    bool local;
    size_t ip_n;
    const char *ip; /* of the client, raw */
    uint16_t port;
};
#define ROW(bytes, ...)                                                                                      \
    {                                                                                                        \
        {bytes, sizeof(bytes) - 1}, __VA_ARGS__                                                              \
    }

static const struct row rows[] = {
    ROW("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n", PROXY_READY, false, 4, "\xc0\0\2\1", 4711),
    ROW("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", PROXY_READY, false, 16,
        "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 65535),
    ROW("PROXY UNKNOWN\r\n", PROXY_READY, true, 0, "", 0),
    ROW("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", PROXY_READY, true, 0, "", 0),
    ROW("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\n", PROXY_BAD, false, 0, "", 0),
    ROW("PROXY TCP4 192.0.2.1 198.51.100.2 4711 65536\r\n", PROXY_BAD, false, 0, "", 0),
    ROW("PROXY TCP4 192.0.2.1 198.51.100.2 04711 25\r\n", PROXY_BAD, false, 0, "", 0),
    ROW("PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n", PROXY_BAD, false, 0, "", 0),
    ROW("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25 \r\n", PROXY_BAD, false, 0, "", 0),
    ROW("PROXY TCP4  192.0.2.1 198.51.100.2 4711 25\r\n", PROXY_BAD, false, 0, "", 0),
    ROW("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", PROXY_BAD, false, 0, "", 0),
    ROW("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", PROXY_BAD, false, 0, "", 0),
    ROW("PROXY UDP4 192.0.2.1 198.51.100.2 4711 25\r\n", PROXY_BAD, false, 0, "", 0),
    ROW("proxy TCP4 192.0.2.1 198.51.100.2 4711 25\r\n", PROXY_BAD, false, 0, "", 0),
    ROW("EHLO c\r\n", PROXY_BAD, false, 0, "", 0),
    ROW("\x16\x03\x01", PROXY_BAD, false, 0, "", 0),
    ROW("PROXY TCP4 \0\r\n", PROXY_BAD, false, 0, "", 0),
    ROW("PROXY UNKNOWN "
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxx\r\n",
        PROXY_BAD, false, 0, "", 0),
    ROW(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19", PROXY_READY, false, 4, "\xc0\0\2\1", 4711),
    ROW(V2 "\x20\0\0\0", PROXY_READY, true, 0, "", 0),
    ROW(V2 "\x20\x11\0\3abc", PROXY_READY, true, 0, "", 0),   /* LOCAL: the rest is ignored */
    ROW(V2 "\x21\0\0\0", PROXY_READY, true, 0, "", 0),        /* UNSPEC */
    ROW(V2 "\x21\0\0\4\4\0\1x", PROXY_READY, true, 0, "", 0), /* and NOOP behind it */
    ROW(V2 "\x21\x31\0\3abc", PROXY_BAD, false, 0, "", 0),    /* a Unix socket without its names */
    ROW(V2 "\x21\x12\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19", PROXY_BAD, false, 0, "", 0), /* UDP */
    ROW(V2 "\x22\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19", PROXY_BAD, false, 0, "", 0),
    ROW(V2 "\x11\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19", PROXY_BAD, false, 0, "", 0),
    ROW(V2 "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0", PROXY_BAD, false, 0, "", 0),
    ROW(V2 "\x21\x11\0\x0e\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19\4\0", PROXY_BAD, false, 0, "", 0),
    ROW(V2 "\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19\4\0\1", PROXY_BAD, false, 0, "",
        0), /* past the declared length */
    ROW(V2 "\x21\x11\0\x13\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19\3\0\4zzzz", PROXY_BAD, false, 0, "",
        0),                                                 /* a wrong sum */
    ROW(V2 "\x21\x11\xff\xff", PROXY_BAD, false, 0, "", 0), /* too long */
    ROW("\r\n\r\nX", PROXY_BAD, false, 0, "", 0),
};

static void headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t step = 1; step <= rows[i].bytes.n + 8; step++) {
            char all[300];
            struct proxy_parser p = {0};
            struct proxy_header h;
            size_t taken, n = rows[i].bytes.n;
            memcpy(all, rows[i].bytes.p, n);
            memcpy(all + n, "EHLO c\r\n", 8);
            enum proxy_result r = feed(&p, span_make(all, n + 8), step, &h, &taken);
            if (r != rows[i].result)
                fail_msg("row %zu, step %zu: %d (%s)", i, step, (int)r, p.why ? p.why : "");
            if (r == PROXY_READY) {
                assert_int_equal(taken, n);
                assert_int_equal(h.local, rows[i].local);
                assert_int_equal(h.from.ip_n, rows[i].ip_n);
                assert_memory_equal(h.from.ip, rows[i].ip, rows[i].ip_n);
                assert_int_equal(h.from.port, rows[i].port);
            }
            proxy_parser_free(&p);
        }
}

/* RFC 3720, B.4. */
static void sums(void **state)
{
    (void)state;
    static const char zeros[32];
    assert_int_equal(crc32c(0, span_make(zeros, 32)), 0x8A9136AAu);
    assert_int_equal(crc32c(0, SPAN_LIT("123456789")), 0xE3069283u);
    assert_int_equal(crc32c(crc32c(0, SPAN_LIT("1234")), SPAN_LIT("56789")), 0xE3069283u);
}

static void round_trip(void **state)
{
    (void)state;
    struct proxy_header h = {.from = {{192, 0, 2, 1}, 4, 4711},
                             .to = {{198, 51, 100, 2}, 4, 25},
                             .authority = SPAN_LIT("mail.example.org"),
                             .unique_id = SPAN_LIT("1a2b"),
                             .tls = true,
                             .tls_version = SPAN_LIT("TLSv1.3")};
    for (int six = 0; six < 2; six++) {
        struct buf wire = {0};
        struct proxy_parser p = {0};
        struct proxy_header got;
        h.from.ip_n = h.to.ip_n = six ? 16 : 4;
        assert_true(proxy_print_v2(&wire, &h));
        struct span in = buf_span(&wire);
        assert_int_equal(proxy_feed(&p, &in, &got), PROXY_READY);
        assert_int_equal(in.n, 0);
        assert_memory_equal(got.from.ip, h.from.ip, h.from.ip_n);
        assert_int_equal(got.to.port, 25);
        assert_spans_eq(got.authority, h.authority);
        assert_spans_eq(got.unique_id, h.unique_id);
        assert_true(got.tls);
        assert_spans_eq(got.tls_version, h.tls_version);
        proxy_parser_free(&p);
        buf_free(&wire);
    }
}

static void printed_v1(void **state)
{
    (void)state;
    struct buf wire = {0};
    struct proxy_header h = {.from = {{192, 0, 2, 1}, 4, 4711}, .to = {{198, 51, 100, 2}, 4, 25}};
    assert_true(proxy_print_v1(&wire, &h));
    assert_spans_eq(buf_span(&wire), SPAN_LIT("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n"));
    buf_free(&wire);
    h.local = true;
    assert_true(proxy_print_v1(&wire, &h));
    assert_spans_eq(buf_span(&wire), SPAN_LIT("PROXY UNKNOWN\r\n"));
    buf_free(&wire);
}

/* A front may name a client of another family than the connection that it uses. */
static void ends_of_different_families(void **state)
{
    (void)state;
    struct buf wire = {0};
    struct proxy_header h = {.from = {{0x20, 1, 0xd, 0xb8, [15] = 9}, 16, 4711},
                             .to = {{198, 51, 100, 2}, 4, 25}};
    assert_true(proxy_print_v1(&wire, &h));
    assert_spans_eq(buf_span(&wire), SPAN_LIT("PROXY TCP6 2001:db8::9 ::ffff:198.51.100.2 4711 25\r\n"));
    buf_free(&wire);
    h = (struct proxy_header){.from = {{192, 0, 2, 1}, 4, 4711},
                              .to = {{0x20, 1, 0xd, 0xb8, [15] = 1}, 16, 25}};
    assert_true(proxy_print_v1(&wire, &h));
    assert_spans_eq(buf_span(&wire), SPAN_LIT("PROXY TCP4 192.0.2.1 0.0.0.0 4711 25\r\n"));
    buf_free(&wire);

    struct proxy_parser p = {0};
    struct proxy_header got;
    assert_true(proxy_print_v2(&wire, &h));
    struct span in = buf_span(&wire);
    assert_int_equal(proxy_feed(&p, &in, &got), PROXY_READY);
    assert_false(got.local);
    assert_int_equal(got.from.ip_n, 4);
    assert_memory_equal(got.from.ip, h.from.ip, 4);
    assert_memory_equal(got.to.ip, "\0\0\0\0", 4);
    assert_int_equal(got.to.port, 25);
    proxy_parser_free(&p);
    buf_free(&wire);
}

/* LOCAL has nothing behind it; a client that nobody knows is not the proxy itself. */
static void nobody_is_named(void **state)
{
    (void)state;
    struct buf wire = {0};
    struct proxy_header h = {.local = true, .unique_id = SPAN_LIT("1a2b"), .from = {{192, 0, 2, 1}, 4, 1}};
    assert_true(proxy_print_v2(&wire, &h));
    assert_spans_eq(buf_span(&wire), SPAN_LIT(V2 "\x20\0\0\0"));
    buf_free(&wire);
    h = (struct proxy_header){.to = {{198, 51, 100, 2}, 4, 25}};
    assert_true(proxy_print_v2(&wire, &h));
    assert_spans_eq(span_head(buf_span(&wire), 16), SPAN_LIT(V2 "\x21\0\0\7"));
    buf_free(&wire);
    assert_true(proxy_print_v1(&wire, &h));
    assert_spans_eq(buf_span(&wire), SPAN_LIT("PROXY UNKNOWN\r\n"));
    buf_free(&wire);
}

static void a_unique_id_has_a_limit(void **state)
{
    (void)state;
    for (size_t n = 128; n <= 129; n++) {
        char id[129];
        memset(id, 'i', sizeof id);
        struct buf wire = {0};
        struct proxy_parser p = {0};
        struct proxy_header h = {.from = {{192, 0, 2, 1}, 4, 1}, .to = {{198, 51, 100, 2}, 4, 25}}, got;
        h.unique_id = span_make(id, n);
        assert_true(proxy_print_v2(&wire, &h));
        struct span in = buf_span(&wire);
        assert_int_equal(proxy_feed(&p, &in, &got), n == 128 ? PROXY_READY : PROXY_BAD);
        proxy_parser_free(&p);
        buf_free(&wire);
    }
}

/* The longest line there is, to the octet: 107. */
static void the_longest_line(void **state)
{
    (void)state;
    char line[110] = "PROXY UNKNOWN ";
    size_t at = 14;
    for (size_t n = 107; n <= 108; n++) {
        struct proxy_parser p = {0};
        struct proxy_header h;
        memset(line + at, 'f', n - at - 2);
        memcpy(line + n - 2, "\r\n", 2);
        struct span in = span_make(line, n);
        assert_int_equal(proxy_feed(&p, &in, &h), n == 107 ? PROXY_READY : PROXY_BAD);
        proxy_parser_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(sums),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(printed_v1),
        cmocka_unit_test(ends_of_different_families),
        cmocka_unit_test(nobody_is_named),
        cmocka_unit_test(a_unique_id_has_a_limit),
        cmocka_unit_test(the_longest_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
