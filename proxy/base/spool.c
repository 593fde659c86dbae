/* SPDX-License-Identifier: MIT */
/* One message body, in memory or in a file that has no name.
 *
 *   append --> memory --(past its maximum, or the budget's)--> file
 *                |                        append --> block --^  |
 *   read  <------+                        read  <-- block <-----+
 *
 * The transaction owns the spool; the spool owns its memory, its file and one block. The block first gathers
 * small appends, then serves reads. The file is unlinked from its birth, so that the kernel removes it
 * whatever happens to us. The budget is charged when bytes are appended, and gets them back at the end. */
#include "base/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SMALLEST 4096u /* what a body takes in memory at first */
#define BLOCK    32768u

struct spool {
    struct spool_budget *budget;
    size_t memory_max;
    uint64_t bytes;

    char *memory; /* while fd is -1 */
    size_t memory_cap;

    int fd;
    char *block; /* file bytes from block_at on */
    uint64_t block_at;
    size_t block_n;
    bool block_unwritten; /* they are not in the file yet */

    enum spool_result result; /* the first that was not OK stays */
    int error;
};

struct spool *spool_create(struct spool_budget *budget, size_t memory_max)
{
    struct spool *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->budget = budget;
    s->memory_max = memory_max;
    s->fd = -1;
    return s;
}

void spool_destroy(struct spool **spool)
{
    struct spool *s = *spool;
    if (!s)
        return;
    if (s->fd >= 0) {
        s->budget->disk_used -= s->bytes;
        (void)close(s->fd);
    } else {
        s->budget->memory_used -= s->bytes;
    }
    free(s->memory);
    free(s->block);
    free(s);
    *spool = NULL;
}

static enum spool_result fail(struct spool *s, enum spool_result result, int error)
{
    s->result = result;
    s->error = error;
    return result;
}

static bool fits(uint64_t used, uint64_t more, uint64_t max)
{
    return used <= max && more <= max - used;
}

/* ---- memory ---- */

static enum spool_result append_memory(struct spool *s, struct span bytes)
{
    size_t len = (size_t)s->bytes;
    if (len + bytes.n > s->memory_cap) {
        size_t cap = s->memory_cap ? s->memory_cap * 2 : SMALLEST;
        if (cap > s->memory_max)
            cap = s->memory_max;
        if (cap < len + bytes.n)
            cap = len + bytes.n;
        char *memory = realloc(s->memory, cap);
        if (!memory)
            return fail(s, SPOOL_FAILED, ENOMEM);
        s->memory = memory;
        s->memory_cap = cap;
    }
    memcpy(s->memory + len, bytes.p, bytes.n);
    s->bytes += bytes.n;
    s->budget->memory_used += bytes.n;
    return SPOOL_OK;
}

/* ---- file ---- */

/* Not every file system makes files without a name; there, one is made and its name removed at once. */
static int open_named(const char *dir)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/postern-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0 && unlink(path) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int open_file(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : open_named(dir);
}

static bool write_at(struct spool *s, uint64_t at, const char *p, size_t n)
{
    while (n) {
        ssize_t done = pwrite(s->fd, p, n < BLOCK ? n : BLOCK, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            s->error = done < 0 ? errno : ENOSPC;
            return false;
        }
        p += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return true;
}

static bool flush_block(struct spool *s)
{
    if (!s->block_unwritten)
        return true;
    if (!write_at(s, s->block_at, s->block, s->block_n))
        return false;
    s->block_unwritten = false;
    return true;
}

static bool have_block(struct spool *s)
{
    if (!s->block)
        s->block = malloc(BLOCK);
    if (!s->block)
        s->error = ENOMEM;
    return s->block != NULL;
}

/* Gathers small pieces, so that a body of tiny ones costs no system call for each. What does not fit behind
 * them lets them be written first. */
static bool append_block(struct spool *s, struct span bytes)
{
    if (s->block_unwritten && s->block_n + bytes.n > BLOCK && !flush_block(s))
        return false;
    if (bytes.n >= BLOCK / 2 && !s->block_unwritten)
        return write_at(s, s->bytes, bytes.p, bytes.n);
    if (!have_block(s))
        return false;
    if (!s->block_unwritten) {
        s->block_at = s->bytes;
        s->block_n = 0;
        s->block_unwritten = true;
    }
    memcpy(s->block + s->block_n, bytes.p, bytes.n);
    s->block_n += bytes.n;
    return true;
}

static enum spool_result append_file(struct spool *s, struct span bytes)
{
    struct spool_budget *b = s->budget;
    if (!fits(b->disk_used, bytes.n, b->disk_max))
        return fail(s, SPOOL_FULL, 0);
    if (!append_block(s, bytes))
        return fail(s, SPOOL_FAILED, s->error);
    s->bytes += bytes.n;
    b->disk_used += bytes.n;
    return SPOOL_OK;
}

static enum spool_result move_to_file(struct spool *s)
{
    struct spool_budget *b = s->budget;
    if (!b->dir || !fits(b->disk_used, s->bytes, b->disk_max))
        return fail(s, SPOOL_FULL, 0);
    int fd = open_file(b->dir);
    if (fd < 0)
        return fail(s, SPOOL_FAILED, errno);
    s->fd = fd; /* from here on the bytes count as the file's */
    b->memory_used -= s->bytes;
    b->disk_used += s->bytes;
    if (!write_at(s, 0, s->memory, (size_t)s->bytes))
        return fail(s, SPOOL_FAILED, s->error);
    free(s->memory);
    s->memory = NULL;
    s->memory_cap = 0;
    return SPOOL_OK;
}

/* ---- the whole ---- */

enum spool_result spool_append(struct spool *s, struct span bytes)
{
    if (s->result != SPOOL_OK)
        return s->result;
    if (bytes.n == 0)
        return SPOOL_OK;
    if (s->fd < 0) {
        struct spool_budget *b = s->budget;
        if (fits(s->bytes, bytes.n, s->memory_max) && fits(b->memory_used, bytes.n, b->memory_max))
            return append_memory(s, bytes);
        enum spool_result moved = move_to_file(s);
        if (moved != SPOOL_OK)
            return moved;
    }
    return append_file(s, bytes);
}

uint64_t spool_bytes(const struct spool *s)
{
    return s->bytes;
}

int spool_errno(const struct spool *s)
{
    return s->error;
}

bool spool_in_file(const struct spool *s)
{
    return s->fd >= 0;
}

/* Fills the block with what is at `offset`; a file that ends early is as bad as one that cannot be read. */
static bool load_block(struct spool *s, uint64_t offset)
{
    if (!flush_block(s) || !have_block(s))
        return false;
    ssize_t n;
    do
        n = pread(s->fd, s->block, BLOCK, (off_t)offset);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        s->error = n < 0 ? errno : EIO;
        s->block_n = 0;
        return false;
    }
    s->block_at = offset;
    s->block_n = (size_t)n;
    return true;
}

struct span spool_read(struct spool *s, uint64_t offset, size_t max)
{
    if (s->result != SPOOL_OK)
        return SPAN_NONE;
    if (offset >= s->bytes || max == 0)
        return SPAN_LIT("");
    if (s->fd < 0)
        return span_head(span_make(s->memory + offset, (size_t)(s->bytes - offset)), max);
    if (offset < s->block_at || offset - s->block_at >= s->block_n) {
        if (!load_block(s, offset)) {
            (void)fail(s, SPOOL_FAILED, s->error);
            return SPAN_NONE;
        }
    }
    size_t skip = (size_t)(offset - s->block_at);
    return span_head(span_make(s->block + skip, s->block_n - skip), max);
}
