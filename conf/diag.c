/* SPDX-License-Identifier: MIT */
/* The list of findings. Texts and entries live in the list's own arena and go with diag_free, so a finding
 * outlives the configuration that it complains about.
 *
 *   diag_add --> first -> … -> last     (at most `max`; what is past it is only counted)
 *                    \--diag_print: files in the order of first mention, then line, then column */
#include "conf/diag.h"

#include "base/span.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TEXT_MAX = 1024, /* a finding's text; what is longer is cut */
    PRINTED_MAX = TEXT_MAX + 4096 + 64,
    KEPT = 200 /* findings kept when `max` is 0 */
};
static const size_t arena_max = 4u << 20;

static size_t kept_max(const struct diags *d)
{
    return d->max ? d->max : KEPT;
}

bool diag_full(const struct diags *d)
{
    return d->errors + d->warnings >= kept_max(d);
}

/* Names and values in a text are the administrator's bytes: control characters would write over a terminal.
 */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

/* On no memory the finding is still counted: a configuration with an error never passes for a good one. */
static void keep(struct diags *d, const struct diag *found)
{
    if (d->arena == NULL)
        d->arena = arena_create(arena_max);
    if (d->arena == NULL)
        return;
    struct diag *kept = arena_alloc(d->arena, sizeof *kept);
    struct span file = arena_span(d->arena, span_of(found->file));
    struct span text = arena_span(d->arena, span_of(found->text));
    if (kept == NULL || file.p == NULL || text.p == NULL)
        return;
    *kept = *found;
    kept->file = file.p;
    kept->text = text.p;
    if (d->last)
        d->last->next = kept;
    else
        d->first = kept;
    d->last = kept;
}

void diag_vadd(struct diags *d, enum diag_severity s, const char *file, uint32_t line, uint32_t column,
               const char *format, va_list ap)
{
    bool full = diag_full(d);
    if (s == DIAG_ERROR)
        d->errors++;
    else
        d->warnings++;
    if (full)
        return;
    char text[TEXT_MAX];
    if (vsnprintf(text, sizeof text, format, ap) < 0)
        text[0] = '\0';
    make_printable(text);
    struct diag found = {s, file ? file : "", line, column, text, NULL};
    keep(d, &found);
}

void diag_add(struct diags *d, enum diag_severity s, const char *file, uint32_t line, uint32_t column,
              const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    diag_vadd(d, s, file, line, column, format, ap);
    va_end(ap);
}

/* ---- printing ---- */

struct ranked { /* a finding, with what it is sorted by */
    const struct diag *diag;
    size_t file_rank, order;
};

static int compare_numbers(size_t a, size_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *l = a, *r = b;
    int c = compare_numbers(l->file_rank, r->file_rank);
    if (c == 0)
        c = compare_numbers(l->diag->line, r->diag->line);
    if (c == 0)
        c = compare_numbers(l->diag->column, r->diag->column);
    return c ? c : compare_numbers(l->order, r->order);
}

/* At most `max` findings, so the search for a file's first mention stays short. */
static size_t rank_all(const struct diags *d, struct ranked *ranked)
{
    size_t n = 0;
    for (const struct diag *i = d->first; i; i = i->next, n++) {
        size_t first = 0;
        while (first < n && strcmp(ranked[first].diag->file, i->file) != 0)
            first++;
        ranked[n] = (struct ranked){i, first < n ? ranked[first].file_rank : n, n};
    }
    return n;
}

static void print_one(const struct diag *f, void (*put)(void *ctx, const char *line), void *ctx)
{
    static const char *const severities[] = {[DIAG_ERROR] = "error", [DIAG_WARNING] = "warning"};
    char line[PRINTED_MAX];
    const char *severity = severities[f->severity];
    int n;
    if (f->file[0] == '\0')
        n = snprintf(line, sizeof line, "%s: %s", severity, f->text);
    else if (f->line == 0)
        n = snprintf(line, sizeof line, "%s: %s: %s", f->file, severity, f->text);
    else if (f->column == 0)
        n = snprintf(line, sizeof line, "%s:%u: %s: %s", f->file, f->line, severity, f->text);
    else
        n = snprintf(line, sizeof line, "%s:%u:%u: %s: %s", f->file, f->line, f->column, severity, f->text);
    if (n > 0)
        put(ctx, line);
}

void diag_print(const struct diags *d, void (*put)(void *ctx, const char *line), void *ctx)
{
    size_t kept = 0;
    for (const struct diag *i = d->first; i; i = i->next)
        kept++;
    struct ranked *ranked = kept ? malloc(kept * sizeof *ranked) : NULL;
    if (ranked) {
        size_t n = rank_all(d, ranked);
        qsort(ranked, n, sizeof *ranked, compare_ranked);
        for (size_t i = 0; i < n; i++)
            print_one(ranked[i].diag, put, ctx);
        free(ranked);
    } else {
        for (const struct diag *i = d->first; i; i = i->next)
            print_one(i, put, ctx);
    }
    if (d->errors + d->warnings > kept) {
        char line[64];
        if (snprintf(line, sizeof line, "and %zu more findings", d->errors + d->warnings - kept) > 0)
            put(ctx, line);
    }
}

void diag_free(struct diags *d)
{
    arena_destroy(&d->arena);
    *d = (struct diags){.max = d->max};
}
