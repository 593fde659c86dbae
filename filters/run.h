/* SPDX-License-Identifier: MIT */
/* A run from the inside. Private to the engine; who does what with it:
 *
 *   chain.c    makes and ends runs and transactions, tells filters what became of things
 *   walk.c     the phases with a verdict: asks filter by filter, waits, goes on
 *   content.c  content -> message model -> HEADER, HEADERS, BODY, PART, TEXT and the like
 *   host.c     what a plugin asks of it; host_edit.c: edits and tags */
#ifndef FILTERS_RUN_H
#define FILTERS_RUN_H

#include "filters/edit.h"
#include "filters/instance.h"
#include "filters/message.h"
#include "filters/score.h"
#include "filters/verdict.h"

struct postern_tx {
    struct chain_run *run;
};

struct chain {
    size_t n;
    struct filter_instance *filters[];
};

enum member_state {
    MEMBER_NEW,   /* no phase came to it yet */
    MEMBER_MET,   /* session_begin is done, session_end is owed */
    MEMBER_FAILED /* session_begin failed: its failure action stands wherever it has a hook */
};

enum member_tx {
    TX_NONE,
    TX_OPEN, /* MAIL came to it: END or ABORT is owed */
    TX_ENDED /* END came to it: one MESSAGE_REPLY may follow */
};

struct member { /* one filter in this session */
    void *session;
    enum member_state state;
    enum member_tx tx;
};

/* A recipient whose reply is still owed to the filters that were asked about it. */
struct rcpt_asked {
    struct rcpt_asked *next;
    size_t reach; /* how many filters, from the first, were asked */
    size_t n;
    char text[];
};

enum waiting {
    WAIT_NONE,
    WAIT_ANSWER, /* a filter said PENDING */
    WAIT_DELAY   /* a filter said DELAY */
};

enum content_mode {
    CONTENT_NEW,   /* no piece came yet */
    CONTENT_RAW,   /* only BODY hooks */
    CONTENT_MODEL, /* some filter reads the message */
    CONTENT_OVER   /* nobody wants more */
};

struct chain_run {
    struct postern_tx tx; /* the plugins' handle of this run */
    const struct chain *chain;
    const struct filter_services *services;
    const struct txview *view;
    void (*done)(void *ctx, const struct verdict *v);
    void *ctx;
    size_t max_header;

    /* the phase under way: filter `at` is asked, `next` comes after it */
    enum postern_phase phase;
    struct span text; /* what the phase is about; the caller's, or `kept` while waiting */
    struct buf kept;
    size_t at, next;
    struct verdict verdict;
    struct buf words;  /* the verdict's texts */
    uint64_t delay_us; /* of a DELAY */
    uint64_t ticket;   /* 0: none */
    bool asking;       /* inside a hook with a verdict */
    bool answered;     /* resume() came before the hook returned */
    enum waiting waiting;
    enum postern_timeout on_timeout;
    struct postern_timer *timer;

    /* the transaction */
    enum content_mode mode;
    struct message *message;
    bool headers_due;         /* the header section is over, HEADERS was not asked yet */
    bool at_end;              /* END follows when HEADERS is through */
    bool refused;             /* HEADERS brought `verdict`; it stands for END, too */
    const char *discarded_by; /* a filter: its DISCARD stands for END, and nobody needs the content */
    struct span rest; /* of the piece behind the header section; the caller's, or `kept_rest` while waiting */
    struct buf kept_rest;
    struct rcpt_asked *rcpts, **rcpts_end;
    struct rcpt_asked *rcpt_now; /* the one that the RCPT phase under way is about, or NULL */
    uint64_t flags;              /* of its message, as far as it was read */
    struct buf flags_text;
    struct score score;
    double shadow_points; /* of the score, what filters in shadow mode added */
    struct edits *edits;  /* and tags; NULL: none were asked for */
    bool editable;        /* from MAIL to END's verdict */
    struct buf edits_text, tags_text;
    const struct filter_instance *calling; /* whose hook is being called */

    struct member members[];
};

/* chain.c */
/* An event without a verdict, for filters 0 to reach-1 that stand at `tx`. */
void run_tell(struct chain_run *r, const struct postern_event *ev, enum member_tx tx, size_t reach);
bool run_wants(const struct chain_run *r,
               enum postern_phase phase); /* some filter of this transaction does */
/* Notes that this recipient's reply is owed to the filters that will be asked about it. */
MUST_CHECK bool run_note_rcpt(struct chain_run *r, struct span text);
void run_forget_rcpts(struct chain_run *r); /* a reply that is still owed never came: code 0 */
void run_transaction_begin(struct chain_run *r);
void run_transaction_over(
    struct chain_run *r); /* ABORT to whom END did not come, replies owed, content freed */

/* Who asks something of the host now: the filter whose hook is being called, or whose answer is awaited;
 * NULL: not known. */
const struct filter_instance *run_caller(const struct chain_run *r);
bool run_in_shadow(const struct chain_run *r); /* it is only being tried out */

/* walk.c */
enum chain_result run_ask(struct chain_run *r, enum postern_phase phase, struct span text);
uint64_t run_ticket(struct chain_run *r); /* 0 outside a hook that has a verdict, or without memory */
void run_resume(struct chain_run *r, const struct postern_verdict *v); /* its ticket was found alive */

/* content.c */
MUST_CHECK bool content_feed(struct chain_run *r, struct span *in); /* up to the end of the header section */
MUST_CHECK bool content_end(struct chain_run *r);                   /* likewise: once more after HEADERS */
void content_close(struct chain_run *r);                            /* nobody wants more; frees */

#endif
