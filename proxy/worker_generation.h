/* SPDX-License-Identifier: MIT */
/* The next generation of a worker, between PREPARE and COMMIT: built from what the supervisor sent. */
#ifndef PROXY_WORKER_GENERATION_H
#define PROXY_WORKER_GENERATION_H

#include "base/log.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "proxy/control.h"
#include "proxy/counters.h"
#include "proxy/runtime.h"

struct next_listener {
    char *name;
    int fd; /* -1: somebody took it */
};

struct next { /* zeroed: none */
    struct runtime *runtime;
    struct next_listener *listeners;
    size_t listener_n;
};

struct next_env {
    struct loop *loop;
    struct resolver *resolver;
    struct log *log;
    struct counters *counters;
    const char *file;
};

/* Takes the descriptors of the message. false with the reason in `error`; then there is none. */
MUST_CHECK bool next_build(struct next *n, const struct next_env *env, struct control_message *m, char *error,
                           size_t error_size);
void next_drop(struct next *n);

#endif
