/* SPDX-License-Identifier: MIT */
/* The client for Redis against a stream whose other end the test plays: setup, pipeline, scripts, deadlines,
 * errors of all kinds, and coming back. */
#include "fake_host.h"

#include "redis.h"

enum { CALLS = 8, DEADLINE = 50000 };

struct spied {
    struct redis_call call;
    struct redis_item item;
    unsigned events[REDIS_LOST + 1];
    long long numbers[8];
    size_t n;
    int sense; /* what `done` returns */
    struct rig *rig;
    struct spied *then; /* called from within done */
};

struct rig {
    struct fake *fake;
    struct redis *redis;
    struct redis_settings settings;
    struct spied spied[CALLS];
};

static int done(struct redis_call *call, enum redis_event event, const long long *numbers, size_t n)
{
    struct spied *s = (struct spied *)(void *)call;
    s->events[event]++;
    s->n = n;
    for (size_t i = 0; i < n && i < 8; i++)
        s->numbers[i] = numbers[i];
    if (s->then)
        (void)!redis_call(s->rig->redis, &s->then->call);
    return s->sense;
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->fake = fake_create();
    r->settings = (struct redis_settings){
        .target = {.size = sizeof(r->settings.target),
                   .server = SPAN("127.0.0.1:6379"),
                   .connect_us = SECOND},
        .deadline_us = DEADLINE,
        .max_calls = CALLS - 1,
    };
    for (size_t i = 0; i < CALLS; i++) {
        struct spied *s = &r->spied[i];
        s->rig = r;
        s->call = (struct redis_call){.done = done, .script = REDIS_CHARGE, .n = 1, .items = &s->item};
        s->item =
            (struct redis_item){.prefix = SPAN("p:l:1/1:1:"), .text = SPAN("ann@x"), .args = {1024, 512, 7}};
    }
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    redis_destroy(&r->redis);
    assert_null(r->redis);
    fake_destroy(r->fake);
    free(r);
    return 0;
}

static void start(struct rig *r)
{
    r->redis = redis_create(&r->fake->host, r->fake, &r->settings);
    assert_non_null(r->redis);
    redis_start(r->redis);
}

static void start_ready(struct rig *r)
{
    start(r);
    fake_connected(r->fake);
    fake_reply(r->fake, "+PONG\r\n");
    fake_sent_clear(r->fake);
}

static int call(struct rig *r, size_t i)
{
    return redis_call(r->redis, &r->spied[i].call);
}

static void assert_events(const struct rig *r, size_t i, unsigned overdue, unsigned replied, unsigned failed,
                          unsigned lost)
{
    const unsigned *e = r->spied[i].events;
    assert_int_equal(e[REDIS_OVERDUE], overdue);
    assert_int_equal(e[REDIS_REPLIED], replied);
    assert_int_equal(e[REDIS_FAILED], failed);
    assert_int_equal(e[REDIS_LOST], lost);
}

static void assert_down(struct rig *r)
{
    assert_false(r->fake->stream.open);
    assert_int_equal(call(r, CALLS - 1), -1);
}

/* ---- setup ---- */

static void plain_setup(void **state)
{
    struct rig *r = *state;
    start(r);
    assert_string_equal(r->fake->stream.server, "127.0.0.1:6379");
    assert_int_equal(call(r, 0), -1);
    fake_connected(r->fake);
    assert_string_equal(r->fake->sent, "*1\r\n$4\r\nPING\r\n");
    assert_int_equal(call(r, 0), -1); /* not before it has answered */
    fake_reply(r->fake, "+PO");
    fake_reply(r->fake, "NG\r\n");
    assert_int_equal(call(r, 0), 0);
    assert_int_equal(r->fake->log_lines, 1);
    assert_non_null(strstr(r->fake->log, "redis 127.0.0.1:6379: it answers"));
}

