/* SPDX-License-Identifier: MIT */
/* What can only be known when all rule files were read: which rules bear a name, and in which order the
 * [meta] rules must be tried. What is made here lives during rules_finish() alone, but for the order.
 *
 *   names --- rules that bear them --- scopes: known when the header section is over, or at the end
 *     |
 *     +------ [meta] rules that bear them --> their names --> …     (a circle is an error) */
#include "rules.h"

#include <stdlib.h>

enum { DEPTH_MAX = 200 }; /* [meta] rules that build on each other */

enum visit { VISIT_NEW, VISIT_OPEN, VISIT_DONE };

struct node { /* a [meta] rule */
    const struct rule *rule;
    enum visit visit;
    bool late;
    struct node *same_name;
};

struct name_state {
    bool defined, late;
    struct node *metas; /* those that bear it */
};

struct finish {
    struct rule_set *set;
    const struct postern_host *host;
    void *self;
    struct name_state *names;
    struct node *nodes;
    const struct node **order;
    uint32_t nodes_n, order_n, errors;
};

static void error_at(struct finish *f, const struct rule *rule, uint32_t line, uint32_t column,
                     const char *text)
{
    f->host->file_error(f->self, rule->file, line, column, "%s", text);
    f->errors++;
}

static void unknown_name(struct finish *f, const struct rule *rule, const struct meta_step *step)
{
    const struct words *names = &f->set->names;
    const struct word *word = &names->all[step->name];
    f->host->file_error(
        f->self, rule->file, step->line, step->column,
        "no rule has the name '%.*s'; write NAME = /pattern/ before the pattern that it stands for",
        (int)word->n, names->text + word->at);
    f->errors++;
}

static void note_names(struct finish *f, const struct rule_list *list)
{
    for (const struct rule *rule = list->first; rule; rule = rule->next)
        if (rule->name != WORDS_NONE) {
            struct name_state *name = &f->names[rule->name];
            name->defined = true;
            name->late = name->late || (list->scope != SCOPE_META && !scope_rows[list->scope].early);
        }
}

static void note_metas(struct finish *f)
{
    for (const struct rule *rule = f->set->scopes[SCOPE_META].first; rule; rule = rule->next) {
        struct node *node = &f->nodes[f->nodes_n++];
        node->rule = rule;
        if (rule->name != WORDS_NONE) {
            node->same_name = f->names[rule->name].metas;
            f->names[rule->name].metas = node;
        }
    }
}

/* Bounded by DEPTH_MAX. */
static void visit(struct finish *f, struct node *node, unsigned depth) /* NOLINT(misc-no-recursion) */
{
    const struct rule *rule = node->rule;
    if (node->visit == VISIT_DONE)
        return;
    if (node->visit == VISIT_OPEN || depth > DEPTH_MAX) {
        error_at(f, rule, rule->line, 1,
                 node->visit == VISIT_OPEN ? "the names of this rule lead back to itself"
                                           : "too many [meta] rules build on each other: at most 200");
        return;
    }
    node->visit = VISIT_OPEN;
    for (size_t i = 0; i < rule->meta->n && f->errors == 0; i++) {
        const struct meta_step *step = &rule->meta->steps[i];
        struct name_state *name = step->op == META_NAME ? &f->names[step->name] : NULL;
        for (struct node *m = name ? name->metas : NULL; m && f->errors == 0; m = m->same_name)
            visit(f, m, depth + 1);
        node->late = node->late || (name && name->late);
    }
    if (rule->name != WORDS_NONE && node->late)
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): reserve() made it */
        f->names[rule->name].late = true;
    node->visit = VISIT_DONE;
    f->order[f->order_n++] = node;
}

static void check_names(struct finish *f)
{
    for (uint32_t i = 0; i < f->nodes_n; i++) {
        const struct rule *rule = f->nodes[i].rule;
        for (size_t k = 0; k < rule->meta->n; k++)
            if (rule->meta->steps[k].op == META_NAME && !f->names[rule->meta->steps[k].name].defined)
                unknown_name(f, rule, &rule->meta->steps[k]);
    }
}

/* Early ones use early names only, so they may go before the others. */
static void keep_order(struct finish *f)
{
    for (int late = 0; late < 2; late++)
        for (uint32_t i = 0; i < f->order_n; i++)
            if (f->order[i]->late == late) {
                f->set->metas[f->set->metas_n++] = f->order[i]->rule;
                f->set->early += !late;
            }
}

static bool reserve(struct finish *f)
{
    size_t metas = f->set->scopes[SCOPE_META].count;
    f->names = calloc(f->set->names.n + 1, sizeof *f->names);
    f->nodes = calloc(metas + 1, sizeof *f->nodes);
    f->order = calloc(metas + 1, sizeof(const struct node *));
    f->set->metas = calloc(metas + 1, sizeof(const struct rule *));
    return f->names && f->nodes && f->order && f->set->metas;
}

int rules_finish(struct rule_set *set, const struct postern_host *host, void *self)
{
    struct finish f = {.set = set, .host = host, .self = self};
    if (!reserve(&f)) {
        host->config_error(self, NULL, 0, "out of memory");
        f.errors = 1;
        goto out;
    }
    for (int i = 0; i < SCOPES; i++)
        note_names(&f, &set->scopes[i]);
    for (const struct rule_field *field = set->fields; field; field = field->next)
        note_names(&f, &field->rules);
    note_metas(&f);
    check_names(&f);
    for (uint32_t i = 0; i < f.nodes_n && f.errors == 0; i++)
        visit(&f, &f.nodes[i], 0);
    keep_order(&f);
out:
    free(f.names);
    free(f.nodes);
    free((void *)f.order);
    return f.errors ? -1 : 0;
}
