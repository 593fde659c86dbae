/* SPDX-License-Identifier: MIT */
/* Making a generation in the supervisor.
 *
 *   disk -> recorder -> runtime_build (a check) -> bundle           generation_check
 *                          | shared memories
 *   older generation's sockets, listener_bind -> listeners          generation_bind
 *   all of it -> one message with descriptors                       generation_offer
 *
 * The supervisor owns the newest one, and during a reload the next one beside it. */
#include "proxy/generation.h"

#include "net/listener.h"
#include "proxy/bundle.h"
#include "proxy/descriptors.h"
#include "proxy/hostsvc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---- checking ---- */

static struct runtime *build_check(struct generation *g, const struct generation_env *env,
                                   const struct conf_source *source, const char *file, struct diags *diags)
{
    struct hostsvc_env host = {.log = env->log, .counters = env->counters, .shared = &g->shared};
    g->host = hostsvc_create(&host);
    if (!g->host) {
        diag_add(diags, DIAG_ERROR, file, 0, 0, "no memory");
        return NULL;
    }
    struct runtime_env build = {.source = source, .tickets = *env->tickets};
    hostsvc_fill(g->host, &build.services);
    return runtime_build(&build, file, g->number, diags);
}

/* The check and the bundle of the files that it read. */
static bool build_from_disk(struct generation *g, const struct generation_env *env, const char *file,
                            struct diags *diags)
{
    bool good = false;
    struct conf_source *disk = conf_disk_source();
    struct recorder *recorder = disk ? recorder_create(disk) : NULL;
    if (!recorder) {
        diag_add(diags, DIAG_ERROR, file, 0, 0, "no memory");
        goto out;
    }
    g->check = build_check(g, env, recorder_source(recorder), file, diags);
    if (!g->check)
        goto out;
    g->bundle = bundle_seal(recorder);
    if (g->bundle < 0)
        diag_add(diags, DIAG_ERROR, file, 0, 0,
                 "the files of this configuration cannot be kept in memory: %s", strerror(errno));
    good = g->bundle >= 0;
out:
    recorder_destroy(&recorder);
    conf_disk_source_free(&disk);
    return good;
}

static bool list_listeners(struct generation *g)
{
    const struct conf *c = g->check->conf;
    size_t n = 0;
    for (size_t i = 0; i < c->listener_count; i++)
        n += c->listeners[i].bind_count;
    g->listeners = calloc(n + 1, sizeof *g->listeners);
    if (!g->listeners)
        return false;
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct conf_listener *l = &c->listeners[i];
        for (size_t j = 0; j < l->bind_count; j++)
            g->listeners[g->listener_n++] =
                (struct generation_listener){.name = l->name,
                                             .address = &l->bind[j],
                                             .fd = -1,
                                             .transparent = l->intercept == CONF_INTERCEPT_TPROXY};
    }
    return true;
}

static const struct postern_node *root_member(const struct conf *c, const char *name)
{
    for (const struct postern_node *n = c->root ? c->root->first : NULL; n; n = n->next)
        if (span_eq(span_make(n->name.p, n->name.n), span_of(name)))
            return n;
    return c->root;
}

static bool borrows_addresses(const struct conf *c)
{
    bool any = false;
    for (size_t i = 0; i < c->listener_count; i++)
        any = any || conf_source_is_client(&c->listeners[i], true);
    return any;
}

static bool find_user(struct generation *g, struct diags *diags)
{
    char error[256];
    const struct conf *c = g->check->conf;
    if (privileges_find(c->user, &g->workers, error, sizeof error)) {
        g->workers.borrows_addresses = borrows_addresses(c);
        return true;
    }
    const struct postern_node *at = root_member(c, "user");
    diag_add(diags, DIAG_ERROR, c->file, at ? at->line : 0, at ? at->column : 0, "%s", error);
    return false;
}

static bool check_size(const struct generation *g, struct diags *diags)
{
    size_t room = CONTROL_FDS_MAX - 1; /* the bundle is one */
    if (g->listener_n + g->shared.n <= room)
        return true;
    diag_add(diags, DIAG_ERROR, g->check->conf->file, 0, 0,
             "%zu listening addresses and %zu shared memories of filters are too many: together at most %zu",
             g->listener_n, g->shared.n, room);
    return false;
}

