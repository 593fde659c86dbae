/* SPDX-License-Identifier: MIT */
/* The inside of a leg, for upleg*.c only.
 *
 *   upleg.c        its life, replies owed, what its user sends
 *   upleg_hello.c  from the greeting to READY */
#ifndef SESSION_UPLEG_PARTS_H
#define SESSION_UPLEG_PARTS_H

#include "base/buf.h"
#include "session/upleg.h"
#include "smtp/reply.h"

#define HELLO_NAME 256

enum upleg_state { AT_CONNECT, AT_GREETING, AT_EHLO, AT_HELO, AT_STARTTLS, AT_TLS, AT_READY, AT_DEAD };

struct owed {
    struct owed *next;
    enum upleg_kind kind;
    void *tag;
    bool forgotten;
};

struct upleg {
    const struct upleg_config *config;
    const struct upleg_ops *ops;
    void *ops_ctx;
    const struct upleg_user *user;
    void *user_ctx;
    enum upleg_state state;
    struct reply_parser parser;
    struct owed *owed_first, **owed_last;
    size_t owed_count;
    struct ehlo offer;
    struct upleg_marks marks;
    struct buf greeting; /* this and the next four: with config.relay */
    unsigned greeting_code;
    char name[HELLO_NAME];
    bool named; /* EHLO says `name` also without config.relay */
    void *hello_tag;
    bool tls_refused, in_clear;
    bool secures; /* STARTTLS is the user's wish: nobody waits for an EHLO behind it */
    bool in_tls, securing;
    enum upleg_end end;
    size_t answerable; /* of the replies owed, by the bytes that are being fed */
    bool content;      /* between the 354 and the end of the message */
    bool premature;    /* the reply under way began while none was owed: it answers nothing */
};

/* upleg.c */
/* The one end; see there. */
void upleg_die(struct upleg *u, bool reset, const char *why, unsigned code, struct span bytes);
/* A reply will come. false: no memory. */
MUST_CHECK bool upleg_owe(struct upleg *u, enum upleg_kind kind, void *tag);
/* Sends it with CRLF. */
MUST_CHECK bool upleg_send_line(struct upleg *u, struct span line);

/* upleg_hello.c: what the leg does with a reply to a command of its own; NULL: it is the user's. */
typedef void upleg_own_step(struct upleg *u, unsigned code, struct span bytes);
extern upleg_own_step *const upleg_own_steps[UPLEG_KINDS];

#endif
