/* SPDX-License-Identifier: MIT */
/* A filter that does what a test says, and a bench with a chain of such filters and one session. What they
 * see is written to one trace:  "a:HELO name"  is filter a, called at HELO with that text. */
#ifndef TESTS_UNIT_FILTERS_SCRIPT_H
#define TESTS_UNIT_FILTERS_SCRIPT_H

#include "unit/filters/fake.h"

#define FILTERS_MAX 4

struct bench;

struct script {                /* one filter: its descriptor, its answers, what was counted of its calls */
    struct postern_node block; /* first, so that configure() finds the script */
    struct postern_filter plugin;
    struct filter_settings settings;
    struct bench *bench;
    const struct postern_host *host;
    void *self;
    char name[2];
    struct postern_verdict answers[POSTERN_PHASES];
    bool no_session;    /* session_begin fails */
    bool answer_inside; /* resume() from inside the hook that says PENDING, with `inside` */
    struct postern_verdict inside;
    uint64_t ticket;
    double score; /* given at END */
    size_t calls[POSTERN_PHASES], cancels, begins, ends;
};

struct bench {
    struct fake fake;
    struct buf trace;
    bool quiet;         /* no trace */
    bool many_sessions; /* a script's ticket is only the last one's */
    struct script scripts[FILTERS_MAX];
    size_t n;
    struct filter_instance *instances[FILTERS_MAX];
    struct chain *chain;
    struct txview view;
    struct chain_run *run;
    size_t dones;
    struct verdict done; /* the last one; its texts may be gone */
    void (*on_done)(struct bench *b);
};

static inline const char *phase_name(enum postern_phase phase)
{
    static const char *const names[POSTERN_PHASES] = {
        "CONNECT", "HELO",       "AUTH",        "MAIL", "RCPT", "DATA",       "HEADER",
        "HEADERS", "BODY",       "PART",        "TEXT", "END",  "RCPT_REPLY", "MESSAGE_REPLY",
        "ABORT",   "DISCONNECT", "PART_HEADER", "HTML", "URL",  "MEMBER",     "FLAG"};
    return names[phase];
}

static inline void script_note(struct script *s, const char *what, struct span text)
{
    struct buf *t = &s->bench->trace;
    if (s->bench->quiet)
        return;
    assert_true(buf_printf(t, "%s:%s", s->name, what));
    if (text.n)
        assert_true(buf_append(t, SPAN_LIT(" ")) && buf_append(t, text));
    assert_true(buf_append(t, SPAN_LIT("\n")));
}

static inline bool has_verdict(enum postern_phase phase)
{
    return phase <= POSTERN_ON_DATA || phase == POSTERN_ON_HEADERS || phase == POSTERN_ON_END;
}

static inline void script_wait(struct script *s, const struct postern_tx *tx)
{
    s->ticket = s->host->ticket(tx);
    assert_int_equal(s->ticket, s->host->ticket(tx));
    if (s->answer_inside)
        s->host->resume(s->self, s->ticket, &s->inside);
}

static inline void script_hook(void *filter, void *session, struct postern_tx *tx,
                               const struct postern_event *ev, struct postern_verdict *v)
{
    struct script *s = filter;
    assert_ptr_equal(session, s);
    assert_int_equal(ev->size, sizeof(*ev));
    assert_int_equal(v->size, sizeof(*v));
    s->calls[ev->phase]++;
    script_note(s, phase_name(ev->phase), (struct span){ev->text.p, ev->text.n});
    if (ev->phase == POSTERN_ON_END && s->score != 0)
        s->host->add_score(tx, (struct postern_span){s->name, 1}, s->score);
    *v = s->answers[ev->phase];
    v->size = sizeof(*v);
    if (!has_verdict(ev->phase))
        assert_int_equal(s->host->ticket(tx), 0);
    else if (v->action == POSTERN_PENDING)
        script_wait(s, tx);
}

static inline int script_configure(const struct postern_host *host, void *self,
                                   const struct postern_node *block, void **filter_r)
{
    struct script *s = (struct script *)(uintptr_t)block;
    s->host = host;
    s->self = self;
    *filter_r = s;
    return 0;
}

static inline int script_session_begin(void *filter, struct postern_tx *tx, void **session_r)
{
    struct script *s = filter;
    assert_int_equal(s->host->ticket(tx), 0);
    *session_r = s;
    s->begins++;
    return s->no_session ? -1 : 0;
}

static inline void script_session_end(void *filter, void *session)
{
    struct script *s = filter;
    assert_ptr_equal(session, s);
    s->ends++;
}

