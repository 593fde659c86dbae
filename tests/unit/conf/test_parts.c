/* SPDX-License-Identifier: MIT */
/* The small parts by themselves: values with units, the list of findings, near names, the disk. */
#include "conf/conf.h"
#include "conf/names.h"
#include "conf/value.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- values ---- */

struct value_case {
    enum postern_type type;
    bool good;
    const char *text;
    int64_t number;
    double real;
};

static const struct value_case value_cases[] = {
    {POSTERN_BOOL, true, "yes", 1, 0},
    {POSTERN_BOOL, true, "No", 0, 0},
    {POSTERN_BOOL, true, "TRUE", 1, 0},
    {POSTERN_BOOL, true, "false", 0, 0},
    {POSTERN_BOOL, true, "on", 1, 0},
    {POSTERN_BOOL, true, "off", 0, 0},
    {POSTERN_BOOL, false, "1", 0, 0},
    {POSTERN_BOOL, false, "y", 0, 0},
    {POSTERN_COUNT, true, "0", 0, 0},
    {POSTERN_COUNT, true, "9223372036854775807", INT64_MAX, 0},
    {POSTERN_COUNT, false, "9223372036854775808", 0, 0},
    {POSTERN_COUNT, false, "+1", 0, 0},
    {POSTERN_COUNT, false, "1 ", 0, 0},
    {POSTERN_COUNT, false, "", 0, 0},
    {POSTERN_SIZE, true, "4096", 4096, 0},
    {POSTERN_SIZE, true, "1B", 1, 0},
    {POSTERN_SIZE, true, "256KiB", 262144, 0},
    {POSTERN_SIZE, true, "50MiB", 52428800, 0},
    {POSTERN_SIZE, true, "1GiB", 1 << 30, 0},
    {POSTERN_SIZE, true, "64MB", 64000000, 0},
    {POSTERN_SIZE, true, "2kb", 2000, 0},
    {POSTERN_SIZE, true, "8388607TiB", 8388607LL << 40, 0},
    {POSTERN_SIZE, false, "8388608TiB", 0, 0},
    {POSTERN_SIZE, false, "1K", 0, 0},
    {POSTERN_SIZE, false, "KiB", 0, 0},
    {POSTERN_SIZE, false, "1.5MiB", 0, 0},
    {POSTERN_DURATION, true, "50ms", 50000, 0},
    {POSTERN_DURATION, true, "7us", 7, 0},
    {POSTERN_DURATION, true, "5s", 5000000, 0},
    {POSTERN_DURATION, true, "10m", 600000000, 0},
    {POSTERN_DURATION, true, "1h", 3600000000, 0},
    {POSTERN_DURATION, true, "1d", 86400000000, 0},
    {POSTERN_DURATION, true, "0", 0, 0},
    {POSTERN_DURATION, false, "5", 0, 0},
    {POSTERN_DURATION, false, "5 s", 0, 0},
    {POSTERN_DURATION, false, "-5s", 0, 0},
    {POSTERN_DURATION, false, "999999999999d", 0, 0},
    {POSTERN_REAL, true, "2.5", 0, 2.5},
    {POSTERN_REAL, true, "-3", 0, -3},
    {POSTERN_REAL, true, ".5", 0, 0.5},
    {POSTERN_REAL, false, "nan", 0, 0},
    {POSTERN_REAL, false, "1e3", 0, 0},
    {POSTERN_REAL, false, "0x1", 0, 0},
    {POSTERN_REAL, false, "1.2.3", 0, 0},
    {POSTERN_REAL, false, "-", 0, 0},
    {POSTERN_REAL, false, "11111111111111111111111111111111", 0, 0},
    {POSTERN_RATE, true, "100/1h", 100, 3600e6},
    {POSTERN_RATE, true, "5/s", 5, 1e6},
    {POSTERN_RATE, true, "60/1m", 60, 60e6},
    {POSTERN_RATE, true, "3/250ms", 3, 250e3},
    {POSTERN_RATE, false, "0/1h", 0, 0},
    {POSTERN_RATE, false, "1/0s", 0, 0},
    {POSTERN_RATE, false, "1/", 0, 0},
    {POSTERN_RATE, false, "/1h", 0, 0},
    {POSTERN_RATE, false, "100", 0, 0},
    {POSTERN_RATE, false, "1/5", 0, 0},
    {POSTERN_ENUM, true, "b", 1, 0},
    {POSTERN_ENUM, true, "ccc", 2, 0},
    {POSTERN_ENUM, false, "cc", 0, 0},
    {POSTERN_ENUM, false, "a|b", 0, 0},
    {POSTERN_ENUM, false, "", 0, 0},
    {POSTERN_BLOCK, false, "x", 0, 0},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(value_cases); i++) {
        const struct value_case *c = &value_cases[i];
        const struct postern_option o = {.name = "o", .type = c->type, .values = "a|b|ccc"};
        struct postern_node node = {.text = {c->text, strlen(c->text)}};
        bool good = value_parse(&o, &node);
        if (good != c->good || (good && (node.number != c->number || node.real != c->real)))
            fail_msg("type %d, '%s': %d %lld %g", c->type, c->text, good, (long long)node.number, node.real);
    }
}

