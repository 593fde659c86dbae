/* SPDX-License-Identifier: MIT */
/* The `limits:` map, checked and compiled. */
#ifndef RATELIMIT_LIMIT_H
#define RATELIMIT_LIMIT_H

#include "gcra.h"
#include "key.h"

#define LIMITS_MAX       32  /* in one filter; bounds a decision's work and its Redis command */
#define LIMIT_NAME_MAX   64  /* bytes */
#define STORE_PREFIX_MAX 64  /* bytes */
#define LIMIT_PREFIX_MAX 224 /* bytes of "postern:name:rate:burst:" */

/* What a failing store means. The order is the configuration's: "local|allow|tempfail". */
enum on_error { ON_ERROR_LOCAL, ON_ERROR_ALLOW, ON_ERROR_TEMPFAIL };
#define ON_ERROR_NAMES "local|allow|tempfail"

struct limit {
    struct postern_span name; /* spans: of the configuration, which lives longer */
    struct key_part parts[KEY_PARTS_MAX];
    size_t n_parts;
    bool per_message;  /* one unit for the transaction, else one for each recipient */
    bool at_recipient; /* charged at RCPT, else at MAIL */
    enum on_error on_error;
    unsigned code;            /* of a refusal */
    struct postern_span text; /* of a refusal; empty: the usual one */
    struct gcra rate;
    /* Redis' name of the key, but for the value; from `local` on it holds nothing of the store's prefix. With
     * rate and burst in the name, a limit that is changed starts anew, and one that is not survives a reload.
     */
    char prefix[LIMIT_PREFIX_MAX];
    size_t prefix_n, local;
};

struct limit_set {
    struct limit *limits;
    size_t n;
};

struct limit_defaults {
    struct postern_span prefix; /* at most STORE_PREFIX_MAX bytes */
    enum on_error on_error;
};

/* -1 after at least one config_error; then the set is empty. */
MUST_CHECK int limits_compile(const struct postern_host *host, void *self, const struct postern_node *map,
                              const struct limit_defaults *defaults, struct limit_set *set_r);
void limits_free(struct limit_set *set);

/* The option of that name in a map, or NULL. */
const struct postern_node *option_find(const struct postern_node *map, struct postern_span name);

#endif
