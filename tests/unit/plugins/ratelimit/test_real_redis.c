/* SPDX-License-Identifier: MIT */
/* The filter and its scripts on a real redis-server, which the test starts on a free port and ends. Skipped
 * where there is none. The host's streams are sockets here, driven by pump(). */
#include "fake_host.h"

#include "gcra.h"
#include "script.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HOSTS = 2, PATIENCE_MS = 5000 };

struct server {
    pid_t pid; /* 0: not running */
    int port;
    char dir[64], address[32];
};

struct rig {
    struct server server;
    struct fake *hosts[HOSTS]; /* two proxies; each has its own everything but Redis */
    void *filters[HOSTS];
    uint64_t boot;
};

/* ---- the server ---- */

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int dial(int port)
{
    struct sockaddr_in to = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    return fd;
}

static int free_port(void)
{
    struct sockaddr_in at = loopback(0);
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 &&
                getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    close(fd);
    return ntohs(at.sin_port);
}

static void server_start(struct server *s)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%d", s->port);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stdout))
            _exit(1);
        execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir",
               s->dir, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < PATIENCE_MS / 10; i++) {
        int fd = dial(s->port);
        if (fd >= 0) {
            close(fd);
            return;
        }
        usleep(10000);
    }
    fail_msg("redis-server did not start");
}

static void server_stop(struct server *s)
{
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    s->pid = 0;
}

/* One inline command on a connection of its own; its reply, as sent. */
static const char *ask(const struct rig *r, const char *command)
{
    static char reply[1 << 18];
    struct pollfd p = {.fd = dial(r->server.port), .events = POLLIN};
    size_t n = 0;
    assert_true(p.fd >= 0);
    assert_int_equal(write(p.fd, command, strlen(command)), (ssize_t)strlen(command));
    assert_int_equal(write(p.fd, "\r\n", 2), 2);
    while (poll(&p, 1, n ? 30 : 2000) == 1) {
        ssize_t got = read(p.fd, reply + n, sizeof(reply) - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    close(p.fd);
    reply[n] = '\0';
    return reply;
}

/* ---- streams with sockets behind them ---- */

static uint64_t clock_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec / 1000;
}

static struct postern_stream *live_open(void *self, const struct postern_stream_target *to,
                                        const struct postern_stream_events *events, void *arg)
{
    struct postern_stream *s = fake_stream_open(self, to, events, arg);
    const char *colon = strrchr(s->server, ':');
    assert_non_null(colon);
    s->fd = dial((int)strtol(colon + 1, NULL, 10));
    return s;
}

static int live_write(struct postern_stream *s, struct postern_span bytes)
{
    return send(s->fd, bytes.p, bytes.n, MSG_NOSIGNAL) == (ssize_t)bytes.n ? 0 : -1;
}

static void live_close(struct postern_stream *s)
{
    fake_stream_close(s);
    if (s->fd >= 0)
        close(s->fd);
}

/* One turn of the loop of one host: the timers, then the stream. */
static void turn(struct rig *r, struct fake *f)
{
    struct postern_stream *s = &f->stream;
    char bytes[4096];

    fake_advance(f, clock_us() - r->boot + 1000 * SECOND - f->now);
    if (!s->open)
        return;
    if (s->fd < 0) {
        fake_closed(f, "connection refused");
        return;
    }
    if (!s->tls) { /* stands for: connected was told */
        s->tls = 1;
        fake_connected(f);
        return;
    }
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    if (poll(&p, 1, 1) != 1)
        return;
    ssize_t n = read(s->fd, bytes, sizeof(bytes));
    if (n > 0) {
        fake_feed(f, bytes, (size_t)n);
        return;
    }
    close(s->fd);
    fake_closed(f, "closed");
}

static void pump(struct rig *r, unsigned ms)
{
    uint64_t until = clock_us() + ms * UINT64_C(1000);
    do
        for (size_t i = 0; i < HOSTS; i++)
            turn(r, r->hosts[i]);
    while (clock_us() < until);
}

/* Turns until the counter of the host has the value. */
static void pump_until(struct rig *r, size_t host, const char *counter, uint64_t value)
{
    uint64_t until = clock_us() + PATIENCE_MS * UINT64_C(1000);
    while (fake_counter(r->hosts[host], counter) < value) {
        if (clock_us() > until)
            fail_msg("%s did not become %u\n%s", counter, (unsigned)value, r->hosts[host]->log);
        turn(r, r->hosts[host]);
    }
}

/* ---- one test's surroundings ---- */

static void host_start(struct rig *r, size_t i)
{
    struct fake *f = r->hosts[i] = fake_create();
    struct postern_node *block = fake_map(f, NULL, "filter"), *store = fake_map(f, block, "store"),
                        *limits = fake_map(f, block, "limits");
    fake_number(f, store, "type", 1);
    fake_number(f, store, "keys", 1000);
    fake_number(f, store, "deadline", SECOND);
    fake_text(f, store, "server", r->server.address);
    fake_limit(f, limits, "messages", "sender", MESSAGES, 10, 3600 * SECOND);
    fake_limit(f, limits, "recipients", "sender_domain", RECIPIENTS, 20, 3600 * SECOND);
    fake_limit(f, limits, "pairs", "sender recipient", RECIPIENTS, 5, 3600 * SECOND);
    f->host.stream_open = live_open;
    f->host.stream_write = live_write;
    f->host.stream_close = live_close;
    if (postern_filter.configure(&f->host, f, block, &r->filters[i]) != 0)
        fail_msg("%s", f->errors);
    postern_filter.start(r->filters[i]);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->boot = clock_us();
    (void)snprintf(r->server.dir, sizeof(r->server.dir), "/tmp/postern-ratelimit-XXXXXX");
    assert_non_null(mkdtemp(r->server.dir));
    r->server.port = free_port();
    (void)snprintf(r->server.address, sizeof(r->server.address), "127.0.0.1:%d", r->server.port);
    server_start(&r->server);
    for (size_t i = 0; i < HOSTS; i++) {
        host_start(r, i);
        pump_until(r, i, "store_up", 1);
    }
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < HOSTS; i++) {
        postern_filter.release(r->filters[i]);
        fake_destroy(r->hosts[i]);
    }
    if (r->server.pid)
        server_stop(&r->server);
    assert_int_equal(rmdir(r->server.dir), 0);
    free(r);
    return 0;
}

