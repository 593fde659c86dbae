/* SPDX-License-Identifier: MIT */
/* XCLIENT and XFORWARD, tried: each on a connection of its own, with the commands that the daemon would say,
 * about an address that is nobody's. Where both are offered in the clear they are tried there. */
#include "probe/parts.h"

#include "base/clock.h"
#include "smtp/identity.h"

static const struct way {
    enum facts_way_name name;
    enum identity_verb verb;
    struct span keyword; /* in the offer */
    bool begins_anew;    /* the server greets again and wants EHLO */
} ways[] = {
    {FACTS_XCLIENT, IDENTITY_XCLIENT, {"XCLIENT", 7}, true},
    {FACTS_XFORWARD, IDENTITY_XFORWARD, {"XFORWARD", 8}, false},
};

static uint32_t offered(const struct way *w, const struct facts_offer *o)
{
    return w->verb == IDENTITY_XCLIENT ? o->ehlo.xclient : o->ehlo.xforward;
}

/* What stands behind the keyword. */
static void note_attributes(const struct way *w, const struct facts_offer *o, struct facts_way *result)
{
    for (size_t i = 0; i < o->n; i++) {
        struct span line = span_of(o->line[i]);
        if (span_ieq(span_head(line, span_find(line, ' ')), w->keyword))
            dialog_printable(result->attributes, sizeof result->attributes,
                             span_trim(span_skip(line, w->keyword.n)));
    }
}

static enum dialog_result say_who(struct dialog *d, const struct way *w, uint32_t attributes)
{
    struct client_identity who = {.client = {SPAN_LIT("192.0.2.1"), 40000}, .esmtp = true};
    struct identity_writer words = {.verb = w->verb, .offered = attributes, .who = &who};
    enum dialog_result r = DIALOG_GOOD;
    char line[IDENTITY_LINE];
    size_t n;
    while (r == DIALOG_GOOD && identity_next(&words, line, &n)) {
        r = dialog_say(d, span_make(line, n), PATIENCE_REPLY);
        if (r == DIALOG_GOOD && d->code / 100 != 2)
            r = dialog_refused(d);
    }
    return r;
}

static void conclude(struct facts_way *result, const struct dialog *d, enum dialog_result r)
{
    result->outcome = r == DIALOG_GOOD ? FACTS_WORKS : r == DIALOG_REFUSED ? FACTS_REFUSED : FACTS_FAILED;
    if (r != DIALOG_GOOD)
        dialog_printable(result->detail, sizeof result->detail, span_of(d->why));
}

static void try_way(struct probe *p, const struct way *w)
{
    struct facts *f = p->facts;
    struct facts_way *result = &f->ways[w->name];
    const struct facts_offer *offer = offered(w, &f->clear) ? &f->clear : &f->secure;
    struct dialog d;
    *result = (struct facts_way){.outcome = FACTS_NOT_OFFERED};
    if (!offered(w, offer))
        return;
    result->in_tls = offer == &f->secure;
    note_attributes(w, offer, result);
    enum dialog_result r = approach_again(p, &d, result->in_tls);
    if (r == DIALOG_GOOD)
        r = say_who(&d, w, offered(w, offer));
    if (r == DIALOG_GOOD && w->begins_anew)
        r = approach_hello(p, &d, NULL);
    conclude(result, &d, r);
    approach_leave(&d);
}

void ways_try(struct probe *p)
{
    for (size_t i = 0; i < COUNT_OF(ways); i++)
        try_way(p, &ways[i]);
}
