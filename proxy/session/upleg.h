/* SPDX-License-Identifier: MIT */
/* The upstream leg: one SMTP connection to the real server, as its client. From the greeting over EHLO and
 * STARTTLS to READY by itself; then commands of whoever uses it, each paired with its reply.
 *
 *   upleg_command --> [ owed: MAIL RCPT RCPT ] --> wire
 *   user.reply    <-- [ head of owed         ] <-- reply parser <-- upleg_feed
 *
 * The list of replies owed is the heart: a reply that nobody owes, or of a class that its command cannot
 * have, ends the connection (a shift by one would acknowledge the wrong message). Pure: no socket, no clock.
 */
#ifndef SESSION_UPLEG_H
#define SESSION_UPLEG_H

#include "base/attr.h"
#include "base/span.h"
#include "smtp/ehlo.h"

#include <stdint.h>

struct upleg;

enum upleg_tls { UPLEG_PLAIN, UPLEG_OPPORTUNISTIC, UPLEG_REQUIRED, UPLEG_IMPLICIT };

enum upleg_end {              /* how a leg died */
                 UPLEG_LOST,  /* the connection went, or the server said goodbye */
                 UPLEG_MUTE,  /* no reply in time */
                 UPLEG_BROKEN /* a reply that is none, that nobody asked for, or that does not fit */
};

enum upleg_chunking { /* use of BDAT where the server offers it */
                      UPLEG_CHUNKS_NEVER,
                      UPLEG_CHUNKS_AS_CAME, /* for what came by BDAT, or streams: clients of DATA hear what is
                                               said to DATA */
                      UPLEG_CHUNKS_ALWAYS
};

enum upleg_kind { /* of a command, for timeouts and for which replies it may have */
                  UPLEG_GREETING,
                  UPLEG_EHLO,
                  UPLEG_HELO,
                  UPLEG_STARTTLS,
                  UPLEG_PASS, /* STARTTLS of the user's client: after a 220 the leg has nothing more to say */
                  UPLEG_MAIL,
                  UPLEG_RCPT,
                  UPLEG_DATA,  /* 354 expected */
                  UPLEG_BDAT,  /* a chunk that is not the last */
                  UPLEG_FINAL, /* the reply to the end of the message: the dot, or BDAT LAST */
                  UPLEG_PRDR,  /* the same, where 353 may say that one for each recipient follows */
                  UPLEG_AUTH,  /* also each response of the exchange: 334 goes on */
                  UPLEG_RSET,
                  UPLEG_XCLIENT,
                  UPLEG_XFORWARD,
                  UPLEG_NOOP,
                  UPLEG_QUERY, /* VRFY, EXPN, ETRN */
                  UPLEG_QUIT,
                  UPLEG_KINDS
};

struct upleg_config { /* good for as long as the leg */
    enum upleg_tls tls;
    bool lmtp; /* RFC 2033: LHLO, and after a message one reply for each recipient */
    enum upleg_chunking chunking;
    bool relay;    /* greeting and EHLO are the user's: see upleg_hello */
    bool verified; /* TLS, when there is any, is with a server whose certificate was checked */
    size_t reply_lines, reply_bytes; /* of one reply; 0: the parser's own limits */
    const char *ehlo_name;
    uint64_t greeting_us, command_us, data_us, final_us; /* deadlines for replies, by kind */
};

/* What the leg does to its connection. After `close` the owner makes no more calls but upleg_destroy. */
struct upleg_ops {
    bool (*send)(void *ctx, struct span bytes); /* false: the connection is gone; upleg_lost will come */
    bool (*full)(void *ctx);                    /* output is above its high mark; upleg_drained will come */
    void (*start_tls)(void *ctx);               /* upleg_secured or upleg_lost follows */
    void (*close)(void *ctx, bool reset);       /* reset: must not look like an end of anything */
    uint64_t (*now_us)(void *ctx);
    void (*timer)(void *ctx, uint64_t at_us); /* calls upleg_timeout then; 0: none */
};

/* Who uses the leg now. After `lost` it is dead: its user lets go of it. `ready` is needed only by who waits
 * for it, `drained` only by who sends content, `secured` only by who asked for it. */
struct upleg_user {
    void (*ready)(void *ctx, struct upleg *u); /* READY for the first time */
    void (*reply)(void *ctx, struct upleg *u, enum upleg_kind kind, void *tag, unsigned code,
                  struct span bytes);
    void (*secured)(void *ctx, struct upleg *u); /* after upleg_secure: the leg is in TLS, and READY */
    void (*drained)(void *ctx, struct upleg *u);
    /* why: a phrase for the log. code and bytes: a reply that came with it (a 421, an early refusal), or 0.
     */
    void (*lost)(void *ctx, struct upleg *u, const char *why, unsigned code, struct span bytes);
};

