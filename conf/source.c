/* SPDX-License-Identifier: MIT */
/* The disk as a source of files. What was read stays until the source is freed, so that spans into it may be
 * kept as long. Nothing is looked up again in it: each read sees the disk as it is then.
 *
 *   read(path) --> open, must be a regular file --> one block of memory, in the source's list */
#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 64 << 20 };

struct held { /* one file */
    struct held *next;
    size_t n;
    char bytes[];
};

struct disk {
    struct conf_source source; /* its ctx is this */
    struct held *files;
};

/* Until the end or until `room` is full. False with errno. */
static bool read_all(int fd, char *out, size_t room, size_t *n_r)
{
    *n_r = 0;
    while (*n_r < room) {
        ssize_t got = read(fd, out + *n_r, room - *n_r);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        *n_r += (size_t)got;
    }
    return true;
}

/* One byte more than the file has is asked for: a file that grows or shrinks meanwhile is half of two
 * versions, and that is no configuration. */
static const char *hold(struct disk *disk, int fd, struct span *bytes_r)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "it is not a regular file";
    if (st.st_size > FILE_BYTES_MAX)
        return "it is larger than 64 MiB";
    size_t size = (size_t)st.st_size;
    struct held *held = malloc(sizeof *held + size + 1);
    if (held == NULL)
        return "no memory";
    const char *error = NULL;
    if (!read_all(fd, held->bytes, size + 1, &held->n))
        error = strerror(errno);
    else if (held->n != size)
        error = "it changed while it was read; try again";
    if (error) {
        free(held);
        return error;
    }
    held->next = disk->files;
    disk->files = held;
    *bytes_r = span_make(held->bytes, held->n);
    return NULL;
}

/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
static int disk_read(void *ctx, const char *path, struct span *bytes_r, const char **error_r)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        *error_r = strerror(errno);
        return -1;
    }
    *error_r = hold(ctx, fd, bytes_r);
    (void)close(fd); /* it was only read from */
    return *error_r ? -1 : 0;
}

/* A name without wildcards is found whether or not it is there: who reads it then says what is wrong. */
static void disk_glob(void *ctx, const char *pattern, void (*found)(void *arg, const char *path), void *arg)
{
    glob_t hits;
    (void)ctx;
    if (glob(pattern, GLOB_NOMAGIC | GLOB_MARK, NULL, &hits) != 0)
        return;
    for (size_t i = 0; i < hits.gl_pathc; i++) {
        const char *path = hits.gl_pathv[i];
        bool folder = path[0] && path[strlen(path) - 1] == '/';
        if (!folder)
            found(arg, path);
    }
    globfree(&hits);
}

struct conf_source *conf_disk_source(void)
{
    struct disk *disk = calloc(1, sizeof *disk);
    if (disk == NULL)
        return NULL;
    disk->source = (struct conf_source){disk, disk_read, disk_glob};
    return &disk->source;
}

void conf_disk_source_free(struct conf_source **s)
{
    if (*s == NULL)
        return;
    struct disk *disk = (*s)->ctx;
    struct held *next;
    for (struct held *h = disk->files; h; h = next) {
        next = h->next;
        free(h);
    }
    free(disk);
    *s = NULL;
}
