/* SPDX-License-Identifier: MIT */
/* The envelope as the filters want it, which is said to the server behind the client's. For session/ only. */
#ifndef SESSION_READDRESS_H
#define SESSION_READDRESS_H

#include "base/attr.h"
#include "smtp/params.h"

struct cmd;
struct session;
struct tx;

struct envelope {          /* a transaction's; what it points at is in the arena */
    struct span mail_path; /* of the client's MAIL; kept where it may have to be said again */
    struct params mail_params;
    bool notify; /* the client did not forbid notifications for all of its recipients */
    struct envelope_step *steps;
    size_t n, sent, answered;
    bool redirected;
    size_t copies; /* recipients that the server took besides */
};

MUST_CHECK bool readdress_keep_mail(struct session *s, const struct cmd *mail); /* false: no memory */
void readdress_note_rcpt(struct tx *t, const struct cmd *rcpt);                 /* that the server took */
/* true: there is something to say. When it is answered content_send is called, or the message has its own
 * answer. */
bool readdress_begin(struct session *s);
void readdress_go_on(struct session *s);
void readdress_reply(struct session *s, unsigned code, struct span bytes);
size_t readdress_rcpts(const struct session *s);          /* at the upstream, without copies */
struct span readdress_copy(const struct tx *t, size_t i); /* the i-th copy that the server took */
/* Whatever the server said of a copy; the client does not hear it. */
void readdress_copy_answered(struct session *s, struct span mailbox, unsigned code, struct span text);

#endif