static void full_setup(void **state)
{
    struct rig *r = *state;
    r->settings.user = SPAN("postern");
    r->settings.password = SPAN("se\r\ncret");
    r->settings.database = 3;
    start(r);
    fake_connected(r->fake);
    assert_string_equal(r->fake->sent, "*3\r\n$4\r\nAUTH\r\n$7\r\npostern\r\n$8\r\nse\r\ncret\r\n"
                                       "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n");
    fake_reply(r->fake, "+OK\r\n+OK\r\n");
    assert_int_equal(call(r, 0), -1);
    fake_reply(r->fake, "+PONG\r\n");
    assert_int_equal(call(r, 0), 0);
}

static void setup_refused(void **state)
{
    static const char *const replies[] = {
        "-WRONGPASS invalid username-password pair\r\n",
        "-NOAUTH Authentication required.\r\n",
        "-LOADING Redis is loading\r\n",
        "-ERR unknown command `AUTH`, with args beginning with: `secret`\r\n",
        ":1\r\n",
        "$-1\r\n",
        "*0\r\n",
        "HTTP/1.1 400 Bad Request\r\n"};
    struct rig *r = *state;
    r->settings.password = SPAN("secret");
    start(r);
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        fake_connected(r->fake);
        fake_reply(r->fake, replies[i]);
        assert_down(r);
        fake_advance(r->fake, 6 * SECOND);
    }
    assert_non_null(strstr(r->fake->log, "redis 127.0.0.1:6379: WRONGPASS: a setting must change"));
    assert_null(strstr(r->fake->log, "secret")); /* PV-04, RD-14 */
}

static void setup_never_answered(void **state)
{
    struct rig *r = *state;
    start(r);
    fake_connected(r->fake);
    fake_advance(r->fake, SECOND);
    assert_down(r);
}

/* ---- calls ---- */

static void one_call(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    assert_int_equal(call(r, 0), 0);
    assert_int_equal(fake_sent_times(r->fake, "*7\r\n$7\r\nEVALSHA\r\n$40\r\n"), 1);
    assert_int_equal(
        fake_sent_times(r->fake,
                        "$1\r\n1\r\n$15\r\np:l:1/1:1:ann@x\r\n$4\r\n1024\r\n$3\r\n512\r\n$1\r\n7\r\n"),
        1);
    static const char reply[] = "*3\r\n:1\r\n:1000000\r\n:0\r\n";
    for (size_t i = 0; i < sizeof(reply) - 1; i++) { /* byte by byte */
        assert_events(r, 0, 0, 0, 0, 0);
        fake_feed(r->fake, reply + i, 1);
    }
    assert_events(r, 0, 0, 1, 0, 0);
    assert_int_equal(r->spied[0].n, 3);
    assert_int_equal(r->spied[0].numbers[1], 1000000);
}

static void pipeline(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    for (size_t i = 0; i < CALLS - 1; i++)
        assert_int_equal(call(r, i), 0);
    assert_int_equal(call(r, CALLS - 1), -1); /* as many as may be in flight */
    fake_reply(r->fake, "*1\r\n:10\r\n*1\r\n:11\r\n-OOM full\r\n*1\r\n:13\r\n*1\r\n:1");
    assert_int_equal(r->spied[0].numbers[0], 10);
    assert_int_equal(r->spied[1].numbers[0], 11);
    assert_events(r, 2, 0, 0, 1, 0);
    assert_int_equal(r->spied[3].numbers[0], 13);
    assert_events(r, 4, 0, 0, 0, 0);
    assert_int_equal(call(r, CALLS - 1), 0);
    fake_reply(r->fake, "4\r\n*1\r\n:15\r\n*1\r\n:16\r\n*1\r\n:17\r\n");
    for (size_t i = 0; i < CALLS; i++)
        if (i != 2)
            assert_int_equal(r->spied[i].numbers[0], 10 + (long long)i);
}

static void unwritable(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    r->fake->refuse_writes = true;
    assert_int_equal(call(r, 0), -1);
    r->fake->refuse_writes = false;
    assert_int_equal(call(r, 1), 0);
    fake_reply(r->fake, "*1\r\n:1\r\n");
    assert_events(r, 0, 0, 0, 0, 0);
    assert_events(r, 1, 0, 1, 0, 0);
}

