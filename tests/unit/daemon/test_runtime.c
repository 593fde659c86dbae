/* SPDX-License-Identifier: MIT */
/* Building a runtime from files in memory: what comes out of a good configuration, and that one run tells
 * every error of a bad one with its place. Plugins are the real ones of this build. */
#include "proxy/hostsvc.h"
#include "proxy/runtime.h"
#include "unit/daemon/files.h"
#include "unit/net/certs.h"

#include <limits.h>
#include <unistd.h>

#define CONFIG "/etc/postern/postern.yaml"

static struct authority authority;
static struct identity other, old;

static int make_certificates(void **state)
{
    (void)state;
    authority = authority_make();
    other = identity_make(
        (struct wish){.common_name = "other.example.org", .issuer = &authority.ca, .to_days = 5});
    old = identity_make((struct wish){
        .common_name = "old.example.org", .issuer = &authority.ca, .from_days = -9, .to_days = -2});
    return 0;
}

static int free_certificates(void **state)
{
    (void)state;
    authority_free(&authority);
    identity_free(&other);
    identity_free(&old);
    return 0;
}

/* The folder beside the one that this program is in. */
static const char *plugins(void)
{
    static char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "/plugins");
    assert_true(n > 0);
    path[n] = '\0';
    for (int up = 0; up < 2; up++)
        *strrchr(path, '/') = '\0';
    memcpy(path + strlen(path), "/plugins", sizeof "/plugins");
    return path;
}

#define BASE                                                                                                 \
    "hostname: gate.example.org\n"                                                                           \
    "plugins: { path: %s }\n"                                                                                \
    "upstreams:\n"                                                                                           \
    "  mta: { servers: [\"127.0.0.1:10025\"], tls: none }\n"

struct rig {
    struct file at[8];
    size_t n;
    struct files files;
    char config[4096];
    struct hostsvc *host;
    struct shared_set shared;
    struct diags diags;
    struct runtime_env env;
    unsigned released;
};

static void on_released(void *ctx)
{
    struct rig *r = ctx;
    r->released++;
}

static void add_file(struct rig *r, const char *path, struct span bytes)
{
    r->at[r->n++] = (struct file){path, bytes};
}

static struct rig *rig_open(const char *config)
{
    struct rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    int n = snprintf(r->config, sizeof r->config, BASE "%s", plugins(), config);
    assert_in_range(n, 1, sizeof r->config - 1);
    add_file(r, CONFIG, span_of(r->config));
    add_file(r, "/etc/postern/good.pem", authority.good.certificate_pem);
    add_file(r, "/etc/postern/good.key", authority.good.key_pem);
    add_file(r, "/etc/postern/other.key", other.key_pem);
    add_file(r, "/etc/postern/old.pem", old.certificate_pem);
    add_file(r, "/etc/postern/old.key", old.key_pem);
    r->shared.may_create = true;
    return r;
}

static struct runtime *build(struct rig *r)
{
    struct hostsvc_env host = {.shared = &r->shared};
    files_init(&r->files, r->at, r->n);
    r->host = hostsvc_create(&host);
    assert_non_null(r->host);
    r->env = (struct runtime_env){.source = &r->files.source, .released = on_released, .released_ctx = r};
    hostsvc_fill(r->host, &r->env.services);
    return runtime_build(&r->env, CONFIG, 7, &r->diags);
}

static void print(void *ctx, const char *line)
{
    (void)ctx;
    print_message("  %s\n", line);
}

static struct runtime *build_good(struct rig *r)
{
    struct runtime *made = build(r);
    if (!made)
        diag_print(&r->diags, print, NULL);
    assert_non_null(made);
    return made;
}

static void rig_close(struct rig *r)
{
    assert_int_equal(r->released, 1);
    hostsvc_destroy(&r->host);
    shared_free(&r->shared);
    diag_free(&r->diags);
    free(r);
}

/* An error at this line whose text has `text`. */
static bool told(const struct diags *d, const char *file, uint32_t line, const char *text)
{
    for (const struct diag *i = d->first; i; i = i->next)
        if (span_eq(span_of(i->file), span_of(file)) && i->line == line && i->column && strstr(i->text, text))
            return true;
    diag_print(d, print, NULL);
    return false;
}

/* ---- good ones ---- */

