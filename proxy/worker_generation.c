/* SPDX-License-Identifier: MIT */
/* From the message PREPARE to a runtime.
 *
 *   descriptors -> bundle (files), shared memories, listening sockets
 *   bundle -> hostsvc -> runtime_build -> struct next
 *
 * What a runtime stands on (bundle, memories, host services) goes with it: with its last session, perhaps
 * long after the next generation came. The listening sockets belong to the process and change hands at
 * COMMIT. */
#include "proxy/worker_generation.h"

#include "proxy/bundle.h"
#include "proxy/hostsvc.h"
#include "proxy/shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct ground { /* what one runtime stands on */
    struct bundle *bundle;
    struct shared_set shared;
    struct hostsvc *host;
};

static void ground_free(void *arg)
{
    struct ground *g = arg;
    hostsvc_destroy(&g->host);
    shared_free(&g->shared);
    bundle_close(&g->bundle);
    free(g);
}

struct taking {
    struct next *next;
    struct ground *ground;
    char *error;
    size_t error_size;
};

static bool take_bundle(struct taking *t, const struct offer_item *item, int fd)
{
    (void)item;
    if (!t->ground->bundle)
        t->ground->bundle = bundle_open(fd, t->error, t->error_size);
    (void)close(fd);
    return t->ground->bundle != NULL;
}

static bool take_shared(struct taking *t, const struct offer_item *item, int fd)
{
    if (shared_take(&t->ground->shared, item->name, item->bytes, fd))
        return true;
    (void)snprintf(t->error, t->error_size, "the shared memory \"%s\" cannot be mapped", item->name);
    return false;
}

static bool take_listener(struct taking *t, const struct offer_item *item, int fd)
{
    char *name = strdup(item->name);
    if (!name) {
        (void)close(fd);
        (void)snprintf(t->error, t->error_size, "no memory for a listener");
        return false;
    }
    t->next->listeners[t->next->listener_n++] = (struct next_listener){.name = name, .fd = fd};
    return true;
}

/* Each descriptor is taken out of the message before it is used, so that it is closed exactly once. */
static bool take_items(struct taking *t, const struct offer *o, struct control_message *m)
{
    static bool (*const take[])(struct taking * t, const struct offer_item *item, int fd) = {
        [OFFER_BUNDLE] = take_bundle, [OFFER_SHARED] = take_shared, [OFFER_LISTENER] = take_listener};
    for (size_t i = 0; i < o->n; i++) {
        int fd = m->fds[i];
        m->fds[i] = -1;
        if (!take[o->items[i].kind](t, &o->items[i], fd))
            return false;
    }
    if (!t->ground->bundle)
        (void)snprintf(t->error, t->error_size, "the supervisor sent no bundle");
    return t->ground->bundle != NULL;
}

static bool take_message(struct taking *t, struct offer *o, struct control_message *m)
{
    if (!offer_decode(o, m->payload) || o->n != m->fd_n) {
        (void)snprintf(t->error, t->error_size, "the supervisor's message is damaged");
        return false;
    }
    t->next->listeners = calloc(o->n + 1, sizeof *t->next->listeners);
    if (!t->next->listeners) {
        (void)snprintf(t->error, t->error_size, "no memory");
        return false;
    }
    return take_items(t, o, m);
}

static void first_error(const struct diags *d, char *error, size_t error_size)
{
    const struct diag *i = d->first;
    while (i && i->severity != DIAG_ERROR)
        i = i->next;
    if (i)
        (void)snprintf(error, error_size, "%s:%u:%u: %s (of %zu errors)", i->file, i->line, i->column,
                       i->text, d->errors);
    else
        (void)snprintf(error, error_size, "unknown error");
}

static struct runtime *build(struct ground *g, const struct next_env *env,
                             const struct tls_ticket_keys *tickets, uint64_t generation, struct diags *diags)
{
    struct hostsvc_env host = {.loop = env->loop,
                               .resolver = env->resolver,
                               .log = env->log,
                               .counters = env->counters,
                               .shared = &g->shared,
                               .source = bundle_source(g->bundle),
                               .file = env->file};
    g->host = hostsvc_create(&host);
    if (!g->host) {
        diag_add(diags, DIAG_ERROR, env->file, 0, 0, "no memory");
        ground_free(g);
        return NULL;
    }
    struct runtime_env r = {.source = host.source,
                            .upstream = {.loop = env->loop,
                                         .resolver = env->resolver,
                                         .log = env->log,
                                         .counters = env->counters},
                            .tickets = *tickets,
                            .released = ground_free,
                            .released_ctx = g};
    hostsvc_fill(g->host, &r.services);
    return runtime_build(&r, env->file, generation, diags);
}

bool next_build(struct next *n, const struct next_env *env, struct control_message *m, char *error,
                size_t error_size)
{
    struct diags diags = {0};
    struct offer *offer = calloc(1, sizeof *offer);
    struct ground *ground = calloc(1, sizeof *ground);
    struct taking taking = {n, ground, error, error_size};
    *n = (struct next){0};
    if (!offer || !ground) {
        (void)snprintf(error, error_size, "no memory");
        free(ground);
    } else if (!take_message(&taking, offer, m)) {
        ground_free(ground);
    } else {
        n->runtime = build(ground, env, &offer->tickets, m->generation, &diags);
        if (!n->runtime)
            first_error(&diags, error, error_size);
    }
    if (!n->runtime)
        next_drop(n);
    diag_free(&diags);
    free(offer);
    return n->runtime != NULL;
}

void next_drop(struct next *n)
{
    for (size_t i = 0; i < n->listener_n; i++) {
        if (n->listeners[i].fd >= 0)
            (void)close(n->listeners[i].fd);
        free(n->listeners[i].name);
    }
    free(n->listeners);
    runtime_unref(&n->runtime);
    *n = (struct next){0};
}
