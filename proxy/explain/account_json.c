/* SPDX-License-Identifier: MIT */
/* The same account for programs. The keys are an interface: they may become more, and none changes its
 * meaning. Pure; the texts in the facts are valid UTF-8. */
#include "conf/json.h"
#include "explain/account.h"

#include <stdlib.h>

static void put_answer(struct json *j, const struct facts_answer *a)
{
    json_number(j, "code", a->code);
    json_string(j, "enhanced", a->enhanced);
    json_string(j, "text", a->text);
    json_string(j, "rule", a->rule);
    json_bool(j, "failed", a->failed);
}

static void put_envelope(struct json *j, const struct facts *f, const struct request *r)
{
    json_open(j, "envelope", '{');
    json_text(j, "client", r->client);
    json_text(j, "helo", r->helo);
    json_text(j, "user", r->user);
    json_string(j, "from", r->from.mailbox);
    json_open(j, "to", '[');
    for (size_t i = 0; i < f->rcpts_n; i++) {
        json_open(j, NULL, '{');
        json_string(j, "mailbox", f->rcpts[i].mailbox);
        json_bool(j, "accepted", f->rcpts[i].answer.code == 0);
        put_answer(j, &f->rcpts[i].answer);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_close(j, '}');
}

static void put_fields(struct json *j, const struct facts *f)
{
    json_open(j, "header", '[');
    for (const struct facts_field *field = f->fields; field; field = field->next) {
        json_open(j, NULL, '{');
        json_string(j, "name", field->name);
        json_string(j, "value", field->value);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void put_parts(struct json *j, const struct facts *f)
{
    json_open(j, "parts", '[');
    for (const struct facts_part *part = f->parts; part; part = part->next) {
        json_open(j, NULL, '{');
        json_number(j, "index", part->index);
        json_number(j, "depth", part->depth);
        json_string(j, "type", part->type);
        json_string(j, "declared", part->declared);
        json_string(j, "detected", part->detected);
        json_string(j, "charset", part->charset);
        json_string(j, "disposition", part->disposition);
        json_string(j, "filename", part->filename);
        json_string(j, "text", span_make(part->text, part->text_n));
        json_number(j, "text_bytes", (double)part->text_bytes);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void put_flags(struct json *j, const struct facts *f)
{
    json_open(j, "flags", '[');
    for (const struct facts_flag *flag = f->flags; flag; flag = flag->next) {
        json_open(j, NULL, '{');
        json_text(j, "name", message_flag(flag->flag)->name);
        if (flag->of_part)
            json_number(j, "part", flag->part);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void put_urls(struct json *j, const struct facts *f)
{
    json_open(j, "urls", '[');
    for (const struct facts_url *url = f->urls; url; url = url->next) {
        json_open(j, NULL, '{');
        json_number(j, "part", url->part);
        json_string(j, "text", url->text);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static const char *action_word(enum postern_action action)
{
    static const char *const names[] = {
        [POSTERN_CONTINUE] = "continue", [POSTERN_ACCEPT] = "accept",   [POSTERN_REJECT] = "reject",
        [POSTERN_TEMPFAIL] = "tempfail", [POSTERN_DISCARD] = "discard", [POSTERN_DISCONNECT] = "disconnect",
        [POSTERN_DELAY] = "delay",       [POSTERN_PENDING] = "pending",
    };
    return (unsigned)action < COUNT_OF(names) ? names[action] : "unknown";
}

static void put_note(struct json *j, const struct facts_note *n)
{
    static const char *const kinds[] = {[FACTS_HIT] = "hit", [FACTS_ANSWER] = "answer", [FACTS_LOG] = "log"};
    json_open(j, NULL, '{');
    json_text(j, "kind", kinds[n->kind]);
    if (n->kind == FACTS_HIT) {
        json_string(j, "rule", n->rule);
        json_string(j, "matched", n->text);
    } else if (n->kind == FACTS_LOG) {
        json_string(j, "text", n->text);
    } else {
        json_text(j, "phase", facts_phase_word(n->phase));
        json_text(j, "action", action_word(n->answer.action));
        put_answer(j, &n->answer);
    }
    json_close(j, '}');
}

static void put_filters(struct json *j, const struct facts *f)
{
    json_open(j, "filters", '[');
    for (size_t i = 0; i < f->filters_n; i++) {
        const struct facts_filter *filter = &f->filters[i];
        json_open(j, NULL, '{');
        json_text(j, "name", filter->name);
        json_text(j, "plugin", filter->plugin);
        json_bool(j, "shadow", filter->shadow);
        json_text(j, "on_error", filter->on_error);
        json_open(j, "notes", '[');
        for (const struct facts_note *n = filter->notes; n; n = n->next)
            put_note(j, n);
        json_close(j, ']');
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void put_scores(struct json *j, const struct facts *f)
{
    struct span list = f->score_names, name, points;
    json_open(j, "score", '{');
    json_number(j, "sum", f->score);
    json_open(j, "names", '[');
    while (account_score(&list, &name, &points)) {
        char number[40];
        (void)snprintf(number, sizeof number, "%.*s", SPAN_FMT(points));
        json_open(j, NULL, '{');
        json_string(j, "name", name);
        json_number(j, "points", strtod(number, NULL));
        json_close(j, '}');
    }
    json_close(j, ']');
    json_close(j, '}');
}

static void put_edits(struct json *j, const struct facts *f)
{
    json_string(j, "edits", f->edits);
    json_open(j, "edited_fields", '[');
    for (size_t i = 0; i < f->added_n; i++)
        json_string(j, NULL, f->added[i]);
    json_close(j, ']');
    json_string(j, "tags", f->tags);
}

static void put_verdict(struct json *j, const struct facts *f)
{
    json_open(j, "verdict", '{');
    json_text(j, "outcome", facts_outcome_word(f->outcome));
    json_text(j, "stage", f->stage ? f->stage : "");
    json_text(j, "filter", f->filter ? f->filter : "");
    put_answer(j, &f->reply);
    json_close(j, '}');
}

bool account_json(const struct facts *f, const struct request *r, struct buf *out)
{
    struct json j = {.out = out, .ok = true};
    json_open(&j, NULL, '{');
    json_text(&j, "policy", f->policy);
    put_envelope(&j, f, r);
    json_number(&j, "bytes", (double)f->bytes);
    put_fields(&j, f);
    put_parts(&j, f);
    put_flags(&j, f);
    put_urls(&j, f);
    put_filters(&j, f);
    put_scores(&j, f);
    put_edits(&j, f);
    json_bool(&j, "incomplete", f->incomplete);
    put_verdict(&j, f);
    json_close(&j, '}');
    return j.ok && buf_append(out, SPAN_LIT("\n"));
}
