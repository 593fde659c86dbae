/* SPDX-License-Identifier: MIT */
/* What to write where: into postern's configuration for this server, and into the server's for each way that
 * does not work yet. Pure. */
#ifndef PROBE_ADVICE_H
#define PROBE_ADVICE_H

#include "base/attr.h"
#include "base/buf.h"
#include "probe/facts.h"

/* The value for `identity`, and the reason in words. */
struct advice_identity {
    const char *value, *why;
};
struct advice_identity advice_identity(const struct facts *f);

/* The `upstreams:` block. false: no memory. */
MUST_CHECK bool advice_upstream(const struct facts *f, struct buf *out);

/* How one kind of server is told of one way. */
struct advice {
    enum facts_kind kind;
    enum facts_way_name way; /* FACTS_PROXY_V2 stands for both versions */
    const char *where;       /* "main.cf"; NULL: it cannot be done */
    const char *lines;       /* private: a pattern, see advice_lines; NULL: it cannot be done */
    const char *lmtp_lines;  /* private: the same for a server that speaks LMTP; NULL: as `lines` */
    const char *note;        /* private: a pattern too */
};
/* All of it, the server's own kind first, then in the order of the table; without the ways that work. *at
 * starts at 0. NULL: the end. */
const struct advice *advice_next(const struct facts *f, size_t *at);
/* The lines, each with its LF; the note, one line. false: no memory. */
MUST_CHECK bool advice_lines(const struct advice *a, const struct facts *f, struct buf *out);
MUST_CHECK bool advice_note(const struct advice *a, const struct facts *f, struct buf *out);

#endif
