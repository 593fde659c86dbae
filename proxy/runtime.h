/* SPDX-License-Identifier: MIT */
/* One generation, whole: configuration, certificates, filter instances, chains, upstreams. Built completely
 * or not at all, never changed, reference-counted: sessions keep the one they use, the newest is one pointer.
 *
 *   bundle (files in memory) -> conf_load -> plugins configured -> TLS contexts -> struct runtime
 */
#ifndef PROXY_RUNTIME_H
#define PROXY_RUNTIME_H

#include "base/attr.h"
#include "conf/conf.h"
#include "filters/chain.h"
#include "net/tls.h"
#include "proxy/destinations.h"
#include "proxy/upstream.h"
#include "session/session.h"

struct runtime_listener {
    const struct conf_listener *conf;
    struct tls_server *tls;    /* NULL: none */
    struct upstream *upstream; /* borrowed from the runtime; NULL in the supervisor */
    struct session_policy policy;
    /* Intercepting: clients that were redirected, and where they go. */
    struct session_policy intercepted;
    struct conf_upstream toward;       /* the settings for servers that nobody has named */
    struct tls_client *toward_tls;     /* NULL: none */
    struct destinations *destinations; /* NULL in the supervisor */
};

struct runtime {
    unsigned refs;
    uint64_t generation;
    struct conf *conf;
    struct runtime_listener *listeners; /* conf->listener_count */
    struct runtime_upstream {
        struct tls_client *tls;
        struct upstream *set;         /* NULL in the supervisor */
    } * upstreams;                    /* conf->upstream_count */
    struct filter_instance **filters; /* conf->filter_count */
    struct chain **chains;            /* conf->policy_count */
    struct filter_services services;  /* for the filters of this generation */
    struct runtime_host *host;        /* runtime.c: what stands behind `services` */
};

struct runtime_env {
    const struct conf_source *source;
    struct upstream_env
        upstream; /* loop NULL: only a check (supervisor, -t): no upstreams, nothing is started */
    struct filter_services services; /* log, clock, count, shared, timers and streams; the configuring
                                        functions are the runtime's own */
    struct tls_ticket_keys tickets;
    /* Called when the runtime is gone (or was not made): what `source` and `services` stand on may go. NULL:
       the caller keeps them alive itself. */
    void (*released)(void *ctx);
    void *released_ctx;
};

/* NULL with at least one error in `diags`. */
MUST_CHECK struct runtime *runtime_build(const struct runtime_env *env, const char *file, uint64_t generation,
                                         struct diags *diags);
void runtime_start(struct runtime *r); /* in a worker: filters open their streams, upstreams are probed */
/* New keys for session tickets, at all listeners. */
void runtime_rekey(struct runtime *r, const struct tls_ticket_keys *keys);
struct runtime *runtime_ref(struct runtime *r);
/* The last one frees it: in a worker at the end of the loop turn, because a filter's own call may be on the
 * stack. */
void runtime_unref(struct runtime **r);
/* The listener of that name, or NULL. */
struct runtime_listener *runtime_listener(struct runtime *r, const char *name);

#endif
