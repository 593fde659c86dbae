/* SPDX-License-Identifier: MIT */
/* The driver of the message model. It cuts the content into lines, finds the boundaries, and leads everything
 * else to the reader whose turn it is.
 *
 *   bytes -> text and line ends -> "--" lines held until known -> boundary: entities are popped and pushed
 *                                                              -> HEADERS: header.c -> fields
 *                                                              -> BODY: body.c -> TEXT
 *
 * A line end before a boundary belongs to the boundary, so one line end is always held back inside
 * multiparts. What is held is bounded: the field being read, LINE_HELD bytes of a line, the entities of the
 * stack, what body.c holds. Flags are told when a header section or a body is over. The message belongs to
 * the transaction. */
#include "filters/message.h"

#include "filters/again.h"
#include "filters/body.h"
#include "filters/entity.h"
#include "filters/header.h"
#include "filters/words.h"

#define LINE_HELD (ENTITY_BOUNDARY_MAX + 64) /* a longer line is no boundary */

enum state {
    STATE_HEADERS,
    STATE_BODY_DUE, /* the section is over; at the bottom of the stack the caller may wait here */
    STATE_BODY,
    STATE_OVER
};

struct message {
    struct sink out;
    uint64_t told; /* flags of any part */
    enum state state;
    struct entity *top; /* whose header section or body this is */

    /* lines */
    bool cr;         /* a CR came, and it is not known what follows */
    bool line_start; /* nothing of this line was passed on */
    size_t held_n;   /* of a line that may be a boundary */
    char held[LINE_HELD];

    /* the header section */
    struct header header;
    struct buf due;      /* of a line that ended the section by being no field, and begins the body */
    struct span due_eol; /* and its end, a constant; empty: it goes on */

    /* the body */
    bool in_multipart;    /* boundaries are looked for */
    struct span eol_held; /* a constant; empty: none */
    struct body body;
    struct again again; /* what is read in more than one way */
};

static const struct span crlf = {"\r\n", 2}, lf = {"\n", 1}, cr = {"\r", 1};

/* ---- parts and flags ---- */

static struct message_part part_of(const struct entity *e, size_t name)
{
    struct message_part part = {.index = e->index,
                                .depth = e->depth,
                                .type = entity_type(e),
                                .declared = entity_declared(e),
                                .charset = entity_charset(e),
                                .detected = e->detected,
                                .disposition = entity_disposition(e)};
    if (name < e->filenames.n)
        part.filename = reading(&e->filenames, name);
    return part;
}

/* Tells of the flags in `raised` that *told_io does not have yet. */
static void tell_flags(struct message *m, const struct message_part *part, uint64_t *told_io)
{
    uint64_t fresh = m->out.raised & ~*told_io;

    for (unsigned i = 0; fresh >> i; i++)
        if ((fresh >> i & 1) && m->out.events.flag)
            m->out.events.flag(m->out.ctx, part, (enum message_flag)i);
    *told_io |= fresh;
    m->told |= fresh;
    m->out.raised = 0;
}

static void tell_flags_of(struct message *m, struct entity *e)
{
    struct message_part part = part_of(e, 0);
    tell_flags(m, &part, &e->told);
}

/* ---- text ---- */

/* What stands outside of an entity's parts is text of its own. */
static const struct body_reading around_parts = {.transfer = TRANSFER_IDENTITY, .text = true};

static bool open_text(struct message *m, const struct body_reading *how)
{
    m->out.part = part_of(m->top, 0);
    return body_open(&m->body, &m->out, how);
}

static bool close_text(struct message *m)
{
    m->eol_held = SPAN_NONE;
    bool good = body_close(&m->body);
    if (m->out.part.index == m->top->index && m->out.part.detected.n)
        m->top->detected = m->out.part.detected;
    if (good && (m->again.n || m->again.cut)) {
        struct message_part part = part_of(m->top, 0);
        good = again_read(&m->again, &m->body, &m->out, &part);
        m->again = (struct again){0};
    }
    tell_flags_of(m, m->top);
    return good;
}

static bool put_text(struct message *m, struct span s)
{
    return again_keep(&m->again, s, m->out.limits.reading_bytes) && body_put(&m->body, s);
}

static bool body_text(struct message *m, struct span s)
{
    bool good = put_text(m, m->eol_held);
    m->eol_held = SPAN_NONE;
    return good && put_text(m, s);
}

