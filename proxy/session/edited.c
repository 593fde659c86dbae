/* SPDX-License-Identifier: MIT */
/* The content of a held message as the filters want it: its header section goes through the rewriter on its
 * way from the spool to the emitter.
 *
 *   spool --slice--> rewriter --> data_emit --> out          up to the end of the header section
 *   spool --slice----------------------------->              from there on, as without edits
 *
 * How large it becomes is known before a word of it goes out: the header section is rewritten once for that
 * alone. The rewriter lies in the transaction's arena. */
#include "session/internal.h"

#define SLICE ((size_t)64 * 1024)

/* true: the spool can be read, and there is memory. */
static bool measure(struct tx *t, struct rewriter *r, uint64_t *size_r)
{
    struct buf out = {0};
    uint64_t at = 0, taken = 0, made = 0;
    bool ok = true;
    while (ok && !rewrite_over(r) && at < spool_bytes(t->spool)) {
        struct span slice = spool_read(t->spool, at, SLICE);
        at += slice.n;
        taken += slice.n;
        ok = slice.p && rewrite_feed(r, &slice, &out);
        taken -= slice.n;
        made += buf_len(&out);
        buf_free(&out);
    }
    ok = ok && (rewrite_over(r) || rewrite_end(r, &out));
    made += buf_len(&out);
    buf_free(&out);
    *size_r = spool_bytes(t->spool) - taken + made;
    return ok;
}

enum own_reply edited_begin(struct session *s)
{
    struct tx *t = s->tx;
    size_t n;
    const struct header_edit *fields = edits_header(s->run ? chain_edits(s->run) : NULL, &n);
    const struct ehlo *offer = upleg_offer(s->leg);
    t->edited_bytes = t->spool ? spool_bytes(t->spool) : 0;
    if (!n)
        return SAY_NONE;
    struct rewriter *r = arena_alloc(t->arena, sizeof(*r));
    if (!r)
        return SAY_NO_SPACE;
    rewrite_begin(r, fields, n);
    if (!measure(t, r, &t->edited_bytes))
        return SAY_NO_SPACE;
    if (offer->caps & CAP_SIZE && offer->size && t->edited_bytes > offer->size) {
        tx_note_more(t, "with what the filters add it is larger than what the server takes");
        session_count(s, SESSION_COUNT_TOO_BIG);
        return SAY_TOO_BIG;
    }
    rewrite_begin(r, fields, n);
    t->rewriter = r;
    return SAY_NONE;
}

bool edited_emit(struct tx *t, struct span *slice, bool last)
{
    struct buf edited = {0};
    bool ok = rewrite_feed(t->rewriter, slice, &edited);
    if (last && !rewrite_over(t->rewriter))
        ok = ok && rewrite_end(t->rewriter, &edited);
    struct span content = buf_span(&edited);
    ok = ok && (!content.n || data_emit(&t->emitter, &content, &t->out, SIZE_MAX));
    buf_free(&edited);
    if (rewrite_over(t->rewriter))
        t->rewriter = NULL;
    return ok;
}
