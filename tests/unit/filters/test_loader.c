/* SPDX-License-Identifier: MIT */
/* Loading: what is a plugin, what is not, and that the reason is said. Uses the plugins of tests/plugins and
 * the real ones of the build tree. */
#include "unit/base/check.h"

#include "filters/loader.h"

#include <limits.h>
#include <unistd.h>

static char test_plugins[PATH_MAX + 32], real_plugins[PATH_MAX + 32];

static int find_folders(void **state)
{
    const char *build = getenv("POSTERN_BUILD");
    char own[PATH_MAX];

    (void)state;
    if (!build) { /* started by hand: this program stands in BUILD/tests */
        ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
        if (n < 0)
            return -1;
        own[n] = '\0';
        for (int i = 0; i < 2; i++)
            *strrchr(own, '/') = '\0';
        build = own;
    }
    (void)snprintf(test_plugins, sizeof(test_plugins), "%s/tests/plugins", build);
    (void)snprintf(real_plugins, sizeof(real_plugins), "%s/plugins", build);
    return 0;
}

static void assert_refused(const char *dir, const char *name, const char *why)
{
    char error[512] = "";
    assert_null(loader_open(dir, span_of(name), error, sizeof(error)));
    if (!strstr(error, why)) {
        print_error("'%s' does not say '%s'\n", error, why);
        fail();
    }
}

static void a_good_plugin_is_loaded(void **state)
{
    (void)state;
    char error[512] = "";
    const struct postern_filter *f = loader_open(test_plugins, SPAN_LIT("refuse"), error, sizeof(error));
    assert_non_null(f);
    assert_string_equal(f->name, "refuse");
    assert_ptr_equal(f, loader_open(test_plugins, SPAN_LIT("refuse"), error, sizeof(error)));
}

static void hello_is_loaded(void **state)
{
    (void)state;
    char error[512] = "";
    const struct postern_filter *f = loader_open(real_plugins, SPAN_LIT("hello"), error, sizeof(error));
    assert_non_null(f);
    assert_string_equal(f->options[0].name, "name");
}

static void two_plugins_have_two_descriptors(void **state)
{
    (void)state;
    char error[512];
    const struct postern_filter *a = loader_open(test_plugins, SPAN_LIT("refuse"), error, sizeof(error));
    const struct postern_filter *b = loader_open(test_plugins, SPAN_LIT("slow"), error, sizeof(error));
    assert_non_null(a);
    assert_non_null(b);
    assert_string_equal(b->name, "slow");
    assert_ptr_not_equal(a, b);
}

static void what_is_no_plugin_is_refused(void **state)
{
    (void)state;
    assert_refused(test_plugins, "wrong_magic", "no filter descriptor");
    assert_refused(test_plugins, "wrong_abi", "built for ABI 2.0");
    assert_refused(test_plugins, "no_symbol", "exports no 'postern_filter'");
    assert_refused(test_plugins, "absent", "cannot be loaded");
    assert_refused("/nowhere", "refuse", "cannot be loaded");
}

static void a_name_is_never_a_path(void **state)
{
    (void)state;
    assert_refused(test_plugins, "../plugins/refuse", "no path");
    assert_refused(test_plugins, "refuse.so", "no path");
    assert_refused(test_plugins, "", "no path");
    assert_refused(test_plugins, "Refuse", "no path");
    char error[512], name[400];
    memset(name, 'a', sizeof(name));
    assert_null(loader_open(test_plugins, span_make(name, sizeof(name)), error, sizeof(error)));
    assert_null(loader_open(test_plugins, SPAN_LIT("refuse\0"), error, sizeof(error)));
}

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    (void)host, (void)self, (void)block, (void)filter_r;
    return 0;
}

static void descriptors_are_checked(void **state)
{
    (void)state;
    const struct postern_filter good = {.magic = POSTERN_FILTER_MAGIC,
                                        .abi_major = POSTERN_ABI_MAJOR,
                                        .abi_minor = POSTERN_ABI_MINOR,
                                        .size = sizeof(struct postern_filter),
                                        .name = "good",
                                        .configure = configure};
    struct postern_filter f = good;
    char error[512];

    assert_true(loader_check(&f, error, sizeof(error)));
    f.abi_minor++;
    assert_false(loader_check(&f, error, sizeof(error)));
    assert_non_null(strstr(error, "build the plugin again"));
    f = good;
    f.size--;
    assert_false(loader_check(&f, error, sizeof(error)));
    f = good;
    f.size++;
    assert_false(loader_check(&f, error, sizeof(error)));
    f = good;
    f.name = NULL;
    assert_false(loader_check(&f, error, sizeof(error)));
    f = good;
    f.configure = NULL;
    assert_false(loader_check(&f, error, sizeof(error)));
    f = good;
    f.magic = 0;
    char tiny[8];
    assert_false(loader_check(&f, tiny, sizeof(tiny)));
    assert_int_equal(strlen(tiny), sizeof(tiny) - 1);
}

/* What a descriptor of 1.0 has, and NULL for all that came later. */
static void an_older_descriptor_is_filled_up(void **state)
{
    (void)state;
    char error[512] = "";
    const struct postern_filter *f = loader_open(test_plugins, SPAN_LIT("old"), error, sizeof(error));
    struct postern_filter copy;

    assert_non_null(f);
    loader_copy(f, &copy);
    assert_string_equal(copy.name, "old");
    assert_non_null(copy.hooks[POSTERN_ON_RCPT]);
    for (size_t i = POSTERN_ON_PART_HEADER; i < POSTERN_HOOKS; i++)
        assert_null(copy.hooks[i]);
    assert_int_equal(copy.wants, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_plugin_is_loaded),          cmocka_unit_test(hello_is_loaded),
        cmocka_unit_test(two_plugins_have_two_descriptors), cmocka_unit_test(what_is_no_plugin_is_refused),
        cmocka_unit_test(a_name_is_never_a_path),           cmocka_unit_test(descriptors_are_checked),
        cmocka_unit_test(an_older_descriptor_is_filled_up),
    };
    return cmocka_run_group_tests(tests, find_folders, NULL);
}
