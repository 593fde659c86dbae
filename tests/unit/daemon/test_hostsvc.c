/* SPDX-License-Identifier: MIT */
/* What filters get from the daemon, on a real loop: timers, streams in the clear and with TLS, log, counters.
 */
#include "proxy/hoststream.h"
#include "proxy/hostsvc.h"
#include "unit/daemon/files.h"
#include "unit/net/certs.h"
#include "unit/net/party.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct authority authority;
static struct file table[1]; /* the CA, filled before the first test */

struct rig {
    struct net *net;
    struct files files;
    struct counters *counters;
    struct shared_set shared;
    struct hostsvc *host;
    struct filter_services s;
};

static int make_certificates(void **state)
{
    (void)state;
    authority = authority_make();
    table[0] = (struct file){"/etc/postern/ca.pem", authority.ca.certificate_pem};
    return 0;
}

static int free_certificates(void **state)
{
    (void)state;
    authority_free(&authority);
    return 0;
}

static int rig_open(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->net = net_open();
    r->counters = counters_create();
    r->shared.may_create = true;
    files_init(&r->files, table, COUNT_OF(table));
    struct hostsvc_env env = {.loop = r->net->l,
                              .counters = r->counters,
                              .shared = &r->shared,
                              .source = &r->files.source,
                              .file = "/etc/postern/postern.yaml"};
    r->host = hostsvc_create(&env);
    assert_non_null(r->host);
    hostsvc_fill(r->host, &r->s);
    *state = r;
    return 0;
}

static int rig_close(void **state)
{
    struct rig *r = *state;
    hostsvc_destroy(&r->host);
    shared_free(&r->shared);
    counters_destroy(&r->counters);
    net_close(r->net); /* also counts descriptors */
    free(r);
    return 0;
}

/* ---- timers ---- */

struct ticks {
    struct rig *r;
    unsigned fired;
    struct postern_timer *again;
};

static void tick(void *arg)
{
    struct ticks *t = arg;
    t->fired++;
}

static void tick_again(void *arg)
{
    struct ticks *t = arg;
    if (++t->fired < 3)
        t->again = t->r->s.timer_start(t->r->s.ctx, 1000, tick_again, t);
}

static void test_a_timer_fires_once(void **state)
{
    struct rig *r = *state;
    struct ticks t = {.r = r};
    assert_non_null(r->s.timer_start(r->s.ctx, 1000, tick, &t));
    assert_int_equal(t.fired, 0);
    TURN_FOR_MS(r->net, 30);
    assert_int_equal(t.fired, 1);
}

static void test_a_timer_that_starts_the_next(void **state)
{
    struct rig *r = *state;
    struct ticks t = {.r = r};
    assert_non_null(r->s.timer_start(r->s.ctx, 1000, tick_again, &t));
    TURN_UNTIL(r->net, t.fired == 3);
}

static void test_stopped_timers_do_not_fire(void **state)
{
    struct rig *r = *state;
    struct ticks t = {.r = r};
    struct postern_timer *timers[3];
    for (size_t i = 0; i < COUNT_OF(timers); i++)
        timers[i] = r->s.timer_start(r->s.ctx, 1000, tick, &t);
    r->s.timer_stop(r->s.ctx, timers[1]);
    r->s.timer_stop(r->s.ctx, timers[0]);
    TURN_FOR_MS(r->net, 30);
    assert_int_equal(t.fired, 1);
}

static void test_what_filters_leave_behind_ends(void **state)
{
    struct rig *r = *state;
    struct ticks t = {.r = r};
    assert_non_null(r->s.timer_start(r->s.ctx, 1000, tick, &t));
    assert_non_null(r->s.timer_start(r->s.ctx, 2000, tick, &t));
    hostsvc_destroy(&r->host);
    TURN_FOR_MS(r->net, 20);
    assert_int_equal(t.fired, 0);
}

/* ---- targets ---- */

