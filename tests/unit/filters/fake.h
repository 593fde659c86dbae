/* SPDX-License-Identifier: MIT */
/* Services for the filter engine without a daemon: a clock that moves when it is told to, timers that fire
 * then, and everything that was logged, counted or complained about as text. */
#ifndef TESTS_UNIT_FILTERS_FAKE_H
#define TESTS_UNIT_FILTERS_FAKE_H

#include "unit/base/check.h"

#include "base/buf.h"
#include "filters/chain.h"

struct postern_timer {
    struct postern_timer *next;
    uint64_t at_us;
    void (*fire)(void *arg);
    void *arg;
};

struct fake {
    struct filter_services services;
    uint64_t now_us;
    struct postern_timer *timers; /* the next to fire comes first */
    bool no_timers;               /* timer_start fails */
    struct buf log;               /* "filter: text", one a line */
    struct buf counts;            /* "filter.counter", one a line */
    struct buf errors;            /* "file:line:column: text", one a line */
    char shared[256];             /* memory, for one name */
    char shared_name[64];
};

static inline void fake_log(void *ctx, enum postern_log_level level, const char *filter, const char *text)
{
    struct fake *f = ctx;
    (void)level;
    assert_true(buf_printf(&f->log, "%s: %s\n", filter, text));
}

static inline uint64_t fake_now(void *ctx)
{
    return ((const struct fake *)ctx)->now_us;
}
static inline uint64_t fake_wall(void *ctx)
{
    return 1000000000000000u + fake_now(ctx);
}

static inline void fake_count(void *ctx, const char *filter, const char *counter, uint64_t add)
{
    struct fake *f = ctx;
    for (; add; add--)
        assert_true(buf_printf(&f->counts, "%s.%s\n", filter, counter));
}

static inline void fake_config_error(void *ctx, const char *file, uint32_t line, uint32_t column,
                                     const char *text)
{
    struct fake *f = ctx;
    assert_true(buf_printf(&f->errors, "%s:%u:%u: %s\n", file ? file : "-", line, column, text));
}

static inline struct postern_timer *fake_timer_start(void *ctx, uint64_t after_us, void (*fire)(void *arg),
                                                     void *arg)
{
    struct fake *f = ctx;
    struct postern_timer *t = f->no_timers ? NULL : calloc(1, sizeof(*t)), **at = &f->timers;

    if (!t)
        return NULL;
    *t = (struct postern_timer){.at_us = f->now_us + after_us, .fire = fire, .arg = arg};
    while (*at && (*at)->at_us <= t->at_us)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
    return t;
}

static inline void fake_timer_stop(void *ctx, struct postern_timer *t)
{
    struct fake *f = ctx;
    struct postern_timer **at = &f->timers;
    while (*at != t) {
        assert_non_null(*at); /* it was not running any more */
        at = &(*at)->next;
    }
    *at = t->next;
    free(t);
}

/* Lets time pass, and fires what is due in its order. */
static inline void fake_pass(struct fake *f, uint64_t us)
{
    uint64_t until = f->now_us + us;
    while (f->timers && f->timers->at_us <= until) {
        struct postern_timer *t = f->timers;
        f->timers = t->next;
        f->now_us = t->at_us;
        void (*fire)(void *arg) = t->fire;
        void *arg = t->arg;
        free(t);
        fire(arg);
    }
    f->now_us = until;
}

static inline int fake_read_file(void *ctx, struct span name, struct span *bytes_r, const char **path_r,
                                 const char **error_r)
{
    (void)ctx;
    if (!span_eq(name, SPAN_LIT("known"))) {
        *error_r = "No such file";
        return -1;
    }
    *bytes_r = SPAN_LIT("contents");
    *path_r = "/etc/known";
    return 0;
}

static inline void fake_glob(void *ctx, struct span pattern, void (*found)(void *arg, const char *path),
                             void *arg)
{
    char path[32];
    (void)ctx;
    for (int i = 0; i < 40 && span_eq(pattern, SPAN_LIT("many")); i++) {
        (void)snprintf(path, sizeof(path), "/etc/%02d", i);
        found(arg, path);
    }
}

static inline void *fake_shared(void *ctx, const char *name, size_t bytes)
{
    struct fake *f = ctx;
    (void)snprintf(f->shared_name, sizeof(f->shared_name), "%s", name);
    return bytes <= sizeof(f->shared) ? f->shared : NULL;
}

static inline void fake_begin(struct fake *f)
{
    *f = (struct fake){.now_us = 1000000};
    f->services = (struct filter_services){
        .ctx = f,
        .log = fake_log,
        .now_us = fake_now,
        .wall_us = fake_wall,
        .count = fake_count,
        .config_error = fake_config_error,
        .read_file = fake_read_file,
        .glob = fake_glob,
        .shared = fake_shared,
        .timer_start = fake_timer_start,
        .timer_stop = fake_timer_stop,
    };
}

/* Checks that nothing is left running. */
static inline void fake_end(struct fake *f)
{
    assert_null(f->timers);
    buf_free(&f->log);
    buf_free(&f->counts);
    buf_free(&f->errors);
}

/* What was collected, compared and emptied. */
#define assert_collected(buf, literal)                                                                       \
    do {                                                                                                     \
        assert_span(buf_span(buf), literal);                                                                 \
        buf_free(buf);                                                                                       \
    } while (0)

static inline bool contains(const struct buf *b, const char *what)
{
    struct span s = buf_span(b);
    return s.n && memmem(s.p, s.n, what, strlen(what)) != NULL;
}

#endif
