/* SPDX-License-Identifier: MIT */
/* Names that need no network, queries that end early, and DNS against a server in a namespace of the test. */
#include "base/clock.h"
#include "net/resolver.h"
#include "own_dns.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS(n)      ((uint64_t)(n)*US_PER_MS)
#define SECONDS(n) ((uint64_t)(n)*US_PER_S)

struct asked {
    struct loop *l;
    struct resolver *r;
    struct resolver_query *q;
    struct loop_timer guard;
    struct resolver_answer answer;
    char error[256];
    int calls;
};

static void on_done(void *arg, const struct resolver_answer *a)
{
    struct asked *k = arg;
    k->calls++;
    k->q = NULL;
    k->answer = *a;
    if (a->n == 0)
        (void)snprintf(k->error, sizeof k->error, "%s", a->error);
    loop_stop(k->l);
}

static void on_guard(void *arg)
{
    struct asked *k = arg;
    loop_stop(k->l);
}

static struct asked open_asked(void)
{
    struct asked k = {.l = loop_create()};
    assert_non_null(k.l);
    k.r = resolver_create(k.l);
    assert_non_null(k.r);
    return k;
}

static void close_asked(struct asked *k)
{
    resolver_destroy(&k->r);
    assert_null(k->r);
    loop_timer_stop(&k->guard);
    loop_destroy(&k->l);
}

static void ask(struct asked *k, const char *name, uint16_t port)
{
    k->calls = 0;
    k->q = resolver_ask(k->r, name, port, on_done, k);
    assert_non_null(k->q);
    assert_int_equal(k->calls, 0);
    loop_timer_start(k->l, &k->guard, SECONDS(4), on_guard, k);
    loop_run(k->l);
    assert_int_equal(k->calls, 1);
}

static void test_literals(void **state)
{
    struct asked k = open_asked();
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&k.answer.address[0];
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&k.answer.address[0];
    char text[64];
    (void)state;
    ask(&k, "192.0.2.9", 25);
    assert_int_equal(k.answer.n, 1);
    assert_int_equal(v4->sin_family, AF_INET);
    assert_int_equal(v4->sin_port, htons(25));
    ask(&k, "2001:db8::1", 465);
    assert_int_equal(v6->sin6_family, AF_INET6);
    assert_int_equal(v6->sin6_port, htons(465));
    assert_string_equal(inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text), "2001:db8::1");
    close_asked(&k);
}

static void test_hosts_file(void **state)
{
    struct asked k = open_asked();
    bool loopback = false;
    (void)state;
    ask(&k, "localhost", 2525);
    assert_true(k.answer.n > 0);
    for (size_t i = 0; i < k.answer.n; i++) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&k.answer.address[i];
        if (v4->sin_family == AF_INET && ntohl(v4->sin_addr.s_addr) == INADDR_LOOPBACK)
            loopback = true;
        assert_int_equal(v4->sin_port, htons(2525)); /* at the same place in both families */
    }
    assert_true(loopback);
    close_asked(&k);
}

static void test_bad_names(void **state)
{
    struct asked k = open_asked();
    char label[80];
    (void)state;
    memset(label, 'a', sizeof label - 1);
    label[sizeof label - 1] = '\0';
    const char *bad[] = {"a..b", label};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ask(&k, bad[i], 25);
        assert_int_equal(k.answer.n, 0);
        assert_non_null(strstr(k.error, "does not resolve"));
    }
    close_asked(&k);
}

/* Cancelled with the answer on its way, with c-ares still asking, and by the end of the resolver. */
static void test_cancel(void **state)
{
    struct asked k = open_asked();
    (void)state;
    struct resolver_query *ready = resolver_ask(k.r, "127.0.0.1", 25, on_done, &k);
    struct resolver_query *open = resolver_ask(k.r, "name.that.is.asked.invalid", 25, on_done, &k);
    struct resolver_query *left = resolver_ask(k.r, "another.invalid", 25, on_done, &k);
    assert_non_null(ready);
    assert_non_null(open);
    assert_non_null(left);
    resolver_cancel(&ready);
    resolver_cancel(&open);
    resolver_cancel(&open); /* NULL is taken */
    assert_null(open);
    ev_run(loop_ev(k.l), EVRUN_NOWAIT);
    resolver_destroy(&k.r);
    ev_run(loop_ev(k.l), EVRUN_NOWAIT);
    assert_int_equal(k.calls, 0);
    close_asked(&k);
}

/* ---- DNS ---- */

static int ask_dns(void)
{
    struct dns d = {.answers = {0xc0000219}, .n = 1};
    if (!own_dns_open(&d))
        return CHILD_CANNOT;
    struct asked k = {.l = loop_create()};
    k.r = resolver_create(k.l);
    own_dns_serve(&d, k.l);

    ask(&k, "mail.example.org", 25);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&k.answer.address[0];
    CHILD_CHECK(k.answer.n == 1);
    CHILD_CHECK(ntohl(v4->sin_addr.s_addr) == 0xc0000219 && v4->sin_port == htons(25));
    CHILD_CHECK(d.queries == 2);

    /* One cancelled while c-ares waits for its answer; the other still gets its own. */
    k.calls = 0;
    struct resolver_query *mute = resolver_ask(k.r, "a.example.org", 25, on_done, &k);
    k.q = resolver_ask(k.r, "b.example.org", 25, on_done, &k);
    resolver_cancel(&mute);
    loop_run(k.l);
    CHILD_CHECK(k.calls == 1 && k.answer.n == 1);

    /* Left without an answer: c-ares asks again after its timeout. */
    int before = d.queries;
    mute = resolver_ask(k.r, "silent.example.org", 25, on_done, &k);
    loop_timer_start(k.l, &k.guard, MS(2500), on_guard, &k);
    loop_run(k.l);
    CHILD_CHECK(d.queries >= before + 4 && k.calls == 1);
    resolver_cancel(&mute);

    own_dns_close(&d, k.l);
    close_asked(&k);
    return CHILD_GOOD;
}

static void test_dns(void **state)
{
    (void)state;
    in_a_child(ask_dns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals), cmocka_unit_test(test_hosts_file), cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_cancel),   cmocka_unit_test(test_dns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
