/* SPDX-License-Identifier: MIT */
/* The probe, as a list of steps. Each may be the last: when there is nobody to talk to, or nothing more to
 * ask.
 *
 *   meet -> ask what it is -> secure -> leave -> try the ways -> report, or JSON
 *    `-> silent: a PROXY header, version 2, then 1 -> silent: wait on
 *
 * One struct probe on the stack of probe_run owns everything: loop, conversations, facts. A server that talks
 * without a header does not expect one. One that says nothing is offered a header while the first connection
 * stays open: it may only be slow. */
#include "probe/parts.h"

#include "base/clock.h"
#include "probe/kind.h"
#include "probe/report.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum { PORT_IMPLICIT = 465 }; /* RFC 8314 3.3 */

/* ---- the first conversation ---- */

static bool fail(struct probe *p, const char *why)
{
    dialog_printable(p->facts->error, sizeof p->facts->error, span_of(why));
    return false;
}

static void note_greeting(struct probe *p, const struct dialog *d)
{
    struct facts *f = p->facts;
    f->smtp = true;
    f->greeting_code = d->code;
    dialog_printable(f->greeting, sizeof f->greeting, dialog_first_line(d));
    kind_take(f, KIND_GREETING, d->reply);
}

static enum dialog_result first_hello(struct probe *p, struct dialog *d)
{
    return approach_hello(p, d, p->implicit ? &p->facts->secure : &p->facts->clear);
}

static bool talks(struct probe *p, struct dialog *d)
{
    p->talk = d;
    return true;
}

/* It talks without a header. */
static bool talks_bare(struct probe *p)
{
    p->facts->ways[FACTS_PROXY_V2] = p->facts->ways[FACTS_PROXY_V1] =
        (struct facts_way){.outcome = FACTS_NOT_EXPECTED};
    return talks(p, &p->bare);
}

static bool refuses_everybody(struct probe *p)
{
    (void)talks_bare(p);
    note_greeting(p, &p->bare);
    return fail(p, "the server refuses clients in its greeting: there is nothing more to ask");
}

/* A server that took the header for commands has errors to say for them: then the answers that follow are not
 * those to what was said last, and NOOP gets one of them. */
static enum dialog_result hello_behind(struct probe *p, struct dialog *d)
{
    enum dialog_result r = DIALOG_GOOD;
    if (d->code / 100 != 2)
        r = dialog_refused(d);
    else
        r = first_hello(p, d);
    if (r == DIALOG_GOOD)
        r = dialog_say(d, SPAN_LIT("NOOP"), PATIENCE_REPLY);
    if (r == DIALOG_GOOD && d->code / 100 != 2)
        r = dialog_refused(d);
    return r;
}

static enum dialog_result try_header(struct probe *p, enum facts_way_name version)
{
    struct facts_way *way = &p->facts->ways[version];
    p->header = version;
    enum dialog_result r = approach_greeted(p, &p->behind, PATIENCE_GREETING);
    char greeting[FACTS_TEXT];
    unsigned code = p->behind.code;
    dialog_printable(greeting, sizeof greeting, dialog_first_line(&p->behind));
    if (r == DIALOG_GOOD) {
        kind_take(p->facts, KIND_GREETING, p->behind.reply);
        r = hello_behind(p, &p->behind);
    }
    if (r == DIALOG_GOOD) {
        *way = (struct facts_way){.outcome = FACTS_WORKS};
        p->facts->smtp = true;
        p->facts->greeting_code = code;
        memcpy(p->facts->greeting, greeting, sizeof greeting);
        return r;
    }
    way->outcome = r == DIALOG_REFUSED ? FACTS_REFUSED : FACTS_FAILED;
    dialog_printable(way->detail, sizeof way->detail, span_of(p->behind.why));
    dialog_close(&p->behind);
    p->header = FACTS_WAYS;
    p->facts->verb = NULL;
    p->facts->clear = p->facts->secure = (struct facts_offer){0};
    return r;
}

/* true: some version works, and the talk goes on behind it. *foreign_r: what answered is no mail server. */
static bool talks_behind(struct probe *p, bool *foreign_r)
{
    static const enum facts_way_name versions[] = {FACTS_PROXY_V2, FACTS_PROXY_V1};
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        enum dialog_result r = try_header(p, versions[i]);
        *foreign_r = *foreign_r || r == DIALOG_FOREIGN;
        if (r == DIALOG_GOOD)
            return talks(p, &p->behind);
    }
    return false;
}

static bool late_greeting(struct probe *p)
{
    enum dialog_result r = dialog_listen(&p->bare, PATIENCE_ALL);
    if (r != DIALOG_GOOD)
        return fail(p, r == DIALOG_SILENT
                           ? "connected, but the server says nothing, with or without a PROXY header"
                           : p->bare.why);
    if (p->bare.code / 100 != 2)
        return refuses_everybody(p);
    note_greeting(p, &p->bare);
    return first_hello(p, &p->bare) == DIALOG_GOOD ? talks_bare(p) : fail(p, p->bare.why);
}

