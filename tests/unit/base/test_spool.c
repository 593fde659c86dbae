/* SPDX-License-Identifier: MIT */
/* Bodies in memory and in files, and the budgets they share. Files are made in a folder of the test's own. */
#include "unit/base/check.h"

#include "base/attr.h"
#include "base/spool.h"

#include <dirent.h>
#include <errno.h>
#include <linux/fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static char folder[] = "/tmp/postern-spool-XXXXXX";
static bool refuse_tmpfile;

/* Stands before libc's: lets a test act as a file system that cannot make files without a name. */
int open(const char *path, int flags, ...);
int open(const char *path, int flags, ...)
{
    if (refuse_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    va_list more;
    va_start(more, flags);
    unsigned mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, unsigned) : 0;
    va_end(more);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails when a spool left something behind */
}

static struct spool_budget budget_of(uint64_t memory_max, uint64_t disk_max)
{
    return (struct spool_budget){.memory_max = memory_max, .disk_max = disk_max, .dir = folder};
}

static char octet_at(uint64_t i)
{
    return (char)(i * 7 + i / 256);
}

/* Appends a known sequence in pieces of `piece`, up to `total` octets in all. */
static void fill(struct spool *s, uint64_t total, size_t piece)
{
    char bytes[70000];
    assert_true(piece <= sizeof bytes);
    while (spool_bytes(s) < total) {
        uint64_t at = spool_bytes(s);
        size_t n = total - at < piece ? (size_t)(total - at) : piece;
        for (size_t i = 0; i < n; i++)
            bytes[i] = octet_at(at + i);
        assert_int_equal(spool_append(s, span_make(bytes, n)), SPOOL_OK);
    }
}

static void check_sequence(struct spool *s, size_t max)
{
    uint64_t at = 0;
    for (;;) {
        struct span got = spool_read(s, at, max);
        assert_non_null(got.p);
        if (got.n == 0)
            break;
        assert_true(got.n <= max);
        for (size_t i = 0; i < got.n; i++)
            if (got.p[i] != octet_at(at + i))
                fail_msg("octet %zu is wrong", (size_t)at + i);
        at += got.n;
    }
    assert_int_equal(at, spool_bytes(s));
}

static void small_bodies_stay_in_memory(void **state)
{
    (void)state;
    struct spool_budget b = budget_of(1 << 20, 1 << 20);
    struct spool *s = spool_create(&b, 1000);
    fill(s, 1000, 37);
    assert_false(spool_in_file(s));
    assert_int_equal(b.memory_used, 1000);
    check_sequence(s, 64);
    check_sequence(s, 1 << 20);
    spool_destroy(&s);
    assert_null(s);
    assert_int_equal(b.memory_used, 0);
    spool_destroy(&s);
}

static void large_bodies_move_to_a_file(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 999, 4096, 16384, 32768, 40000, 70000};
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        struct spool_budget b = budget_of(1 << 20, 1 << 20);
        struct spool *s = spool_create(&b, 1000);
        fill(s, 150001, pieces[i]);
        assert_true(spool_in_file(s));
        assert_int_equal(b.memory_used, 0);
        assert_int_equal(b.disk_used, 150001);
        check_sequence(s, 5000);
        check_sequence(s, 65536);
        assert_span(span_head(spool_read(s, 150001, 10), 1), "");
        fill(s, 150100, 7); /* written on after it was read */
        check_sequence(s, 65536);
        spool_destroy(&s);
        assert_int_equal(b.disk_used, 0);
    }
}

static void mixed_pieces_keep_their_order(void **state)
{
    (void)state;
    struct spool_budget b = budget_of(1 << 20, 1 << 20);
    struct spool *s = spool_create(&b, 0);
    uint32_t random = 7;
    for (uint64_t total = 0; total < 400000;) {
        random = random * 1664525u + 1013904223u;
        size_t piece = 1 + (random >> 8) % (random & 1 ? 60000 : 50);
        total += piece;
        fill(s, total, piece);
    }
    check_sequence(s, 65536);
    spool_destroy(&s);
}

