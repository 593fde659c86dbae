/* SPDX-License-Identifier: MIT */
/* The plugins of tests/plugins as shared objects under a chain: what crosses the ABI does what it says. The
 * daemon with the same plugins is tests/e2e/test_plugins.py. */
#include "unit/filters/fake.h"

#include "filters/loader.h"

#include <limits.h>
#include <unistd.h>

#define OPTIONS_MAX 8

struct stage { /* one plugin with its options, in one session */
    struct fake fake;
    struct postern_node block, options[OPTIONS_MAX];
    size_t options_n;
    struct filter_instance *instance;
    struct chain *chain;
    struct txview view;
    struct chain_run *run;
    size_t dones;
    unsigned done_code;
};

static void stage_number(struct stage *s, const char *name, int64_t number)
{
    assert_true(s->options_n < OPTIONS_MAX);
    s->options[s->options_n++] = (struct postern_node){
        .name = {name, strlen(name)}, .number = number, .file = "conf", .line = 3, .column = 5};
}

static void stage_text(struct stage *s, const char *name, const char *text)
{
    stage_number(s, name, 0);
    s->options[s->options_n - 1].text = (struct postern_span){text, strlen(text)};
}

static void stage_begin(struct stage *s)
{
    *s = (struct stage){.view = {.session_id = SPAN_LIT("S1")}};
    fake_begin(&s->fake);
}

static const struct postern_filter *load(const char *name)
{
    char dir[PATH_MAX + 16], own[PATH_MAX], error[512] = "";
    const char *build = getenv("POSTERN_BUILD");
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

    assert_true(n > 0);
    own[n] = '\0';
    for (int i = 0; i < 2; i++) /* started by hand: this program stands in BUILD/tests */
        *strrchr(own, '/') = '\0';
    (void)snprintf(dir, sizeof(dir), "%s/tests/plugins", build ? build : own);
    const struct postern_filter *f = loader_open(dir, span_of(name), error, sizeof(error));
    if (!f)
        fail_msg("%s: %s", name, error);
    return f;
}

static void on_done(void *ctx, const struct verdict *v)
{
    struct stage *s = ctx;
    s->dones++;
    s->done_code = v->code;
}

static bool stage_configure(struct stage *s, const char *plugin)
{
    const struct filter_settings settings = {.name = plugin, .block = &s->block, .deadline_us = 1000};

    for (size_t i = 0; i < s->options_n; i++)
        s->options[i].next = i + 1 < s->options_n ? &s->options[i + 1] : NULL;
    s->block.first = s->options_n ? s->options : NULL;
    s->instance = filter_instance_create(load(plugin), &settings, &s->fake.services);
    return s->instance != NULL;
}

static void stage_start(struct stage *s, const char *plugin)
{
    assert_true(stage_configure(s, plugin));
    s->chain = chain_create(&s->instance, 1);
    assert_non_null(s->chain);
    s->run = chain_run_create(s->chain, &s->fake.services, &s->view, 0, on_done, s);
    assert_non_null(s->run);
}

static void stage_end(struct stage *s)
{
    chain_run_destroy(&s->run);
    chain_destroy(&s->chain);
    filter_instance_destroy(&s->instance);
    fake_end(&s->fake);
}

static enum chain_result helo(struct stage *s, struct verdict *v)
{
    return chain_phase(s->run, POSTERN_ON_HELO, SPAN_LIT("client.example"), v);
}

/* ---- refuse ---- */

static const enum postern_phase phases[] = {POSTERN_ON_CONNECT, POSTERN_ON_HELO, POSTERN_ON_AUTH,
                                            POSTERN_ON_MAIL,    POSTERN_ON_RCPT, POSTERN_ON_DATA,
                                            POSTERN_ON_HEADERS, POSTERN_ON_END};

static unsigned code_in(struct stage *s, enum postern_phase phase)
{
    struct verdict v;
    enum chain_result r = phase == POSTERN_ON_HEADERS ? chain_content(s->run, SPAN_LIT("A: b\r\n\r\n"), &v)
                                                      : chain_phase(s->run, phase, SPAN_LIT("x"), &v);
    assert_int_equal(r, CHAIN_DONE);
    return v.code;
}

static void refuse_refuses_where_it_is_told_to(void **state)
{
    (void)state;
    for (size_t where = 0; where < COUNT_OF(phases); where++) {
        struct stage s;
        stage_begin(&s);
        stage_number(&s, "phase", (int64_t)where);
        stage_number(&s, "action", 2);
        stage_number(&s, "code", 554);
        stage_text(&s, "enhanced", "5.6.0");
        stage_text(&s, "text", "as told");
        stage_start(&s, "refuse");
        for (size_t i = 0; i <= where; i++)
            assert_int_equal(code_in(&s, phases[i]), i == where ? 554 : 0);
        assert_collected(&s.fake.counts, "refuse.reject\n");
        stage_end(&s);
    }
}

/* ---- old ---- */

