/* SPDX-License-Identifier: MIT */
/* The servers that intercepted clients mean to reach: an upstream for each address, made when the first
 * client wants it, gone some time after the last one left. One object per intercepting listener and
 * generation. */
#ifndef PROXY_DESTINATIONS_H
#define PROXY_DESTINATIONS_H

#include "base/attr.h"
#include "conf/conf.h"
#include "net/origin.h"
#include "net/tls.h"
#include "proxy/upstream.h"

struct destinations;
struct destination; /* one server */

enum destination_verdict {
    DESTINATION_GOOD,
    DESTINATION_HERE,  /* it is where this listener listens */
    DESTINATION_LOOP,  /* it is another listener of ours */
    DESTINATION_DENIED /* by the listener's allow and deny */
};
/* May a client of this listener be connected there? */
enum destination_verdict destination_check(const struct conf *conf, const struct conf_listener *listener,
                                           const struct endpoint *to);

/* What a listener's connections to intercepted servers are like: as its upstream's, or by STARTTLS where it
 * is offered. `room_r` is filled and returned; it and `conf` are to live as long as what is made from it. */
struct conf_upstream destination_settings(const struct conf_listener *listener);

/* `tls` is borrowed, and with `settings` outlives the object; NULL when they use none. NULL: no memory. */
MUST_CHECK struct destinations *destinations_create(const struct upstream_env *env,
                                                    const struct conf_upstream *settings,
                                                    const struct conf_timeouts *timeouts,
                                                    struct tls_client *tls);
void destinations_release(struct destinations **d); /* nobody uses one any more */

/* NULL: no memory. */
MUST_CHECK struct destination *destination_get(struct destinations *d, const struct endpoint *to);
void destination_put(struct destination **one);
struct upstream *destination_upstream(const struct destination *one);
size_t destinations_count(const struct destinations *d); /* in use, or kept a while for the next client */

#endif
