/* SPDX-License-Identifier: MIT */
/* The tables of HTML: elements (html_tags.def) and character references (html_entities.def), both sorted and
 * searched by halves. */
#include "filters/html_tag.h"

#include "base/attr.h"
#include "filters/charset.h"

enum {
    BLOCK = HTML_BLOCK,
    CELL = HTML_CELL,
    VOID = HTML_VOID,
    RAW = HTML_RAW,
    TITLE = HTML_TITLE,
    ALONE = HTML_ALONE,
    ROOT = HTML_ROOT,
    GONE = HTML_GONE,
    IMAGE = HTML_IMAGE,
    TABLE = HTML_TABLE
};

struct named {
    const char *name;
    unsigned char n;
    bool legacy;
    uint32_t value;
};

static const struct named tags[] = {
#define TAG(name, kind) {#name, sizeof(#name) - 1, false, (kind)},
#include "filters/html_tags.def"
#undef TAG
};

static const struct named entities[] = {
#define ENTITY(name, point) {#name, sizeof(#name) - 1, false, point},
#define LEGACY(name, point) {#name, sizeof(#name) - 1, true, point},
#include "filters/html_entities.def"
#undef ENTITY
#undef LEGACY
};

static int compare(struct span a, const struct named *b)
{
    size_t n = a.n < b->n ? a.n : b->n;
    int order = n ? memcmp(a.p, b->name, n) : 0;
    return order ? order : (a.n > b->n) - (a.n < b->n);
}

static const struct named *find(const struct named *table, size_t n, struct span name)
{
    size_t from = 0;

    while (from < n) {
        size_t middle = from + (n - from) / 2;
        int order = compare(name, &table[middle]);
        if (order == 0)
            return &table[middle];
        if (order < 0)
            n = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

unsigned html_tag_kind(struct span lower_name)
{
    const struct named *tag = find(tags, COUNT_OF(tags), lower_name);
    return tag ? tag->value : 0;
}

uint32_t html_entity(struct span name, bool legacy)
{
    const struct named *entity = find(entities, COUNT_OF(entities), name);
    return entity && (entity->legacy || !legacy) ? entity->value : 0;
}

uint32_t html_number(uint32_t number)
{
    if (number == 0 || number > 0x10FFFF || (number >= 0xD800 && number <= 0xDFFF))
        return 0xFFFD;
    return number >= 0x80 && number <= 0x9F ? charset_windows_1252((unsigned char)number) : number;
}

size_t utf8_put(uint32_t point, char to[4])
{
    size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (size_t i = n; i > 1; i--, point >>= 6)
        to[i - 1] = (char)(0x80 | (point & 0x3F));
    to[0] = (char)(marks[n] | point);
    return n;
}
