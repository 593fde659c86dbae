/* SPDX-License-Identifier: MIT */
/* Readings are few: they come from a handful of fields, and most messages have one. What is kept belongs to
 * the message and goes when the entity is over. */
#include "filters/again.h"

struct body_reading again_first(const struct entity *e)
{
    return (struct body_reading){.transfer = e->transfer,
                                 .charset = entity_charset(e),
                                 .text = e->kind == ENTITY_TEXT,
                                 .html = entity_is_html(e),
                                 .file = true,
                                 .claims = entity_claims(e)};
}

static void add(struct again *a, const struct body_reading *how)
{
    if (a->n == AGAIN_READINGS)
        a->cut = true;
    else
        a->list[a->n++] = *how;
}

/* With this encoding: as HTML and not, in each charset, but for the first reading. */
static void add_with(struct again *a, const struct entity *e, struct body_reading how, bool is_first)
{
    size_t forms = e->kind == ENTITY_TEXT && e->html_disputed ? 2 : 1;
    size_t charsets = e->kind == ENTITY_TEXT && e->charsets.n > 1 ? e->charsets.n : 1;

    for (size_t f = 0; f < forms; f++, how.html = !how.html)
        for (size_t c = 0; c < charsets; c++) {
            how.charset = c ? reading(&e->charsets, c) : entity_charset(e);
            if (!is_first || f || c)
                add(a, &how);
        }
}

void again_begin(struct again *a, const struct entity *e)
{
    struct body_reading how = again_first(e);

    buf_free(&a->kept);
    *a = (struct again){0};
    add_with(a, e, how, true);
    for (unsigned kind = 0; kind < TRANSFERS; kind++) {
        if (kind == e->transfer || !(e->encodings >> kind & 1))
            continue;
        how.transfer = (enum transfer_kind)kind;
        add_with(a, e, how, false);
    }
}

bool again_keep(struct again *a, struct span s, size_t limit)
{
    size_t room = limit - buf_len(&a->kept);

    if (a->n == 0)
        return true;
    a->cut = a->cut || s.n > room;
    return buf_append(&a->kept, span_head(s, room));
}

bool again_read(struct again *a, struct body *body, struct sink *sink, const struct message_part *part)
{
    bool good = true;

    if (a->cut)
        sink->raised |= MESSAGE_AMBIGUOUS;
    for (size_t i = 0; i < a->n && good; i++) {
        sink->part = *part;
        sink->part.charset = a->list[i].charset;
        if (a->list[i].html)
            sink->part.type = SPAN_LIT("text/html");
        else if (a->list[i].text)
            sink->part.type = SPAN_LIT("text/plain");
        if (sink->events.part)
            sink->events.part(sink->ctx, &sink->part);
        good = body_open(body, sink, &a->list[i]) && body_put(body, buf_span(&a->kept)) && body_close(body);
    }
    a->n = 0;
    buf_free(&a->kept);
    return good;
}
