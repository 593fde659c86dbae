/* SPDX-License-Identifier: MIT */
/* The inside of an upstream, for upstream*.c only.
 *
 *   upstream.c       the set: probing, get and put, what is kept, who waits
 *   upstream_line.c  one connection: made, secured, fed to its leg, buried
 *
 *   COMING -> OUT -> CLEANING -> KEPT -> OUT ...       each of them -> DEAD -> freed after the loop turn */
#ifndef PROXY_UPSTREAM_PARTS_H
#define PROXY_UPSTREAM_PARTS_H

#include "net/conn.h"
#include "proxy/dane.h"
#include "proxy/upstream.h"

enum line_role { LINE_COMING, LINE_OUT, LINE_CLEANING, LINE_KEPT, LINE_DEAD };

struct upstream_wait {
    struct upstream *up;
    struct up_line *line; /* on its way; NULL: still to be made */
    upstream_got *got;
    void *arg;
};

struct up_line {
    struct up_line *next, **prev;
    struct upstream *up;
    struct conn *conn;
    struct buf preface;     /* goes out first */
    char *tls_name;         /* the client asked for it; NULL: none */
    struct endpoint source; /* whom the server sees; ip_n 0: this host */
    struct upleg *leg;
    struct upleg_config config;   /* of the leg: the upstream's, until DANE or a failure of TLS has its say */
    struct dane_question *asking; /* first of all; then the connection is made */
    struct dane_facts *dane;      /* NULL: nothing was asked */
    struct upstream_wait *wait;
    const struct conf_address *server;
    enum line_role role;
    bool probe;                 /* made to see what the upstream offers */
    size_t tries;               /* servers tried before for this wish */
    bool plain;                 /* opportunistic TLS that failed: this one goes without */
    bool connected;             /* the server was reached */
    struct loop_timer timer;    /* of the leg */
    struct loop_timer patience; /* how long it is kept, or may take to become clean */
    struct loop_deferred burial;
};

struct upstream {
    struct upstream_env env;
    const struct conf_upstream *conf;
    struct upleg_config leg_config;
    struct tls_client *tls;
    struct dane *dane; /* NULL: not wanted */
    uint64_t connect_us, handshake_us;
    struct ehlo offer;
    enum session_offer state;
    struct up_line *lines;
    size_t kept;
    const struct conf_address *best; /* the server that answered last: it is asked first */
    struct loop_timer probe;
    bool probing, released, started;
    uint64_t no_tls_until_us; /* env.relay: the client has read the greeting, so the next one is better off */
    struct loop_deferred burial;
    size_t count_connects, count_failures, count_reused;
};

/* upstream_line.c */
/* Made, in the list of its upstream, and on its way to the server; nobody uses its leg yet. `plain`:
 * opportunistic TLS has failed, so this one goes without, unless DANE wants it. NULL: no memory or
 * descriptors. */
MUST_CHECK struct up_line *upstream_line_create(struct upstream *u, const struct conf_address *server,
                                                bool plain, const struct upstream_caller *caller);
struct up_line *upstream_line_of(const struct upleg *leg);
/* Of a leg that has died before it was READY: for the log, if it was DANE that kept it from that. */
void upstream_line_log_dane(const struct up_line *l, const char *why);

/* upstream.c */
/* A line was freed: one that was released may have had its last. */
void upstream_line_gone(struct upstream *u);

#endif
