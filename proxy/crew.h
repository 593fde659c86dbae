/* SPDX-License-Identifier: MIT */
/* The workers as the supervisor sees them: started, told, listened to, replaced when they die.
 *
 *   DOWN --fork, PREPARE--> STARTING --READY: COMMIT--> COMMITTED --SERVING--> SERVING
 *    ^                                                     ^                      | PREPARE (reload)
 *    | died                                         COMMIT |                      v
 *    +------- any state                                 PREPARED <----READY--- OFFERED
 *
 * Nothing here waits: what a worker owes has a deadline, and one that misses it is killed and replaced. */
#ifndef PROXY_CREW_H
#define PROXY_CREW_H

#include "base/log.h"
#include "proxy/clients.h"
#include "proxy/counters.h"
#include "proxy/generation.h"
#include "proxy/released.h"

#include <poll.h>

struct crew;

enum crew_state {
    CREW_DOWN,      /* waits to be started (again) */
    CREW_STARTING,  /* builds its first generation */
    CREW_OFFERED,   /* builds the next one while it serves */
    CREW_PREPARED,  /* has built it */
    CREW_COMMITTED, /* was told to use it */
    CREW_SERVING,
    CREW_LEAVING, /* was told to end */
    CREW_STATES
};

struct crew_env {
    struct log *log;
    struct counters *counters;
    struct clients *clients;
    struct released *released;
    const char *file;
};

/* `env` is copied. NULL: no memory. */
MUST_CHECK struct crew *crew_create(const struct crew_env *env);
void crew_destroy(struct crew **c); /* kills whom it still has */

/* How many there shall be, and what new ones are given: both are borrowed until the next call. Those too many
 * are told to drain. */
MUST_CHECK bool crew_set(struct crew *c, size_t workers, const struct generation *g,
                         const struct tls_ticket_keys *tickets);

/* A reload: all that serve get the next generation. Then crew_trouble, or none left in OFFERED. */
void crew_offer(struct crew *c, const struct generation *g, const struct tls_ticket_keys *tickets);
void crew_commit(struct crew *c);
void crew_abort(struct crew *c);
/* Why the round that crew_offer began (or the start) cannot succeed; NULL: it still can. */
const char *crew_trouble(const struct crew *c);

size_t crew_count(const struct crew *c, enum crew_state state);
size_t crew_alive(const struct crew *c);

void crew_drain(struct crew *c); /* all end when their sessions have; nobody is started any more */
void crew_stop(struct crew *c);  /* all end now */
void crew_kill(struct crew *c);  /* SIGKILL */
void crew_reopen_logs(struct crew *c);
void crew_rekey(struct crew *c); /* the tickets of crew_set have changed; not while a round is on */

/* For the supervisor's loop. */
size_t crew_poll(const struct crew *c, struct pollfd *out, size_t room); /* how many there are */
void crew_read(struct crew *c);                                          /* messages of all workers */
void crew_reap(struct crew *c);                                          /* SIGCHLD */
void crew_tick(struct crew *c);                                          /* starts, overdue answers */
int crew_wait_ms(const struct crew *c); /* until the next tick has something to do; -1: nothing */

#endif
