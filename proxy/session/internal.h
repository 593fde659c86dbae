/* SPDX-License-Identifier: MIT */
/* What the files of the engine share; nobody outside session/ includes it.
 *
 *   session.c      life and time
 *   feed.c         what the client sends, by mode
 *   queue.c        the queue of commands and their replies, and what may go on
 *   replies.c      the replies of our own
 *   commands.c     the table of verbs: check -> filter -> proceed
 *   phases.c       running filter phases for a command, and their verdicts
 *   transaction.c  from MAIL to the report
 *   content.c      from the first byte of content to the verdict
 *   chunk.c        BDAT: its payload in the stream of commands
 *   release.c      content to the upstream, to its last word
 *   recipients.c   that word, where each recipient has one of its own
 *   edited.c       the content as the filters want it
 *   readdress.c    and the envelope
 *   auth.c         the relayed AUTH exchange
 *   starttls.c     STARTTLS, our own or the server's
 *   query.c        VRFY, EXPN, ETRN
 *   introduce.c    who the client is, said to the upstream
 *   xclient.c      and said to us, by a proxy in front
 *   leg.c          the session as user of an upstream leg */
#ifndef SESSION_INTERNAL_H
#define SESSION_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "session/readdress.h"
#include "session/session.h"
#include "smtp/bdat.h"
#include "smtp/command.h"
#include "smtp/data.h"
#include "smtp/ehlo.h"
#include "smtp/hops.h"
#include "smtp/identity.h"
#include "smtp/line.h"
#include "smtp/params.h"
#include "smtp/path.h"
#include "smtp/reply.h"
#include "smtp/rewrite.h"
#include "smtp/text.h"

enum own_reply {
    SAY_NONE,
#define REPLY(id, code, enhanced, text, flags) SAY_##id,
#include "session/replies.def"
#undef REPLY
    OWN_REPLIES
};

/* ---- commands in their order, each with its reply ---- */

enum cmd_state {
    CMD_QUEUED, /* waits for its turn */
    CMD_BEGUN,  /* its filters think, or it does work of its own */
    CMD_READY,  /* wants to go upstream */
    CMD_SENT,   /* the upstream owes a reply */
    CMD_DONE    /* has its reply, which waits for those before it */
};

struct cmd {
    struct cmd *next;
    enum cmd_state state;
    enum own_reply refusal; /* the line was no command: this is the answer */
    struct command command;
    struct path path;
    struct params params;
    struct bdat bdat;
    struct buf reply;
    bool receives; /* its content is wanted: DATA and BDAT */
    bool closes;   /* the connection ends after the reply */
    bool passes;   /* what comes after it is no business of ours */
    size_t line_n;
    char line[]; /* the spans above point here */
};

/* ---- one transaction ---- */

struct rcpt_reply {
    unsigned code;
    struct span text; /* of its first line, in the arena */
};

/* How much over twice its limit a message is read to its end. */
#define CONTENT_READ  ((size_t)256 * 1024) /* what comes in one read, at most */
#define CONTENT_SLACK ((size_t)64 * 1024)

enum tx_stage { /* how far the client is */
                TX_ENVELOPE,
                TX_RECEIVING,  /* it sends content */
                TX_DECIDING,   /* the content is over, the filters think */
                TX_ADDRESSING, /* they agree, and want another envelope: the upstream is told of it */
                TX_SENDING,    /* what is held goes upstream */
                TX_RELEASED    /* so did its end: the final reply is owed */
};

enum tx_upstream { /* and how far the message is at the upstream; streaming, that is before SENDING */
                   UP_NOTHING,
                   UP_OPENING, /* DATA is out, 354 is owed */
                   UP_OPEN,    /* it takes content */
};

