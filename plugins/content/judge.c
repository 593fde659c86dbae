/* SPDX-License-Identifier: MIT */
/* Rules at work. A judge belongs to a session; its marks belong to a transaction and go with it.
 *
 *   subject --> scanner (scan.c): rules that see something --> in the order of the files:
 *                 |                    |                |
 *               SCORE                WARN      REJECT, DEFER, DISCARD, or an error  --> finding, the rest
 * rests |                    |
 *                 +---- names that hold -----> [meta] rules, when the header section is over and at the end
 *
 * A rule that is negated or stands in an `if` can only hit when the whole of a text was searched; till then
 * its marks remember what earlier windows had. */
#include "judge.h"

#include "scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct postern_span span(const char *text)
{
    return (struct postern_span){.p = text, .n = text ? strlen(text) : 0}; /* our own or the rule's text */
}

int judge_begin(struct judge *j)
{
    const struct rule_set *set = &j->content->rules;
    judge_end(j);
    j->marks = calloc((size_t)set->count * MARKS / 8 + 1, 1);
    j->names = calloc(set->names.n / 8 + 1, 1);
    if (j->marks && j->names)
        return 0;
    judge_end(j);
    return -1;
}

void judge_end(struct judge *j)
{
    free(j->marks);
    free(j->names);
    free(j->spent);
    j->spent = NULL;
    j->marks = j->names = NULL;
    j->carried = 0;
    edits_end(&j->edits);
}

/* An error is no "not found": it is counted each time, logged once, and settles the matter unless the
 * administrator chose to pass over it. */
static void match_failed(struct judge *j, const struct postern_tx *tx, const struct rule *rule, int code,
                         struct finding *f)
{
    static const char *const names[] = {"tempfail", "skip", "reject"};
    const struct content *c = j->content;
    c->host->count(c->self, "match_error", 1);
    if (!marked(j->marks, MARK_LOGGED, rule->index)) {
        char why[160];
        struct postern_span id = c->host->get(tx, POSTERN_F_SESSION_ID);
        matcher_error(code, why, sizeof why);
        c->host->log(
            c->self, POSTERN_LOG_ERROR,
            "session %.*s: %s: the pattern could not be matched: %s (PCRE2 error %d); on_match_error: %s",
            (int)id.n, id.p, rule->place, why, code, names[c->on_match_error]);
        mark(j->marks, MARK_LOGGED, rule->index, true);
    }
    if (c->on_match_error != ON_ERROR_SKIP)
        *f = (struct finding){.cause = FOUND_MATCH_ERROR, .rule = rule};
}

static struct postern_span score_name(const struct judge *j, const struct rule *rule)
{
    const struct words *names = &j->content->rules.names;
    if (rule->text || rule->name == WORDS_NONE)
        return span(rule->text ? rule->text : rule->place);
    return (struct postern_span){names->text + names->all[rule->name].at, names->all[rule->name].n};
}

/* A redirected message must not reach those from whom it was to be kept. */
static void edited(const struct rule *rule, int result, struct finding *f)
{
    if (result < 0 && rule->action == RULE_REDIRECT)
        *f = (struct finding){.cause = FOUND_EDIT_ERROR, .rule = rule};
}

/* For who looks on; nobody does where mail flows. `s`: what the pattern was found in, or NULL. */
static void trace(const struct judge *j, const struct rule *rule, const struct subject *s)
{
    const struct content *c = j->content;
    struct postern_span matched = {0};
    struct budget budget = {.left_ns = c->rule_time_us * 1000};
    size_t from, to;
    if (!c->host->trace)
        return;
    if (s && rule->test == TEST_PATTERN && !rule->negated &&
        matcher_try(c->matcher, rule->pattern, s, &budget) > 0) {
        matcher_last(c->matcher, &from, &to);
        matched = (struct postern_span){s->p + from, to - from};
    } else if (s && rule->test != TEST_PATTERN) {
        matched = (struct postern_span){s->p, s->n};
    }
    c->host->trace(c->self, span(rule->place), matched);
}

static void act(struct judge *j, struct postern_tx *tx, const struct rule *rule, const struct subject *s,
                struct finding *f)
{
    const struct content *c = j->content;
    struct postern_span id = c->host->get(tx, POSTERN_F_SESSION_ID);
    if (rule->name != WORDS_NONE && j->names)
        j->names[rule->name / 8] |= (uint8_t)(1u << (rule->name % 8));
    if (rule->action != RULE_NONE)
        c->host->count(c->self, "hits", 1);
    trace(j, rule, s);
    switch (rule->action) {
    case RULE_NONE:
        break;
    case RULE_SCORE:
        c->host->add_score(tx, score_name(j, rule), rule->points);
        break;
    case RULE_WARN:
        c->host->log(c->self, POSTERN_LOG_WARN, "session %.*s: %s: %s", (int)id.n, id.p, rule->place,
                     rule->text ? rule->text : "the rule matched");
        break;
    case RULE_DISCARD: /* its text is for the log: the client is told nothing */
        c->host->log(c->self, POSTERN_LOG_INFO, "session %.*s: %s: discarded%s%s", (int)id.n, id.p,
                     rule->place, rule->text ? ": " : "", rule->text ? rule->text : "");
        *f = (struct finding){.cause = FOUND_RULE, .rule = rule};
        return;
    case RULE_HEADER_ADD:
    case RULE_HEADER_REPLACE:
    case RULE_HEADER_REMOVE:
    case RULE_SUBJECT:
    case RULE_REDIRECT:
    case RULE_BCC:
    case RULE_TAG:
        edited(rule, edits_ask(&j->edits, c, tx, rule), f);
        break;
    case RULE_REJECT:
    case RULE_DEFER: /* not done with: the next recipient may be refused by it too */
        *f = (struct finding){.cause = FOUND_RULE, .rule = rule};
        return;
    }
    mark(j->marks, MARK_DONE, rule->index, true);
}

