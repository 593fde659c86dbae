/* SPDX-License-Identifier: MIT */
/* Keeping what is seen. Everything lies in one arena that goes with the facts: the bounds of the lists keep
 * it small whatever the message is, and where it is full all the same, `incomplete` says so. */
#include "explain/facts.h"

#include "base/utf8.h"

#define ARENA_MOST ((size_t)32 * 1024 * 1024)

bool facts_begin(struct facts *f)
{
    *f = (struct facts){.arena = arena_create(ARENA_MOST)};
    f->fields_end = &f->fields;
    f->parts_end = &f->parts;
    f->flags_end = &f->flags;
    f->urls_end = &f->urls;
    return f->arena != NULL;
}

void facts_end(struct facts *f)
{
    arena_destroy(&f->arena);
}

/* ---- texts ---- */

/* Writes at most `max` bytes of UTF-8 and returns how many. */
static size_t clean(struct span s, char *to, size_t max)
{
    size_t n = 0;
    while (s.n) {
        uint32_t point;
        size_t took = utf8_take(s, &point);
        struct span one = took ? span_head(s, took) : SPAN_LIT("\xEF\xBF\xBD");
        if (n + one.n > max)
            break;
        memcpy(to + n, one.p, one.n);
        n += one.n;
        s = span_skip(s, took ? took : 1);
    }
    return n;
}

struct span facts_copy(struct facts *f, struct span s, size_t max)
{
    s = span_head(s, max);
    char *to = arena_alloc(f->arena, 3 * s.n + 1); /* each byte may be none of UTF-8 */
    if (!to) {
        f->incomplete = true;
        return SPAN_NONE;
    }
    return span_make(to, clean(s, to, max < 3 * s.n ? max : 3 * s.n));
}

/* Zeroed; NULL: enough of them, or the arena is full. */
static void *item(struct facts *f, size_t size, size_t *count, size_t most)
{
    void *p = (*count)++ < most ? arena_alloc(f->arena, size) : NULL;
    if (!p && *count <= most)
        f->incomplete = true;
    return p;
}

/* ---- the message ---- */

static void on_field(void *ctx, struct span name, struct span value, struct span raw)
{
    struct facts *f = ctx;
    struct facts_field *field = item(f, sizeof *field, &f->fields_n, FACTS_FIELDS);
    (void)raw;
    if (!field)
        return;
    field->name = facts_copy(f, name, FACTS_VALUE);
    field->value = facts_copy(f, value, FACTS_VALUE);
    *f->fields_end = field;
    f->fields_end = &field->next;
}

static void on_headers_end(void *ctx)
{
    (void)ctx;
}

static void on_part(void *ctx, const struct message_part *shown)
{
    struct facts *f = ctx;
    struct facts_part *part = item(f, sizeof *part, &f->parts_n, FACTS_PARTS);
    f->last_part = part;
    if (!part)
        return;
    part->index = shown->index;
    part->depth = shown->depth;
    part->type = facts_copy(f, shown->type, FACTS_VALUE);
    part->declared = facts_copy(f, shown->declared, FACTS_VALUE);
    part->detected = facts_copy(f, shown->detected, FACTS_VALUE);
    part->charset = facts_copy(f, shown->charset, FACTS_VALUE);
    part->disposition = facts_copy(f, shown->disposition, FACTS_VALUE);
    part->filename = facts_copy(f, shown->filename, FACTS_VALUE);
    *f->parts_end = part;
    f->parts_end = &part->next;
}

/* Pieces end where characters end; only the cut at FACTS_TEXT_KEPT is our own. */
static void on_text(void *ctx, const struct message_part *shown, struct span utf8)
{
    struct facts *f = ctx;
    struct facts_part *part = f->last_part;
    if (!part || part->index != shown->index)
        return;
    if (part->detected.n == 0 && shown->detected.n)
        part->detected = facts_copy(f, shown->detected, FACTS_VALUE);
    if (!part->text && utf8.n)
        part->text = arena_alloc(f->arena, FACTS_TEXT_KEPT);
    if (part->text && part->text_bytes == part->text_n)
        part->text_n += clean(utf8, part->text + part->text_n, FACTS_TEXT_KEPT - part->text_n);
    f->incomplete = f->incomplete || (utf8.n && !part->text);
    part->text_bytes += utf8.n;
}