static const char *range(enum postern_type type, double min, double max, char out[VALUE_TEXT_MAX])
{
    const struct postern_option o = {.name = "o", .type = type, .min = min, .max = max};
    return value_range(&o, out);
}

static bool in_range(double min, double max, int64_t number)
{
    const struct postern_option o = {.name = "o", .type = POSTERN_COUNT, .min = min, .max = max};
    const struct postern_node node = {.number = number};
    return value_in_range(&o, &node);
}

static void test_ranges(void **state)
{
    char out[VALUE_TEXT_MAX];
    (void)state;
    assert_string_equal(range(POSTERN_COUNT, 1, 256, out), "1 to 256");
    assert_string_equal(range(POSTERN_SIZE, 512, 1 << 20, out), "512 to 1MiB");
    assert_string_equal(range(POSTERN_SIZE, 0, 65536, out), "0 to 64KiB");
    assert_string_equal(range(POSTERN_DURATION, 90e6, 7200e6, out), "90s to 2h");
    assert_string_equal(range(POSTERN_REAL, -0.5, 2.25, out), "-0.5 to 2.25");
    assert_string_equal(range(POSTERN_COUNT, 7, 0, out), "at least 7");
    assert_true(in_range(0, 0, INT64_MAX));
    assert_true(in_range(1, 5, 5));
    assert_false(in_range(1, 5, 6));
    assert_false(in_range(1, 5, 0));
    assert_true(in_range(7, 0, 1000));
    assert_false(in_range(7, 0, 6));
}

/* ---- findings ---- */

struct lines {
    char text[4096];
    size_t n;
};

static void put(void *ctx, const char *line)
{
    struct lines *l = ctx;
    size_t at = strlen(l->text);
    (void)snprintf(l->text + at, sizeof l->text - at, "%s\n", line);
    l->n++;
}

static void test_diags_sorted(void **state)
{
    struct diags d = {0};
    struct lines l = {0};
    (void)state;
    diag_add(&d, DIAG_ERROR, "b.yaml", 9, 1, "late");
    diag_add(&d, DIAG_WARNING, "a.rules", 3, 7, "third of %s", "a");
    diag_add(&d, DIAG_ERROR, "b.yaml", 2, 5, "two");
    diag_add(&d, DIAG_ERROR, "b.yaml", 2, 1, "one");
    diag_add(&d, DIAG_ERROR, "a.rules", 0, 0, "whole");
    diag_add(&d, DIAG_ERROR, "b.yaml", 2, 1, "one again");
    diag_add(&d, DIAG_ERROR, "a.rules", 4, 0, "line");
    diag_add(&d, DIAG_ERROR, "", 0, 0, "no %s", "file\n\x1b[31m");
    diag_print(&d, put, &l);
    assert_string_equal(l.text, "b.yaml:2:1: error: one\n"
                                "b.yaml:2:1: error: one again\n"
                                "b.yaml:2:5: error: two\n"
                                "b.yaml:9:1: error: late\n"
                                "a.rules: error: whole\n"
                                "a.rules:3:7: warning: third of a\n"
                                "a.rules:4: error: line\n"
                                "error: no file??[31m\n");
    assert_int_equal(d.errors, 7);
    assert_int_equal(d.warnings, 1);
    diag_free(&d);
    assert_null(d.first);
    assert_int_equal(d.errors, 0);
}

static void test_diags_bounded(void **state)
{
    struct diags d = {.max = 3};
    struct lines l = {0};
    char longer[3000];
    (void)state;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (int i = 0; i < 10; i++)
        diag_add(&d, DIAG_ERROR, "f", 1, 1, "%s", longer);
    assert_int_equal(d.errors, 10);
    assert_true(diag_full(&d));
    diag_print(&d, put, &l);
    assert_int_equal(l.n, 4);
    assert_non_null(strstr(l.text, "and 7 more findings\n"));
    diag_free(&d);
    assert_int_equal(d.max, 3);
}

static void check_near(const char *written, const char *expected)
{
    static const char *const names[] = {"policy",       "upstream",    "bind", "tls",
                                        "bare_newline", "certificate", NULL};
    const char *near = diag_near(names, written, strlen(written));
    if (expected == NULL)
        assert_null(near);
    else
        assert_string_equal(near ? near : "(none)", expected);
}

