/* SPDX-License-Identifier: MIT */
/* Ties one session to its client's connection and its upstream leg: conn events -> session calls, session ops
 * -> conn calls. One object per client; it goes when the session has ended and its connection is handed over.
 */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include "base/log.h"
#include "base/spool.h"
#include "net/loop.h"
#include "proxy/clients.h"
#include "proxy/counters.h"
#include "proxy/released.h"
#include "proxy/runtime.h"

struct relays; /* all of a worker's */

struct relays_env {
    struct loop *loop;
    struct log *log;
    struct counters *counters;
    struct released *released;
    struct clients *clients; /* NULL: no client is limited */
    struct spool_budget *budget;
    struct runtime **current;                    /* the newest runtime; changes by reload */
    uint32_t worker;                             /* its number, part of session ids */
    void (*changed)(void *ctx, size_t sessions); /* after each end of a session */
    void *ctx;
};
MUST_CHECK struct relays *relays_create(const struct relays_env *env);
void relays_destroy(struct relays **r); /* ends every session at once */
/* Sessions at once; those beyond are told so and closed. */
void relays_limit(struct relays *r, size_t sessions);
/* A client of the listener with this name (in the newest runtime). Takes the socket. */
void relays_accept(struct relays *r, const char *listener, int fd);
size_t relays_count(const struct relays *r);
void relays_drain(struct relays *r); /* session_drain for all, and for those that come */
void relays_kill(struct relays *r);  /* session_kill for all */

#endif