static void test_targets(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {
        {"127.0.0.1:6379", "127.0.0.1", 6379},     {"[::1]:6379", "::1", 6379},
        {"redis.example:1", "redis.example", 1},   {"h:65535", "h", 65535},
        {"/run/redis.sock", "/run/redis.sock", 0},
    };
    static const char *const bad[] = {"",           ":1",     "host",    "host:",   "host:0",
                                      "host:65536", "host:x", "[::1]",   "[::1]6",  "[]:1",
                                      "[::1:1",     "::1:1",  "host:1 ", "host:-1", "host:+1"};
    struct hoststream_target t;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_true(hoststream_parse(span_of(good[i].text), &t));
        assert_string_equal(t.host, good[i].host);
        assert_int_equal(t.port, good[i].port);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(hoststream_parse(span_of(bad[i]), &t));
    assert_false(hoststream_parse(span_make("/a\0b", 4), &t));
    char longest[300];
    memset(longest, 'h', sizeof longest);
    memcpy(longest + sizeof longest - 3, ":25", 3);
    assert_false(hoststream_parse(span_make(longest, sizeof longest), &t));
}

/* ---- streams ---- */

struct peer { /* a filter's side */
    struct rig *r;
    struct postern_stream *s;
    unsigned connected, closed;
    struct buf got;
    char why[300];
    bool close_in_data, close_in_closed;
    struct postern_span greeting; /* written when connected */
};

static void peer_connected(void *arg, struct postern_stream *s)
{
    struct peer *p = arg;
    assert_ptr_equal(s, p->s);
    p->connected++;
    if (p->greeting.n)
        assert_int_equal(p->r->s.stream_write(s, p->greeting), 0);
}

static void peer_data(void *arg, struct postern_stream *s, struct postern_span bytes)
{
    struct peer *p = arg;
    assert_true(buf_append(&p->got, span_make(bytes.p, bytes.n)));
    if (p->close_in_data)
        p->r->s.stream_close(s);
}

static void peer_closed(void *arg, struct postern_stream *s, const char *why)
{
    struct peer *p = arg;
    p->closed++;
    (void)snprintf(p->why, sizeof p->why, "%s", why);
    if (p->close_in_closed)
        p->r->s.stream_close(s); /* a mistake that does no harm */
}

static const struct postern_stream_events peer_events = {
    .size = sizeof peer_events, .connected = peer_connected, .data = peer_data, .closed = peer_closed};

static void open_text(struct peer *p, const char *server, struct postern_stream_target target)
{
    target.size = sizeof target;
    target.server = (struct postern_span){server, strlen(server)};
    if (!target.connect_us)
        target.connect_us = 2000000;
    p->s = p->r->s.stream_open(p->r->s.ctx, &target, &peer_events, p);
    assert_non_null(p->s);
    assert_int_equal(p->connected + p->closed, 0); /* no call from inside */
}

static void open_own(struct peer *p, struct postern_stream_target target)
{
    char server[32];
    (void)snprintf(server, sizeof server, "127.0.0.1:%u", p->r->net->port);
    open_text(p, server, target);
}

static bool has(const struct buf *b, const char *text)
{
    struct span got = buf_span(b);
    return got.p && span_eq(got, span_of(text));
}

static void test_bytes_both_ways(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r, .greeting = {"PING\r\n", 6}};
    open_own(&p, (struct postern_stream_target){0});
    TURN_UNTIL(r->net, has(&r->net->server.got, "PING\r\n"));
    assert_int_equal(p.connected, 1);
    say(&r->net->server, "+PONG\r\n");
    TURN_UNTIL(r->net, has(&p.got, "+PONG\r\n"));
    r->s.stream_close(p.s);
    TURN_UNTIL(r->net, r->net->server.told[CONN_EOF] || r->net->server.told[CONN_CLOSED]);
    assert_int_equal(p.closed, 0);
    buf_free(&p.got);
}

static void test_the_other_side_closes(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r, .close_in_closed = true};
    open_own(&p, (struct postern_stream_target){0});
    TURN_UNTIL(r->net, p.connected && r->net->server.c);
    conn_close(&r->net->server.c, CONN_END_NOW);
    TURN_UNTIL(r->net, p.closed);
    assert_int_equal(p.closed, 1);
    assert_true(p.why[0] != '\0');
}

static void test_closing_inside_data(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r, .close_in_data = true};
    open_own(&p, (struct postern_stream_target){0});
    TURN_UNTIL(r->net, p.connected && r->net->server.c);
    say(&r->net->server, "enough");
    TURN_UNTIL(r->net, has(&p.got, "enough"));
    TURN_FOR_MS(r->net, 10);
    assert_int_equal(p.closed, 0);
    buf_free(&p.got);
}

