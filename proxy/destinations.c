/* SPDX-License-Identifier: MIT */
/* Upstream objects for servers that nobody has named in the configuration.
 *
 *   destination_get(192.0.2.9:25) --> [ tree by address ] --found--> users + 1
 *                                          `--new--> upstream with that one server
 *   destination_put --users 0--> [ idle: oldest ... newest ] --IDLE_US, or more than IDLE_MAX--> gone
 *
 * In use there are no more than sessions, and the limit of those is the limit here. An idle one is kept for
 * what it has learnt of its server (that TLS with it fails). These servers are strangers: none is probed, and
 * no connection to one is kept for another client. */
#include "proxy/destinations.h"

#include "base/clock.h"

#include <search.h>
#include <stdlib.h>

#define IDLE_MAX 1000
#define IDLE_US  (300 * (uint64_t)US_PER_S)

struct destination {
    struct endpoint at; /* first: the tree compares by it */
    struct destinations *all;
    struct conf_upstream settings; /* the listener's, with this server */
    struct conf_address server;
    char host[ENDPOINT_TEXT], text[ENDPOINT_TEXT];
    struct upstream *up;
    size_t users;
    uint64_t idle_since_us;
    struct destination *newer, *older; /* while idle */
};

struct destinations {
    struct upstream_env env;
    const struct conf_upstream *settings;
    const struct conf_timeouts *timeouts;
    struct tls_client *tls;
    void *tree;
    struct destination *oldest, *newest;
    size_t count, idle;
    struct loop_timer expiry;
};

/* ---- which are served ---- */

static bool is_wildcard(const struct endpoint *e)
{
    static const unsigned char any[16];
    return memcmp(e->ip, any, e->ip_n) == 0;
}

static bool listens_at(const struct conf_address *bound, const struct endpoint *to)
{
    struct endpoint own;
    if (bound->port != to->port || !endpoint_parse(bound->host, bound->port, &own))
        return false;
    bool any = is_wildcard(&own) && own.ip_n == to->ip_n;
    return any ? origin_is_local(to) : endpoint_compare(&own, to) == 0;
}

/* The listener at this address, or NULL. */
static const struct conf_listener *ours(const struct conf *conf, const struct endpoint *to)
{
    for (size_t i = 0; i < conf->listener_count; i++)
        for (size_t j = 0; j < conf->listeners[i].bind_count; j++)
            if (listens_at(&conf->listeners[i].bind[j], to))
                return &conf->listeners[i];
    return NULL;
}

enum destination_verdict destination_check(const struct conf *conf, const struct conf_listener *listener,
                                           const struct endpoint *to)
{
    const struct networks *allow = &listener->allow;
    const struct conf_listener *own = ours(conf, to);
    if (own)
        return own == listener ? DESTINATION_HERE : DESTINATION_LOOP;
    if (networks_have(&listener->deny, to->ip, to->ip_n) ||
        (allow->count && !networks_have(allow, to->ip, to->ip_n)))
        return DESTINATION_DENIED;
    return DESTINATION_GOOD;
}

struct conf_upstream destination_settings(const struct conf_listener *listener)
{
    struct conf_upstream s = {
        .name = listener->name, .tls = CONF_UP_OPPORTUNISTIC, .chunking = CONF_CHUNKING_YES};
    if (listener->upstream)
        s = *listener->upstream;
    else if (listener->tls == CONF_TLS_IMPLICIT)
        s.tls = CONF_UP_IMPLICIT;
    else if (listener->tls == CONF_TLS_PASS)
        s.tls = CONF_UP_NONE;
    s.servers = NULL;
    s.server_count = 0;
    s.connect = CONF_EAGER;
    s.keep = 0;
    return s;
}

/* ---- all of them ---- */

struct destinations *destinations_create(const struct upstream_env *env, const struct conf_upstream *settings,
                                         const struct conf_timeouts *timeouts, struct tls_client *tls)
{
    struct destinations *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->env = *env;
    d->env.relay = true;
    d->settings = settings;
    d->timeouts = timeouts;
    d->tls = tls;
    return d;
}

static int compare(const void *a, const void *b)
{
    return endpoint_compare(a, b);
}

static void leave_idle(struct destination *one)
{
    struct destinations *d = one->all;
    *(one->older ? &one->older->newer : &d->oldest) = one->newer;
    *(one->newer ? &one->newer->older : &d->newest) = one->older;
    one->older = one->newer = NULL;
    d->idle--;
}

static void drop(struct destination *one)
{
    leave_idle(one);
    tdelete(&one->at, &one->all->tree, compare);
    upstream_release(&one->up);
    one->all->count--;
    free(one);
}

void destinations_release(struct destinations **dp)
{
    struct destinations *d = *dp;
    if (!d)
        return;
    loop_timer_stop(&d->expiry);
    for (struct destination *one = d->oldest, *next; one; one = next) {
        next = one->newer;
        drop(one);
    }
    free(d);
    *dp = NULL;
}

static void expire(void *arg)
{
    struct destinations *d = arg;
    uint64_t now = loop_now_us(d->env.loop);
    struct destination *one = d->oldest, *next;
    for (; one && (d->idle > IDLE_MAX || now >= one->idle_since_us + IDLE_US); one = next) {
        next = one->newer;
        drop(one);
    }
    if (one)
        loop_timer_start(d->env.loop, &d->expiry, one->idle_since_us + IDLE_US - now, expire, d);
}

/* ---- one ---- */

static struct destination *destination_create(struct destinations *d, const struct endpoint *to)
{
    struct destination *one = calloc(1, sizeof(*one));
    if (!one)
        return NULL;
    one->at = *to;
    one->all = d;
    endpoint_text(to, one->host, one->text);
    one->server = (struct conf_address){one->text, one->host, to->port, true};
    one->settings = *d->settings;
    one->settings.name = one->text;
    one->settings.servers = &one->server;
    one->settings.server_count = 1;
    struct tls_client *tls = tls_client_ref(d->tls);
    one->up = upstream_create(&d->env, &one->settings, d->timeouts, tls);
    if (one->up && tsearch(&one->at, &d->tree, compare)) {
        d->count++;
        return one;
    }
    if (one->up)
        upstream_release(&one->up); /* has taken over the reference */
    else
        tls_client_unref(&tls);
    free(one);
    return NULL;
}

struct destination *destination_get(struct destinations *d, const struct endpoint *to)
{
    void *const *found = tfind(to, &d->tree, compare);
    struct destination *one = found ? *found : destination_create(d, to);
    if (!one)
        return NULL;
    if (found && !one->users)
        leave_idle(one);
    one->users++;
    return one;
}

void destination_put(struct destination **onep)
{
    struct destination *one = *onep;
    *onep = NULL;
    if (!one || --one->users)
        return;
    struct destinations *d = one->all;
    one->idle_since_us = loop_now_us(d->env.loop);
    one->older = d->newest;
    *(d->newest ? &d->newest->newer : &d->oldest) = one;
    d->newest = one;
    d->idle++;
    if (d->idle > IDLE_MAX || !loop_timer_active(&d->expiry))
        expire(d);
}

struct upstream *destination_upstream(const struct destination *one)
{
    return one->up;
}

size_t destinations_count(const struct destinations *d)
{
    return d->count;
}
