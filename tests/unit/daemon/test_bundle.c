/* SPDX-License-Identifier: MIT */
/* Bundles: what was read is what is in them; whatever else the bytes say, the reader survives. */
#include "proxy/bundle.h"
#include "unit/daemon/files.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct file table[] = {
    {"/etc/p.yaml", {"workers: 1\n", 11}}, {"/etc/empty", {"", 0}},          {"/etc/binary", {"a\0b\xff", 4}},
    {"/etc/rules/a.rules", {"A", 1}},      {"/etc/rules/b.rules", {"B", 1}}, {"/etc/unread", {"secret", 6}},
};

struct paths {
    char text[256];
};

static void join(void *arg, const char *path)
{
    struct paths *p = arg;
    size_t n = strlen(p->text);
    (void)snprintf(p->text + n, sizeof p->text - n, "%s ", path);
}

static struct span read_of(const struct conf_source *s, const char *path)
{
    struct span bytes = SPAN_NONE;
    const char *error = NULL;
    return s->read(s->ctx, path, &bytes, &error) == 0 ? bytes : SPAN_NONE;
}

static struct paths glob_of(const struct conf_source *s, const char *pattern)
{
    struct paths p = {""};
    s->glob(s->ctx, pattern, join, &p);
    return p;
}

/* Reads through a recorder what a configuration might read, and seals it. */
static int sealed(void)
{
    struct files files;
    files_init(&files, table, COUNT_OF(table));
    struct recorder *r = recorder_create(&files.source);
    assert_non_null(r);
    const struct conf_source *s = recorder_source(r);
    for (size_t i = 0; i + 1 < COUNT_OF(table); i++)
        assert_true(span_eq(read_of(s, table[i].path), table[i].bytes));
    (void)glob_of(s, "/etc/rules/*.rules");
    (void)glob_of(s, "/etc/none/*");
    int fd = bundle_seal(r);
    assert_true(fd >= 0);
    recorder_destroy(&r);
    return fd;
}

static void test_what_was_read_comes_back(void **state)
{
    char error[128] = "";
    int fd = sealed();
    (void)state;
    struct bundle *b = bundle_open(fd, error, sizeof error);
    assert_non_null(b);
    (void)close(fd);
    const struct conf_source *s = bundle_source(b);
    for (size_t i = 0; i + 1 < COUNT_OF(table); i++) {
        struct span got = read_of(s, table[i].path);
        assert_non_null(got.p);
        assert_true(span_eq(got, table[i].bytes));
    }
    assert_string_equal(glob_of(s, "/etc/rules/*.rules").text, "/etc/rules/a.rules /etc/rules/b.rules ");
    assert_string_equal(glob_of(s, "/etc/none/*").text, "");
    bundle_close(&b);
    assert_null(b);
}

static void test_nothing_else_is_in_it(void **state)
{
    char error[128];
    const char *why = NULL;
    struct span bytes;
    int fd = sealed();
    (void)state;
    struct bundle *b = bundle_open(fd, error, sizeof error);
    const struct conf_source *s = bundle_source(b);
    assert_int_equal(s->read(s->ctx, "/etc/unread", &bytes, &why), -1);
    assert_non_null(why);
    assert_int_equal(s->read(s->ctx, "/etc/passwd", &bytes, &why), -1);
    assert_string_equal(glob_of(s, "/etc/*").text, "");
    bundle_close(&b);
    (void)close(fd);
}

static void test_a_file_is_read_once(void **state)
{
    struct files files;
    const char *why = NULL;
    struct span bytes;
    (void)state;
    files_init(&files, table, COUNT_OF(table));
    struct recorder *r = recorder_create(&files.source);
    const struct conf_source *s = recorder_source(r);
    for (int i = 0; i < 3; i++)
        assert_true(span_eq(read_of(s, "/etc/p.yaml"), table[0].bytes));
    assert_int_equal(files.reads, 1);
    assert_int_equal(s->read(s->ctx, "/etc/absent", &bytes, &why), -1);
    assert_string_equal(why, "No such file or directory");
    recorder_destroy(&r);
}

