/* SPDX-License-Identifier: MIT */
/* What an entity is. A message may say it twice and differently, and programs differ in which they believe;
 * so this keeps, where it costs little, every reading: all boundaries that were named, all file names, and
 * text if anything said so. An entity belongs to the stack of its message and lives until its end is read. */
#include "filters/entity.h"

#include "filters/magic.h"
#include "filters/parameter.h"

struct span reading(const struct readings *r, size_t i)
{
    size_t at = 0;
    for (size_t k = 0; k < i; k++)
        at += r->length[k];
    return span_head(span_skip(buf_span(&r->bytes), at), r->length[i]);
}

/* Adds s unless it is there or the places are used up. */
static bool readings_add(struct readings *r, struct span s)
{
    for (size_t i = 0; i < r->n; i++)
        if (span_eq(reading(r, i), s))
            return true;
    if (s.n == 0)
        return true;
    if (r->n == ENTITY_READINGS) {
        r->more = true;
        return true;
    }
    if (!buf_append(&r->bytes, s))
        return false;
    r->length[r->n++] = s.n;
    return true;
}

struct entity *entity_create(struct entity *parent)
{
    struct entity *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->parent = parent;
    e->depth = parent ? parent->depth + 1 : 0;
    return e;
}

void entity_destroy(struct entity **e)
{
    if (!*e)
        return;
    buf_free(&(*e)->boundaries.bytes);
    buf_free(&(*e)->filenames.bytes);
    buf_free(&(*e)->charsets.bytes);
    free(*e);
    *e = NULL;
}

/* ---- fields ---- */

static size_t copy_lower(char *to, size_t room, struct span s)
{
    s = span_head(s, room);
    for (size_t i = 0; i < s.n; i++)
        to[i] = ascii_lower(s.p[i]);
    return s.n;
}

/* Every reading of one parameter, given to `take`. */
static bool each_reading(struct entity *e, const struct parameters *p, const char *name, bool words,
                         struct charset_pool *pool, uint64_t *flags_r,
                         bool (*take)(struct entity *e, struct span value))
{
    struct buf value = {0};
    bool good = true, found = true;

    for (size_t at = 0; good && found; buf_free(&value)) {
        good = parameter_next(p, span_of(name), &at, words, pool, &value, flags_r, &found);
        if (good && found)
            good = take(e, buf_span(&value));
    }
    return good;
}

static bool take_filename(struct entity *e, struct span value)
{
    return readings_add(&e->filenames, value);
}

static bool take_boundary(struct entity *e, struct span value)
{
    while (value.n && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
        value.n--;
    if (value.n <= ENTITY_BOUNDARY_MAX)
        return readings_add(&e->boundaries, value);
    e->boundaries.more = true;
    return true;
}

static bool take_charset(struct entity *e, struct span value)
{
    char lower[ENTITY_CHARSET_MAX];
    return readings_add(&e->charsets, (struct span){lower, copy_lower(lower, sizeof(lower), value)});
}

static bool is_type(struct span s)
{
    size_t slash = span_find(s, '/');
    return slash > 0 && slash + 1 < s.n && s.n <= ENTITY_TYPE_MAX;
}

static bool is_html(struct span type)
{
    return span_ieq(type, SPAN_LIT("text/html")) || span_ieq(type, SPAN_LIT("application/xhtml+xml"));
}

static bool content_type(struct entity *e, const struct parameters *p, struct charset_pool *pool,
                         uint64_t *flags_r)
{
    struct span type = parameter_token(p->value);
    bool multipart = span_istarts(type, SPAN_LIT("multipart/"));

    if (e->has_type)
        *flags_r |= MESSAGE_DUP_CONTENT_TYPE;
    else if (is_type(type))
        e->type_n = copy_lower(e->type, sizeof(e->type), type);
    e->declares = e->type_n > 0;
    e->type_disputed = e->type_disputed || (e->has_type && e->says_multipart != multipart);
    bool html = is_html(type);
    e->html_disputed = e->html_disputed || (e->has_type && e->says_html != html);
    e->says_html = e->says_html || html;
    e->has_type = true;
    e->says_multipart = e->says_multipart || multipart;
    e->says_text = e->says_text || span_istarts(type, SPAN_LIT("text/")) || !is_type(type);
    if (multipart && !each_reading(e, p, "boundary", false, pool, flags_r, take_boundary))
        return false;
    return each_reading(e, p, "charset", false, pool, flags_r, take_charset) &&
           each_reading(e, p, "name", true, pool, flags_r, take_filename);
}

static bool content_disposition(struct entity *e, const struct parameters *p, struct charset_pool *pool,
                                uint64_t *flags_r)
{
    if (e->disposition_n == 0)
        e->disposition_n = copy_lower(e->disposition, sizeof(e->disposition), parameter_token(p->value));
    return each_reading(e, p, "filename", true, pool, flags_r, take_filename);
}

/* Of several encodings the first that is one counts. Where they differ, a program that takes another one
 * shows another text. */
static bool content_encoding(struct entity *e, const struct parameters *p, struct charset_pool *pool,
                             uint64_t *flags_r)
{
    static const struct {
        const char *name;
        enum transfer_kind kind;
    } encodings[] = {{"7bit", TRANSFER_IDENTITY},
                     {"8bit", TRANSFER_IDENTITY},
                     {"binary", TRANSFER_IDENTITY},
                     {"base64", TRANSFER_BASE64},
                     {"quoted-printable", TRANSFER_QP}};
    size_t i = 0;

    (void)pool;
    while (i < COUNT_OF(encodings) && !span_ieq(parameter_token(p->value), span_of(encodings[i].name)))
        i++;
    enum transfer_kind kind = i < COUNT_OF(encodings) ? encodings[i].kind : TRANSFER_IDENTITY;
    if (e->has_encoding || i == COUNT_OF(encodings))
        *flags_r |= MESSAGE_ODD_ENCODING;
    e->encodings |= 1u << kind;
    if (e->encodings & (e->encodings - 1))
        *flags_r |= MESSAGE_DUP_ENCODING;
    e->has_encoding = true;
    if (e->transfer == TRANSFER_IDENTITY)
        e->transfer = kind;
    return true;
}

bool entity_field(struct entity *e, struct span name, struct span value, struct charset_pool *pool,
                  uint64_t *flags_r)
{
    static const struct {
        const char *name;
        bool (*read)(struct entity *e, const struct parameters *p, struct charset_pool *pool,
                     uint64_t *flags_r);
    } fields[] = {{"Content-Type", content_type},
                  {"Content-Disposition", content_disposition},
                  {"Content-Transfer-Encoding", content_encoding}};
    struct parameters p;

    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        if (!span_ieq(name, span_of(fields[i].name)))
            continue;
        parameters_parse(value, &p);
        if (p.more)
            *flags_r |= MESSAGE_FIELD_LIMIT;
        return fields[i].read(e, &p, pool, flags_r);
    }
    return true;
}

