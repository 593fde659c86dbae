/* SPDX-License-Identifier: MIT */
/* Where log lines go. How a line is built stands in log_record.c.
 *
 *   log_end, log_plain -> log_write -> [ prefix of the target ][ line ] -> one write
 *
 * The process that opened a log owns it; its workers inherit it with the descriptor and count their own
 * losses. It lives until log_close. Writing never waits: a descriptor of ours is non-blocking, one that we
 * share with others (stderr) is asked first, because making it non-blocking would change it for them too.
 * SIGPIPE is to be ignored by the process, as in every network daemon. */
#include "base/log.h"
#include "base/clock.h"
#include "base/log_target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SYSLOG_SOCKET   "/dev/log"
#define SYSLOG_FACILITY 2u /* mail, RFC 3164 4.1.1 */
#define PREFIX_MAX      64

enum target { TO_STDERR, TO_JOURNAL, TO_SYSLOG, TO_FILE };

struct log {
    enum target target;
    enum log_format format;
    enum log_level level;
    char *path; /* of the file or the socket; NULL for stderr */
    int fd;
    bool is_socket; /* send() may be told not to wait */
    bool ask_first; /* else poll() tells */
    uint64_t lost;
};

static const unsigned severities[] = {
    [LOG_AT_ERROR] = 3, [LOG_AT_WARN] = 4, [LOG_AT_INFO] = 6, [LOG_AT_DEBUG] = 7};

/* ---- opening ---- */

static int open_socket(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof a.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(a.sun_path, path, n);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int open_target(const struct log *l)
{
    switch (l->target) {
    case TO_SYSLOG:
        return open_socket(l->path);
    case TO_FILE:
        return open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0640);
    case TO_STDERR:
    case TO_JOURNAL:
        break;
    }
    return STDERR_FILENO;
}

static void look_at_descriptor(struct log *l)
{
    struct stat st;
    bool known = fstat(l->fd, &st) == 0;
    l->is_socket = known && S_ISSOCK(st.st_mode);
    l->ask_first = !l->path && !l->is_socket && !(known && S_ISREG(st.st_mode));
}

/* Reads `to`. Only our own configuration comes here, but a NUL in it must not open another file. */
static bool choose_target(struct log *l, struct span to)
{
    struct span path = to;
    if (span_eq(to, SPAN_LIT("stderr"))) {
        l->target = TO_STDERR;
        return true;
    }
    if (span_eq(to, SPAN_LIT("journal"))) {
        l->target = TO_JOURNAL;
        return true;
    }
    l->target = TO_FILE;
    if (span_eq(to, SPAN_LIT("syslog"))) {
        l->target = TO_SYSLOG;
        path = SPAN_LIT(SYSLOG_SOCKET);
    } else if (span_istarts(to, SPAN_LIT("syslog:"))) {
        l->target = TO_SYSLOG;
        path = span_skip(to, sizeof "syslog:" - 1);
    }
    if (path.n == 0 || span_find(path, '\0') < path.n) {
        errno = EINVAL;
        return false;
    }
    l->path = strndup(path.p, path.n);
    return l->path != NULL;
}

struct log *log_open(struct span to, enum log_format format, enum log_level level)
{
    struct log *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->format = format;
    l->level = level;
    l->fd = -1;
    if (choose_target(l, to))
        l->fd = open_target(l);
    if (l->fd < 0) {
        int error = errno;
        log_close(&l);
        errno = error;
        return NULL;
    }
    look_at_descriptor(l);
    return l;
}

void log_close(struct log **log)
{
    struct log *l = *log;
    if (!l)
        return;
    if (l->fd >= 0 && l->path)
        (void)close(l->fd);
    free(l->path);
    free(l);
    *log = NULL;
}

/* The new file takes the number of the old one, so that whoever knows log_fd still knows it. */
bool log_reopen(struct log *l)
{
    if (!l->path)
        return true;
    int fd = open_target(l);
    if (fd < 0)
        return false;
    bool good = dup3(fd, l->fd, O_CLOEXEC) >= 0;
    int error = errno;
    (void)close(fd);
    errno = error;
    if (good)
        look_at_descriptor(l);
    return good;
}

uint64_t log_lost(const struct log *l)
{
    return l->lost;
}

int log_fd(const struct log *l)
{
    return l->fd;
}

enum log_format log_format_of(const struct log *l)
{
    return l->format;
}

bool log_wants(const struct log *l, enum log_level level)
{
    return level <= l->level;
}

bool log_names_program(const struct log *l)
{
    return l->target == TO_SYSLOG;
}

/* ---- writing ---- */

static size_t syslog_prefix(char out[PREFIX_MAX], unsigned severity)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)(clock_wall_us() / US_PER_S);
    struct tm t = {0};
    (void)localtime_r(&now, &t); /* RFC 3164 4.1.2 wants local time */
    int n =
        snprintf(out, PREFIX_MAX, "<%u>%s %2d %02d:%02d:%02d postern[%d]: ", SYSLOG_FACILITY * 8 + severity,
                 months[t.tm_mon % 12], t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (int)getpid());
    return n > 0 && n < PREFIX_MAX ? (size_t)n : 0;
}

static size_t prefix_for(const struct log *l, enum log_level level, char out[PREFIX_MAX])
{
    unsigned severity = severities[level];
    if (l->target == TO_SYSLOG)
        return syslog_prefix(out, severity);
    if (l->target == TO_JOURNAL) {
        int n = snprintf(out, PREFIX_MAX, "<%u>", severity);
        return n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static ssize_t write_once(struct log *l, struct iovec *parts, size_t count)
{
    if (l->is_socket) {
        struct msghdr m = {.msg_iov = parts, .msg_iovlen = count};
        return sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    /* A pipe that is ready has room for PIPE_BUF bytes, and a line is never longer. */
    struct pollfd ready = {.fd = l->fd, .events = POLLOUT};
    if (l->ask_first && (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))) {
        errno = EAGAIN;
        return -1;
    }
    return writev(l->fd, parts, (int)count);
}

/* The system's logger was started again: its socket is a new one. */
static bool logger_restarted(const struct log *l)
{
    return l->target == TO_SYSLOG && (errno == ECONNREFUSED || errno == ECONNRESET || errno == ENOTCONN);
}

void log_write(struct log *l, enum log_level level, struct span line)
{
    char prefix[PREFIX_MAX];
    size_t n = prefix_for(l, level, prefix);
    if (l->target == TO_SYSLOG && line.n)
        line.n--; /* a datagram needs no newline */
    struct iovec parts[2] = {{prefix, n}, {(void *)(uintptr_t)line.p, line.n}};
    ssize_t all = (ssize_t)(n + line.n);

    ssize_t done = write_once(l, parts, COUNT_OF(parts));
    if (done < 0 && (errno == EINTR || (logger_restarted(l) && log_reopen(l))))
        done = write_once(l, parts, COUNT_OF(parts));
    if (done != all)
        l->lost++;
}
