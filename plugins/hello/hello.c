/* SPDX-License-Identifier: MIT
 *
 * hello: the smallest complete filter. It refuses clients that greet with one name:
 *
 *     filters:
 *       manners: { plugin: hello, name: friend.example } */
#include "postern/filter.h"

#include <stdlib.h>
#include <strings.h>

static const struct postern_option options[] = {
    {.name = "name", .type = POSTERN_STRING, .flags = POSTERN_REQUIRED, .help = "The HELO name to refuse."},
    {0}};

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    struct postern_span *name = malloc(sizeof(*name));

    if (!name) {
        host->config_error(self, block, 0, "no memory");
        return -1;
    }
    *name = block->first->text; /* the one option; its text lives as long as the filter */
    *filter_r = name;
    return 0;
}

static void on_helo(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    const struct postern_span *name = filter;

    (void)session, (void)tx;
    if (ev->text.n == name->n && strncasecmp(ev->text.p, name->p, name->n) == 0) {
        v->action = POSTERN_REJECT;
        v->text = (struct postern_span){"Not with that name", 18};
    }
}

const struct postern_filter postern_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "hello",
    .help = "Refuses one HELO name.",
    .options = options,
    .configure = configure,
    .release = free,
    .hooks = {[POSTERN_ON_HELO] = on_helo},
};
