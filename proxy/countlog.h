/* SPDX-License-Identifier: MIT */
/* The counters as log lines: for SIGUSR2 and for the end. */
#ifndef PROXY_COUNTLOG_H
#define PROXY_COUNTLOG_H

#include "base/log.h"
#include "proxy/counters.h"

/* One line for each group (what stands before the last dot) that has a counter above zero:
 *   event=counters group=filter.limits refused=3 allowed=120 */
void countlog_write(struct log *l, const struct counters *c);

#endif