static void shared_memory_used_up_means_the_file(void **state)
{
    (void)state;
    struct spool_budget b = budget_of(1500, 1 << 20);
    struct spool *first = spool_create(&b, 1000), *second = spool_create(&b, 1000);
    fill(first, 1000, 100);
    fill(second, 600, 100);
    assert_false(spool_in_file(first));
    assert_true(spool_in_file(second));
    assert_int_equal(b.memory_used, 1000);
    assert_int_equal(b.disk_used, 600);
    check_sequence(second, 100);
    spool_destroy(&first);
    spool_destroy(&second);
    assert_int_equal(b.memory_used + b.disk_used, 0);
}

static void no_folder_means_memory_only(void **state)
{
    (void)state;
    struct spool_budget b = {.memory_max = 1 << 20, .disk_max = 1 << 20};
    struct spool *s = spool_create(&b, 10);
    assert_int_equal(spool_append(s, SPAN_LIT("0123456789")), SPOOL_OK);
    assert_int_equal(spool_append(s, SPAN_LIT("x")), SPOOL_FULL);
    assert_int_equal(spool_append(s, SPAN_NONE), SPOOL_FULL); /* and it stays so */
    assert_null(spool_read(s, 0, 10).p);
    spool_destroy(&s);
    assert_int_equal(b.memory_used, 0);
}

static void disk_budget_is_kept(void **state)
{
    (void)state;
    struct spool_budget b = budget_of(0, 1000);
    struct spool *s = spool_create(&b, 1 << 20), *other = spool_create(&b, 1 << 20);
    fill(s, 1000, 100);
    assert_int_equal(spool_append(s, SPAN_LIT("x")), SPOOL_FULL);
    assert_int_equal(spool_append(other, SPAN_LIT("x")), SPOOL_FULL);
    spool_destroy(&s);
    assert_int_equal(b.disk_used, 0);
    spool_destroy(&other);
    assert_int_equal(b.disk_used, 0);
}

static void a_missing_folder_is_reported(void **state)
{
    (void)state;
    struct spool_budget b = {.disk_max = 1000, .dir = "/nonexistent/postern"};
    struct spool *s = spool_create(&b, 0);
    assert_int_equal(spool_append(s, SPAN_LIT("x")), SPOOL_FAILED);
    assert_int_equal(spool_errno(s), ENOENT);
    spool_destroy(&s);
    assert_int_equal(b.disk_used, 0);
}

/* A limit on the size of files stands in for a full disk. */
static void a_disk_that_says_no(void **state)
{
    (void)state;
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){.rlim_cur = 50000, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct spool_budget b = budget_of(0, 1 << 20);
    struct spool *s = spool_create(&b, 0);
    char block[20000] = {0};
    enum spool_result r = SPOOL_OK;
    for (int i = 0; i < 3 && r == SPOOL_OK; i++)
        r = spool_append(s, span_make(block, sizeof block));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(r, SPOOL_FAILED);
    assert_int_equal(spool_errno(s), EFBIG);
    assert_null(spool_read(s, 0, 100).p);
    spool_destroy(&s);
    assert_int_equal(b.disk_used, 0);
}

static size_t names_in_folder(void)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    assert_int_equal(closedir(d), 0);
    return n;
}

static void the_file_has_no_name(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        refuse_tmpfile = i == 1;
        struct spool_budget b = budget_of(0, 1 << 20);
        struct spool *s = spool_create(&b, 0);
        fill(s, 100000, 5000);
        refuse_tmpfile = false;
        assert_true(spool_in_file(s));
        assert_int_equal(names_in_folder(), 0);
        check_sequence(s, 65536);
        spool_destroy(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_bodies_stay_in_memory),
        cmocka_unit_test(large_bodies_move_to_a_file),
        cmocka_unit_test(mixed_pieces_keep_their_order),
        cmocka_unit_test(shared_memory_used_up_means_the_file),
        cmocka_unit_test(no_folder_means_memory_only),
        cmocka_unit_test(disk_budget_is_kept),
        cmocka_unit_test(a_missing_folder_is_reported),
        cmocka_unit_test(a_disk_that_says_no),
        cmocka_unit_test(the_file_has_no_name),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
