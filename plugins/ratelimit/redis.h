/* SPDX-License-Identifier: MIT */
/* A client for one Redis (or Valkey) node, on the host's streams and timers: one connection, calls in a
 * pipeline, replies paired with calls in order. It knows scripts, keys and arrays of numbers, and nothing of
 * limits.
 *
 * It never lets a caller wait for a connection: while there is none, or while the oldest call is overdue,
 * calls are refused at once. */
#ifndef RATELIMIT_REDIS_H
#define RATELIMIT_REDIS_H

#include "spans.h"

struct redis_settings {
    struct postern_stream_target target; /* spans: living longer than the client */
    struct postern_span user, password;  /* empty: none */
    uint64_t database;
    uint64_t deadline_us; /* of a call */
    size_t max_calls;     /* in flight */
};

enum redis_script { REDIS_CHARGE, REDIS_GIVE_BACK, REDIS_SCRIPTS };

#define REDIS_ITEMS_MAX 32
#define REDIS_KEY_MAX   320

struct redis_item {
    struct postern_span prefix,
        text; /* the key is both; together at most REDIS_KEY_MAX, living until the end */
    uint64_t args[3];
};

enum redis_event {
    REDIS_OVERDUE, /* the deadline has passed; one of the others will still come */
    REDIS_REPLIED, /* numbers */
    REDIS_FAILED,  /* an error reply: the script has not run, or not to its end */
    REDIS_LOST     /* the connection is gone; nobody knows what became of the call */
};

struct redis_call {
    /* Filled in by the caller. `done` is called for REDIS_OVERDUE at most once, and then exactly once for one
     * of the others, after which the call is the caller's again; never from within redis_call(). It returns
     * -1 when the numbers make no sense: the connection is closed then. It may make new calls. */
    int (*done)(struct redis_call *call, enum redis_event event, const long long *numbers, size_t n);
    enum redis_script script;
    size_t n;
    struct redis_item *items;

    /* private */
    struct redis_call *next;
    uint64_t due_us;
    unsigned tries;
    bool overdue, whole; /* whole: sent with the script's text */
};

struct redis;
MUST_CHECK struct redis *redis_create(const struct postern_host *host, void *self,
                                      const struct redis_settings *settings);
void redis_start(struct redis *r);
/* Every call in flight gets REDIS_LOST. */
void redis_destroy(struct redis **r);

/* 0: `done` will be called. -1: the store is not available (down, overdue, too much in flight, no memory). */
MUST_CHECK int redis_call(struct redis *r, struct redis_call *call);

#endif
