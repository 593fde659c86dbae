/* SPDX-License-Identifier: MIT */
/* One entity of a message: what its header section says about its content (RFC 2045, 2046, 2183). Entities
 * form a stack, the message at the bottom. Private to the message model. */
#ifndef FILTERS_ENTITY_H
#define FILTERS_ENTITY_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"
#include "filters/charset.h"
#include "filters/message.h"
#include "filters/transfer.h"

#define ENTITY_TYPE_MAX        127
#define ENTITY_CHARSET_MAX     63
#define ENTITY_DISPOSITION_MAX 31
#define ENTITY_BOUNDARY_MAX    256
#define ENTITY_READINGS        4 /* of a boundary or a file name, where programs would read different ones */

enum entity_kind {
    ENTITY_OPAQUE,    /* nobody looks at its bytes */
    ENTITY_TEXT,      /* to be decoded */
    ENTITY_MULTIPART, /* other entities between boundaries */
    ENTITY_MESSAGE    /* a message with a header section of its own */
};

struct readings { /* up to ENTITY_READINGS different texts */
    struct buf bytes;
    size_t length[ENTITY_READINGS];
    size_t n;
    bool more; /* than were kept */
};
struct span reading(const struct readings *r, size_t i);

struct entity {
    struct entity *parent; /* NULL: the message */
    uint32_t index, depth;
    enum entity_kind kind;
    enum transfer_kind transfer;
    char type[ENTITY_TYPE_MAX];
    size_t type_n;
    char disposition[ENTITY_DISPOSITION_MAX];
    size_t disposition_n;
    struct readings boundaries, filenames, charsets;
    unsigned encodings;   /* a bit for each transfer_kind that was named */
    struct span detected; /* a constant; empty: nothing known */
    uint64_t told;        /* its flags that were told */
    bool has_type, has_encoding;
    bool declares; /* `type` is what the field says, not a default */
    bool says_text, says_multipart, says_html;
    bool html_disputed; /* of two types one was HTML */
    bool type_disputed; /* of two types one was a multipart */
    bool closed;        /* the closing boundary came */
};

MUST_CHECK struct entity *entity_create(struct entity *parent);
void entity_destroy(struct entity **e); /* gives its parent's place to the caller: see e->parent before */
/* One field of its header section, the value unfolded. Fields that say nothing about content are ignored. */
MUST_CHECK bool entity_field(struct entity *e, struct span name, struct span value, struct charset_pool *pool,
                             uint64_t *flags_r);
/* The header section is over: settles the kind. `nest`: may it contain other entities? */
void entity_settle(struct entity *e, bool nest, uint64_t *flags_r);

enum boundary { BOUNDARY_NONE, BOUNDARY_OPEN, BOUNDARY_CLOSE };
/* Is the line, which begins with "--", a boundary of this entity? */
enum boundary entity_boundary(const struct entity *e, struct span line, uint64_t *flags_r);

static inline struct span entity_type(const struct entity *e)
{
    return (struct span){e->type, e->type_n};
}
bool entity_is_html(const struct entity *e);
unsigned entity_claims(const struct entity *e); /* see magic_claims */
static inline struct span entity_declared(const struct entity *e)
{
    return (struct span){e->type, e->declares ? e->type_n : 0};
}
static inline struct span entity_disposition(const struct entity *e)
{
    return (struct span){e->disposition, e->disposition_n};
}
static inline struct span entity_charset(const struct entity *e)
{
    return reading(&e->charsets, 0);
}

#endif