struct tx {
    struct arena *arena;
    enum tx_stage stage;
    enum tx_upstream up;
    uint32_t caps_needed;                        /* of the upstream, by the parameters used */
    size_t rcpt_offered, rcpt_room, rcpt_excess; /* excess: beyond the limit */
    struct span *rcpts;                          /* accepted; view.rcpts shows them */
    bool mail_sent; /* the upstream has (or may have) a transaction of ours open */
    bool refused;   /* the upstream refused MAIL; replies to what was sent with it are still out */
    bool discard;   /* a filter's wish: answer 250, deliver nothing */
    bool unsaid;    /* there was no memory to pass the final reply on */
    bool lost;      /* the upstream went away while the client had nothing to hear about it */
    bool paused;    /* a filter thinks about the headers: no content is taken */
    bool retried;
    enum own_reply violation; /* decided by us during the content; the filters are out of it */
    enum own_reply hole;      /* a chunk was refused before any was taken: what those behind it are told */
    /* content */
    struct data_decoder decoder;
    struct hops hops;
    struct data_emitter emitter;
    bool binary;               /* declared BINARYMIME: its octets are not looked at */
    bool chunks_up;            /* the upstream gets BDAT */
    bool streams;              /* past what is held: content goes upstream before the verdict */
    bool held;                 /* a filter may change the message: it does not stream */
    struct rewriter *rewriter; /* of a header section that is not out yet; NULL: nothing is changed in it */
    uint64_t edited_bytes;     /* of the content, once END has its verdict */
    struct envelope envelope;
    struct spool *spool;     /* NULL: nothing is held any more */
    uint64_t pumped;         /* of the spool */
    bool yields;             /* more of it could go, after other sessions have had their turn */
    struct buf out;          /* in wire form, less than a chunk */
    uint64_t progress_us;    /* when the client's content last moved */
    uint64_t rate_from_us;   /* when it began, but later by all the time for which the client had to wait */
    uint64_t waits_since_us; /* 0: it does not have to wait now */
    uint64_t sent_us;        /* when the upstream last took some */
    uint64_t kept_us;        /* when the upstream last heard of us */
    /* replies for single recipients, where the server gives them; in the order of view.rcpts */
    bool prdr; /* the client asked for them */
    struct rcpt_reply *each;
    size_t each_n, copies_n; /* replies so far to the client's recipients, and to copies */
    struct buf each_bytes;   /* for the client, when it asked */
    /* a verdict of the filters or the upstream during the content, kept until its end */
    struct buf refusal;
    bool refusal_closes;
    /* for the report */
    const char *verdict, *where, *filter, *note;
    struct span rule, reply_text, queue_id;
    unsigned code;
    uint64_t began_us, filter_us, upstream_us, upstream_since_us;
    bool upstream_used;
};

/* ---- one session ---- */

enum mode { MODE_NEW, MODE_COMMAND, MODE_CONTENT, MODE_AUTH, MODE_TLS, MODE_OVER };

struct session {
    const struct session_ops *ops;
    void *ctx;
    const struct session_policy *policy;
    struct chain_run *run; /* NULL: the policy has no filters */
    struct txview view;
    enum mode mode;
    struct line line;

    struct cmd *first, **last; /* replies leave in this order */
    struct cmd *next;          /* the first that has not begun */
    size_t queued;

    unsigned phases;          /* filter phases still to run, as bits, for `asking` */
    enum postern_phase phase; /* the one that runs */
    struct cmd *asking;       /* NULL with phases: the session itself (connect) */
    uint64_t asked_us;

    struct tx *tx;
    struct upleg *leg;
    struct ehlo offered;    /* what the client was told */
    struct sasl_user *sasl; /* during AUTH */
    struct cmd *auth;       /* the AUTH command under way */
    struct cmd *chunk;      /* the BDAT whose payload is next in the input; NULL: it was answered already */
    uint64_t chunk_left;    /* of that payload */
    uint64_t skipped;       /* payload that nobody wanted, since the last that somebody did */

    bool introducing, xclient_taken; /* XCLIENT is out; the server took one */
    bool leg_asked;                  /* upstream_get without its answer */
    bool leg_lost;                   /* the authenticated connection is gone: the session cannot go on */
    bool turn_over;                  /* a command was sent after which the client must wait for the reply */
    bool held_input;                 /* session_feed left bytes that are to come again */
    bool chunk_due;                  /* the input goes on with the payload of a BDAT */
    bool esmtp;
    uint16_t client_port, destination_port;
    struct span destination;
    bool running, again, in_tls, helo_done, eof, gone, draining;
    bool enforce_sync, normalize_newlines; /* what the policy says of this client */
    uint64_t idle_since_us, timer_us, greet_by_us;
    unsigned errors, junk, transactions, commands;
    unsigned introduced;            /* how much of who the client is XCLIENT has said */
    unsigned forwarded;             /* and XFORWARD, of the next MAIL */
    struct span client_name;        /* as a proxy in front says */
    bool name_later;                /* it could not look that up now */
    char *helo, *user;              /* behind view.helo, view.user */
    char *name, *address, *reached; /* behind client_name, view.client_address, destination after XCLIENT */
    char *tls_text;                 /* room among the texts */
    char texts[];                   /* session id, addresses, TLS version */
};

