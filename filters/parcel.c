/* SPDX-License-Identifier: MIT */
/* The first bytes are kept until they are judged. The whole is kept, up to a limit, while it is an archive or
 * may turn out to be the image of a disc, whose mark stands far behind.
 *
 *   bytes -> head -> magic.c: type, type-mismatch
 *         -> kept --close--> archive.c: names -> MEMBER */
#include "filters/parcel.h"

#include "filters/archive.h"

void parcel_open(struct parcel *p, struct sink *sink, struct message_part *part, unsigned claims)
{
    parcel_free(p);
    *p = (struct parcel){.sink = sink, .part = part, .open = true, .keeping = true, .claims = claims};
}

static void judge(struct parcel *p)
{
    const struct magic *m = magic_find((struct span){p->head, p->head_n}, (struct span){p->mark, p->mark_n});

    p->judged = p->n > MAGIC_ISO + MAGIC_MARK || m;
    if (!m)
        return;
    p->type = m->type;
    p->kind = m->kind;
    p->part->detected = span_of(p->type);
    if (magic_mismatch(m->kind, p->claims))
        p->sink->raised |= MESSAGE_TYPE_MISMATCH;
}

static void take_head(struct parcel *p, struct span s)
{
    struct span head = span_head(s, sizeof(p->head) - p->head_n);

    if (head.n)
        memcpy(p->head + p->head_n, head.p, head.n);
    p->head_n += head.n;
    if (p->n + s.n <= MAGIC_ISO || p->mark_n == sizeof(p->mark))
        return;
    struct span mark = span_skip(s, p->n < MAGIC_ISO ? (size_t)(MAGIC_ISO - p->n) : 0);
    mark = span_head(mark, sizeof(p->mark) - p->mark_n);
    if (mark.n)
        memcpy(p->mark + p->mark_n, mark.p, mark.n);
    p->mark_n += mark.n;
}

static bool keep(struct parcel *p, struct span s)
{
    size_t room = p->sink->limits.archive_bytes - buf_len(&p->kept);

    p->cut = p->cut || s.n > room;
    return buf_append(&p->kept, span_head(s, room));
}

bool parcel_put(struct parcel *p, struct span s)
{
    if (!p->open || s.n == 0)
        return true;
    take_head(p, s);
    p->n += s.n;
    if (!p->judged && (p->head_n == sizeof(p->head) || p->mark_n == sizeof(p->mark)))
        judge(p);
    bool good = !p->keeping || keep(p, s);
    p->keeping = p->keeping && !(p->judged && p->kind != MAGIC_ARCHIVE);
    if (!p->keeping)
        buf_free(&p->kept);
    return good;
}

static bool on_member(void *ctx, struct span name)
{
    struct parcel *p = ctx;
    const char *better = magic_of_member(name);

    if (better && p->kind == MAGIC_ARCHIVE) {
        p->type = better;
        p->part->detected = span_of(better);
    }
    return sink_member(p->sink, p->part, name);
}

bool parcel_close(struct parcel *p)
{
    if (!p->open)
        return true;
    p->open = false;
    if (!p->judged)
        judge(p);
    if (p->kind == MAGIC_ARCHIVE) {
        const struct archive_limits limits = {.members = p->sink->limits.members,
                                              .name_bytes = p->sink->limits.member_bytes,
                                              .unpacked = p->sink->limits.archive_bytes};
        p->sink->raised |= archive_names(buf_span(&p->kept), p->cut, &limits, on_member, p);
    }
    buf_free(&p->kept);
    return !p->sink->no_memory;
}

void parcel_free(struct parcel *p)
{
    buf_free(&p->kept);
    p->open = false;
}