static bool body_eol(struct message *m, struct span eol)
{
    if (!body_text(m, SPAN_NONE))
        return false;
    if (!m->in_multipart)
        return put_text(m, eol);
    m->eol_held = eol;
    return true;
}

/* ---- entities ---- */

static bool on_field(void *ctx, struct span name, struct span value, struct span raw);

static bool push(struct message *m)
{
    struct entity *e = entity_create(m->top);
    if (!e)
        return false;
    m->top = e;
    e->index = m->out.parts;
    m->state = STATE_HEADERS;
    header_begin(&m->header, m->out.limits.header_bytes, on_field, m);
    return true;
}

static void pop(struct message *m)
{
    struct entity *e = m->top;

    if (e->kind == ENTITY_MULTIPART && !e->closed)
        m->out.raised |= MESSAGE_NO_CLOSING_BOUNDARY;
    tell_flags_of(m, e);
    m->top = e->parent;
    entity_destroy(&e);
}

static void give_part(struct message *m)
{
    size_t names = m->top->filenames.n ? m->top->filenames.n : 1;

    for (size_t i = 0; i < names && m->out.events.part; i++) {
        struct message_part part = part_of(m->top, i);
        m->out.events.part(m->out.ctx, &part);
    }
    tell_flags_of(m, m->top);
}

/* A boundary that ends both is read as one of the outer or of the inner. */
static void note_collision(struct message *m, const struct entity *e)
{
    for (const struct entity *outer = e->parent; outer; outer = outer->parent)
        for (size_t i = 0; i < e->boundaries.n * outer->boundaries.n; i++)
            if (span_eq(reading(&e->boundaries, i % e->boundaries.n),
                        reading(&outer->boundaries, i / e->boundaries.n)))
                m->out.raised |= MESSAGE_BOUNDARY_COLLISION;
}

static bool has_eight_bits(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return true;
    return false;
}

/* The header section of the entity on top is over: what is its body? */
static bool begin_body(struct message *m)
{
    struct entity *e = m->top;

    m->state = STATE_BODY;
    entity_settle(e, e->depth < m->out.limits.depth, &m->out.raised);
    m->out.parts++;
    give_part(m);
    switch (e->kind) {
    case ENTITY_MESSAGE:
        return push(m);
    case ENTITY_MULTIPART:
        m->in_multipart = true;
        note_collision(m, e);
        return open_text(m, &around_parts);
    case ENTITY_TEXT:
    case ENTITY_OPAQUE:
        break;
    }
    const struct body_reading first = again_first(e);
    again_begin(&m->again, e);
    return open_text(m, &first);
}

/* Whatever is open inside of the entity on top comes to its end. */
static bool close_body(struct message *m)
{
    while (m->state == STATE_HEADERS) {
        m->out.raised |= m->header.flags;
        if (!header_end(&m->header) || !begin_body(m))
            return false;
    }
    return close_text(m);
}

static bool at_boundary(struct message *m, struct entity *e, enum boundary which)
{
    if (!close_body(m))
        return false;
    while (m->top != e)
        pop(m);
    if (which == BOUNDARY_OPEN && m->out.parts < m->out.limits.parts)
        return push(m);
    if (which == BOUNDARY_OPEN) { /* all that follows is the text of this entity */
        m->out.raised |= MESSAGE_PART_LIMIT;
        m->in_multipart = false;
    } else {
        e->closed = true;
    }
    return open_text(m, &around_parts);
}

/* ---- the header section ---- */

static void give_field(struct message *m, struct span name, struct span text, struct span raw)
{
    struct message_part part = part_of(m->top, 0);

    if (m->top->parent)
        m->out.events.part_field(m->out.ctx, &part, name, text, raw);
    else
        m->out.events.field(m->out.ctx, name, text, raw);
}

static bool decode_field(struct message *m, struct span name, struct span value, struct span raw)
{
    bool wanted = m->top->parent ? m->out.events.part_field != NULL : m->out.events.field != NULL;
    struct buf text = {0};
    bool good = words_decode(value, m->out.limits.field_bytes, &m->out.pool, &text, &m->out.raised);

    if (good && wanted)
        give_field(m, name, span_trim(buf_span(&text)), raw);
    buf_free(&text);
    return good;
}

