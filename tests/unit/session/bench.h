/* SPDX-License-Identifier: MIT */
/* One session in a world with one filter: what the tests of the engine with filters share. Each test brings
 * the filter and its script. */
#ifndef UNIT_SESSION_BENCH_H
#define UNIT_SESSION_BENCH_H

#include "support/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct bench {
    struct world w;
    struct filter_instance *instance;
    struct chain *chain;
};

/* The world is there; the session is begun by the test. */
static inline void bench_prepare(struct bench *b, const struct postern_filter *filter, uint64_t deadline_us)
{
    struct filter_settings settings = {.name = "scripted", .deadline_us = deadline_us};
    world_defaults(&b->w);
    b->w.policy.auth_needs_tls = false;
    ehlo_take(&b->w.offer, SPAN_LIT("AUTH PLAIN LOGIN"));
    b->instance = filter_instance_create(filter, &settings, &b->w.services);
    assert_non_null(b->instance);
    b->chain = chain_create(&b->instance, 1);
    assert_non_null(b->chain);
    b->w.policy.chain = b->chain;
}

/* `calls` counts the filter's hooks: END xor ABORT for each MAIL, a reply for each RCPT. */
static inline void bench_end(struct bench *b, const unsigned calls[POSTERN_PHASES])
{
    world_end(&b->w);
    assert_int_equal(calls[POSTERN_ON_MAIL], calls[POSTERN_ON_END] + calls[POSTERN_ON_ABORT]);
    assert_int_equal(calls[POSTERN_ON_RCPT], calls[POSTERN_ON_RCPT_REPLY]);
    assert_int_equal(b->w.policies_out, 0);
    chain_destroy(&b->chain);
    filter_instance_destroy(&b->instance);
}

static inline void client(struct bench *b, const char *text)
{
    world_client(&b->w, span_of(text), 0);
}

static inline void upstream(struct bench *b, const char *text)
{
    world_upstream(&b->w, span_of(text), 0);
}

static inline void hello(struct bench *b)
{
    upstream(b, "220 up\r\n");
    upstream(b, "250-up\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n");
}

#endif