static void open_at(struct rig *r, size_t host, struct fake_session *s)
{
    session_open(s, r->hosts[host], r->filters[host]);
}

/* The verdict of a hook that may be pending. */
static enum postern_action settle(struct rig *r, size_t host, enum postern_action action,
                                  size_t resumed_before)
{
    struct fake *f = r->hosts[host];
    uint64_t until = clock_us() + PATIENCE_MS * UINT64_C(1000);
    if (action != POSTERN_PENDING)
        return action;
    while (f->resumed_n == resumed_before && clock_us() < until)
        turn(r, f);
    assert_int_equal(f->resumed_n, resumed_before + 1);
    f->resumed_n = 0;
    return f->resumed[resumed_before].action;
}

static enum postern_action mail(struct rig *r, size_t host, struct fake_session *s, const char *sender)
{
    size_t before = r->hosts[host]->resumed_n;
    return settle(r, host, session_mail(s, sender), before);
}

static enum postern_action rcpt(struct rig *r, size_t host, struct fake_session *s, const char *recipient)
{
    size_t before = r->hosts[host]->resumed_n;
    return settle(r, host, session_rcpt(s, recipient), before);
}

/* ---- tests ---- */

/* RD-08: two proxies share one Redis; exactly as many as allowed, whoever asks. */
static void exact_and_shared(void **state)
{
    struct rig *r = *state;
    struct fake_session s[HOSTS];
    unsigned allowed = 0;
    for (size_t i = 0; i < HOSTS; i++)
        open_at(r, i, &s[i]);
    for (int i = 0; i < 24; i++) {
        size_t host = (size_t)i % HOSTS;
        bool yes = mail(r, host, &s[host], "ann@x.test") == POSTERN_CONTINUE;
        assert_int_equal(yes, i < 10);
        allowed += yes;
        session_message(&s[host], yes ? 250 : 450);
    }
    assert_int_equal(allowed, 10);
    const struct fake_resumed *last = &r->hosts[1]->resumed[0];
    assert_int_equal(last->code, 450);
    assert_non_null(strstr(last->text, "Rate limit messages: try again in 3"));
    assert_int_equal(fake_counter(r->hosts[0], "fallback") + fake_counter(r->hosts[1], "fallback"), 0);
    /* the script's text travelled once, and is known by its SHA-1 since */
    assert_non_null(strstr(ask(r, "INFO commandstats"), "cmdstat_eval:calls=1,"));
    for (size_t i = 0; i < HOSTS; i++)
        session_close(&s[i]);
}

