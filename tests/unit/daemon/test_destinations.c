/* SPDX-License-Identifier: MIT */
/* Intercepted servers: which are served, one object for each, shared while in use, kept for a while, and
 * bounded in number. No connection is made. */
#include "proxy/destinations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define IDLE_MAX 1000 /* as in destinations.c */

static struct endpoint endpoint(const char *host, uint16_t port)
{
    struct endpoint e;
    assert_true(endpoint_parse(host, port, &e));
    return e;
}

static struct endpoint numbered(unsigned n)
{
    return (struct endpoint){
        .ip = {198, 51, (unsigned char)(n >> 8), (unsigned char)n}, .ip_n = 4, .port = 25};
}

/* ---- which are served ---- */

static void test_check(void **state)
{
    static const struct network ten = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10}, .bits = 104},
                                documentation = {.ip = {0x20, 0x01, 0x0d, 0xb8}, .bits = 32};
    static struct conf_address bind[] = {{.host = "127.0.0.1", .port = 2526}, {.host = "::", .port = 2527}};
    static const struct conf_listener plain = {.bind = bind, .bind_count = 2},
                                      only_ten = {.bind = bind, .bind_count = 2, .allow = {&ten, 1}},
                                      not_ten = {.bind = bind, .bind_count = 2, .deny = {&ten, 1}},
                                      both = {.bind = bind,
                                              .bind_count = 2,
                                              .allow = {&documentation, 1},
                                              .deny = {&documentation, 1}};
    static const struct {
        const struct conf_listener *listener;
        const char *host;
        uint16_t port;
        enum destination_verdict verdict;
    } cases[] = {
        {&plain, "192.0.2.1", 25, DESTINATION_GOOD},   {&plain, "127.0.0.1", 25, DESTINATION_GOOD},
        {&plain, "127.0.0.1", 2526, DESTINATION_HERE}, {&plain, "127.0.0.2", 2526, DESTINATION_GOOD},
        {&plain, "192.0.2.1", 2527, DESTINATION_GOOD}, {&plain, "2001:db8::1", 2527, DESTINATION_GOOD},
        {&only_ten, "10.1.2.3", 25, DESTINATION_GOOD}, {&only_ten, "192.0.2.1", 25, DESTINATION_DENIED},
        {&only_ten, "::1", 25, DESTINATION_DENIED},    {&not_ten, "10.1.2.3", 25, DESTINATION_DENIED},
        {&not_ten, "192.0.2.1", 25, DESTINATION_GOOD}, {&both, "2001:db8::1", 25, DESTINATION_DENIED},
        {&both, "127.0.0.1", 2526, DESTINATION_HERE},  {&both, "127.0.0.1", 2588, DESTINATION_LOOP},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conf_address other_at = {.host = "127.0.0.1", .port = 2588};
        struct conf_listener listeners[] = {*cases[i].listener, {.bind = &other_at, .bind_count = 1}};
        struct conf conf = {.listeners = listeners, .listener_count = 2};
        struct endpoint to = endpoint(cases[i].host, cases[i].port);
        assert_int_equal(destination_check(&conf, &listeners[0], &to), cases[i].verdict);
    }
}

static void test_settings(void **state)
{
    static struct conf_address server;
    struct conf_upstream named = {.name = "strict",
                                  .servers = &server,
                                  .server_count = 1,
                                  .tls = CONF_UP_REQUIRED,
                                  .keep = 8,
                                  .verify = true};
    struct conf_listener alone = {.name = "gate"}, strict = {.name = "gate", .upstream = &named};
    (void)state;
    struct conf_upstream s = destination_settings(&alone);
    assert_int_equal(s.tls, CONF_UP_OPPORTUNISTIC);
    assert_false(s.verify);
    assert_int_equal(s.chunking, CONF_CHUNKING_YES);
    s = destination_settings(&strict);
    assert_int_equal(s.tls, CONF_UP_REQUIRED);
    assert_true(s.verify);
    assert_int_equal(s.server_count, 0);
    assert_int_equal(s.keep, 0); /* no stranger's connection serves another client */
    assert_int_equal(s.connect, CONF_EAGER);
}

/* ---- the objects ---- */

struct rig {
    struct loop *loop;
    struct counters *counters;
    struct conf_upstream settings;
    struct conf_timeouts timeouts;
    struct destinations *all;
};

static int rig_make(void **state)
{
    static struct rig r;
    static const struct conf_listener gate = {.name = "gate"};
    r = (struct rig){
        .loop = loop_create(), .counters = counters_create(), .settings = destination_settings(&gate)};
    struct upstream_env env = {.loop = r.loop, .counters = r.counters, .hostname = "gate.test"};
    r.all = destinations_create(&env, &r.settings, &r.timeouts, NULL);
    *state = &r;
    return r.loop && r.counters && r.all ? 0 : -1;
}

static int rig_free(void **state)
{
    struct rig *r = *state;
    destinations_release(&r->all);
    assert_null(r->all);
    loop_destroy(&r->loop);
    counters_destroy(&r->counters);
    return 0;
}

static void test_shared_and_kept(void **state)
{
    struct rig *r = *state;
    struct endpoint a = endpoint("192.0.2.1", 25), b = endpoint("192.0.2.1", 587),
                    c = endpoint("2001:db8::1", 25);
    struct destination *first = destination_get(r->all, &a), *second = destination_get(r->all, &a);
    struct destination *other = destination_get(r->all, &b), *six = destination_get(r->all, &c);
    assert_non_null(first);
    assert_ptr_equal(first, second);
    assert_ptr_not_equal(first, other);
    assert_ptr_not_equal(destination_upstream(first), destination_upstream(six));
    assert_int_equal(destinations_count(r->all), 3);
    struct upstream *kept = destination_upstream(first);
    destination_put(&first);
    destination_put(&second);
    assert_null(second);
    assert_int_equal(destinations_count(r->all), 3);
    first = destination_get(r->all, &a);
    assert_ptr_equal(destination_upstream(first), kept);
    destination_put(&other);
    destination_put(&first);
    destination_put(&six);
}

static void test_bounded(void **state)
{
    struct rig *r = *state;
    struct destination *held[10];
    for (unsigned n = 0; n < 10; n++) {
        struct endpoint to = numbered(n);
        held[n] = destination_get(r->all, &to);
        assert_non_null(held[n]);
    }
    for (unsigned n = 10; n < 3000; n++) {
        struct endpoint to = numbered(n);
        struct destination *one = destination_get(r->all, &to);
        assert_non_null(one);
        destination_put(&one);
        assert_true(destinations_count(r->all) <= IDLE_MAX + 10);
    }
    assert_int_equal(destinations_count(r->all), IDLE_MAX + 10);
    for (unsigned n = 0; n < 10; n++) {
        struct endpoint to = numbered(n);
        struct destination *again = destination_get(r->all, &to);
        assert_ptr_equal(again, held[n]); /* what is in use stays */
        destination_put(&again);
        destination_put(&held[n]);
    }
    assert_int_equal(destinations_count(r->all), IDLE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_settings),
        cmocka_unit_test_setup_teardown(test_shared_and_kept, rig_make, rig_free),
        cmocka_unit_test_setup_teardown(test_bounded, rig_make, rig_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
