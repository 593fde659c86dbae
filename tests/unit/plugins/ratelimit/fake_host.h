/* SPDX-License-Identifier: MIT */
/* A host for the plugin's tests: a clock that stands until it is told, timers, streams that the test plays
 * the other end of, a log and counters to look at, shared memory that outlives filters as the real one does,
 * and a few lines to write a configuration with. Each test makes its own; nothing is shared between them. */
#ifndef RATELIMIT_FAKE_HOST_H
#define RATELIMIT_FAKE_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spans.h"

#include <stdio.h>
#include <stdlib.h>

enum { FAKE_NODES = 512, FAKE_TIMERS = 32, FAKE_COUNTERS = 32, FAKE_SHARED = 8, FAKE_RESUMED = 2048 };

struct postern_timer {
    bool armed;
    uint64_t due;
    void (*fire)(void *arg);
    void *arg;
};

struct postern_stream {
    struct fake *fake;
    struct postern_stream_events events;
    void *arg;
    bool open;
    char server[128], tls_name[64];
    int tls;
    int fd; /* for tests that put a socket behind it */
};

struct postern_tx {
    struct postern_span fields[POSTERN_F_TLS + 1];
    struct postern_span ip;
    uint64_t ticket;
};

struct fake_resumed {
    uint64_t ticket;
    enum postern_action action;
    unsigned code;
    char text[200], rule[80];
};

struct fake {
    struct postern_host host;
    uint64_t now;
    struct postern_timer timers[FAKE_TIMERS];

    struct postern_node nodes[FAKE_NODES];
    size_t nodes_n;
    char errors[8192], log[65536];
    size_t log_lines;
    struct {
        char name[32];
        uint64_t value;
    } counters[FAKE_COUNTERS];
    struct {
        char name[64];
        size_t bytes;
        void *memory;
    } shared[FAKE_SHARED];
    const char *file_bytes; /* what read_file gives; NULL: it fails */

    struct postern_stream stream; /* the one that is open */
    unsigned streams;             /* opened so far */
    bool refuse_writes;
    char *sent; /* what the plugin wrote on it since fake_sent_clear() */
    size_t sent_n, sent_room;

    uint64_t tickets;
    struct fake_resumed resumed[FAKE_RESUMED];
    size_t resumed_n;
    void (*on_resume)(struct fake *f, uint64_t ticket);
    void *test;
};

/* ---- log, time, counters ---- */

static inline void __attribute__((format(printf, 3, 4)))
fake_log(void *self, enum postern_log_level level, const char *format, ...)
{
    struct fake *f = self;
    size_t n = strnlen(f->log, sizeof(f->log));
    va_list ap;

    if (level == POSTERN_LOG_DEBUG)
        return;
    va_start(ap, format);
    (void)vsnprintf(f->log + n, sizeof(f->log) - n, format, ap);
    va_end(ap);
    n = strnlen(f->log, sizeof(f->log));
    (void)snprintf(f->log + n, sizeof(f->log) - n, "\n");
    f->log_lines++;
}

static inline uint64_t fake_now(void *self)
{
    return ((struct fake *)self)->now;
}

static inline void fake_count(void *self, const char *name, uint64_t add)
{
    struct fake *f = self;
    size_t i = 0;
    while (i < FAKE_COUNTERS && f->counters[i].name[0] && strcmp(f->counters[i].name, name) != 0)
        i++;
    assert_true(i < FAKE_COUNTERS);
    (void)snprintf(f->counters[i].name, sizeof(f->counters[i].name), "%s", name);
    f->counters[i].value += add;
}

static inline uint64_t fake_counter(const struct fake *f, const char *name)
{
    for (size_t i = 0; i < FAKE_COUNTERS; i++)
        if (strcmp(f->counters[i].name, name) == 0)
            return f->counters[i].value;
    return 0;
}

/* ---- configuration ---- */

static inline void __attribute__((format(printf, 4, 5)))
fake_config_error(void *self, const struct postern_node *at, size_t column_add, const char *format, ...)
{
    struct fake *f = self;
    size_t n = strnlen(f->errors, sizeof(f->errors));
    va_list ap;

    (void)column_add;
    assert_non_null(at);
    n += (size_t)snprintf(f->errors + n, sizeof(f->errors) - n, "%.*s: ", SPAN_ARGS(at->name));
    va_start(ap, format);
    (void)vsnprintf(f->errors + n, sizeof(f->errors) - n, format, ap);
    va_end(ap);
    n = strnlen(f->errors, sizeof(f->errors));
    (void)snprintf(f->errors + n, sizeof(f->errors) - n, "\n");
}

