/* SPDX-License-Identifier: MIT */
/* content: refuses, discards or scores mail by what stands in it. The rules are files (rules.h says how they
 * are written), the matching is PCRE2's.
 *
 *   HELO MAIL RCPT           -> helo; client, listener, user, from; to   -> verdict at once
 *   HEADER …                 -> header, rawheader          -> finding --HEADERS--> [meta]: verdict
 *   BODY PART TEXT URL FLAG… -> body, filename, text, …    -> finding --END------> [meta]: verdict, or the
 * score's
 *
 * struct content is one configured instance: made by configure(), read-only then but for the memory that
 * matching needs, gone with release(). struct session is one SMTP session; what belongs to a transaction in
 * it begins at MAIL and is freed at END or ABORT, so an idle session holds no buffer. Nothing is global. */
#include "content.h"

#include "body.h"
#include "judge.h"
#include "names.h"
#include "options.h"
#include "window.h"

#include <stdlib.h>
#include <string.h>

enum { MAILBOX_MAX = 512 }; /* bytes; a path has at most 256 (RFC 5321 4.5.3.1.3) */

/* The text of a part, in pieces. */
struct stream {
    struct window window;
    bool open;
    uint32_t part; /* its index */
};

struct session {
    struct judge judge;
    struct finding header;  /* of header fields, told at HEADERS */
    struct finding content; /* of lines, texts and file names, told at END */
    struct body body;
    struct window field; /* "Name: value" */
    struct stream text, html;
    uint32_t detected_of; /* the part whose detected type was tried, + 1 */
};

/* What a window's scan needs to know. */
struct scan {
    struct judge *judge;
    struct postern_tx *tx;
    const struct rule_list *rules;
    struct finding *finding;
};

static void scan_subject(void *arg, const struct subject *s)
{
    struct scan *scan = arg;
    judge_try(scan->judge, scan->tx, scan->rules, s, scan->finding);
}

static struct scan scan_content(struct session *s, struct postern_tx *tx, enum scope scope)
{
    return (struct scan){&s->judge, tx, &s->judge.content->rules.scopes[scope], &s->content};
}

/* Nothing to look for, or nothing more to find out. */
static bool idle(const struct scan *scan)
{
    return !scan->rules->scanner || scan->finding->cause != FOUND_NOTHING;
}

static void no_memory(struct finding *f)
{
    if (f->cause == FOUND_NOTHING)
        f->cause = FOUND_NO_MEMORY;
}

static void try_whole(struct session *s, struct postern_tx *tx, const struct rule_list *rules,
                      struct postern_span text, struct finding *f)
{
    struct subject subject = subject_whole(text.p, text.n);
    judge_try(&s->judge, tx, rules, &subject, f);
}

/* "ann"@x and "a\nn"@x are ann@x to every mail server (RFC 5321 4.1.2). Returns how many bytes the plain form
 * has; 0: the mailbox is written plainly, or is longer than any mailbox. */
static size_t plain_mailbox(struct postern_span mailbox, char plain_r[MAILBOX_MAX])
{
    bool quoted = mailbox.n > 0 && mailbox.n <= MAILBOX_MAX && mailbox.p[0] == '"';
    size_t n = 0;
    if (!quoted)
        return 0;
    for (size_t i = 1; i < mailbox.n; i++) {
        bool end = quoted && mailbox.p[i] == '"';
        if (quoted && mailbox.p[i] == '\\' && i + 1 < mailbox.n)
            i++;
        if (end)
            quoted = false;
        else
            plain_r[n++] = mailbox.p[i];
    }
    return n;
}

/* A rule may hit the mailbox as it was sent, or what it means. */
static void try_mailbox(struct session *s, struct postern_tx *tx, const struct rule_list *rules,
                        struct postern_span mailbox, struct finding *f)
{
    char plain[MAILBOX_MAX];
    size_t n = plain_mailbox(mailbox, plain);
    try_whole(s, tx, rules, mailbox, f);
    if (n > 0)
        try_whole(s, tx, rules, (struct postern_span){plain, n}, f);
}

/* ---- the transaction ---- */

