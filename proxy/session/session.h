/* SPDX-License-Identifier: MIT */
/* The engine: one client's SMTP session, its transactions and its filters. Knows no socket, no TLS library,
 * no loop: it sees the world through struct session_ops. The daemon gives it connections (relay.c), the tests
 * and fuzzers a recorder: the same code.
 *
 *   session_feed -> line -> command -> [ queue: objects in order, each with its reply ] -> ops.send
 *                                         | check (state, syntax)
 *                                         | filter (chain_phase, may wait)
 *                                         | proceed (locally, or upleg_command -> reply)
 *   after DATA, in BDAT:  data_decode -> spool, chain_content -> END verdict -> upleg DATA or BDAT -> reply
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "base/attr.h"
#include "base/network.h"
#include "base/span.h"
#include "base/spool.h"
#include "filters/chain.h"
#include "session/upleg.h"
#include "smtp/identity.h"

#include <stdint.h>

struct session;

struct session_limits { /* by value from the configuration */
    uint64_t message_bytes, body_memory, hold;
    uint32_t recipients, command_line, auth_line, errors, junk_commands, header_bytes, transactions;
    uint32_t commands, pipelined, line_flood, local_part;
    uint32_t hops;      /* Received lines of a message; 0: they are not counted */
    uint64_t data_rate; /* octets of content a second; 0: none is asked for */
    uint64_t command_us, content_us, greeting_us, upstream_idle_us;
};

/* What becomes of VRFY, EXPN and ETRN. */
enum session_query { SESSION_QUERY_REFUSE, SESSION_QUERY_RELAY, SESSION_QUERY_ANSWER };

enum session_identity {
    SESSION_IDENTITY_AUTO, /* XCLIENT or XFORWARD, whichever the server offers */
    SESSION_IDENTITY_NONE,
    SESSION_IDENTITY_XCLIENT,
    SESSION_IDENTITY_XFORWARD,
    SESSION_IDENTITY_CONNECTION /* its connections say it themselves: each is for one session */
};

/* What a listener's sessions do; belongs to a generation. A session takes the newest one at each MAIL outside
 * a transaction. Whoever hands it out keeps it alive from policy_get to policy_put. */
struct session_policy {
    void *owner; /* what keeps it alive; for whoever serves policy_put */
    uint64_t generation;
    const char *listener, *hostname;
    const struct chain *chain;
    const struct filter_services *services;
    struct session_limits limits;
    bool offer_starttls, require_tls; /* this listener has a certificate / insists */
    bool mirror_tls; /* STARTTLS is offered where the upstream offers it; a client in TLS has its mail there
                        too */
    bool pass_tls;   /* STARTTLS is offered where the upstream offers it, and what follows it is not ours */
    bool offer_chunking;
    bool auth_needs_tls, enforce_sync, normalize_newlines, eager;
    struct networks lenient_sync, normalize_for; /* clients to whom the two in the middle do not apply */
    enum session_query vrfy, expn, etrn;
    enum session_identity identity; /* how the upstream hears who the client is */
    struct networks trust_xclient;  /* who is believed what it says by XCLIENT */
    bool relay_greeting; /* eager, and greeting and EHLO are the server's own: its legs have config.relay */
};

enum session_close { SESSION_CLOSE_FLUSH, SESSION_CLOSE_RESET };

enum session_counter { /* things worth a metric; names in session_counter_name() */
                       SESSION_COUNT_TRANSACTIONS,
                       SESSION_COUNT_ACCEPTED,
                       SESSION_COUNT_REJECTED,
                       SESSION_COUNT_DEFERRED,
                       SESSION_COUNT_DISCARDED,
                       SESSION_COUNT_ABORTED,
                       SESSION_COUNT_UNKNOWN,     /* released, and no reply came */
                       SESSION_COUNT_UNDELIVERED, /* the client left before it could read the outcome */
                       SESSION_COUNT_SYNC_VIOLATIONS,
                       SESSION_COUNT_BARE_NEWLINES,
                       SESSION_COUNT_TOO_MANY_ERRORS,
                       SESSION_COUNT_TOO_MANY_RCPTS,
                       SESSION_COUNT_TOO_MANY_COMMANDS,
                       SESSION_COUNT_TOO_BIG,
                       SESSION_COUNT_TOO_MANY_HOPS,
                       SESSION_COUNT_LINE_TOO_LONG,
                       SESSION_COUNT_NO_SPACE,
                       SESSION_COUNT_TIMEOUTS,
                       SESSION_COUNT_UPSTREAM_LOST,
                       SESSION_COUNT_UPSTREAM_RETRIES,
                       SESSION_COUNT_AUTH_FAILED,
                       SESSION_COUNT_COPIES_REFUSED, /* recipients that a filter added */
                       SESSION_COUNTERS
};
const char *session_counter_name(enum session_counter c);
bool session_counter_is_limit(enum session_counter c); /* a limit that a client reached */

