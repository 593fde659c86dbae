/* SPDX-License-Identifier: MIT */
/* What the sources of the probe share among themselves. */
#ifndef PROBE_PARTS_H
#define PROBE_PARTS_H

#include "probe/dialog.h"
#include "probe/facts.h"
#include "probe/probe.h"

/* How long an answer may take. */
#define PATIENCE_ALL     ((uint64_t)30 * US_PER_S) /* the whole probe */
#define PATIENCE_CONNECT ((uint64_t)8 * US_PER_S)
#define PATIENCE_SOON                                                                                        \
    ((uint64_t)4 * US_PER_S) /* a greeting, before a PROXY header is tried. Exim, which waits                \
                                three seconds for one, has greeted then */
#define PATIENCE_GREETING ((uint64_t)8 * US_PER_S) /* postscreen takes six */
#define PATIENCE_REPLY    ((uint64_t)6 * US_PER_S)
#define PATIENCE_TLS      ((uint64_t)6 * US_PER_S)
#define PATIENCE_QUIT     ((uint64_t)1 * US_PER_S)

struct probe {
    const struct probe_request *request;
    struct dialog_world world;
    struct tls_client *tls;
    struct facts *facts;
    bool implicit;
    enum facts_way_name header; /* the PROXY header that each connection begins with; FACTS_WAYS: none */
    struct dialog bare, behind; /* without a PROXY header, and with one */
    struct dialog *talk;        /* the one of them that goes on */
};

/* ---- approach.c: from nothing to a server that listens ---- */

/* Connects, says the header, begins TLS where it is implicit, and reads the greeting: d->code and d->reply.
 */
MUST_CHECK enum dialog_result approach_greeted(struct probe *p, struct dialog *d, uint64_t patience_us);
/* EHLO, or what the server takes in its place (facts->verb). DIALOG_GOOD: the answer is 2xx. `offer_r`
 * may be NULL. */
MUST_CHECK enum dialog_result approach_hello(struct probe *p, struct dialog *d, struct facts_offer *offer_r);
/* STARTTLS and hello again. */
MUST_CHECK enum dialog_result approach_secure(struct probe *p, struct dialog *d, struct facts_offer *offer_r);
/* All of it, for one more connection; in TLS or not. */
MUST_CHECK enum dialog_result approach_again(struct probe *p, struct dialog *d, bool in_tls);
void approach_leave(struct dialog *d); /* QUIT and the end */

/* ---- steps ---- */

/* Tries XCLIENT and XFORWARD, each on a connection of its own. */
void ways_try(struct probe *p);

#endif
