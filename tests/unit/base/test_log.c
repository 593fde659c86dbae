/* SPDX-License-Identifier: MIT */
/* Log lines: what they look like, what is escaped, and that a target which takes nothing costs lines and
 * never time. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/postern-log-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static struct log *open_log(enum log_format format, enum log_level level)
{
    struct log *l = log_open(SPAN_LIT("log"), format, level);
    assert_non_null(l);
    return l;
}

/* What stands in `path`; the text is the caller's until the next call. */
static struct span file_text(const char *path)
{
    static char text[20000];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof text);
    (void)close(fd);
    assert_true(n >= 0);
    return span_make(text, (size_t)n);
}

static struct span close_and_read(struct log **l)
{
    assert_int_equal(log_lost(*l), 0);
    log_close(l);
    assert_null(*l);
    struct span text = file_text("log");
    assert_int_equal(unlink("log"), 0);
    return text;
}

/* The line behind its time, which is checked for its form. */
static struct span after_time(struct span line, struct span before)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    assert_true(span_istarts(line, before));
    line = span_skip(line, before.n);
    assert_true(line.n >= sizeof form - 1);
    for (size_t i = 0; i < sizeof form - 1; i++)
        assert_true(form[i] == 'd' ? ascii_digit(line.p[i]) : line.p[i] == form[i]);
    return span_skip(line, sizeof form - 1);
}

static void a_record_in_logfmt(void **state)
{
    (void)state;
    struct log *l = open_log(LOG_LOGFMT, LOG_AT_INFO);
    struct log_record r;
    log_begin(&r, l, LOG_AT_INFO, "transaction");
    log_str(&r, "client", SPAN_LIT("192.0.2.1"));
    log_str(&r, "empty", SPAN_NONE);
    log_str(&r, "blank", SPAN_LIT("a b"));
    log_str(&r, "odd", SPAN_LIT("q\"b\\c=\n\0\x1b\xc3\xbc\x7f"));
    log_cstr(&r, "own", "yes");
    log_int(&r, "size", INT64_MIN);
    log_real(&r, "score", 2.5);
    log_end(&r);
    struct span text = close_and_read(&l);
    assert_span(
        after_time(text, SPAN_LIT("time=")),
        " level=info event=transaction client=192.0.2.1 empty=\"\" blank=\"a b\""
        " odd=\"q\\\"b\\\\c=\\x0a\\x00\\x1b\\xc3\\xbc\\x7f\" own=yes size=-9223372036854775808 score=2.5\n");
}

static void a_record_in_json(void **state)
{
    (void)state;
    struct log *l = open_log(LOG_JSON, LOG_AT_DEBUG);
    struct log_record r;
    log_begin(&r, l, LOG_AT_DEBUG, "x");
    log_str(&r, "plain", SPAN_LIT("a b=c"));
    log_str(&r, "odd", SPAN_LIT("q\"b\\\r\n\0\x7f"));
    log_str(&r, "utf8", SPAN_LIT("\xc3\xbc\xe2\x82\xac\xf0\x9f\x93\xa7"));
    log_str(&r, "not_utf8", SPAN_LIT("\xff\xc3"));
    log_int(&r, "n", 7);
    log_real(&r, "nan", __builtin_nan(""));
    log_end(&r);
    struct span text = close_and_read(&l);
    assert_span(
        after_time(text, SPAN_LIT("{\"time\":\"")),
        "\",\"level\":\"debug\",\"event\":\"x\",\"plain\":\"a b=c\","
        "\"odd\":\"q\\\"b\\\\\\u000d\\u000a\\u0000\\u007f\","
        "\"utf8\":\"\\u00fc\\u20ac\\ud83d\\udce7\",\"not_utf8\":\"\\\\xff\\\\xc3\",\"n\":7,\"nan\":null}\n");
}

static void plain_lines(void **state)
{
    (void)state;
    struct log *l = open_log(LOG_LOGFMT, LOG_AT_INFO);
    log_plain(l, LOG_AT_INFO, "%s", "ready");
    log_plain(l, LOG_AT_DEBUG, "not wanted");
    log_plain(l, LOG_AT_ERROR, "two\nlines \"%d\" \xe2\x82\xac", 2);
    log_plain(NULL, LOG_AT_ERROR, "nowhere");
    assert_span(close_and_read(&l), "postern: ready\npostern: two\\x0alines \"2\" \\xe2\\x82\\xac\n");

    l = open_log(LOG_JSON, LOG_AT_INFO);
    log_plain(l, LOG_AT_WARN, "say \"%d\"", 3);
    assert_span(close_and_read(&l), "{\"level\":\"warn\",\"msg\":\"postern: say \\\"3\\\"\"}\n");
}

