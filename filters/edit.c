/* SPDX-License-Identifier: MIT */
/* The list of edits. Texts are checked and brought into the form that they will have by edit_text.c; here is
 * what one wish means for those before it.
 *
 *   edit of a field   entries[]: ADD, any number of a name, in order; REPLACE, REMOVE or PREFIX, one of a
 * name recipient         one redirect, some copies tag               name -> value, apart for filters in
 * shadow mode
 *
 * Owned by the run, from the first wish of a transaction to its end. */
#include "filters/edit.h"

#include "base/arena.h"
#include "filters/edit_text.h"
#include "smtp/path.h"

#include <stdlib.h>

struct tag {
    struct span name, value;
    bool shadow;
};

struct edits {
    struct edit_limits limits;
    struct arena *arena;
    size_t bytes;
    struct header_edit fields[REWRITE_EDITS_MAX];
    struct span values[REWRITE_EDITS_MAX]; /* ADD, REPLACE: as asked for. PREFIX: its text in UTF-8 */
    size_t fields_n;
    struct span *copies;
    size_t copies_n;
    struct span redirect;
    struct tag *tags;
    size_t tags_n;
};

static const char no_memory[] = "no memory", too_much[] = "too much is to be changed in this message",
                  bad_name[] = "this is no name of a header field";

static size_t or_default(size_t n, size_t otherwise)
{
    return n ? n : otherwise;
}

struct edits *edits_create(const struct edit_limits *l)
{
    struct edits *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->limits = (struct edit_limits){
        .fields = or_default(l->fields, REWRITE_EDITS_MAX),
        .copies = or_default(l->copies, 16),
        .tags = or_default(l->tags, 32),
        .bytes = or_default(l->bytes, (size_t)64 * 1024),
        .prefix = or_default(l->prefix, 200),
        .name = or_default(l->name, 64),
        .value = or_default(l->value, 256),
    };
    if (e->limits.fields > REWRITE_EDITS_MAX)
        e->limits.fields = REWRITE_EDITS_MAX;
    size_t lists = e->limits.copies * sizeof(*e->copies) + e->limits.tags * sizeof(*e->tags);
    e->arena = arena_create(4 * e->limits.bytes + 2 * lists + (size_t)64 * 1024);
    if (!e->arena) {
        free(e);
        return NULL;
    }
    return e;
}

void edits_destroy(struct edits **e)
{
    if (!*e)
        return;
    arena_destroy(&(*e)->arena);
    free(*e);
    *e = NULL;
}

/* A copy within the limit of bytes; p is NULL past it. */
static struct span keep(struct edits *e, struct span s)
{
    if (s.n > e->limits.bytes - e->bytes)
        return SPAN_NONE;
    e->bytes += s.n;
    return arena_span(e->arena, s);
}

static struct span keep_buf(struct edits *e, struct buf *b)
{
    struct span copy = keep(e, buf_span(b));
    buf_free(b);
    return copy;
}

/* ---- fields ---- */

/* The edit of this name that is not ADD; fields_n: none. */
static size_t find(const struct edits *e, struct span name)
{
    size_t i = 0;
    while (i < e->fields_n && (e->fields[i].kind == HEADER_ADD || !span_ieq(e->fields[i].name, name)))
        i++;
    return i;
}

static void drop(struct edits *e, size_t at)
{
    e->fields_n--;
    for (size_t i = at; i < e->fields_n; i++) {
        e->fields[i] = e->fields[i + 1];
        e->values[i] = e->values[i + 1];
    }
}

/* Nothing of this name is wished any more. */
static void drop_all(struct edits *e, struct span name)
{
    for (size_t i = e->fields_n; i-- > 0;)
        if (span_ieq(e->fields[i].name, name))
            drop(e, i);
}

static size_t count(const struct edits *e, struct span name)
{
    size_t n = 0;
    for (size_t i = 0; i < e->fields_n; i++)
        n += span_ieq(e->fields[i].name, name);
    return n;
}

static void append(struct edits *e, const struct header_edit *edit, struct span value)
{
    e->fields[e->fields_n] = *edit;
    e->values[e->fields_n++] = value;
}

/* "Name: value", checked, folded and kept. */
static const char *make_field(struct edits *e, struct span name, struct span value, bool utf8,
                              struct header_edit *edit_r, struct span *value_r)
{
    struct buf field = {0};
    const char *why = edit_name_ok(name) ? edit_print_field(name, value, utf8, &field) : bad_name;
    if (why) {
        buf_free(&field);
        return why;
    }
    edit_r->field = keep_buf(e, &field);
    edit_r->name = keep(e, name);
    *value_r = keep(e, value);
    return edit_r->field.p && edit_r->name.p && value_r->p ? NULL : too_much;
}

const char *edits_add(struct edits *e, struct span name, struct span value, bool utf8)
{
    struct header_edit edit = {.kind = HEADER_ADD};
    if (e->fields_n >= e->limits.fields)
        return too_much;
    const char *why = make_field(e, name, value, utf8, &edit, &value);
    if (!why)
        append(e, &edit, value);
    return why;
}

