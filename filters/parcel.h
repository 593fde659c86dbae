/* SPDX-License-Identifier: MIT */
/* A part as a file: its type by its first bytes, and the names inside when it is an archive. Private to the
 * message model. */
#ifndef FILTERS_PARCEL_H
#define FILTERS_PARCEL_H

#include "filters/magic.h"
#include "filters/sink.h"

struct parcel { /* zeroed: closed. Private */
    struct sink *sink;
    struct message_part *part;
    bool open, keeping, cut, judged;
    unsigned claims;
    uint64_t n; /* bytes so far */
    size_t head_n, mark_n;
    char head[MAGIC_HEAD], mark[MAGIC_MARK];
    struct buf kept;  /* an archive, or what may be one */
    const char *type; /* what was found; a constant, or NULL */
    unsigned kind;
};

/* `part` is what events say, and lives as long as the parcel is open; `claims` as magic_claims has them. */
void parcel_open(struct parcel *p, struct sink *sink, struct message_part *part, unsigned claims);
/* Decoded bytes. false: no memory. */
MUST_CHECK bool parcel_put(struct parcel *p, struct span s);
/* MEMBER events; flags are raised. The part has its `detected` as soon as it is known. */
MUST_CHECK bool parcel_close(struct parcel *p);
void parcel_free(struct parcel *p);

#endif