static bool on_field(void *ctx, struct span name, struct span value, struct span raw)
{
    struct message *m = ctx;
    struct buf unfolded = {0};
    bool good = words_unfold(value, &unfolded);

    value = span_trim(buf_span(&unfolded));
    if (has_eight_bits(value))
        m->out.raised |= MESSAGE_EIGHT_BIT_HEADER;
    good = good && entity_field(m->top, name, value, &m->out.pool, &m->out.raised) &&
           decode_field(m, name, value, raw);
    buf_free(&unfolded);
    return good;
}

/* The section of the entity on top is over. That of the message itself is announced. */
static bool section_over(struct message *m, struct span eol)
{
    m->out.raised |= m->header.flags;
    m->state = STATE_BODY_DUE;
    m->due_eol = eol;
    if (!m->top->parent) {
        uint64_t none_yet = 0;
        tell_flags(m, NULL, &none_yet);
        m->out.events.headers_end(m->out.ctx);
    }
    return buf_append(&m->due, header_line(&m->header));
}

static bool headers_text(struct message *m, struct span *s)
{
    enum header_result result = header_text(&m->header, s);
    return result == HEADER_NO_FIELD ? section_over(m, SPAN_NONE) : result != HEADER_NO_MEMORY;
}

static bool headers_eol(struct message *m, struct span eol)
{
    enum header_result result = header_eol(&m->header, eol);

    if (result == HEADER_NO_MEMORY || result == HEADER_MORE)
        return result == HEADER_MORE;
    return section_over(m, result == HEADER_NO_FIELD ? eol : SPAN_NONE);
}

/* ---- lines ---- */

/* Text of a line that is no boundary. Takes from *s; stops where the header section ends. */
static bool pass_text(struct message *m, struct span *s)
{
    m->line_start = false;
    while (s->n && m->state == STATE_HEADERS)
        if (!headers_text(m, s))
            return false;
    if (m->state != STATE_BODY)
        return true;
    struct span all = *s;
    *s = span_skip(*s, s->n);
    return body_text(m, all);
}

/* What is left when the header section ends in the middle belongs to the line that begins the body. */
static bool pass_held(struct message *m)
{
    struct span held = {m->held, m->held_n};
    m->held_n = 0;
    return pass_text(m, &held) && buf_append(&m->due, held);
}

static bool may_be_boundary(const struct message *m)
{
    return m->held_n < 2 ? m->held[0] == '-' : m->held[1] == '-' && m->held_n < LINE_HELD;
}

/* At the start of a line inside a multipart: holds it while it may be a boundary. */
static bool hold(struct message *m, struct span *s)
{
    while (s->n) {
        m->held[m->held_n++] = s->p[0];
        *s = span_skip(*s, 1);
        if (!may_be_boundary(m))
            return pass_held(m);
    }
    return true;
}

static bool line_text(struct message *m, struct span *s)
{
    if (m->in_multipart && m->line_start && !hold(m, s))
        return false;
    return s->n == 0 || pass_text(m, s);
}

static bool line_eol(struct message *m, struct span eol)
{
    struct span line = {m->held, m->held_n};

    for (struct entity *e = line.n >= 2 ? m->top : NULL; e; e = e->parent) {
        enum boundary which = BOUNDARY_NONE;
        if (e->kind == ENTITY_MULTIPART)
            which = entity_boundary(e, line, &m->out.raised);
        if (which == BOUNDARY_NONE)
            continue;
        m->held_n = 0;
        m->line_start = true;
        return at_boundary(m, e, which);
    }
    if (line.n && !pass_held(m))
        return false;
    m->line_start = true;
    return m->state == STATE_HEADERS ? headers_eol(m, eol) : body_eol(m, eol);
}

static size_t text_length(struct span s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] != '\r' && s.p[n] != '\n')
        n++;
    return n;
}

/* One token from the front of *in. */
static bool take(struct message *m, struct span *in)
{
    struct span text = m->cr ? cr : span_head(*in, text_length(*in));

    if (in->p[0] == '\n') {
        struct span eol = m->cr ? crlf : lf;
        m->cr = false;
        *in = span_skip(*in, 1);
        return line_eol(m, eol);
    }
    if (text.n == 0) { /* a CR: the next byte tells */
        m->cr = true;
        *in = span_skip(*in, 1);
        return true;
    }
    if (m->cr) {
        m->cr = false;
        return line_text(m, &text);
    }
    size_t n = text.n;
    bool good = line_text(m, &text);
    *in = span_skip(*in, n - text.n);
    return good;
}

