/* SPDX-License-Identifier: MIT */
/* Shared memories: one name and size is one memory, in all processes and over generations. */
#include "proxy/shared.h"

#include "base/attr.h"
#include "base/span.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct shared_set *supervisor_set(const struct shared_set *older)
{
    struct shared_set *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->may_create = true;
    s->older = older;
    return s;
}

static void drop(struct shared_set *s)
{
    shared_free(s);
    free(s);
}

static void test_new_memory_is_zeroed_and_known(void **state)
{
    struct shared_set *s = supervisor_set(NULL);
    (void)state;
    char *a = shared_get(s, "limits/keys", 8192);
    assert_non_null(a);
    for (size_t i = 0; i < 8192; i++)
        assert_int_equal(a[i], 0);
    assert_ptr_equal(shared_get(s, "limits/keys", 8192), a);
    assert_ptr_not_equal(shared_get(s, "limits/keys", 4096), a);
    assert_ptr_not_equal(shared_get(s, "other/keys", 8192), a);
    assert_int_equal(s->n, 3);
    drop(s);
}

static void test_the_next_generation_adopts(void **state)
{
    struct shared_set *first = supervisor_set(NULL), *second = supervisor_set(first);
    (void)state;
    char *a = shared_get(first, "m", 4096);
    memcpy(a, "kept", 4);
    char *b = shared_get(second, "m", 4096), *c = shared_get(second, "m", 8192);
    assert_memory_equal(b, "kept", 4);
    assert_int_equal(c[0], 0);
    memcpy(b, "both", 4);
    assert_memory_equal(a, "both", 4);
    drop(first);
    assert_memory_equal(b, "both", 4); /* it has a mapping and a descriptor of its own */
    drop(second);
}

static void test_a_worker_maps_the_same(void **state)
{
    struct shared_set *s = supervisor_set(NULL);
    (void)state;
    char *a = shared_get(s, "m", 4096);
    struct shared_set *w = calloc(1, sizeof *w);
    assert_true(shared_take(w, "m", 4096, dup(s->items[0].fd)));
    pid_t child = fork();
    if (child == 0) {
        char *b = shared_get(w, "m", 4096);
        if (b)
            memcpy(b, "hello", 5);
        _exit(b ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_memory_equal(a, "hello", 5);
    assert_null(shared_get(w, "unknown", 4096)); /* a worker makes none */
    drop(w);
    drop(s);
}

static void test_what_cannot_be(void **state)
{
    struct shared_set *s = supervisor_set(NULL);
    char name[SHARED_NAME_MAX + 2];
    (void)state;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_null(shared_get(s, "none", 0));
    assert_null(shared_get(s, "huge", SIZE_MAX));
    assert_null(shared_get(s, name, 4096));
    assert_null(shared_get(s, "", 4096));
    for (size_t i = 0; i < SHARED_MAX; i++)
        assert_non_null(shared_get(s, "many", 4096 + i));
    assert_null(shared_get(s, "one more", 4096));
    drop(s);
}

static void test_a_wrong_descriptor_is_refused_and_closed(void **state)
{
    struct shared_set *s = supervisor_set(NULL), *w = calloc(1, sizeof *w);
    (void)state;
    assert_non_null(shared_get(s, "m", 4096));
    int fd = dup(s->items[0].fd);
    assert_false(shared_take(w, "m", 8192, fd)); /* smaller than said: touching the rest would be fatal */
    assert_int_equal(close(fd), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(ftruncate(s->items[0].fd, 0), -1); /* its size is sealed */
    drop(w);
    drop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_memory_is_zeroed_and_known),
        cmocka_unit_test(test_the_next_generation_adopts),
        cmocka_unit_test(test_a_worker_maps_the_same),
        cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_a_wrong_descriptor_is_refused_and_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
