/* SPDX-License-Identifier: MIT */
/* What each client does, over all workers: how many sessions it has now, how often it came and how often it
 * began TLS lately. A client is an IPv4 address, or the /64 of an IPv6 one. In memory that all processes
 * share; of a fixed size, however many clients there are. */
#ifndef PROXY_CLIENTS_H
#define PROXY_CLIENTS_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clients; /* made by the supervisor before the first fork; mapped by all */

MUST_CHECK struct clients *clients_create(void); /* NULL: no memory, or no random bytes */
void clients_destroy(struct clients **c);        /* this process's view */

/* Who this is, from the 4 or 16 bytes of an address; 0: nobody who could be counted. */
MUST_CHECK uint64_t clients_key(const struct clients *c, const unsigned char *ip, size_t ip_n);

enum clients_answer {
    CLIENTS_IN,       /* counted: clients_leave must follow */
    CLIENTS_TOO_MANY, /* not counted */
    CLIENTS_UNCOUNTED /* no place to count it: it may come in, and nothing follows */
};
/* One session more for this client, unless it has `most` already in all workers together (0: any number).
 * Workers are numbered from 1; those past CLIENTS_WORKERS count nothing. */
#define CLIENTS_WORKERS 288u
MUST_CHECK enum clients_answer clients_enter(struct clients *c, uint32_t worker, uint64_t key, uint32_t most);
void clients_leave(struct clients *c, uint32_t worker, uint64_t key);
/* The worker is dead, and so are its sessions. */
void clients_worker_gone(struct clients *c, uint32_t worker);

enum clients_act { CLIENTS_CONNECTION, CLIENTS_HANDSHAKE, CLIENTS_ACTS };
/* May this client do it once more? `a_minute` times at once, and then as fast as that in the long run (0: as
 * it likes). What is refused costs nothing. */
#define CLIENTS_RATE_MAX 60000u
MUST_CHECK bool clients_may(struct clients *c, enum clients_act act, uint64_t key, uint32_t a_minute,
                            uint64_t now_us);
/* It was not one after all. */
void clients_give_back(struct clients *c, enum clients_act act, uint64_t key, uint32_t a_minute,
                       uint64_t now_us);

#endif