static void test_it_cannot_be_changed(void **state)
{
    int fd = sealed();
    (void)state;
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    (void)close(fd);
}

/* ---- damage ---- */

static int with_bytes(const char *bytes, size_t n, bool seal)
{
    int fd = memfd_create("damaged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    if (seal)
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    return fd;
}

static char *whole(size_t *n_r)
{
    struct stat st;
    int fd = sealed();
    assert_int_equal(fstat(fd, &st), 0);
    *n_r = (size_t)st.st_size;
    char *copy = malloc(*n_r);
    assert_non_null(copy);
    assert_int_equal(pread(fd, copy, *n_r, 0), st.st_size);
    (void)close(fd);
    return copy;
}

/* Opens what may be anything, and uses it when it opens. */
static bool survives(const char *bytes, size_t n)
{
    char error[128] = "";
    int fd = with_bytes(bytes, n, true);
    struct bundle *b = bundle_open(fd, error, sizeof error);
    bool opened = b != NULL;
    (void)close(fd);
    if (opened) {
        (void)read_of(bundle_source(b), "/etc/p.yaml");
        (void)glob_of(bundle_source(b), "/etc/rules/*.rules");
    } else {
        assert_true(error[0] != '\0');
    }
    bundle_close(&b);
    return opened;
}

static void test_cut_at_every_byte(void **state)
{
    size_t n = 0;
    char *bytes = whole(&n);
    (void)state;
    for (size_t cut = 0; cut < n; cut++)
        assert_false(survives(bytes, cut));
    assert_true(survives(bytes, n));
    free(bytes);
}

static void test_something_behind_the_end(void **state)
{
    size_t n = 0;
    char *bytes = whole(&n);
    char *longer = malloc(n + 1);
    (void)state;
    memcpy(longer, bytes, n);
    longer[n] = 'x';
    assert_false(survives(longer, n + 1));
    free(longer);
    free(bytes);
}

static void test_every_byte_changed(void **state)
{
    size_t n = 0;
    char *bytes = whole(&n);
    static const unsigned char flips[] = {0x01, 0x80, 0xff};
    (void)state;
    for (size_t at = 0; at < n; at++)
        for (size_t i = 0; i < COUNT_OF(flips); i++) {
            bytes[at] = (char)((unsigned char)bytes[at] ^ flips[i]);
            (void)survives(bytes, n); /* it may open: a changed byte of a file is no damage */
            bytes[at] = (char)((unsigned char)bytes[at] ^ flips[i]);
        }
    free(bytes);
}

static void test_a_pattern_without_its_last_nul(void **state)
{
    uint64_t one = 1, kind = 1, name_n = 1, bytes_n = 3;
    char bytes[64] = "PSTBNDL1";
    size_t n = 8;
    const uint64_t *const numbers[] = {&one, &kind, &name_n, &bytes_n};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++, n += 8)
        memcpy(bytes + n, numbers[i], 8);
    memcpy(bytes + n, "*\0/a/", 5);
    assert_false(survives(bytes, n + 5));
    memcpy(bytes + n, "*\0/a\0", 5);
    assert_true(survives(bytes, n + 5));
}

static void test_unsealed_memory_is_refused(void **state)
{
    size_t n = 0;
    char error[128] = "", *bytes = whole(&n);
    int fd = with_bytes(bytes, n, false);
    (void)state;
    assert_null(bundle_open(fd, error, sizeof error));
    assert_non_null(strstr(error, "sealed"));
    (void)close(fd);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_read_comes_back),
        cmocka_unit_test(test_nothing_else_is_in_it),
        cmocka_unit_test(test_a_file_is_read_once),
        cmocka_unit_test(test_it_cannot_be_changed),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_something_behind_the_end),
        cmocka_unit_test(test_every_byte_changed),
        cmocka_unit_test(test_a_pattern_without_its_last_nul),
        cmocka_unit_test(test_unsealed_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
