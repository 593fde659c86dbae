/* SPDX-License-Identifier: MIT */
/* Every kind of error, with its text and its exact place; many at once; and the bounds of the reader. */
#include "unit/conf/example.h"
#include "unit/conf/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* What a case below does not care about. */
#define IN   "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open } }\n"
#define MTA  "upstreams: { mta: { servers: 'a.test:25' } }\n"
#define OPEN "policies: { open: { filters: [] } }\n"
#define REST IN MTA OPEN

struct error_case {
    const char *text;
    const char *report; /* all that is printed, "L:C: text" for each error */
};

/* "1:2: text\n…" -> "FILE:1:2: error: text\n…" */
static void expand(const char *report, char *out, size_t room)
{
    out[0] = '\0';
    while (*report) {
        const char *end = strchr(report, '\n');
        int n = (int)(end ? end - report : (long)strlen(report));
        const char *text = report + strcspn(report, " ");
        size_t at = strlen(out);
        (void)snprintf(out + at, room - at, "/etc/p/a.yaml:%.*s error:%.*s\n", (int)(text - report), report,
                       n - (int)(text - report), text);
        report += n + (end != NULL);
    }
}

static void check_case(const struct error_case *c)
{
    static struct loaded l;
    static char expected[8192];
    load_text(&l, c->text);
    expand(c->report, expected, sizeof expected);
    assert_string_equal(l.report, expected);
    assert_null(l.conf);
    assert_true(l.diags.errors > 0);
    unload(&l);
}

#define CHECK_CASES(cases)                                                                                   \
    for (size_t i = 0; i < COUNT_OF(cases); i++)                                                             \
    check_case(&(cases)[i])

static void test_names(void **state)
{
    static const struct error_case cases[] = {
        {REST "worker: 2\n", "4:1: unknown option 'worker'; did you mean 'workers'?"},
        {REST "quux: 2\n", "4:1: unknown option 'quux'"},
        {"listeners:\n  submission: { bind: '127.0.0.1:25', upstream: mta, policy: open, polcy: open }\n" MTA
             OPEN,
         "2:68: unknown option 'polcy' in listeners.submission; did you mean 'policy'?"},
        {REST "log:\n  lvl: info\n  From: x\n",
         "5:3: unknown option 'lvl' in log\n6:3: unknown option 'From' in log"},
        {REST "limits: { message-size: 1MiB }\n", "4:11: unknown option 'message-size' in limits"},
        {REST "workers: 1\nworkers: 2\n",
         "5:1: 'workers' was already given in line 4; remove one of the two"},
        {MTA OPEN "listeners:\n"
                  "  a: { bind: '127.0.0.1:1', upstream: mta, policy: open }\n"
                  "  b: { bind: '127.0.0.1:2', upstream: mta, policy: open }\n"
                  "  a: { bind: '127.0.0.1:3', upstream: mta, policy: open }\n",
         "6:3: 'a' was already given in line 4; remove one of the two"},
        {"listeners:\n  \"a b\": { bind: '127.0.0.1:25', upstream: mta, policy: open }\n" MTA OPEN,
         "2:3: 'a b' cannot be a name: use letters, digits, '-', '_' and '.', a letter or digit first, at "
         "most "
         "64 in all"},
        {MTA OPEN, "1:1: 'listeners' is missing: Where clients connect, by name."},
        {MTA OPEN "listeners: {}\n", "3:1: 'listeners' is empty: Where clients connect, by name."},
        {MTA OPEN "listeners:\n  in: { bind: '127.0.0.1:25', upstream: mta }\n",
         "4:3: 'policy' is missing in listeners.in: Name of the policy that mail is filtered by."},
        {IN MTA "policies: { open: {} }\n", "3:13: 'filters' is missing in policies.open: Names of filters, "
                                            "in the order in which they are asked."},
        {REST "certificates:\n  x: { key: a }\n",
         "5:3: 'certificate' is missing in certificates.x: PEM file with the certificate and its chain."},
    };
    (void)state;
    CHECK_CASES(cases);
}

