/* SPDX-License-Identifier: MIT */
/* Control messages: packing, descriptors, and a reader that trusts nothing. The channel belongs to the slot
 * of a worker (supervisor) and to the worker itself; both ends are non-blocking, so that a worker that hangs
 * never makes the supervisor wait. */
#include "proxy/control.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_MAGIC 0x70737463u

struct packet_head {
    uint32_t magic, kind;
    uint64_t generation;
};

union fd_space { /* a control message wants the alignment of its header */
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int) * CONTROL_FDS_MAX)];
};

static void attach(struct msghdr *m, union fd_space *space, const int *fds, size_t n)
{
    if (n == 0)
        return;
    *space = (union fd_space){0};
    m->msg_control = space->bytes;
    m->msg_controllen = CMSG_SPACE(sizeof(int) * n);
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * n);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
}

bool control_send(int channel, enum control_kind kind, uint64_t generation, struct span payload,
                  const int *fds, size_t fd_n)
{
    struct packet_head head = {.magic = CONTROL_MAGIC, .kind = kind, .generation = generation};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)(uintptr_t)payload.p, payload.n}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = payload.n ? 2 : 1};
    union fd_space space;
    if (payload.n > CONTROL_PAYLOAD_MAX || fd_n > CONTROL_FDS_MAX) {
        errno = EMSGSIZE;
        return false;
    }
    attach(&m, &space, fds, fd_n);
    ssize_t done;
    do
        done = sendmsg(channel, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (done < 0 && errno == EINTR);
    return done == (ssize_t)(sizeof head + payload.n);
}

static void detach(struct msghdr *m, struct control_message *to)
{
    to->fd_n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n && to->fd_n < CONTROL_FDS_MAX; i++)
            memcpy(&to->fds[to->fd_n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
}

void control_close_fds(struct control_message *m)
{
    for (size_t i = 0; i < m->fd_n; i++)
        if (m->fds[i] >= 0)
            (void)close(m->fds[i]);
    m->fd_n = 0;
}

enum control_result control_receive(int channel, struct control_message *to)
{
    struct packet_head head = {0};
    union fd_space space;
    struct iovec parts[2] = {{&head, sizeof head}, {to->bytes, sizeof to->bytes}};
    struct msghdr m = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = space.bytes, .msg_controllen = sizeof space.bytes};
    ssize_t got;
    do
        got = recvmsg(channel, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return CONTROL_NOTHING;
    if (got <= 0)
        return CONTROL_CLOSED;
    detach(&m, to);
    if ((size_t)got < sizeof head || (m.msg_flags & MSG_TRUNC) || head.magic != CONTROL_MAGIC ||
        head.kind >= CONTROL_KINDS) {
        control_close_fds(to);
        return CONTROL_BROKEN;
    }
    to->kind = (enum control_kind)head.kind;
    to->generation = head.generation;
    to->payload = span_make(to->bytes, (size_t)got - sizeof head);
    if (!(m.msg_flags & MSG_CTRUNC))
        return CONTROL_OK;
    control_close_fds(to);
    return CONTROL_NO_ROOM;
}

/* ---- ticket keys ---- */

struct span tickets_payload(const struct tls_ticket_keys *keys)
{
    return span_make((const char *)keys, sizeof *keys);
}

/* The flag is read as a byte: whatever else it is than 0 and 1 must not become a bool. */
bool tickets_read(struct tls_ticket_keys *keys_r, struct span in)
{
    if (in.n < sizeof *keys_r)
        return false;
    memcpy(keys_r->key, in.p + offsetof(struct tls_ticket_keys, key), sizeof keys_r->key);
    keys_r->previous = in.p[offsetof(struct tls_ticket_keys, previous)] != 0;
    return true;
}

/* ---- offers ---- */

struct item_head {
    uint32_t kind, name_n;
    uint64_t bytes;
};

bool offer_add(struct offer *o, enum offer_kind kind, struct span name, uint64_t bytes)
{
    if (o->n >= CONTROL_FDS_MAX || name.n > OFFER_NAME_MAX)
        return false;
    struct offer_item *i = &o->items[o->n++];
    *i = (struct offer_item){.kind = kind, .bytes = bytes};
    if (name.n)
        memcpy(i->name, name.p, name.n);
    return true;
}

static struct span raw(const void *p, size_t n)
{
    return span_make(p, n);
}

bool offer_encode(const struct offer *o, struct buf *out)
{
    bool good = buf_append(out, tickets_payload(&o->tickets));
    for (size_t i = 0; good && i < o->n; i++) {
        struct span name = span_of(o->items[i].name);
        struct item_head head = {o->items[i].kind, (uint32_t)name.n, o->items[i].bytes};
        good = buf_append(out, raw(&head, sizeof head)) && buf_append(out, name);
    }
    return good && buf_len(out) <= CONTROL_PAYLOAD_MAX;
}

bool offer_decode(struct offer *o, struct span in)
{
    *o = (struct offer){0};
    if (!tickets_read(&o->tickets, in))
        return false;
    in = span_skip(in, sizeof o->tickets);
    while (in.n) {
        struct item_head head;
        if (in.n < sizeof head)
            return false;
        memcpy(&head, in.p, sizeof head);
        in = span_skip(in, sizeof head);
        if (head.kind > OFFER_LISTENER || head.name_n > in.n ||
            !offer_add(o, (enum offer_kind)head.kind, span_head(in, head.name_n), head.bytes))
            return false;
        in = span_skip(in, head.name_n);
    }
    return true;
}
