/* SPDX-License-Identifier: MIT */
/* The configuration: what is taken, and that each mistake is told, all in one run. */
#include "fake_host.h"

struct config {
    struct fake *fake;
    struct postern_node *block, *store, *limits;
};

static int setup(void **state)
{
    struct config *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->fake = fake_create();
    c->block = fake_map(c->fake, NULL, "filter");
    c->store = fake_map(c->fake, c->block, "store");
    c->limits = fake_map(c->fake, c->block, "limits");
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct config *c = *state;
    fake_destroy(c->fake);
    free(c);
    return 0;
}

static struct postern_node *good_limit(struct config *c, const char *name)
{
    return fake_limit(c->fake, c->limits, name, "sender", RECIPIENTS, 100, 3600 * SECOND);
}

static bool configures(struct config *c)
{
    void *filter = NULL;
    int result = postern_filter.configure(&c->fake->host, c->fake, c->block, &filter);
    if (result == 0) {
        assert_string_equal(c->fake->errors, "");
        postern_filter.release(filter);
        return true;
    }
    assert_string_not_equal(c->fake->errors, "");
    return false;
}

/* Fails to configure with one error that holds the text. */
static void assert_error(struct config *c, const char *text)
{
    assert_false(configures(c));
    if (!strstr(c->fake->errors, text))
        fail_msg("'%s' is not in: %s", text, c->fake->errors);
    const char *line = strchr(c->fake->errors, '\n');
    if (!line || line[1] != '\0')
        fail_msg("not one error but: %s", c->fake->errors);
}

static void no_store_needed(void **state)
{
    struct config *c = *state;
    c->block->first = c->limits; /* without `store` */
    good_limit(c, "a");
    assert_true(configures(c));
}

static void all_errors_at_once(void **state)
{
    struct config *c = *state;
    fake_limit(c->fake, c->limits, "a", "sendr", MESSAGES, 1, SECOND);
    fake_limit(c->fake, c->limits, "b", "client/40", MESSAGES, 0, SECOND);
    fake_number(c->fake, c->store, "type", 1);
    assert_false(configures(c));
    assert_non_null(
        strstr(c->fake->errors, "unknown key 'sendr', did you mean 'sender'?; known are: client,"));
    assert_non_null(strstr(c->fake->errors, "'client/40': an IPv4 prefix is 0 to 32"));
    assert_non_null(strstr(c->fake->errors, "rate: a rate of 0 would never allow anything"));
    assert_non_null(strstr(c->fake->errors, "a redis store needs its server"));
}

static void bad_keys(void **state)
{
    static const struct {
        const char *keys, *error;
    } cases[] = {
        {"", "needs a key"},
        {"client/24/200", "an IPv6 prefix is 0 to 128"},
        {"user/3", "only 'client' takes a prefix"},
        {"sender user sender", "twice"},
        {"weather", "unknown key 'weather'; known"},
    };
    struct config *c = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        c->limits->first = NULL;
        c->fake->errors[0] = '\0';
        fake_limit(c->fake, c->limits, "a", cases[i].keys, MESSAGES, 1, SECOND);
        assert_error(c, cases[i].error);
    }
}

static void key_as_scalar(void **state)
{
    struct config *c = *state;
    struct postern_node *limit = fake_map(c->fake, c->limits, "a");
    fake_text(c->fake, limit, "key", "client/24");
    fake_number(c->fake, limit, "rate", 5)->real = 60e6;
    assert_true(configures(c));
}

static void bad_rates(void **state)
{
    struct config *c = *state;
    struct postern_node *limit = good_limit(c, "a");
    struct postern_node *burst = fake_number(c->fake, limit, "burst", 0);
    assert_error(c, "burst: a burst of 0 would never allow anything");

    burst->number = 1000000000;
    c->fake->errors[0] = '\0';
    assert_error(c, "burst: at this rate a used-up burst takes over 50 days to come back");

    c->limits->first = NULL;
    c->fake->errors[0] = '\0';
    fake_limit(c->fake, c->limits, "a", "user", MESSAGES, 100, 0);
    assert_error(c, "rate: a rate of 0");

    c->limits->first = NULL;
    c->fake->errors[0] = '\0';
    fake_keys(c->fake, fake_map(c->fake, c->limits, "a"), "user");
    assert_error(c, "needs a rate");
}

static void phases(void **state)
{
    struct config *c = *state;
    fake_number(c->fake, good_limit(c, "a"), "at", 1);
    assert_error(c, "at MAIL no recipient is known yet");

    c->limits->first = NULL;
    c->fake->errors[0] = '\0';
    fake_number(c->fake, fake_limit(c->fake, c->limits, "a", "recipient_domain", MESSAGES, 1, SECOND), "at",
                1);
    assert_error(c, "at MAIL no recipient is known yet");

    c->limits->first = NULL;
    c->fake->errors[0] = '\0';
    fake_number(c->fake, fake_limit(c->fake, c->limits, "a", "user", MESSAGES, 1, SECOND), "at", 1);
    fake_number(c->fake, fake_limit(c->fake, c->limits, "b", "user", MESSAGES, 1, SECOND), "at", 2);
    assert_true(configures(c));
}