static bool check_descriptors(const struct generation *g, struct diags *diags)
{
    const struct conf *c = g->check->conf;
    if (descriptors_sessions(c) > 0)
        return true;
    diag_add(diags, DIAG_ERROR, c->file, 0, 0,
             "a limit of %zu open files leaves none for sessions: raise it (ulimit -n, LimitNOFILE=), or "
             "have fewer "
             "listeners and kept connections",
             descriptors_limit());
    return false;
}

struct generation *generation_check(const struct generation_env *env, const char *file, uint64_t number,
                                    struct diags *diags)
{
    struct generation *g = calloc(1, sizeof *g);
    if (!g) {
        diag_add(diags, DIAG_ERROR, file, 0, 0, "no memory");
        return NULL;
    }
    g->number = number;
    g->bundle = -1;
    g->shared.may_create = true;
    g->shared.older = env->older ? &env->older->shared : NULL;
    bool good = build_from_disk(g, env, file, diags);
    g->shared.older = NULL; /* it goes before this one does */
    if (good && !list_listeners(g)) {
        diag_add(diags, DIAG_ERROR, file, 0, 0, "no memory");
        good = false;
    }
    if (!good || !find_user(g, diags) || !check_size(g, diags) || !check_descriptors(g, diags))
        generation_free(&g);
    return g;
}

/* ---- sockets ---- */

static const struct generation_listener *bound_already(const struct generation *older,
                                                       const struct conf_address *address)
{
    for (size_t i = 0; older && i < older->listener_n; i++) {
        const struct generation_listener *l = &older->listeners[i];
        if (l->fd >= 0 && l->address->port == address->port &&
            span_eq(span_of(l->address->host), span_of(address->host)))
            return l;
    }
    return NULL;
}

bool generation_bind(struct generation *g, const struct generation *older, char *error, size_t error_size)
{
    for (size_t i = 0; i < g->listener_n; i++) {
        struct generation_listener *l = &g->listeners[i];
        const struct generation_listener *kept = bound_already(older, l->address);
        char why[256] = "out of descriptors";
        l->fd = kept ? fcntl(kept->fd, F_DUPFD_CLOEXEC, 0)
                     : listener_bind(l->address->host, l->address->port, why, sizeof why);
        if (l->fd >= 0 && (!l->transparent || listener_make_transparent(l->fd, why, sizeof why)))
            continue;
        (void)snprintf(error, error_size, "listener \"%s\": %s: %s", l->name, l->address->text, why);
        return false;
    }
    return true;
}

void generation_unbind(struct generation *g)
{
    for (size_t i = 0; i < g->listener_n; i++) {
        if (g->listeners[i].fd >= 0)
            (void)close(g->listeners[i].fd);
        g->listeners[i].fd = -1;
    }
}

void generation_free(struct generation **gp)
{
    struct generation *g = *gp;
    *gp = NULL;
    if (!g)
        return;
    generation_unbind(g);
    free(g->listeners);
    if (g->bundle >= 0)
        (void)close(g->bundle);
    runtime_unref(&g->check); /* without a loop it goes at once; then nobody needs the rest */
    hostsvc_destroy(&g->host);
    shared_free(&g->shared);
    free(g);
}

/* ---- for a worker ---- */

static bool fill_offer(const struct generation *g, struct offer *o, int fds[CONTROL_FDS_MAX])
{
    size_t n = 0;
    bool good = offer_add(o, OFFER_BUNDLE, SPAN_NONE, 0);
    fds[n++] = g->bundle;
    for (size_t i = 0; good && i < g->shared.n; i++) {
        good = offer_add(o, OFFER_SHARED, span_of(g->shared.items[i].name), g->shared.items[i].bytes);
        fds[n++] = g->shared.items[i].fd;
    }
    for (size_t i = 0; good && i < g->listener_n; i++) {
        good = offer_add(o, OFFER_LISTENER, span_of(g->listeners[i].name), 0);
        fds[n++] = g->listeners[i].fd;
    }
    return good;
}

bool generation_offer(const struct generation *g, const struct tls_ticket_keys *tickets, struct buf *payload,
                      int fds[CONTROL_FDS_MAX], size_t *fd_n_r)
{
    struct offer *o = calloc(1, sizeof *o);
    if (!o)
        return false;
    o->tickets = *tickets;
    bool good = fill_offer(g, o, fds) && offer_encode(o, payload);
    *fd_n_r = o->n;
    free(o);
    return good;
}
