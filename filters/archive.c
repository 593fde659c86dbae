/* SPDX-License-Identifier: MIT */
/* Of a zip all names are told that stand in its directory at the end, and those in the headers in front of
 * its files: programs differ in which they follow.
 *
 *   bytes --gzip?--> unpack up to the limit --tar?--> names
 *         --else--> libarchive, which skips over data without unpacking it --> names
 *                    `--> a member that is an archive: unpack up to the limit --> once more
 *
 * A solid RAR 5 must be unpacked to be skipped, by a library that cannot be told when to stop: of these no
 * names are read. All memory here dies with the call. */
#include "filters/archive.h"

#include "filters/message.h"

#include <archive.h>
#include <archive_entry.h>

#define LOOKS     8  /* at names, for each that may be told: most come two or three times */
#define LEVELS    2  /* the archive and those inside */
#define NAMES_MAX 64 /* a longer prefix of an inner archive's name is cut */

struct reading {
    const struct archive_limits *limits;
    archive_member member;
    void *ctx;
    uint64_t flags;
    size_t told, looked_at, unpacked;
    uint64_t *seen; /* hashes of the names at this level, limits->members of them */
    size_t seen_n;
    struct span prefix;
    bool stop;
};

static void read_archive(struct reading *r, struct span bytes, bool cut, unsigned level);

/* ---- names ---- */

static uint64_t hash_of(struct span s)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < s.n; i++)
        hash = (hash ^ (unsigned char)s.p[i]) * 1099511628211u;
    return hash;
}

static bool is_new(struct reading *r, struct span name)
{
    uint64_t hash = hash_of(name);

    for (size_t i = 0; i < r->seen_n; i++)
        if (r->seen[i] == hash)
            return false;
    if (r->seen_n < r->limits->members)
        r->seen[r->seen_n++] = hash;
    return true;
}

static void tell(struct reading *r, struct span name)
{
    struct buf full = {0};

    if (name.n == 0 || r->stop)
        return;
    if (r->told >= r->limits->members || r->looked_at++ >= LOOKS * r->limits->members) {
        r->flags |= MESSAGE_ARCHIVE_LIMIT;
        r->stop = true;
        return;
    }
    if (name.n > r->limits->name_bytes)
        r->flags |= MESSAGE_ARCHIVE_LIMIT;
    name = span_head(name, r->limits->name_bytes);
    bool good = buf_append(&full, r->prefix) && (r->prefix.n == 0 || buf_append(&full, SPAN_LIT("/"))) &&
                buf_append(&full, name);
    if (good && is_new(r, buf_span(&full))) {
        r->told++;
        r->stop = !r->member(r->ctx, buf_span(&full));
    }
    r->stop = r->stop || !good;
    buf_free(&full);
}

/* ---- the headers inside a zip ---- */

static unsigned le16(const char *p)
{
    return (unsigned char)p[0] | (unsigned)(unsigned char)p[1] << 8;
}

struct zip_header { /* APPNOTE 4.3.7, 4.3.12 */
    const char *mark;
    size_t length, flags, method, name;
};

/* Wherever a header of this kind stands, linear in the bytes. */
static void zip_names(struct reading *r, struct span s, const struct zip_header *h)
{
    enum { MARK = 4, ENCRYPTED = 1, METHODS = 99 };

    while (s.n > h->length && !r->stop) {
        s = span_skip(s, span_find(s, h->mark[0]));
        if (s.n <= h->length)
            return;
        if (!span_eq(span_head(s, MARK), (struct span){h->mark, MARK})) {
            s = span_skip(s, 1);
            continue;
        }
        size_t n = le16(s.p + h->name);
        if (le16(s.p + h->method) <= METHODS && n > 0 && n <= s.n - h->length) {
            if (le16(s.p + h->flags) & ENCRYPTED)
                r->flags |= MESSAGE_ARCHIVE_ENCRYPTED;
            tell(r, (struct span){s.p + h->length, n});
        }
        s = span_skip(s, MARK);
    }
}

/* ---- libarchive ---- */

