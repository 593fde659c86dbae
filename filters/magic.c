/* SPDX-License-Identifier: MIT */
/* The table of magic.def, and tables of what types and suffixes claim. */
#include "filters/magic.h"

#include "base/attr.h"

enum {
    PROGRAM = MAGIC_PROGRAM,
    SCRIPT = MAGIC_SCRIPT,
    ARCHIVE = MAGIC_ARCHIVE,
    PACKED = MAGIC_PACKED,
    DOCUMENT = MAGIC_DOCUMENT,
    PICTURE = MAGIC_PICTURE,
    MEDIA = MAGIC_MEDIA,
    PAGE = MAGIC_PAGE,
    TEXT = MAGIC_TEXT
};

static const struct magic table[] = {
#define MAGIC(type, kind, offset, bytes) {type, kind, offset, sizeof(bytes) - 1, bytes},
#include "filters/magic.def"
#undef MAGIC
};

static struct span without_blanks(struct span s)
{
    if (span_istarts(s, SPAN_LIT("\xef\xbb\xbf")))
        s = span_skip(s, 3);
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\r' || s.p[0] == '\n'))
        s = span_skip(s, 1);
    return s;
}

static bool fits(const struct magic *m, struct span head, struct span mark)
{
    if (m->offset == MAGIC_ISO)
        return span_eq(mark, (struct span){m->bytes, m->n});
    if (m->kind == MAGIC_PAGE)
        return span_istarts(without_blanks(head), (struct span){m->bytes, m->n});
    if (!span_eq(span_head(span_skip(head, m->offset), m->n), (struct span){m->bytes, m->n}))
        return false;
    /* two letters are a program only where what follows is no text */
    return m->kind != MAGIC_PROGRAM || m->n > 3 || !head.p || span_find(span_head(head, 64), '\0') < 64;
}

const struct magic *magic_find(struct span head, struct span mark)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (fits(&table[i], head, mark))
            return &table[i];
    return NULL;
}

struct claim {
    const char *word;
    unsigned kind;
};

unsigned magic_claims(struct span type, struct span filename)
{
    static const struct claim types[] = {{"image/", PICTURE},
                                         {"audio/", MEDIA},
                                         {"video/", MEDIA},
                                         {"text/rtf", DOCUMENT},
                                         {"text/", TEXT},
                                         {"application/pdf", DOCUMENT},
                                         {"application/msword", DOCUMENT},
                                         {"application/vnd.ms-excel", DOCUMENT},
                                         {"application/vnd.openxml", DOCUMENT},
                                         {"application/rtf", DOCUMENT},
                                         {"application/zip", ARCHIVE},
                                         {"application/gzip", ARCHIVE}};
    static const struct claim suffixes[] = {
        {"png", PICTURE},   {"jpg", PICTURE},  {"jpeg", PICTURE}, {"gif", PICTURE},   {"bmp", PICTURE},
        {"mp3", MEDIA},     {"mp4", MEDIA},    {"avi", MEDIA},    {"wav", MEDIA},     {"txt", TEXT},
        {"csv", TEXT},      {"pdf", DOCUMENT}, {"doc", DOCUMENT}, {"docx", DOCUMENT}, {"xls", DOCUMENT},
        {"xlsx", DOCUMENT}, {"rtf", DOCUMENT}, {"zip", ARCHIVE},  {"rar", ARCHIVE},   {"7z", ARCHIVE},
        {"gz", ARCHIVE}};
    unsigned claims = 0;
    size_t i = 0;

    while (i < COUNT_OF(types) && !span_istarts(type, span_of(types[i].word)))
        i++;
    claims |= i < COUNT_OF(types) ? types[i].kind : 0;
    const char *dot = filename.n ? memrchr(filename.p, '.', filename.n) : NULL;
    struct span suffix = dot ? span_skip(filename, (size_t)(dot - filename.p) + 1) : SPAN_NONE;
    for (i = 0; i < COUNT_OF(suffixes); i++)
        if (span_ieq(suffix, span_of(suffixes[i].word)))
            claims |= suffixes[i].kind;
    return claims;
}

bool magic_mismatch(unsigned kind, unsigned claims)
{
    static const struct {
        unsigned kind, contradicts;
    } rows[] = {
        {MAGIC_PROGRAM, PICTURE | MEDIA | TEXT | DOCUMENT | ARCHIVE},
        {MAGIC_SCRIPT, PICTURE | MEDIA | DOCUMENT | ARCHIVE},
        {MAGIC_ARCHIVE | MAGIC_PACKED, PICTURE | MEDIA | TEXT},
        {MAGIC_DOCUMENT, PICTURE | MEDIA | TEXT},
        {MAGIC_PAGE, PICTURE | MEDIA | ARCHIVE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].kind & kind && rows[i].contradicts & claims)
            return true;
    return false;
}

const char *magic_of_member(struct span name)
{
    static const struct {
        const char *start, *type;
    } rows[] = {
        {"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
        {"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
        {"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
        {"META-INF/MANIFEST.MF", "application/java-archive"},
        {"AndroidManifest.xml", "application/vnd.android.package-archive"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (span_istarts(name, span_of(rows[i].start)))
            return rows[i].type;
    return NULL;
}
