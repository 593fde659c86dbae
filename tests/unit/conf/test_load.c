/* SPDX-License-Identifier: MIT */
/* What a good configuration becomes: values, defaults, references, the blocks that plugins see. */
#include "unit/conf/example.h"
#include "unit/conf/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SMALLEST                                                                                             \
    "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open } }\n"                             \
    "upstreams: { mta: { servers: 'mail.example.org:25' } }\n"                                               \
    "policies: { open: { filters: [] } }\n"

static const struct postern_node *member(const struct postern_node *block, const char *name)
{
    for (const struct postern_node *n = block->first; n; n = n->next)
        if (n->name.n == strlen(name) && memcmp(n->name.p, name, n->name.n) == 0)
            return n;
    fail_msg("no member %s", name);
    return NULL;
}

static void test_example_loads(void **state)
{
    struct loaded l;
    (void)state;
    load_text(&l, EXAMPLE);
    assert_string_equal(l.report,
                        "/etc/p/a.yaml:5:1: warning: 'admin' is not available in this version; ignored\n"
                        "/etc/p/a.yaml:31:5: warning: 'verify' has no effect with 'tls: none'\n");
    const struct conf *c = l.conf;
    assert_non_null(c);
    assert_int_equal(c->workers, 2);
    assert_string_equal(c->file, "/etc/p/a.yaml");
    assert_string_equal(c->hostname, "gate.example.org");
    assert_string_equal(c->log_to, "stderr");
    assert_string_equal(c->plugins_path, "/etc/p/build/plugins");
    assert_int_equal(c->certificate_count, 1);
    assert_string_equal(c->certificates[0].certificate, "/etc/p/cert.pem");
    assert_string_equal(c->certificates[0].key, "/etc/p/key.pem");
    assert_int_equal(c->listener_count, 2);
    assert_int_equal(c->upstream_count, 1);
    assert_int_equal(c->policy_count, 2);
    assert_int_equal(c->filter_count, 2);
    unload(&l);
}

static void test_example_as_documented(void **state)
{
    struct loaded l;
    (void)state;
    load_text(&l, EXAMPLE_TOP EXAMPLE_REDIRECT EXAMPLE_REST);
    assert_non_null(l.conf);
    const struct conf_listener *g = &l.conf->listeners[1];
    static const unsigned char loopback[4] = {127, 0, 0, 1}, elsewhere[4] = {192, 0, 2, 1};
    assert_int_equal(g->intercept, CONF_INTERCEPT_REDIRECT);
    assert_null(g->upstream);
    assert_int_equal(g->allow.count, 0);
    assert_true(networks_have(&g->deny, loopback, 4));
    assert_false(networks_have(&g->deny, elsewhere, 4));
    unload(&l);
}

static void test_listener(void **state)
{
    struct loaded l;
    (void)state;
    load_text(&l, EXAMPLE);
    assert_non_null(l.conf);
    const struct conf_listener *s = &l.conf->listeners[0];
    assert_string_equal(s->name, "submission");
    assert_int_equal(s->bind_count, 2);
    assert_string_equal(s->bind[0].host, "127.0.0.1");
    assert_int_equal(s->bind[0].port, 2587);
    assert_true(s->bind[0].literal);
    assert_string_equal(s->bind[1].text, "[::1]:2587");
    assert_string_equal(s->bind[1].host, "::1");
    assert_int_equal(s->tls, CONF_TLS_STARTTLS);
    assert_int_equal(s->certificate_count, 1);
    assert_ptr_equal(s->certificates[0], &l.conf->certificates[0]);
    assert_ptr_equal(s->upstream, &l.conf->upstreams[0]);
    assert_ptr_equal(s->policy, &l.conf->policies[0]);
    assert_int_equal(s->bare_newline, CONF_BARE_REJECT);
    assert_true(s->auth_needs_tls);
    assert_true(s->enforce_sync);
    assert_int_equal(s->at->line, 12);
    assert_int_equal(s->at->column, 3);
    unload(&l);
}