static void levels_filter(void **state)
{
    (void)state;
    struct log *l = open_log(LOG_LOGFMT, LOG_AT_WARN);
    struct log_record r;
    log_begin(&r, l, LOG_AT_INFO, "no");
    log_str(&r, "a", SPAN_LIT("b"));
    log_int(&r, "n", 1);
    log_end(&r);
    assert_span(close_and_read(&l), "");
    log_begin(&r, NULL, LOG_AT_ERROR, "no log at all");
    log_int(&r, "n", 1);
    log_end(&r);
}

/* A field is there whole or not at all, and the line ends as every line does. */
static void too_much_drops_fields(void **state)
{
    (void)state;
    char value[3000];
    memset(value, 'v', sizeof value);
    static const enum log_format formats[] = {LOG_LOGFMT, LOG_JSON};
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        struct log *l = open_log(formats[i], LOG_AT_INFO);
        struct log_record r;
        log_begin(&r, l, LOG_AT_INFO, "big");
        log_str(&r, "first", span_make(value, sizeof value));
        log_str(&r, "second", span_make(value, sizeof value));
        log_int(&r, "small", 1);
        for (int k = 0; k < 200; k++)
            log_int(&r, "filler", k);
        log_end(&r);
        struct span text = close_and_read(&l);
        struct span end = formats[i] == LOG_JSON ? SPAN_LIT(",\"cut\":true}\n") : SPAN_LIT(" cut=true\n");
        assert_true(text.n <= 4000);
        assert_spans_eq(span_skip(text, text.n - end.n), end);
        assert_int_equal(span_find(text, '\n'), text.n - 1);
        assert_non_null(memmem(text.p, text.n, "small", 5));
        assert_null(memmem(text.p, text.n, "second", 6));
    }
}

static void a_plain_line_that_is_too_long_is_still_json(void **state)
{
    (void)state;
    char value[1990];
    memset(value, '\x01', sizeof value);
    struct log *l = open_log(LOG_JSON, LOG_AT_INFO);
    log_plain(l, LOG_AT_INFO, "%.*s", (int)sizeof value, value);
    struct span text = close_and_read(&l);
    const struct span end = SPAN_LIT("\\u0001\",\"cut\":true}\n");
    assert_spans_eq(span_skip(text, text.n - end.n), end);
}

static void reopen_follows_a_rotation(void **state)
{
    (void)state;
    struct log *l = open_log(LOG_LOGFMT, LOG_AT_INFO);
    int fd = log_fd(l);
    log_plain(l, LOG_AT_INFO, "one");
    assert_int_equal(rename("log", "log.1"), 0);
    log_plain(l, LOG_AT_INFO, "two");
    assert_true(log_reopen(l));
    assert_int_equal(log_fd(l), fd);
    log_plain(l, LOG_AT_INFO, "three");
    assert_span(file_text("log.1"), "postern: one\npostern: two\n");
    assert_int_equal(unlink("log.1"), 0);
    assert_span(close_and_read(&l), "postern: three\n");
}

static void a_failed_reopen_keeps_the_old_file(void **state)
{
    (void)state;
    struct log *l = open_log(LOG_LOGFMT, LOG_AT_INFO);
    assert_int_equal(rename("log", "log.1"), 0);
    assert_int_equal(mkdir("log", 0700), 0); /* in the way */
    assert_false(log_reopen(l));
    assert_int_equal(errno, EISDIR);
    log_plain(l, LOG_AT_INFO, "still here");
    log_close(&l);
    assert_span(file_text("log.1"), "postern: still here\n");
    assert_int_equal(unlink("log.1") + rmdir("log"), 0);
}

static void a_file_is_appended_to(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct log *l = open_log(LOG_LOGFMT, LOG_AT_INFO);
        log_plain(l, LOG_AT_INFO, "%d", i);
        log_close(&l);
    }
    assert_span(file_text("log"), "postern: 0\npostern: 1\n");
    assert_int_equal(unlink("log"), 0);
}

static void targets_that_cannot_be_opened(void **state)
{
    (void)state;
    static const struct {
        const char *to;
        int error;
    } cases[] = {
        {"", EINVAL},
        {"/nonexistent/log", ENOENT},
        {"syslog:/nonexistent/socket", ENOENT},
        {"syslog:", EINVAL},
        {".", EISDIR},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        errno = 0;
        assert_null(log_open(span_of(cases[i].to), LOG_LOGFMT, LOG_AT_INFO));
        assert_int_equal(errno, cases[i].error);
    }
    assert_null(log_open(SPAN_LIT("log\0x"), LOG_LOGFMT, LOG_AT_INFO));
    assert_int_equal(errno, EINVAL);
}

