/* SPDX-License-Identifier: MIT */
/* Instances and the host table: what a plugin may ask for while it is configured and while it runs. */
#include "unit/filters/script.h"

/* A plugin whose configure() is the test. */
typedef int (*configuring)(const struct postern_host *host, void *self);

struct trial {
    struct postern_node block, option;
    struct postern_filter plugin;
    struct fake fake;
    configuring configure;
    size_t released, started;
};

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    struct trial *t = (struct trial *)(uintptr_t)block;
    *filter_r = t;
    return t->configure(host, self);
}

static void release(void *filter)
{
    ((struct trial *)filter)->released++;
}
static void started(void *filter)
{
    ((struct trial *)filter)->started++;
}

static struct filter_instance *try(struct trial *t, configuring how)
{
    const struct filter_settings settings = {.name = "f", .block = &t->block};
    *t = (struct trial){.configure = how};
    t->block = (struct postern_node){.kind = POSTERN_NODE_MAP, .file = "conf", .line = 7, .column = 3};
    t->plugin = (struct postern_filter){
        .size = sizeof(t->plugin), .configure = configure, .release = release, .start = started};
    fake_begin(&t->fake);
    return filter_instance_create(&t->plugin, &settings, &t->fake.services);
}

static void try_and_succeed(configuring how)
{
    struct trial t;
    struct filter_instance *f = try(&t, how);
    assert_non_null(f);
    assert_span(buf_span(&t.fake.errors), "");
    filter_instance_start(f);
    assert_int_equal(t.started, 1);
    filter_instance_destroy(&f);
    assert_null(f);
    assert_int_equal(t.released, 1);
    filter_instance_destroy(&f);
    fake_end(&t.fake);
}

static void try_and_fail(configuring how, const char *errors, size_t released)
{
    struct trial t;
    assert_null(try(&t, how));
    assert_spans_eq(buf_span(&t.fake.errors), span_of(errors));
    assert_int_equal(t.released, released);
    fake_end(&t.fake);
}

/* ---- errors ---- */

static int agree(const struct postern_host *host, void *self)
{
    (void)host, (void)self;
    return 0;
}

static int complain(const struct postern_host *host, void *self)
{
    const struct postern_node at = {.file = "rules", .line = 12, .column = 5}, fallback = {.file = "conf"};
    host->config_error(self, &at, 4, "bad %s at %d", "thing", 9);
    host->config_error(self, &fallback, 4, "a default");
    host->config_error(self, NULL, 0, "%0*d", 3000, 1);
    host->file_error(self, "other", 3, 0, "no place");
    return -1;
}

static int complain_and_agree(const struct postern_host *host, void *self)
{
    const struct postern_node at = {.file = "rules", .line = 12, .column = 5};
    host->config_error(self, &at, 0, "bad");
    return 0;
}

static int refuse_silently(const struct postern_host *host, void *self)
{
    (void)host, (void)self;
    return -1;
}

static void errors_have_their_place(void **state)
{
    char want[2048], zeros[1024];
    (void)state;
    memset(zeros, '0', sizeof(zeros));
    zeros[sizeof(zeros) - 1] = '\0'; /* a line of 1023 characters and its end */
    (void)snprintf(want, sizeof(want),
                   "rules:12:9: bad thing at 9\nconf:7:3: a default\nconf:7:3: %s\nother:3:0: no place\n",
                   zeros);
    try_and_succeed(agree);
    try_and_fail(complain, want, 0);
    try_and_fail(complain_and_agree, "rules:12:5: bad\n", 1);
    try_and_fail(refuse_silently, "conf:7:3: the plugin refuses this configuration and does not say why\n",
                 0);
}

/* ---- what the host does while configuring ---- */

static int read_files(const struct postern_host *host, void *self)
{
    struct postern_span bytes;
    const char *name, *error;
    assert_int_equal(host->read_file(self, (struct postern_span){"known", 5}, &bytes, &name, &error), 0);
    assert_memory_equal(bytes.p, "contents", bytes.n);
    assert_string_equal(name, "/etc/known");
    assert_int_equal(host->read_file(self, (struct postern_span){"other", 5}, &bytes, &name, &error), -1);
    assert_string_equal(error, "No such file");
    assert_int_equal(host->read_file(self, (struct postern_span){"known", 5}, NULL, NULL, NULL), 0);
    return 0;
}

static int find_files(const struct postern_host *host, void *self)
{
    assert_int_equal(host->glob(self, (struct postern_span){"none", 4}), 0);
    assert_int_equal(host->glob_name(self, 0).n, 0);
    assert_int_equal(host->glob(self, (struct postern_span){"many", 4}), 40);
    struct postern_span last = host->glob_name(self, 39);
    assert_spans_eq(span_make(last.p, last.n), SPAN_LIT("/etc/39"));
    assert_null(host->glob_name(self, 40).p);
    return 0;
}

static int share_memory(const struct postern_host *host, void *self)
{
    assert_non_null(host->shared(self, "counters", 64));
    assert_null(host->shared(self, "counters", 1 << 20));
    char name[300];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_null(host->shared(self, name, 64));
    return 0;
}

static int log_and_count(const struct postern_host *host, void *self)
{
    host->log(self, POSTERN_LOG_INFO, "%d of %s", 3, "them");
    host->count(self, "seen", 2);
    assert_int_equal(host->now_us(self), 1000000);
    assert_int_equal(host->wall_us(self), 1000000001000000u);
    assert_int_equal(host->size, sizeof(*host));
    return 0;
}