/* An `if` does nothing itself. A helo rule that waits for MAIL is tried there again. */
static bool is_for_now(const struct judge *j, const struct rule_list *list, const struct rule *rule)
{
    if (rule->action == RULE_NONE && rule->name == WORDS_NONE)
        return false;
    return list->scope != SCOPE_HELO || rule_waits(rule) == (j->marks != NULL);
}

static void consider(struct judge *j, struct postern_tx *tx, const struct rule_list *list,
                     const struct touch *touch, const struct subject *s, struct finding *f)
{
    const struct scanner *sc = list->scanner;
    const struct rule *rule = sc->rules[touch->at];
    bool waits = rule->negated || rule->inside || rule->action == RULE_NONE;
    if (touch->code < 0)
        match_failed(j, tx, rule, touch->code, f);
    if (f->cause != FOUND_NOTHING)
        return;
    if (!s->last && waits) {
        bool seen = sc->sights[touch->at] & SIGHT_SEEN;
        mark(j->marks, seen ? MARK_SEEN : MARK_FAILED, rule->index, true);
        j->carried |= 1u << list->scope;
    } else if (is_for_now(j, list, rule) && scanner_hits(sc, rule))
        act(j, tx, rule, s, f);
}

void judge_try(struct judge *j, struct postern_tx *tx, const struct rule_list *list, const struct subject *s,
               struct finding *f)
{
    struct scanner *sc = list->scanner;
    if (!sc || f->cause != FOUND_NOTHING)
        return;
    const struct content *c = j->content;
    struct scan_call call = {c->matcher, j->marks, c->rule_time_us * 1000, &j->spent, c->rules.count};
    scanner_run(sc, &call, s);
    if (s->last && (j->carried & 1u << list->scope)) {
        scanner_recall(sc, j->marks);
        j->carried &= ~(1u << list->scope);
    }
    for (uint32_t i = 0; i < sc->touched_n && f->cause == FOUND_NOTHING; i++)
        consider(j, tx, list, &sc->touched[i], s, f);
    scanner_clear(sc);
}

static bool size_holds(const struct comparison *c, uint64_t bytes)
{
    return (c->equal && bytes == c->bytes) || (c->below ? bytes < c->bytes : bytes > c->bytes);
}

void judge_size(struct judge *j, struct postern_tx *tx, uint64_t bytes, struct finding *f)
{
    const struct rule *rule = j->content->rules.scopes[SCOPE_SIZE].first;
    for (; rule && f->cause == FOUND_NOTHING; rule = rule->next)
        if (size_holds(&rule->size, bytes) != rule->negated)
            act(j, tx, rule, NULL, f);
}

void judge_metas(struct judge *j, struct postern_tx *tx, enum judge_moment moment, struct finding *f)
{
    const struct rule_set *set = &j->content->rules;
    uint32_t i = moment == JUDGE_HEADERS ? 0 : set->early;
    uint32_t end = moment == JUDGE_HEADERS ? set->early : set->metas_n;
    for (; i < end && j->names && f->cause == FOUND_NOTHING; i++)
        if (meta_holds(set->metas[i]->meta, j->names) != set->metas[i]->negated)
            act(j, tx, set->metas[i], NULL, f);
}

static void fill(struct postern_verdict *v, enum postern_action action, unsigned code, const char *enhanced,
                 const char *text)
{
    v->action = action;
    v->code = code;
    v->enhanced = span(enhanced);
    v->text = span(text);
}

void judge_verdict(const struct judge *j, const struct finding *f, struct postern_verdict *v)
{
    bool for_good = f->cause == FOUND_MATCH_ERROR && j->content->on_match_error == ON_ERROR_REJECT;
    if (f->cause == FOUND_NOTHING)
        return;
    if (f->cause == FOUND_RULE && f->rule->action == RULE_DISCARD)
        v->action = POSTERN_DISCARD;
    else if (f->cause == FOUND_RULE)
        fill(v, f->rule->action == RULE_REJECT ? POSTERN_REJECT : POSTERN_TEMPFAIL, f->rule->code,
             f->rule->enhanced, f->rule->text);
    else if (for_good)
        fill(v, POSTERN_REJECT, 550, "5.7.1", "The message cannot be checked");
    else
        fill(v, POSTERN_TEMPFAIL, 451, "4.7.1", "The message cannot be checked now, try again later");
    v->rule = span(f->rule ? f->rule->place : "memory");
}

void judge_score(struct judge *j, const struct postern_tx *tx, struct postern_verdict *v)
{
    const struct content *c = j->content;
    double score = c->host->score(tx);
    bool refuse = c->reject.set && score >= c->reject.points;
    bool defer = c->defer.set && score >= c->defer.points;
    if (!refuse && !defer)
        return;
    (void)snprintf(j->score_text, sizeof j->score_text, "Message %s by content policy (score %.6g)",
                   refuse ? "refused" : "deferred", score);
    if (refuse)
        fill(v, POSTERN_REJECT, 550, "5.7.1", j->score_text);
    else
        fill(v, POSTERN_TEMPFAIL, 450, "4.7.1", j->score_text);
    v->rule = span(refuse ? "score.reject" : "score.defer");
}