/* Runs the body with stderr replaced by fd. */
static int swap_stderr(int fd)
{
    int old = dup(STDERR_FILENO);
    assert_true(old >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    return old;
}

static void restore_stderr(int old)
{
    assert_true(dup2(old, STDERR_FILENO) >= 0);
    assert_int_equal(close(old), 0);
}

static void the_journal_gets_priorities(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    int old = swap_stderr(pipes[1]);
    struct log *l = log_open(SPAN_LIT("journal"), LOG_LOGFMT, LOG_AT_DEBUG);
    log_plain(l, LOG_AT_ERROR, "a");
    log_plain(l, LOG_AT_WARN, "b");
    log_plain(l, LOG_AT_INFO, "c");
    log_plain(l, LOG_AT_DEBUG, "d");
    log_close(&l);
    restore_stderr(old);
    char text[200];
    ssize_t n = read(pipes[0], text, sizeof text);
    assert_span(span_make(text, n > 0 ? (size_t)n : 0),
                "<3>postern: a\n<4>postern: b\n<6>postern: c\n<7>postern: d\n");
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

/* Nobody reads: the caller must not wait, and what is lost is counted. */
static void check_blocked_stderr(int reader, int writer)
{
    int old = swap_stderr(writer);
    struct log *l = log_open(SPAN_LIT("stderr"), LOG_LOGFMT, LOG_AT_INFO);
    bool ours_blocks = !(fcntl(writer, F_GETFL) & O_NONBLOCK);
    (void)alarm(4); /* a wait ends the test */
    for (int i = 0; i < 5000; i++)
        log_plain(l, LOG_AT_INFO, "%0500d", i);
    (void)alarm(0);
    uint64_t blocked = log_lost(l);
    (void)close(reader);
    log_plain(l, LOG_AT_INFO, "into a broken pipe");
    uint64_t broken = log_lost(l);
    log_close(&l);
    restore_stderr(old);
    assert_true(ours_blocks); /* the descriptor of others is left as it was */
    assert_in_range(blocked, 1, 4999);
    assert_int_equal(broken, blocked + 1);
    (void)close(writer);
}

static void a_blocked_pipe_never_stops_the_caller(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    check_blocked_stderr(pipes[0], pipes[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pipes), 0);
    check_blocked_stderr(pipes[0], pipes[1]);
}

static void a_full_disk_counts(void **state)
{
    (void)state;
    struct log *l = log_open(SPAN_LIT("/dev/full"), LOG_LOGFMT, LOG_AT_INFO);
    if (!l)
        skip();
    log_plain(l, LOG_AT_INFO, "x");
    assert_int_equal(log_lost(l), 1);
    log_close(&l);
}

static int make_logger(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "dev-log"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void check_datagram(int fd, const char *before, const char *after)
{
    char text[600], tag[32];
    ssize_t n = recv(fd, text, sizeof text, MSG_DONTWAIT);
    struct span got = span_make(text, n > 0 ? (size_t)n : 0), want = span_of(before);
    assert_true(span_istarts(got, want));
    int tag_n = snprintf(tag, sizeof tag, " postern[%d]: %s", (int)getpid(), after);
    assert_true(tag_n > 0);
    got = span_skip(got, want.n + sizeof "Mmm dd hh:mm:ss" - 1);
    assert_spans_eq(got, span_make(tag, (size_t)tag_n));
}

static void syslog_datagrams(void **state)
{
    (void)state;
    int logger = make_logger();
    struct log *l = log_open(SPAN_LIT("syslog:dev-log"), LOG_LOGFMT, LOG_AT_INFO);
    assert_non_null(l);
    log_plain(l, LOG_AT_ERROR, "a b");
    check_datagram(logger, "<19>", "a b");

    (void)close(logger); /* the logger is started again */
    assert_int_equal(unlink("dev-log"), 0);
    logger = make_logger();
    log_plain(l, LOG_AT_INFO, "again");
    check_datagram(logger, "<22>", "again");
    assert_int_equal(log_lost(l), 0);

    for (int i = 0; i < 5000; i++)
        log_plain(l, LOG_AT_INFO, "%d", i);
    assert_true(log_lost(l) > 0); /* its queue is full, and we did not wait */
    log_close(&l);
    (void)close(logger);
    assert_int_equal(unlink("dev-log"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_in_logfmt),
        cmocka_unit_test(a_record_in_json),
        cmocka_unit_test(plain_lines),
        cmocka_unit_test(levels_filter),
        cmocka_unit_test(too_much_drops_fields),
        cmocka_unit_test(a_plain_line_that_is_too_long_is_still_json),
        cmocka_unit_test(reopen_follows_a_rotation),
        cmocka_unit_test(a_failed_reopen_keeps_the_old_file),
        cmocka_unit_test(a_file_is_appended_to),
        cmocka_unit_test(targets_that_cannot_be_opened),
        cmocka_unit_test(the_journal_gets_priorities),
        cmocka_unit_test(a_blocked_pipe_never_stops_the_caller),
        cmocka_unit_test(a_full_disk_counts),
        cmocka_unit_test(syslog_datagrams),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