static inline int fake_read_file(void *self, struct postern_span name, struct postern_span *bytes_r,
                                 const char **name_r, const char **error_r)
{
    struct fake *f = self;
    (void)name;
    *name_r = "file";
    *error_r = "no such file";
    if (!f->file_bytes)
        return -1;
    *bytes_r = (struct postern_span){f->file_bytes, strlen(f->file_bytes)};
    return 0;
}

static inline void *fake_shared(void *self, const char *name, size_t bytes)
{
    struct fake *f = self;
    size_t i = 0;
    while (i < FAKE_SHARED && f->shared[i].memory &&
           (strcmp(f->shared[i].name, name) != 0 || f->shared[i].bytes != bytes))
        i++;
    assert_true(i < FAKE_SHARED);
    if (!f->shared[i].memory) {
        f->shared[i].memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
        memset(f->shared[i].memory, 0, bytes);
        f->shared[i].bytes = bytes;
        (void)snprintf(f->shared[i].name, sizeof(f->shared[i].name), "%s", name);
    }
    return f->shared[i].memory;
}

static inline struct postern_node *fake_node(struct fake *f, struct postern_node *parent, const char *name)
{
    assert_true(f->nodes_n < FAKE_NODES);
    struct postern_node *node = &f->nodes[f->nodes_n++];
    *node = (struct postern_node){.name = {name, strlen(name)}, .file = "test.yaml", .line = 1, .column = 1};
    if (!parent)
        return node;
    const struct postern_node **at = &parent->first;
    while (*at)
        at = (const struct postern_node **)(uintptr_t) & (*at)->next;
    *at = node;
    return node;
}

static inline struct postern_node *fake_map(struct fake *f, struct postern_node *parent, const char *name)
{
    struct postern_node *node = fake_node(f, parent, name);
    node->kind = POSTERN_NODE_MAP;
    return node;
}

static inline struct postern_node *fake_text(struct fake *f, struct postern_node *parent, const char *name,
                                             const char *text)
{
    struct postern_node *node = fake_node(f, parent, name);
    node->text = (struct postern_span){text, strlen(text)};
    return node;
}

static inline struct postern_node *fake_number(struct fake *f, struct postern_node *parent, const char *name,
                                               int64_t number)
{
    struct postern_node *node = fake_node(f, parent, name);
    node->number = number;
    return node;
}

/* keys: "sender client/24" */
static inline void fake_keys(struct fake *f, struct postern_node *limit, const char *keys)
{
    struct postern_node *list = fake_node(f, limit, "key");
    list->kind = POSTERN_NODE_LIST;
    while (*keys) {
        size_t n = strcspn(keys, " ");
        struct postern_node *part = fake_text(f, list, "", keys);
        part->text.n = n;
        keys += n + strspn(keys + n, " ");
    }
}

enum { MESSAGES, RECIPIENTS };
enum { LOCAL, ALLOW, TEMPFAIL };
#define SECOND UINT64_C(1000000)

static inline struct postern_node *fake_limit(struct fake *f, struct postern_node *limits, const char *name,
                                              const char *keys, int count, int64_t rate, uint64_t window_us)
{
    struct postern_node *limit = fake_map(f, limits, name);
    fake_keys(f, limit, keys);
    fake_number(f, limit, "count", count);
    fake_number(f, limit, "rate", rate)->real = (double)window_us;
    return limit;
}

/* ---- timers ---- */

static inline struct postern_timer *fake_timer_start(void *self, uint64_t after_us, void (*fire)(void *arg),
                                                     void *arg)
{
    struct fake *f = self;
    size_t i = 0;
    while (i < FAKE_TIMERS && f->timers[i].armed)
        i++;
    assert_true(i < FAKE_TIMERS);
    f->timers[i] = (struct postern_timer){true, f->now + after_us, fire, arg};
    return &f->timers[i];
}

static inline void fake_timer_stop(void *self, struct postern_timer *t)
{
    (void)self;
    assert_true(t->armed);
    t->armed = false;
}

