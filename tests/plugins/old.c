/* SPDX-License-Identifier: MIT */
/* old: a plugin as it was built for ABI 1.0, when the descriptor ended with 16 hooks. It must go on working:
 * it refuses every RCPT with 554, so that a test sees it asked. Behind its descriptor stand hooks that end
 * the process: a host that looks there takes other memory for hooks. */
#include "plugin.h"

#define HOOKS_1_0 16

struct filter_1_0 { /* struct postern_filter of 1.0, frozen */
    uint32_t magic;
    uint16_t abi_major, abi_minor;
    size_t size;
    const char *name;
    const char *help;
    const struct postern_option *options;
    int (*configure)(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r);
    void (*start)(void *filter);
    void (*release)(void *filter);
    int (*session_begin)(void *filter, struct postern_tx *tx, void **session_r);
    void (*session_end)(void *filter, void *session);
    void (*cancel)(void *filter, void *session, uint64_t ticket);
    postern_hook hooks[HOOKS_1_0];
};

struct filter_and_trap {
    struct filter_1_0 filter;
    postern_hook trap[POSTERN_HOOKS];
};

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    (void)host, (void)self, (void)block, (void)filter_r;
    return 0;
}

static void refuse(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                   struct postern_verdict *v)
{
    (void)filter, (void)session, (void)tx, (void)ev;
    v->action = POSTERN_REJECT;
    v->code = 554;
}

static void trap(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                 struct postern_verdict *v)
{
    (void)filter, (void)session, (void)tx, (void)ev, (void)v;
    abort();
}

extern const struct filter_and_trap old_filter __asm__("postern_filter");
const struct filter_and_trap old_filter = {
    .filter = {.magic = POSTERN_FILTER_MAGIC,
               .abi_major = 1,
               .abi_minor = 0,
               .size = sizeof(struct filter_1_0),
               .name = "old",
               .configure = configure,
               .hooks = {[POSTERN_ON_RCPT] = refuse}},
    .trap = {trap, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap},
};