const char *edits_replace(struct edits *e, struct span name, struct span value, bool utf8)
{
    struct header_edit edit = {.kind = HEADER_REPLACE};
    if (e->fields_n - count(e, name) >= e->limits.fields)
        return too_much;
    const char *why = make_field(e, name, value, utf8, &edit, &value);
    if (why)
        return why;
    drop_all(e, name);
    append(e, &edit, value);
    return NULL;
}

const char *edits_remove(struct edits *e, struct span name)
{
    struct header_edit edit = {.kind = HEADER_REMOVE};
    if (!edit_name_ok(name))
        return bad_name;
    if (e->fields_n - count(e, name) >= e->limits.fields)
        return too_much;
    edit.name = keep(e, name);
    if (!edit.name.p)
        return too_much;
    drop_all(e, name);
    append(e, &edit, SPAN_NONE);
    return NULL;
}

/* ---- the Subject ---- */

#define SUBJECT SPAN_LIT("Subject")

/* A Subject of ours, with the text in front of it. */
static const char *prefix_ours(struct edits *e, size_t at, const struct edit_prefix *p)
{
    struct header_edit edit = e->fields[at];
    struct buf value = {0};
    struct span old = span_trim(e->values[at]), made;
    bool word = span_istarts(old, SPAN_LIT("=?"));
    bool ok = buf_append(&value, buf_span(word ? &p->before_word : &p->text)) &&
              buf_append(&value, p->join) && buf_append(&value, old);
    /* What it holds above ASCII was allowed when it was asked for. */
    const char *why = ok ? make_field(e, SUBJECT, buf_span(&value), true, &edit, &made) : no_memory;
    if (!why) {
        e->fields[at] = edit;
        e->values[at] = made;
    }
    buf_free(&value);
    return why;
}

/* The Subjects of the message, perhaps with a text in front already; `text` is all of it. */
static const char *prefix_theirs(struct edits *e, size_t at, struct span text)
{
    struct edit_prefix p = {0};
    struct buf field = {0};
    struct header_edit edit = {.kind = HEADER_PREFIX};
    const char *why = edit_make_prefix(text, &p);
    if (!why && !(buf_append(&field, SPAN_LIT("Subject: ")) && buf_append(&field, buf_span(&p.text)) &&
                  buf_append(&field, SPAN_LIT("\r\n"))))
        why = no_memory;
    if (!why) {
        edit.name = SUBJECT;
        edit.join = p.join;
        edit.text = keep(e, buf_span(&p.text));
        edit.before_word = keep(e, buf_span(&p.before_word));
        edit.field = keep(e, buf_span(&field));
        text = keep(e, text);
        if (!edit.text.p || !edit.before_word.p || !edit.field.p || !text.p)
            why = too_much;
    }
    if (!why && at < e->fields_n) {
        e->fields[at] = edit;
        e->values[at] = text;
    } else if (!why) {
        append(e, &edit, text);
    }
    edit_free_prefix(&p);
    buf_free(&field);
    return why;
}

/* The newest text comes first. */
static const char *prefix_more(struct edits *e, size_t at, struct span text)
{
    struct buf both = {0};
    struct span old = e->values[at];
    bool ok = buf_append(&both, text) && buf_append(&both, SPAN_LIT(" ")) && buf_append(&both, old);
    const char *why = !ok                                 ? no_memory
                      : buf_len(&both) > e->limits.prefix ? "the text for the Subject is too long"
                                                          : prefix_theirs(e, at, buf_span(&both));
    buf_free(&both);
    return why;
}

/* What the message itself has: with the text in front, replaced or removed by a wish before this one. */
static const char *prefix_message(struct edits *e, struct span text, const struct edit_prefix *p)
{
    size_t at = find(e, SUBJECT);
    if (at == e->fields_n)
        return at < e->limits.fields ? prefix_theirs(e, at, text) : too_much;
    if (e->fields[at].kind == HEADER_PREFIX)
        return prefix_more(e, at, text);
    if (e->fields[at].kind == HEADER_REPLACE)
        return prefix_ours(e, at, p);
    return count(e, SUBJECT) > 1 ? NULL : edits_replace(e, SUBJECT, buf_span(&p->text), false);
}

const char *edits_prefix(struct edits *e, struct span text)
{
    struct edit_prefix p = {0};
    text = span_trim(text);
    if (text.n > e->limits.prefix)
        return "the text for the Subject is too long";
    const char *why = edit_make_prefix(text, &p);
    size_t ours = e->fields_n;
    if (!why)
        why = prefix_message(e, text, &p);
    for (size_t i = 0; i < ours && !why; i++)
        if (e->fields[i].kind == HEADER_ADD && span_ieq(e->fields[i].name, SUBJECT))
            why = prefix_ours(e, i, &p);
    edit_free_prefix(&p);
    return why;
}

/* ---- recipients ---- */