/* An answer from inside cancel() is late already. */
static inline void script_cancel(void *filter, void *session, uint64_t ticket)
{
    struct script *s = filter;
    assert_ptr_equal(session, s);
    assert_true(ticket == s->ticket || s->bench->many_sessions);
    s->cancels++;
    script_note(s, "cancel", SPAN_NONE);
    s->host->resume(s->self, ticket, &s->inside);
}

static inline void bench_done(void *ctx, const struct verdict *v)
{
    struct bench *b = ctx;
    b->dones++;
    b->done = *v;
    if (b->on_done)
        b->on_done(b);
}

/* Filters a, b, … with every hook but those of the message model: tests add these. */
static inline void bench_begin(struct bench *b, size_t n)
{
    *b = (struct bench){.n = n, .view = {.session_id = SPAN_LIT("S1")}};
    fake_begin(&b->fake);
    for (size_t i = 0; i < n; i++) {
        struct script *s = &b->scripts[i];
        s->bench = b;
        s->name[0] = (char)('a' + (int)i);
        s->plugin = (struct postern_filter){.size = sizeof(struct postern_filter),
                                            .name = s->name,
                                            .configure = script_configure,
                                            .session_begin = script_session_begin,
                                            .session_end = script_session_end,
                                            .cancel = script_cancel};
        for (int phase = 0; phase <= POSTERN_ON_DISCONNECT; phase++)
            s->plugin.hooks[phase] = script_hook;
        s->plugin.hooks[POSTERN_ON_HEADER] = s->plugin.hooks[POSTERN_ON_HEADERS] =
            s->plugin.hooks[POSTERN_ON_BODY] = s->plugin.hooks[POSTERN_ON_PART] =
                s->plugin.hooks[POSTERN_ON_TEXT] = NULL;
        s->settings = (struct filter_settings){.name = s->name, .deadline_us = 5000000, .block = &s->block};
        s->inside.size = sizeof(s->inside);
    }
}

/* After the scripts are as the test wants them. */
static inline void bench_start(struct bench *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct script *s = &b->scripts[i];
        b->instances[i] = filter_instance_create(&s->plugin, &s->settings, &b->fake.services);
        assert_non_null(b->instances[i]);
        filter_instance_start(b->instances[i]);
    }
    b->chain = chain_create(b->instances, b->n);
    assert_non_null(b->chain);
    b->run = chain_run_create(b->chain, &b->fake.services, &b->view, 0, bench_done, b);
    assert_non_null(b->run);
}

/* For every MAIL exactly one END or ABORT, and a reply to every RCPT; a session ends as often as it begins.
 */
static inline void script_check_balance(const struct script *s)
{
    assert_int_equal(s->calls[POSTERN_ON_MAIL], s->calls[POSTERN_ON_END] + s->calls[POSTERN_ON_ABORT]);
    assert_int_equal(s->calls[POSTERN_ON_RCPT], s->calls[POSTERN_ON_RCPT_REPLY]);
    assert_true(s->calls[POSTERN_ON_MESSAGE_REPLY] <= s->calls[POSTERN_ON_END]);
    assert_int_equal(s->begins, s->ends + (s->no_session ? s->begins : 0));
    assert_int_equal(s->calls[POSTERN_ON_DISCONNECT], s->ends);
}

static inline void bench_end(struct bench *b)
{
    chain_run_destroy(&b->run);
    assert_null(b->run);
    for (size_t i = 0; i < b->n; i++) {
        script_check_balance(&b->scripts[i]);
        filter_instance_destroy(&b->instances[i]);
    }
    chain_destroy(&b->chain);
    buf_free(&b->trace);
    fake_end(&b->fake);
}

static inline void resume(struct script *s, enum postern_action action)
{
    struct postern_verdict v = {.size = sizeof(v), .action = action};
    s->host->resume(s->self, s->ticket, &v);
}

/* A phase that is answered at once. */
static inline struct verdict ask(struct bench *b, enum postern_phase phase, const char *text)
{
    struct verdict v;
    assert_int_equal(chain_phase(b->run, phase, span_of(text), &v), CHAIN_DONE);
    return v;
}

static inline void ask_and_wait(struct bench *b, enum postern_phase phase, const char *text)
{
    struct verdict v;
    assert_int_equal(chain_phase(b->run, phase, span_of(text), &v), CHAIN_PENDING);
}

static inline struct verdict content(struct bench *b, const char *piece)
{
    struct verdict v;
    assert_int_equal(chain_content(b->run, span_of(piece), &v), CHAIN_DONE);
    return v;
}

#endif
