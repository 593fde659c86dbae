/* SPDX-License-Identifier: MIT */
/* What the supervisor and a worker say to each other over a socket pair (SOCK_SEQPACKET): one message is one
 * packet, descriptors travel with it.
 *
 *   supervisor                      worker
 *      PREPARE n (offer, fds) ------>  builds generation n beside the one in use
 *           <------ READY n | FAILED n (why)
 *      COMMIT n | ABORT n    ------>  makes it current | throws it away
 *           <------ SERVING n          it accepts
 *      REOPEN (log fd), TICKETS (keys), DRAIN, STOP -> */
#ifndef PROXY_CONTROL_H
#define PROXY_CONTROL_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"
#include "net/tls.h"

#include <stdint.h>

enum control_kind {
    CONTROL_PREPARE,
    CONTROL_COMMIT,
    CONTROL_ABORT,
    CONTROL_REOPEN,
    CONTROL_TICKETS,
    CONTROL_DRAIN,
    CONTROL_STOP,
    CONTROL_READY,
    CONTROL_FAILED,
    CONTROL_SERVING,
    CONTROL_KINDS
};

#define CONTROL_FDS_MAX     250 /* the kernel's limit is 253 */
#define CONTROL_PAYLOAD_MAX ((size_t)96 * 1024)

struct control_message {
    enum control_kind kind;
    uint64_t generation;
    struct span payload; /* received: in `bytes` */
    int fds[CONTROL_FDS_MAX];
    size_t fd_n;
    char bytes[CONTROL_PAYLOAD_MAX];
};

/* Never waits. The descriptors stay the caller's. false with errno: EAGAIN when the other side does not read.
 */
MUST_CHECK bool control_send(int channel, enum control_kind kind, uint64_t generation, struct span payload,
                             const int *fds, size_t fd_n);

enum control_result { CONTROL_OK, CONTROL_NOTHING, CONTROL_CLOSED, CONTROL_BROKEN, CONTROL_NO_ROOM };
/* Never waits. After OK the descriptors are the caller's, until control_close_fds. BROKEN: a message that is
 * cut or none of ours; nothing of it is left open. NO_ROOM: a good message, but this process is out of
 * descriptors: those of the message are closed. */
MUST_CHECK enum control_result control_receive(int channel, struct control_message *m);
void control_close_fds(struct control_message *m);

/* The payload of TICKETS: how all workers come to new keys between two generations. */
struct span tickets_payload(const struct tls_ticket_keys *keys);
MUST_CHECK bool tickets_read(struct tls_ticket_keys *keys_r, struct span payload); /* false: damaged */

/* ---- the payload of PREPARE: a generation ---- */

enum offer_kind { OFFER_BUNDLE, OFFER_SHARED, OFFER_LISTENER };
#define OFFER_NAME_MAX 255

struct offer_item { /* one for each descriptor, in their order */
    enum offer_kind kind;
    uint64_t bytes; /* SHARED: how large */
    char name[OFFER_NAME_MAX + 1];
};

struct offer {
    struct tls_ticket_keys tickets;
    struct offer_item items[CONTROL_FDS_MAX];
    size_t n;
};

MUST_CHECK bool offer_add(struct offer *o, enum offer_kind kind, struct span name, uint64_t bytes);
MUST_CHECK bool offer_encode(const struct offer *o, struct buf *out);
MUST_CHECK bool offer_decode(struct offer *o, struct span payload); /* false: damaged */

#endif