static void all_or_nothing(void **state)
{
    struct rig *r = *state;
    struct fake_session s;
    open_at(r, 0, &s);
    assert_int_equal(mail(r, 0, &s, "ann@x.test"), POSTERN_CONTINUE);
    for (int i = 0; i < 10; i++) { /* `pairs` refuses from the sixth; `recipients` must not pay for that */
        assert_int_equal(rcpt(r, 0, &s, "b@y.test"), i < 5 ? POSTERN_CONTINUE : POSTERN_TEMPFAIL);
        session_rcpt_reply(&s, "b@y.test", i < 5 ? 250 : 450);
    }
    static const char *const names[] = {"c@y.test", "d@y.test", "e@y.test", "f@y.test"};
    for (int i = 0; i < 16; i++)
        assert_int_equal(rcpt(r, 0, &s, names[i / 4]), i < 15 ? POSTERN_CONTINUE : POSTERN_TEMPFAIL);
    session_close(&s);
}

static void given_back(void **state)
{
    struct rig *r = *state;
    struct fake_session s;
    open_at(r, 0, &s);
    for (int i = 0; i < 40; i++) { /* each is refused by the upstream in one way or another */
        assert_int_equal(mail(r, 0, &s, "ann@x.test"), POSTERN_CONTINUE);
        assert_int_equal(rcpt(r, 0, &s, "b@y.test"), POSTERN_CONTINUE);
        session_rcpt_reply(&s, "b@y.test", i % 2 ? 250 : 550);
        if (i % 3)
            session_message(&s, 451);
        else
            session_abort(&s);
        pump(r, 1);
    }
    assert_int_equal(fake_counter(r->hosts[0], "give_back_lost"), 0);
    assert_int_equal(fake_counter(r->hosts[0], "store_error"), 0);
    pump(r, 5);
    assert_string_equal(ask(r, "DBSIZE"), ":0\r\n"); /* and nothing is below zero */
    session_close(&s);
}

/* RD-03: the scripts are forgotten in mid-traffic. */
static void script_flush(void **state)
{
    struct rig *r = *state;
    struct fake_session s;
    open_at(r, 0, &s);
    for (int i = 0; i < 12; i++) {
        if (i % 3 == 0)
            assert_string_equal(ask(r, "SCRIPT FLUSH"), "+OK\r\n");
        bool yes = mail(r, 0, &s, "ann@x.test") == POSTERN_CONTINUE;
        assert_int_equal(yes, i < 10);
        session_message(&s, yes ? 250 : 450);
    }
    assert_int_equal(fake_counter(r->hosts[0], "fallback"), 0);
    assert_int_equal(fake_counter(r->hosts[0], "store_error"), 0);
    session_close(&s);
}