MUST_CHECK struct upleg *upleg_create(const struct upleg_config *config, const struct upleg_ops *ops,
                                      void *ctx);
void upleg_destroy(struct upleg **u); /* calls nobody; must not be called from inside a call of its own */

/* For the owner of the connection. */
void upleg_connected(struct upleg *u); /* TCP is there (with UPLEG_IMPLICIT: TLS as well) */
void upleg_feed(struct upleg *u, struct span bytes);
void upleg_secured(struct upleg *u);
void upleg_drained(struct upleg *u);
void upleg_timeout(struct upleg *u);
void upleg_lost(struct upleg *u, const char *why);

/* For the user. */
void upleg_use(struct upleg *u, const struct upleg_user *user, void *ctx); /* NULL: nobody */
bool upleg_ready(const struct upleg *u);
bool upleg_dead(const struct upleg *u);
bool upleg_in_tls(const struct upleg *u);
bool upleg_was_securing(const struct upleg *u);  /* it died while TLS was to begin */
enum upleg_end upleg_end(const struct upleg *u); /* of a dead one */
void *upleg_owner(const struct upleg *u);        /* the ctx that it was created with */
/* After READY. STARTTLS in it: the server has TLS, whether this leg is in it or not. */
const struct ehlo *upleg_offer(const struct upleg *u);
/* With `relay` a leg is READY when the server has greeted, whatever it said: this is the reply's code. */
unsigned upleg_greeting(const struct upleg *u, struct span *bytes_r);
/* And it says EHLO (or HELO) when its user does, in the words of the user's client. A name of our own said
 * first would do for what EHLO offers, but servers judge clients by the first name that they hear, and some
 * refuse a second one. The answer comes as a reply of this kind; where TLS is wanted it begins in between,
 * and the answer is the one given under TLS. `in_clear`: TLS is not wanted yet, unless it is required. */
MUST_CHECK bool upleg_hello(struct upleg *u, enum upleg_kind verb, struct span name, bool in_clear,
                            void *tag);
size_t upleg_owed(const struct upleg *u); /* replies that are still to come */
/* Sends "line" CRLF and owes a reply to it. false: no memory, or dead. */
MUST_CHECK bool upleg_command(struct upleg *u, enum upleg_kind kind, struct span line, void *tag);
/* Nobody waits for these replies any more: they are still owed, and then ignored. */
void upleg_forget(struct upleg *u, const void *tag);
/* Content between the 354 and the end; already in wire form. */
MUST_CHECK bool upleg_content(struct upleg *u, struct span bytes);
/* These end the message: `replies` of the kind are owed from now on. */
MUST_CHECK bool upleg_content_end(struct upleg *u, struct span bytes, enum upleg_kind kind, size_t replies,
                                  void *tag);
/* One chunk (RFC 3030) in wire form, and its replies: UPLEG_BDAT, or another kind for the last. Between
 * chunks other commands may be sent: RSET takes the message back. */
MUST_CHECK bool upleg_chunk(struct upleg *u, struct span bytes, enum upleg_kind kind, size_t replies,
                            void *tag);
/* The reply that is being told says that so many UPLEG_FINAL follow. */
MUST_CHECK bool upleg_expect(struct upleg *u, size_t replies, void *tag);
/* TLS now, though nobody has to say EHLO: its user does, when its client has said it again. `secured` or
 * `lost` follows, also where the server refuses. Only while no reply is owed. false: no memory, or it cannot
 * be. */
MUST_CHECK bool upleg_secure(struct upleg *u);
/* Before it connects: EHLO will be said by this name, its client's, and not by config.ehlo_name. Copied. */
void upleg_set_name(struct upleg *u, struct span name);
struct span upleg_name(const struct upleg *u); /* empty: it has none */
/* The server greeted anew, after it was told of a client: EHLO by the client's name, and `ready` follows. */
void upleg_hello_again(struct upleg *u, struct span name);
bool upleg_lmtp(const struct upleg *u);
enum upleg_chunking upleg_chunking(const struct upleg *u); /* NEVER: also where the server has it not */
bool upleg_full(const struct upleg *u);
/* Gives the connection up. reset: in the middle of a message, so that nothing looks like its end. */
void upleg_abort(struct upleg *u, bool reset);

/* Bookkeeping of the user's side that goes with the connection. */
struct upleg_marks {
    bool spent;      /* a chunk was refused: Exim 4.96 spoils what comes next, so it is nobody else's */
    bool introduced; /* it has been told of one client, and is for its session alone */
    bool personal;   /* authenticated: belongs to one session */
    bool used;       /* was kept before: may be closed by the server at any time */
    unsigned mails;  /* transactions begun over it */
};
struct upleg_marks *upleg_marks(struct upleg *u);

#endif
