/* SPDX-License-Identifier: MIT */
/* A configuration that uses nearly every option: the shape that the documentation shows. */
#ifndef TESTS_CONF_EXAMPLE_H
#define TESTS_CONF_EXAMPLE_H

#define EXAMPLE_TOP                                                                                          \
    "# yaml-language-server: $schema=postern.schema.json\n"                                                  \
    "workers: 2\n"                                                                                           \
    "hostname: gate.example.org                 # used in greetings and Received-like places\n"              \
    "log: { format: logfmt, to: stderr }        # logfmt | json; stderr | syslog | journal | PATH\n"         \
    "admin: { socket: postern.sock, http: \"127.0.0.1:8025\" }\n"                                            \
    "plugins: { path: build/plugins }\n"                                                                     \
    "\n"                                                                                                     \
    "certificates:\n"                                                                                        \
    "  main: { certificate: cert.pem, key: key.pem }\n"                                                      \
    "\n"                                                                                                     \
    "listeners:\n"                                                                                           \
    "  submission:\n"                                                                                        \
    "    bind: [\"127.0.0.1:2587\", \"[::1]:2587\"]\n"                                                       \
    "    tls: starttls                          # none | starttls | required | implicit\n"                   \
    "    certificate: main\n"                                                                                \
    "    upstream: mta\n"                                                                                    \
    "    policy: outbound\n"                                                                                 \
    "    bare_newline: reject                   # reject | normalize\n"                                      \
    "    trust_proxy: []                        # networks that may (and must) speak PROXY\n"                \
    "    trust_xclient: []                      # networks that may use XCLIENT\n"                           \
    "  gateway:\n"                                                                                           \
    "    bind: [\"127.0.0.1:2526\"]\n"

/* The one line of it that this version cannot do, and what it can do instead. */
#define EXAMPLE_REDIRECT "    intercept: redirect                    # none | redirect | tproxy\n"
#define EXAMPLE_FIXED    "    intercept: none\n    upstream: mta\n"

#define EXAMPLE_REST                                                                                         \
    "    policy: outbound\n"                                                                                 \
    "\n"                                                                                                     \
    "upstreams:\n"                                                                                           \
    "  mta:\n"                                                                                               \
    "    servers: [\"127.0.0.1:10025\"]\n"                                                                   \
    "    tls: none                              # none | opportunistic | required | implicit\n"              \
    "    verify: { name: mail.example.org, ca: ca.pem }   # or false\n"                                      \
    "    identity: auto                         # auto | none | xclient | xforward | proxy-v1\n"             \
    "    connect: late                          # late | eager\n"                                            \
    "\n"                                                                                                     \
    "policies:\n"                                                                                            \
    "  outbound: { filters: [limits, content] }\n"                                                           \
    "  open: { filters: [] }\n"                                                                              \
    "\n"                                                                                                     \
    "filters:\n"                                                                                             \
    "  limits:\n"                                                                                            \
    "    plugin: ratelimit\n"                                                                                \
    "    mode: enforce                          # enforce | shadow\n"                                        \
    "    on_error: tempfail                     # tempfail | accept | reject\n"                              \
    "    store: { type: memory }\n"                                                                          \
    "    limits:\n"                                                                                          \
    "      per-sender: { key: [sender], count: recipients, rate: 100/1h, burst: 20 }\n"                      \
    "      per-client: { key: [client/32], count: messages, rate: 60/1m, burst: 60 }\n"                      \
    "  content:\n"                                                                                           \
    "    plugin: content\n"                                                                                  \
    "    rules: [rules/*.rules]\n"                                                                           \
    "    score: { reject: 10, defer: 8 }\n"

#define EXAMPLE EXAMPLE_TOP EXAMPLE_FIXED EXAMPLE_REST

#endif
