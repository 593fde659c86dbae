/* SPDX-License-Identifier: MIT */
/* Rounds of a crew whose workers are played by this file: they answer late, and in the wrong round.
 *
 * worker_run and generation_offer are the test's own; a generation is a number here. */
#include "proxy/crew.h"

#include "proxy/control.h"
#include "proxy/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIRST = 1, BAD = 2, GOOD = 3 };

bool generation_offer(const struct generation *g, const struct tls_ticket_keys *tickets, struct buf *payload,
                      int fds[CONTROL_FDS_MAX], size_t *fd_n_r)
{
    (void)g;
    (void)tickets;
    (void)payload;
    (void)fds;
    *fd_n_r = 0;
    return true;
}

static void say(int channel, enum control_kind kind, uint64_t generation, struct span text)
{
    if (!control_send(channel, kind, generation, text, NULL, 0))
        _exit(1);
}

/* It builds the BAD generation so slowly that the next one is offered before it has said that it failed. */
static void on_prepare(int channel, uint64_t generation)
{
    if (generation == BAD)
        return;
    if (generation == GOOD)
        say(channel, CONTROL_FAILED, BAD, SPAN_LIT("late news"));
    say(channel, CONTROL_READY, generation, SPAN_NONE);
}

int worker_run(const struct worker_env *env)
{
    static struct control_message m;
    struct pollfd channel = {.fd = env->channel, .events = POLLIN};
    for (;;) {
        if (poll(&channel, 1, 10000) < 1)
            _exit(1); /* the test has failed and left us behind */
        switch (control_receive(env->channel, &m)) {
        case CONTROL_OK:
            break;
        case CONTROL_NOTHING:
            continue;
        default:
            _exit(0);
        }
        if (m.kind == CONTROL_PREPARE)
            on_prepare(env->channel, m.generation);
        else if (m.kind == CONTROL_COMMIT)
            say(env->channel, CONTROL_SERVING, m.generation, SPAN_NONE);
        else if (m.kind == CONTROL_STOP)
            _exit(0);
    }
}

/* Listens to the workers until `n` of them are in `state`, or a round cannot succeed. */
static void wait_for(struct crew *c, enum crew_state state, size_t n)
{
    struct pollfd fds[8];
    for (int i = 0; i < 500 && crew_count(c, state) != n && !crew_trouble(c); i++) {
        (void)poll(fds, crew_poll(c, fds, 8), 10);
        crew_read(c);
        crew_tick(c);
    }
}

static void test_an_answer_for_a_round_that_is_over_does_not_spoil_the_next(void **state)
{
    struct crew_env env = {.counters = counters_create(), .clients = clients_create(), .file = "x"};
    struct generation first = {.number = FIRST}, bad = {.number = BAD}, good = {.number = GOOD};
    struct tls_ticket_keys tickets = {0};
    struct crew *c = crew_create(&env);
    (void)state;
    assert_non_null(c);
    assert_true(crew_set(c, 1, &first, &tickets));
    crew_tick(c);
    wait_for(c, CREW_SERVING, 1);
    assert_int_equal(crew_count(c, CREW_SERVING), 1);

    crew_offer(c, &bad, &tickets);
    crew_abort(c); /* another worker has failed */
    crew_offer(c, &good, &tickets);
    wait_for(c, CREW_PREPARED, 1);
    assert_null(crew_trouble(c));
    assert_int_equal(crew_count(c, CREW_PREPARED), 1);
    crew_commit(c);
    wait_for(c, CREW_SERVING, 1);
    assert_int_equal(crew_count(c, CREW_SERVING), 1);

    crew_destroy(&c);
    counters_destroy(&env.counters);
    clients_destroy(&env.clients);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_for_a_round_that_is_over_does_not_spoil_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