/* ---- kind ---- */

static bool in_digest(const struct entity *e)
{
    return e->parent && span_eq(entity_type(e->parent), SPAN_LIT("multipart/digest"));
}

static void default_type(struct entity *e)
{
    struct span type = !e->has_type && in_digest(e) ? SPAN_LIT("message/rfc822") : SPAN_LIT("text/plain");
    if (e->type_n == 0)
        e->type_n = copy_lower(e->type, sizeof(e->type), type);
}

static bool is_message(const struct entity *e)
{
    return span_eq(entity_type(e), SPAN_LIT("message/rfc822")) ||
           span_eq(entity_type(e), SPAN_LIT("message/global"));
}

bool entity_is_html(const struct entity *e)
{
    return is_html(entity_type(e));
}

unsigned entity_claims(const struct entity *e)
{
    unsigned claims = magic_claims(entity_declared(e), SPAN_NONE);

    for (size_t i = 0; i < e->filenames.n; i++)
        claims |= magic_claims(SPAN_NONE, reading(&e->filenames, i));
    return claims;
}

static enum entity_kind kind_of(const struct entity *e, uint64_t *flags_r)
{
    struct span type = entity_type(e);

    if (e->says_multipart) {
        if (e->transfer != TRANSFER_IDENTITY)
            *flags_r |= MESSAGE_ODD_ENCODING | (e->type_disputed ? MESSAGE_AMBIGUOUS : 0);
        if (e->boundaries.n)
            return ENTITY_MULTIPART;
        *flags_r |= MESSAGE_NO_CLOSING_BOUNDARY;
    }
    if (is_message(e) && e->transfer == TRANSFER_IDENTITY)
        return ENTITY_MESSAGE;
    if (e->says_text || e->says_html || span_istarts(type, SPAN_LIT("text/")) ||
        span_istarts(type, SPAN_LIT("message/")) || span_istarts(type, SPAN_LIT("multipart/")))
        return ENTITY_TEXT;
    return ENTITY_OPAQUE;
}

void entity_settle(struct entity *e, bool nest, uint64_t *flags_r)
{
    default_type(e);
    if (e->boundaries.more || e->filenames.more)
        *flags_r |= MESSAGE_FIELD_LIMIT;
    e->kind = kind_of(e, flags_r);
    if (e->charsets.n > 1)
        *flags_r |= MESSAGE_DUP_CHARSET;
    if (e->charsets.more ||
        (e->encodings & (e->encodings - 1) && e->kind != ENTITY_TEXT && e->kind != ENTITY_OPAQUE))
        *flags_r |= MESSAGE_AMBIGUOUS;
    if (nest || (e->kind != ENTITY_MULTIPART && e->kind != ENTITY_MESSAGE))
        return;
    *flags_r |= MESSAGE_DEPTH_LIMIT;
    e->kind = ENTITY_TEXT;
}

/* ---- boundaries ---- */

static bool only_padding(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r')
            return false;
    return true;
}

enum boundary entity_boundary(const struct entity *e, struct span line, uint64_t *flags_r)
{
    for (size_t i = 0; i < e->boundaries.n; i++) {
        struct span boundary = reading(&e->boundaries, i), rest = span_skip(line, 2 + boundary.n);
        if (line.n < 2 + boundary.n || !span_eq(span_head(span_skip(line, 2), boundary.n), boundary))
            continue;
        if (only_padding(rest))
            return BOUNDARY_OPEN;
        if (span_istarts(rest, SPAN_LIT("--")) && only_padding(span_skip(rest, 2)))
            return BOUNDARY_CLOSE;
        *flags_r |= MESSAGE_ODD_BOUNDARY;
    }
    return BOUNDARY_NONE;
}