/* One transaction (or a session that a filter refused before any), for the log. Borrowed for the call. */
struct session_report {
    const struct txview *view;
    const struct session_policy *policy;
    const char *verdict; /* accepted rejected deferred discarded aborted unknown */
    const char
        *stage; /* where it was decided: connect helo auth mail rcpt data headers end upstream client */
    const char *filter; /* NULL: none */
    struct span rule, score_text;
    struct span flags; /* what was not as it should be in the message: "bad-base64,depth-limit" */
    double score;
    struct span tags, edits; /* of the filters, as text */
    size_t rcpt_accepted, rcpt_offered;
    uint64_t bytes;
    unsigned code;        /* of the last reply that decided it; 0: none */
    struct span reply;    /* its text, first line */
    struct span queue_id; /* as far as the upstream's reply tells */
    const char *note;     /* why, when neither filter nor reply says it; NULL */
    bool undelivered;     /* the client was gone when the outcome came */
    bool in_tls, upstream_used;
    uint64_t total_us, filter_us, upstream_us;
};

enum session_offer { SESSION_OFFER_KNOWN, SESSION_OFFER_DOWN, SESSION_OFFER_UNKNOWN };

struct session_ops {
    /* the client's side */
    void (*send)(void *ctx, struct span bytes);
    bool (*full)(void *ctx);        /* output above its high mark: session_drained will come */
    bool (*tls_allowed)(void *ctx); /* may this client begin TLS now? */
    void (*start_tls)(void *ctx);   /* session_secured or session_gone follows */
    void (*present_tls)(
        void *ctx);            /* after session_tls_asks: the leg is in TLS, show what its server showed */
    void (*resume)(void *ctx); /* bytes that session_feed left can come again */
    /* The session is over: nothing more will be called, and the owner destroys it when no call of it is on
     * the stack. */
    void (*close)(void *ctx, enum session_close how, const char *why);
    /* The session is over as by `close`, but what client and server send from now on goes from one to the
     * other as it is: they begin TLS with each other. The leg is handed back, with nobody using it. */
    void (*pass)(void *ctx, struct upleg *u);
    /* By XCLIENT: the client is another from now on, and may have reached another address. ip_n 0: not known
     * who, or nothing said of it. Returns what it is told when there is no room for it; empty: there is. */
    struct span (*identified)(void *ctx, const struct identity_end *client,
                              const struct identity_end *reached);
    uint64_t (*now_us)(void *ctx);
    void (*timer)(void *ctx, uint64_t at_us); /* session_timeout then; 0: none */
    /* the upstream's side */
    enum session_offer (*offer)(void *ctx, struct ehlo *offer_r); /* what it last offered */
    /* Asks for a connection: session_upstream follows, possibly from inside this call. fresh: not a kept one.
     * helo: the client's name, by which the server is to be greeted over it; empty: postern's. */
    void (*upstream_get)(void *ctx, bool fresh, struct span helo);
    void (*upstream_cancel)(void *ctx);               /* the one asked for is not wanted any more */
    void (*upstream_put)(void *ctx, struct upleg *u); /* done with it; it may be kept, cleaned or dead */
    /* policy and reports */
    const struct session_policy *(*policy_get)(void *ctx);
    void (*policy_put)(void *ctx, const struct session_policy *p);
    void (*report)(void *ctx, const struct session_report *r);
    /* The end of the message is about to go out: from now to its report nobody knows what becomes of it. */
    void (*released)(void *ctx, const struct txview *view);
    void (*count)(void *ctx, enum session_counter c, const struct txview *view);
    struct spool_budget *(*budget)(void *ctx);
};

struct session_client {
    struct span session_id, address; /* text; copied */
    unsigned char ip[16];
    size_t ip_n;
    uint16_t port;
    struct span destination; /* the address of ours that it reached; copied */
    uint16_t destination_port;
    bool in_tls; /* implicit TLS: the handshake is done before the session begins */
    struct span tls_version;
};

/* NULL: no memory. Nothing is called before session_start. */
MUST_CHECK struct session *session_create(const struct session_ops *ops, void *ctx,
                                          const struct session_client *client);
void session_destroy(struct session **s); /* also without close having been called */

void session_start(struct session *s);                             /* connect filters, then the greeting */
MUST_CHECK size_t session_feed(struct session *s, struct span in); /* how much was taken */
/* start_tls was called, and the client's certificate depends on the server's: present_tls follows, or close.
 */
void session_tls_asks(struct session *s);
void session_secured(struct session *s, struct span tls_version);
void session_drained(struct session *s);
void session_timeout(struct session *s);
void session_eof(struct session *s);  /* the client will send no more, but still reads */
void session_gone(struct session *s); /* the client is not there any more */
/* The answer to upstream_get: a READY leg, or NULL with the reason; and with the server's reply, when it knew
 * the client and refused it in the greeting or to EHLO (code 0: not so). */
void session_upstream(struct session *s, struct upleg *u, const char *why, unsigned code, struct span bytes);
void session_drain(struct session *s); /* no new transactions: idle ones get 421, others when they are done */
void session_kill(struct session *s);  /* now: 421, no end is released */

#endif
