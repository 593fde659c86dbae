/* SPDX-License-Identifier: MIT */
/* One message through one chain of filters, phase by phase, as a session would ask them, and through the
 * message model beside it. */
#ifndef EXPLAIN_PLAY_H
#define EXPLAIN_PLAY_H

#include "base/attr.h"
#include "explain/facts.h"
#include "explain/offline.h"
#include "explain/request.h"
#include "proxy/runtime.h"

struct play { /* what is needed; outlives the call */
    const struct request *request;
    const struct runtime *runtime;
    const struct conf_policy *policy;
    const char *listener; /* as filters see it */
    struct offline *offline;
    int message; /* a descriptor, read to its end */
};

/* NULL, or what was wrong with reading the message (a phrase; errno's, or no memory). */
MUST_CHECK const char *play_run(const struct play *p, struct facts *f);

#endif
