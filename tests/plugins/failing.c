/* SPDX-License-Identifier: MIT */
/* failing: does what a filter must not. Says PENDING and never answers, has no memory for a session, refuses
 * its configuration with or without a reason, or gives a verdict that is none. */
#include "plugin.h"

enum how { HOW_SILENT, HOW_SESSION, HOW_CONFIGURE, HOW_MUTE, HOW_NONSENSE, HOW_PENDING_AGAIN };

struct failing {
    const struct postern_host *host;
    void *self;
    enum how how;
    enum postern_phase phase;
};

static const struct postern_option options[] = {
    {.name = "how",
     .type = POSTERN_ENUM,
     .fallback = "silent",
     .values = "silent|session|configure|mute|nonsense|pending_again",
     .help = "In which way it fails."},
    {.name = "phase", .type = POSTERN_ENUM, .fallback = "helo", .values = PHASES, .help = "Where it fails."},
    {.name = NULL},
};

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    enum how how = (enum how)option_number(block, "how");
    struct failing *f = how == HOW_CONFIGURE || how == HOW_MUTE ? NULL : malloc(sizeof(*f));

    if (!f) {
        if (how != HOW_MUTE)
            host->config_error(self, option(block, "how"), 3, "fails as it was told to");
        return -1;
    }
    *f = (struct failing){host, self, how, option_phase(block)};
    *filter_r = f;
    return 0;
}

static int session_begin(void *filter, struct postern_tx *tx, void **session_r)
{
    const struct failing *f = filter;

    (void)tx, (void)session_r;
    return f->how == HOW_SESSION ? -1 : 0;
}

static void fail(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                 struct postern_verdict *v)
{
    const struct failing *f = filter;

    (void)session;
    if (ev->phase != f->phase)
        return;
    v->action = POSTERN_PENDING;
    if (f->how == HOW_NONSENSE)
        v->action = (enum postern_action)99;
    else if (f->how == HOW_PENDING_AGAIN)
        f->host->resume(f->self, f->host->ticket(tx), v);
}

const struct postern_filter postern_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "failing",
    .help = "Fails in the way that it is told.",
    .options = options,
    .configure = configure,
    .release = free,
    .session_begin = session_begin,
    .hooks = VERDICT_HOOKS(fail),
};