static void keys_that_do_not_fit(void **state)
{
    static char text[REDIS_KEY_MAX];
    struct rig *r = *state;
    start_ready(r);
    r->spied[0].item.text = (struct postern_span){text, sizeof(text)};
    assert_int_equal(call(r, 0), -1);
    r->spied[0].call.n = 0;
    assert_int_equal(call(r, 0), -1);
    assert_int_equal(r->fake->sent_n, 0);
}

static void call_from_within_done(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    r->spied[0].then = &r->spied[1];
    assert_int_equal(call(r, 0), 0);
    fake_reply(r->fake, "*1\r\n:1\r\n");
    fake_reply(r->fake, "*1\r\n:2\r\n");
    assert_events(r, 0, 0, 1, 0, 0);
    assert_events(r, 1, 0, 1, 0, 0);
}

/* ---- RD-03: scripts ---- */

static void no_script(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(call(r, i), 0);
    assert_int_equal(fake_sent_times(r->fake, "EVALSHA"), 3);
    fake_sent_clear(r->fake);
    fake_reply(r->fake, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
    fake_reply(r->fake, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
    fake_reply(r->fake, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
    assert_int_equal(fake_sent_times(r->fake, "\r\nEVAL\r\n"), 1); /* the text travels once */
    assert_int_equal(fake_sent_times(r->fake, "EVALSHA"), 2);
    fake_reply(r->fake, "*1\r\n:1\r\n*1\r\n:2\r\n*1\r\n:3\r\n");
    for (size_t i = 0; i < 3; i++) {
        assert_events(r, i, 0, 1, 0, 0);
        assert_int_equal(r->spied[i].numbers[0], i + 1);
    }
    fake_sent_clear(r->fake);
    assert_int_equal(call(r, 3), 0);
    assert_int_equal(fake_sent_times(r->fake, "EVALSHA"), 1);
}

static void never_any_script(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    assert_int_equal(call(r, 0), 0);
    for (int i = 0; i < 3; i++)
        fake_reply(r->fake, "-NOSCRIPT\r\n");
    assert_events(r, 0, 0, 0, 1, 0);
    assert_true(r->fake->stream.open);
}

/* ---- RD-04: errors ---- */

static void errors(void **state)
{
    static const struct {
        const char *reply;
        bool reconnects;
    } cases[] = {
        {"-READONLY replica\r\n", true},  {"-LOADING\r\n", true},        {"-MASTERDOWN x\r\n", true},
        {"-BUSY x\r\n", false},           {"-OOM x\r\n", false},         {"-MISCONF x\r\n", false},
        {"-NOAUTH x\r\n", false},         {"-NOPERM x\r\n", false},      {"-EXECABORT x\r\n", false},
        {"-TRYAGAIN x\r\n", false},       {"-CLUSTERDOWN x\r\n", false}, {"-MOVED 0 evil:25\r\n", false},
        {"-ASK 1 10.0.0.1:1\r\n", false}, {"-ERR wrong\r\n", false},
    };
    struct rig *r = *state;
    start_ready(r);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(r->spied[0].events, 0, sizeof(r->spied[0].events));
        assert_int_equal(call(r, 0), 0);
        fake_reply(r->fake, cases[i].reply);
        assert_events(r, 0, 0, 0, 1, 0);
        assert_int_equal(r->fake->stream.open, !cases[i].reconnects);
        if (!r->fake->stream.open) {
            fake_advance(r->fake, 6 * SECOND);
            fake_connected(r->fake);
            fake_reply(r->fake, "+PONG\r\n");
        }
        assert_string_equal(r->fake->stream.server, "127.0.0.1:6379"); /* RD-05: never elsewhere */
    }
    assert_int_equal(fake_counter(r->fake, "store_error"), sizeof(cases) / sizeof(cases[0]));
}

static void each_change_is_logged_once(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    size_t lines = r->fake->log_lines;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(call(r, 0), 0);
        fake_reply(r->fake, "-OOM x\r\n");
    }
    assert_int_equal(r->fake->log_lines, lines + 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(call(r, 0), 0);
        fake_reply(r->fake, "*1\r\n:1\r\n");
    }
    assert_int_equal(r->fake->log_lines, lines + 2);
    assert_int_equal(fake_counter(r->fake, "store_down"), 1);
    assert_int_equal(fake_counter(r->fake, "store_up"), 2);
    /* a server that is reached and refuses each time is down all the while */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(call(r, 0), 0);
        fake_reply(r->fake, "-READONLY x\r\n");
        fake_advance(r->fake, 6 * SECOND);
        fake_connected(r->fake);
        fake_reply(r->fake, "+PONG\r\n");
    }
    assert_int_equal(r->fake->log_lines, lines + 3);
}

