/* SPDX-License-Identifier: MIT */
/* The configuration: text through a source -> an immutable snapshot, or a list of what is wrong.
 *
 *   source --bytes--> yaml --nodes with line:column--> check against the table --> struct conf
 *                                                        (schema.c: name, type, default, range, help)
 *
 * A snapshot lives in one arena and is never changed. Everything in it is good until conf_free. */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/network.h"
#include "base/span.h"
#include "conf/diag.h"
#include "postern/filter.h"

#include <stdint.h>

/* Where files come from: the disk (supervisor), a bundle in memory (workers), a table (tests). Names are
 * complete paths as conf_path made them. */
struct conf_source {
    void *ctx;
    /* 0, or -1 with the reason in *error_r (C string). The bytes live as long as the source. */
    int (*read)(void *ctx, const char *path, struct span *bytes_r, const char **error_r);
    /* Calls `found` for every file that the pattern names, sorted. */
    void (*glob)(void *ctx, const char *pattern, void (*found)(void *arg, const char *path), void *arg);
};
/* A file's name made complete: against the folder of the configuration file unless it is absolute.
 * NULL: no memory. */
char *conf_path(struct arena *a, const char *config_file, struct span name);

/* How the checker learns a plugin's option table. NULL with a reason: the plugin cannot be loaded. */
struct conf_plugins {
    void *ctx;
    const struct postern_option *(*options)(void *ctx, const char *plugins_path, struct span plugin,
                                            const char **error_r);
};

enum conf_tls {
    CONF_TLS_NONE,
    CONF_TLS_STARTTLS,
    CONF_TLS_REQUIRED,
    CONF_TLS_IMPLICIT,
    CONF_TLS_MIRROR,
    CONF_TLS_PASS,
    /* As written; a struct conf_listener has what they mean: MIRROR, MIRROR with `mint`, NONE. */
    CONF_TLS_TERMINATE,
    CONF_TLS_MINT,
    CONF_TLS_FORBID
};
enum conf_upstream_tls { CONF_UP_NONE, CONF_UP_OPPORTUNISTIC, CONF_UP_REQUIRED, CONF_UP_IMPLICIT };
enum conf_dane { CONF_DANE_NONE, CONF_DANE_OPPORTUNISTIC, CONF_DANE_REQUIRED };
enum conf_tls_min { CONF_TLS_12, CONF_TLS_13 };
enum conf_ask { CONF_ASK_NONE, CONF_ASK_REQUEST, CONF_ASK_REQUIRE };
enum conf_identity {
    CONF_IDENTITY_AUTO,
    CONF_IDENTITY_NONE,
    CONF_IDENTITY_XCLIENT,
    CONF_IDENTITY_XFORWARD,
    CONF_IDENTITY_PROXY_V1,
    CONF_IDENTITY_PROXY_V2,
    CONF_IDENTITY_TPROXY
};
enum conf_connect { CONF_LATE, CONF_EAGER };
enum conf_on_error { CONF_ON_ERROR_TEMPFAIL, CONF_ON_ERROR_ACCEPT, CONF_ON_ERROR_REJECT };
enum conf_intercept { CONF_INTERCEPT_NONE, CONF_INTERCEPT_REDIRECT, CONF_INTERCEPT_TPROXY };
enum conf_source_address { CONF_SOURCE_OWN, CONF_SOURCE_CLIENT };
enum conf_chunking { CONF_CHUNKING_NO, CONF_CHUNKING_YES, CONF_CHUNKING_ALWAYS };
enum conf_bare { CONF_BARE_REJECT, CONF_BARE_NORMALIZE };
enum conf_query { CONF_QUERY_REFUSE, CONF_QUERY_RELAY, CONF_QUERY_ANSWER };

#define CONF_PIN 32 /* bytes: SHA-256 of a certificate's SubjectPublicKeyInfo */

struct conf_address { /* "127.0.0.1:25", "[::1]:25", "mail.example.org:25" */
    const char *text; /* as written */
    const char *host; /* without brackets */
    uint16_t port;
    bool literal; /* host is an address, not a name */
};