static void end_transaction(struct session *s)
{
    judge_end(&s->judge);
    body_free(&s->body);
    window_free(&s->field);
    window_free(&s->text.window);
    window_free(&s->html.window);
    s->text.open = s->html.open = false;
    s->detected_of = 0;
    s->header = s->content = (struct finding){FOUND_NOTHING, NULL};
}

static void on_helo(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    const struct content *c = filter;
    struct session *s = session;
    struct finding f = {FOUND_NOTHING, NULL};
    try_whole(s, tx, &c->rules.scopes[SCOPE_HELO], ev->text, &f);
    judge_verdict(&s->judge, &f, v);
}

/* What the envelope does not have (no user, no listener's name) is not tried. */
static void try_field(struct session *s, struct postern_tx *tx, enum scope scope, enum postern_field field,
                      struct finding *f)
{
    const struct content *c = s->judge.content;
    if (!c->rules.scopes[scope].scanner)
        return;
    struct postern_span value = c->host->get(tx, field);
    if (value.n > 0)
        try_whole(s, tx, &c->rules.scopes[scope], value, f);
}

static void on_mail(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    const struct content *c = filter;
    struct session *s = session;
    struct finding f = {FOUND_NOTHING, NULL};
    struct postern_span helo = c->host->get(tx, POSTERN_F_HELO);
    end_transaction(s);
    if (judge_begin(&s->judge) < 0)
        no_memory(&f);
    try_field(s, tx, SCOPE_CLIENT, POSTERN_F_CLIENT_ADDRESS, &f);
    try_field(s, tx, SCOPE_LISTENER, POSTERN_F_LISTENER, &f);
    try_field(s, tx, SCOPE_USER, POSTERN_F_USER, &f);
    if (helo.n > 0)
        try_whole(s, tx, &c->rules.scopes[SCOPE_HELO], helo, &f); /* the rules that wait for MAIL */
    try_mailbox(s, tx, &c->rules.scopes[SCOPE_FROM], ev->text, &f);
    judge_verdict(&s->judge, &f, v);
}

static void on_rcpt(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    const struct content *c = filter;
    struct session *s = session;
    struct finding f = {FOUND_NOTHING, NULL};
    try_mailbox(s, tx, &c->rules.scopes[SCOPE_TO], ev->text, &f);
    judge_verdict(&s->judge, &f, v);
}

/* ---- header fields ---- */

