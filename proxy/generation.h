/* SPDX-License-Identifier: MIT */
/* A generation as the supervisor has it: checked, with its files in a bundle, its shared memories and its
 * bound sockets; all that a worker must be given to build the same. */
#ifndef PROXY_GENERATION_H
#define PROXY_GENERATION_H

#include "base/log.h"
#include "proxy/control.h"
#include "proxy/counters.h"
#include "proxy/privileges.h"
#include "proxy/runtime.h"
#include "proxy/shared.h"

struct generation_listener {
    const char *name; /* of the configuration */
    const struct conf_address *address;
    int fd;           /* -1: not bound yet */
    bool transparent; /* takes connections to other hosts' addresses */
};

struct generation {
    uint64_t number;
    struct runtime
        *check; /* the configuration, and everything built once as a check; no mail flows through it */
    struct hostsvc *host; /* for its filters */
    struct shared_set shared;
    int bundle;
    struct generation_listener *listeners;
    size_t listener_n;
    struct identity workers;
};

struct generation_env {
    struct log *log; /* for filters; NULL: nobody listens */
    struct counters *counters;
    const struct generation *older; /* its memories and sockets are taken over; NULL: none */
    const struct tls_ticket_keys *tickets;
};

/* Reads and checks everything; binds and connects nothing. NULL with errors in `diags`. */
MUST_CHECK struct generation *generation_check(const struct generation_env *env, const char *file,
                                               uint64_t number, struct diags *diags);
/* Binds what `older` (or NULL) has not bound already. false with the reason in `error`. */
MUST_CHECK bool generation_bind(struct generation *g, const struct generation *older, char *error,
                                size_t error_size);
void generation_unbind(struct generation *g); /* closes the supervisor's sockets */
void generation_free(struct generation **g);

/* What a worker is sent: the payload, and the descriptors, which stay the generation's. */
MUST_CHECK bool generation_offer(const struct generation *g, const struct tls_ticket_keys *tickets,
                                 struct buf *payload, int fds[CONTROL_FDS_MAX], size_t *fd_n_r);

#endif