static void test_values(void **state)
{
    static const struct error_case cases[] = {
        {REST "workers: two\n", "4:10: 'workers' is 'two', but must be a whole number"},
        {REST "workers: -1\n", "4:10: 'workers' is '-1', but must be a whole number"},
        {REST "workers: 0\n", "4:10: 'workers' is 0, but must be 1 to 256"},
        {REST "workers: 99999999999999999999\n",
         "4:10: 'workers' is '99999999999999999999', but must be a whole number"},
        {REST "workers: [1]\n", "4:1: 'workers' must be a whole number, not a list"},
        {REST "workers:\n  a: 1\n", "4:1: 'workers' must be a whole number, not a block"},
        {REST "workers:\n", "4:1: 'workers' has no value; leave the line out, or write [] or {} for nothing"},
        {REST "hostname: ~\n",
         "4:1: 'hostname' has no value; leave the line out, or write [] or {} for nothing"},
        {REST "hostname: ''\n", "4:12: 'hostname' must not be empty"},
        {REST "hostname: \"a b\"\n", "4:12: 'hostname' must be a name of letters, digits, '-' and '.'"},
        {REST "log: { format: jsn }\n",
         "4:16: 'format' is 'jsn', but must be one of logfmt, json; did you mean 'json'?"},
        {REST "log: { level: loud }\n",
         "4:15: 'level' is 'loud', but must be one of error, warn, info, debug"},
        {REST "log: yes\n", "4:6: 'log' must be a block of options, not a single value"},
        {REST "timeouts: { drain: 30 }\n",
         "4:20: 'drain' is '30', but must be a duration such as 50ms, 5s, 10m, 1h"},
        {REST "timeouts: { drain: 5ms }\n", "4:20: 'drain' is 5ms, but must be 10ms to 1d"},
        {REST "limits: { message: 5 MiB }\n",
         "4:20: 'message' is '5 MiB', but must be a size such as 4096, 256KiB, 50MiB"},
        {REST "limits: { command_line: 511 }\n", "4:25: 'command_line' is 511, but must be 512 to 1MiB"},
        {REST "limits: { command_line: 4KiB, line_flood: 2KiB, auth_line: 512 }\n",
         "4:43: 'line_flood' is less than 'command_line': nobody could send such a line"},
        {REST "limits: { auth_line: 128KiB }\n",
         "4:22: 'line_flood' is less than 'auth_line': nobody could send such a line"},
        {MTA OPEN "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open, expn: answer } }\n",
         "3:77: 'expn' is 'answer', but must be one of refuse, relay"},
        {MTA OPEN
         "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open, lenient_sync: lan } }\n",
         "3:85: 'lan' must be an address or a network, such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"},
        {REST "limits: { recipients: 99 }\n", "4:23: 'recipients' is 99, but must be 100 to 1000000"},
        {REST "upstreams: 5\n", "4:1: 'upstreams' was already given in line 2; remove one of the two"},
        {IN OPEN "upstreams: 5\n",
         "3:12: 'upstreams' must be a block of names, each with its options, not a single value"},
        {IN OPEN "upstreams: { mta: 5 }\n", "3:19: 'mta' must be a block of options, not a single value"},
        {IN OPEN "upstreams: { mta: { servers: { a: b } } }\n",
         "3:21: 'servers' must be a list, not a block"},
        {IN OPEN "upstreams: { mta: { servers: [[x]] } }\n", "3:31: 'servers' must be a text, not a list"},
        {IN OPEN "upstreams: { mta: { servers: [] } }\n",
         "3:21: 'servers' is an empty list: Servers with ports, such as mail.example.org:25, 192.0.2.1:25 or "
         "[2001:db8::1]:25."},
        {IN OPEN "upstreams: { mta: { servers: 'a.test:25', verify: maybe } }\n",
         "3:51: 'verify' must be yes, no or a block of options, not a single value"},
        {MTA OPEN
         "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open, enforce_sync: 2 } }\n",
         "3:85: 'enforce_sync' is '2', but must be yes or no"},
    };
    (void)state;
    CHECK_CASES(cases);
}

