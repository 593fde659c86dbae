/* SPDX-License-Identifier: MIT */
/* The phases that have a verdict: every filter is asked in turn, until one decides, one wants time, or the
 * end.
 *
 *   chain_phase -> walk: ask filter 0, 1, 2 … -- NEXT --> … -- STOP or all asked --> phase_over --> DONE
 *                              |                                                        ^
 *                              +-- WAIT --> PENDING … resume(), deadline or delay --> walk on --> done()
 *
 * `done` is the last thing that happens in a call: its receiver may ask the next phase or destroy the run. */
#include "filters/run.h"

#define DELAY_MAX_US 300000000u /* 5 minutes: what clients wait for a reply (RFC 5321 4.5.3.2) */

enum step { STEP_NEXT, STEP_STOP, STEP_WAIT };

static struct filter_instance *asked_filter(const struct chain_run *r)
{
    return r->chain->filters[r->at];
}

static enum step pass(struct chain_run *r)
{
    buf_free(&r->words);
    r->verdict = (struct verdict){.action = POSTERN_CONTINUE};
    return STEP_NEXT;
}

static void drop_ticket(struct chain_run *r)
{
    ticket_revoke(&asked_filter(r)->tickets, r->ticket);
    r->ticket = 0;
}

static void show_answer(const struct chain_run *r)
{
    const struct filter_instance *f = asked_filter(r);
    if (f->services->answered)
        f->services->answered(f->services->ctx, f->name, r->phase, &r->verdict);
}

/* ---- shadow mode and failures ---- */

static void log_shadow(const struct chain_run *r, const char *would)
{
    const struct filter_instance *f = asked_filter(r);
    const struct verdict *v = &r->verdict;
    struct span rule = v->rule.n ? v->rule : SPAN_LIT("-");
    char text[512];

    (void)snprintf(text, sizeof(text), "shadow: would have %s, session %.*s, rule %.*s, code %u: %.*s", would,
                   SPAN_FMT(r->view->session_id), SPAN_FMT(rule), v->code, SPAN_FMT(v->text));
    f->services->log(f->services->ctx, POSTERN_LOG_INFO, f->name, text);
}

static enum step fail(struct chain_run *r, enum filter_on_error what, const char *counter, const char *why)
{
    static const char *const words[] = {
        [FILTER_ON_ERROR_TEMPFAIL] = "tempfail",
        [FILTER_ON_ERROR_ACCEPT] = "accept",
        [FILTER_ON_ERROR_REJECT] = "reject",
    };
    const struct filter_instance *f = asked_filter(r);
    char text[256];

    (void)snprintf(text, sizeof(text), "%s, session %.*s: %s%s", why, SPAN_FMT(r->view->session_id),
                   words[what], f->shadow ? " (shadow: not enforced)" : "");
    f->services->log(f->services->ctx, POSTERN_LOG_WARN, f->name, text);
    instance_count(f, counter);
    verdict_failure(what, f->name, &r->verdict, &r->words);
    show_answer(r);
    if (f->shadow || what == FILTER_ON_ERROR_ACCEPT)
        return pass(r);
    return STEP_STOP;
}

static enum step fail_on_error(struct chain_run *r, const char *why)
{
    return fail(r, asked_filter(r)->on_error, "failed", why);
}

/* ---- what was not read ---- */

/* The flags of what a filter with these hooks should have been shown. */
static uint64_t read_by(const struct filter_instance *f)
{
    static const enum postern_phase of_parts[] = {POSTERN_ON_PART, POSTERN_ON_TEXT, POSTERN_ON_PART_HEADER,
                                                  POSTERN_ON_HTML, POSTERN_ON_URL,  POSTERN_ON_MEMBER};

    for (size_t i = 0; i < COUNT_OF(of_parts); i++)
        if (instance_hook(f, of_parts[i]))
            return UINT64_MAX;
    return instance_hook(f, POSTERN_ON_HEADER) ? MESSAGE_HEADER_LIMIT | MESSAGE_FIELD_LIMIT : 0;
}

/* What this filter should have seen of the message and did not; NULL: nothing. */
static const struct message_flag_info *unread_by(const struct chain_run *r, const struct filter_instance *f)
{
    if (r->phase != POSTERN_ON_END || !r->message)
        return NULL;
    uint64_t flags = message_flags(r->message) & read_by(f);
    for (unsigned i = 0; flags >> i; i++)
        if ((flags >> i & 1) && message_flag((enum message_flag)i)->unread)
            return message_flag((enum message_flag)i);
    return NULL;
}

/* A filter finds nothing in what it was not shown: that is no reason to let it through. Trying again would
 * not help, so this is a refusal for good, unless the filter is not to stop mail when it fails. */
