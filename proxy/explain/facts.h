/* SPDX-License-Identifier: MIT */
/* What was seen of one run: plain data, filled by play.c and read by the report and the JSON. All texts are
 * copies in one arena, valid UTF-8, cut to the bounds below; control characters are still in them. Lists are
 * bounded, and what came after is counted. */
#ifndef EXPLAIN_FACTS_H
#define EXPLAIN_FACTS_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/span.h"
#include "filters/chain.h"
#include "filters/message.h"

#define FACTS_FIELDS    500
#define FACTS_PARTS     1000
#define FACTS_FLAGS     200
#define FACTS_URLS      100
#define FACTS_NOTES     500  /* of one filter */
#define FACTS_VALUE     1000 /* bytes of a header field, a file name, an address */
#define FACTS_LIST      4000 /* of the lists of scores, edits and tags */
#define FACTS_TEXT_KEPT 2000 /* of a part's text */
#define FACTS_MATCHED   200  /* of the text that a rule was about */

struct facts_field {
    struct facts_field *next;
    struct span name, value;
};

struct facts_part {
    struct facts_part *next;
    uint32_t index, depth;
    struct span type, declared, detected, charset, disposition, filename;
    char *text; /* NULL: none */
    size_t text_n;
    uint64_t text_bytes; /* all of it */
};

struct facts_flag {
    struct facts_flag *next;
    enum message_flag flag;
    bool of_part;
    uint32_t part;
};

struct facts_url {
    struct facts_url *next;
    uint32_t part;
    struct span text;
};

enum facts_note_kind { FACTS_HIT, FACTS_ANSWER, FACTS_LOG };

struct facts_answer { /* a struct verdict that stays */
    enum postern_action action;
    unsigned code;
    struct span enhanced, text, rule;
    bool failed;
};

struct facts_note { /* something that a filter did, in the order of time */
    struct facts_note *next;
    enum facts_note_kind kind;
    struct span text;           /* HIT: the matched text. LOG: the line */
    struct span rule;           /* HIT */
    enum postern_phase phase;   /* ANSWER */
    struct facts_answer answer; /* ANSWER */
};

struct facts_filter {
    const char *name, *plugin; /* the configuration's */
    bool shadow;
    const char *on_error;
    struct facts_note *notes, **notes_end;
    size_t notes_n; /* all of them; FACTS_NOTES are kept */
};

struct facts_rcpt {
    struct span mailbox;
    struct facts_answer answer; /* CONTINUE: accepted */
};

enum facts_outcome { FACTS_ACCEPTED, FACTS_REFUSED, FACTS_DEFERRED, FACTS_DISCARDED };

struct facts {
    struct arena *arena;
    bool incomplete; /* the arena was full */
    const char *policy;
    struct facts_filter *filters; /* in the order of the chain */
    size_t filters_n;
    struct facts_rcpt *rcpts;
    size_t rcpts_n;
    struct facts_field *fields, **fields_end;
    struct facts_part *parts, **parts_end;
    struct facts_part *last_part;
    struct facts_flag *flags, **flags_end;
    struct facts_url *urls, **urls_end;
    size_t fields_n, parts_n, flags_n, urls_n; /* all of them */
    uint64_t bytes;                            /* of the message, with CRLF */
    bool line_ends; /* some were not CRLF, so that bare_newline: reject would refuse it */
    struct span score_names, edits, tags; /* "wallet=2.5 meds=4"; "+X-Spam bcc:a@b"; "lane=fast" */
    double score;
    struct span *added; /* the header fields as they will stand there */
    size_t added_n;
    enum facts_outcome outcome;
    const char *stage;  /* "rcpt", …; NULL: accepted */
    const char *filter; /* whose word it is; NULL: postern's own */
    struct facts_answer reply;
};

/* false: no memory. The filters are those of the policy. */
MUST_CHECK bool facts_begin(struct facts *f);
void facts_end(struct facts *f);

/* A copy of at most `max` bytes, without half characters; what is no UTF-8 becomes U+FFFD. */
struct span facts_copy(struct facts *f, struct span s, size_t max);

/* The events of the message model, with the facts as their ctx. */
extern const struct message_events facts_events;

/* Who looks on: a filter that is not in the list is left out. */
void facts_log(void *facts, enum postern_log_level level, const char *filter, const char *text);
void facts_hit(void *facts, const char *filter, struct span rule, struct span matched);
void facts_answered(void *facts, const char *filter, enum postern_phase phase, const struct verdict *v);

struct facts_answer facts_keep_answer(struct facts *f, const struct verdict *v);
const char *facts_phase_word(enum postern_phase phase); /* "rcpt" */
const char *facts_outcome_word(enum facts_outcome o);   /* "accepted" */

#endif