/* ---- RD-06, RD-07: replies that cannot be ---- */

static void hostile_replies(void **state)
{
    static const char *const replies[] = {
        "HTTP/1.1 400 Bad Request\r\n",
        "$536870912\r\n",
        "*2147483648\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        "%1\r\n+a\r\n:1\r\n",
        ">1\r\n:1\r\n",
        ":1\r\n",
        "+OK\r\n",
        "$-1\r\n",
        "$0\r\n\r\n",
        "$2\r\nab\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*1\r\n+OK\r\n",
        "*2\r\n:1\r\n$-1\r\n",
        "*1\r\n:9223372036854775808\r\n",
        "*1\r\n-ERR\r\n",
    };
    struct rig *r = *state;
    start_ready(r);
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        for (size_t j = 0; j < 2; j++) {
            memset(r->spied[j].events, 0, sizeof(r->spied[j].events));
            r->spied[j].call = (struct redis_call){.done = done, .n = 1, .items = &r->spied[j].item};
            assert_int_equal(call(r, j), 0);
        }
        fake_reply(r->fake, replies[i]);
        assert_down(r);
        assert_int_equal(r->spied[0].events[REDIS_LOST] + r->spied[0].events[REDIS_FAILED], 1);
        assert_int_equal(r->spied[0].events[REDIS_REPLIED], 0);
        assert_events(r, 1, 0, 0, 0, 1);
        fake_advance(r->fake, 6 * SECOND);
        fake_connected(r->fake);
        fake_reply(r->fake, "+PONG\r\n");
    }
}

static void senseless_numbers(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    r->spied[0].sense = -1;
    assert_int_equal(call(r, 0), 0);
    assert_int_equal(call(r, 1), 0);
    fake_reply(r->fake, "*1\r\n:77\r\n*1\r\n:1\r\n");
    assert_events(r, 0, 0, 1, 0, 0);
    assert_events(r, 1, 0, 0, 0, 1);
    assert_down(r);
}

static void unasked_reply(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    assert_int_equal(call(r, 0), 0);
    fake_reply(r->fake, "*1\r\n:1\r\n*1\r\n:2\r\n");
    assert_events(r, 0, 0, 1, 0, 0);
    assert_down(r);
}

/* ---- deadlines ---- */

static void overdue(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    assert_int_equal(call(r, 0), 0);
    fake_advance(r->fake, DEADLINE / 2);
    assert_int_equal(call(r, 1), 0);
    fake_advance(r->fake, DEADLINE / 2 - 1);
    assert_events(r, 0, 0, 0, 0, 0);
    fake_advance(r->fake, 1);
    assert_events(r, 0, 1, 0, 0, 0);
    assert_events(r, 1, 0, 0, 0, 0);
    assert_int_equal(call(r, 2), -1); /* nobody else waits for what does not answer */
    fake_advance(r->fake, DEADLINE / 2);
    assert_events(r, 1, 1, 0, 0, 0);
    fake_reply(r->fake, "*1\r\n:1\r\n");
    assert_events(r, 0, 1, 1, 0, 0);
    fake_reply(r->fake, "*1\r\n:2\r\n");
    assert_events(r, 1, 1, 1, 0, 0);
    assert_int_equal(call(r, 2), 0); /* it answers again */
    fake_reply(r->fake, "*1\r\n:3\r\n");
    assert_non_null(strstr(r->fake->log, "too slow"));
    assert_int_equal(r->fake->log_lines, 3);
}

