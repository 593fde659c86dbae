/* SPDX-License-Identifier: MIT */
/* hello, as a host would use it: it must stay right, because people copy it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "postern/filter.h"

static void config_error(void *self, const struct postern_node *at, size_t column_add, const char *format,
                         ...)
{
    (void)self, (void)at, (void)column_add, (void)format;
    fail_msg("the configuration is good");
}

static const struct postern_host host = {.size = sizeof(host), .config_error = config_error};

static void *configured(const char *name)
{
    struct postern_node option = {.name = {"name", 4}, .text = {name, strlen(name)}};
    struct postern_node block = {.kind = POSTERN_NODE_MAP, .first = &option};
    void *filter = NULL;
    assert_int_equal(postern_filter.configure(&host, NULL, &block, &filter), 0);
    assert_non_null(filter);
    return filter;
}

static enum postern_action greet(void *filter, const char *name, struct postern_verdict *v)
{
    const struct postern_event ev = {
        .size = sizeof(ev), .phase = POSTERN_ON_HELO, .text = {name, name ? strlen(name) : 0}};
    *v = (struct postern_verdict){.size = sizeof(*v)};
    postern_filter.hooks[POSTERN_ON_HELO](filter, NULL, NULL, &ev, v);
    return v->action;
}

static void the_name_is_refused(void **state)
{
    struct postern_verdict v;
    (void)state;
    void *filter = configured("friend.example");
    assert_int_equal(greet(filter, "friend.example", &v), POSTERN_REJECT);
    assert_int_equal(v.text.n, strlen("Not with that name"));
    assert_memory_equal(v.text.p, "Not with that name", v.text.n);
    assert_int_equal(greet(filter, "FRIEND.Example", &v), POSTERN_REJECT);
    postern_filter.release(filter);
}

static void every_other_name_passes(void **state)
{
    struct postern_verdict v;
    (void)state;
    void *filter = configured("friend.example");
    static const char *const names[] = {"friend.exampl", "friend.example.org", "x", "friend-example", NULL};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(greet(filter, names[i], &v), POSTERN_CONTINUE);
    postern_filter.release(filter);
}

static void the_descriptor_says_what_it_is(void **state)
{
    (void)state;
    assert_int_equal(postern_filter.magic, POSTERN_FILTER_MAGIC);
    assert_int_equal(postern_filter.abi_major, POSTERN_ABI_MAJOR);
    assert_int_equal(postern_filter.size, sizeof(struct postern_filter));
    assert_string_equal(postern_filter.name, "hello");
    for (int phase = 0; phase < POSTERN_PHASES; phase++)
        assert_true((postern_filter.hooks[phase] != NULL) == (phase == POSTERN_ON_HELO));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_is_refused),
        cmocka_unit_test(every_other_name_passes),
        cmocka_unit_test(the_descriptor_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
