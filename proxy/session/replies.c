/* SPDX-License-Identifier: MIT */
/* The replies that postern gives on its own: a table (replies.def), and how one is written. Owns nothing. */
#include "session/internal.h"

#include <stdio.h>

/* The table is written with the short names. */
#define ERROR OWN_ERROR
#define CLOSE OWN_CLOSE
#define SID   OWN_SID
static const struct own_text {
    unsigned code;
    const char *enhanced, *text;
    unsigned flags;
} own_texts[OWN_REPLIES] = {
#define REPLY(id, code, enhanced, text, flags) [SAY_##id] = {code, enhanced, text, flags},
#include "session/replies.def"
#undef REPLY
};
#undef ERROR
#undef CLOSE
#undef SID

unsigned own_reply_code(enum own_reply r)
{
    return own_texts[r].code;
}

const char *own_reply_text(enum own_reply r)
{
    return own_texts[r].text;
}

unsigned own_reply_flags(enum own_reply r)
{
    return own_texts[r].flags;
}

bool own_reply_print(const struct session *s, struct buf *out, enum own_reply r)
{
    const struct own_text *t = &own_texts[r];
    char text[200];
    int n = snprintf(text, sizeof(text), t->flags & OWN_SID ? "%s (%.*s)" : "%s", t->text,
                     SPAN_FMT(s->view.session_id));
    if (n < 0 || (size_t)n >= sizeof(text))
        return false;
    return reply_print(out, t->code, span_of(t->enhanced), span_make(text, (size_t)n));
}