/* RE-22: whatever happened to a key, it has an expiry. */
static void always_an_expiry(void **state)
{
    struct rig *r = *state;
    struct fake_session s;
    char sender[64], command[256];
    open_at(r, 0, &s);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(sender, sizeof(sender), "user%d@x%d.test", i, i);
        assert_int_equal(mail(r, 0, &s, sender), POSTERN_CONTINUE);
        for (int j = 0; j < 3; j++) {
            assert_int_equal(rcpt(r, 0, &s, "b@y.test"), POSTERN_CONTINUE);
            session_rcpt_reply(&s, "b@y.test", j ? 250 : 550);
        }
        session_message(&s, i % 2 ? 250 : 451);
    }
    pump(r, 20);
    (void)snprintf(command, sizeof(command),
                   "EVAL \"local n=0 for _,k in ipairs(redis.call('KEYS','*')) do "
                   "if redis.call('PTTL',k)<=0 then return -1 end n=n+1 end return n\" 0");
    assert_string_equal(ask(r, command), ":150\r\n");
    session_close(&s);
}

/* RD-02, RD-11: it dies, this host counts for itself; it comes back, empty. */
static void restart(void **state)
{
    struct rig *r = *state;
    struct fake_session s;
    open_at(r, 0, &s);
    assert_int_equal(mail(r, 0, &s, "ann@x.test"), POSTERN_CONTINUE);
    session_message(&s, 250);
    server_stop(&r->server);
    pump_until(r, 0, "store_down", 1);
    for (int i = 0; i < 12; i++) {
        uint64_t began = clock_us();
        assert_int_equal(mail(r, 0, &s, "ann@x.test"), i < 10 ? POSTERN_CONTINUE : POSTERN_TEMPFAIL);
        assert_true(clock_us() - began < 250000);
        session_message(&s, i < 10 ? 250 : 450);
    }
    assert_int_equal(fake_counter(r->hosts[0], "fallback"), 12);
    server_start(&r->server);
    pump_until(r, 0, "store_up", 2);
    assert_int_equal(mail(r, 0, &s, "ann@x.test"), POSTERN_CONTINUE);
    session_message(&s, 250);
    assert_int_equal(fake_counter(r->hosts[0], "fallback"), 12);
    session_close(&s);
}

/* It hangs: one deadline is waited for, and what it charges when it wakes up is given back. */
static void frozen(void **state)
{
    struct rig *r = *state;
    struct fake_session s, other;
    open_at(r, 0, &s);
    open_at(r, 1, &other);
    assert_int_equal(mail(r, 0, &s, "ann@x.test"), POSTERN_CONTINUE); /* so that the scripts are there */
    session_message(&s, 250);
    assert_int_equal(kill(r->server.pid, SIGSTOP), 0);
    assert_int_equal(mail(r, 0, &s, "ann@x.test"), POSTERN_CONTINUE);
    session_message(&s, 250);
    assert_int_equal(fake_counter(r->hosts[0], "fallback"), 1);
    assert_int_equal(session_mail(&s, "ann@x.test"), POSTERN_CONTINUE); /* no second wait */
    session_message(&s, 250);
    assert_int_equal(kill(r->server.pid, SIGCONT), 0);
    pump_until(r, 0, "given_back", 1);
    pump(r, 20);
    for (int i = 0; i < 10; i++) { /* one of ten is used */
        assert_int_equal(mail(r, 1, &other, "ann@x.test"), i < 9 ? POSTERN_CONTINUE : POSTERN_TEMPFAIL);
        session_message(&other, i < 9 ? 250 : 450);
    }
    session_close(&other);
    session_close(&s);
}

