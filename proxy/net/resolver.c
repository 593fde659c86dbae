/* SPDX-License-Identifier: MIT */
/* Names to addresses, and to TLSA records: c-ares on the loop, with /etc/hosts first for addresses.
 *
 *   ask -> c-ares <-> its sockets and timeout on the loop -> answer kept -> end of turn -> done()
 *
 * A query is owned by the resolver and is in its list until `done` was called or it was cancelled. c-ares
 * cannot cancel one query: a cancelled one stays in the list, mute, until c-ares lets go of it.
 *
 * Names come from the configuration, so they are few. Each one's last good addresses are remembered, and
 * stand in while the name servers fail; a name server that says that the name is gone is believed. Of TLSA
 * records nothing is remembered here: who asks knows for how long they are good. */
#include "net/resolver.h"
#include "base/buf.h"
#include "base/clock.h"
#include "net/address.h"

#define CARES_NO_DEPRECATED /* ares_send: what replaces it is newer than Debian 12 */
#include <ares.h>
#include <netdb.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>

enum { TRY_MS = 2000, TRIES = 3, KNOWN_MAX = 64, NAME_SIZE = 256 };

struct watched { /* a socket of c-ares */
    struct watched *next;
    struct resolver *resolver;
    ev_io io;
};

struct known { /* a name, and where it was found last */
    struct known *next;
    size_t n;
    struct sockaddr_storage address[RESOLVER_ADDRESSES];
    char name[NAME_SIZE];
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct watched *sockets;
    struct resolver_query *queries;
    struct loop_timer timeout;
    struct known *known;
    size_t known_n;
};

struct resolver_query {
    struct resolver_query *next, **prev;
    struct resolver *resolver;
    void (*tell)(const struct resolver_query *q); /* the one of these that is set */
    union {
        void (*address)(void *arg, const struct resolver_answer *a);
        void (*tlsa)(void *arg, const struct tlsa_answer *a, const char *error);
    } done;
    void *arg;
    uint16_t port;
    bool answered, cancelled;
    struct loop_deferred end;
    struct resolver_answer answer;
    struct buf tlsa; /* the answer as it came; empty: error */
    char error[160];
    char name[NAME_SIZE]; /* empty: too long to be remembered */
};

/* ---- sockets and time of c-ares ---- */

static void set_timeout(struct resolver *r);

static void on_timeout(void *arg)
{
    struct resolver *r = arg;
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timeout(r);
}

static void set_timeout(struct resolver *r)
{
    struct timeval tv;
    if (ares_timeout(r->channel, NULL, &tv))
        loop_timer_start(r->loop, &r->timeout, (uint64_t)tv.tv_sec * US_PER_S + (uint64_t)tv.tv_usec,
                         on_timeout, r);
    else
        loop_timer_stop(&r->timeout);
}

static void on_socket(struct ev_loop *ev, ev_io *w, int revents)
{
    struct watched *s = w->data;
    struct resolver *r = s->resolver;
    int fd = w->fd;
    (void)ev;
    /* c-ares may close the socket in here, and then s is gone. */
    ares_process_fd(r->channel, revents & EV_READ ? fd : ARES_SOCKET_BAD,
                    revents & EV_WRITE ? fd : ARES_SOCKET_BAD);
    set_timeout(r);
}

static struct watched *watch_new(struct resolver *r, int fd)
{
    struct watched *s = calloc(1, sizeof *s);
    if (!s)
        return NULL; /* the query runs into its timeout */
    s->resolver = r;
    s->next = r->sockets;
    r->sockets = s;
    ev_io_init(&s->io, on_socket, fd, 0);
    s->io.data = s;
    return s;
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = arg;
    struct watched **at = &r->sockets;
    while (*at && (*at)->io.fd != fd)
        at = &(*at)->next;
    struct watched *s = *at;
    int wanted = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);
    if (s)
        ev_io_stop(loop_ev(r->loop), &s->io);
    if (wanted && (s || (s = watch_new(r, fd)))) {
        ev_io_set(&s->io, fd, wanted);
        ev_io_start(loop_ev(r->loop), &s->io);
    } else if (s) {
        *at = s->next;
        free(s);
    }
}

