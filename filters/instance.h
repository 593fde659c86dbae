/* SPDX-License-Identifier: MIT */
/* One configured plugin of one generation: what a plugin holds as `self`. Private to the engine. */
#ifndef FILTERS_INSTANCE_H
#define FILTERS_INSTANCE_H

#include "base/arena.h"
#include "filters/chain.h"
#include "filters/ticket.h"

struct configuring { /* what is there only while configure() runs */
    struct arena *arena;
    const char **globbed; /* what the last glob() found */
    size_t globbed_n, globbed_cap;
    bool globbed_lost; /* there was no memory for one */
    unsigned errors;
};

struct filter_instance {
    struct postern_filter plugin; /* a copy: see loader_copy */
    const struct filter_services *services;
    char *name;
    bool shadow;
    enum filter_on_error on_error;
    uint64_t deadline_us;
    const struct postern_node *block;
    struct postern_host host;
    void *filter;                    /* what configure() made */
    struct tickets tickets;          /* runs that wait for this filter */
    struct arena *paths;             /* names of files that the plugin may show as long as it lives */
    struct configuring *configuring; /* NULL outside configure() */
};

/* The host table that a plugin of this instance is given. */
struct postern_host host_table(const struct filter_services *services);

static inline postern_hook instance_hook(const struct filter_instance *f, enum postern_phase phase)
{
    return f->plugin.hooks[phase];
}

static inline void instance_count(const struct filter_instance *f, const char *counter)
{
    f->services->count(f->services->ctx, f->name, counter, 1);
}

/* An error of this filter's configuration. */
void instance_config_error(struct filter_instance *f, const char *file, uint32_t line, uint32_t column,
                           const char *text);

#endif
