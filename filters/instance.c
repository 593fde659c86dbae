/* SPDX-License-Identifier: MIT */
/* Filter instances: made when a configuration is built, started in a worker, released with the generation.
 * The runtime owns them; runs point at them and must be gone before. */
#include "filters/instance.h"

#include "filters/loader.h"

#define PATHS_MAX       ((size_t)16 << 20) /* bytes of file names that one instance may keep */
#define CONFIGURING_MAX ((size_t)64 << 20) /* bytes of names that glob() may find */
#define DEADLINE_US     5000000u           /* where the settings name none */

void instance_config_error(struct filter_instance *f, const char *file, uint32_t line, uint32_t column,
                           const char *text)
{
    if (f->configuring)
        f->configuring->errors++;
    f->services->config_error(f->services->ctx, file, line, column, text);
}

static void block_error(struct filter_instance *f, const char *text)
{
    const struct postern_node *at = f->block;
    instance_config_error(f, at ? at->file : NULL, at ? at->line : 0, at ? at->column : 0, text);
}

/* Runs the plugin's configure(). Its word is not taken for it: errors without -1 are errors, and so is -1
 * without an error. */
static bool configure(struct filter_instance *f)
{
    struct configuring c = {.arena = arena_create(CONFIGURING_MAX)};
    int result = -1;

    f->configuring = &c;
    if (c.arena)
        result = f->plugin.configure(&f->host, f, f->block, &f->filter);
    else
        block_error(f, "no memory to configure this filter");
    if (result != 0 && c.errors == 0)
        block_error(f, "the plugin refuses this configuration and does not say why");
    f->configuring = NULL;
    arena_destroy(&c.arena);
    free(c.globbed);
    if (result == 0 && c.errors && f->plugin.release)
        f->plugin.release(f->filter);
    return result == 0 && c.errors == 0;
}

static void instance_free(struct filter_instance *f)
{
    tickets_free(&f->tickets);
    arena_destroy(&f->paths);
    free(f->name);
    free(f);
}

struct filter_instance *filter_instance_create(const struct postern_filter *plugin,
                                               const struct filter_settings *settings,
                                               const struct filter_services *services)
{
    struct filter_instance *f = calloc(1, sizeof(*f));
    if (!f) {
        services->config_error(services->ctx, NULL, 0, 0, "no memory for a filter");
        return NULL;
    }
    loader_copy(plugin, &f->plugin);
    f->services = services;
    f->shadow = settings->shadow;
    f->on_error = settings->on_error;
    f->deadline_us = settings->deadline_us ? settings->deadline_us : DEADLINE_US;
    f->block = settings->block;
    f->host = host_table(services);
    f->name = strdup(settings->name);
    f->paths = arena_create(PATHS_MAX);
    if (!f->name || !f->paths) {
        block_error(f, "no memory for this filter");
        instance_free(f);
        return NULL;
    }
    if (!configure(f)) {
        instance_free(f);
        return NULL;
    }
    return f;
}

void filter_instance_start(struct filter_instance *f)
{
    if (f->plugin.start)
        f->plugin.start(f->filter);
}

void filter_instance_destroy(struct filter_instance **f)
{
    if (!*f)
        return;
    if ((*f)->plugin.release)
        (*f)->plugin.release((*f)->filter);
    instance_free(*f);
    *f = NULL;
}