static const char full[] = "certificates:\n"
                           "  main: { certificate: good.pem, key: good.key }\n"
                           "listeners:\n"
                           "  submission:\n"
                           "    bind: [\"127.0.0.1:2587\"]\n"
                           "    tls: required\n"
                           "    certificate: main\n"
                           "    upstream: mta\n"
                           "    policy: manners\n"
                           "    bare_newline: normalize\n"
                           "  plain: { bind: [\"127.0.0.1:2526\"], upstream: mta, policy: open }\n"
                           "policies:\n"
                           "  manners: { filters: [hello] }\n"
                           "  open: { filters: [] }\n"
                           "filters:\n"
                           "  hello: { plugin: hello, name: friend.example }\n"
                           "limits: { recipients: 170, message: 1MiB }\n"
                           "timeouts: { command: 42s }\n";

static void test_a_whole_runtime(void **state)
{
    struct rig *r = rig_open(full);
    (void)state;
    struct runtime *made = build_good(r);
    assert_int_equal(made->generation, 7);
    struct runtime_listener *l = runtime_listener(made, "submission");
    assert_non_null(l);
    assert_non_null(l->tls);
    assert_null(l->upstream); /* a check connects to nothing */
    assert_string_equal(l->policy.listener, "submission");
    assert_string_equal(l->policy.hostname, "gate.example.org");
    assert_int_equal(l->policy.generation, 7);
    assert_true(l->policy.require_tls && l->policy.offer_starttls && l->policy.normalize_newlines);
    assert_false(l->policy.eager);
    assert_false(chain_empty(l->policy.chain));
    assert_int_equal(l->policy.limits.recipients, 170);
    assert_int_equal(l->policy.limits.message_bytes, 1024 * 1024);
    assert_int_equal(l->policy.limits.command_us, 42000000);
    struct runtime_listener *p = runtime_listener(made, "plain");
    assert_non_null(p);
    assert_null(p->tls);
    assert_true(!p->policy.offer_starttls && !p->policy.require_tls && chain_empty(p->policy.chain));
    assert_null(runtime_listener(made, "absent"));
    runtime_unref(&made);
    rig_close(r);
}

static void test_it_lives_as_long_as_somebody_holds_it(void **state)
{
    struct rig *r = rig_open(full);
    (void)state;
    struct runtime *made = build_good(r), *held = runtime_ref(made);
    runtime_unref(&made);
    assert_null(made);
    assert_int_equal(r->released, 0);
    assert_non_null(runtime_listener(held, "plain"));
    runtime_unref(&held);
    rig_close(r);
}

/* In a worker the last one goes at the end of the turn: a filter's own call may be on the stack. */
static void test_with_a_loop_it_goes_after_the_turn(void **state)
{
    struct rig *r = rig_open("");
    struct loop *loop = loop_create();
    struct hostsvc_env host = {.loop = loop};
    (void)state;

    (void)snprintf(r->config, sizeof r->config,
                   "plugins: { path: %s }\nupstreams: { mta: { servers: [\"127.0.0.1:9\"] } }\n"
                   "listeners: { l: { bind: [\"127.0.0.1:2525\"], upstream: mta, policy: p } }\n"
                   "policies: { p: { filters: [h] } }\nfilters: { h: { plugin: hello, name: x } }\n",
                   plugins());
    r->at[0].bytes = span_of(r->config);
    files_init(&r->files, r->at, r->n);
    struct counters *counters = counters_create();
    r->host = hostsvc_create(&host);
    r->env = (struct runtime_env){.source = &r->files.source,
                                  .upstream = {.loop = loop, .counters = counters},
                                  .released = on_released,
                                  .released_ctx = r};
    hostsvc_fill(r->host, &r->env.services);
    struct runtime *made = runtime_build(&r->env, CONFIG, 1, &r->diags);
    assert_non_null(made);
    assert_non_null(runtime_listener(made, "l")->upstream);
    runtime_unref(&made);
    assert_int_equal(r->released, 0);
    ev_run(loop_ev(loop), EVRUN_NOWAIT);
    assert_int_equal(r->released, 1);
    hostsvc_destroy(&r->host);
    loop_destroy(&loop);
    counters_destroy(&counters);
    diag_free(&r->diags);
    free(r);
}

/* ---- bad ones ---- */

static void test_what_conf_finds(void **state)
{
    struct rig *r = rig_open("hostnam: x\nlisteners: {}\n");
    (void)state;
    assert_null(build(r));
    assert_true(told(&r->diags, CONFIG, 5, "hostname"));
    rig_close(r);
}

