/* SPDX-License-Identifier: MIT */
/* TLSA records of the servers of one upstream.
 *
 *   dane_ask -> [ facts still good? ] -------------------------> end of turn -> done(facts)
 *                    `-> resolver, one query a server for all who ask -> facts -^
 *
 * Each server of the upstream has one entry for as long as the upstream lives, so there is nothing to bound.
 * A question belongs to who asked; facts live as long as somebody holds them, since a handshake may begin
 * long after they were replaced. What was learnt is good for the TTL of the records, within KEEP_LEAST (a TTL
 * of 0, or a server that fails, must not cost a query each connection) and KEEP_MOST. */
#include "proxy/dane.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdlib.h>

#define KEEP_LEAST_US  (5 * (uint64_t)US_PER_S)
#define KEEP_MOST_US   (3600 * (uint64_t)US_PER_S)
#define KEEP_FAILED_US KEEP_LEAST_US

struct entry { /* of one server */
    struct dane *dane;
    struct dane_facts *facts; /* NULL: none yet */
    uint64_t good_until_us;
    struct resolver_query *query; /* NULL: none under way */
    struct dane_question *waiting;
    const char *name;
    uint16_t port;
};

struct dane {
    struct loop *loop;
    struct resolver *resolver;
    bool required;
    const struct conf_address *servers;
    size_t n;
    struct entry entry[];
};

struct dane_question {
    struct dane_question *next, **prev;
    struct entry *entry;
    void (*done)(void *arg, struct dane_facts *f);
    void *arg;
    struct loop_deferred soon;
};

/* ---- facts ---- */

struct made {                /* a dane_facts and what its pointers lead to */
    struct dane_facts facts; /* first */
    struct tlsa_record record[TLSA_RECORDS];
    struct buf data, text, why;
};

struct dane_facts *dane_facts_ref(struct dane_facts *f)
{
    if (f)
        f->references++;
    return f;
}

void dane_facts_unref(struct dane_facts **fp)
{
    struct made *m = (struct made *)*fp;
    *fp = NULL;
    if (!m || --m->facts.references)
        return;
    buf_free(&m->data);
    buf_free(&m->text);
    buf_free(&m->why);
    free(m);
}

/* The data of the usable ones move from the message to us. */
static bool keep_records(struct made *m, const struct tlsa_answer *a)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < a->n; i++) {
        if (!tls_dane_usable(&a->record[i]))
            continue;
        if (!buf_append(&m->data, a->record[i].data))
            return false;
        m->record[n++] = a->record[i];
    }
    for (size_t i = 0; i < n; i++) { /* now that the memory stays where it is */
        m->record[i].data = span_make(buf_span(&m->data).p + at, m->record[i].data.n);
        at += m->record[i].data.n;
    }
    m->facts.records = (struct tls_dane){m->record, n};
    return true;
}

static bool keep_text(struct made *m, const struct tlsa_answer *a)
{
    bool good = true;
    char one[100];
    for (size_t i = 0; good && i < a->n; i++) {
        size_t n = tlsa_print(&a->record[i], 32, one, sizeof one);
        good = buf_printf(&m->text, "%s%.*s", i ? ", " : "", (int)n, one);
    }
    return good && buf_append(&m->text, span_make("", 1)); /* its NUL */
}

static bool fail(struct made *m, const struct entry *e, const char *what, const char *more)
{
    m->facts.verdict = DANE_FAILS;
    return buf_printf(&m->why, "DANE: the TLSA records of _%u._tcp.%s %s%s", e->port, e->name, what, more) &&
           buf_append(&m->why, span_make("", 1));
}

/* RFC 7672 2.1 and 2.2, but that the server's address need not be authenticated too. */
static bool judge(struct made *m, const struct entry *e, const struct tlsa_answer *a, const char *error)
{
    bool required = e->dane->required;
    m->facts.verdict = DANE_NOTHING;
    if (!a)
        return fail(m, e, "cannot be looked up: ", error);
    if (!keep_text(m, a))
        return false;
    if (!a->authenticated && required)
        return fail(m, e, "are not authenticated (the resolver has not set AD), and DANE is required", "");
    if (!a->authenticated)
        return true;
    if (a->n + a->skipped == 0)
        return !required || fail(m, e, "do not exist, and DANE is required", "");
    if (!keep_records(m, a))
        return false;
    if (m->facts.records.n == 0 && required)
        return fail(m, e, "are of no use to SMTP, and DANE is required: ", buf_span(&m->text).p);
    m->facts.verdict = m->facts.records.n ? DANE_MATCH : DANE_TLS;
    return true;
}

