/* SPDX-License-Identifier: MIT */
/* Verdicts: what each action means for code and words, as a table, and the washing of what a plugin filled
 * in. A plugin may be wrong about codes and careless with text that a stranger wrote; nothing of that may
 * reach the wire. The words live in a buffer of the run and go with its next verdict. */
#include "filters/verdict.h"

#include "smtp/reply.h"

struct wording {
    unsigned code;         /* when the filter gave none that fits */
    unsigned lowest, most; /* which codes fit */
    struct span text;
};

static const struct action_info infos[] = {
    [POSTERN_CONTINUE] = {NULL, NULL, NULL},
    [POSTERN_ACCEPT] = {NULL, "shadow_accept", "accepted"},
    [POSTERN_REJECT] = {"reject", "shadow_reject", "rejected"},
    [POSTERN_TEMPFAIL] = {"tempfail", "shadow_tempfail", "deferred"},
    [POSTERN_DISCARD] = {"discard", "shadow_discard", "discarded"},
    [POSTERN_DISCONNECT] = {"disconnect", "shadow_disconnect", "disconnected"},
    [POSTERN_DELAY] = {"delay", "shadow_delay", "delayed"},
    [POSTERN_PENDING] = {NULL, NULL, NULL},
};

static const struct wording wordings[COUNT_OF(infos)] = {
    [POSTERN_REJECT] = {550, 500, 559, SPAN_LIT("Refused by policy")},
    [POSTERN_TEMPFAIL] = {451, 400, 459, SPAN_LIT("Not now, try again later")},
    [POSTERN_DISCONNECT] = {421, 400, 559, SPAN_LIT("Closing the connection")},
};

const struct action_info *action_info(enum postern_action action)
{
    return (unsigned)action < COUNT_OF(infos) ? &infos[action] : NULL;
}

bool verdict_refuses(enum postern_action action)
{
    return (unsigned)action < COUNT_OF(wordings) && wordings[action].code != 0;
}

/* RFC 5321 4.2: the second digit is 0 to 5. */
static bool is_reply_code(unsigned code)
{
    return code / 10 % 10 <= 5;
}

static unsigned fitting_code(const struct wording *w, unsigned code)
{
    return code >= w->lowest && code <= w->most && is_reply_code(code) ? code : w->code;
}

/* Appends what is printable of s, '?' for the rest, and points *out_r at it when all is there. */
static bool add_words(struct buf *words, struct span s, size_t max)
{
    s = span_head(s, max);
    char *to = s.n ? buf_reserve(words, s.n) : NULL;
    if (!to)
        return s.n == 0;
    for (size_t i = 0; i < s.n; i++)
        to[i] = s.p[i] >= ' ' && s.p[i] <= '~' ? s.p[i] : '?';
    buf_added(words, s.n);
    return true;
}

static struct span from_plugin(struct postern_span s)
{
    return (struct span){s.p, s.p ? s.n : 0};
}

/* Copies first, points afterwards: the buffer moves while it grows. */
static void copy_words(const struct postern_verdict *from, struct verdict *out, struct buf *words)
{
    struct span text = span_head(from_plugin(from->text), VERDICT_TEXT_MAX);
    struct span rule = span_head(from_plugin(from->rule), VERDICT_RULE_MAX);
    struct span enhanced = from_plugin(from->enhanced);

    if (!reply_enhanced_ok(enhanced, out->code))
        enhanced = SPAN_NONE;
    if (!add_words(words, enhanced, enhanced.n) || !add_words(words, text, text.n) ||
        !add_words(words, rule, rule.n))
        return;
    struct span all = buf_span(words);
    if (enhanced.n)
        out->enhanced = span_head(all, enhanced.n);
    if (text.n)
        out->text = span_head(span_skip(all, enhanced.n), text.n);
    if (rule.n)
        out->rule = span_skip(all, enhanced.n + text.n);
}

void verdict_clean(const struct postern_verdict *from, struct verdict *out, struct buf *words)
{
    *out = (struct verdict){.action = from->action};
    buf_free(words);
    if (!action_info(from->action))
        return;
    if (verdict_refuses(from->action)) {
        const struct wording *w = &wordings[from->action];
        out->code = fitting_code(w, from->code);
        out->enhanced = out->code >= 500 ? SPAN_LIT("5.7.1") : SPAN_LIT("4.7.1");
        out->text = w->text;
    }
    copy_words(from, out, words);
}

void verdict_failure(enum filter_on_error what, const char *filter, struct verdict *out, struct buf *words)
{
    static const struct verdict failures[] = {
        [FILTER_ON_ERROR_ACCEPT] = {.action = POSTERN_CONTINUE},
        [FILTER_ON_ERROR_TEMPFAIL] = {.action = POSTERN_TEMPFAIL,
                                      .code = 451,
                                      .enhanced = SPAN_LIT("4.3.0"),
                                      .text = SPAN_LIT("A filter failed, try again later")},
        [FILTER_ON_ERROR_REJECT] = {.action = POSTERN_REJECT,
                                    .code = 550,
                                    .enhanced = SPAN_LIT("5.3.0"),
                                    .text = SPAN_LIT("A filter failed")},
    };
    buf_free(words);
    *out = failures[what];
    if (what == FILTER_ON_ERROR_ACCEPT)
        return;
    out->filter = filter;
    out->failed = true;
}