/* The body begins, perhaps with the line that ended the header section. That line is read anew: it may be a
 * boundary of this entity, or a line of the message that this entity contains. */
static bool resume_body(struct message *m)
{
    struct buf due = m->due;
    struct span line = buf_span(&due), eol = m->due_eol;
    bool good = begin_body(m);

    m->due = (struct buf){0};
    m->due_eol = SPAN_NONE;
    m->line_start = true;
    if (good && line.n)
        good = line_text(m, &line) && buf_append(&m->due, line);
    if (m->state == STATE_BODY_DUE)
        m->due_eol = eol;
    else if (good && eol.n)
        good = line_eol(m, eol);
    buf_free(&due);
    return good;
}

/* Outside multiparts no line of the body means anything: the whole piece is text. */
static bool lines_do_not_matter(const struct message *m)
{
    return m->state == STATE_BODY && !m->in_multipart && !m->cr && m->held_n == 0;
}

static bool take_piece(struct message *m, struct span *in)
{
    struct span all = *in;
    *in = span_skip(*in, in->n);
    m->line_start = all.p[all.n - 1] == '\n';
    return body_text(m, all);
}

/* ---- the surface ---- */

bool message_feed(struct message *m, struct span *in)
{
    while (in->n && m->state != STATE_OVER) {
        if (m->state == STATE_BODY_DUE) {
            if (!resume_body(m))
                return false;
            continue;
        }
        if (!(lines_do_not_matter(m) ? take_piece(m, in) : take(m, in)))
            return false;
        if (m->state == STATE_BODY_DUE && !m->top->parent)
            return true;
    }
    *in = span_skip(*in, in->n);
    return true;
}

/* A line without its end: still a boundary, if it looks like one. */
static bool end_line(struct message *m)
{
    struct span bare = m->cr ? cr : SPAN_NONE;

    m->cr = false;
    if (!line_text(m, &bare))
        return false;
    return m->line_start && m->held_n == 0 ? true : line_eol(m, SPAN_NONE);
}

bool message_end(struct message *m)
{
    do {
        while (m->state == STATE_BODY_DUE)
            if (!resume_body(m))
                return false;
        if (m->state == STATE_OVER)
            return true;
        if (!end_line(m))
            return false;
        if (m->top->parent)
            continue;
        if (m->state == STATE_HEADERS && !(header_end(&m->header) && section_over(m, SPAN_NONE)))
            return false;
        if (m->state == STATE_BODY_DUE)
            return true;
    } while (m->state == STATE_BODY_DUE);
    if (!close_body(m))
        return false;
    while (m->top)
        pop(m);
    m->state = STATE_OVER;
    return true;
}

uint64_t message_flags(const struct message *m)
{
    return m->told | m->out.raised;
}

static struct message_limits with_defaults(struct message_limits l)
{
    if (l.header_bytes == 0)
        l.header_bytes = 256u << 10;
    if (l.field_bytes == 0)
        l.field_bytes = 3 * l.header_bytes; /* an octet may become three in UTF-8 */
    if (l.depth == 0)
        l.depth = 20;
    if (l.parts == 0)
        l.parts = 1000;
    if (l.decoded_bytes == 0)
        l.decoded_bytes = 512u << 20;
    if (l.urls == 0)
        l.urls = 10000;
    if (l.url_bytes == 0)
        l.url_bytes = 2048;
    if (l.reading_bytes == 0)
        l.reading_bytes = 1u << 20;
    if (l.archive_bytes == 0)
        l.archive_bytes = 4u << 20;
    if (l.members == 0)
        l.members = 1000;
    if (l.member_bytes == 0)
        l.member_bytes = 1024;
    return l;
}

struct message *message_create(const struct message_limits *limits, const struct message_events *events,
                               void *ctx)
{
    struct message *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->out.limits = with_defaults(*limits);
    m->out.events = *events;
    m->out.ctx = ctx;
    m->line_start = true;
    if (!push(m))
        message_destroy(&m);
    return m;
}

void message_destroy(struct message **m)
{
    if (!*m)
        return;
    while ((*m)->top) {
        struct entity *e = (*m)->top;
        (*m)->top = e->parent;
        entity_destroy(&e);
    }
    header_free(&(*m)->header);
    buf_free(&(*m)->due);
    body_free(&(*m)->body);
    buf_free(&(*m)->again.kept);
    charset_pool_free(&(*m)->out.pool);
    free(*m);
    *m = NULL;
}
