/* SPDX-License-Identifier: MIT */
/* A sorted table of names. It is filled once, sorted once and then only searched, which is all that resolving
 * references needs. Its memory is the arena's. */
#include "conf/names.h"

#include <stdlib.h>

bool names_create(struct names *n, struct arena *a, size_t most)
{
    *n = (struct names){0};
    n->entries = arena_alloc(a, (most + 1) * sizeof *n->entries);
    n->list = arena_alloc(a, (most + 1) * sizeof(const char *));
    return n->entries && n->list;
}

void names_add(struct names *n, const char *name, const void *object)
{
    n->entries[n->count] = (struct names_entry){name, object};
    n->list[n->count] = name;
    n->count++;
}

static int compare(const void *a, const void *b)
{
    const struct names_entry *l = a, *r = b;
    return strcmp(l->name, r->name);
}

void names_sort(struct names *n)
{
    if (n->count)
        qsort(n->entries, n->count, sizeof *n->entries, compare);
}

const void *names_find(const struct names *n, struct span name)
{
    size_t low = 0, high = n->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct names_entry *e = &n->entries[middle];
        size_t own = strlen(e->name);
        int c = memcmp(name.p, e->name, own < name.n ? own : name.n);
        if (c == 0 && own == name.n)
            return e->object;
        if (c > 0 || (c == 0 && name.n > own))
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
