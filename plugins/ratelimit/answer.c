/* SPDX-License-Identifier: MIT */
/* What a decision says to the client and to the log. Texts lie in the session, because the host copies them
 * after the hook has returned. The log shows a key by its hash: who sent what is for the transaction's own
 * line. */
#include "ratelimit.h"

#include <inttypes.h>

enum { CODE_CLOSE = 421, CODE_REJECT = 500, CODE_UNAVAILABLE = 451, SECOND_US = 1000000 };

static uint64_t seconds(uint64_t us)
{
    return us / SECOND_US + (us % SECOND_US != 0);
}

static struct postern_span refusal_text(struct session *s, const struct limit *l, uint64_t wait)
{
    if (l->text.n)
        return l->text;
    int n = snprintf(s->refusal, sizeof(s->refusal), "Rate limit %.*s: try again in %" PRIu64 " second%s",
                     SPAN_ARGS(l->name), wait, wait == 1 ? "" : "s");
    return (struct postern_span){s->refusal, (size_t)n};
}

void answer_refused(struct session *s, const struct refusal *why, struct postern_verdict *v)
{
    const struct ratelimit *f = s->filter;
    const struct limit *l = why->holding->limit;
    uint64_t wait = seconds(why->wait_us);

    f->host->count(f->self, "refused", 1);
    f->host->log(f->self, POSTERN_LOG_INFO,
                 "session=%.*s limit=%.*s refused: key=%016" PRIx64 " left=%" PRIu64 " wait=%" PRIu64
                 "s store=%s",
                 (int)s->id_n, s->id, SPAN_ARGS(l->name), why->holding->id.lo, why->left, wait, why->store);
    v->action = POSTERN_TEMPFAIL;
    if (l->code >= CODE_REJECT)
        v->action = POSTERN_REJECT;
    else if (l->code == CODE_CLOSE)
        v->action = POSTERN_DISCONNECT;
    v->code = l->code;
    v->enhanced = l->code >= CODE_REJECT ? SPAN("5.7.1") : SPAN("4.7.1");
    v->text = refusal_text(s, l, wait);
    v->rule = l->name;
}

void answer_unavailable(const struct limit *limit, struct postern_verdict *v)
{
    v->action = POSTERN_TEMPFAIL;
    v->code = CODE_UNAVAILABLE;
    v->enhanced = SPAN("4.7.1");
    v->text = SPAN("Policy service is not available, try again later");
    if (limit)
        v->rule = limit->name;
}

void answer_allowed(const struct session *s, const struct holding *h, const char *store, uint64_t left)
{
    const struct ratelimit *f = s->filter;

    f->host->log(f->self, POSTERN_LOG_DEBUG,
                 "session=%.*s limit=%.*s allowed: key=%016" PRIx64 " left=%" PRIu64 " store=%s",
                 (int)s->id_n, s->id, SPAN_ARGS(h->limit->name), h->id.lo, left, store);
}