static void on_flag(void *ctx, const struct message_part *part, enum message_flag flag)
{
    struct facts *f = ctx;
    struct facts_flag *kept = item(f, sizeof *kept, &f->flags_n, FACTS_FLAGS);
    if (!kept)
        return;
    kept->flag = flag;
    kept->of_part = part != NULL;
    kept->part = part ? part->index : 0;
    *f->flags_end = kept;
    f->flags_end = &kept->next;
}

static void on_url(void *ctx, const struct message_part *part, struct span text)
{
    struct facts *f = ctx;
    struct facts_url *url = item(f, sizeof *url, &f->urls_n, FACTS_URLS);
    if (!url)
        return;
    url->part = part->index;
    url->text = facts_copy(f, text, FACTS_VALUE);
    *f->urls_end = url;
    f->urls_end = &url->next;
}

const struct message_events facts_events = {.field = on_field,
                                            .headers_end = on_headers_end,
                                            .part = on_part,
                                            .text = on_text,
                                            .flag = on_flag,
                                            .url = on_url};

/* ---- the filters ---- */

static struct facts_note *note(struct facts *f, const char *filter, enum facts_note_kind kind)
{
    for (size_t i = 0; i < f->filters_n; i++) {
        struct facts_filter *found = &f->filters[i];
        if (!span_eq(span_of(found->name), span_of(filter)))
            continue;
        struct facts_note *n = item(f, sizeof *n, &found->notes_n, FACTS_NOTES);
        if (!n)
            return NULL;
        n->kind = kind;
        *found->notes_end = n;
        found->notes_end = &n->next;
        return n;
    }
    return NULL;
}

/* What is less than a warning is said by the hits and the answers, too. */
void facts_log(void *facts, enum postern_log_level level, const char *filter, const char *text)
{
    struct facts *f = facts;
    struct facts_note *n = level <= POSTERN_LOG_WARN ? note(f, filter, FACTS_LOG) : NULL;
    if (n)
        n->text = facts_copy(f, span_of(text), FACTS_VALUE);
}

void facts_hit(void *facts, const char *filter, struct span rule, struct span matched)
{
    struct facts *f = facts;
    struct facts_note *n = note(f, filter, FACTS_HIT);
    if (!n)
        return;
    n->rule = facts_copy(f, rule, FACTS_VALUE);
    n->text = facts_copy(f, matched, FACTS_MATCHED);
}

struct facts_answer facts_keep_answer(struct facts *f, const struct verdict *v)
{
    return (struct facts_answer){.action = v->action,
                                 .code = v->code,
                                 .enhanced = facts_copy(f, v->enhanced, FACTS_VALUE),
                                 .text = facts_copy(f, v->text, FACTS_VALUE),
                                 .rule = facts_copy(f, v->rule, FACTS_VALUE),
                                 .failed = v->failed};
}

void facts_answered(void *facts, const char *filter, enum postern_phase phase, const struct verdict *v)
{
    struct facts *f = facts;
    struct facts_note *n = v->action == POSTERN_CONTINUE ? NULL : note(f, filter, FACTS_ANSWER);
    if (!n)
        return;
    n->phase = phase;
    n->answer = facts_keep_answer(f, v);
}

/* ---- words ---- */

const char *facts_phase_word(enum postern_phase phase)
{
    static const char *const names[POSTERN_PHASES] = {
        [POSTERN_ON_CONNECT] = "connect", [POSTERN_ON_HELO] = "helo", [POSTERN_ON_AUTH] = "auth",
        [POSTERN_ON_MAIL] = "mail",       [POSTERN_ON_RCPT] = "rcpt", [POSTERN_ON_DATA] = "data",
        [POSTERN_ON_HEADERS] = "headers", [POSTERN_ON_END] = "end",
    };
    return (unsigned)phase < COUNT_OF(names) && names[phase] ? names[phase] : "content";
}

const char *facts_outcome_word(enum facts_outcome o)
{
    static const char *const names[] = {[FACTS_ACCEPTED] = "accepted",
                                        [FACTS_REFUSED] = "refused",
                                        [FACTS_DEFERRED] = "deferred",
                                        [FACTS_DISCARDED] = "discarded"};
    return names[o];
}
