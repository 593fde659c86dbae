/* SPDX-License-Identifier: MIT */
/* Counters: names, several processes at once, the overflow, and the lines that show them. */
#include "proxy/counters.h"
#include "proxy/countlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_one_name_is_one_place(void **state)
{
    struct counters *c = counters_create();
    (void)state;
    assert_non_null(c);
    size_t a = counters_find(c, "session.accepted"), b = counters_find(c, "session.rejected");
    assert_int_not_equal(a, b);
    assert_int_equal(counters_find(c, "session.accepted"), a);
    counters_add(c, a, 2);
    counters_add(c, a, 3);
    assert_int_equal(counters_value(c, "session.accepted"), 5);
    assert_int_equal(counters_value(c, "session.rejected"), 0);
    assert_int_equal(counters_value(c, "never.seen"), 0);
    counters_destroy(&c);
    assert_null(c);
}

enum { CHILDREN = 8, NAMES = 40, ROUNDS = 500 };

/* Every child makes all names itself, in another order, while the others do the same. */
static void count_in_child(struct counters *c, int child)
{
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < NAMES; i++) {
            char name[32];
            (void)snprintf(name, sizeof name, "group.name%d", (i * 7 + child * 13) % NAMES);
            counters_add(c, counters_find(c, name), 1);
        }
}

struct seen {
    size_t names;
    uint64_t sum;
};

static void see(void *arg, const char *name, uint64_t value)
{
    struct seen *s = arg;
    if (strncmp(name, "group.", 6) == 0) {
        s->names++;
        s->sum += value;
    }
}

static void test_processes_count_together(void **state)
{
    struct counters *c = counters_create();
    pid_t children[CHILDREN];
    struct seen seen = {0};
    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            count_in_child(c, i);
            _exit(0);
        }
        assert_true(children[i] > 0);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    counters_each(c, see, &seen);
    assert_int_equal(seen.names, NAMES);
    assert_int_equal(seen.sum, (uint64_t)CHILDREN * ROUNDS * NAMES);
    assert_int_equal(counters_value(c, "group.name3"), CHILDREN * ROUNDS);
    counters_destroy(&c);
}

static void test_too_many_names_overflow(void **state)
{
    struct counters *c = counters_create();
    (void)state;
    for (int i = 0; i < 1100; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "many.%d", i);
        counters_add(c, counters_find(c, name), 1);
    }
    assert_int_equal(counters_value(c, "many.0"), 1);
    assert_int_equal(counters_value(c, "many.1099"), 0);
    assert_int_equal(counters_value(c, "overflow"), 1100 - 1024);
    counters_destroy(&c);
}

static void test_long_names_are_cut(void **state)
{
    struct counters *c = counters_create();
    char name[400];
    (void)state;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    counters_add(c, counters_find(c, name), 4);
    assert_int_equal(counters_value(c, name), 4);
    counters_destroy(&c);
}

/* ---- lines ---- */

static char *logged(const struct counters *c)
{
    char path[64];
    int fd = memfd_create("log", 0);
    assert_true(fd >= 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct log *l = log_open(span_of(path), LOG_LOGFMT, LOG_AT_INFO);
    assert_non_null(l);
    countlog_write(l, c);
    log_close(&l);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    assert_true(pread(fd, text, 65535, 0) >= 0);
    (void)close(fd);
    return text;
}

static void test_a_line_for_each_group(void **state)
{
    struct counters *c = counters_create();
    (void)state;
    counters_add(c, counters_find(c, "session.rejected"), 1);
    counters_add(c, counters_find(c, "filter.limits.refused"), 7);
    counters_add(c, counters_find(c, "session.accepted"), 12);
    counters_add(c, counters_find(c, "session.never"), 0);
    char *text = logged(c);
    assert_non_null(strstr(text, "event=counters group=filter.limits refused=7\n"));
    assert_non_null(strstr(text, "event=counters group=session accepted=12 rejected=1\n"));
    assert_null(strstr(text, "never"));
    free(text);
    counters_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_name_is_one_place),   cmocka_unit_test(test_processes_count_together),
        cmocka_unit_test(test_too_many_names_overflow), cmocka_unit_test(test_long_names_are_cut),
        cmocka_unit_test(test_a_line_for_each_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