static void test_addresses(void **state)
{
#define SERVER(address) IN OPEN "upstreams: { mta: { servers: [ok.test:1, \"" address "\"] } }\n"
#define FORM                                                                                                 \
    " must be an address or a name with a port, such as 127.0.0.1:25, [::1]:25 or mail.example.org:25"
    static const struct error_case cases[] = {
        {SERVER("a.test"), "3:43: 'a.test'" FORM},
        {SERVER(""), "3:43: 'servers' must not be empty"},
        {SERVER("[::1]"), "3:43: '[::1]'" FORM},
        {SERVER("[::1"), "3:43: '[::1'" FORM},
        {SERVER("::1:25"), "3:43: '::1:25' must have its IPv6 address in brackets, such as [::1]:25"},
        {SERVER("[a.test]:25"),
         "3:43: '[a.test]:25' must have an IPv6 address in its brackets, such as [::1]:25"},
        {SERVER("a.test:0"), "3:43: 'a.test:0' must have a port from 1 to 65535"},
        {SERVER("a.test:65536"), "3:43: 'a.test:65536' must have a port from 1 to 65535"},
        {SERVER("a.test:smtp"), "3:43: 'a.test:smtp' must have a port from 1 to 65535"},
        {SERVER("a.test:"), "3:43: 'a.test:' must have a port from 1 to 65535"},
        {SERVER("1.2.3.400:25"), "3:43: '1.2.3.400:25' is no valid IPv4 address"},
        {SERVER("1.2.3:25"), "3:43: '1.2.3:25' is no valid IPv4 address"},
        {SERVER("a_b/c:25"), "3:43: 'a_b/c:25' is no valid host name"},
        {SERVER(":25"), "3:43: ':25' is no valid host name"},
        {MTA OPEN "listeners: { in: { bind: localhost:25, upstream: mta, policy: open } }\n",
         "3:26: 'localhost:25' must be an address, not a name, such as 127.0.0.1:25 or [::]:25"},
        {MTA OPEN
         "listeners:\n"
         "  a: { bind: ['127.0.0.1:25', '[::1]:25'], upstream: mta, policy: open }\n"
         "  b: { bind: ['[0:0::1]:25', '127.0.0.1:26', '127.0.0.1:25'], upstream: mta, policy: open }\n",
         "5:16: '[0:0::1]:25' is bound already in line 4\n5:47: '127.0.0.1:25' is bound already in line 4"},
    };
    (void)state;
    CHECK_CASES(cases);
}

static void test_references(void **state)
{
    static const struct error_case cases[] = {
        {"listeners: { in: { bind: '127.0.0.1:25', upstream: mta2, policy: opne } }\n" MTA OPEN,
         "1:52: upstream 'mta2' is not defined; did you mean 'mta'?\n"
         "1:66: policy 'opne' is not defined; did you mean 'open'?"},
        {IN OPEN, "1:52: upstream 'mta' is not defined"},
        {IN MTA "policies: { open: { filters: [hello, helo] } }\nfilters: { hello: { plugin: hello } }\n",
         "3:38: filter 'helo' is not defined; did you mean 'hello'?"},
        {IN MTA "policies: { open: { filters: [hello, hello] } }\nfilters: { hello: { plugin: hello } }\n",
         "3:38: filter 'hello' is in this list already"},
        {MTA OPEN "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open, tls: starttls,\n"
                  "  certificate: [main, mian] } }\n"
                  "certificates: { main: { certificate: a, key: b } }\n",
         "4:23: certificate 'mian' is not defined; did you mean 'main'?"},
        {MTA OPEN "listeners: { in: { bind: '127.0.0.1:25', upstream: mta, policy: open, tls: required } }\n",
         "3:14: listener 'in' has 'tls: required' but no 'certificate'"},
        {MTA OPEN "listeners: { in: { bind: '127.0.0.1:25', policy: open } }\n",
         "3:14: listener 'in' has no 'upstream': where does its mail go?"},
        {IN OPEN "upstreams: { mta: { servers: ['a.test:25', '[::1]:25'], tls: required } }\n",
         "3:45: with 'tls: required' the certificate of '[::1]:25' is verified, but an address is no name to "
         "verify: set verify: { name: NAME }, or verify: no"},
    };
    (void)state;
    CHECK_CASES(cases);
}

