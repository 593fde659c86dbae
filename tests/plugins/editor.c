/* SPDX-License-Identifier: MIT */
/* editor: changes every message as its options say, in one phase, and defers those of which it could not be
 * done. Of a header field an option has the name alone, or "Name: value". An instance owns its plan. */
#include "plugin.h"

struct editor {
    const struct postern_host *host;
    enum postern_phase phase;
    const struct postern_node *block;
};

#define TEXTS(name_)                                                                                         \
    {                                                                                                        \
        .name = (name_), .type = POSTERN_STRING, .flags = POSTERN_LIST,                                      \
        .help = "What to do; in their order."                                                                \
    }

static const struct postern_option options[] = {
    {.name = "phase", .type = POSTERN_ENUM, .fallback = "end", .values = PHASES, .help = "Where to act."},
    TEXTS("add"),
    TEXTS("replace"),
    TEXTS("remove"),
    TEXTS("prefix"),
    TEXTS("copy"),
    TEXTS("redirect"),
    TEXTS("tag"),
    {.name = NULL},
};

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    struct editor *e = malloc(sizeof(*e));

    if (!e) {
        host->config_error(self, block, 0, "no memory");
        return -1;
    }
    *e = (struct editor){.host = host, .phase = option_phase(block), .block = block};
    *filter_r = e;
    return 0;
}

static void cut(struct postern_span text, struct postern_span *name, struct postern_span *value)
{
    size_t n = 0;
    while (n < text.n && text.p[n] != ':')
        n++;
    *name = (struct postern_span){text.p, n};
    n += n + 2 <= text.n ? 2 : text.n - n;
    *value = (struct postern_span){text.p + n, text.n - n};
}

static int apply(const struct postern_host *host, struct postern_tx *tx, const char *what,
                 struct postern_span text)
{
    struct postern_span name, value;

    cut(text, &name, &value);
    switch (what[0]) {
    case 'a':
        return host->header_add(tx, name, value);
    case 'p':
        return host->subject_prefix(tx, text);
    case 'c':
        return host->rcpt_add(tx, text);
    case 't':
        return host->tag(tx, name, value);
    default:
        break;
    }
    if (strcmp(what, "replace") == 0)
        return host->header_replace(tx, name, value);
    return strcmp(what, "remove") == 0 ? host->header_remove(tx, name) : host->rcpt_replace(tx, text);
}

static void edit(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                 struct postern_verdict *v)
{
    const struct editor *e = filter;

    (void)session;
    if (ev->phase != e->phase)
        return;
    for (const struct postern_option *o = options + 1; o->name; o++) {
        const struct postern_node *list = option(e->block, o->name);
        for (const struct postern_node *at = list ? list->first : NULL; at; at = at->next)
            if (apply(e->host, tx, o->name, at->text) != 0)
                v->action = POSTERN_TEMPFAIL;
    }
}

const struct postern_filter postern_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "editor",
    .help = "Changes every message.",
    .options = options,
    .configure = configure,
    .release = free,
    .hooks = VERDICT_HOOKS(edit),
    .wants = POSTERN_WANTS_EDITS,
};