static void test_near(void **state)
{
    char longer[200];
    (void)state;
    check_near("polcy", "policy");
    check_near("ploicy", "policy"); /* two neighbours swapped */
    check_near("Upstreem", "upstream");
    check_near("bare-newline", "bare_newline");
    check_near("bnid", "bind");
    check_near("cert", "certificate");
    check_near("tsl", "tls");
    check_near("x", NULL);
    check_near("user", NULL);
    check_near("completely", NULL);
    check_near("", NULL);
    memset(longer, 'p', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    check_near(longer, NULL);
}

/* ---- names ---- */

static void test_names(void **state)
{
    static const char *const added[] = {"mta", "b", "mt", "mta2", "a", "zz", "c", "mtb", "A"};
    struct arena *a = arena_create(65536);
    struct names n;
    (void)state;
    assert_true(names_create(&n, a, COUNT_OF(added)));
    assert_null(names_find(&n, SPAN_LIT("mta")));
    for (size_t i = 0; i < COUNT_OF(added); i++)
        names_add(&n, added[i], &added[i]);
    names_sort(&n);
    for (size_t i = 0; i < COUNT_OF(added); i++)
        assert_ptr_equal(names_find(&n, span_of(added[i])), &added[i]);
    assert_null(names_find(&n, SPAN_LIT("m")));
    assert_null(names_find(&n, SPAN_LIT("mta3")));
    assert_null(names_find(&n, SPAN_LIT("zzz")));
    assert_null(names_find(&n, SPAN_LIT("")));
    arena_destroy(&a);
}

/* ---- the disk ---- */

struct folder {
    char path[64];
};

static void write_file(const struct folder *f, const char *name, const char *text)
{
    char path[128];
    assert_true(snprintf(path, sizeof path, "%s/%s", f->path, name) > 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void in_folder(const struct folder *f, const char *name, char path[128])
{
    assert_true(snprintf(path, 128, "%s/%s", f->path, name) > 0);
}

static int make_folder(void **state)
{
    struct folder *f = calloc(1, sizeof *f);
    assert_non_null(f);
    memcpy(f->path, "/tmp/conf-test-XXXXXX", sizeof "/tmp/conf-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    *state = f;
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"b.rules", "a.rules", "c.txt", "fifo", "empty"};
    struct folder *f = *state;
    char path[128];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        in_folder(f, names[i], path);
        (void)unlink(path);
    }
    in_folder(f, "sub.rules", path);
    (void)rmdir(path);
    assert_int_equal(rmdir(f->path), 0);
    free(f);
    return 0;
}

static void test_disk_read(void **state)
{
    const struct folder *f = *state;
    struct conf_source *s = conf_disk_source();
    struct span one, two, none;
    const char *error = NULL;
    char path[128];
    assert_non_null(s);
    write_file(f, "a.rules", "first");
    write_file(f, "empty", "");
    in_folder(f, "a.rules", path);
    assert_int_equal(s->read(s->ctx, path, &one, &error), 0);
    write_file(f, "a.rules", "second");
    assert_int_equal(s->read(s->ctx, path, &two, &error), 0);
    assert_true(span_eq(one, SPAN_LIT("first"))); /* good as long as the source */
    assert_true(span_eq(two, SPAN_LIT("second")));
    in_folder(f, "empty", path);
    assert_int_equal(s->read(s->ctx, path, &none, &error), 0);
    assert_int_equal(none.n, 0);
    in_folder(f, "nosuch", path);
    assert_int_equal(s->read(s->ctx, path, &none, &error), -1);
    assert_string_equal(error, "No such file or directory");
    assert_int_equal(s->read(s->ctx, f->path, &none, &error), -1);
    assert_string_equal(error, "it is not a regular file");
    in_folder(f, "fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(s->read(s->ctx, path, &none, &error), -1); /* and it does not wait for a writer */
    assert_string_equal(error, "it is not a regular file");
    conf_disk_source_free(&s);
    assert_null(s);
}

static void test_disk_glob(void **state)
{
    const struct folder *f = *state;
    struct conf_source *s = conf_disk_source();
    struct lines l = {0};
    char path[128], expected[400];
    write_file(f, "b.rules", "");
    write_file(f, "a.rules", "");
    write_file(f, "c.txt", "");
    in_folder(f, "sub.rules", path);
    assert_int_equal(mkdir(path, 0700), 0);
    in_folder(f, "*.rules", path);
    s->glob(s->ctx, path, put, &l);
    assert_true(snprintf(expected, sizeof expected, "%s/a.rules\n%s/b.rules\n", f->path, f->path) > 0);
    assert_string_equal(l.text, expected);
    l = (struct lines){0};
    in_folder(f, "*.nosuch", path);
    s->glob(s->ctx, path, put, &l);
    assert_int_equal(l.n, 0);
    in_folder(f, "nosuch.rules", path); /* whoever reads it says that it is not there */
    s->glob(s->ctx, path, put, &l);
    assert_int_equal(l.n, 1);
    conf_disk_source_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_diags_sorted),
        cmocka_unit_test(test_diags_bounded),
        cmocka_unit_test(test_near),
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup_teardown(test_disk_read, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_disk_glob, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
