/* SPDX-License-Identifier: MIT */
/* Filters in order, and their run over one session.
 *
 *   instance   one configured plugin of one generation         (owned by the runtime)
 *   chain      a policy: instances in order                    (owned by the runtime)
 *   run        a chain over one session, transaction by transaction (owned by the session)
 *
 *   chain_phase --> filter 0 --> filter 1 --(PENDING)--> … loop … resume() --> filter 2 --> done(verdict)
 *
 * The chain keeps what the public header promises: END xor ABORT for every MAIL hook called, deadlines on
 * pending verdicts, the failure action, shadow mode, and that a late answer finds nobody. */
#ifndef FILTERS_CHAIN_H
#define FILTERS_CHAIN_H

#include "base/attr.h"
#include "base/span.h"
#include "filters/edit.h"
#include "filters/services.h"
#include "filters/txview.h"
#include "postern/filter.h"

#include <stdint.h>

enum filter_on_error { FILTER_ON_ERROR_TEMPFAIL, FILTER_ON_ERROR_ACCEPT, FILTER_ON_ERROR_REJECT };

struct filter_settings {
    const char *name; /* from the configuration; copied */
    bool shadow;
    enum filter_on_error on_error;
    uint64_t deadline_us; /* of a pending verdict that names none; also the most that one may name */
    const struct postern_node *block; /* must outlive the instance */
};

struct filter_instance;
/* Configures it. NULL: its errors went to services->config_error (there was at least one). `services` must
 * outlive the instance. */
MUST_CHECK struct filter_instance *filter_instance_create(const struct postern_filter *plugin,
                                                          const struct filter_settings *settings,
                                                          const struct filter_services *services);
void filter_instance_start(struct filter_instance *f);    /* in a worker, before the first run */
void filter_instance_destroy(struct filter_instance **f); /* no run may be left */

struct chain;
MUST_CHECK struct chain *chain_create(struct filter_instance *const *filters, size_t n);
void chain_destroy(struct chain **c);
bool chain_empty(const struct chain *c);

/* The outcome of a phase. Texts are checked, of printable ASCII, and good until the next call on the run. */
struct verdict {
    enum postern_action
        action; /* CONTINUE, REJECT, TEMPFAIL, DISCARD or DISCONNECT; ACCEPT is CONTINUE here */
    unsigned code;
    struct span enhanced, text;
    const char *filter; /* whose verdict; NULL for CONTINUE; "postern": the engine's own failure */
    struct span rule;
    bool failed; /* not the filter's word but its failure action (deadline, no memory) */
};

enum chain_result { CHAIN_DONE, CHAIN_PENDING };

struct chain_run;
/* `done` brings the verdict of what answered CHAIN_PENDING, exactly once, never from inside the call that
 * gave CHAIN_PENDING, and not after chain_cancel. max_header: bytes of header section decoded (a message
 * with more is refused at END). NULL: no memory. */
MUST_CHECK struct chain_run *chain_run_create(const struct chain *c, const struct filter_services *services,
                                              const struct txview *view, size_t max_header,
                                              void (*done)(void *ctx, const struct verdict *v), void *ctx);
/* Calls ABORT and DISCONNECT where owed, cancels, ends. Safe inside `done`. */
void chain_run_destroy(struct chain_run **r);

/* Phases with a verdict, but HEADERS: CONNECT HELO AUTH MAIL RCPT DATA END. `text` as in postern/filter.h. */
MUST_CHECK enum chain_result chain_phase(struct chain_run *r, enum postern_phase phase, struct span text,
                                         struct verdict *v_r);
/* A piece of content, dots unstuffed: makes HEADER, HEADERS, BODY, PART and TEXT. CHAIN_PENDING: a filter
 * thinks about HEADERS; the piece is taken (the rest of it is kept), but no other may come before `done`. The
 * verdict is that of HEADERS, CONTINUE for all other pieces; after a verdict other than CONTINUE the filters
 * need no more content and ignore it. */
MUST_CHECK enum chain_result chain_content(struct chain_run *r, struct span piece, struct verdict *v_r);
/* RCPT_REPLY (text: as it was in the RCPT phase) and MESSAGE_REPLY. code 0: unknown. Each goes to the filters
 * that were asked; a recipient whose reply never comes gets one with code 0 when the transaction ends. */
void chain_reply(struct chain_run *r, enum postern_phase phase, struct span text, unsigned code,
                 bool from_upstream);
/* The transaction ends here: ABORT where END was not called; a pending verdict is cancelled. Harmless without
 * one. */
void chain_abort(struct chain_run *r);
/* The same, and the session has no more use for the transaction's edits and tags either. */
void chain_forget(struct chain_run *r);
/* Forget a pending verdict (the command it belonged to is gone). */
void chain_cancel(struct chain_run *r);
double chain_score(const struct chain_run *r);
/* "wallet=2.5 meds=4" of this transaction, for the log; good until the next call. */
struct span chain_score_text(struct chain_run *r);
/* What was not as it should be in the transaction's message: "bad-base64,depth-limit"; good until the next
 * call. The counters filter.message.flag.NAME have them, too. */
struct span chain_flags_text(struct chain_run *r);
/* A filter of this transaction may change the message, or did: it is to be held until END. Asked after MAIL.
 */
bool chain_holds(const struct chain_run *r);
/* What is to be changed, once END has brought CONTINUE; NULL: nothing. Good until chain_forget. */
const struct edits *chain_edits(const struct chain_run *r);
/* The same and the tags, for the log; good until the next call. */
struct span chain_edits_text(struct chain_run *r);
struct span chain_tags_text(struct chain_run *r);

#endif
