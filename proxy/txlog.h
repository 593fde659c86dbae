/* SPDX-License-Identifier: MIT */
/* The line that the log has for each transaction (and for a session that a filter refused before any). */
#ifndef PROXY_TXLOG_H
#define PROXY_TXLOG_H

#include "base/log.h"
#include "net/tls.h"
#include "session/session.h"

struct txlog_extra { /* what only the daemon knows */
    struct tls_info client_tls, upstream_tls;
    struct span upstream; /* "127.0.0.1:25"; empty: none was used */
};

/* "event=limit limit=too_many_errors sid=… client=…": a limit of postern's own was reached. */
void txlog_limit(struct log *l, const char *limit, const struct txview *view);

void txlog_report(struct log *l, const struct session_report *r, const struct txlog_extra *extra);

#endif
