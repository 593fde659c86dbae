/* SPDX-License-Identifier: MIT */
/* Shared memories: memfds with names. A set belongs to one generation in one process and goes with it; the
 * memory itself goes when the last process has let go of it. */
#include "proxy/shared.h"

#include "base/span.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct shared_memory *find(const struct shared_set *s, struct span name, size_t bytes)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].bytes == bytes && span_eq(span_of(s->items[i].name), name))
            return (struct shared_memory *)(uintptr_t)&s->items[i];
    return NULL;
}

bool shared_take(struct shared_set *s, const char *name, size_t bytes, int fd)
{
    struct span text = span_of(name);
    struct stat st;
    bool fits = s->n < SHARED_MAX && text.n > 0 && text.n <= SHARED_NAME_MAX && bytes > 0 &&
                bytes <= SHARED_BYTES_MAX - s->total && fstat(fd, &st) == 0 && (size_t)st.st_size == bytes;
    void *at = fits ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (at == MAP_FAILED) {
        (void)close(fd);
        return false;
    }
    struct shared_memory *m = &s->items[s->n++];
    *m = (struct shared_memory){.bytes = bytes, .fd = fd, .at = at};
    memcpy(m->name, text.p, text.n);
    s->total += bytes;
    return true;
}

/* Its size is sealed: a worker that shrank it would crash all the others. */
static int create(size_t bytes)
{
    int fd = memfd_create("postern-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)bytes) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

void *shared_get(struct shared_set *s, const char *name, size_t bytes)
{
    const struct shared_memory *known = find(s, span_of(name), bytes);
    if (known)
        return known->at;
    const struct shared_memory *old = s->older ? find(s->older, span_of(name), bytes) : NULL;
    int fd = -1;
    if (old)
        fd = fcntl(old->fd, F_DUPFD_CLOEXEC, 0);
    else if (s->may_create && bytes > 0 && bytes <= SHARED_BYTES_MAX)
        fd = create(bytes);
    if (fd < 0 || !shared_take(s, name, bytes, fd))
        return NULL;
    return s->items[s->n - 1].at;
}

void shared_free(struct shared_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        (void)munmap(s->items[i].at, s->items[i].bytes);
        (void)close(s->items[i].fd);
    }
    *s = (struct shared_set){0};
}
