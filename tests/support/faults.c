/* SPDX-License-Identifier: MIT */
/* Loaded into the daemon by LD_PRELOAD: faults of the system, when a test asks for them. The test and the
 * daemon share a file of numbers (POSTERN_FAULTS), which stays mapped when the workers give up their
 * privileges.
 *
 *   test: writes `control` --- shared file --- daemon: malloc(), read(), clock_gettime() … look into it
 *
 * Allocations fail in the process `pid` only: the `allocation`-th from now. Reads and writes of stream
 * sockets are cut short, interrupted or put off, one in `disturb`. The wall clock is `clock_s` seconds ahead.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    _Atomic int64_t clock_s, disturb, pid, allocation, failed, disturbed;
};

static struct control nothing;
static struct control *control = &nothing;
static _Atomic uint64_t calls;

/* The function of this name behind ours. */
#define NEXT(name)                                                                                           \
    static __typeof__(name) *next;                                                                           \
    if (!next)                                                                                               \
    next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("POSTERN_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *p = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        control = p;
    (void)close(fd);
}

/* ---- memory ---- */

/* What is asked for before the functions behind ours are known: dlsym() itself allocates, and so do
 * sanitizers while they begin. It is never given back. */
static char early[65536];
static size_t early_n;
static volatile int resolving; /* dlsym() comes back to us */

static void *early_alloc(size_t n)
{
    size_t at = early_n;
    early_n += (n + 15) & ~(size_t)15;
    return early_n <= sizeof early ? early + at : NULL;
}

static int is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof early;
}

static void *early_realloc(const char *p, size_t n)
{
    char *copy = early_alloc(n);
    for (size_t i = 0; copy && p && i < n && p + i < copy; i++)
        copy[i] = p[i];
    return copy;
}

static int fails(void)
{
    if (!control->allocation || control->pid != getpid())
        return 0;
    if (atomic_fetch_sub(&control->allocation, 1) != 1)
        return 0;
    control->failed++;
    errno = ENOMEM;
    return 1;
}

#define NEXT_ALLOCATOR(name, when_early)                                                                     \
    static __typeof__(name) *next;                                                                           \
    if (!next && !resolving) {                                                                               \
        resolving = 1;                                                                                       \
        next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);                                                  \
        resolving = 0;                                                                                       \
    }                                                                                                        \
    if (!next)                                                                                               \
    return when_early

void *malloc(size_t n)
{
    NEXT_ALLOCATOR(malloc, early_alloc(n));
    return fails() ? NULL : next(n);
}

void *calloc(size_t n, size_t size)
{
    NEXT_ALLOCATOR(calloc, early_alloc(n * size));
    return fails() ? NULL : next(n, size);
}

void *realloc(void *p, size_t n)
{
    NEXT_ALLOCATOR(realloc, early_realloc(p, n));
    if (is_early(p))
        return early_realloc(p, n);
    return n && fails() ? NULL : next(p, n);
}

void free(void *p)
{
    static void (*next)(void *p);
    if (is_early(p))
        return;
    if (!next && !resolving) {
        resolving = 1;
        next = (void (*)(void *))dlsym(RTLD_NEXT, "free");
        resolving = 0;
    }
    if (next)
        next(p);
}

/* ---- sockets ---- */

static int is_stream(int fd)
{
    int type = 0;
    socklen_t n = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM;
}

/* What becomes of this call: -1 with errno set, or how many octets it may move at most. */
static ssize_t allowance(int fd, size_t n)
{
    static const int errors[] = {EINTR, EAGAIN};
    int64_t one_in = control->disturb;
    if (!one_in || n < 2 || !is_stream(fd))
        return (ssize_t)n;
    uint64_t call = atomic_fetch_add(&calls, 1) * UINT64_C(0x9E3779B97F4A7C15) >> 32;
    if (call % (uint64_t)one_in)
        return (ssize_t)n;
    control->disturbed++;
    if (call / (uint64_t)one_in % 3 == 2)
        return 1;
    errno = errors[call / (uint64_t)one_in % 3];
    return -1;
}

#define DISTURBED(name, ...)                                                                                 \
    NEXT(name);                                                                                              \
    ssize_t most = allowance(fd, n);                                                                         \
    return most < 0 ? -1 : next(fd, p, (size_t)most __VA_ARGS__)

ssize_t read(int fd, void *p, size_t n)
{
    DISTURBED(read);
}

ssize_t write(int fd, const void *p, size_t n)
{
    DISTURBED(write);
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
    DISTURBED(recv, , flags);
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    DISTURBED(send, , flags);
}

int epoll_wait(int poller, struct epoll_event *events, int most, int timeout)
{
    NEXT(epoll_wait);
    if (control->disturb && atomic_fetch_add(&calls, 1) % 7 == 0) {
        control->disturbed++;
        errno = EINTR;
        return -1;
    }
    return next(poller, events, most, timeout);
}

/* ---- time ---- */

int clock_gettime(clockid_t which, struct timespec *t)
{
    NEXT(clock_gettime);
    int result = next(which, t);
    if (result == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        t->tv_sec += (time_t)control->clock_s;
    return result;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    NEXT(gettimeofday);
    int result = next(t, zone);
    t->tv_sec += (time_t)control->clock_s;
    return result;
}