struct conf_certificate {
    const char *name;
    const char *certificate, *key; /* complete paths */
    const struct postern_node *at;
};

struct conf_filter {
    const char *name, *plugin;
    bool shadow;
    enum conf_on_error on_error;
    uint64_t deadline_us;             /* default 5 s */
    const struct postern_node *block; /* the plugin's own options without those above; defaults filled in */
    const struct postern_node *at;
};

struct conf_policy {
    const char *name;
    const struct conf_filter **filters;
    size_t filter_count;
};

struct conf_upstream {
    const char *name;
    struct conf_address *servers;
    size_t server_count;
    enum conf_upstream_tls tls;
    bool verify;                     /* the chain, dates and name of the server's certificate must be good */
    const char *verify_name;         /* NULL: the name of the server itself */
    const char *verify_ca;           /* complete path; NULL: the system's */
    unsigned char (*pins)[CONF_PIN]; /* the server's key must be one of these; alone or beside `verify` */
    size_t pin_count;
    enum conf_dane dane;                        /* never with pins or without TLS */
    const struct conf_certificate *certificate; /* shown to the server when it asks; NULL: none */
    enum conf_tls_min tls_min;
    enum conf_identity identity;
    enum conf_connect connect;
    bool lmtp;                   /* protocol: lmtp */
    enum conf_chunking chunking; /* default yes: BDAT for what came by BDAT, or streams */
    uint32_t keep;               /* idle connections kept per worker, default 8; 0: none is reused */
    uint64_t keep_us;            /* for how long, default 30 s */
    uint64_t probe_us; /* how often what it offers is asked again, default 60 s (2 s while it is down) */
    const struct postern_node *at;
};

struct conf_listener {
    const char *name;
    struct conf_address *bind;
    size_t bind_count;
    enum conf_tls tls;
    const struct conf_certificate **certificates; /* the first is the default, the others by SNI */
    size_t certificate_count;
    const struct conf_certificate *mint; /* NULL, or the CA that signs copies of servers' certificates */
    enum conf_tls_min tls_min;
    enum conf_ask client_certificate;     /* whether clients are asked for one */
    const char *client_ca;                /* complete path: who may sign it */
    const struct conf_upstream *upstream; /* intercepting: may be NULL */
    const struct conf_policy *policy;
    enum conf_intercept intercept;
    enum conf_source_address source; /* of connections to intercepted destinations */
    struct networks allow, deny; /* of intercepted destinations; none in `allow`: all that `deny` has not */
    enum conf_bare bare_newline;
    bool auth_needs_tls; /* default yes: AUTH is neither offered nor taken in the clear */
    struct networks trust_proxy, trust_xclient;
    bool chunking;     /* default yes: CHUNKING is offered */
    bool enforce_sync; /* default yes: who talks before its turn (RFC 2920) gets 554 */
    struct networks lenient_sync, normalize_newlines; /* clients for whom the two above do not hold */
    enum conf_query vrfy, expn, etrn;
    const struct postern_node *at;
};