/* Some greet in two parts, with seconds between (postscreen). */
static enum dialog_result bare_greeting(struct probe *p)
{
    enum dialog_result r = approach_greeted(p, &p->bare, PATIENCE_SOON);
    return r == DIALOG_SILENT && dialog_begun(&p->bare) ? dialog_listen(&p->bare, PATIENCE_GREETING) : r;
}

static bool meet(struct probe *p)
{
    bool foreign = false;
    enum dialog_result r = bare_greeting(p);
    if (!*p->facts->server || (r == DIALOG_FOREIGN && !p->implicit))
        return fail(p, p->bare.why);
    if (r == DIALOG_GOOD && p->bare.code / 100 != 2)
        return refuses_everybody(p);
    if (r == DIALOG_GOOD) {
        note_greeting(p, &p->bare);
        r = first_hello(p, &p->bare);
        if (r == DIALOG_GOOD)
            return talks_bare(p);
        if (r == DIALOG_FOREIGN)
            return fail(p, p->bare.why);
    }
    char why[DIALOG_WHY];
    dialog_printable(why, sizeof why, span_of(p->bare.why));
    if (talks_behind(p, &foreign)) {
        dialog_close(&p->bare);
        return true;
    }
    if (r == DIALOG_SILENT && !foreign && !p->facts->smtp)
        return late_greeting(p);
    return fail(p, foreign && !p->facts->smtp ? p->facts->ways[FACTS_PROXY_V2].detail : why);
}

/* ---- the steps after it ---- */

static bool ask_what_it_is(struct probe *p)
{
    if (p->facts->kind == FACTS_UNKNOWN &&
        dialog_say(p->talk, SPAN_LIT("HELP"), PATIENCE_REPLY) == DIALOG_GOOD)
        kind_take(p->facts, KIND_HELP, p->talk->reply);
    return true;
}

static bool secure(struct probe *p)
{
    struct facts *f = p->facts;
    bool offered = f->clear.ehlo.caps & CAP_STARTTLS;
    if (p->implicit || !offered)
        return true;
    if (p->request->tls == PROBE_TLS_NONE)
        f->tls.state = FACTS_TLS_NOT_ASKED;
    else if (approach_secure(p, p->talk, &f->secure) != DIALOG_GOOD && f->tls.state == FACTS_TLS_WORKS)
        dialog_printable(f->tls.error, sizeof f->tls.error, span_of(p->talk->why));
    return true;
}

static bool leave(struct probe *p)
{
    approach_leave(p->talk);
    return true;
}

static bool try_ways(struct probe *p)
{
    ways_try(p);
    return true;
}

/* ---- the probe ---- */

static void take_steps(struct probe *p)
{
    static bool (*const steps[])(struct probe *) = {meet, ask_what_it_is, secure, leave, try_ways};
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        if (!steps[i](p))
            return;
}

static bool is_address(const char *host)
{
    unsigned char ip[16];
    return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;
}

static struct facts *new_facts(const struct probe_request *r)
{
    struct facts *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    dialog_printable(f->host, sizeof f->host, span_of(r->host));
    f->port = r->port;
    f->kind = FACTS_UNKNOWN;
    return f;
}

static bool ask(struct probe *p)
{
    char error[FACTS_TEXT] = "no memory";
    bool named = !is_address(p->request->host);
    struct tls_client_options judge = {.judge = true, .floor = TLS_FLOOR_12};
    p->world.loop = loop_create();
    p->tls = tls_client_create(&judge, error, sizeof error);
    if (!p->world.loop || !p->tls)
        return fail(p, error);
    p->world.end_us = loop_now_us(p->world.loop) + PATIENCE_ALL;
    p->world.resolver = named ? resolver_create(p->world.loop) : NULL;
    if (named && !p->world.resolver)
        return fail(p, "names cannot be resolved here: is there no usable /etc/resolv.conf?");
    take_steps(p);
    return p->facts->verb || p->facts->greeting_code / 100 > 2;
}

static void end(struct probe *p)
{
    dialog_close(&p->bare);
    dialog_close(&p->behind);
    resolver_destroy(&p->world.resolver);
    loop_destroy(&p->world.loop);
    tls_client_unref(&p->tls);
    free(p->facts);
}

bool probe_run(const struct probe_request *r, struct buf *out)
{
    struct probe p = {.request = r,
                      .facts = new_facts(r),
                      .implicit = r->tls == PROBE_TLS_IMPLICIT ||
                                  (r->tls == PROBE_TLS_OFFERED && r->port == PORT_IMPLICIT),
                      .header = FACTS_WAYS};
    if (!p.facts)
        return false;
    p.facts->tls.implicit = p.implicit;
    bool reached = ask(&p);
    bool printed = r->json ? report_json(p.facts, out) : report_text(p.facts, out);
    end(&p);
    return reached && printed;
}