/* Lets time pass, firing what falls due in its order. */
static inline void fake_advance(struct fake *f, uint64_t us)
{
    uint64_t until = f->now + us;
    for (;;) {
        struct postern_timer *next = NULL;
        for (size_t i = 0; i < FAKE_TIMERS; i++)
            if (f->timers[i].armed && f->timers[i].due <= until && (!next || f->timers[i].due < next->due))
                next = &f->timers[i];
        if (!next)
            break;
        if (next->due > f->now)
            f->now = next->due;
        next->armed = false;
        next->fire(next->arg);
    }
    f->now = until;
}

static inline size_t fake_timers_armed(const struct fake *f)
{
    size_t n = 0;
    for (size_t i = 0; i < FAKE_TIMERS; i++)
        n += f->timers[i].armed;
    return n;
}

/* ---- the stream ---- */

static inline struct postern_stream *fake_stream_open(void *self, const struct postern_stream_target *to,
                                                      const struct postern_stream_events *events, void *arg)
{
    struct fake *f = self;
    assert_false(f->stream.open); /* one connection, never two */
    f->stream =
        (struct postern_stream){.fake = f, .events = *events, .arg = arg, .open = true, .tls = to->tls};
    (void)snprintf(f->stream.server, sizeof(f->stream.server), "%.*s", SPAN_ARGS(to->server));
    (void)snprintf(f->stream.tls_name, sizeof(f->stream.tls_name), "%.*s", SPAN_ARGS(to->tls_name));
    f->streams++;
    return &f->stream;
}

static inline int fake_stream_write(struct postern_stream *s, struct postern_span bytes)
{
    struct fake *f = s->fake;
    assert_true(s->open);
    if (f->refuse_writes)
        return -1;
    if (f->sent_n + bytes.n + 1 > f->sent_room) {
        f->sent_room = (f->sent_n + bytes.n + 1) * 2;
        f->sent = realloc(f->sent, f->sent_room);
        assert_non_null(f->sent);
    }
    memcpy(f->sent + f->sent_n, bytes.p, bytes.n);
    f->sent_n += bytes.n;
    f->sent[f->sent_n] = '\0';
    return 0;
}

static inline void fake_stream_close(struct postern_stream *s)
{
    assert_true(s->open);
    s->open = false;
}

static inline void fake_connected(struct fake *f)
{
    assert_true(f->stream.open);
    f->stream.events.connected(f->stream.arg, &f->stream);
}

static inline void fake_feed(struct fake *f, const char *bytes, size_t n)
{
    assert_true(f->stream.open);
    f->stream.events.data(f->stream.arg, &f->stream, (struct postern_span){bytes, n});
}

static inline void fake_reply(struct fake *f, const char *text)
{
    fake_feed(f, text, strlen(text));
}

static inline void fake_closed(struct fake *f, const char *why)
{
    assert_true(f->stream.open);
    f->stream.open = false;
    f->stream.events.closed(f->stream.arg, &f->stream, why);
}

static inline void fake_sent_clear(struct fake *f)
{
    f->sent_n = 0;
    if (f->sent)
        f->sent[0] = '\0';
}

/* How often the text stands in what was sent. */
static inline size_t fake_sent_times(const struct fake *f, const char *text)
{
    size_t n = 0;
    const char *at = f->sent_n ? f->sent : NULL;
    while (at && (at = memmem(at, f->sent_n - (size_t)(at - f->sent), text, strlen(text)))) {
        n++;
        at += strlen(text);
    }
    return n;
}

/* ---- the transaction ---- */

static inline struct postern_span fake_get(const struct postern_tx *tx, enum postern_field field)
{
    return tx->fields[field];
}

static inline struct postern_span fake_client_ip(const struct postern_tx *tx)
{
    return tx->ip;
}
static inline uint64_t fake_ticket(const struct postern_tx *tx)
{
    return tx->ticket;
}

static inline void fake_resume(void *self, uint64_t ticket, const struct postern_verdict *v)
{
    struct fake *f = self;
    assert_int_equal(v->size, sizeof(*v));
    assert_true(f->resumed_n < FAKE_RESUMED);
    struct fake_resumed *r = &f->resumed[f->resumed_n++];
    *r = (struct fake_resumed){.ticket = ticket, .action = v->action, .code = v->code};
    (void)snprintf(r->text, sizeof(r->text), "%.*s", SPAN_ARGS(v->text));
    (void)snprintf(r->rule, sizeof(r->rule), "%.*s", SPAN_ARGS(v->rule));
    if (f->on_resume)
        f->on_resume(f, ticket);
}

