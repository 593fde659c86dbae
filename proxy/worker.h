/* SPDX-License-Identifier: MIT */
/* A worker: the process that mail flows through. It has one loop, no access to files that matter, and gets
 * each generation from the supervisor over its channel (control.h). */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include "base/log.h"
#include "proxy/clients.h"
#include "proxy/counters.h"
#include "proxy/privileges.h"
#include "proxy/released.h"

#include <stdint.h>

struct worker_env {
    uint32_t number;
    int channel;      /* its end; non-blocking */
    const char *file; /* name of the configuration: names in it are relative to it */
    struct log *log;
    struct counters *counters;
    struct clients *clients;
    struct released *released;
    struct identity identity;
    pid_t supervisor;
};

/* Right after the fork: gives up what it must not have, works until it is told to end. The exit code. */
int worker_run(const struct worker_env *env);

#endif
