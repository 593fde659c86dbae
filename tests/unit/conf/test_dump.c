/* SPDX-License-Identifier: MIT */
/* The effective configuration: it shows what is in force, loads again to the same, and keeps secrets. And the
 * JSON Schema: well-formed, and with the table's contents. */
#include "unit/conf/example.h"
#include "unit/conf/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *text_of(const struct buf *out)
{
    const char *p = buf_span(out).p;
    return p ? p : "";
}

/* A C string of its own; the caller frees it. */
static char *dumped(const char *text)
{
    static struct loaded l;
    struct buf out = {0};
    load_text(&l, text);
    if (l.conf == NULL)
        fail_msg("%s", l.report);
    assert_true(conf_dump(l.conf, &out));
    char *copy = strndup(text_of(&out), buf_len(&out));
    assert_non_null(copy);
    buf_free(&out);
    unload(&l);
    return copy;
}

static void check_round_trip(const char *text)
{
    char *once = dumped(text);
    char *twice = dumped(once);
    assert_string_equal(once, twice);
    free(once);
    free(twice);
}

static const char smallest[] = "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open } }\n"
                               "upstreams: { mta: { servers: 'mail.example.org:25' } }\n"
                               "policies: { open: { filters: [] } }\n"
                               "hostname: gate.test\n";

static void test_all_in_force(void **state)
{
    char *dump = dumped(smallest);
    (void)state;
    assert_string_equal(dump,
                        "# in force, defaults included\n"
                        "listeners:\n"
                        "  in:\n"
                        "    bind: [\"127.0.0.1:25\"]\n"
                        "    upstream: \"mta\"\n"
                        "    policy: \"open\"\n"
                        "    tls: none\n"
                        "    tls_min: 1.2\n"
                        "    client_certificate: none\n"
                        "    bare_newline: reject\n"
                        "    auth_needs_tls: yes\n"
                        "    chunking: yes\n"
                        "    enforce_sync: yes\n"
                        "    lenient_sync: []\n"
                        "    normalize_newlines: []\n"
                        "    vrfy: answer\n"
                        "    expn: refuse\n"
                        "    etrn: refuse\n"
                        "    trust_proxy: []\n"
                        "    trust_xclient: []\n"
                        "    intercept: none\n"
                        "    source: own\n"
                        "    allow: []\n"
                        "    deny: [\"0.0.0.0/8\", \"127.0.0.0/8\", \"169.254.0.0/16\", \"224.0.0.0/4\", "
                        "\"255.255.255.255\", \"::\", \"::1\", \"fe80::/10\", \"ff00::/8\"]\n"
                        "upstreams:\n"
                        "  mta:\n"
                        "    servers: [\"mail.example.org:25\"]\n"
                        "    tls: none\n"
                        "    tls_min: 1.2\n"
                        "    dane: none\n"
                        "    identity: auto\n"
                        "    connect: late\n"
                        "    protocol: smtp\n"
                        "    chunking: yes\n"
                        "    keep: 8\n"
                        "    keep_time: 30s\n"
                        "    probe: 60s\n"
                        "    verify: no\n"
                        "policies:\n"
                        "  open:\n"
                        "    filters: []\n"
                        "hostname: \"gate.test\"\n"
                        "workers: 2\n"
                        "user: \"nobody\"\n"
                        "state_dir: \"/var/tmp\"\n"
                        "log:\n"
                        "  format: logfmt\n"
                        "  to: \"stderr\"\n"
                        "  level: info\n"
                        "plugins:\n"
                        "  path: \"/usr/lib/postern/plugins\"\n"
                        "limits:\n"
                        "  message: 50MiB\n"
                        "  body_memory: 256KiB\n"
                        "  hold: 256KiB\n"
                        "  bodies_memory: 64MiB\n"
                        "  bodies_disk: 1GiB\n"
                        "  local_part: 64\n"
                        "  recipients: 1000\n"
                        "  command_line: 2KiB\n"
                        "  auth_line: 12KiB\n"
                        "  errors: 20\n"
                        "  junk_commands: 100\n"
                        "  sessions: 10000\n"
                        "  header_bytes: 256KiB\n"
                        "  transactions: 0\n"
                        "  commands: 0\n"
                        "  pipelined: 128\n"
                        "  line_flood: 64KiB\n"
                        "  data_rate: 500\n"
                        "  hops: 0\n"
                        "  reply_lines: 128\n"
                        "  reply_bytes: 64KiB\n"
                        "  sessions_per_client: 50\n"
                        "  connections_per_client: 0\n"
                        "  handshakes_per_client: 0\n"
                        "  unlimited_clients: [\"127.0.0.0/8\", \"::1\"]\n"
                        "timeouts:\n"
                        "  command: 5m\n"
                        "  content: 3m\n"
                        "  greeting: 10s\n"
                        "  proxy_header: 10s\n"
                        "  tls_handshake: 30s\n"
                        "  upstream_connect: 30s\n"
                        "  upstream_greeting: 2m\n"
                        "  upstream_command: 5m\n"
                        "  upstream_data: 115s\n"
                        "  upstream_final: 10m\n"
                        "  upstream_idle: 1m\n"
                        "  silent_peer: 2m\n"
                        "  close: 5s\n"
                        "  tls_tickets: 6h\n"
                        "  drain: 30s\n"
                        "certificates: {}\n"
                        "filters: {}\n");
    free(dump);
}

static void test_loads_again(void **state)
{
    (void)state;
    check_round_trip(smallest);
    check_round_trip(EXAMPLE);
    /* without a hostname: the machine's */
    check_round_trip("listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open } }\n"
                     "upstreams: { mta: { servers: 'a.test:25', tls: required, verify: True } }\n"
                     "policies: { open: { filters: [] } }\n");
}

