/* SPDX-License-Identifier: MIT */
/* refuse: gives one verdict in one phase, whatever comes. The verdict goes to the host as the options say it,
 * also where they make no sense. An instance owns its plan. */
#include "plugin.h"

static const struct postern_option options[] = {
    VERDICT_OPTIONS,
    {.name = NULL},
};

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    struct plan *p = malloc(sizeof(*p));

    if (!p) {
        host->config_error(self, block, 0, "no memory");
        return -1;
    }
    *p = option_plan(block);
    *filter_r = p;
    return 0;
}

static void answer(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                   struct postern_verdict *v)
{
    const struct plan *p = filter;

    (void)session, (void)tx;
    if (ev->phase == p->phase)
        *v = p->verdict;
}

const struct postern_filter postern_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "refuse",
    .help = "One verdict in one phase.",
    .options = options,
    .configure = configure,
    .release = free,
    .hooks = VERDICT_HOOKS(answer),
};