/* session.c */
uint64_t session_now(const struct session *s);
void session_over(struct session *s, enum session_close how, const char *why);
void session_pass(struct session *s); /* the other end: client and leg are left to each other */
void session_send(struct session *s, struct span bytes);
MUST_CHECK bool session_keep(char **place, struct span *shown, struct span text);
void session_error(struct session *s); /* counts one */
void session_count(struct session *s, enum session_counter c);
void session_arm(struct session *s);

/* queue.c */
MUST_CHECK struct cmd *queue_add(struct session *s, struct span line); /* NULL: no memory */
bool queue_full(const struct session *s);
void queue_clear(struct session *s);
void session_run(struct session *s); /* whatever can go on now, goes on; safe from anywhere */
void cmd_answer(struct session *s, struct cmd *c, enum own_reply r);
void cmd_answer_bytes(struct session *s, struct cmd *c, struct span bytes); /* a whole reply */

/* replies.c */
enum own_flags { OWN_ERROR = 1, OWN_CLOSE = 2, OWN_SID = 4 };
MUST_CHECK bool own_reply_print(const struct session *s, struct buf *out, enum own_reply r);
unsigned own_reply_code(enum own_reply r);
const char *own_reply_text(enum own_reply r);
unsigned own_reply_flags(enum own_reply r);

/* commands.c */
void cmd_begin(struct session *s, struct cmd *c);
void cmd_proceed(struct session *s, struct cmd *c); /* its filters have nothing against it */
void session_greet(struct session *s);
void session_refuse_greeting(struct session *s, enum own_reply r);
/* What the upstream offers, as far as is known. false: nothing is. */
MUST_CHECK bool session_upstream_offer(const struct session *s, struct ehlo *offer_r);
bool session_refresh_offer(struct session *s);
void hello_reply(struct session *s, struct cmd *c, unsigned code, struct span bytes);

/* phases.c */
void phases_run(struct session *s, struct cmd *c, unsigned phases);
void phases_stop(struct session *s); /* the pending verdict is not wanted */
MUST_CHECK bool phases_attach(struct session *s, const struct session_policy *p); /* a chain run for it */
void phases_content(struct session *s, struct span piece);
#define PHASE_BIT(phase) (1u << (phase))

/* transaction.c */
MUST_CHECK bool tx_begin(struct session *s, const struct cmd *mail);
void tx_end(struct session *s); /* reports, gives everything back */
void tx_decide(struct tx *t, const char *verdict, const char *where);
void tx_note(struct tx *t, const char *why);      /* copies: it outlives the connection that it tells of */
void tx_note_more(struct tx *t, const char *why); /* behind what is noted */
void tx_note_reply(struct tx *t, unsigned code, struct span bytes);
void tx_forget_notes(struct tx *t);
void tx_note_own(struct tx *t, enum own_reply r);
void tx_note_verdict(struct tx *t, const struct verdict *v, const char *where);
MUST_CHECK bool tx_add_rcpt(struct session *s, struct span mailbox);
MUST_CHECK bool tx_show_rcpt(struct session *s, const struct cmd *c);
void tx_hide_rcpt(struct session *s);
void tx_tell_rcpt(struct session *s, const struct cmd *c, unsigned code, bool from_upstream);
void tx_answer_rcpt(struct session *s, struct cmd *c, enum own_reply r);
const char *verdict_of_code(unsigned code);
MUST_CHECK struct span lower_copy(struct arena *a, struct span s);

/* content.c */
void content_begin(struct session *s, struct cmd *c);   /* asks DATA's filters */
void content_start(struct session *s, struct cmd *c);   /* they agree: 354, or the payload of BDAT */
MUST_CHECK bool content_waits(const struct session *s); /* nothing is taken from the client now */
void content_receive(struct session *s, struct span *in);
void content_waited(struct session *s); /* it does not have to wait any more */
void content_over(struct session *s);
void content_abandon(struct session *s); /* nobody will read what is held */
void content_conclude(struct session *s, enum own_reply r, const char *where);
MUST_CHECK bool content_refused(const struct tx *t);
void content_answer_refusal(struct session *s);
void content_take_last(struct session *s);