static void test_filters(void **state)
{
    static const struct error_case cases[] = {
        {REST "filters:\n  f: { plugin: nosuch, x: 1 }\n",
         "5:16: plugin 'nosuch' cannot be loaded: there is no such file"},
        {REST "filters:\n  f: { plugin: ../x }\n",
         "5:16: a plugin's name has letters, digits, '-' and '_' only"},
        {REST "filters:\n  f: { plugin: clash }\n",
         "5:16: plugin 'clash' has an option 'mode', which every filter has already"},
        {REST "filters:\n  f: { mode: shadow }\n", "5:3: 'plugin' is missing in filters.f: Name of the "
                                                   "plugin; the other options of the block are its own."},
        {REST "filters:\n  f: { plugin: hello, xyzzy: 1 }\n", "5:23: unknown option 'xyzzy' in filters.f"},
        {REST "filters:\n  f: { plugin: hello, mod: shadow }\n",
         "5:23: unknown option 'mod' in filters.f; did you mean 'mode'?"},
        {REST "filters:\n  f: { plugin: content, ruls: x }\n",
         "5:3: 'rules' is missing in filters.f: Files with rules.\n"
         "5:25: unknown option 'ruls' in filters.f; did you mean 'rules'?"},
        {REST "filters:\n  f: { plugin: content, rules: x, score: { reject: ten, defer: 1e3 } }\n",
         "5:52: 'reject' is 'ten', but must be a number such as 2.5\n"
         "5:64: 'defer' is '1e3', but must be a number such as 2.5"},
        {REST "filters:\n  f: { plugin: content, rules: x, score: { reject: 1001 } }\n",
         "5:52: 'reject' is 1001, but must be -1000 to 1000"},
        {REST "filters:\n  f: { plugin: content, rules: x, scopes: [text, bdy] }\n",
         "5:50: 'scopes' is 'bdy', but must be one of text, body, header; did you mean 'body'?"},
        {REST "filters:\n  f:\n    plugin: ratelimit\n    limits:\n      a: { key: [x], rate: 100 }\n",
         "8:28: 'rate' is '100', but must be a rate such as 100/1h, 60/1m, 5/s"},
        {REST "filters:\n  f:\n    plugin: ratelimit\n    limits:\n      a: { key: [x] }\n",
         "8:7: 'rate' is missing in filters.f.limits.a: How many in which time."},
        {REST "filters:\n  f: { plugin: hello, deadline: 11m }\n",
         "5:33: 'deadline' is 11m, but must be 1ms to 10m"},
    };
    (void)state;
    CHECK_CASES(cases);
}

static void test_interception(void **state)
{
#define GATE(more) OPEN "listeners: { in: { bind: '127.0.0.1:25', policy: open, " more " } }\n"
#define TOWARD(more)                                                                                         \
    GATE("intercept: redirect, upstream: t") "upstreams: { t: { servers: 'a.test:25', " more " } }\n"
    static const struct error_case cases[] = {
        {GATE("intercept: none"), "2:14: listener 'in' has no 'upstream': where does its mail go?"},
        {GATE("intercept: redirect, allow: [lan]"),
         "2:85: 'lan' must be an address or a network, such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"},
        {GATE("intercept: redirect, deny: 10.0.0.1/8"),
         "2:83: '10.0.0.1/8' has an address that goes on behind its prefix; write its first address, such as "
         "192.0.2.0/24"},
        {TOWARD("tls: required"),
         "2:14: listener 'in' intercepts, and upstream 't' verifies the name of the server, but the address "
         "is "
         "all that is known of an intercepted one: set verify: { name: NAME } there, or verify: no"},
    };
    (void)state;
    CHECK_CASES(cases);
}

