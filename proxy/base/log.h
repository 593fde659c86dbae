/* SPDX-License-Identifier: MIT */
/* The log: lines of key=value pairs (logfmt) or of JSON objects, one event a line, printable ASCII only.
 *
 * A line is built in a record and written with one write(2), so that lines of several workers never mix. What
 * comes from outside is escaped here and nowhere else. A target that does not take bytes (a full disk, a
 * blocked pipe) never stops the caller: the line is counted as lost.
 *
 *   postern: ready                                            plain lines for people: log_plain()
 *   time=… level=info event=transaction sid=… client=…        records */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "attr.h"
#include "span.h"

#include <stdint.h>

enum log_format { LOG_LOGFMT, LOG_JSON };
enum log_level { LOG_AT_ERROR, LOG_AT_WARN, LOG_AT_INFO, LOG_AT_DEBUG };

struct log; /* owned by the process that made it; inherited by its workers */

/* `to`: "stderr", "syslog" (the socket /dev/log, RFC 3164 form; "syslog:PATH" is another socket), "journal"
 * (stderr with <N> priority prefixes) or the path of a file, appended to. NULL with errno set when it cannot
 * be opened. */
MUST_CHECK struct log *log_open(struct span to, enum log_format format, enum log_level level);
void log_close(struct log **l);
/* SIGUSR1: after the file was rotated. Keeps the old one on failure. */
MUST_CHECK bool log_reopen(struct log *l);
uint64_t log_lost(const struct log *l);
int log_fd(const struct log *l);

/* One line "postern: …" without fields; in JSON as {"level":…,"msg":…}. */
void log_plain(struct log *l, enum log_level level, const char *format, ...) PRINTF_LIKE(3, 4);

struct log_record { /* on the caller's stack; a record past its size drops fields, never the line */
    struct log *log;
    enum log_level level;
    size_t n;
    bool cut;
    char text[4000];
};

void log_begin(struct log_record *r, struct log *l, enum log_level level, const char *event);
void log_str(struct log_record *r, const char *key, struct span value); /* quoted and escaped where needed */
void log_cstr(struct log_record *r, const char *key, const char *own);
void log_int(struct log_record *r, const char *key, int64_t value);
void log_real(struct log_record *r, const char *key, double value);
void log_end(struct log_record *r); /* adds the time, writes */

#endif