static void bad_limits(void **state)
{
    struct config *c = *state;
    static char names[40][16];

    assert_error(c, "limits: 'limits' holds 1 to 32 limits, here are 0");
    c->fake->errors[0] = '\0';
    for (int i = 0; i < 33; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "n%d", i);
        good_limit(c, names[i]);
    }
    assert_error(c, "here are 33");
    c->limits->first = NULL;
    c->fake->errors[0] = '\0';
    good_limit(c, "a b");
    assert_error(c, "a limit's name is of letters");
    c->limits->first = NULL;
    c->fake->errors[0] = '\0';
    fake_number(c->fake, good_limit(c, "a"), "code", 250);
    assert_error(c, "a refusal's code is 400 to 599");
}

static void no_limits(void **state)
{
    struct config *c = *state;
    c->store->next = NULL;
    assert_error(c, "'limits' is missing");
}

static void servers(void **state)
{
    static const char *const good[] = {"127.0.0.1:6379", "[::1]:6379", "redis.example:1", "/run/redis.sock"};
    static const char *const bad[] = {"",        "redis",        "redis:", "redis:0", "redis:65536",
                                      ":6379",   "::1:6379",     "[::1]",  "[]:6379", "redis:port",
                                      "[x:6379", "redis:123456", "/",      "a:b:6379"};
    struct config *c = *state;
    good_limit(c, "a");
    fake_number(c->fake, c->store, "type", 1);
    struct postern_node *server = fake_text(c->fake, c->store, "server", "");
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        server->text = FAKE_SPAN(good[i]);
        assert_true(configures(c));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        server->text = FAKE_SPAN(bad[i]);
        c->fake->errors[0] = '\0';
        assert_error(c, i == 0 ? "needs its server" : "is no server");
    }
}

static void store_mistakes(void **state)
{
    struct config *c = *state;
    good_limit(c, "a");
    struct postern_node *server = fake_text(c->fake, c->store, "server", "x:1");
    assert_error(c, "server: a memory store has no server: write 'type: redis'");

    fake_number(c->fake, c->store, "type", 1);
    struct postern_node *prefix = fake_text(c->fake, c->store, "prefix", "a b");
    c->fake->errors[0] = '\0';
    assert_error(c, "prefix: a prefix is of 1 to 64 visible characters");
    prefix->text = SPAN("mail");
    fake_text(c->fake, c->store, "user", "postern");
    c->fake->errors[0] = '\0';
    assert_error(c, "a user without a password");
    struct postern_node *file = fake_text(c->fake, c->store, "password_file", "secret.txt");
    c->fake->errors[0] = '\0';
    assert_error(c, "cannot read the password: no such file");
    c->fake->file_bytes = "\nx";
    c->fake->errors[0] = '\0';
    assert_error(c, "the first line of that file is empty");
    c->fake->file_bytes = "secret\r\n";
    c->fake->errors[0] = '\0';
    assert_true(configures(c));
    fake_text(c->fake, c->store, "password", "other");
    assert_error(c, "either password or password_file");
    file->name = SPAN("unused");
    server->text = SPAN("x:1");
    c->fake->errors[0] = '\0';
    assert_true(configures(c));
}

static void *no_memory(void *self, const char *name, size_t bytes)
{
    (void)self, (void)name, (void)bytes;
    return NULL;
}

static void no_shared_memory(void **state)
{
    struct config *c = *state;
    good_limit(c, "a");
    c->fake->host.shared = no_memory;
    assert_error(c, "cannot have");
}

/* What the option table promises: every option has a help text, every name stands once. */
static void check_options(const struct postern_option *options)
{
    for (const struct postern_option *o = options; o->name; o++) {
        assert_non_null(o->help);
        for (const struct postern_option *other = options; other < o; other++)
            assert_string_not_equal(o->name, other->name);
        if (o->children)
            check_options(o->children);
    }
}

static void descriptor(void **state)
{
    (void)state;
    assert_int_equal(postern_filter.magic, POSTERN_FILTER_MAGIC);
    assert_int_equal(postern_filter.abi_major, POSTERN_ABI_MAJOR);
    assert_int_equal(postern_filter.size, sizeof(postern_filter));
    assert_string_equal(postern_filter.name, "ratelimit");
    check_options(postern_filter.options);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_store_needed), TEST(all_errors_at_once), TEST(bad_keys),
        TEST(key_as_scalar),   TEST(bad_rates),          TEST(phases),
        TEST(bad_limits),      TEST(no_limits),          TEST(servers),
        TEST(store_mistakes),  TEST(no_shared_memory),   cmocka_unit_test(descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
