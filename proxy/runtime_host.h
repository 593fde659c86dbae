/* SPDX-License-Identifier: MIT */
/* The services that the filters of one runtime see: those of the daemon (hostsvc.h), and beside them what a
 * filter may ask for while it is configured, which only the builder of a runtime can answer. */
#ifndef PROXY_RUNTIME_HOST_H
#define PROXY_RUNTIME_HOST_H

#include "conf/conf.h"
#include "filters/services.h"

struct runtime_host {
    struct filter_services daemon; /* where all else goes */
    struct arena *arena;           /* paths, texts of the build */
    const char *file;              /* the configuration's */
    const struct conf_source *source;
    struct diags *diags; /* NULL when the build is over: configuring functions then fail */
};

/* The services for filters; `h` must outlive them. */
struct filter_services runtime_host_services(struct runtime_host *h);

#endif