static void stalled(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    assert_int_equal(call(r, 0), 0);
    fake_advance(r->fake, DEADLINE + SECOND - 1);
    assert_true(r->fake->stream.open);
    fake_advance(r->fake, 1);
    assert_events(r, 0, 1, 0, 0, 1);
    assert_down(r);
}

static void overdue_without_script(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    assert_int_equal(call(r, 0), 0);
    fake_advance(r->fake, DEADLINE);
    fake_sent_clear(r->fake);
    fake_reply(r->fake, "-NOSCRIPT x\r\n"); /* not sent again: nobody waits */
    assert_events(r, 0, 1, 0, 1, 0);
    assert_int_equal(r->fake->sent_n, 0);
}

/* ---- RD-02: connections come and go ---- */

static void lost(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(call(r, i), 0);
    fake_reply(r->fake, "*1\r\n:1\r\n*1\r");
    r->spied[1].then = &r->spied[4]; /* tries again from within: refused at once */
    fake_closed(r->fake, "connection reset");
    assert_events(r, 0, 0, 1, 0, 0);
    assert_events(r, 1, 0, 0, 0, 1);
    assert_events(r, 2, 0, 0, 0, 1);
    assert_events(r, 4, 0, 0, 0, 0);
    assert_down(r);
    fake_advance(r->fake, 100000);
    fake_connected(r->fake);
    fake_reply(r->fake, "+PONG\r\n"); /* nothing of the old connection is left */
    assert_int_equal(call(r, 5), 0);
    fake_reply(r->fake, "*1\r\n:6\r\n");
    assert_events(r, 5, 0, 1, 0, 0);
}

static void backs_off(void **state)
{
    struct rig *r = *state;
    uint64_t began, waits[12];
    start(r);
    for (size_t i = 0; i < 12; i++) {
        fake_closed(r->fake, "refused");
        began = r->fake->now;
        unsigned before = r->fake->streams;
        while (r->fake->streams == before)
            fake_advance(r->fake, 1000);
        waits[i] = r->fake->now - began;
        uint64_t full = 100000u << (i < 6 ? i : 6);
        if (full > 5 * SECOND)
            full = 5 * SECOND;
        assert_in_range(waits[i], full / 2, full + 1000);
    }
    assert_int_equal(r->fake->log_lines, 1); /* down is told once */
    fake_connected(r->fake);
    fake_reply(r->fake, "+PONG\r\n");
    fake_advance(r->fake, 2 * SECOND); /* steady: the next attempt comes soon again */
    fake_closed(r->fake, "gone");
    fake_advance(r->fake, 100000);
    assert_true(r->fake->stream.open);
    assert_int_equal(r->fake->log_lines, 3);
}

static void destroyed_with_calls(void **state)
{
    struct rig *r = *state;
    start_ready(r);
    assert_int_equal(call(r, 0), 0);
    r->spied[0].then = &r->spied[1];
    redis_destroy(&r->redis);
    assert_events(r, 0, 0, 0, 0, 1);
    assert_events(r, 1, 0, 0, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_setup),     TEST(full_setup),
        TEST(setup_refused),   TEST(setup_never_answered),
        TEST(one_call),        TEST(pipeline),
        TEST(unwritable),      TEST(keys_that_do_not_fit),
        TEST(no_script),       TEST(call_from_within_done),
        TEST(errors),          TEST(never_any_script),
        TEST(hostile_replies), TEST(each_change_is_logged_once),
        TEST(unasked_reply),   TEST(senseless_numbers),
        TEST(overdue),         TEST(overdue_without_script),
        TEST(stalled),         TEST(lost),
        TEST(backs_off),       TEST(destroyed_with_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
