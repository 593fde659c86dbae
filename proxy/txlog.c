/* SPDX-License-Identifier: MIT */
/* session_report -> one log record. Nothing is kept. The fields and their order are read by people's scripts:
 * add at the end, rename nothing. An empty field is left out, but verdict, stage and tls are always there. */
#include "proxy/txlog.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define RCPTS_SHOWN 5

static void text(struct log_record *line, const char *key, struct span value)
{
    if (value.n)
        log_str(line, key, value);
}

static void who(struct log_record *line, const struct session_report *r, const struct txlog_extra *extra)
{
    const struct txview *v = r->view;
    text(line, "sid", v->session_id);
    log_int(line, "gen", (int64_t)r->policy->generation);
    text(line, "listener", v->listener);
    text(line, "client", v->client_address);
    struct span tls = extra->client_tls.version ? span_of(extra->client_tls.version) : v->tls;
    log_str(line, "tls", r->in_tls && tls.n ? tls : SPAN_LIT("-"));
    text(line, "helo", v->helo);
    text(line, "user", v->user);
}

/* "2/3": accepted of offered. */
static void rcpt_counts(struct log_record *line, const struct session_report *r)
{
    char counts[48];
    int n = snprintf(counts, sizeof counts, "%zu/%zu", r->rcpt_accepted, r->rcpt_offered);
    if (r->rcpt_offered && n > 0)
        log_str(line, "rcpt", span_make(counts, (size_t)n));
}

static void first_rcpts(struct log_record *line, const struct txview *v)
{
    char joined[RCPTS_SHOWN * 130];
    size_t n = 0;
    for (size_t i = 0; i < v->rcpt_count && i < RCPTS_SHOWN; i++) {
        struct span one = span_head(v->rcpts[i], 128);
        if (i)
            joined[n++] = ',';
        if (one.n)
            memcpy(joined + n, one.p, one.n);
        n += one.n;
    }
    text(line, "to", span_make(joined, n));
}

static void envelope(struct log_record *line, const struct session_report *r)
{
    if (r->rcpt_offered || r->view->sender.n)
        log_str(line, "from", r->view->sender); /* from="" is the null sender */
    rcpt_counts(line, r);
    first_rcpts(line, r->view);
    if (r->bytes)
        log_int(line, "size", (int64_t)r->bytes);
}

static void judgement(struct log_record *line, const struct session_report *r)
{
    log_cstr(line, "verdict", r->verdict ? r->verdict : "-");
    log_cstr(line, "stage", r->stage ? r->stage : "-");
    text(line, "filter", span_of(r->filter));
    text(line, "rule", r->rule);
    if (r->score_text.n) {
        log_real(line, "score", r->score);
        log_str(line, "scores", r->score_text);
    }
    text(line, "flags", r->flags);
}

static void outcome(struct log_record *line, const struct session_report *r, const struct txlog_extra *extra)
{
    text(line, "upstream", extra->upstream);
    if (extra->upstream.n)
        log_cstr(line, "upstream_tls", extra->upstream_tls.version ? extra->upstream_tls.version : "-");
    if (r->code)
        log_int(line, "code", (int64_t)r->code);
    text(line, "reply", r->reply);
    text(line, "qid", r->queue_id);
    text(line, "note", span_of(r->note));
}

static void times(struct log_record *line, const struct session_report *r)
{
    log_int(line, "ms", (int64_t)(r->total_us / US_PER_MS));
    log_int(line, "filter_ms", (int64_t)(r->filter_us / US_PER_MS));
    if (r->upstream_used)
        log_int(line, "upstream_ms", (int64_t)(r->upstream_us / US_PER_MS));
    if (r->undelivered)
        log_cstr(line, "undelivered", "yes");
    text(line, "tags", r->tags);
    text(line, "edits", r->edits);
}

/* Who the client is by its own certificate. */
static void certificate(struct log_record *line, const struct tls_info *tls)
{
    if (!tls->peer_fingerprint)
        return;
    log_cstr(line, "client_cert", tls->peer_subject);
    log_cstr(line, "client_cert_sha256", tls->peer_fingerprint);
}

/* How it was known that the server is the right one. */
static void verification(struct log_record *line, const struct txlog_extra *extra)
{
    if (extra->upstream.n && extra->upstream_tls.verified)
        log_cstr(line, "upstream_verified", extra->upstream_tls.dane ? "dane" : "certificate");
}

void txlog_limit(struct log *l, const char *limit, const struct txview *view)
{
    struct log_record line;
    log_begin(&line, l, LOG_AT_INFO, "limit");
    log_cstr(&line, "limit", limit);
    log_str(&line, "sid", view->session_id);
    log_str(&line, "listener", view->listener);
    log_str(&line, "client", view->client_address);
    text(&line, "user", view->user);
    text(&line, "from", view->sender);
    log_end(&line);
}

void txlog_report(struct log *l, const struct session_report *r, const struct txlog_extra *extra)
{
    struct log_record line;
    log_begin(&line, l, LOG_AT_INFO, "transaction");
    who(&line, r, extra);
    envelope(&line, r);
    judgement(&line, r);
    outcome(&line, r, extra);
    times(&line, r);
    certificate(&line, &extra->client_tls);
    verification(&line, extra);
    log_end(&line);
}
