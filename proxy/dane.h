/* SPDX-License-Identifier: MIT */
/* What DNS says of the certificates of an upstream's servers (DANE for SMTP, RFC 7672): the TLSA records of
 * each are sought when a connection is made, and kept for as long as they are good.
 *
 * Worth as much as the resolver: it must validate (DNSSEC), and the way to it must be one that nobody else
 * can write on. So it should be on this host. */
#ifndef PROXY_DANE_H
#define PROXY_DANE_H

#include "base/attr.h"
#include "conf/conf.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "net/tls.h"

enum dane_verdict {
    DANE_NOTHING, /* no records, or none that are authenticated: `tls` and `verify` hold */
    DANE_TLS,     /* there are records, but none that SMTP can use: TLS is a must, `verify` holds */
    DANE_MATCH,   /* TLS is a must, and the certificate must match one of `records` */
    DANE_FAILS    /* the server is not to be used now: `why` */
};

struct dane_facts { /* of one server at one time; never changed. Reference-counted */
    unsigned references;
    enum dane_verdict verdict;
    struct tls_dane records; /* DANE_MATCH: those that are usable */
    const char *why;         /* DANE_FAILS: a phrase for the log */
    const char *text;        /* "3 1 1 0a…, 2 0 1 fe…": all that there are, for the log */
};
struct dane_facts *dane_facts_ref(struct dane_facts *f); /* NULL: NULL */
void dane_facts_unref(struct dane_facts **f);

struct dane; /* one an upstream, and a worker */
struct dane_question;

/* NULL: no memory. `conf` must live as long. */
MUST_CHECK struct dane *dane_create(struct loop *l, struct resolver *r, const struct conf_upstream *conf);
void dane_destroy(struct dane **d); /* all questions must have been answered or cancelled */

/* Is there a name whose records could be sought? */
bool dane_applies(const struct conf_upstream *conf, const struct conf_address *server);
/* `server` is one of conf's. `done` comes exactly once, never from inside this call, unless cancelled, with
 * facts that are good during the call (NULL: no memory). NULL: no memory. */
MUST_CHECK struct dane_question *dane_ask(struct dane *d, const struct conf_address *server,
                                          void (*done)(void *arg, struct dane_facts *f), void *arg);
void dane_cancel(struct dane_question **q);

#endif
