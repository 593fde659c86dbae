/* SPDX-License-Identifier: MIT */
/* The loop: deferred work, timers, and its end. */
#include "base/clock.h"
#include "net/loop.h"
#include "net/loop_end.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define MS(n)      ((uint64_t)(n)*US_PER_MS)
#define SECONDS(n) ((uint64_t)(n)*US_PER_S)

struct trace {
    struct loop *l;
    struct loop_deferred a, b, again;
    struct loop_timer timer, guard;
    char seen[32];
    size_t n;
    int rounds;
    uint64_t at;
};

static void note(struct trace *t, char c)
{
    if (t->n < sizeof t->seen - 1)
        t->seen[t->n++] = c;
}

static void run_a(void *arg)
{
    note(arg, 'a');
}
static void run_b(void *arg)
{
    note(arg, 'b');
}

static void run_stop(void *arg)
{
    struct trace *t = arg;
    note(t, 's');
    loop_stop(t->l);
}

static struct trace open_loop(void)
{
    struct trace t = {.l = loop_create()};
    assert_non_null(t.l);
    return t;
}

static void stop_soon(struct trace *t)
{
    loop_timer_start(t->l, &t->timer, 2000, run_stop, t);
}

static void test_defer_runs_once_in_order(void **state)
{
    struct trace t = open_loop();
    (void)state;
    loop_defer(t.l, &t.a, run_a, &t);
    loop_defer(t.l, &t.b, run_b, &t);
    loop_defer(t.l, &t.a, run_a, &t);
    stop_soon(&t);
    loop_run(t.l);
    assert_string_equal(t.seen, "abs");
    loop_destroy(&t.l);
    assert_null(t.l);
}

static void test_undefer(void **state)
{
    struct trace t = open_loop();
    (void)state;
    loop_undefer(&t.a); /* not in a list: nothing happens */
    loop_defer(t.l, &t.a, run_a, &t);
    loop_defer(t.l, &t.b, run_b, &t);
    loop_undefer(&t.b); /* the last one */
    loop_defer(t.l, &t.b, run_b, &t);
    loop_undefer(&t.a); /* the first one */
    stop_soon(&t);
    loop_run(t.l);
    assert_string_equal(t.seen, "bs");
    loop_destroy(&t.l);
}

/* A node of the batch that is running takes the next one out of it. */
static void run_undefer_b(void *arg)
{
    struct trace *t = arg;
    note(t, 'a');
    loop_undefer(&t->b);
}

static void test_undefer_inside_a_batch(void **state)
{
    struct trace t = open_loop();
    (void)state;
    loop_defer(t.l, &t.a, run_undefer_b, &t);
    loop_defer(t.l, &t.b, run_b, &t);
    stop_soon(&t);
    loop_run(t.l);
    assert_string_equal(t.seen, "as");
    loop_destroy(&t.l);
}

static void run_again(void *arg)
{
    struct trace *t = arg;
    if (++t->rounds < 1000)
        loop_defer(t->l, &t->again, run_again, t);
    else
        loop_stop(t->l);
}

/* Deferring again and again neither sleeps nor keeps timers from their turn. */
static void test_defer_from_deferred_is_next_turn(void **state)
{
    struct trace t = open_loop();
    (void)state;
    uint64_t start = clock_mono_us();
    loop_defer(t.l, &t.again, run_again, &t);
    loop_timer_start(t.l, &t.timer, 0, run_a, &t);
    loop_timer_start(t.l, &t.guard, SECONDS(3), run_stop, &t);
    loop_run(t.l);
    assert_int_equal(t.rounds, 1000);
    assert_string_equal(t.seen, "a");
    assert_true(clock_mono_us() - start < SECONDS(2));
    loop_timer_stop(&t.guard);
    loop_destroy(&t.l);
}

static void run_clock(void *arg)
{
    struct trace *t = arg;
    t->at = loop_now_us(t->l);
    loop_stop(t->l);
}

static void test_timer(void **state)
{
    struct trace t = open_loop();
    struct loop_timer never = {0};
    (void)state;
    assert_false(loop_timer_active(&never));
    loop_timer_stop(&never); /* zeroed: allowed */
    uint64_t start = loop_now_us(t.l);
    loop_timer_start(t.l, &t.timer, MS(30), run_clock, &t);
    loop_timer_start(t.l, &never, MS(10), run_a, &t);
    assert_true(loop_timer_active(&never));
    loop_timer_stop(&never);
    assert_false(loop_timer_active(&never));
    loop_run(t.l);
    assert_in_range(t.at - start, MS(29), SECONDS(2));
    assert_false(loop_timer_active(&t.timer));
    assert_string_equal(t.seen, "");
    loop_destroy(&t.l);
}

static void run_long_turn(void *arg)
{
    struct trace *t = arg;
    uint64_t until = clock_mono_us() + MS(40);
    while (clock_mono_us() < until)
        ;
    t->at = clock_mono_us();
    loop_timer_start(t->l, &t->timer, MS(20), run_stop, t);
}

/* A timer counts from its start, also when the turn before was long. */
static void test_timer_after_a_long_turn(void **state)
{
    struct trace t = open_loop();
    (void)state;
    loop_timer_start(t.l, &t.guard, 0, run_long_turn, &t);
    loop_run(t.l);
    assert_true(clock_mono_us() - t.at >= MS(19));
    loop_destroy(&t.l);
}

static void test_restart_moves_a_timer(void **state)
{
    struct trace t = open_loop();
    (void)state;
    loop_timer_start(t.l, &t.timer, SECONDS(60), run_a, &t);
    stop_soon(&t);
    loop_run(t.l);
    assert_string_equal(t.seen, "s");
    loop_destroy(&t.l);
}

static void test_destroy_runs_what_is_deferred(void **state)
{
    struct trace t = open_loop();
    struct loop_deferred left_out = {0};
    (void)state;
    loop_at_end(t.l, &t.b, run_b, &t);
    loop_at_end(t.l, &left_out, run_stop, &t);
    loop_undefer(&left_out);
    loop_defer(t.l, &t.a, run_a, &t);
    loop_destroy(&t.l);
    assert_string_equal(t.seen, "ab");
    loop_destroy(&t.l); /* NULL is taken */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defer_runs_once_in_order),
        cmocka_unit_test(test_undefer),
        cmocka_unit_test(test_undefer_inside_a_batch),
        cmocka_unit_test(test_defer_from_deferred_is_next_turn),
        cmocka_unit_test(test_timer),
        cmocka_unit_test(test_timer_after_a_long_turn),
        cmocka_unit_test(test_restart_moves_a_timer),
        cmocka_unit_test(test_destroy_runs_what_is_deferred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