static void test_upstream_and_policies(void **state)
{
    struct loaded l;
    (void)state;
    load_text(&l, EXAMPLE);
    assert_non_null(l.conf);
    const struct conf_upstream *u = &l.conf->upstreams[0];
    assert_string_equal(u->name, "mta");
    assert_int_equal(u->server_count, 1);
    assert_int_equal(u->servers[0].port, 10025);
    assert_int_equal(u->tls, CONF_UP_NONE);
    assert_true(u->verify);
    assert_string_equal(u->verify_name, "mail.example.org");
    assert_string_equal(u->verify_ca, "/etc/p/ca.pem");
    assert_int_equal(u->identity, CONF_IDENTITY_AUTO);
    assert_int_equal(u->connect, CONF_LATE);
    assert_int_equal(u->keep, 8);
    assert_int_equal(u->keep_us, 30000000);
    assert_int_equal(u->probe_us, 60000000);
    const struct conf_policy *p = &l.conf->policies[0];
    assert_string_equal(p->name, "outbound");
    assert_int_equal(p->filter_count, 2);
    assert_ptr_equal(p->filters[0], &l.conf->filters[0]);
    assert_ptr_equal(p->filters[1], &l.conf->filters[1]);
    assert_int_equal(l.conf->policies[1].filter_count, 0);
    unload(&l);
}

static void test_filter_blocks(void **state)
{
    struct loaded l;
    (void)state;
    load_text(&l, EXAMPLE);
    assert_non_null(l.conf);
    const struct conf_filter *f = &l.conf->filters[0];
    assert_string_equal(f->name, "limits");
    assert_string_equal(f->plugin, "ratelimit");
    assert_false(f->shadow);
    assert_int_equal(f->on_error, CONF_ON_ERROR_TEMPFAIL);
    assert_int_equal(f->deadline_us, 5000000);
    assert_true(f->block->name.n == 6 && memcmp(f->block->name.p, "limits", 6) == 0);

    size_t own = 0;
    for (const struct postern_node *n = f->block->first; n; n = n->next)
        own++;
    assert_int_equal(own, 2); /* store and limits; not plugin, mode, on_error, deadline */
    const struct postern_node *store = member(f->block, "store");
    assert_int_equal(member(store, "deadline")->number, 50000);
    assert_int_equal(member(store, "deadline")->line, 0);
    assert_int_equal(member(store, "on_error")->number, 0);

    const struct postern_node *per_sender = member(member(f->block, "limits"), "per-sender");
    assert_int_equal(per_sender->line, 46);
    assert_int_equal(per_sender->column, 7);
    assert_int_equal(member(per_sender, "count")->number, 1);
    assert_int_equal(member(per_sender, "rate")->number, 100);
    assert_true(member(per_sender, "rate")->real == 3600e6);
    assert_int_equal(member(per_sender, "burst")->number, 20);
    assert_int_equal(member(per_sender, "key")->kind, POSTERN_NODE_LIST);

    const struct postern_node *content = l.conf->filters[1].block;
    const struct postern_node *whole = member(member(l.conf->root, "filters"), "content");
    assert_ptr_equal(member(whole, "rules"), member(content, "rules"));
    assert_int_equal(member(whole, "mode")->line, 0);
    assert_true(member(member(content, "score"), "reject")->real == 10.0);
    assert_int_equal(member(content, "max_text")->number, 1 << 20);
    assert_int_equal(member(content, "scopes")->first->next->number, 2); /* a default that is a list */
    const struct postern_node *rule = member(content, "rules")->first;
    assert_int_equal(rule->line, 50);
    assert_int_equal(rule->column, 13);
    unload(&l);
}

