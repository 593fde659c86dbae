/* SPDX-License-Identifier: MIT */
/* One intercepted client's way: where it meant to go, and whether it is brought there. */
#ifndef PROXY_INTERCEPT_H
#define PROXY_INTERCEPT_H

#include "base/attr.h"
#include "net/conn.h"
#include "net/origin.h"
#include "proxy/destinations.h"
#include "proxy/runtime.h"

struct intercept { /* zeroed: not intercepted */
    enum origin origin;
    struct endpoint to;
    struct destination *destination; /* NULL: the listener's own upstream */
    struct runtime *runtime;         /* that keeps it */
};

/* Asks the kernel, before the socket is given away. */
void intercept_look(struct intercept *i, const struct conf_listener *l, int fd);
/* Finds the destination. NULL: go on; else the refusing reply, with its CRLF, and the log says why. */
MUST_CHECK const char *intercept_find(struct intercept *i, struct runtime *r,
                                      const struct runtime_listener *l, const struct conn *client,
                                      struct log *log);
/* One line: this client did not get to its server, and why. */
void intercept_log(const struct intercept *i, const struct runtime_listener *l, const struct conn *client,
                   struct log *log, const char *note);
void intercept_release(struct intercept *i);

#endif