/* chunk.c */
enum own_reply chunk_check(struct session *s, struct cmd *c);
enum own_reply chunk_refused(struct tx *t, const struct cmd *c, enum own_reply r);
void chunk_proceed(struct session *s, struct cmd *c);
MUST_CHECK bool chunk_feed(struct session *s, struct span *in);
void chunk_settle(struct session *s); /* a payload of which nothing is left */
bool chunk_waits(const struct session *s);

/* release.c */
void content_release(struct session *s, struct cmd *c); /* END's filters agree */
void content_send(struct session *s);                   /* and the envelope is as they want it */
MUST_CHECK bool content_keep(struct session *s, struct span piece);
void content_stream(struct session *s); /* as much as may go before that */
void content_pump(struct session *s);
bool content_congested(const struct session *s); /* streaming, and the upstream is slower than the client */
void content_take_back(struct session *s);       /* what of it is at the upstream becomes no message */
void content_leg_reply(struct session *s, enum upleg_kind kind, unsigned code, struct span bytes);
void content_leg_lost(struct session *s, const char *why, unsigned code, struct span bytes);
void content_keepalive(struct session *s);
void content_stalled(struct session *s);

/* edited.c; readdress.c: see readdress.h */
/* Before anything is said upstream. SAY_NONE: it can be done. */
enum own_reply edited_begin(struct session *s);
/* Takes the front of the slice that belongs to the header section. false: no memory. */
MUST_CHECK bool edited_emit(struct tx *t, struct span *slice, bool last);

/* recipients.c */
MUST_CHECK bool recipients_fold(struct session *s, enum upleg_kind kind, unsigned *code, struct span *bytes);

/* auth.c */
enum own_reply auth_check(struct session *s, struct cmd *c);
void auth_proceed(struct session *s, struct cmd *c);
void auth_send(struct session *s, struct cmd *c);
void auth_accepted(struct session *s, struct cmd *c); /* the filters agree with the upstream's 235 */
void auth_line(struct session *s, struct span line);
void auth_reply(struct session *s, struct cmd *c, unsigned code, struct span bytes);
void auth_give_up(struct session *s, enum own_reply r);
void auth_end(struct session *s);

/* starttls.c */
bool starttls_offered(const struct session *s);
enum own_reply starttls_check(struct session *s, struct cmd *c);
void starttls_proceed(struct session *s, struct cmd *c);
void starttls_reply(struct session *s, struct cmd *c, unsigned code, struct span bytes); /* the server's */
void starttls_leg_secured(struct session *s);

/* query.c */
bool is_query(const struct cmd *c);
uint32_t query_denied(const struct session_policy *p); /* capabilities of what is not relayed */
enum own_reply query_check(struct session *s, struct cmd *c);
void query_proceed(struct session *s, struct cmd *c);

/* introduce.c */
const char *introduce_lacks(const struct session *s); /* NULL: the leg can say what it must */
MUST_CHECK bool introduce_by_xclient(struct session *s);
enum introduction { INTRODUCED, INTRODUCE_WAITS, INTRODUCE_FAILED };
MUST_CHECK enum introduction introduce_by_xforward(struct session *s);
void introduce_reply(struct session *s, unsigned code, struct span bytes);
void introduce_done(struct session *s);

/* xclient.c */
bool xclient_offered(const struct session *s);
enum own_reply xclient_check(struct session *s, struct cmd *c);
void xclient_proceed(struct session *s, struct cmd *c);

/* leg.c */
void leg_failed(struct session *s, const char *why); /* given up by us; whoever waits for it is told */
void leg_want(struct session *s, bool fresh);
void leg_clean(struct session *s);     /* of the transaction: by RSET, or the connection goes with it */
void leg_give_back(struct session *s); /* clean; or kept, when it is personal */
void leg_drop(struct session *s, bool with_reset); /* without it a personal session cannot go on */
void leg_end(struct session *s);                   /* the session's last word to it */
void leg_turned_away(struct session *s, unsigned code, struct span bytes); /* it will not serve this client */
void leg_send_ready(struct session *s);
MUST_CHECK bool leg_print_mail(struct buf *b, struct span path, const struct params *p);

#endif