static void test_defaults(void **state)
{
    struct loaded l;
    (void)state;
    load_text(&l, SMALLEST);
    assert_string_equal(l.report, "");
    assert_non_null(l.conf);
    const struct conf *c = l.conf;
    assert_int_equal(c->workers, 2);
    assert_true(c->hostname[0] != '\0');
    assert_string_equal(c->user, "nobody");
    assert_string_equal(c->state_dir, "/var/tmp");
    assert_string_equal(c->log_to, "stderr");
    assert_false(c->log_json);
    assert_int_equal(c->log_level, 2); /* info */
    assert_int_equal(c->limits.message_bytes, 50 << 20);
    assert_int_equal(c->limits.body_memory, 256 << 10);
    assert_int_equal(c->limits.bodies_memory, 64 << 20);
    assert_int_equal(c->limits.bodies_disk, 1 << 30);
    assert_int_equal(c->limits.recipients, 1000);
    assert_int_equal(c->limits.command_line, 2048);
    assert_int_equal(c->limits.auth_line, 12288);
    assert_int_equal(c->limits.errors, 20);
    assert_int_equal(c->limits.junk_commands, 100);
    assert_int_equal(c->limits.sessions, 10000);
    assert_int_equal(c->limits.header_bytes, 256 << 10);
    assert_int_equal(c->limits.transactions, 0);
    assert_int_equal(c->limits.commands, 0);
    assert_int_equal(c->limits.pipelined, 128);
    assert_int_equal(c->limits.line_flood, 64 << 10);
    assert_int_equal(c->limits.data_rate, 500);
    assert_int_equal(c->limits.hops, 0);
    assert_int_equal(c->limits.reply_lines, 128);
    assert_int_equal(c->limits.reply_bytes, 64 << 10);
    assert_int_equal(c->timeouts.greeting, 10000000);
    assert_int_equal(c->listeners[0].lenient_sync.count, 0);
    assert_int_equal(c->listeners[0].normalize_newlines.count, 0);
    assert_int_equal(c->listeners[0].vrfy, CONF_QUERY_ANSWER);
    assert_int_equal(c->listeners[0].expn, CONF_QUERY_REFUSE);
    assert_int_equal(c->listeners[0].etrn, CONF_QUERY_REFUSE);
    assert_int_equal(c->timeouts.command, 300000000);
    assert_int_equal(c->timeouts.content, 180000000);
    assert_int_equal(c->timeouts.tls_handshake, 30000000);
    assert_int_equal(c->timeouts.upstream_connect, 30000000);
    assert_int_equal(c->timeouts.upstream_greeting, 120000000);
    assert_int_equal(c->timeouts.upstream_command, 300000000);
    assert_int_equal(c->timeouts.upstream_data, 115000000);
    assert_int_equal(c->timeouts.upstream_final, 600000000);
    assert_int_equal(c->timeouts.upstream_idle, 60000000);
    assert_int_equal(c->timeouts.drain, 30000000);
    assert_int_equal(c->upstreams[0].tls, CONF_UP_NONE);
    assert_false(c->upstreams[0].verify);
    assert_int_equal(c->listeners[0].tls, CONF_TLS_NONE);
    unload(&l);
}

static void test_everything_set(void **state)
{
    struct loaded l;
    (void)state;
    load_text(&l,
              "log: { format: json, to: logs/mail.log, level: debug }\n"
              "state_dir: spool\n"
              "user: postern\n"
              "limits: { message: 1GB, recipients: 100, command_line: 512, transactions: 7,\n"
              "  commands: 9, pipelined: 1, line_flood: 1MiB, data_rate: 0, hops: 100, reply_lines: 10, "
              "reply_bytes: 4KiB }\n"
              "timeouts: { drain: 90s, command: 1h, greeting: 1s }\n"
              "certificates: { a: { certificate: /a.pem, key: a.key }, b: { certificate: b, key: b } }\n"
              "listeners:\n"
              "  in:\n"
              "    bind: [127.0.0.1:25, '[::]:25']\n"
              "    tls: implicit\n"
              "    certificate: [b, a]\n"
              "    upstream: mta\n"
              "    policy: open\n"
              "    bare_newline: normalize\n"
              "    auth_needs_tls: off\n"
              "    enforce_sync: 'No'\n"
              "    lenient_sync: [192.0.2.0/24, '2001:db8::/32']\n"
              "    normalize_newlines: 10.0.0.1\n"
              "    vrfy: relay\n"
              "    expn: relay\n"
              "    etrn: relay\n"
              "upstreams:\n"
              "  mta: { servers: [a.test:25, b.test:587], tls: required, connect: eager, identity: none,\n"
              "         keep: 0, keep_time: 5m, probe: 2s }\n"
              "policies: { open: { filters: hello } }\n"
              "filters: { hello: { plugin: hello, mode: shadow, on_error: reject, deadline: 250ms } }\n");
    assert_string_equal(l.report, "");
    assert_non_null(l.conf);
    const struct conf *c = l.conf;
    assert_true(c->log_json);
    assert_int_equal(c->log_level, 3);
    assert_string_equal(c->log_to, "/etc/p/logs/mail.log");
    assert_string_equal(c->state_dir, "/etc/p/spool");
    assert_int_equal(c->limits.message_bytes, 1000000000);
    assert_int_equal(c->limits.recipients, 100);
    assert_int_equal(c->limits.command_line, 512);
    assert_int_equal(c->limits.transactions, 7);
    assert_int_equal(c->limits.commands, 9);
    assert_int_equal(c->limits.pipelined, 1);
    assert_int_equal(c->limits.line_flood, 1 << 20);
    assert_int_equal(c->limits.data_rate, 0);
    assert_int_equal(c->limits.hops, 100);
    assert_int_equal(c->limits.reply_lines, 10);
    assert_int_equal(c->limits.reply_bytes, 4096);
    assert_int_equal(c->timeouts.greeting, 1000000);
    assert_int_equal(c->timeouts.drain, 90000000);
    assert_int_equal(c->timeouts.command, 3600000000);
    const struct conf_listener *in = &c->listeners[0];
    assert_int_equal(in->tls, CONF_TLS_IMPLICIT);
    assert_string_equal(in->certificates[0]->name, "b");
    assert_string_equal(in->certificates[1]->certificate, "/a.pem");
    assert_int_equal(in->bare_newline, CONF_BARE_NORMALIZE);
    assert_false(in->auth_needs_tls);
    assert_false(in->enforce_sync);
    assert_int_equal(in->lenient_sync.count, 2);
    assert_int_equal(in->lenient_sync.list[0].bits, 96 + 24);
    assert_int_equal(in->lenient_sync.list[1].bits, 32);
    assert_int_equal(in->normalize_newlines.count, 1);
    assert_int_equal(in->normalize_newlines.list[0].bits, 128);
    assert_int_equal(in->vrfy, CONF_QUERY_RELAY);
    assert_int_equal(in->expn, CONF_QUERY_RELAY);
    assert_int_equal(in->etrn, CONF_QUERY_RELAY);
    const struct conf_upstream *u = &c->upstreams[0];
    assert_int_equal(u->tls, CONF_UP_REQUIRED);
    assert_true(u->verify); /* a must is verified unless it is said otherwise */
    assert_null(u->verify_name);
    assert_null(u->verify_ca);
    assert_int_equal(u->identity, CONF_IDENTITY_NONE);
    assert_int_equal(u->connect, CONF_EAGER);
    assert_int_equal(u->keep, 0);
    assert_int_equal(u->keep_us, 300000000);
    const struct conf_filter *f = c->policies[0].filters[0];
    assert_true(f->shadow);
    assert_int_equal(f->on_error, CONF_ON_ERROR_REJECT);
    assert_int_equal(f->deadline_us, 250000);
    assert_null(f->block->first);
    unload(&l);
}