/* Texts that YAML would read as something else, or fold, if they were not quoted and escaped. */
static void test_odd_texts(void **state)
{
    char text[512];
    static const char *const odd[] = {"'yes'",
                                      "'# no'",
                                      "\"a\\nb\\t\\\\\\\"c\"",
                                      "\"\\u2028x\\u0085\\uFEFF\"",
                                      "'Grüße 日本 😀'",
                                      "\"\\x01\\U0001F600\\uFFFE\"",
                                      "' lead'",
                                      "'a: b, [c] {d}'",
                                      "|\n    two\n    lines\n"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        assert_true(snprintf(text, sizeof text, "%suser: %s\n", smallest, odd[i]) > 0);
        check_round_trip(text);
    }
    char *dump = dumped("user: \"\\u2028\\u00e4\\x7f\"\n"
                        "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open } }\n"
                        "upstreams: { mta: { servers: 'a.test:25' } }\n"
                        "policies: { open: { filters: [] } }\n");
    assert_non_null(strstr(dump, "user: \"\\u2028\xc3\xa4\\u007F\"\n"));
    free(dump);
    dump = dumped(text);
    assert_non_null(strstr(dump, "user: \"two\\u000Alines\\u000A\"\n"));
    free(dump);
}

static void test_plugin_options(void **state)
{
    char *dump = dumped(EXAMPLE);
    (void)state;
    assert_non_null(strstr(dump, "  content:\n"
                                 "    plugin: \"content\"\n"
                                 "    mode: enforce\n"
                                 "    on_error: tempfail\n"
                                 "    deadline: 5s\n"
                                 "    rules: [\"rules/*.rules\"]\n"
                                 "    score:\n"
                                 "      reject: 10\n"
                                 "      defer: 8\n"
                                 "    max_text: 1MiB\n"
                                 "    scopes: [text, header]\n"));
    assert_non_null(strstr(dump, "        rate: 100/1h\n"));
    free(dump);
}

static void test_secrets_masked(void **state)
{
    static const char secret[] =
        "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open } }\n"
        "upstreams: { mta: { servers: 'mail.example.org:25' } }\n"
        "policies: { open: { filters: [] } }\n"
        "filters: { l: { plugin: ratelimit, limits: {}, store: { password: hunter2 } } }\n";
    char *dump = dumped(secret);
    (void)state;
    assert_null(strstr(dump, "hunter2"));
    assert_non_null(strstr(dump, "password: \"***\"\n"));
    free(dump);
    check_round_trip(secret);
}

/* ---- JSON ---- */

static const char *skip_json(const char *s);

static const char *skip_space(const char *s)
{
    return s + strspn(s, " \n");
}

static const char *skip_string(const char *s)
{
    assert_int_equal(*s, '"');
    for (s++; *s != '"'; s++) {
        assert_true((unsigned char)*s >= 0x20);
        s += *s == '\\';
    }
    return s + 1;
}

static const char *skip_members(const char *s, char end)
{
    s = skip_space(s + 1);
    while (*s != end) {
        if (end == '}') {
            s = skip_space(skip_string(s));
            assert_int_equal(*s, ':');
            s++;
        }
        s = skip_space(skip_json(s));
        if (*s == ',') {
            s = skip_space(s + 1);
            assert_int_not_equal(*s, end);
        } else {
            assert_int_equal(*s, end);
        }
    }
    return s + 1;
}

/* Behind the value at s; fails the test where it is no JSON. */
static const char *skip_json(const char *s)
{
    s = skip_space(s);
    if (*s == '{')
        return skip_members(s, '}');
    if (*s == '[')
        return skip_members(s, ']');
    if (*s == '"')
        return skip_string(s);
    if (strncmp(s, "true", 4) == 0)
        return s + 4;
    if (strncmp(s, "false", 5) == 0)
        return s + 5;
    size_t n = strspn(s, "-+.0123456789eE");
    assert_true(n > 0);
    return s + n;
}

static void test_json_schema(void **state)
{
    struct buf out = {0};
    static const char *const holds[] = {
        "\"$schema\": \"http://json-schema.org/draft-07/schema#\"",
        "\"additionalProperties\": false",
        "\"const\": \"ratelimit\"",
        "\"description\": \"How many worker processes there are.\"",
        "\"maximum\": 256",
        "\"default\": \"50MiB\"",
        "\"default\": true",
        "\"max_text\": {",
        "\"redirect\",",
        "\"required\": [\n    \"listeners\"\n  ]",
    };
    (void)state;
    assert_true(conf_json_schema(&out, fake_plugin_names, fake_plugin_options));
    assert_true(buf_append(&out, span_make("", 1)));
    const char *text = text_of(&out);
    assert_string_equal(skip_json(text), "\n");
    for (size_t i = 0; i < COUNT_OF(holds); i++)
        if (strstr(text, holds[i]) == NULL)
            fail_msg("the schema has no %s", holds[i]);
    buf_free(&out);
    assert_true(conf_json_schema(&out, NULL, NULL));
    assert_true(buf_append(&out, span_make("", 1)));
    assert_string_equal(skip_json(text_of(&out)), "\n");
    assert_null(strstr(text_of(&out), "ratelimit"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_in_force),   cmocka_unit_test(test_loads_again),
        cmocka_unit_test(test_odd_texts),      cmocka_unit_test(test_plugin_options),
        cmocka_unit_test(test_secrets_masked), cmocka_unit_test(test_json_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
