/* SPDX-License-Identifier: MIT */
/* The account for people: sections, and in them names and values in two columns. Pure; what strangers wrote
 * goes through visible(), and the rest is printable already.
 *
 *   facts -> envelope, header fields, parts, flags, addresses -> filters -> scores, edits -> verdict */
#include "explain/account.h"

#include "explain/visible.h"

enum { NAME_WIDTH = 16, NAME_MOST = 32, VALUE_WIDTH = 160, LOG_WIDTH = 320, LINE_WIDTH = 100, LINES = 12 };

static bool heading(struct buf *out, const char *text)
{
    return buf_printf(out, "%s%s\n", buf_len(out) ? "\n" : "", text);
}

static bool end_line(struct buf *out)
{
    return buf_append(out, SPAN_LIT("\n"));
}

static bool row(struct buf *out, struct span name, struct span value)
{
    struct buf left = {0};
    bool good = visible(&left, name, NAME_MOST);
    struct span shown = buf_span(&left);
    good = good && buf_printf(out, "  %-*.*s  ", NAME_WIDTH, SPAN_FMT(shown)) &&
           visible(out, value, VALUE_WIDTH) && end_line(out);
    buf_free(&left);
    return good;
}

static bool put_more(struct buf *out, size_t n, size_t most, const char *what)
{
    return n <= most || buf_printf(out, "  ... and %zu more %s\n", n - most, what);
}

static struct span or_dash(const char *own)
{
    return own && *own ? span_of(own) : SPAN_LIT("-");
}

/* ---- the envelope ---- */

static bool put_answer(struct buf *out, const struct facts_answer *a)
{
    return buf_printf(out, "%u ", a->code) && visible(out, a->enhanced, VALUE_WIDTH) &&
           buf_printf(out, "%s", a->enhanced.n ? " " : "") && visible(out, a->text, VALUE_WIDTH);
}

static bool put_rcpt(struct buf *out, const struct facts_rcpt *rcpt)
{
    bool good = buf_printf(out, "  %-*s  <", NAME_WIDTH, "to") && visible(out, rcpt->mailbox, VALUE_WIDTH) &&
                buf_printf(out, ">");
    if (good && rcpt->answer.code)
        good = buf_printf(out, "  ") && put_answer(out, &rcpt->answer);
    return good && end_line(out);
}

static bool put_envelope(struct buf *out, const struct facts *f, const struct request *r)
{
    bool good =
        heading(out, "Envelope") && row(out, SPAN_LIT("policy"), span_of(f->policy)) &&
        row(out, SPAN_LIT("client"), span_of(r->client)) && row(out, SPAN_LIT("helo"), or_dash(r->helo)) &&
        row(out, SPAN_LIT("user"), or_dash(r->user)) && buf_printf(out, "  %-*s  <", NAME_WIDTH, "from") &&
        visible(out, r->from.mailbox, VALUE_WIDTH) && buf_printf(out, ">\n");
    for (size_t i = 0; good && i < f->rcpts_n; i++)
        good = put_rcpt(out, &f->rcpts[i]);
    return good;
}

/* ---- the message ---- */

static bool put_fields(struct buf *out, const struct facts *f)
{
    bool good = heading(out, "Header fields, decoded");
    for (const struct facts_field *field = f->fields; good && field; field = field->next)
        good = row(out, field->name, field->value);
    return good && put_more(out, f->fields_n, FACTS_FIELDS, "fields");
}

/* Lines as the text has them; long ones are cut. */
static bool put_part_text(struct buf *out, const struct facts_part *part)
{
    struct span text = span_make(part->text, part->text_n);
    bool good = true;
    size_t lines = 0;
    for (; good && text.n && lines < LINES; lines++) {
        size_t n = span_find(text, '\n');
        struct span line = span_head(text, n);
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        good = buf_printf(out, "     | ") && visible(out, line, LINE_WIDTH) && end_line(out);
        text = span_skip(text, n + 1);
    }
    uint64_t shown = part->text_n - text.n;
    if (good && part->text_bytes > shown)
        good = buf_printf(out, "     ... and %llu more octets of text\n",
                          (unsigned long long)(part->text_bytes - shown));
    return good;
}