static bool verifies(const char *upstream)
{
    struct loaded l;
    char text[512];
    assert_true(snprintf(text, sizeof text,
                         "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open } }\n"
                         "upstreams: { mta: { %s } }\n"
                         "policies: { open: { filters: [] } }\n",
                         upstream) > 0);
    load_text(&l, text);
    assert_string_equal(l.report, "");
    assert_non_null(l.conf);
    bool verified = l.conf->upstreams[0].verify;
    unload(&l);
    return verified;
}

static void test_verify(void **state)
{
    (void)state;
    assert_false(verifies("servers: 'a.test:25'"));
    assert_false(verifies("servers: 'a.test:25', tls: opportunistic"));
    assert_true(verifies("servers: 'a.test:25', tls: opportunistic, verify: yes"));
    assert_true(verifies("servers: 'a.test:25', tls: required"));
    assert_true(verifies("servers: 'a.test:465', tls: implicit"));
    assert_false(verifies("servers: '192.0.2.1:465', tls: implicit, verify: false"));
    assert_true(verifies("servers: '192.0.2.1:465', tls: implicit, verify: { name: a.test }"));
    assert_true(verifies("servers: 'a.test:25', tls: required, verify: {}"));
}

static void test_paths(void **state)
{
    struct arena *a = arena_create(4096);
    (void)state;
    assert_string_equal(conf_path(a, "/etc/p/a.yaml", SPAN_LIT("x/y")), "/etc/p/x/y");
    assert_string_equal(conf_path(a, "/etc/p/a.yaml", SPAN_LIT("/x")), "/x");
    assert_string_equal(conf_path(a, "a.yaml", SPAN_LIT("x")), "x");
    assert_string_equal(conf_path(a, "../a.yaml", SPAN_LIT("x")), "../x");
    assert_string_equal(conf_path(a, "/a.yaml", SPAN_LIT("x")), "/x");
    arena_destroy(&a);
}

/* Windows line ends, a directive, a document mark and a byte order mark are nobody's mistake. */
static void test_forms_of_yaml(void **state)
{
    struct loaded l;
    (void)state;
    load_text(&l,
              "\xef\xbb\xbf%YAML 1.1\r\n---\r\nlisteners: { in: { bind: '127.0.0.1:25', upstream: mta,\r\n"
              " policy: open } }\r\n"
              "upstreams: { mta: { servers: 'mail.example.org:25' } }\r\n"
              "policies: { open: { filters: [] } }\r\n...\r\n");
    assert_string_equal(l.report, "");
    assert_non_null(l.conf);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_loads),  cmocka_unit_test(test_example_as_documented),
        cmocka_unit_test(test_listener),       cmocka_unit_test(test_upstream_and_policies),
        cmocka_unit_test(test_filter_blocks),  cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_everything_set), cmocka_unit_test(test_verify),
        cmocka_unit_test(test_paths),          cmocka_unit_test(test_forms_of_yaml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
