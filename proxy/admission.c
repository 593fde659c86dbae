/* SPDX-License-Identifier: MIT */
/* The limits of clients.
 *
 *   accept -> room? -> unlimited network? -> connections a minute -> sessions at once -> a session
 *   STARTTLS, or the first byte of implicit TLS -> handshakes a minute -> TLS
 *
 * Owned by the worker's relays. A flood fills the counters, not the log: of each limit there is one line in
 * LOG_EVERY_US, which says how many refusals it stands for. */
#include "proxy/admission.h"

#include "base/clock.h"

#include <stdlib.h>

#define LOG_EVERY_US ((uint64_t)US_PER_S)

static const struct {
    const char *name; /* in log and counters */
    struct span reply;
} texts[ADMISSION_ANSWERS] = {
    [ADMISSION_FULL] = {"too_many_sessions", SPAN_LIT("421 4.7.0 Too many sessions; try again later\r\n")},
    [ADMISSION_SESSIONS] = {"sessions_per_client",
                            SPAN_LIT("421 4.7.0 Too many sessions from your address; try again later\r\n")},
    [ADMISSION_CONNECTIONS] = {"connections_per_client",
                               SPAN_LIT(
                                   "421 4.7.0 Too many connections from your address; try again later\r\n")},
    [ADMISSION_HANDSHAKES] = {"handshakes_per_client",
                              SPAN_LIT("421 4.7.0 Too many new TLS sessions from your address; try again "
                                       "later\r\n")},
};

struct limit {
    size_t counter;
    uint64_t logged_us;
    uint64_t unlogged; /* refusals since then */
};

struct admission {
    struct admission_env env;
    struct limit limits[ADMISSION_ANSWERS];
};

struct span admission_reply(enum admission_answer a)
{
    return texts[a].reply;
}

struct admission *admission_create(const struct admission_env *env)
{
    struct admission *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->env = *env;
    for (size_t i = ADMISSION_GRANTED + 1; i < ADMISSION_ANSWERS; i++) {
        char name[64];
        int n = snprintf(name, sizeof name, "session.%s", texts[i].name);
        a->limits[i].counter = n > 0 ? counters_find(env->counters, name) : 0;
    }
    return a;
}

void admission_destroy(struct admission **a)
{
    free(*a);
    *a = NULL;
}

static void refuse(struct admission *a, const struct admission_pass *p, enum admission_answer why)
{
    struct limit *limit = &a->limits[why];
    uint64_t now = clock_mono_us();
    counters_add(a->env.counters, limit->counter, 1);
    limit->unlogged++;
    if (limit->logged_us && now - limit->logged_us < LOG_EVERY_US)
        return;
    struct log_record line;
    log_begin(&line, a->env.log, why == ADMISSION_FULL ? LOG_AT_WARN : LOG_AT_INFO, "limit");
    log_cstr(&line, "limit", texts[why].name);
    log_cstr(&line, "listener", p->listener);
    log_str(&line, "client", p->client);
    log_int(&line, "refused", (int64_t)limit->unlogged);
    log_end(&line);
    limit->logged_us = now;
    limit->unlogged = 0;
}

static enum admission_answer enter(struct admission *a, struct admission_pass *p,
                                   const struct conf_limits *limits)
{
    if (p->full)
        return ADMISSION_FULL;
    if (!p->key)
        return ADMISSION_GRANTED;
    if (!clients_may(a->env.clients, CLIENTS_CONNECTION, p->key, limits->connections_per_client,
                     clock_mono_us()))
        return ADMISSION_CONNECTIONS;
    enum clients_answer in =
        clients_enter(a->env.clients, a->env.worker, p->key, limits->sessions_per_client);
    p->inside = in == CLIENTS_IN;
    return in == CLIENTS_TOO_MANY ? ADMISSION_SESSIONS : ADMISSION_GRANTED;
}

enum admission_answer admission_enter(struct admission *a, struct admission_pass *p,
                                      const struct conf_limits *limits, const unsigned char *ip, size_t ip_n)
{
    bool limited = a->env.clients && !networks_have(&limits->unlimited_clients, ip, ip_n);
    p->key = limited ? clients_key(a->env.clients, ip, ip_n) : 0;
    enum admission_answer answer = enter(a, p, limits);
    if (answer != ADMISSION_GRANTED)
        refuse(a, p, answer);
    return answer;
}

void admission_leave(struct admission *a, struct admission_pass *p)
{
    if (p->inside)
        clients_leave(a->env.clients, a->env.worker, p->key);
    p->inside = false;
}

bool admission_handshake(struct admission *a, const struct admission_pass *p,
                         const struct conf_limits *limits)
{
    if (!p->key || clients_may(a->env.clients, CLIENTS_HANDSHAKE, p->key, limits->handshakes_per_client,
                               clock_mono_us()))
        return true;
    refuse(a, p, ADMISSION_HANDSHAKES);
    return false;
}

void admission_resumed(struct admission *a, const struct admission_pass *p, const struct conf_limits *limits)
{
    if (p->key)
        clients_give_back(a->env.clients, CLIENTS_HANDSHAKE, p->key, limits->handshakes_per_client,
                          clock_mono_us());
}