static void test_every_error_in_one_run(void **state)
{
    struct rig *r = rig_open("certificates:\n"                                                         /* 5 */
                             "  unfit: { certificate: good.pem, key: other.key }\n"                    /* 6 */
                             "  absent: { certificate: none.pem, key: good.key }\n"                    /* 7 */
                             "listeners:\n"                                                            /* 8 */
                             "  a: { bind: [\"127.0.0.1:2587\"], tls: starttls, certificate: unfit,\n" /* 9 */
                             "       upstream: mta, policy: p }\n"                               /* 10 */
                             "policies:\n"                                                       /* 11 */
                             "  p: { filters: [rules, redis] }\n"                                /* 12 */
                             "filters:\n"                                                        /* 13 */
                             "  rules: { plugin: content, rules: [\"rules/*.rules\"] }\n"        /* 14 */
                             "  redis:\n"                                                        /* 15 */
                             "    plugin: ratelimit\n"                                           /* 16 */
                             "    store: { type: redis, server: \"127.0.0.1:6379\", tls: yes,\n" /* 17 */
                             "             tls_ca: no-ca.pem }\n"                                /* 18 */
                             "    limits: { x: { key: [sender], count: messages, rate: 1/1h, burst: 1 } }\n");
    (void)state;
    add_file(r, "/etc/postern/rules/a.rules",
             SPAN_LIT("[header:Subject]\n/ok/ REJECT 5.7.1 no\n/un(closed/ REJECT\n"));
    assert_null(build(r));
    assert_true(told(&r->diags, CONFIG, 6, ""));
    assert_true(told(&r->diags, CONFIG, 7, "none.pem"));
    assert_true(told(&r->diags, "/etc/postern/rules/a.rules", 3, ""));
    assert_true(told(&r->diags, CONFIG, 18, "no-ca.pem"));
    assert_true(r->diags.errors >= 4);
    rig_close(r);
}

static void test_the_ca_of_an_upstream(void **state)
{
    struct rig *r = rig_open("  two: { servers: [\"127.0.0.1:25\"], tls: required,\n"
                             "         verify: { name: x, ca: no-ca.pem } }\n"
                             "listeners: { l: { bind: [\"127.0.0.1:2525\"], upstream: two, policy: p } }\n"
                             "policies: { p: { filters: [] } }\n");
    (void)state;
    assert_null(build(r));
    assert_true(told(&r->diags, CONFIG, 6, "no-ca.pem"));
    rig_close(r);
}

/* A worker opens no files: what a stream will need is read while the runtime is built. */
static void test_the_ca_of_a_stream_is_read(void **state)
{
    struct rig *r =
        rig_open("listeners: { l: { bind: [\"127.0.0.1:2525\"], upstream: mta, policy: p } }\n"
                 "policies: { p: { filters: [redis] } }\n"
                 "filters:\n"
                 "  redis:\n"
                 "    plugin: ratelimit\n"
                 "    store: { type: redis, server: \"127.0.0.1:6379\", tls: yes, tls_ca: good.pem }\n"
                 "    limits: { x: { key: [sender], count: messages, rate: 1/1h, burst: 1 } }\n");
    (void)state;
    struct runtime *made = build_good(r);
    assert_int_equal(r->files.reads, 2); /* the configuration and the CA */
    runtime_unref(&made);
    rig_close(r);
}

static void test_an_expired_certificate_is_a_warning(void **state)
{
    struct rig *r =
        rig_open("certificates: { old: { certificate: old.pem, key: old.key } }\n"
                 "listeners: { l: { bind: [\"127.0.0.1:2525\"], tls: implicit, certificate: old,\n"
                 "                  upstream: mta, policy: p } }\n"
                 "policies: { p: { filters: [] } }\n");
    (void)state;
    struct runtime *made = build_good(r);
    assert_int_equal(r->diags.errors, 0);
    assert_int_equal(r->diags.warnings, 1);
    assert_true(told(&r->diags, CONFIG, 5, ""));
    runtime_unref(&made);
    rig_close(r);
}

static void test_no_file_at_all(void **state)
{
    struct rig *r = rig_open("");
    (void)state;
    r->at[0].path = "/elsewhere";
    assert_null(build(r));
    assert_true(r->diags.errors > 0);
    rig_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_runtime),
        cmocka_unit_test(test_it_lives_as_long_as_somebody_holds_it),
        cmocka_unit_test(test_with_a_loop_it_goes_after_the_turn),
        cmocka_unit_test(test_what_conf_finds),
        cmocka_unit_test(test_every_error_in_one_run),
        cmocka_unit_test(test_the_ca_of_an_upstream),
        cmocka_unit_test(test_the_ca_of_a_stream_is_read),
        cmocka_unit_test(test_an_expired_certificate_is_a_warning),
        cmocka_unit_test(test_no_file_at_all),
    };
    return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
