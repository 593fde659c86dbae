/* SPDX-License-Identifier: MIT */
/* From the original destination to an upstream, or to a refusal.
 *
 *   SO_ORIGINAL_DST,
 *   getsockname --> our own listener? allow, deny? --> destination_get --> our own connection? --> go on
 *        `- none: the client came by itself --> the listener's upstream, if it has one
 *
 * An intercept belongs to its relay. It holds its destination, and the runtime that the destination is part
 * of, until intercept_release. */
#include "proxy/intercept.h"

enum refusal { REFUSE_NOT, REFUSE_DIRECT, REFUSE_LOOP, REFUSE_DENIED, REFUSE_NO_MEMORY };

static const struct {
    const char *reply, *note;
} texts[] = {
    [REFUSE_NOT] = {NULL, NULL},
    [REFUSE_DIRECT] = {"421 4.4.6 Only redirected connections are served here\r\n",
                       "it was not redirected, and the listener has no upstream"},
    [REFUSE_LOOP] = {"421 4.4.6 This connection would come back here: a loop\r\n",
                     "a loop: it wants to reach postern itself, or is a connection of postern's own"},
    [REFUSE_DENIED] = {"554 5.7.1 This server is not reached from here\r\n",
                       "the listener's allow and deny exclude this destination"},
    [REFUSE_NO_MEMORY] = {"421 4.3.0 No memory now; try again later\r\n", "no memory"},
};

void intercept_log(const struct intercept *i, const struct runtime_listener *l, const struct conn *client,
                   struct log *log, const char *note)
{
    char host[ENDPOINT_TEXT], text[ENDPOINT_TEXT] = "-";
    struct log_record r;
    if (i->to.ip_n)
        endpoint_text(&i->to, host, text);
    log_begin(&r, log, LOG_AT_INFO, "connection");
    log_str(&r, "client", conn_peer_text(client));
    log_cstr(&r, "listener", l->conf->name);
    log_cstr(&r, "destination", text);
    log_cstr(&r, "note", note);
    log_end(&r);
}

void intercept_look(struct intercept *i, const struct conf_listener *l, int fd)
{
    *i = (struct intercept){.origin = ORIGIN_DIRECT};
    if (l->intercept == CONF_INTERCEPT_REDIRECT)
        i->origin = origin_redirected(fd, &i->to);
    else if (l->intercept == CONF_INTERCEPT_TPROXY)
        i->origin = origin_tproxied(fd, &i->to);
}

static enum refusal came_by_itself(const struct runtime_listener *l)
{
    return l->upstream ? REFUSE_NOT : REFUSE_DIRECT;
}

static enum refusal find_destination(struct intercept *i, struct runtime *r, const struct runtime_listener *l,
                                     const struct conn *client)
{
    static const enum refusal refusals[] = {[DESTINATION_GOOD] = REFUSE_NOT,
                                            [DESTINATION_HERE] = REFUSE_LOOP,
                                            [DESTINATION_LOOP] = REFUSE_LOOP,
                                            [DESTINATION_DENIED] = REFUSE_DENIED};
    enum destination_verdict v = destination_check(r->conf, l->conf, &i->to);
    if (v == DESTINATION_HERE && l->conf->intercept == CONF_INTERCEPT_TPROXY)
        return came_by_itself(l);
    if (v != DESTINATION_GOOD)
        return refusals[v];
    i->destination = destination_get(l->destinations, &i->to);
    if (!i->destination)
        return REFUSE_NO_MEMORY;
    i->runtime = runtime_ref(r);
    struct endpoint peer = conn_peer(client);
    bool own = upstream_dials_from(destination_upstream(i->destination), &peer);
    return own ? REFUSE_LOOP : REFUSE_NOT; /* own: the packet filter does not exempt us */
}

const char *intercept_find(struct intercept *i, struct runtime *r, const struct runtime_listener *l,
                           const struct conn *client, struct log *log)
{
    enum refusal why = REFUSE_NOT;
    if (i->origin == ORIGIN_INTERCEPTED)
        why = find_destination(i, r, l, client);
    else
        why = came_by_itself(l);
    if (why)
        intercept_log(i, l, client, log, texts[why].note);
    return texts[why].reply;
}

void intercept_release(struct intercept *i)
{
    destination_put(&i->destination);
    runtime_unref(&i->runtime);
}
