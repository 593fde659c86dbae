/* SPDX-License-Identifier: MIT */
/* Edits. The host does them when the message has passed; here they are asked for, in the order in which rules
 * hit. What waits belongs to the transaction and goes with it. With `skip_dkim`, edits of the header section
 * wait until it was seen: whether there is a DKIM-Signature decides over them. */
#include "edit.h"

#include <stdlib.h>
#include <string.h>

static struct postern_span span(const char *text)
{
    return (struct postern_span){.p = text ? text : "", .n = text ? strlen(text) : 0}; /* the rule's own */
}

static bool of_header(const struct rule *rule)
{
    return rule->action == RULE_HEADER_ADD || rule->action == RULE_HEADER_REPLACE ||
           rule->action == RULE_HEADER_REMOVE || rule->action == RULE_SUBJECT;
}

static int ask(const struct postern_host *host, struct postern_tx *tx, const struct rule *rule)
{
    struct postern_span field = span(rule->field), text = span(rule->text);
    switch (rule->action) {
    case RULE_HEADER_ADD:
        return host->header_add(tx, field, text);
    case RULE_HEADER_REPLACE:
        return host->header_replace(tx, field, text);
    case RULE_HEADER_REMOVE:
        return host->header_remove(tx, field);
    case RULE_SUBJECT:
        return host->subject_prefix(tx, text);
    case RULE_REDIRECT:
        return host->rcpt_replace(tx, text);
    case RULE_BCC:
        return host->rcpt_add(tx, text);
    case RULE_TAG:
        return host->tag(tx, field, text);
    default:
        return -1;
    }
}

static int ask_now(const struct edits *e, const struct content *c, struct postern_tx *tx,
                   const struct rule *rule)
{
    struct postern_span id = c->host->get(tx, POSTERN_F_SESSION_ID);
    if (c->skip_dkim && e->is_signed && of_header(rule)) {
        c->host->count(c->self, "edits_skipped", 1);
        c->host->log(c->self, POSTERN_LOG_INFO,
                     "session %.*s: %s: not done, the message is signed (skip_dkim)", (int)id.n, id.p,
                     rule->place);
        return 0;
    }
    if (ask(c->host, tx, rule) == 0)
        return 0;
    c->host->count(c->self, "edits_failed", 1);
    c->host->log(c->self, POSTERN_LOG_WARN, "session %.*s: %s: the message could not be changed", (int)id.n,
                 id.p, rule->place);
    return -1;
}

static int wait_for_header(struct edits *e, const struct rule *rule)
{
    if (e->n == e->size) {
        size_t size = e->size ? e->size * 2 : 8;
        const struct rule **waiting = realloc((void *)e->waiting, size * sizeof(const struct rule *));
        if (!waiting)
            return -1;
        e->waiting = waiting;
        e->size = size;
    }
    e->waiting[e->n++] = rule;
    return 0;
}

int edits_ask(struct edits *e, const struct content *c, struct postern_tx *tx, const struct rule *rule)
{
    if (c->skip_dkim && !e->header_over && of_header(rule))
        return wait_for_header(e, rule);
    return ask_now(e, c, tx, rule);
}

void edits_header_over(struct edits *e, const struct content *c, struct postern_tx *tx)
{
    e->header_over = true;
    for (size_t i = 0; i < e->n; i++)
        (void)!ask_now(e, c, tx, e->waiting[i]);
    e->n = 0;
}

void edits_end(struct edits *e)
{
    free((void *)e->waiting);
    *e = (struct edits){0};
}

static bool edits_in_list(const struct rule_list *list)
{
    for (const struct rule *r = list->first; r; r = r->next)
        if (r->action >= RULE_HEADER_ADD && r->action <= RULE_BCC)
            return true;
    return false;
}

bool edits_in(const struct rule_set *rules)
{
    for (size_t i = 0; i < SCOPES; i++)
        if (edits_in_list(&rules->scopes[i]))
            return true;
    for (const struct rule_field *f = rules->fields; f; f = f->next)
        if (edits_in_list(&f->rules))
            return true;
    return false;
}
