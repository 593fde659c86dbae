/* SPDX-License-Identifier: MIT */
/* Counters, sorted by name, a line for each group. Keeps nothing. */
#include "proxy/countlog.h"

#include <stdlib.h>

#define COUNTERS_MAX    1100 /* more than there can be */
#define FIELDS_A_RECORD 40   /* a group with more takes several lines */

struct count {
    const char *name;
    uint64_t value;
};

struct counts {
    struct count at[COUNTERS_MAX];
    size_t n;
};

static void collect(void *arg, const char *name, uint64_t value)
{
    struct counts *all = arg;
    if (value && all->n < COUNTERS_MAX)
        all->at[all->n++] = (struct count){name, value};
}

static int by_name(const void *a, const void *b)
{
    const struct count *l = a, *r = b;
    return strcmp(l->name, r->name);
}

static struct span group_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? span_make(name, (size_t)(dot - name)) : SPAN_LIT("other");
}

static const char *key_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* How many of those from `first` on belong to one line. */
static size_t line_of(const struct counts *all, size_t first)
{
    struct span group = group_of(all->at[first].name);
    size_t n = 1;
    while (first + n < all->n && n < FIELDS_A_RECORD && span_eq(group_of(all->at[first + n].name), group))
        n++;
    return n;
}

void countlog_write(struct log *l, const struct counters *c)
{
    struct counts *all = calloc(1, sizeof *all);
    if (!all)
        return;
    counters_each(c, collect, all);
    qsort(all->at, all->n, sizeof all->at[0], by_name);
    for (size_t i = 0, n; i < all->n; i += n) {
        struct log_record r;
        n = line_of(all, i);
        log_begin(&r, l, LOG_AT_INFO, "counters");
        log_str(&r, "group", group_of(all->at[i].name));
        for (size_t j = i; j < i + n; j++)
            log_int(&r, key_of(all->at[j].name), (int64_t)all->at[j].value);
        log_end(&r);
    }
    free(all);
}
