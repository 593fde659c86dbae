/* SPDX-License-Identifier: MIT */
/* The plugin's own objects; shared by its files only. */
#ifndef RATELIMIT_RATELIMIT_H
#define RATELIMIT_RATELIMIT_H

#include "booking.h"
#include "limit.h"
#include "memstore.h"
#include "redis.h"

/* One configured filter. */
struct ratelimit {
    const struct postern_host *host;
    void *self;
    struct limit_set limits;
    size_t at_recipient; /* how many of them are charged at RCPT */
    struct memory memory;
    struct redis *redis; /* NULL: the memory is the store */
    uint64_t deadline_us;
    char *password; /* from a file; NULL: none, or in the configuration */
    size_t password_n;
};

#define SESSION_ID_MAX 48
#define REFUSAL_MAX    160

struct session {
    struct ratelimit *filter;
    struct booking *booking; /* NULL: nothing happened in a transaction yet */
    bool ended;              /* the transaction's END was seen; what became of it was not */
    struct transit *waiting; /* decisions that the host waits for */
    char id[SESSION_ID_MAX];
    size_t id_n;
    char refusal[REFUSAL_MAX]; /* of the last verdict; the host copies it after the hook */
};

/* options.c */
extern const struct postern_option ratelimit_options[];
int ratelimit_configure(const struct postern_host *host, void *self, const struct postern_node *block,
                        void **filter_r);
void ratelimit_release(void *filter);

/* decide.c: takes one unit of each holding, or none of any; fills *v. */
void decide(struct session *s, const struct postern_tx *tx, struct visit *visit,
            struct holding *const *wanted, size_t n, struct postern_verdict *v);
/* Nobody waits for it any more: what it charges will be given back. */
void decide_forget(struct session *s, uint64_t ticket);
void decide_forget_visit(struct session *s, const struct visit *visit);
void decide_forget_all(struct session *s);
void decide_return_visit(struct ratelimit *f, const struct visit *visit);
void decide_return_all(struct ratelimit *f, struct booking *b);

/* answer.c: verdicts and their log lines */
struct refusal {
    const struct holding *holding;
    const char *store; /* "memory" or "redis" */
    uint64_t wait_us, left;
};
void answer_refused(struct session *s, const struct refusal *why, struct postern_verdict *v);
void answer_unavailable(const struct limit *limit, struct postern_verdict *v);
void answer_allowed(const struct session *s, const struct holding *h, const char *store, uint64_t left);

#endif
