/* SPDX-License-Identifier: MIT */
/* What a dead worker had released is named once, and nobody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/released.h"

struct names {
    size_t n;
    char sid[100][16];
};

static void found(void *arg, const struct released_message *m)
{
    struct names *names = arg;
    assert_true(names->n < 100 && m->sid.n < 16);
    memcpy(names->sid[names->n], m->sid.p, m->sid.n);
    names->sid[names->n++][m->sid.n] = '\0';
}

static size_t note(struct released *r, uint32_t worker, const char *sid)
{
    struct released_message m = {.sid = span_of(sid), .from = SPAN_LIT("a@x.test")};
    return released_note(r, worker, &m);
}

static void test_only_what_is_open(void **state)
{
    struct released *r = released_create();
    struct names names = {0};
    (void)state;
    assert_non_null(r);
    size_t first = note(r, 1, "one");
    assert_true(note(r, 1, "two") != RELEASED_NOWHERE);
    assert_true(note(r, 2, "other") != RELEASED_NOWHERE);
    released_settle(r, first);
    released_settle(r, RELEASED_NOWHERE);
    released_of_the_dead(r, 1, found, &names);
    assert_int_equal(names.n, 1);
    assert_string_equal(names.sid[0], "two");
    released_of_the_dead(r, 1, found, &names);
    assert_int_equal(names.n, 1);
    released_of_the_dead(r, 2, found, &names);
    assert_int_equal(names.n, 2);
    released_destroy(&r);
    assert_null(r);
}

static void test_long_texts_are_cut(void **state)
{
    struct released *r = released_create();
    char text[300];
    (void)state;
    memset(text, 'x', sizeof(text));
    struct released_message m = {.sid = SPAN_LIT("s"), .from = span_make(text, sizeof(text))};
    assert_true(released_note(r, 1, &m) != RELEASED_NOWHERE);
    struct names names = {0};
    released_of_the_dead(r, 1, found, &names);
    assert_int_equal(names.n, 1);
    released_destroy(&r);
}

static void test_a_full_table(void **state)
{
    struct released *r = released_create();
    size_t places = 0;
    (void)state;
    while (note(r, 1, "s") != RELEASED_NOWHERE)
        places++;
    assert_true(places >= 8000 && places <= 100000);
    released_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_open),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_a_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
