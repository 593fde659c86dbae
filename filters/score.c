/* SPDX-License-Identifier: MIT */
/* The score of one transaction: a short list in the order of first mention. It belongs to the run and is
 * emptied when the next transaction begins. */
#include "filters/score.h"

static struct score_points *find(struct score *s, struct span name)
{
    for (size_t i = 0; i < s->n; i++)
        if (span_eq((struct span){s->named[i].name, s->named[i].n}, name))
            return &s->named[i];
    return NULL;
}

/* Names go to the log as they are: what would break a list of key=value is replaced. */
static size_t clean_name(struct span name, char out[SCORE_NAME_MAX])
{
    size_t n = name.n < SCORE_NAME_MAX ? name.n : SCORE_NAME_MAX;
    for (size_t i = 0; i < n; i++) {
        char c = name.p[i];
        out[i] = c > ' ' && c <= '~' && c != '=' && c != '"' ? c : '_';
    }
    return n;
}

void score_add(struct score *s, struct span name, double points)
{
    char clean[SCORE_NAME_MAX];

    s->sum += points;
    if (!s->named)
        s->named = calloc(SCORE_NAMES + 1, sizeof(*s->named));
    if (!s->named)
        return;
    name = (struct span){clean, clean_name(name, clean)};
    struct score_points *p = find(s, name);
    if (!p && s->n >= SCORE_NAMES) {
        name = SPAN_LIT("other");
        p = find(s, name);
    }
    if (!p) {
        p = &s->named[s->n++];
        memcpy(p->name, name.p, name.n);
        p->n = name.n;
    }
    p->sum += points;
}

struct span score_text(struct score *s)
{
    buf_free(&s->text);
    for (size_t i = 0; i < s->n; i++) {
        const struct score_points *p = &s->named[i];
        if (!buf_printf(&s->text, "%s%.*s=%g", i ? " " : "", (int)p->n, p->name, p->sum))
            break;
    }
    return buf_span(&s->text);
}

void score_reset(struct score *s)
{
    free(s->named);
    buf_free(&s->text);
    *s = (struct score){0};
}