static enum step refuse_unread(struct chain_run *r, const struct message_flag_info *what)
{
    const struct filter_instance *f = asked_filter(r);
    bool open = f->shadow || f->on_error == FILTER_ON_ERROR_ACCEPT;
    char text[256], rule[64];
    int n = snprintf(rule, sizeof(rule), "message.%s", what->name);

    (void)snprintf(text, sizeof(text), "the message was not read whole (%s), session %.*s: %s", rule,
                   SPAN_FMT(r->view->session_id), open ? "passed" : "refused");
    f->services->log(f->services->ctx, POSTERN_LOG_WARN, f->name, text);
    instance_count(f, "unread");
    if (open)
        return pass(r);
    const struct postern_verdict v = {.size = sizeof(v),
                                      .action = POSTERN_REJECT,
                                      .code = 552,
                                      .enhanced = {"5.3.4", 5},
                                      .text = {what->unread, strlen(what->unread)},
                                      .rule = {rule, (size_t)n}};
    verdict_clean(&v, &r->verdict, &r->words);
    r->verdict.filter = f->name;
    show_answer(r);
    return STEP_STOP;
}

/* The engine's own failure, whatever the filters' failure actions are: a message that could not be read is
 * not let through. */
static void fail_engine(struct chain_run *r)
{
    verdict_failure(FILTER_ON_ERROR_TEMPFAIL, "postern", &r->verdict, &r->words);
}

static void fail_content(struct chain_run *r)
{
    content_close(r);
    fail_engine(r);
    r->refused = true;
    r->at_end = false;
}

/* ---- waiting ---- */

static enum chain_result walk(struct chain_run *r, enum step step);

/* After a wait. The receiver of `done` may destroy the run, so nothing comes after it. */
static void walk_on(struct chain_run *r, enum step step)
{
    if (walk(r, step) != CHAIN_DONE)
        return;
    buf_free(&r->kept);
    struct verdict v = r->verdict;
    r->done(r->ctx, &v);
}

static void stop_waiting(struct chain_run *r)
{
    if (r->timer)
        r->services->timer_stop(r->services->ctx, r->timer);
    r->timer = NULL;
    r->waiting = WAIT_NONE;
}

/* The ticket dies first: an answer from inside cancel() finds nobody. */
static void cancel_answer(struct chain_run *r)
{
    const struct filter_instance *f = asked_filter(r);
    uint64_t ticket = r->ticket;

    drop_ticket(r);
    if (f->plugin.cancel)
        f->plugin.cancel(f->filter, r->members[r->at].session, ticket);
}

static void deadline_passed(void *arg)
{
    struct chain_run *r = arg;
    enum filter_on_error what = asked_filter(r)->on_error;

    r->timer = NULL;
    stop_waiting(r);
    cancel_answer(r);
    if (r->on_timeout == POSTERN_TIMEOUT_OPEN)
        what = FILTER_ON_ERROR_ACCEPT;
    else if (r->on_timeout == POSTERN_TIMEOUT_TEMPFAIL)
        what = FILTER_ON_ERROR_TEMPFAIL;
    else if (r->on_timeout == POSTERN_TIMEOUT_REJECT)
        what = FILTER_ON_ERROR_REJECT;
    walk_on(r, fail(r, what, "timeout", "no verdict before the deadline"));
}

static void delay_over(void *arg)
{
    struct chain_run *r = arg;

    r->timer = NULL;
    stop_waiting(r);
    walk_on(r, pass(r));
}

/* What the phase is about must live as long as the wait. */
static bool keep_text(struct chain_run *r)
{
    if (r->text.n && buf_len(&r->kept) == 0) {
        if (!buf_append(&r->kept, r->text))
            return false;
        r->text = buf_span(&r->kept);
    }
    if (r->rest.n && buf_len(&r->kept_rest) == 0) {
        if (!buf_append(&r->kept_rest, r->rest))
            return false;
        r->rest = buf_span(&r->kept_rest);
    }
    return true;
}

static bool wait_for(struct chain_run *r, enum waiting what, uint64_t us, void (*fire)(void *arg))
{
    if (!r->services->timer_start || !keep_text(r))
        return false;
    r->timer = r->services->timer_start(r->services->ctx, us, fire, r);
    if (!r->timer)
        return false;
    r->waiting = what;
    return true;
}

static enum step wait_for_answer(struct chain_run *r, const struct postern_verdict *v)
{
    uint64_t us = asked_filter(r)->deadline_us;

    if (v->delay_us && v->delay_us < us)
        us = v->delay_us;
    r->on_timeout = v->on_timeout;
    if (wait_for(r, WAIT_ANSWER, us, deadline_passed))
        return STEP_WAIT;
    cancel_answer(r);
    return fail_on_error(r, "no timer or no memory to wait for its verdict");
}