static void test_nobody_listens(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r};
    char error[100];
    int fd = listener_bind("127.0.0.1", 0, error, sizeof error);
    char server[32];
    (void)snprintf(server, sizeof server, "127.0.0.1:%u", port_of(fd));
    (void)close(fd);
    open_text(&p, server, (struct postern_stream_target){0});
    TURN_UNTIL(r->net, p.closed);
    assert_int_equal(p.connected, 0);
}

static void test_a_wrong_target_is_told_from_the_loop(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r};
    open_text(&p, "no port", (struct postern_stream_target){0});
    TURN_UNTIL(r->net, p.closed);
    assert_non_null(strstr(p.why, "no port"));
    p.closed = 0;
    open_text(&p, "no port", (struct postern_stream_target){0});
    r->s.stream_close(p.s); /* before it was told: then it is not */
    TURN_FOR_MS(r->net, 10);
    assert_int_equal(p.closed, 0);
}

static void test_writing_is_bounded(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r};
    static char block[64 * 1024];
    size_t taken = 0;
    open_own(&p, (struct postern_stream_target){0});
    assert_int_equal(r->s.stream_write(p.s, (struct postern_span){"early", 5}), -1);
    r->net->server.reads_nothing = true;
    TURN_UNTIL(r->net, p.connected);
    while (taken < 1000 && r->s.stream_write(p.s, (struct postern_span){block, sizeof block}) == 0)
        taken++;
    assert_in_range(taken, 1, 999); /* what the kernel holds is not counted */
    assert_int_equal(p.closed, 0);
}

static void test_a_unix_socket(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/postern-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/s", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 1), 0);
    open_text(&p, a.sun_path, (struct postern_stream_target){0});
    TURN_UNTIL(r->net, p.connected);
    r->s.stream_close(p.s);
    TURN_FOR_MS(r->net, 5);
    (void)close(fd);
    assert_int_equal(unlink(a.sun_path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* ---- streams with TLS ---- */

static struct postern_span span_for(const char *text)
{
    return (struct postern_span){text, strlen(text)};
}

/* Waits for the client to arrive and starts the server's side. */
static void serve_tls(struct rig *r)
{
    struct tls_server *t = server_of(&authority.good);
    TURN_UNTIL(r->net, r->net->server.c);
    assert_true(conn_tls_accept(r->net->server.c, t, 2000000));
    tls_server_unref(&t);
}

static void test_tls_with_the_right_name(void **state)
{
    struct rig *r = *state;
    for (int round = 0; round < 2; round++) { /* the second one finds the context of the first */
        struct peer p = {.r = r, .greeting = {"PING", 4}};
        open_own(&p, (struct postern_stream_target){
                         .tls = 1, .tls_name = span_for("mail.example.org"), .tls_ca = span_for("ca.pem")});
        serve_tls(r);
        TURN_UNTIL(r->net, p.connected && has(&r->net->server.got, "PING"));
        say(&r->net->server, "secret");
        TURN_UNTIL(r->net, has(&p.got, "secret"));
        r->s.stream_close(p.s);
        conn_close(&r->net->server.c, CONN_END_NOW);
        party_forget(&r->net->server);
        buf_free(&p.got);
    }
    assert_int_equal(r->files.reads, 1);
}

static void test_tls_with_a_wrong_name(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r};
    open_own(&p, (struct postern_stream_target){
                     .tls = 1, .tls_name = span_for("other.example.org"), .tls_ca = span_for("ca.pem")});
    serve_tls(r);
    TURN_UNTIL(r->net, p.closed);
    assert_int_equal(p.connected, 0);
}

static void test_tls_without_verification(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r};
    open_own(&p, (struct postern_stream_target){.tls = 1});
    serve_tls(r);
    TURN_UNTIL(r->net, p.connected);
    r->s.stream_close(p.s);
}

static void test_a_ca_that_is_not_there(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r};
    open_own(&p, (struct postern_stream_target){
                     .tls = 1, .tls_name = span_for("x"), .tls_ca = span_for("none.pem")});
    TURN_UNTIL(r->net, p.closed);
    assert_non_null(strstr(p.why, "none.pem"));
    assert_null(r->net->server.c);
}