static bool put_property(struct buf *out, const char *name, struct span value)
{
    return value.n == 0 || (buf_printf(out, "  %s ", name) && visible(out, value, VALUE_WIDTH));
}

static bool put_part(struct buf *out, const struct facts_part *part)
{
    bool disagree = !span_eq(part->declared, part->type);
    return buf_printf(out, "  %u  depth %u  ", part->index, part->depth) &&
           visible(out, part->type, VALUE_WIDTH) &&
           put_property(out, "declared", disagree ? part->declared : SPAN_NONE) &&
           put_property(out, "detected", part->detected) && put_property(out, "charset", part->charset) &&
           put_property(out, "disposition", part->disposition) && put_property(out, "file", part->filename) &&
           end_line(out) && put_part_text(out, part);
}

static bool put_parts(struct buf *out, const struct facts *f)
{
    bool good = heading(out, "Parts, decoded");
    for (const struct facts_part *part = f->parts; good && part; part = part->next)
        good = put_part(out, part);
    return good && put_more(out, f->parts_n, FACTS_PARTS, "parts");
}

static bool put_flags(struct buf *out, const struct facts *f)
{
    bool good = !f->flags || heading(out, "Flags");
    for (const struct facts_flag *flag = f->flags; good && flag; flag = flag->next) {
        const struct message_flag_info *info = message_flag(flag->flag);
        good = buf_printf(out, "  %-*s  ", NAME_WIDTH, info->name) &&
               (!flag->of_part || buf_printf(out, "part %u: ", flag->part)) &&
               buf_printf(out, "%s\n", info->help);
    }
    return good && put_more(out, f->flags_n, FACTS_FLAGS, "flags");
}

static bool put_urls(struct buf *out, const struct facts *f)
{
    bool good = !f->urls || heading(out, "Addresses in the text");
    for (const struct facts_url *url = f->urls; good && url; url = url->next)
        good = buf_printf(out, "  part %-*u  ", NAME_WIDTH - 5, url->part) &&
               visible(out, url->text, VALUE_WIDTH) && end_line(out);
    return good && put_more(out, f->urls_n, FACTS_URLS, "addresses");
}

/* ---- the filters ---- */

const char *account_action(enum postern_action action, bool shadow)
{
    static const struct {
        const char *does, *would;
    } words[] = {
        [POSTERN_CONTINUE] = {NULL, NULL},
        [POSTERN_ACCEPT] = {"accepts", "would accept"},
        [POSTERN_REJECT] = {"refuses", "would refuse"},
        [POSTERN_TEMPFAIL] = {"defers", "would defer"},
        [POSTERN_DISCARD] = {"discards", "would discard"},
        [POSTERN_DISCONNECT] = {"disconnects", "would disconnect"},
        [POSTERN_DELAY] = {"delays", "would delay"},
        [POSTERN_PENDING] = {NULL, NULL},
    };
    if ((unsigned)action >= COUNT_OF(words))
        return NULL;
    return shadow ? words[action].would : words[action].does;
}

static bool put_decision(struct buf *out, const struct facts_filter *filter, const struct facts_note *n)
{
    const struct facts_answer *a = &n->answer;
    const char *what = account_action(a->action, filter->shadow);
    bool good = buf_printf(out, "    %s at %s", what ? what : "-", facts_phase_word(n->phase));
    if (good && a->failed)
        good = buf_printf(out, ", because it failed (on_error: %s)", filter->on_error);
    if (good && a->rule.n)
        good = buf_printf(out, ", rule ") && visible(out, a->rule, VALUE_WIDTH);
    if (good && a->code)
        good = buf_printf(out, ": ") && put_answer(out, a);
    return good && end_line(out);
}