static bool same_name(struct postern_span name, const char *wanted)
{
    while (name.n > 0 && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
        name.n--; /* "Subject : x" is read as Subject by many */
    return name_is(name.p, name.n, wanted);
}

static void try_joined(struct session *s, struct postern_tx *tx, enum scope scope, struct postern_span name,
                       struct postern_span value, struct finding *f)
{
    struct scan scan = {&s->judge, tx, &s->judge.content->rules.scopes[scope], f};
    if (idle(&scan))
        return;
    if (window_feed(&s->field, name.p, name.n, scan_subject, &scan) < 0 ||
        window_feed(&s->field, ": ", 2, scan_subject, &scan) < 0 ||
        window_feed(&s->field, value.p, value.n, scan_subject, &scan) < 0)
        no_memory(f);
    window_close(&s->field, scan_subject, &scan);
}

/* The field as it was sent, without the line end that ends it; the value without the blanks before it. */
static struct postern_span raw_field(struct postern_span raw)
{
    while (raw.n > 0 && (raw.p[raw.n - 1] == '\n' || raw.p[raw.n - 1] == '\r'))
        raw.n--;
    return raw;
}

static struct postern_span raw_value(struct postern_span raw)
{
    const char *colon = raw.n ? memchr(raw.p, ':', raw.n) : NULL;
    size_t skip = colon ? (size_t)(colon - raw.p) + 1 : raw.n;
    while (skip < raw.n && (raw.p[skip] == ' ' || raw.p[skip] == '\t'))
        skip++;
    return (struct postern_span){raw.p + skip, raw.n - skip};
}

static void try_named(struct session *s, struct postern_tx *tx, enum scope scope, struct postern_span name,
                      struct postern_span value, struct finding *f)
{
    const struct rule_field *field = s->judge.content->rules.fields;
    for (; field; field = field->next)
        if (field->rules.scope == scope && same_name(name, field->name))
            try_whole(s, tx, &field->rules, value, f);
}

static void on_header(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                      struct postern_verdict *v)
{
    (void)filter, (void)v;
    struct session *s = session;
    struct postern_span raw = raw_field(ev->raw);
    s->judge.edits.is_signed = s->judge.edits.is_signed || same_name(ev->name, "DKIM-Signature");
    try_named(s, tx, SCOPE_HEADER, ev->name, ev->text, &s->header);
    try_joined(s, tx, SCOPE_HEADER, ev->name, ev->text, &s->header);
    try_named(s, tx, SCOPE_RAWHEADER, ev->name, raw_value(raw), &s->header);
    try_whole(s, tx, &s->judge.content->rules.scopes[SCOPE_RAWHEADER], raw, &s->header);
}

static void on_part_header(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                           struct postern_verdict *v)
{
    (void)filter, (void)v;
    struct session *s = session;
    try_named(s, tx, SCOPE_MIMEHEADER, ev->name, ev->text, &s->content);
    try_joined(s, tx, SCOPE_MIMEHEADER, ev->name, ev->text, &s->content);
}

static void on_headers(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                       struct postern_verdict *v)
{
    (void)filter, (void)ev;
    struct session *s = session;
    edits_header_over(&s->judge.edits, s->judge.content, tx);
    judge_metas(&s->judge, tx, JUDGE_HEADERS, &s->header);
    judge_verdict(&s->judge, &s->header, v);
}

/* ---- the content ---- */

static void on_body(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    (void)filter, (void)v;
    struct session *s = session;
    struct scan scan = scan_content(s, tx, SCOPE_BODY);
    if (!idle(&scan) && body_feed(&s->body, ev->text, scan_subject, &scan) < 0)
        no_memory(&s->content);
}

static void close_stream(struct session *s, struct postern_tx *tx, struct stream *stream, enum scope scope)
{
    struct scan scan = scan_content(s, tx, scope);
    if (stream->open)
        window_close(&stream->window, scan_subject, &scan);
    stream->open = false;
}

static void feed_stream(struct session *s, struct postern_tx *tx, struct stream *stream, enum scope scope,
                        const struct postern_event *ev)
{
    struct scan scan = scan_content(s, tx, scope);
    if (stream->open && stream->part != ev->part->index)
        close_stream(s, tx, stream, scope);
    if (idle(&scan))
        return;
    stream->open = true;
    stream->part = ev->part->index;
    if (window_feed(&stream->window, ev->text.p, ev->text.n, scan_subject, &scan) < 0)
        no_memory(&s->content);
}

static void try_content(struct session *s, struct postern_tx *tx, enum scope scope, struct postern_span text)
{
    if (text.n > 0)
        try_whole(s, tx, &s->judge.content->rules.scopes[scope], text, &s->content);
}

/* What the first bytes of a part say is known some time after its PART. */
static void try_detected(struct session *s, struct postern_tx *tx, const struct postern_part *part)
{
    if (!part || part->detected.n == 0 || s->detected_of == part->index + 1)
        return;
    s->detected_of = part->index + 1;
    try_content(s, tx, SCOPE_TYPE, part->detected);
}

/* A further reading of a part begins with a PART too, so what was read before is complete. */
static void on_part(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    (void)filter, (void)v;
    struct session *s = session;
    const struct postern_part *part = ev->part;
    close_stream(s, tx, &s->text, SCOPE_TEXT);
    close_stream(s, tx, &s->html, SCOPE_HTML);
    try_content(s, tx, SCOPE_FILENAME, part->filename);
    try_content(s, tx, SCOPE_TYPE, part->type);
    if (part->declared.n != part->type.n || memcmp(part->declared.p, part->type.p, part->type.n) != 0)
        try_content(s, tx, SCOPE_TYPE, part->declared);
    try_detected(s, tx, part);
}

static void on_text(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    (void)filter, (void)v;
    struct session *s = session;
    try_detected(s, tx, ev->part);
    feed_stream(s, tx, &s->text, SCOPE_TEXT, ev);
}

static void on_html(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    (void)filter, (void)v;
    struct session *s = session;
    try_detected(s, tx, ev->part);
    feed_stream(s, tx, &s->html, SCOPE_HTML, ev);
}

static void on_url(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                   struct postern_verdict *v)
{
    (void)filter, (void)v;
    try_content(session, tx, SCOPE_URL, ev->text);
}

static void on_member(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                      struct postern_verdict *v)
{
    (void)filter, (void)v;
    try_detected(session, tx, ev->part);
    try_content(session, tx, SCOPE_FILENAME, ev->text);
}

static void on_flag(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    (void)filter, (void)v;
    try_detected(session, tx, ev->part);
    try_content(session, tx, SCOPE_FLAG, ev->text);
}

static void on_end(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                   struct postern_verdict *v)
{
    (void)filter, (void)ev;
    struct session *s = session;
    struct scan lines = scan_content(s, tx, SCOPE_BODY);
    body_close(&s->body, scan_subject, &lines);
    close_stream(s, tx, &s->text, SCOPE_TEXT);
    close_stream(s, tx, &s->html, SCOPE_HTML);
    judge_size(&s->judge, tx, s->judge.content->host->message_bytes(tx), &s->content);
    judge_metas(&s->judge, tx, JUDGE_END, &s->content);
    judge_verdict(&s->judge, &s->content, v);
    if (s->content.cause == FOUND_NOTHING)
        judge_score(&s->judge, tx, v);
    end_transaction(s);
}

static void on_abort(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                     struct postern_verdict *v)
{
    (void)filter, (void)tx, (void)ev, (void)v;
    end_transaction(session);
}

/* ---- sessions and instances ---- */

static int session_begin(void *filter, struct postern_tx *tx, void **session_r)
{
    (void)tx;
    const struct content *c = filter;
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return -1;
    s->judge.content = c;
    s->body.line.max = s->field.max = c->max_text;
    s->text.window.max = s->html.window.max = c->max_text;
    *session_r = s;
    return 0;
}

static void session_end(void *filter, void *session)
{
    (void)filter;
    if (session)
        end_transaction(session);
    free(session);
}

static void release(void *filter)
{
    struct content *c = filter;
    rules_free(&c->rules);
    matcher_destroy(&c->matcher);
    free(c);
}

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    struct content *c = calloc(1, sizeof *c);
    if (!c) {
        host->config_error(self, block, 0, "out of memory");
        return -1;
    }
    c->host = host;
    c->self = self;
    if (options_read(c, block) < 0) {
        release(c);
        return -1;
    }
    host->wants(self, edits_in(&c->rules) ? POSTERN_WANTS_EDITS : 0); /* else large messages may stream */
    if (!matcher_has_jit())
        host->log(self, POSTERN_LOG_INFO, "PCRE2's JIT compiler cannot be used here; matching is slower");
    *filter_r = c;
    return 0;
}

const struct postern_filter postern_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "content",
    .help = "Refuses, discards or scores mail by rules on its envelope, header and text (PCRE2).",
    .options = content_options,
    .configure = configure,
    .release = release,
    .session_begin = session_begin,
    .session_end = session_end,
    .hooks =
        {
            [POSTERN_ON_HELO] = on_helo,
            [POSTERN_ON_MAIL] = on_mail,
            [POSTERN_ON_RCPT] = on_rcpt,
            [POSTERN_ON_HEADER] = on_header,
            [POSTERN_ON_HEADERS] = on_headers,
            [POSTERN_ON_BODY] = on_body,
            [POSTERN_ON_PART] = on_part,
            [POSTERN_ON_TEXT] = on_text,
            [POSTERN_ON_END] = on_end,
            [POSTERN_ON_ABORT] = on_abort,
            [POSTERN_ON_PART_HEADER] = on_part_header,
            [POSTERN_ON_HTML] = on_html,
            [POSTERN_ON_URL] = on_url,
            [POSTERN_ON_MEMBER] = on_member,
            [POSTERN_ON_FLAG] = on_flag,
        },
    .wants = POSTERN_WANTS_EDITS,
};