static void services_while_configuring(void **state)
{
    struct trial t;
    (void)state;
    try_and_succeed(read_files);
    try_and_succeed(find_files);

    struct filter_instance *f = try(&t, share_memory);
    assert_non_null(f);
    assert_string_equal(t.fake.shared_name, "f/counters"); /* another filter's counters are not ours */
    filter_instance_destroy(&f);
    fake_end(&t.fake);

    f = try(&t, log_and_count);
    assert_non_null(f);
    assert_collected(&t.fake.log, "f: 3 of them\n");
    assert_collected(&t.fake.counts, "f.seen\nf.seen\n");
    filter_instance_destroy(&f);
    fake_end(&t.fake);
}

/* ---- in a process where no mail flows ---- */

static int want_to_run(const struct postern_host *host, void *self)
{
    const struct postern_stream_target to = {.size = sizeof(to)};
    assert_null(host->timer_start(self, 1, NULL, NULL));
    host->timer_stop(self, NULL);
    assert_null(host->stream_open(self, &to, NULL, NULL));
    assert_int_equal(host->stream_write(NULL, (struct postern_span){"x", 1}), -1);
    host->stream_close(NULL);
    return 0;
}

static void services_may_be_absent(void **state)
{
    const struct filter_settings settings = {.name = "f"};
    struct trial t = {.configure = want_to_run};
    (void)state;
    fake_begin(&t.fake);
    t.fake.services.timer_start = NULL;
    t.fake.services.timer_stop = NULL;
    t.plugin = (struct postern_filter){.size = sizeof(struct postern_filter), .configure = configure};
    struct filter_settings with_block = settings;
    with_block.block = &t.block;
    struct filter_instance *f = filter_instance_create(&t.plugin, &with_block, &t.fake.services);
    assert_non_null(f);
    filter_instance_start(f); /* neither start() nor release() is there */
    filter_instance_destroy(&f);
    fake_end(&t.fake);
}

/* ---- the transaction, as a hook sees it ---- */

#define assert_get(field, literal)                                                                           \
    do {                                                                                                     \
        struct postern_span got = host->get(tx, field);                                                      \
        assert_span(span_make(got.p, got.n), literal);                                                       \
    } while (0)

static void look_around(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                        struct postern_verdict *v)
{
    struct script *s = filter;
    const struct postern_host *host = s->host;
    (void)session, (void)ev, (void)v;
    s->calls[POSTERN_ON_DATA]++;
    assert_get(POSTERN_F_SESSION_ID, "S1");
    assert_get(POSTERN_F_LISTENER, "submission");
    assert_get(POSTERN_F_CLIENT_ADDRESS, "192.0.2.1");
    assert_get(POSTERN_F_HELO, "client.example");
    assert_get(POSTERN_F_USER, "user");
    assert_get(POSTERN_F_SENDER, "a@B.example");
    assert_get(POSTERN_F_SENDER_DOMAIN, "b.example");
    assert_get(POSTERN_F_RCPT, "c@d.example");
    assert_get(POSTERN_F_RCPT_DOMAIN, "d.example");
    assert_get(POSTERN_F_TLS, "TLSv1.3");
    assert_get((enum postern_field)99, "");
    assert_int_equal(host->client_ip(tx).n, 4);
    assert_memory_equal(host->client_ip(tx).p, "\xc0\x00\x02\x01", 4);
    assert_int_equal(host->rcpt_count(tx), 2);
    assert_memory_equal(host->rcpt(tx, 1).p, "second", host->rcpt(tx, 1).n);
    assert_null(host->rcpt(tx, 2).p);
    assert_int_equal(host->message_bytes(tx), 1234);
    host->add_score(tx, (struct postern_span){"x", 1}, 2);
    assert_true(host->score(tx) == 2);
    assert_int_not_equal(host->ticket(tx), 0); /* taken and not used */
}

static void getters(void **state)
{
    const struct span rcpts[] = {SPAN_LIT("first"), SPAN_LIT("second")};
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    b.scripts[0].plugin.hooks[POSTERN_ON_DATA] = look_around;
    b.view = (struct txview){.session_id = SPAN_LIT("S1"),
                             .listener = SPAN_LIT("submission"),
                             .client_address = SPAN_LIT("192.0.2.1"),
                             .ip = {192, 0, 2, 1},
                             .ip_n = 4,
                             .helo = SPAN_LIT("client.example"),
                             .user = SPAN_LIT("user"),
                             .tls = SPAN_LIT("TLSv1.3"),
                             .sender = SPAN_LIT("a@B.example"),
                             .sender_domain = SPAN_LIT("b.example"),
                             .rcpt = SPAN_LIT("c@d.example"),
                             .rcpt_domain = SPAN_LIT("d.example"),
                             .rcpts = rcpts,
                             .rcpt_count = 2,
                             .message_bytes = 1234};
    bench_start(&b);
    (void)ask(&b, POSTERN_ON_MAIL, "f");
    (void)ask(&b, POSTERN_ON_DATA, NULL);
    assert_int_equal(b.scripts[0].calls[POSTERN_ON_DATA], 1);
    bench_end(&b);
}

static void outside_configure_files_are_closed(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    bench_start(&b);
    const struct postern_host *host = b.scripts[0].host;
    const char *error;
    assert_int_equal(
        host->read_file(b.scripts[0].self, (struct postern_span){"known", 5}, NULL, NULL, &error), -1);
    assert_non_null(strstr(error, "while configuring"));
    assert_int_equal(host->glob(b.scripts[0].self, (struct postern_span){"many", 4}), 0);
    assert_null(host->shared(b.scripts[0].self, "x", 1));
    struct postern_timer *t = host->timer_start(b.scripts[0].self, 5, NULL, NULL);
    assert_non_null(t);
    host->timer_stop(b.scripts[0].self, t);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_their_place),
        cmocka_unit_test(services_while_configuring),
        cmocka_unit_test(services_may_be_absent),
        cmocka_unit_test(getters),
        cmocka_unit_test(outside_configure_files_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