static const char *check_mailbox(struct span mailbox, bool utf8)
{
    if (!path_mailbox_ok(mailbox))
        return "this is no mailbox";
    return utf8 || edit_is_ascii(mailbox) ? NULL
                                          : "this mailbox needs SMTPUTF8, which the client did not ask for";
}

const char *edits_copy(struct edits *e, struct span mailbox, bool utf8)
{
    const char *why = check_mailbox(mailbox, utf8);
    if (why)
        return why;
    for (size_t i = 0; i < e->copies_n; i++)
        if (span_eq(e->copies[i], mailbox))
            return NULL;
    if (!e->copies)
        e->copies = arena_alloc(e->arena, e->limits.copies * sizeof(*e->copies));
    if (!e->copies)
        return no_memory;
    struct span kept = e->copies_n < e->limits.copies ? keep(e, mailbox) : SPAN_NONE;
    if (!kept.p)
        return too_much;
    e->copies[e->copies_n++] = kept;
    return NULL;
}

const char *edits_redirect(struct edits *e, struct span mailbox, bool utf8)
{
    const char *why = check_mailbox(mailbox, utf8);
    struct span kept = why ? SPAN_NONE : keep(e, mailbox);
    if (kept.p)
        e->redirect = kept;
    return why ? why : kept.p ? NULL : too_much;
}

/* ---- tags ---- */

static struct tag *find_tag(const struct edits *e, struct span name, bool shadow)
{
    for (size_t i = 0; i < e->tags_n; i++)
        if (e->tags[i].shadow == shadow && span_eq(e->tags[i].name, name))
            return &e->tags[i];
    return NULL;
}

const char *edits_tag(struct edits *e, struct span name, struct span value, bool shadow)
{
    if (!name.n || name.n > e->limits.name || value.n > e->limits.value)
        return "the tag's name or value is too long, or it has no name";
    if (!e->tags)
        e->tags = arena_alloc(e->arena, e->limits.tags * sizeof(*e->tags));
    if (!e->tags)
        return no_memory;
    struct tag *t = find_tag(e, name, shadow);
    if (!t && e->tags_n >= e->limits.tags)
        return "the message has too many tags";
    struct tag made = {.name = t ? t->name : keep(e, name), .value = keep(e, value), .shadow = shadow};
    if (!made.name.p || !made.value.p)
        return too_much;
    if (!t)
        t = &e->tags[e->tags_n++];
    *t = made;
    return NULL;
}

/* A filter that enforces does not act on what one said that is only being tried out. */
struct span edits_tag_get(const struct edits *e, struct span name, bool shadow)
{
    const struct tag *t = e && shadow ? find_tag(e, name, true) : NULL;
    if (e && !t)
        t = find_tag(e, name, false);
    return t ? t->value : SPAN_NONE;
}

/* ---- what came of it ---- */

bool edits_any(const struct edits *e)
{
    return e && (e->fields_n || e->copies_n || e->redirect.n);
}

const struct header_edit *edits_header(const struct edits *e, size_t *n_r)
{
    *n_r = e ? e->fields_n : 0;
    return e ? e->fields : NULL;
}

const struct span *edits_copies(const struct edits *e, size_t *n_r)
{
    *n_r = e ? e->copies_n : 0;
    return e ? e->copies : NULL;
}

struct span edits_redirected(const struct edits *e)
{
    return e ? e->redirect : SPAN_NONE;
}

static bool print_word(struct buf *out, const char *mark, struct span word)
{
    return buf_append(out, buf_len(out) ? SPAN_LIT(" ") : SPAN_NONE) && buf_append(out, span_of(mark)) &&
           buf_append(out, word);
}

bool edits_print(const struct edits *e, struct buf *out)
{
    static const char *const marks[] = {
        [HEADER_ADD] = "+", [HEADER_REPLACE] = "=", [HEADER_REMOVE] = "-", [HEADER_PREFIX] = "prefix:"};
    bool ok = true;
    for (size_t i = 0; e && i < e->fields_n && ok; i++)
        ok = print_word(out, marks[e->fields[i].kind], e->fields[i].name);
    if (e && e->redirect.n)
        ok = ok && print_word(out, "redirect:", e->redirect);
    for (size_t i = 0; e && i < e->copies_n && ok; i++)
        ok = print_word(out, "bcc:", e->copies[i]);
    return ok;
}

/* What would break a list of key=value is replaced; the log quotes the whole. */
static bool print_clean(struct buf *out, struct span s)
{
    bool ok = true;
    for (size_t i = 0; i < s.n && ok; i++) {
        char c = s.p[i];
        bool breaks = (unsigned char)c <= ' ' || c == 127 || c == '=' || c == '"';
        ok = buf_append(out, breaks ? SPAN_LIT("_") : span_make(&c, 1));
    }
    return ok;
}

bool edits_print_tags(const struct edits *e, struct buf *out)
{
    bool ok = true;
    for (size_t i = 0; e && i < e->tags_n && ok; i++)
        ok = print_word(out, "", SPAN_NONE) && print_clean(out, e->tags[i].name) &&
             buf_append(out, SPAN_LIT("=")) && print_clean(out, e->tags[i].value);
    return ok;
}