/* Its rights are taken away: the on_error, until they come back. */
static void locked_out(void **state)
{
    struct rig *r = *state;
    struct fake_session s;
    open_at(r, 0, &s);
    assert_string_equal(ask(r, "ACL SETUSER default -evalsha -eval"), "+OK\r\n");
    assert_int_equal(mail(r, 0, &s, "ann@x.test"), POSTERN_CONTINUE);
    session_message(&s, 250);
    assert_int_equal(fake_counter(r->hosts[0], "store_error"), 1);
    assert_non_null(strstr(r->hosts[0]->log, "NOPERM: a setting must change"));
    assert_string_equal(ask(r, "ACL SETUSER default +evalsha +eval"), "+OK\r\n");
    assert_int_equal(mail(r, 0, &s, "ann@x.test"), POSTERN_CONTINUE);
    session_message(&s, 250);
    assert_int_equal(fake_counter(r->hosts[0], "store_up"), 2);
    session_close(&s);
}

/* RD-10: keys of attackers' bytes arrive as one key each. */
static void hostile_keys(void **state)
{
    struct rig *r = *state;
    struct fake_session s;
    static char longest[2000];
    open_at(r, 0, &s);
    memset(longest, 'x', sizeof(longest) - 1);
    assert_int_equal(mail(r, 0, &s, "a\r\nFLUSHALL\r\n {t}\"'@x.test"), POSTERN_CONTINUE);
    session_message(&s, 250);
    assert_int_equal(mail(r, 0, &s, longest), POSTERN_CONTINUE);
    session_message(&s, 250);
    assert_string_equal(ask(r, "DBSIZE"), ":2\r\n");
    assert_non_null(strstr(ask(r, "KEYS *"),
                           "postern:messages:10/3600000000:10:a%0D%0Aflushall%0D%0A%20%7Bt%7D%22'@x.test"));
    session_close(&s);
}

/* What the script answers to one charge of a key "k". */
static void run_script(const struct rig *r, const struct gcra *g, uint64_t units, char *reply_r, size_t room)
{
    char command[sizeof(SCRIPT_CHARGE) + 256], burst[24], cost[24];
    int burst_n = snprintf(burst, sizeof(burst), "%" PRIu64, g->burst);
    int cost_n = snprintf(cost, sizeof(cost), "%" PRIu64, g->interval * units);
    int n = snprintf(command, sizeof(command),
                     "*7\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n1\r\n$1\r\nk\r\n"
                     "$%d\r\n%s\r\n$%d\r\n%s\r\n$1\r\n0\r\n",
                     sizeof(SCRIPT_CHARGE) - 1, SCRIPT_CHARGE, burst_n, burst, cost_n, cost);
    int fd = dial(r->server.port);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, command, (size_t)n), n);
    ssize_t got = read(fd, reply_r, room - 1);
    assert_true(got > 0);
    reply_r[got] = '\0';
    close(fd);
}

/* Lua counts as gcra.c does, for a rate that no decimal number can hold. */
static void same_arithmetic(void **state)
{
    static const uint64_t units[] = {48, 1, 1};
    struct rig *r = *state;
    struct gcra g;
    char reply[256];
    uint64_t tat = 0;

    assert_int_equal(gcra_init(&g, 7, 604800 * SECOND, 49), GCRA_OK);
    for (size_t i = 0; i < 3; i++) {
        struct gcra_result expected = gcra_charge(&g, tat, 1000, units[i]);
        tat = expected.tat;
        assert_int_equal(expected.allowed, i < 2);
        run_script(r, &g, units[i], reply, sizeof(reply));
        assert_int_equal(strncmp(reply, expected.allowed ? "*3\r\n:1\r\n" : "*4\r\n:0\r\n:1\r\n", 8), 0);
        uint64_t left = strtoull(strrchr(reply, ':') + 1, NULL, 10);
        if (i == 0) /* later ones differ by what the clock has paid back */
            assert_int_equal(left, expected.left * g.interval);
        assert_int_equal(left / g.interval, expected.left);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exact_and_shared), TEST(all_or_nothing),  TEST(given_back), TEST(script_flush),
        TEST(always_an_expiry), TEST(restart),         TEST(frozen),     TEST(locked_out),
        TEST(hostile_keys),     TEST(same_arithmetic),
    };
    if (access("/usr/bin/redis-server", X_OK) != 0) {
        (void)puts("1..0 # skipped: no redis-server");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