static void test_one_deadline_for_all_of_it(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r};
    open_own(&p, (struct postern_stream_target){.tls = 1, .connect_us = 50000});
    TURN_UNTIL(r->net, p.closed); /* the server never begins its side of TLS */
    assert_int_equal(p.connected, 0);
}

static void test_streams_left_behind_end_without_a_call(void **state)
{
    struct rig *r = *state;
    struct peer p = {.r = r}, hopeless = {.r = r};
    open_own(&p, (struct postern_stream_target){0});
    TURN_UNTIL(r->net, p.connected);
    open_text(&hopeless, "no port", (struct postern_stream_target){0});
    hostsvc_destroy(&r->host);
    TURN_FOR_MS(r->net, 10);
    assert_int_equal(p.closed + hopeless.closed, 0);
}

/* ---- the rest ---- */

static void test_counters_and_memory(void **state)
{
    struct rig *r = *state;
    r->s.count(r->s.ctx, "limits", "refused", 2);
    r->s.count(r->s.ctx, "limits", "refused", 1);
    assert_int_equal(counters_value(r->counters, "filter.limits.refused"), 3);
    char *a = r->s.shared(r->s.ctx, "limits/keys", 4096);
    assert_non_null(a);
    assert_ptr_equal(r->s.shared(r->s.ctx, "limits/keys", 4096), a);
    assert_true(r->s.wall_us(r->s.ctx) > UINT64_C(1500000000000000));
    assert_true(r->s.now_us(r->s.ctx) > 0);
}

static void test_a_check_has_no_timers_and_no_streams(void **state)
{
    struct hostsvc_env env = {0};
    struct hostsvc *h = hostsvc_create(&env);
    struct filter_services s;
    (void)state;
    assert_non_null(h);
    hostsvc_fill(h, &s);
    assert_null(s.timer_start);
    assert_null(s.stream_open);
    assert_null(s.shared(s.ctx, "m", 4096));
    s.count(s.ctx, "f", "c", 1);
    s.log(s.ctx, POSTERN_LOG_ERROR, "f", "nobody listens");
    assert_true(s.now_us(s.ctx) > 0);
    hostsvc_destroy(&h);
}

static void test_log_lines(void **state)
{
    char path[64], text[1024] = "";
    int fd = memfd_create("log", 0);
    (void)state;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct log *l = log_open(span_of(path), LOG_LOGFMT, LOG_AT_INFO);
    struct hostsvc_env env = {.log = l};
    struct hostsvc *h = hostsvc_create(&env);
    struct filter_services s;
    hostsvc_fill(h, &s);
    s.log(s.ctx, POSTERN_LOG_WARN, "limits", "store lost\nforged=yes");
    s.log(s.ctx, POSTERN_LOG_DEBUG, "limits", "too much");
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    assert_non_null(
        strstr(text, "level=warn event=filter filter=limits msg=\"store lost\\x0aforged=yes\"\n"));
    assert_null(strstr(text, "too much"));
    hostsvc_destroy(&h);
    log_close(&l);
    (void)close(fd);
}

#define ON_A_LOOP(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_LOOP(test_a_timer_fires_once),
        ON_A_LOOP(test_a_timer_that_starts_the_next),
        ON_A_LOOP(test_stopped_timers_do_not_fire),
        ON_A_LOOP(test_what_filters_leave_behind_ends),
        cmocka_unit_test(test_targets),
        ON_A_LOOP(test_bytes_both_ways),
        ON_A_LOOP(test_the_other_side_closes),
        ON_A_LOOP(test_closing_inside_data),
        ON_A_LOOP(test_nobody_listens),
        ON_A_LOOP(test_a_wrong_target_is_told_from_the_loop),
        ON_A_LOOP(test_writing_is_bounded),
        ON_A_LOOP(test_a_unix_socket),
        ON_A_LOOP(test_tls_with_the_right_name),
        ON_A_LOOP(test_tls_with_a_wrong_name),
        ON_A_LOOP(test_tls_without_verification),
        ON_A_LOOP(test_a_ca_that_is_not_there),
        ON_A_LOOP(test_one_deadline_for_all_of_it),
        ON_A_LOOP(test_streams_left_behind_end_without_a_call),
        ON_A_LOOP(test_counters_and_memory),
        cmocka_unit_test(test_a_check_has_no_timers_and_no_streams),
        cmocka_unit_test(test_log_lines),
    };
    return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