static bool put_note(struct buf *out, const struct facts_filter *filter, const struct facts_note *n)
{
    switch (n->kind) {
    case FACTS_HIT:
        return buf_printf(out, "    hit ") && visible(out, n->rule, VALUE_WIDTH) &&
               (!n->text.n ||
                (buf_printf(out, "  \"") && visible(out, n->text, LINE_WIDTH) && buf_printf(out, "\""))) &&
               end_line(out);
    case FACTS_LOG:
        return buf_printf(out, "    log ") && visible(out, n->text, LOG_WIDTH) && end_line(out);
    case FACTS_ANSWER:
        break;
    }
    return put_decision(out, filter, n);
}

static bool put_filter(struct buf *out, const struct facts_filter *filter)
{
    bool good = buf_printf(out, "  %s (%s)%s\n", filter->name, filter->plugin,
                           filter->shadow ? ", shadow: its answers are not enforced" : "");
    bool decided = false;
    for (const struct facts_note *n = filter->notes; good && n; n = n->next) {
        decided = decided || n->kind == FACTS_ANSWER;
        good = put_note(out, filter, n);
    }
    return good && put_more(out, filter->notes_n, FACTS_NOTES, "notes") &&
           (decided || buf_printf(out, "    no objection\n"));
}

static bool put_filters(struct buf *out, const struct facts *f)
{
    bool good = heading(out, f->filters_n ? "Filters, in their order" : "Filters: the policy has none");
    for (size_t i = 0; good && i < f->filters_n; i++)
        good = put_filter(out, &f->filters[i]);
    return good;
}

/* ---- what came of it ---- */

bool account_score(struct span *list, struct span *name_r, struct span *points_r)
{
    size_t end = span_find(*list, ' ');
    struct span one = span_head(*list, end);
    size_t equal = span_find(one, '=');
    if (one.n == 0)
        return false;
    *name_r = span_head(one, equal);
    *points_r = span_skip(one, equal + 1);
    *list = span_skip(*list, end + 1);
    return true;
}

static bool put_scores(struct buf *out, const struct facts *f)
{
    struct span list = f->score_names, name, points;
    bool shadow = false;
    for (size_t i = 0; i < f->filters_n; i++)
        shadow = shadow || f->filters[i].shadow;
    bool good = !list.n || heading(out, "Scores");
    while (good && account_score(&list, &name, &points))
        good = row(out, name, points);
    return good && (!f->score_names.n ||
                    buf_printf(out, "  %-*s  %g%s\n", NAME_WIDTH, "sum", f->score,
                               shadow ? ", with what filters in shadow gave: others do not count that" : ""));
}

static bool put_edits(struct buf *out, const struct facts *f)
{
    bool good = !f->edits.n || (heading(out, "Edits asked for") && row(out, SPAN_LIT("edits"), f->edits));
    for (size_t i = 0; good && i < f->added_n; i++)
        good = row(out, SPAN_LIT("text"), f->added[i]);
    return good && (!f->tags.n || (heading(out, "Tags") && row(out, SPAN_LIT("tags"), f->tags)));
}

static bool put_verdict(struct buf *out, const struct facts *f)
{
    bool good = heading(out, "Verdict") && buf_printf(out, "  %s", facts_outcome_word(f->outcome));
    if (f->outcome == FACTS_ACCEPTED)
        return good && end_line(out);
    good = good && buf_printf(out, " at %s by %s%s", f->stage, f->filter ? "filter " : "postern",
                              f->filter ? f->filter : " itself");
    if (good && f->reply.rule.n)
        good = buf_printf(out, ", rule ") && visible(out, f->reply.rule, VALUE_WIDTH);
    return good && end_line(out) &&
           (!f->reply.code ||
            (buf_printf(out, "  the client reads: ") && put_answer(out, &f->reply) && end_line(out)));
}

bool account_text(const struct facts *f, const struct request *r, struct buf *out)
{
    return put_envelope(out, f, r) && put_fields(out, f) && put_parts(out, f) && put_flags(out, f) &&
           put_urls(out, f) && put_filters(out, f) && put_scores(out, f) && put_edits(out, f) &&
           (!f->line_ends ||
            buf_printf(out, "\nLines of the file that do not end in CRLF were read as if they did.\n")) &&
           (!f->incomplete || buf_printf(out, "\nNot all of it is shown: there is more than is kept.\n")) &&
           put_verdict(out, f);
}