static enum step delay(struct chain_run *r)
{
    uint64_t us = r->delay_us < DELAY_MAX_US ? r->delay_us : DELAY_MAX_US;
    return us && wait_for(r, WAIT_DELAY, us, delay_over) ? STEP_WAIT : pass(r);
}

void chain_cancel(struct chain_run *r)
{
    enum waiting was = r->waiting;

    if (was == WAIT_NONE)
        return;
    stop_waiting(r);
    if (was == WAIT_ANSWER)
        cancel_answer(r);
    buf_free(&r->kept);
    if (r->phase == POSTERN_ON_HEADERS) /* nobody has judged this message: it must not pass */
        fail_content(r);
}

/* ---- asking ---- */

/* r->verdict is the answer of the filter that was asked: what follows from it? */
static enum step settle(struct chain_run *r)
{
    const struct filter_instance *f = asked_filter(r);
    const struct action_info *info = action_info(r->verdict.action);

    if (!info || r->verdict.action == POSTERN_PENDING)
        return fail_on_error(r, "an answer that is no verdict");
    show_answer(r);
    if (f->shadow && info->would) {
        log_shadow(r, info->would);
        instance_count(f, info->shadow_counter);
        return pass(r);
    }
    if (info->counter)
        instance_count(f, info->counter);
    bool goes_on = r->verdict.action == POSTERN_CONTINUE || r->verdict.action == POSTERN_DELAY;
    const struct message_flag_info *unread = goes_on ? unread_by(r, f) : NULL;
    if (unread)
        return refuse_unread(r, unread);
    switch (r->verdict.action) {
    case POSTERN_CONTINUE:
        return pass(r);
    case POSTERN_ACCEPT:
        (void)pass(r);
        return STEP_STOP;
    case POSTERN_DELAY:
        return delay(r);
    case POSTERN_DISCARD:
        r->discarded_by = f->name;
        break;
    default:
        break;
    }
    r->verdict.filter = f->name;
    return STEP_STOP;
}

static void take_answer(struct chain_run *r, const struct postern_verdict *v)
{
    drop_ticket(r);
    r->delay_us = v->delay_us;
    verdict_clean(v, &r->verdict, &r->words);
}

uint64_t run_ticket(struct chain_run *r)
{
    if (r->asking && !r->answered && !r->ticket)
        r->ticket = ticket_issue(&asked_filter(r)->tickets, r);
    return r->asking ? r->ticket : 0;
}

void run_resume(struct chain_run *r, const struct postern_verdict *v)
{
    take_answer(r, v);
    if (r->asking) { /* the hook has not returned yet: call() looks at it then */
        r->answered = true;
        return;
    }
    stop_waiting(r);
    walk_on(r, settle(r));
}

static enum step call(struct chain_run *r, postern_hook hook)
{
    struct postern_event ev = {.size = sizeof(ev), .phase = r->phase, .text = {r->text.p, r->text.n}};
    struct postern_verdict v = {.size = sizeof(v)};

    r->answered = false;
    r->asking = true;
    r->calling = asked_filter(r);
    hook(asked_filter(r)->filter, r->members[r->at].session, &r->tx, &ev, &v);
    r->calling = NULL;
    r->asking = false;
    if (v.action == POSTERN_PENDING && !r->answered)
        return wait_for_answer(r, &v);
    if (v.action != POSTERN_PENDING)
        take_answer(r, &v);
    return settle(r);
}

static void meet(struct chain_run *r)
{
    const struct filter_instance *f = asked_filter(r);
    struct member *m = &r->members[r->at];

    if (m->state != MEMBER_NEW)
        return;
    m->state = MEMBER_MET;
    if (f->plugin.session_begin && f->plugin.session_begin(f->filter, &r->tx, &m->session) != 0)
        m->state = MEMBER_FAILED;
}

/* Is this filter in the transaction that the phase belongs to? Also notes that the phase came to it. */
static bool takes_part(struct chain_run *r)
{
    struct member *m = &r->members[r->at];

    if (r->phase < POSTERN_ON_MAIL)
        return true;
    if (r->phase == POSTERN_ON_MAIL)
        m->tx = TX_OPEN;
    if (m->tx != TX_OPEN) /* a filter before it accepted the whole transaction */
        return false;
    if (r->phase == POSTERN_ON_END)
        m->tx = TX_ENDED;
    return true;
}

static enum step ask(struct chain_run *r)
{
    postern_hook hook = instance_hook(asked_filter(r), r->phase);