static bool is_archive_name(struct span name)
{
    static const char *const suffixes[] = {".zip", ".rar", ".7z",  ".tar", ".gz",
                                           ".tgz", ".iso", ".img", ".jar"};

    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        struct span suffix = span_of(suffixes[i]);
        if (name.n > suffix.n && span_ieq(span_skip(name, name.n - suffix.n), suffix))
            return true;
    }
    return false;
}

/* The data of the entry that is open, as far as may be unpacked. *cut_r: there is more. */
static bool unpack(struct reading *r, struct archive *a, struct buf *out, bool *cut_r)
{
    enum { PIECE = 16384 };
    la_ssize_t n = 1;

    *cut_r = false;
    while (n > 0) {
        size_t room = r->limits->unpacked - r->unpacked;
        char *to = room ? buf_reserve(out, PIECE) : NULL;
        if (!to) {
            r->flags |= MESSAGE_ARCHIVE_LIMIT;
            *cut_r = true;
            return room == 0;
        }
        n = archive_read_data(a, to, room < PIECE ? room : PIECE);
        if (n > 0) {
            buf_added(out, (size_t)n);
            r->unpacked += (size_t)n;
        }
    }
    return n == 0 || buf_len(out) > 0;
}

/* An archive inside of this one. */
static void read_inner(struct reading *r, struct archive *a, struct span name, unsigned level)
{
    struct buf bytes = {0};
    struct span outer = r->prefix, prefix = span_head(name, NAMES_MAX);
    bool cut;

    if (unpack(r, a, &bytes, &cut)) {
        r->prefix = prefix;
        read_archive(r, buf_span(&bytes), cut, level + 1);
        r->prefix = outer;
    }
    buf_free(&bytes);
}

static struct span name_of(struct archive_entry *e)
{
    const char *name = archive_entry_pathname_utf8(e);
    return span_of(name ? name : archive_entry_pathname(e));
}

static void read_entries(struct reading *r, struct archive *a, bool cut, unsigned level)
{
    struct archive_entry *e;
    int result = ARCHIVE_OK;

    while (!r->stop && ((result = archive_read_next_header(a, &e)) == ARCHIVE_OK || result == ARCHIVE_WARN)) {
        struct span name = name_of(e);
        tell(r, name);
        if (archive_entry_is_data_encrypted(e) > 0 || archive_entry_is_metadata_encrypted(e) > 0)
            r->flags |= MESSAGE_ARCHIVE_ENCRYPTED;
        else if (level + 1 < LEVELS && is_archive_name(name) && !r->stop)
            read_inner(r, a, name, level);
    }
    if (!r->stop && result != ARCHIVE_EOF && archive_read_has_encrypted_entries(a) > 0)
        r->flags |= MESSAGE_ARCHIVE_ENCRYPTED;
    else if (!r->stop && result != ARCHIVE_EOF && !cut)
        r->flags |= MESSAGE_ARCHIVE_BROKEN;
}

static void read_with(struct reading *r, struct span bytes, bool cut, unsigned level,
                      int (*const *formats)(struct archive *a), size_t n)
{
    struct archive *a = archive_read_new();
    bool good = a != NULL;

    for (size_t i = 0; good && i < n; i++)
        good = formats[i](a) >= ARCHIVE_WARN;
    if (good && archive_read_open_memory(a, bytes.p, bytes.n) == ARCHIVE_OK)
        read_entries(r, a, cut, level);
    else if (!cut)
        r->flags |= MESSAGE_ARCHIVE_BROKEN;
    if (a)
        (void)archive_read_free(a);
}

/* ---- gzip ---- */

/* The name that a gzip header carries (RFC 1952 2.3). */
static void gzip_name(struct reading *r, struct span s)
{
    enum { HEADER = 10, FLAGS = 3, EXTRA = 4, NAME = 8 };

    if (s.n < HEADER || !(s.p[FLAGS] & NAME))
        return;
    unsigned flags = (unsigned char)s.p[FLAGS];
    s = span_skip(s, HEADER);
    if (flags & EXTRA && s.n >= 2)
        s = span_skip(s, 2 + le16(s.p));
    tell(r, span_head(s, span_find(s, '\0')));
}

