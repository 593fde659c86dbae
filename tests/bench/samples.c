/* SPDX-License-Identifier: MIT */
/* Latencies are kept one by one, in room made before the run, so that measuring allocates nothing. The owner
 * frees them. */
#include "samples.h"

#include <stdlib.h>

bool samples_init(struct samples *s, size_t room)
{
    *s = (struct samples){.us = calloc(room ? room : 1, sizeof(*s->us)), .room = room};
    return s->us != NULL;
}

void samples_add(struct samples *s, uint64_t us)
{
    if (s->n < s->room)
        s->us[s->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The smallest value that this many thousandths do not exceed. */
static uint32_t quantile(const struct samples *s, size_t thousandths)
{
    size_t rank = (s->n * thousandths + 999) / 1000;
    return s->n ? s->us[rank ? rank - 1 : 0] : 0;
}

void samples_print(struct samples *s, const char *name, FILE *to)
{
    qsort(s->us, s->n, sizeof(*s->us), by_size);
    (void)fprintf(to, "\"%s\": {\"n\": %zu, \"p50\": %u, \"p99\": %u, \"p999\": %u, \"max\": %u}", name, s->n,
                  quantile(s, 500), quantile(s, 990), quantile(s, 999), quantile(s, 1000));
}

bool samples_save(const struct samples *s, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    bool written = fwrite(s->us, sizeof(*s->us), s->n, f) == s->n;
    return fclose(f) == 0 && written;
}

void samples_free(struct samples *s)
{
    free(s->us);
    s->us = NULL;
}
