/* SPDX-License-Identifier: MIT */
/* The whole engine, two-sided: the input is a script of events, the promises are assertions.
 *
 *   byte 0: options. Then records: kind, length, bytes
 *     0 the client sends   1 the upstream sends   2 the upstream's next expected reply, well-formed (code by the
 *     first byte)   3 time passes   4 the client leaves   5 the upstream leaves   6 a drain   7 upstream output blocks
 *
 * Checked: the client is never told 2yz after a message's end without the upstream having said it (promise 1); what
 * goes upstream has no bare CR or LF, whatever came in (promise 2); each session that ends gives back every policy;
 * the engine ends whatever happens. */
#include "support/engine.h"

#include <stdint.h>


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool fact, const char *what)
{
    if (fact)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static void check_line_ends(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n')
            must(i > 0 && s.p[i - 1] == '\r', "a bare LF went upstream");
        if (s.p[i] == '\r' && i + 1 < s.n)
            must(s.p[i + 1] == '\n', "a bare CR went upstream");
    }
}

/* Reads the last line that the session sent upstream and answers it as a server would. */
static void answer_upstream(struct world *w, uint8_t byte)
{
    static const char *const replies[] = {"250 2.0.0 fine", "354 go", "550 5.7.1 no", "451 4.3.0 later",
                                          "250-two\r\n250 lines", "421 4.3.2 bye", "334 Z28=", "235 2.7.0 in"};
    char text[64];
    int n = snprintf(text, sizeof(text), "%s\r\n", replies[byte % 8]);
    world_upstream(w, span_make(text, (size_t)n), 0);
}

static void say_hello(struct world *w)
{
    world_upstream(w, SPAN_LIT("220 up\r\n250-up\r\n250-PIPELINING\r\n250-AUTH PLAIN LOGIN\r\n250-SIZE 1000\r\n"), 0);
    world_upstream(w, SPAN_LIT("250 DSN\r\n"), 0);
}

static void run_record(struct world *w, uint8_t kind, struct span bytes)
{
    switch (kind % 9) {
    case 0:
        world_client(w, bytes, 0);
        break;
    case 1:
        world_upstream(w, bytes, 0);
        break;
    case 2:
        answer_upstream(w, bytes.n ? (uint8_t)bytes.p[0] : 0);
        break;
    case 3:
        world_wait(w, (uint64_t)(bytes.n ? (uint8_t)bytes.p[0] : 1) * 5000000);
        break;
    case 4:
        if (bytes.n > 1)
            session_eof(w->session);
        else
            session_gone(w->session);
        break;
    case 5:
        if (w->leg)
            upleg_lost(w->leg, "gone");
        break;
    case 6:
        session_drain(w->session);
        break;
    case 7:
        w->leg_full = !w->leg_full;
        if (!w->leg_full && w->leg)
            upleg_drained(w->leg);
        break;
    default:
        say_hello(w);
        break;
    }
    world_bury(w);
}

static void options(struct world *w, uint8_t bits)
{
    world_defaults(w);
    w->offer.caps |= CAP_AUTH;
    ehlo_take(&w->offer, SPAN_LIT("AUTH PLAIN LOGIN"));
    w->policy.enforce_sync = bits & 1;
    w->policy.normalize_newlines = bits & 2;
    w->policy.offer_starttls = bits & 4;
    w->policy.auth_needs_tls = bits & 8;
    w->policy.eager = bits & 16;
    w->refuse_connect = bits & 32;
    w->policy.limits.message_bytes = bits & 64 ? 64 : 4096;
    w->budget.memory_max = bits & 128 ? 16 : 1 << 20;
    w->policy.limits.recipients = 5;
}

/* An acknowledgement of a message can only stand in the report when the upstream gave it. */
static void check_reports(const struct world *w, unsigned before, unsigned upstream_acks)
{
    if (w->counters[SESSION_COUNT_ACCEPTED] > before)
        must(upstream_acks > 0, "accepted without the upstream's word");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    unsigned acks = 0;
    if (size < 2)
        return 0;
    options(&w, data[0]);
    world_begin(&w);
    for (size_t at = 1; at + 1 < size && !w.closed;) {
        size_t n = data[at + 1];
        n = n < size - at - 2 ? n : size - at - 2;
        unsigned before = (unsigned)w.counters[SESSION_COUNT_ACCEPTED];
        bool from_upstream = data[at] % 9 == 1 || data[at] % 9 == 2 || data[at] % 9 == 8;
        acks += from_upstream;
        run_record(&w, data[at], span_make((const char *)data + at + 2, n));
        if (!from_upstream)
            must(w.counters[SESSION_COUNT_ACCEPTED] == before || data[at] % 9 == 7,
                 "a message was acknowledged by an event that was not the upstream's");
        check_reports(&w, before, acks);
        check_line_ends(buf_span(&w.to_upstream));
        at += 2 + n;
    }
    world_end(&w);
    must(w.policies_out == 0, "a policy was not given back");
    must(w.budget.memory_used == 0 && w.budget.disk_used == 0, "content was not given back");
    return 0;
}
