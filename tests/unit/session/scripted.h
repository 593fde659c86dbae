/* SPDX-License-Identifier: MIT */
/* One filter with a script stands for all: in one phase it does what the test says, and it counts its calls.
 */
#ifndef UNIT_SESSION_SCRIPTED_H
#define UNIT_SESSION_SCRIPTED_H

#include "unit/session/bench.h"

#define SECOND ((uint64_t)1000000)

static struct scripted {
    enum postern_phase phase;
    enum postern_action action;
    unsigned code;
    const struct postern_host *host;
    void *self;
    uint64_t ticket, deadline_us;
    unsigned calls[POSTERN_PHASES];
    unsigned rcpt_code, message_code;
    bool read_rcpt; /* asks for the recipient in every phase */
    char rcpt[64];
} script;

static inline int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                            void **filter_r)
{
    (void)block;
    script.host = host;
    script.self = self;
    *filter_r = &script;
    return 0;
}

static inline void read_rcpt(const struct postern_tx *tx)
{
    struct postern_span rcpt = script.host->get(tx, POSTERN_F_RCPT);
    assert_true(rcpt.n < sizeof(script.rcpt));
    memset(script.rcpt, 0, sizeof(script.rcpt));
    if (rcpt.n)
        memcpy(script.rcpt, rcpt.p, rcpt.n);
}

static inline void hook(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                        struct postern_verdict *v)
{
    (void)filter;
    (void)session;
    script.calls[ev->phase]++;
    if (ev->phase == POSTERN_ON_RCPT_REPLY)
        script.rcpt_code = ev->code;
    if (ev->phase == POSTERN_ON_MESSAGE_REPLY)
        script.message_code = ev->code;
    if (script.read_rcpt)
        read_rcpt(tx);
    if (ev->phase != script.phase)
        return;
    v->action = script.action;
    v->code = script.code;
    v->delay_us = script.deadline_us;
    if (v->action == POSTERN_PENDING)
        script.ticket = script.host->ticket(tx);
}

static const struct postern_filter scripted_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "scripted",
    .help = "does what the test says",
    .configure = configure,
    .hooks = {[POSTERN_ON_CONNECT] = hook,
              [POSTERN_ON_MAIL] = hook,
              [POSTERN_ON_RCPT] = hook,
              [POSTERN_ON_DATA] = hook,
              [POSTERN_ON_HEADERS] = hook,
              [POSTERN_ON_END] = hook,
              [POSTERN_ON_RCPT_REPLY] = hook,
              [POSTERN_ON_MESSAGE_REPLY] = hook,
              [POSTERN_ON_ABORT] = hook},
};

static inline void prepare(struct bench *b, enum postern_phase phase, enum postern_action action)
{
    memset(&script, 0, sizeof(script));
    script.phase = phase;
    script.action = action;
    script.message_code = 999;
    bench_prepare(b, &scripted_filter, 1000 * SECOND);
}

static inline void begin(struct bench *b, enum postern_phase phase, enum postern_action action)
{
    prepare(b, phase, action);
    world_begin(&b->w);
}

static inline void end(struct bench *b)
{
    bench_end(b, script.calls);
}

/* Exactly this is what the client got since it was last looked. */
static inline void expect(struct bench *b, const char *text)
{
    char got[4096];
    struct span s = buf_span(&b->w.to_client);
    (void)snprintf(got, sizeof(got), "%.*s", (int)s.n, s.n ? s.p : "");
    assert_string_equal(got, text);
    buf_consume(&b->w.to_client, s.n);
}

#endif