static void test_yaml(void **state)
{
    static const struct error_case cases[] = {
        {REST "log: &a { level: info }\n",
         "4:6: anchors (&name) are not allowed here; write the value out where it is used"},
        {REST "user: &a x\nhostname: *a\n",
         "4:7: anchors (&name) are not allowed here; write the value out where it is used\n"
         "5:11: aliases (*name) are not allowed here; write the value out"},
        {REST "hostname: !str x\n",
         "4:11: tags (!name) are not allowed here; types come from the option itself"},
        {REST "---\nworkers: 2\n", "4:1: a second document (---) is not allowed; write everything in one"},
        {REST "? [a]\n: b\n", "4:3: an option's name must be plain text, not a list or a block"},
        {REST "hostname: \"a\\0b\"\n", "4:11: a NUL character is not allowed in a name or a value"},
        {REST "workers: 2: 3\n", "4:11: not valid YAML: mapping values are not allowed in this context; look "
                                 "for a value with ': ' in it "
                                 "that needs quotes, or for wrong indentation"},
        {REST "log:\n\tlevel: info\n", "5:1: not valid YAML: found character that cannot start any token; "
                                       "tabs cannot indent, and a value that "
                                       "begins with @, ` or % needs quotes"},
        {REST "hostname: a\x01\n",
         "4:12: not valid YAML: control characters are not allowed; the file must be UTF-8 without control "
         "characters"},
        {REST "hostname: \xc3\xa4\xff\n", "4:12: not valid YAML: invalid leading UTF-8 octet; the file must "
                                          "be UTF-8 without control characters"},
        {"- a\n", "1:1: the file must consist of options, such as 'listeners:'"},
        {"hello\n", "1:1: the file must consist of options, such as 'listeners:'"},
    };
    (void)state;
    CHECK_CASES(cases);
}

static void test_without_place(void **state)
{
    static struct loaded l;
    (void)state;
    load_text(&l, "# nothing\n");
    assert_string_equal(l.report, "/etc/p/a.yaml: error: the file has no options in it\n");
    unload(&l);
    load_file(&l, "missing.yaml", SPAN_NONE);
    assert_string_equal(l.report, "missing.yaml: error: cannot be read: No such file or directory\n");
    unload(&l);
    load_file(&l, "a.yaml", SPAN_NONE);
    assert_string_equal(l.report, "a.yaml: error: the file has no options in it\n");
    unload(&l);
}

static void test_all_in_one_run(void **state)
{
    static const struct error_case many = {
        "workers: none\n"
        "log: { level: loud, form: x }\n"
        "listeners:\n"
        "  a: { bind: ['127.0.0.1:25', 'x'], upstream: mtb, policy: open }\n"
        "  b: { bind: '127.0.0.1:25', tls: startls, upstream: mta, policy: open }\n"
        "upstreams: { mta: { servers: 'a.test:25', tls: required, keep: many } }\n"
        "policies: { open: { filters: [f] } }\n"
        "filters: { f: { plugin: content, score: { reject: x } } }\n",
        "1:10: 'workers' is 'none', but must be a whole number\n"
        "2:15: 'level' is 'loud', but must be one of error, warn, info, debug\n"
        "2:21: unknown option 'form' in log; did you mean 'format'?\n"
        "4:32: 'x' must be an address or a name with a port, such as 127.0.0.1:25, [::1]:25 or "
        "mail.example.org:25\n"
        "4:47: upstream 'mtb' is not defined; did you mean 'mta'?\n"
        "5:15: '127.0.0.1:25' is bound already in line 4\n"
        "5:35: 'tls' is 'startls', but must be one of none, starttls, required, implicit, mirror, pass, "
        "terminate, mint, forbid; did you "
        "mean "
        "'starttls'?\n"
        "6:64: 'keep' is 'many', but must be a whole number\n"
        "8:12: 'rules' is missing in filters.f: Files with rules.\n"
        "8:51: 'reject' is 'x', but must be a number such as 2.5"};
    (void)state;
    check_case(&many);
}

