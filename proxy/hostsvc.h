/* SPDX-License-Identifier: MIT */
/* What the daemon does for the filters of one generation: log, time, counters, shared memory; and in a worker
 * timers and byte streams. filters/services.h says what each function means. */
#ifndef PROXY_HOSTSVC_H
#define PROXY_HOSTSVC_H

#include "base/log.h"
#include "conf/conf.h"
#include "filters/services.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "proxy/counters.h"
#include "proxy/shared.h"

struct hostsvc;

struct hostsvc_env {
    struct loop *loop; /* NULL: a check; there are no timers and no streams */
    struct resolver *resolver;
    struct log *log;
    struct counters *counters;
    struct shared_set *shared;
    const struct conf_source *source; /* a stream's tls_ca is read from here: a worker opens no files */
    const char *file;                 /* the configuration's: names are relative to it */
};

/* `env` is copied; what it points to must outlive the hostsvc. NULL: no memory. */
MUST_CHECK struct hostsvc *hostsvc_create(const struct hostsvc_env *env);
/* After the filters have gone. Timers and streams that they left behind end here, without a call. */
void hostsvc_destroy(struct hostsvc **h);
/* The functions above; the configuring ones (config_error, read_file, glob) are left to the runtime. */
void hostsvc_fill(struct hostsvc *h, struct filter_services *services_r);

#endif