/* Limits and times; each is a setting under `limits:` and `timeouts:`. */
struct conf_limits {
    uint64_t message_bytes;          /* 50 MiB */
    uint64_t body_memory;            /* 256 KiB of a body in memory */
    uint64_t hold;                   /* 256 KiB: larger bodies stream upstream before their verdict */
    uint64_t bodies_memory;          /* 64 MiB per worker */
    uint64_t bodies_disk;            /* 1 GiB per worker */
    uint32_t local_part;             /* 64: octets before the @ */
    uint32_t recipients;             /* 1000 */
    uint32_t command_line;           /* 2 KiB */
    uint32_t auth_line;              /* 12 KiB */
    uint32_t errors;                 /* 20 a session */
    uint32_t junk_commands;          /* 100 between two messages: RSET, NOOP, VRFY, HELP, EHLO */
    uint32_t sessions;               /* 10000 per worker */
    uint32_t header_bytes;           /* 256 KiB of header section */
    uint32_t transactions;           /* 0: no limit; a session */
    uint32_t commands;               /* 0: no limit; a session */
    uint32_t pipelined;              /* 128 commands read ahead */
    uint32_t line_flood;             /* 64 KiB: past it even a line that is too long is not read to its end */
    uint64_t data_rate;              /* 500 octets of content a second, at least; 0: no limit */
    uint32_t hops;                   /* 0: Received lines are not counted */
    uint32_t reply_lines;            /* 128 of one reply of an upstream */
    uint32_t reply_bytes;            /* 64 KiB of it */
    uint32_t sessions_per_client;    /* 50 at once, over all workers; 0: no limit */
    uint32_t connections_per_client; /* a minute; 0: no limit */
    uint32_t handshakes_per_client;  /* new ones of TLS a minute; 0: no limit */
    struct networks unlimited_clients; /* loopback: the three above do not hold for these */
};
/* In microseconds. */
struct conf_timeouts {
    uint64_t command;           /* 5 min: the client's next command */
    uint64_t content;           /* 3 min: the client's next piece of content */
    uint64_t greeting;          /* 10 s: the client's greeting while nothing is known of the upstream */
    uint64_t proxy_header;      /* 10 s */
    uint64_t tls_handshake;     /* 30 s, both legs */
    uint64_t upstream_connect;  /* 30 s */
    uint64_t upstream_greeting; /* 2 min */
    uint64_t upstream_command;  /* 5 min: EHLO, MAIL, RCPT, AUTH, RSET */
    uint64_t upstream_data;     /* 115 s: DATA to 354, and each block written */
    uint64_t upstream_final;    /* 10 min: the final reply */
    uint64_t upstream_idle; /* 60 s: NOOP to the upstream while a client takes its time with the content */
    uint64_t silent_peer;   /* 2 min: a peer that acknowledges nothing */
    uint64_t close;         /* 5 s: the end of a connection */
    uint64_t tls_tickets;   /* 6 h: how long a key encrypts session tickets */
    uint64_t drain;         /* 30 s: transactions under way at SIGTERM */
};

struct conf {
    struct arena *arena;
    const char *file;
    uint32_t workers;      /* default 2 */
    const char *hostname;  /* default: the machine's */
    const char *user;      /* workers' user when started as root; default "nobody" */
    const char *state_dir; /* where bodies' unlinked files go; default "/var/tmp" */
    const char *log_to;    /* complete path for a file */
    bool log_json;
    unsigned log_level;       /* enum log_level */
    const char *plugins_path; /* complete */
    struct conf_limits limits;
    struct conf_timeouts timeouts;
    struct conf_certificate *certificates;
    size_t certificate_count;
    struct conf_filter *filters;
    size_t filter_count;
    struct conf_policy *policies;
    size_t policy_count;
    struct conf_upstream *upstreams;
    size_t upstream_count;
    struct conf_listener *listeners;
    size_t listener_count;
    const struct postern_node *root;
};

/* Do connections that are made for this listener's clients come from the clients' addresses? Intercepted
 * ones, and others. */
bool conf_source_is_client(const struct conf_listener *l, bool intercepted);

/* Reads and checks. NULL when there were errors (all of them are in `diags`). Warnings leave it good. */
MUST_CHECK struct conf *conf_load(const char *file, const struct conf_source *source,
                                  const struct conf_plugins *plugins, struct diags *diags);
void conf_free(struct conf **c);

/* The effective configuration as YAML: every option with its value in force, defaults included. Secrets are
 * shown as "***". */
MUST_CHECK bool conf_dump(const struct conf *c, struct buf *out);
/* The JSON Schema made from the table (and the plugins' tables, when given as NULL-ended lists). */
MUST_CHECK bool conf_json_schema(struct buf *out, const char *const *plugin_names,
                                 const struct postern_option *const *plugin_options);

/* A source that reads files of the disk. */
struct conf_source *conf_disk_source(void);
void conf_disk_source_free(struct conf_source **s);

#endif