    meet(r);
    if (!takes_part(r))
        return STEP_NEXT;
    if (r->phase == POSTERN_ON_RCPT && r->rcpt_now)
        r->rcpt_now->reach = r->at + 1;
    if (!hook) {
        const struct message_flag_info *unread = unread_by(r, asked_filter(r));
        return unread ? refuse_unread(r, unread) : STEP_NEXT;
    }
    if (r->members[r->at].state == MEMBER_FAILED)
        return fail_on_error(r, "its session could not begin");
    return call(r, hook);
}

/* ---- phases ---- */

static void start(struct chain_run *r, enum postern_phase phase, struct span text)
{
    (void)pass(r);
    r->phase = phase;
    r->text = text;
    r->next = 0;
}

/* What was kept behind the header section follows now, and all the rest when this is the end. */
static bool feed_rest(struct chain_run *r)
{
    bool read = content_feed(r, &r->rest) && (!r->at_end || content_end(r));
    buf_free(&r->kept_rest);
    r->rest = SPAN_NONE;
    return read;
}

/* HEADERS is through: the content goes on. true: END is to be asked now. */
static bool headers_over(struct chain_run *r)
{
    bool at_end = r->at_end;

    if (r->verdict.action != POSTERN_CONTINUE) {
        content_close(r);
        r->refused = true;
    } else if (!feed_rest(r)) {
        fail_content(r);
    }
    r->at_end = false;
    if (at_end && r->refused)
        run_transaction_over(r);
    else if (at_end)
        start(r, POSTERN_ON_END, SPAN_NONE);
    return at_end && !r->refused;
}

/* Every filter that was to be asked was asked. true: another phase follows at once. */
static bool phase_over(struct chain_run *r)
{
    if (r->phase == POSTERN_ON_HEADERS)
        return headers_over(r);
    if (r->phase == POSTERN_ON_END || (r->phase == POSTERN_ON_MAIL && verdict_refuses(r->verdict.action)))
        run_transaction_over(r);
    return false;
}

static enum chain_result walk(struct chain_run *r, enum step step)
{
    do {
        while (step == STEP_NEXT && r->next < r->chain->n) {
            r->at = r->next++;
            step = ask(r);
        }
        if (step == STEP_WAIT)
            return CHAIN_PENDING;
        step = STEP_NEXT;
    } while (phase_over(r));
    return CHAIN_DONE;
}

enum chain_result run_ask(struct chain_run *r, enum postern_phase phase, struct span text)
{
    start(r, phase, text);
    return walk(r, STEP_NEXT);
}

/* The content is over: its last events, HEADERS if it is still due, then END. */
static enum chain_result ask_end(struct chain_run *r)
{
    run_forget_rcpts(r);
    if (r->discarded_by && !r->refused) {
        r->verdict = (struct verdict){.action = POSTERN_DISCARD, .filter = r->discarded_by};
        r->refused = true;
    }
    if (!r->refused && !content_end(r))
        fail_content(r);
    if (r->refused) {
        run_transaction_over(r);
        return CHAIN_DONE;
    }
    r->at_end = r->headers_due;
    r->headers_due = false;
    return run_ask(r, r->at_end ? POSTERN_ON_HEADERS : POSTERN_ON_END, SPAN_NONE);
}

static enum chain_result ask_rcpt(struct chain_run *r, struct span text)
{
    if (run_note_rcpt(r, text))
        return run_ask(r, POSTERN_ON_RCPT, text);
    fail_engine(r);
    return CHAIN_DONE;
}

enum chain_result chain_phase(struct chain_run *r, enum postern_phase phase, struct span text,
                              struct verdict *v_r)
{
    enum chain_result result;

    chain_cancel(r);
    if (phase == POSTERN_ON_MAIL)
        run_transaction_begin(r);
    if (phase == POSTERN_ON_END)
        result = ask_end(r);
    else if (phase == POSTERN_ON_RCPT)
        result = ask_rcpt(r, text);
    else
        result = run_ask(r, phase, text);
    *v_r = r->verdict;
    return result;
}

enum chain_result chain_content(struct chain_run *r, struct span piece, struct verdict *v_r)
{
    enum chain_result result = CHAIN_DONE;

    *v_r = (struct verdict){.action = POSTERN_CONTINUE};
    chain_cancel(r);
    if (r->refused || r->discarded_by)
        return CHAIN_DONE;
    if (!content_feed(r, &piece)) {
        fail_content(r);
        *v_r = r->verdict;
    } else if (r->headers_due) {
        r->headers_due = false;
        r->rest = piece;
        result = run_ask(r, POSTERN_ON_HEADERS, SPAN_NONE);
        *v_r = r->verdict;
    }
    return result;
}
