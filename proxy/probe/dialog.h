/* SPDX-License-Identifier: MIT */
/* One conversation with a server, in the order in which it is written down: each call lasts until its answer
 * is there, its patience is over, or the connection has ended. Several may be open; while one is waited for,
 * what comes to the others stays where it is. */
#ifndef PROBE_DIALOG_H
#define PROBE_DIALOG_H

#include "base/attr.h"
#include "net/conn.h"
#include "smtp/reply.h"

struct dialog_world { /* what all conversations share; outlives them */
    struct loop *loop;
    struct resolver *resolver; /* NULL: hosts are addresses */
    uint64_t end_us;           /* of loop_now_us: no call lasts longer, and after it each is DIALOG_SILENT */
};

enum dialog_result {
    DIALOG_GOOD,
    DIALOG_SILENT,    /* not within its patience; the connection is still there */
    DIALOG_LOST,      /* never made, closed or broken */
    DIALOG_FOREIGN,   /* what came is no reply of SMTP; the connection is closed */
    DIALOG_NO_MEMORY, /* likewise closed */
    DIALOG_REFUSED    /* a reply, but not the one that was hoped for: see dialog_refused */
};

enum dialog_awaited { DIALOG_NOTHING, DIALOG_CONNECTION, DIALOG_REPLY, DIALOG_HANDSHAKE };

#define DIALOG_WHY 240

struct dialog {           /* zeroed is closed */
    unsigned code;        /* of the reply that was read last */
    struct span reply;    /* all its lines; good until the next call */
    char why[DIALOG_WHY]; /* printable ASCII: what happened, when a call was not good */
    /* private */
    const struct dialog_world *world;
    struct conn *conn;
    struct reply_parser parser;
    struct loop_timer timer;
    enum dialog_awaited awaited;
    enum dialog_result result;
};

/* `d` is closed. It must not move until dialog_close. */
MUST_CHECK enum dialog_result dialog_connect(struct dialog *d, const struct dialog_world *w, const char *host,
                                             uint16_t port, uint64_t patience_us);
/* The next reply. */
MUST_CHECK enum dialog_result dialog_listen(struct dialog *d, uint64_t patience_us);
/* Bytes as they are, such as a PROXY header; nothing is waited for. */
MUST_CHECK enum dialog_result dialog_send(struct dialog *d, struct span bytes);
/* A command, without its CRLF, and its reply. */
MUST_CHECK enum dialog_result dialog_say(struct dialog *d, struct span command, uint64_t patience_us);
/* TLS from here on. What the server has said too early is an error. */
MUST_CHECK enum dialog_result dialog_secure(struct dialog *d, struct tls_client *t, const char *name,
                                            uint64_t patience_us);
/* The reply is not what its reader hoped for: `why` says it, as "554 5.7.1 No". */
MUST_CHECK enum dialog_result dialog_refused(struct dialog *d);
/* A part of a reply is there: whoever says nothing yet is not silent. */
bool dialog_begun(const struct dialog *d);
/* The first line of the reply, with its code. */
struct span dialog_first_line(const struct dialog *d);
/* At once; what is there of QUIT and its answer is the caller's. */
void dialog_close(struct dialog *d);

static inline const struct conn *dialog_conn(const struct dialog *d) /* NULL: closed */
{
    return d->conn;
}

/* Printable ASCII of s into out, cut at its size; other octets are '?'. */
void dialog_printable(char *out, size_t out_size, struct span s);

#endif