/* ---- queries ---- */

static void query_free(struct resolver_query *q)
{
    *q->prev = q->next;
    if (q->next)
        q->next->prev = q->prev;
    loop_undefer(&q->end);
    buf_free(&q->tlsa);
    free(q);
}

static struct resolver_query *query_create(struct resolver *r, void (*tell)(const struct resolver_query *),
                                           const char *name, uint16_t port)
{
    struct resolver_query *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    *q = (struct resolver_query){.resolver = r, .tell = tell, .port = port};
    if (strlen(name) < sizeof q->name)
        (void)snprintf(q->name, sizeof q->name, "%s", name);
    q->answer.error = q->error;
    q->next = r->queries;
    q->prev = &r->queries;
    if (q->next)
        q->next->prev = &q->next;
    r->queries = q;
    return q;
}

static void on_end(void *arg)
{
    struct resolver_query *q = arg;
    q->tell(q);
    query_free(q);
}

/* The owner hears of it at the end of the turn: never from inside resolver_ask, nor from inside c-ares. */
static void answer(struct resolver_query *q)
{
    q->answered = true;
    loop_defer(q->resolver->loop, &q->end, on_end, q);
}

/* ---- what is known of a name ---- */

static struct known *find_known(const struct resolver *r, const char *name)
{
    struct known *k = r->known;
    while (k && strcasecmp(k->name, name) != 0)
        k = k->next;
    return k;
}

static struct known *add_known(struct resolver *r, const char *name)
{
    struct known *k = r->known_n < KNOWN_MAX ? calloc(1, sizeof *k) : NULL;
    if (!k)
        return NULL; /* it is not remembered */
    (void)snprintf(k->name, sizeof k->name, "%s", name);
    k->next = r->known;
    r->known = k;
    r->known_n++;
    return k;
}

static void remember(struct resolver *r, const struct resolver_query *q)
{
    struct known *k = q->name[0] ? find_known(r, q->name) : NULL;
    if (!k && q->name[0])
        k = add_known(r, q->name);
    if (!k)
        return;
    k->n = q->answer.n;
    memcpy(k->address, q->answer.address, sizeof k->address);
}

static void set_port(struct sockaddr_storage *a, uint16_t port)
{
    if (a->ss_family == AF_INET)
        ((struct sockaddr_in *)a)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)a)->sin6_port = htons(port);
}

/* The servers could not say; where it was before is better than nowhere. */
static void recall(const struct resolver *r, struct resolver_query *q)
{
    const struct known *k = find_known(r, q->name);
    for (size_t i = 0; k && i < k->n; i++) {
        q->answer.address[i] = k->address[i];
        set_port(&q->answer.address[i], q->port);
        q->answer.n = i + 1;
    }
}

static void copy_addresses(struct resolver_query *q, const struct ares_addrinfo *found)
{
    struct resolver_answer *a = &q->answer;
    for (const struct ares_addrinfo_node *n = found->nodes; n && a->n < RESOLVER_ADDRESSES; n = n->ai_next) {
        struct sockaddr_storage *to = &a->address[a->n];
        if ((n->ai_family != AF_INET && n->ai_family != AF_INET6) || n->ai_addrlen > sizeof *to)
            continue;
        memcpy(to, n->ai_addr, n->ai_addrlen);
        set_port(to, q->port);
        a->n++;
    }
}

static void on_found(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    struct resolver_query *q = arg;
    (void)timeouts;
    if (q->cancelled) {
        query_free(q);
    } else {
        if (status == ARES_SUCCESS && found)
            copy_addresses(q, found);
        if (q->answer.n)
            remember(q->resolver, q);
        else if (status != ARES_SUCCESS && status != ARES_ENOTFOUND && status != ARES_ENODATA)
            recall(q->resolver, q);
        if (q->answer.n == 0)
            (void)snprintf(q->error, sizeof q->error, "the name does not resolve: %s",
                           status == ARES_SUCCESS ? "it has no address" : ares_strerror(status));
        answer(q);
    }
    if (found)
        ares_freeaddrinfo(found);
}

static void tell_addresses(const struct resolver_query *q)
{
    q->done.address(q->arg, &q->answer);
}

