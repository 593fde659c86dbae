/* SPDX-License-Identifier: MIT */
/* late: says PENDING, does not listen to cancel(), and answers after its time, twice, when the session may be
 * gone. A job is one timer and belongs to nobody else; it lives until the timer fires. */
#include "plugin.h"

struct late {
    const struct postern_host *host;
    void *self;
    struct plan plan;
    uint64_t after_us;
};

struct job {
    const struct late *late;
    uint64_t ticket;
};

static const struct postern_option options[] = {
    VERDICT_OPTIONS,
    {.name = "after", .type = POSTERN_DURATION, .fallback = "1s", .help = "When it answers."},
    {.name = NULL},
};

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    struct late *l = malloc(sizeof(*l));

    if (!l) {
        host->config_error(self, block, 0, "no memory");
        return -1;
    }
    *l = (struct late){host, self, option_plan(block), (uint64_t)option_number(block, "after")};
    *filter_r = l;
    return 0;
}

static void answer(void *arg)
{
    struct job *j = arg;
    const struct late *l = j->late;

    for (int i = 0; i < 2; i++)
        l->host->resume(l->self, j->ticket, &l->plan.verdict);
    l->host->count(l->self, "answered", 1);
    free(j);
}

static void think(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                  struct postern_verdict *v)
{
    const struct late *l = filter;
    struct job *j = ev->phase == l->plan.phase ? malloc(sizeof(*j)) : NULL;

    (void)session;
    if (!j)
        return;
    *j = (struct job){l, l->host->ticket(tx)};
    if (!l->host->timer_start(l->self, l->after_us, answer, j)) {
        free(j);
        return;
    }
    v->action = POSTERN_PENDING;
}

const struct postern_filter postern_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "late",
    .help = "Answers when nobody waits any more.",
    .options = options,
    .configure = configure,
    .release = free,
    .hooks = VERDICT_HOOKS(think),
};