static inline struct fake *fake_create(void)
{
    struct fake *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->now = 1000 * SECOND;
    f->host = (struct postern_host){
        .size = sizeof(f->host),
        .log = fake_log,
        .now_us = fake_now,
        .wall_us = fake_now,
        .config_error = fake_config_error,
        .read_file = fake_read_file,
        .shared = fake_shared,
        .timer_start = fake_timer_start,
        .timer_stop = fake_timer_stop,
        .stream_open = fake_stream_open,
        .stream_write = fake_stream_write,
        .stream_close = fake_stream_close,
        .get = fake_get,
        .client_ip = fake_client_ip,
        .ticket = fake_ticket,
        .resume = fake_resume,
        .count = fake_count,
    };
    return f;
}

/* Fails if the plugin left a timer or the stream behind. */
static inline void fake_destroy(struct fake *f)
{
    assert_int_equal(fake_timers_armed(f), 0);
    assert_false(f->stream.open);
    for (size_t i = 0; i < FAKE_SHARED; i++)
        free(f->shared[i].memory);
    free(f->sent);
    free(f);
}

/* ---- sessions, driven through the descriptor ---- */

struct fake_session {
    struct fake *fake;
    void *filter, *session;
    struct postern_tx tx;
    struct postern_verdict verdict;
};

#define FAKE_SPAN(text) ((struct postern_span){(text), strlen(text)})

static inline void session_open(struct fake_session *s, struct fake *f, void *filter)
{
    static const char ip[4] = {(char)192, 0, 2, 1};
    *s = (struct fake_session){.fake = f, .filter = filter};
    s->tx.ip = (struct postern_span){ip, 4};
    s->tx.fields[POSTERN_F_SESSION_ID] = SPAN("s1");
    s->tx.fields[POSTERN_F_LISTENER] = SPAN("submission");
    assert_int_equal(postern_filter.session_begin(filter, &s->tx, &s->session), 0);
}

static inline void session_close(struct fake_session *s)
{
    postern_filter.session_end(s->filter, s->session);
}

static inline enum postern_action session_hook(struct fake_session *s, enum postern_phase phase,
                                               const char *text, unsigned code)
{
    struct postern_event ev = {.size = sizeof(ev), .phase = phase, .text = FAKE_SPAN(text), .code = code};
    s->verdict = (struct postern_verdict){.size = sizeof(s->verdict)};
    s->tx.ticket = ++s->fake->tickets;
    if (postern_filter.hooks[phase])
        postern_filter.hooks[phase](s->filter, s->session, &s->tx, &ev, &s->verdict);
    return s->verdict.action;
}

static inline const char *fake_domain(const char *mailbox)
{
    const char *at = strrchr(mailbox, '@');
    return at ? at + 1 : "";
}

static inline enum postern_action session_mail(struct fake_session *s, const char *sender)
{
    s->tx.fields[POSTERN_F_SENDER] = FAKE_SPAN(sender);
    s->tx.fields[POSTERN_F_SENDER_DOMAIN] = FAKE_SPAN(fake_domain(sender));
    return session_hook(s, POSTERN_ON_MAIL, sender, 0);
}

static inline enum postern_action session_rcpt(struct fake_session *s, const char *recipient)
{
    s->tx.fields[POSTERN_F_RCPT] = FAKE_SPAN(recipient);
    s->tx.fields[POSTERN_F_RCPT_DOMAIN] = FAKE_SPAN(fake_domain(recipient));
    return session_hook(s, POSTERN_ON_RCPT, recipient, 0);
}

static inline void session_rcpt_reply(struct fake_session *s, const char *recipient, unsigned code)
{
    (void)session_hook(s, POSTERN_ON_RCPT_REPLY, recipient, code);
}

/* END and what became of the message. */
static inline void session_message(struct fake_session *s, unsigned code)
{
    (void)session_hook(s, POSTERN_ON_END, "", 0);
    (void)session_hook(s, POSTERN_ON_MESSAGE_REPLY, "", code);
}

static inline void session_abort(struct fake_session *s)
{
    (void)session_hook(s, POSTERN_ON_ABORT, "", 0);
}

#endif