/* NULL: no memory. */
static struct dane_facts *facts_of(const struct entry *e, const struct tlsa_answer *a, const char *error)
{
    struct made *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    struct dane_facts *f = &m->facts;
    f->references = 1;
    if (!judge(m, e, a, error)) {
        dane_facts_unref(&f);
        return NULL;
    }
    f->text = buf_len(&m->text) ? buf_span(&m->text).p : "";
    f->why = buf_len(&m->why) ? buf_span(&m->why).p : "";
    return f;
}

/* ---- questions ---- */

static void unlink_question(struct dane_question *q)
{
    *q->prev = q->next;
    if (q->next)
        q->next->prev = q->prev;
}

static void tell(void *arg)
{
    struct dane_question *q = arg;
    struct dane_facts *f = dane_facts_ref(q->entry->facts);
    unlink_question(q);
    q->done(q->arg, f);
    dane_facts_unref(&f);
    free(q);
}

static uint64_t keep_us(const struct tlsa_answer *a)
{
    uint64_t ttl = a ? a->ttl_s * (uint64_t)US_PER_S : KEEP_FAILED_US;
    return ttl < KEEP_LEAST_US ? KEEP_LEAST_US : ttl > KEEP_MOST_US ? KEEP_MOST_US : ttl;
}

static void on_answer(void *arg, const struct tlsa_answer *a, const char *error)
{
    struct entry *e = arg;
    e->query = NULL;
    dane_facts_unref(&e->facts);
    e->facts = facts_of(e, a, error);
    e->good_until_us = e->facts ? loop_now_us(e->dane->loop) + keep_us(a) : 0;
    for (struct dane_question *q = e->waiting; q; q = q->next)
        loop_defer(e->dane->loop, &q->soon, tell, q);
}

/* true: an answer is there or on its way. */
static bool look_up(struct entry *e, struct dane_question *q)
{
    struct dane *d = e->dane;
    if (e->facts && loop_now_us(d->loop) < e->good_until_us) {
        loop_defer(d->loop, &q->soon, tell, q);
        return true;
    }
    if (!e->query)
        e->query = resolver_ask_tlsa(d->resolver, e->name, e->port, on_answer, e);
    return e->query;
}

struct dane_question *dane_ask(struct dane *d, const struct conf_address *server,
                               void (*done)(void *arg, struct dane_facts *f), void *arg)
{
    struct entry *e = &d->entry[server - d->servers];
    struct dane_question *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    if (!look_up(e, q)) {
        free(q);
        return NULL;
    }
    q->entry = e;
    q->done = done;
    q->arg = arg;
    q->next = e->waiting;
    q->prev = &e->waiting;
    if (q->next)
        q->next->prev = &q->next;
    e->waiting = q;
    return q;
}

void dane_cancel(struct dane_question **qp)
{
    struct dane_question *q = *qp;
    *qp = NULL;
    if (!q)
        return;
    loop_undefer(&q->soon);
    unlink_question(q);
    free(q);
}

/* ---- the whole ---- */

bool dane_applies(const struct conf_upstream *conf, const struct conf_address *server)
{
    return conf->dane != CONF_DANE_NONE && (conf->verify_name || !server->literal);
}

struct dane *dane_create(struct loop *l, struct resolver *r, const struct conf_upstream *conf)
{
    struct dane *d = calloc(1, sizeof *d + conf->server_count * sizeof d->entry[0]);
    if (!d)
        return NULL;
    d->loop = l;
    d->resolver = r;
    d->required = conf->dane == CONF_DANE_REQUIRED;
    d->servers = conf->servers;
    d->n = conf->server_count;
    for (size_t i = 0; i < d->n; i++)
        d->entry[i] = (struct entry){
            .dane = d,
            .name = conf->verify_name ? conf->verify_name : conf->servers[i].host,
            .port = conf->servers[i].port,
        };
    return d;
}

void dane_destroy(struct dane **dp)
{
    struct dane *d = *dp;
    *dp = NULL;
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++) {
        resolver_cancel(&d->entry[i].query);
        dane_facts_unref(&d->entry[i].facts);
    }
    free(d);
}
