/* SPDX-License-Identifier: MIT */
/* Received lines, whole and octet by octet. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "smtp/hops.h"

static void counted(void **state)
{
    (void)state;
    static const struct {
        struct span content;
        unsigned hops;
    } rows[] = {
        {SPAN_LIT(""), 0},
        {SPAN_LIT("Received: a\r\nreceived:b\r\nRECEIVED:\r\n c\r\nSubject: t\r\n\r\n"), 3},
        {SPAN_LIT("Received: a\r\n\r\nReceived: body\r\n"), 1},
        {SPAN_LIT("\r\nReceived: body\r\n"), 0},
        {SPAN_LIT("Subject: t\r\n Received: folded\r\n\tReceived: folded\r\n"), 0},
        {SPAN_LIT("X-Received: a\r\nReceived-SPF: b\r\nReceive: c\r\nReceivedd: d\r\nReceived : e\r\n"), 0},
        {SPAN_LIT("Received: Received: a\r\n"), 1},
        {SPAN_LIT("Received: a\nReceived: b\n\nReceived: body\n"), 2},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t step = 1; step <= rows[i].content.n + 1; step++) {
            struct hops h = {0};
            for (struct span rest = rows[i].content; rest.n; rest = span_skip(rest, step))
                hops_feed(&h, span_head(rest, step));
            if (h.count != rows[i].hops)
                fail_msg("row %zu, step %zu: %u", i, step, h.count);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
