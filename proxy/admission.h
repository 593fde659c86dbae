/* SPDX-License-Identifier: MIT */
/* Whether a client may come in: a worker has so many sessions, and one client over all workers so many
 * sessions at once, connections and new TLS handshakes a minute (limits: sessions, sessions_per_client,
 * connections_per_client, handshakes_per_client). What is refused is counted here, and has its line in the
 * log. */
#ifndef PROXY_ADMISSION_H
#define PROXY_ADMISSION_H

#include "base/log.h"
#include "conf/conf.h"
#include "proxy/clients.h"
#include "proxy/counters.h"

struct admission; /* one in each worker */

struct admission_env {
    struct log *log;
    struct counters *counters;
    struct clients *clients; /* shared by all workers; NULL: nobody is limited */
    uint32_t worker;
};
MUST_CHECK struct admission *admission_create(const struct admission_env *env);
void admission_destroy(struct admission **a);

enum admission_answer {
    ADMISSION_GRANTED,
    ADMISSION_FULL,
    ADMISSION_SESSIONS,
    ADMISSION_CONNECTIONS,
    ADMISSION_HANDSHAKES,
    ADMISSION_ANSWERS
};
/* What a client that may not come in is told, as a line. */
struct span admission_reply(enum admission_answer a);

/* Of one client, from admission_enter to admission_leave; zeroed: not counted. */
struct admission_pass {
    const char *listener; /* for the log; borrowed */
    struct span client;
    bool full;    /* this worker has no room left */
    uint64_t key; /* 0: a client without limits */
    bool inside;
};

/* A client with this address has come; what is above `key` in the pass is set. */
MUST_CHECK enum admission_answer admission_enter(struct admission *a, struct admission_pass *p,
                                                 const struct conf_limits *limits, const unsigned char *ip,
                                                 size_t ip_n);
void admission_leave(struct admission *a, struct admission_pass *p);
/* May it begin TLS? */
MUST_CHECK bool admission_handshake(struct admission *a, const struct admission_pass *p,
                                    const struct conf_limits *limits);
/* TLS has begun, and it was an old session: that costs little, and counts as nothing. */
void admission_resumed(struct admission *a, const struct admission_pass *p, const struct conf_limits *limits);

#endif
