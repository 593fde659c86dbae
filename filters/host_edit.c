/* SPDX-License-Identifier: MIT */
/* Edits and tags as a plugin asks for them: may it, and when; then the list of the transaction (edit.c).
 *
 *   plugin --host->header_add(tx, …)--> may it? --> edits_add --> 0
 *                                         `-- no, or it cannot be --> the log says why --> -1
 *
 * What a filter in shadow mode wants is checked like all else, logged, and forgotten. The list is the run's.
 */
#include "filters/host_edit.h"

#include "filters/run.h"

typedef const char *edit_step(struct edits *e, struct span name, struct span value, bool utf8);

struct wish {
    const char *what; /* for the log */
    edit_step *step;
    struct span name, value;
};

static struct span from_plugin(struct postern_span s)
{
    return (struct span){s.p, s.n};
}

/* Always -1, so that a function can return it. */
static int refuse(const struct chain_run *r, const struct wish *w, const char *why)
{
    const struct filter_instance *f = run_caller(r);
    char text[512];

    (void)snprintf(text, sizeof(text), "%s '%.*s' is not done, session %.*s: %s", w->what, SPAN_FMT(w->name),
                   SPAN_FMT(r->view->session_id), why);
    r->services->log(r->services->ctx, POSTERN_LOG_WARN, f ? f->name : "postern", text);
    if (f)
        instance_count(f, "edit_refused");
    return -1;
}

/* A shadow's wish is done to a list of its own. */
static int would(const struct chain_run *r, const struct wish *w)
{
    static const struct edit_limits limits;
    const struct filter_instance *f = run_caller(r);
    struct edits *alone = edits_create(&limits);
    const char *why = alone ? w->step(alone, w->name, w->value, r->view->smtputf8) : "no memory";
    char text[512];

    edits_destroy(&alone);
    if (why)
        return refuse(r, w, why);
    (void)snprintf(text, sizeof(text), "shadow: would have done %s '%.*s', session %.*s", w->what,
                   SPAN_FMT(w->name), SPAN_FMT(r->view->session_id));
    r->services->log(r->services->ctx, POSTERN_LOG_INFO, f->name, text);
    instance_count(f, "would_edit");
    return 0;
}

static bool has_list(struct chain_run *r)
{
    static const struct edit_limits limits;
    if (!r->edits)
        r->edits = edits_create(&limits);
    return r->edits != NULL;
}

static int edit(struct postern_tx *tx, const struct wish *w)
{
    struct chain_run *r = tx->run;
    const struct filter_instance *f = run_caller(r);

    if (!f)
        return refuse(r, w, "no hook of a filter is being called, and no answer awaited");
    if (!(f->plugin.wants & POSTERN_WANTS_EDITS))
        return refuse(r, w, "the plugin's descriptor does not say that it wants edits");
    if (!r->editable)
        return refuse(r, w, "there is no message, or END was answered already");
    if (f->shadow)
        return would(r, w);
    if (!has_list(r))
        return refuse(r, w, "no memory");
    const char *why = w->step(r->edits, w->name, w->value, r->view->smtputf8);
    if (why)
        return refuse(r, w, why);
    instance_count(f, "edit");
    return 0;
}

/* ---- each of them ---- */

static const char *step_remove(struct edits *e, struct span name, struct span value, bool utf8)
{
    (void)value, (void)utf8;
    return edits_remove(e, name);
}

static const char *step_prefix(struct edits *e, struct span text, struct span value, bool utf8)
{
    (void)value, (void)utf8;
    return edits_prefix(e, text);
}

static const char *step_copy(struct edits *e, struct span mailbox, struct span value, bool utf8)
{
    (void)value;
    return edits_copy(e, mailbox, utf8);
}

static const char *step_redirect(struct edits *e, struct span mailbox, struct span value, bool utf8)
{
    (void)value;
    return edits_redirect(e, mailbox, utf8);
}

static int edit_with(struct postern_tx *tx, const char *what, edit_step *step, struct postern_span name,
                     struct postern_span value)
{
    const struct wish w = {
        .what = what, .step = step, .name = from_plugin(name), .value = from_plugin(value)};
    return edit(tx, &w);
}

static const struct postern_span nothing = {NULL, 0};

int host_header_add(struct postern_tx *tx, struct postern_span name, struct postern_span value)
{
    return edit_with(tx, "header_add", edits_add, name, value);
}

int host_header_replace(struct postern_tx *tx, struct postern_span name, struct postern_span value)
{
    return edit_with(tx, "header_replace", edits_replace, name, value);
}

int host_header_remove(struct postern_tx *tx, struct postern_span name)
{
    return edit_with(tx, "header_remove", step_remove, name, nothing);
}

int host_subject_prefix(struct postern_tx *tx, struct postern_span text)
{
    return edit_with(tx, "subject_prefix", step_prefix, text, nothing);
}

int host_rcpt_add(struct postern_tx *tx, struct postern_span mailbox)
{
    return edit_with(tx, "rcpt_add", step_copy, mailbox, nothing);
}

int host_rcpt_replace(struct postern_tx *tx, struct postern_span mailbox)
{
    return edit_with(tx, "rcpt_replace", step_redirect, mailbox, nothing);
}

/* ---- tags: they change nothing, so any filter may set them ---- */

int host_tag(struct postern_tx *tx, struct postern_span name, struct postern_span value)
{
    struct chain_run *r = tx->run;
    const struct wish w = {.what = "tag", .name = from_plugin(name)};

    if (!r->editable)
        return refuse(r, &w, "there is no message, or END was answered already");
    if (!has_list(r))
        return refuse(r, &w, "no memory");
    const char *why = edits_tag(r->edits, w.name, from_plugin(value), run_in_shadow(r));
    return why ? refuse(r, &w, why) : 0;
}

struct postern_span host_tag_get(const struct postern_tx *tx, struct postern_span name)
{
    struct span value = edits_tag_get(tx->run->edits, from_plugin(name), run_in_shadow(tx->run));
    return (struct postern_span){value.p, value.n};
}