/* Built for 1.0: its hooks are called, and nothing behind its descriptor is taken for one. */
static void old_plugins_go_on_working(void **state)
{
    struct stage s;
    (void)state;
    stage_begin(&s);
    stage_start(&s, "old");
    assert_int_equal(code_in(&s, POSTERN_ON_MAIL), 0);
    assert_int_equal(code_in(&s, POSTERN_ON_RCPT), 554);
    struct verdict v;
    assert_int_equal(chain_content(s.run,
                                   SPAN_LIT("Content-Type: multipart/mixed; boundary=b\r\n\r\n"
                                            "--b\r\nContent-Type: text/html\r\n\r\n"
                                            "<a href='http://a.example'>\r\n"),
                                   &v),
                     CHAIN_DONE);
    assert_int_equal(code_in(&s, POSTERN_ON_END), 0);
    stage_end(&s);
}

/* ---- slow, late, failing ---- */

static void slow_answers_later_or_at_once(void **state)
{
    (void)state;
    for (int64_t after = 0; after < 2; after++) {
        struct stage s;
        struct verdict v;
        stage_begin(&s);
        stage_number(&s, "phase", 1);
        stage_number(&s, "action", 3);
        stage_number(&s, "after", after * 500);
        stage_start(&s, "slow");
        assert_int_equal(helo(&s, &v), after ? CHAIN_PENDING : CHAIN_DONE);
        fake_pass(&s.fake, 500);
        assert_int_equal(s.dones, after);
        assert_int_equal(after ? s.done_code : v.code, 451);
        stage_end(&s);
    }
}

static void slow_stops_its_timer_when_cancelled(void **state)
{
    struct stage s;
    struct verdict v;
    (void)state;
    stage_begin(&s);
    stage_number(&s, "phase", 1);
    stage_number(&s, "after", 5000);
    stage_number(&s, "on_timeout", POSTERN_TIMEOUT_REJECT);
    stage_start(&s, "slow");
    assert_int_equal(helo(&s, &v), CHAIN_PENDING);
    fake_pass(&s.fake, 1000);
    assert_int_equal(s.done_code, 550);
    assert_null(s.fake.timers);
    assert_int_equal(helo(&s, &v), CHAIN_PENDING);
    stage_end(&s);
}

static void late_answers_find_nobody(void **state)
{
    struct stage s;
    struct verdict v;
    (void)state;
    stage_begin(&s);
    stage_number(&s, "phase", 1);
    stage_number(&s, "action", 2);
    stage_number(&s, "after", 5000);
    stage_start(&s, "late");
    assert_int_equal(helo(&s, &v), CHAIN_PENDING);
    fake_pass(&s.fake, 1000); /* the deadline */
    assert_int_equal(s.done_code, 451);
    assert_int_equal(helo(&s, &v), CHAIN_PENDING);
    chain_run_destroy(&s.run);
    fake_pass(&s.fake, 9000);
    assert_int_equal(s.dones, 1);
    assert_collected(&s.fake.counts, "late.timeout\nlate.answered\nlate.answered\n");
    stage_end(&s);
}

static void failing_fails_in_its_ways(void **state)
{
    static const struct {
        int64_t how;
        const char *counted, *error;
    } cases[] = {
        {0, "failing.timeout\n", NULL},
        {1, "failing.failed\n", NULL},
        {2, NULL, "conf:3:8: fails as it was told to\n"},
        {3, NULL, "-:0:0: the plugin refuses this configuration and does not say why\n"},
        {4, "failing.failed\n", NULL},
        {5, "failing.failed\n", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct stage s;
        struct verdict v;
        stage_begin(&s);
        stage_number(&s, "how", cases[i].how);
        stage_number(&s, "phase", 1);
        if (cases[i].error) {
            assert_false(stage_configure(&s, "failing"));
            assert_spans_eq(buf_span(&s.fake.errors), span_of(cases[i].error));
        } else {
            stage_start(&s, "failing");
            if (helo(&s, &v) == CHAIN_PENDING)
                fake_pass(&s.fake, 1000);
            else
                s.done_code = v.code;
            assert_int_equal(s.done_code, 451);
            assert_spans_eq(buf_span(&s.fake.counts), span_of(cases[i].counted));
        }
        stage_end(&s);
    }
}

/* ---- recorder ---- */

static void recorder_writes_every_call(void **state)
{
    char path[] = "/tmp/postern-recorder-XXXXXX", text[1024];
    struct stage s;
    struct verdict v;
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    stage_begin(&s);
    stage_text(&s, "file", path);
    stage_start(&s, "recorder");
    assert_int_equal(helo(&s, &v), CHAIN_DONE);
    (void)code_in(&s, POSTERN_ON_MAIL);
    (void)code_in(&s, POSTERN_ON_HEADERS);
    chain_run_destroy(&s.run);
    ssize_t n = read(fd, text, sizeof(text));
    assert_true(n > 0);
    assert_span(span_make(text, (size_t)n), "begin S1\nHELO S1 client.example\nMAIL S1 x\nHEADER S1 A b\n"
                                            "BODY S1 A: b\\x0d\\x0a\\x0d\\x0a\nHEADERS S1 \nABORT S1 \n"
                                            "DISCONNECT S1 \nend S1\n");
    stage_end(&s);
    (void)close(fd);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuse_refuses_where_it_is_told_to),
        cmocka_unit_test(old_plugins_go_on_working),
        cmocka_unit_test(slow_answers_later_or_at_once),
        cmocka_unit_test(slow_stops_its_timer_when_cancelled),
        cmocka_unit_test(late_answers_find_nobody),
        cmocka_unit_test(failing_fails_in_its_ways),
        cmocka_unit_test(recorder_writes_every_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
