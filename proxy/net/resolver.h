/* SPDX-License-Identifier: MIT */
/* Names to addresses, and to TLSA records, with c-ares on the loop. Nothing blocks. */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include "base/attr.h"
#include "net/loop.h"
#include "net/tlsa.h"

#include <netinet/in.h>

struct resolver; /* one a worker */
struct resolver_query;

MUST_CHECK struct resolver *resolver_create(struct loop *l); /* NULL: no memory, or no usable resolv.conf */
void resolver_destroy(struct resolver **r);                  /* open queries are cancelled without a call */

#define RESOLVER_ADDRESSES 16
struct resolver_answer {
    size_t n; /* 0: error says why */
    struct sockaddr_storage address[RESOLVER_ADDRESSES];
    const char *error;
};
/* `done` comes exactly once, never from inside this call, unless cancelled. NULL: no memory. */
MUST_CHECK struct resolver_query *resolver_ask(struct resolver *r, const char *name, uint16_t port,
                                               void (*done)(void *arg, const struct resolver_answer *a),
                                               void *arg);
/* The TLSA records of _PORT._tcp.HOST, in the same manner. `a` NULL: nobody could say, for the reason in
 * `error` (SERVFAIL, no answer in time, …). Else `a` says what there is, and whether the resolver has
 * authenticated that: as far as the way to the resolver is to be trusted, so it should be on this host. */
MUST_CHECK struct resolver_query *
resolver_ask_tlsa(struct resolver *r, const char *host, uint16_t port,
                  void (*done)(void *arg, const struct tlsa_answer *a, const char *error), void *arg);
void resolver_cancel(struct resolver_query **q);

#endif