/* What is inside is unpacked first: a tar in it is skipped over in memory, and never unpacked without end. */
static void read_gzip(struct reading *r, struct span bytes, bool cut, unsigned level)
{
    static int (*const raw[])(struct archive * a) = {archive_read_support_filter_gzip,
                                                     archive_read_support_format_raw};
    static int (*const tar[])(struct archive * a) = {archive_read_support_format_tar};
    enum { MARK = 257 };
    struct archive_entry *e;
    struct buf inside = {0};
    struct archive *a = archive_read_new();

    gzip_name(r, bytes);
    bool good = a && raw[0](a) >= ARCHIVE_WARN && raw[1](a) == ARCHIVE_OK &&
                archive_read_open_memory(a, bytes.p, bytes.n) == ARCHIVE_OK;
    int result = good ? archive_read_next_header(a, &e) : ARCHIVE_FATAL;
    bool more = false;
    if (result == ARCHIVE_OK && unpack(r, a, &inside, &more)) {
        struct span s = buf_span(&inside);
        if (span_istarts(span_skip(s, MARK), SPAN_LIT("ustar")))
            read_with(r, s, cut || more, level, tar, COUNT_OF(tar));
    } else if (result != ARCHIVE_EOF && !cut) {
        r->flags |= MESSAGE_ARCHIVE_BROKEN;
    }
    buf_free(&inside);
    if (a)
        (void)archive_read_free(a);
}

/* ---- RAR 5 ---- */

static uint64_t take_vint(struct span *s)
{
    uint64_t value = 0;

    for (unsigned shift = 0; s->n && shift < 63; shift += 7) {
        unsigned char c = (unsigned char)s->p[0];
        *s = span_skip(*s, 1);
        value |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            break;
    }
    return value;
}

/* The flags of the main header, which comes first unless the headers are encrypted. */
static bool is_solid_rar5(struct span s)
{
    enum { MAIN = 1, EXTRA = 1, SOLID = 4, SIGNATURE = 8, CRC = 4 };

    if (!span_istarts(s, SPAN_LIT("Rar!\x1a\x07\x01")))
        return false;
    s = span_skip(s, SIGNATURE + CRC);
    (void)take_vint(&s);
    if (take_vint(&s) != MAIN)
        return false;
    if (take_vint(&s) & EXTRA)
        (void)take_vint(&s);
    return take_vint(&s) & SOLID;
}

/* ---- the whole ---- */

static void read_archive(struct reading *r, struct span bytes, bool cut, unsigned level)
{
    static int (*const formats[])(struct archive * a) = {
        archive_read_support_format_zip_seekable, archive_read_support_format_tar,
        archive_read_support_format_rar,          archive_read_support_format_rar5,
        archive_read_support_format_7zip,         archive_read_support_format_iso9660};

    static const struct zip_header headers[] = {{"PK\x03\x04", 30, 6, 8, 26}, {"PK\x01\x02", 46, 8, 10, 28}};

    if (span_istarts(bytes, SPAN_LIT("\x1f\x8b"))) {
        read_gzip(r, bytes, cut, level);
        return;
    }
    if (is_solid_rar5(bytes)) {
        r->flags |= MESSAGE_ARCHIVE_LIMIT;
        return;
    }
    read_with(r, bytes, cut, level, formats, COUNT_OF(formats));
    for (size_t i = 0; i < COUNT_OF(headers) && span_istarts(bytes, SPAN_LIT("PK")); i++)
        zip_names(r, bytes, &headers[i]);
}

uint64_t archive_names(struct span bytes, bool cut, const struct archive_limits *limits,
                       archive_member member, void *ctx)
{
    struct reading r = {.limits = limits, .member = member, .ctx = ctx};

    r.seen = calloc(limits->members ? limits->members : 1, sizeof(*r.seen));
    if (!r.seen)
        return MESSAGE_ARCHIVE_LIMIT;
    if (cut)
        r.flags |= MESSAGE_ARCHIVE_LIMIT;
    read_archive(&r, bytes, cut, 0);
    free(r.seen);
    return r.flags;
}
