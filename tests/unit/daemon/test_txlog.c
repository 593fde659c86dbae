/* SPDX-License-Identifier: MIT */
/* The line of a transaction: every field, and what is left out. */
#include "proxy/txlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static char *line_of(const struct session_report *r, const struct txlog_extra *extra, enum log_format format)
{
    char path[64];
    int fd = memfd_create("log", 0);
    assert_true(fd >= 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct log *l = log_open(span_of(path), format, LOG_AT_INFO);
    assert_non_null(l);
    txlog_report(l, r, extra);
    log_close(&l);
    char *text = calloc(1, 8192);
    assert_non_null(text);
    assert_true(pread(fd, text, 8191, 0) > 0);
    (void)close(fd);
    return text;
}

static const struct span rcpts[] = {
    {"a@y.test", 8}, {"b@y.test", 8}, {"c@y.test", 8}, {"d@y.test", 8}, {"e@y.test", 8}, {"f@y.test", 8},
};

static struct txview full_view(void)
{
    return (struct txview){
        .session_id = SPAN_LIT("1abc"),
        .listener = SPAN_LIT("submission"),
        .client_address = SPAN_LIT("192.0.2.1"),
        .helo = SPAN_LIT("client.example"),
        .user = SPAN_LIT("alice"),
        .sender = SPAN_LIT("s@x.test"),
        .rcpts = rcpts,
        .rcpt_count = COUNT_OF(rcpts),
    };
}

static const struct session_policy policy = {.generation = 3, .listener = "submission"};

static void test_every_field(void **state)
{
    struct txview view = full_view();
    struct session_report r = {
        .view = &view,
        .policy = &policy,
        .verdict = "rejected",
        .stage = "end",
        .filter = "content",
        .rule = SPAN_LIT("rules/a.rules:12"),
        .score_text = SPAN_LIT("wallet=2.5"),
        .flags = SPAN_LIT("bad-base64,depth-limit"),
        .score = 2.5,
        .rcpt_accepted = 6,
        .rcpt_offered = 7,
        .bytes = 1234,
        .code = 550,
        .reply = SPAN_LIT("5.7.1 GTUBE"),
        .queue_id = SPAN_LIT("4F1"),
        .note = "because",
        .undelivered = true,
        .in_tls = true,
        .upstream_used = true,
        .total_us = 12345,
        .filter_us = 2000,
        .upstream_us = 3999,
    };
    struct txlog_extra extra = {.client_tls = {.version = "TLSv1.3"},
                                .upstream_tls = {.version = "TLSv1.2"},
                                .upstream = SPAN_LIT("127.0.0.1:25")};
    (void)state;
    char *line = line_of(&r, &extra, LOG_LOGFMT);
    assert_non_null(strstr(
        line,
        " event=transaction sid=1abc gen=3 listener=submission client=192.0.2.1 tls=TLSv1.3 "
        "helo=client.example user=alice from=s@x.test rcpt=6/7 "
        "to=a@y.test,b@y.test,c@y.test,d@y.test,e@y.test size=1234 verdict=rejected stage=end filter=content "
        "rule=rules/a.rules:12 score=2.5 scores=\"wallet=2.5\" flags=bad-base64,depth-limit "
        "upstream=127.0.0.1:25 upstream_tls=TLSv1.2 "
        "code=550 reply=\"5.7.1 GTUBE\" qid=4F1 note=because ms=12 filter_ms=2 upstream_ms=3 "
        "undelivered=yes\n"));
    free(line);
}

static void test_what_is_empty_is_left_out(void **state)
{
    struct txview view = {
        .session_id = SPAN_LIT("1"), .listener = SPAN_LIT("l"), .client_address = SPAN_LIT("::1")};
    struct session_report r = {
        .view = &view, .policy = &policy, .verdict = "rejected", .stage = "connect", .code = 554};
    struct txlog_extra extra = {0};
    (void)state;
    char *line = line_of(&r, &extra, LOG_LOGFMT);
    assert_non_null(strstr(line,
                           " event=transaction sid=1 gen=3 listener=l client=::1 tls=- verdict=rejected "
                           "stage=connect code=554 ms=0 filter_ms=0\n"));
    free(line);
}

static void test_the_null_sender_is_shown(void **state)
{
    struct txview view = full_view();
    struct session_report r = {
        .view = &view, .policy = &policy, .verdict = "accepted", .stage = "upstream", .rcpt_offered = 1};
    struct txlog_extra extra = {0};
    (void)state;
    view.sender = SPAN_NONE;
    char *line = line_of(&r, &extra, LOG_LOGFMT);
    assert_non_null(strstr(line, " from=\"\" rcpt=0/1 "));
    free(line);
}

static void test_strangers_cannot_forge_lines(void **state)
{
    struct txview view = full_view();
    struct span evil[] = {{"x\r\nevent=transaction verdict=accepted\"", 36}};
    struct session_report r = {.view = &view, .policy = &policy, .verdict = "aborted", .stage = "client"};
    struct txlog_extra extra = {0};
    (void)state;
    view.helo = evil[0];
    view.sender = evil[0];
    view.rcpts = evil;
    view.rcpt_count = 1;
    r.reply = evil[0];
    for (int format = 0; format < 2; format++) {
        char *line = line_of(&r, &extra, format ? LOG_JSON : LOG_LOGFMT);
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        assert_null(strchr(line, '\r'));
        free(line);
    }
}

static void test_endless_addresses_fit(void **state)
{
    static char huge[2000];
    struct txview view = full_view();
    struct span many[5];
    struct session_report r = {.view = &view, .policy = &policy, .verdict = "accepted", .stage = "upstream"};
    struct txlog_extra extra = {0};
    (void)state;
    memset(huge, 'a', sizeof huge);
    for (size_t i = 0; i < COUNT_OF(many); i++)
        many[i] = span_make(huge, sizeof huge);
    view.rcpts = many;
    view.rcpt_count = COUNT_OF(many);
    char *line = line_of(&r, &extra, LOG_LOGFMT);
    assert_non_null(strstr(line, " verdict=accepted stage=upstream"));
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field),
        cmocka_unit_test(test_what_is_empty_is_left_out),
        cmocka_unit_test(test_the_null_sender_is_shown),
        cmocka_unit_test(test_strangers_cannot_forge_lines),
        cmocka_unit_test(test_endless_addresses_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
