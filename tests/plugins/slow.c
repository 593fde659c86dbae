/* SPDX-License-Identifier: MIT */
/* slow: says PENDING in one phase and gives its verdict later, by a timer. A job is one pending verdict; it
 * lives from PENDING until the timer fires or the host cancels, and is the session's while it lives. */
#include "plugin.h"

struct slow {
    const struct postern_host *host;
    void *self;
    struct plan plan;
    uint64_t after_us, deadline_us;
    enum postern_timeout on_timeout;
};

struct job {
    struct slow *slow;
    struct postern_timer *timer; /* NULL: nothing is pending */
    uint64_t ticket;
};

static const struct postern_option options[] = {
    VERDICT_OPTIONS,
    {.name = "after",
     .type = POSTERN_DURATION,
     .fallback = "100ms",
     .help = "How long it thinks; 0: no time."},
    {.name = "own_deadline", .type = POSTERN_DURATION, .fallback = "0s", .help = "What it names; 0: none."},
    {.name = "on_timeout",
     .type = POSTERN_ENUM,
     .fallback = "on_error",
     .values = "on_error|open|tempfail|reject",
     .help = "What stands when the deadline passes."},
    {.name = NULL},
};

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    struct slow *s = malloc(sizeof(*s));

    if (!s) {
        host->config_error(self, block, 0, "no memory");
        return -1;
    }
    *s = (struct slow){.host = host,
                       .self = self,
                       .plan = option_plan(block),
                       .after_us = (uint64_t)option_number(block, "after"),
                       .deadline_us = (uint64_t)option_number(block, "own_deadline"),
                       .on_timeout = (enum postern_timeout)option_number(block, "on_timeout")};
    *filter_r = s;
    return 0;
}

static int session_begin(void *filter, struct postern_tx *tx, void **session_r)
{
    struct job *j = calloc(1, sizeof(*j));

    (void)tx;
    if (!j)
        return -1;
    j->slow = filter;
    *session_r = j;
    return 0;
}

static void session_end(void *filter, void *session)
{
    (void)filter;
    free(session);
}

static void answer(void *arg)
{
    struct job *j = arg;

    j->timer = NULL;
    j->slow->host->resume(j->slow->self, j->ticket, &j->slow->plan.verdict);
}

static void cancel(void *filter, void *session, uint64_t ticket)
{
    const struct slow *s = filter;
    struct job *j = session;

    if (j->ticket == ticket && j->timer)
        s->host->timer_stop(s->self, j->timer);
    j->timer = NULL;
}

static void think(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                  struct postern_verdict *v)
{
    struct slow *s = filter;
    struct job *j = session;

    if (ev->phase != s->plan.phase)
        return;
    v->action = POSTERN_PENDING;
    v->delay_us = s->deadline_us;
    v->on_timeout = s->on_timeout;
    j->ticket = s->host->ticket(tx);
    if (s->after_us == 0)
        s->host->resume(s->self, j->ticket, &s->plan.verdict);
    else
        j->timer = s->host->timer_start(s->self, s->after_us, answer, j);
}

const struct postern_filter postern_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "slow",
    .help = "One verdict in one phase, later.",
    .options = options,
    .configure = configure,
    .release = free,
    .session_begin = session_begin,
    .session_end = session_end,
    .cancel = cancel,
    .hooks = VERDICT_HOOKS(think),
};
