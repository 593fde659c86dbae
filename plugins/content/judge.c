/* SPDX-License-Identifier: MIT */
/* Rules at work. A judge belongs to a session; its marks belong to a transaction and go with it.
 *
 *   subject --> rule 1 --> rule 2 --> … --> rule n          in the order of the files
 *                 |          |                |
 *               SCORE       WARN      REJECT, DEFER, DISCARD, or an error  --> finding, and the rest rests
 *
 * Marks are three bits a rule: it is done for this transaction (SCORE and WARN work once), its pattern was
 * seen in the subject that is still coming (for "!"), and an error of it was logged. */
#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mark { MARK_DONE, MARK_SEEN, MARK_ERROR, MARKS };

static struct postern_span span(const char *text)
{
    return (struct postern_span){.p = text, .n = text ? strlen(text) : 0}; /* our own or the rule's text */
}

static size_t mark_bit(enum mark m, const struct rule *rule)
{
    return (size_t)rule->index * MARKS + (size_t)m;
}

static bool marked(const struct judge *j, enum mark m, const struct rule *rule)
{
    size_t bit = mark_bit(m, rule);
    return j->marks && (j->marks[bit / 8] >> (bit % 8) & 1);
}

/* Without a transaction (at HELO) a list is tried once on one subject, and nothing needs to be remembered. */
static void mark(struct judge *j, enum mark m, const struct rule *rule, bool on)
{
    size_t bit = mark_bit(m, rule);
    uint8_t mask = (uint8_t)(1u << (bit % 8));
    if (!j->marks)
        return;
    if (on)
        j->marks[bit / 8] |= mask;
    else
        j->marks[bit / 8] &= (uint8_t)~mask;
}

int judge_begin(struct judge *j)
{
    judge_end(j);
    j->marks = calloc((size_t)j->content->rules.count * MARKS / 8 + 1, 1);
    return j->marks ? 0 : -1;
}

void judge_end(struct judge *j)
{
    free(j->marks);
    j->marks = NULL;
}

/* An error is no "not found": it is counted each time, logged once, and settles the matter unless the
 * administrator chose to pass over it. */
static void match_failed(struct judge *j, const struct postern_tx *tx, const struct rule *rule, int code,
                         struct finding *f)
{
    static const char *const names[] = {"tempfail", "skip", "reject"};
    const struct content *c = j->content;
    c->host->count(c->self, "match_error", 1);
    if (!marked(j, MARK_ERROR, rule)) {
        char why[160];
        struct postern_span id = c->host->get(tx, POSTERN_F_SESSION_ID);
        matcher_error(code, why, sizeof why);
        c->host->log(
            c->self, POSTERN_LOG_ERROR,
            "session %.*s: %s: the pattern could not be matched: %s (PCRE2 error %d); on_match_error: %s",
            (int)id.n, id.p, rule->place, why, code, names[c->on_match_error]);
        mark(j, MARK_ERROR, rule, true);
    }
    if (c->on_match_error == ON_ERROR_SKIP)
        mark(j, MARK_SEEN, rule, true); /* "!" must not hit because we could not look */
    else
        *f = (struct finding){.cause = FOUND_MATCH_ERROR, .rule = rule};
}

/* Does the rule hit? A negated one only knows when the whole of the text was tried. */
static bool hits(struct judge *j, const struct postern_tx *tx, const struct rule *rule,
                 const struct subject *s, struct finding *f)
{
    bool seen = rule->negated && marked(j, MARK_SEEN, rule);
    int rc = seen ? 1 : matcher_try(j->content->matcher, rule->pattern, s);
    if (rc < 0) {
        match_failed(j, tx, rule, rc, f);
        if (s->last)
            mark(j, MARK_SEEN, rule, false);
        return false;
    }
    if (!rule->negated)
        return rc > 0;
    mark(j, MARK_SEEN, rule, rc > 0 && !s->last);
    return s->last && rc == 0;
}

static void act(struct judge *j, struct postern_tx *tx, const struct rule *rule, struct finding *f)
{
    const struct content *c = j->content;
    c->host->count(c->self, "hits", 1);
    mark(j, MARK_DONE, rule, true);
    struct postern_span id = c->host->get(tx, POSTERN_F_SESSION_ID);
    switch (rule->action) {
    case RULE_SCORE:
        c->host->add_score(tx, span(rule->text ? rule->text : rule->place), rule->points);
        return;
    case RULE_WARN:
        c->host->log(c->self, POSTERN_LOG_WARN, "session %.*s: %s: %s", (int)id.n, id.p, rule->place,
                     rule->text ? rule->text : "the rule matched");
        return;
    case RULE_DISCARD: /* its text is for the log: the client is told nothing */
        c->host->log(c->self, POSTERN_LOG_INFO, "session %.*s: %s: discarded%s%s", (int)id.n, id.p,
                     rule->place, rule->text ? ": " : "", rule->text ? rule->text : "");
        break;
    case RULE_REJECT:
    case RULE_DEFER:
        break;
    }
    *f = (struct finding){.cause = FOUND_RULE, .rule = rule};
}

void judge_try(struct judge *j, struct postern_tx *tx, const struct rule_list *list, const struct subject *s,
               struct finding *f)
{
    for (const struct rule *rule = list->first; rule && f->cause == FOUND_NOTHING; rule = rule->next)
        if (!marked(j, MARK_DONE, rule) && hits(j, tx, rule, s, f))
            act(j, tx, rule, f);
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