struct resolver_query *resolver_ask(struct resolver *r, const char *name, uint16_t port,
                                    void (*done)(void *arg, const struct resolver_answer *a), void *arg)
{
    static const struct ares_addrinfo_hints stream = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct resolver_query *q = query_create(r, tell_addresses, name, port);
    if (!q)
        return NULL;
    q->done.address = done;
    q->arg = arg;
    if (address_from_text(name, port, &q->answer.address[0])) {
        q->answer.n = 1;
        answer(q);
    } else {
        ares_getaddrinfo(r->channel, name, NULL, &stream, on_found, q);
        set_timeout(r);
    }
    return q;
}

/* ---- TLSA ---- */

static void tell_tlsa(const struct resolver_query *q)
{
    struct tlsa_answer a;
    const char *error = q->error;
    if (buf_len(&q->tlsa) && tlsa_read(buf_span(&q->tlsa), q->name, q->port, NULL, &a, &error))
        q->done.tlsa(q->arg, &a, NULL);
    else
        q->done.tlsa(q->arg, NULL, error);
}

static void on_tlsa(void *arg, int status, int timeouts, unsigned char *message, int n)
{
    struct resolver_query *q = arg;
    (void)timeouts;
    if (q->cancelled) {
        query_free(q);
        return;
    }
    bool good = status == ARES_SUCCESS && message && n > 0;
    if (!good || !buf_append(&q->tlsa, span_make((const char *)message, (size_t)n)))
        (void)snprintf(q->error, sizeof q->error, "%s", good ? "no memory" : ares_strerror(status));
    answer(q);
}

/* c-ares asks with what it is given, and with the AD bit only then (RFC 6840 5.7). */
struct resolver_query *
resolver_ask_tlsa(struct resolver *r, const char *host, uint16_t port,
                  void (*done)(void *arg, const struct tlsa_answer *a, const char *error), void *arg)
{
    unsigned char question[TLSA_QUERY_MAX], id[2];
    struct resolver_query *q = query_create(r, tell_tlsa, host, port);
    if (!q)
        return NULL;
    q->done.tlsa = done;
    q->arg = arg;
    bool random = RAND_bytes(id, sizeof id) == 1; /* an older c-ares takes ours */
    size_t n = random ? tlsa_query(q->name, port, (uint16_t)(id[0] << 8 | id[1]), question) : 0;
    if (n) {
        ares_send(r->channel, question, (int)n, on_tlsa, q);
        set_timeout(r);
    } else {
        (void)snprintf(q->error, sizeof q->error, "%s", random ? "not a name" : "no random numbers");
        answer(q);
    }
    return q;
}

void resolver_cancel(struct resolver_query **qp)
{
    struct resolver_query *q = *qp;
    *qp = NULL;
    if (!q)
        return;
    q->cancelled = true;
    if (q->answered)
        query_free(q);
}

/* ---- the resolver ---- */

struct resolver *resolver_create(struct loop *l)
{
    char files_then_dns[] = "fb";
    struct resolver *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->loop = l;
    struct ares_options o = {
        .timeout = TRY_MS,
        .tries = TRIES,
        .lookups = files_then_dns,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = r,
    };
    int set = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE /* newer ones keep answers; who asks here knows for how long they are good */
    o.qcache_max_ttl = 0;
    set |= ARES_OPT_QUERY_CACHE;
#endif
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        goto fail;
    if (ares_init_options(&r->channel, &o, set) != ARES_SUCCESS) {
        ares_library_cleanup();
        goto fail;
    }
    return r;
fail:
    free(r);
    return NULL;
}

void resolver_destroy(struct resolver **rp)
{
    struct resolver *r = *rp;
    *rp = NULL;
    if (!r)
        return;
    for (struct resolver_query *q = r->queries; q; q = q->next)
        q->cancelled = true;
    ares_destroy(r->channel); /* lets go of its queries, which frees them, and closes its sockets */
    for (struct resolver_query *q = r->queries, *next; q; q = next) {
        next = q->next;
        query_free(q);
    }
    for (struct known *k = r->known, *next; k; k = next) {
        next = k->next;
        free(k);
    }
    loop_timer_stop(&r->timeout);
    ares_library_cleanup();
    free(r);
}