static void test_warnings(void **state)
{
    static struct loaded l;
    (void)state;
    load_text(&l,
              MTA OPEN "certificates: { main: { certificate: a, key: b } }\n"
                       "limits: { body_memory: 1MiB, bodies_memory: 512KiB }\n"
                       "listeners:\n"
                       "  in: { bind: '127.0.0.1:25', upstream: mta, policy: open, certificate: main }\n");
    assert_string_equal(l.report,
                        "/etc/p/a.yaml:4:11: warning: 'body_memory' is more than 'bodies_memory', all bodies "
                        "together\n"
                        "/etc/p/a.yaml:6:60: warning: 'certificate' has no effect with 'tls: none'\n");
    assert_non_null(l.conf);
    unload(&l);
}

/* A secret must not come back in a message about it. */
static void test_secret_not_shown(void **state)
{
    static struct loaded l;
    (void)state;
    load_text(&l, REST "filters:\n  f:\n    plugin: ratelimit\n    limits: {}\n"
                       "    store: { password: [hunter2] }\n");
    assert_non_null(strstr(l.report, "8:14: error: 'password' must be a text, not a list"));
    assert_null(strstr(l.report, "hunter2"));
    unload(&l);
}

/* ---- the reader's bounds ---- */

static char *repeat(const char *head, const char *piece, size_t n, size_t *length_r)
{
    size_t head_n = strlen(head), piece_n = strlen(piece);
    char *text = malloc(head_n + n * piece_n + 1);
    assert_non_null(text);
    memcpy(text, head, head_n);
    for (size_t i = 0; i < n; i++)
        memcpy(text + head_n + i * piece_n, piece, piece_n);
    *length_r = head_n + n * piece_n;
    text[*length_r] = '\0';
    return text;
}

static void check_bound(const char *head, const char *piece, size_t n, const char *needle)
{
    static struct loaded l;
    size_t length;
    char *text = repeat(head, piece, n, &length);
    load_file(&l, "a.yaml", span_make(text, length));
    if (strstr(l.report, needle) == NULL)
        fail_msg("'%s' is not in: %.500s", needle, l.report);
    assert_null(l.conf);
    unload(&l);
    free(text);
}

static void test_bounds(void **state)
{
    (void)state;
    check_bound("a: ", "[", 40, "a.yaml:1:35: error: nested too deeply: at most 32 levels are allowed");
    check_bound("a: ", "[", 100000, "nested too deeply");
    check_bound("", "#1234567890123456789012345678901\n", 40000, "the file is larger than 1 MiB");
    check_bound("a: [", "b,", 70000, "too many values: at most 65536 are allowed");
    check_bound("a: b\n", "a: b\n", 20000, "and 19802 more findings");
}

/* Whatever a half-written file says, it is refused or taken, never more. */
static void test_truncated_everywhere(void **state)
{
    static struct loaded l;
    const size_t n = sizeof EXAMPLE - 1;
    size_t taken = 0;
    (void)state;
    for (size_t i = 0; i <= n; i++) {
        char *text = malloc(i + 1); /* of its own, so that reading past it is seen */
        assert_non_null(text);
        memcpy(text, EXAMPLE, i);
        load_file(&l, "a.yaml", span_make(text, i));
        assert_true((l.conf == NULL) == (l.diags.errors > 0));
        taken += l.conf != NULL;
        unload(&l);
        free(text);
    }
    assert_true(taken >= 1);
    assert_true(taken < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_interception),
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_without_place),
        cmocka_unit_test(test_all_in_one_run),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_secret_not_shown),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_truncated_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
