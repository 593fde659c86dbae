/* SPDX-License-Identifier: MIT */
/* The connections of one worker to one upstream: probing what it offers, making connections, keeping idle
 * ones for the next transaction. One object per upstream and generation; legs that sessions hold keep it
 * alive. */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "base/attr.h"
#include "base/log.h"
#include "conf/conf.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "net/tls.h"
#include "proxy/counters.h"
#include "session/session.h"
#include "session/upleg.h"

struct upstream;
struct upstream_env { /* of the worker */
    struct loop *loop;
    struct resolver *resolver;
    struct log *log;
    struct counters *counters;
    const char *hostname;              /* for EHLO */
    uint32_t reply_lines, reply_bytes; /* limits of one reply; 0: the parser's own */
    bool relay;                        /* greeting and EHLO are the sessions' affair (upleg_config.relay) */
};

/* `tls` may be NULL when the upstream uses none; a reference is taken over. Probing begins with
 * upstream_start. NULL: no memory. */
MUST_CHECK struct upstream *upstream_create(const struct upstream_env *env, const struct conf_upstream *conf,
                                            const struct conf_timeouts *timeouts, struct tls_client *tls);
void upstream_start(struct upstream *u);
/* Closes what is idle and stops probing; the object goes when the last leg is back. */
void upstream_release(struct upstream **u);

enum session_offer upstream_offer(const struct upstream *u, struct ehlo *offer_r);

struct upstream_wait; /* a connection that was asked for */
enum upstream_wish {  /* bits */
                     UPSTREAM_ANY = 0,
                     UPSTREAM_FRESH = 1, /* not one that was kept */
                     UPSTREAM_SECURE = 2 /* not one that was kept in the clear: a new one may get TLS */
};
/* How the connection itself says for whom it is made; zeroed: it does not. Else it is a new one, and never
 * kept for others. */
struct upstream_caller {
    struct span preface;    /* goes out before the first byte of TLS or SMTP: a PROXY header */
    struct endpoint source; /* the client: the server sees its address; ip_n 0: one of this host */
    /* The name that its client asked for in TLS, to be asked for here; NULL: none. Of itself it makes no
     * connection a new one. */
    const char *tls_name;
    struct span helo; /* EHLO says this name; empty: postern's */
};
/* A READY leg with nobody using it, or NULL and why. `code` and `bytes` are the server's reply to a caller
 * that its connection named, when it refused that one; else 0. */
typedef void upstream_got(void *arg, struct upleg *leg, const char *why, unsigned code, struct span bytes);
/* `got` may come from inside this call (then NULL is returned). */
struct upstream_wait *upstream_get(struct upstream *u, unsigned wish, const struct upstream_caller *caller,
                                   upstream_got *got, void *arg);
void upstream_cancel(struct upstream_wait **w);
/* Is this client one of our own connections, on its way to this upstream? */
bool upstream_dials_from(const struct upstream *u, const struct endpoint *peer);
/* A leg comes back: kept when it is clean, closed otherwise. */
void upstream_put(struct upleg *leg);
/* Its connection, for good; the leg dies. NULL: it is gone. */
MUST_CHECK struct conn *upstream_take_conn(struct upleg *leg);
/* When TLS begins over it: this name is asked for (caller.tls_name). */
void upstream_leg_ask_for(struct upleg *leg, const char *tls_name);
/* What its server has shown in TLS; a reference. NULL: nothing, or no memory. */
MUST_CHECK struct tls_shown *upstream_leg_shown(const struct upleg *leg);
/* "127.0.0.1:25" and the TLS of a leg, for the log. */
struct span upstream_leg_address(const struct upleg *leg);
struct tls_info upstream_leg_tls(const struct upleg *leg);

#endif
