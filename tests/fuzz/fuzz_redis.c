/* SPDX-License-Identifier: MIT */
/* What a Redis server sends, or whatever speaks in its place.
 *
 *   bytes --guard--> hiredis' reader --> the client's calls
 *
 * What must hold: guard and reader say the same however the bytes are cut, and what comes out is of the
 * kinds that are known, and small; each call that was taken is told its end exactly once, and never
 * before it was made; a client that has found something wrong has closed the connection. The first byte
 * chooses the settings and how many calls are made; all others are the server's. */
#include "fuzz/fuzz.h"

#define ascii_lower plugin_ascii_lower /* the proxy's and the plugin's headers have one each */
#include "guard.h"
#include "redis.h"
#undef ascii_lower

#include <hiredis/hiredis.h>
#include <stdarg.h>

#define CALLS_MAX    40
#define ELEMENTS_MAX 65
#define LINE_MAX_N   512
#define BULK_MAX_N   1024

/* ---- guard and reader ---- */

static void check_reply(const redisReply *r, unsigned depth)
{
    REQUIRE(depth < 2);
    switch (r->type) {
    case REDIS_REPLY_ARRAY:
        REQUIRE(r->elements <= ELEMENTS_MAX);
        for (size_t i = 0; i < r->elements; i++)
            check_reply(r->element[i], depth + 1);
        break;
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
    case REDIS_REPLY_STRING:
        REQUIRE(r->len <= BULK_MAX_N);
        break;
    default:
        REQUIRE(r->type == REDIS_REPLY_INTEGER || r->type == REDIS_REPLY_NIL);
    }
}

/* false: the reader found what the guard does not look for, such as a number that is too large. */
static bool take_replies(redisReader *reader, struct buf *trace)
{
    for (;;) {
        void *got = NULL;
        if (redisReaderGetReply(reader, &got) != REDIS_OK)
            return false;
        if (!got)
            return true;
        const redisReply *r = got;
        check_reply(r, 0);
        REQUIRE(buf_printf(trace, "%d %zu %lld\n", r->type, r->elements, r->integer));
        freeReplyObject(got);
    }
}

/* The replies, or that something is wrong; when that is found depends on the cuts. */
static struct buf read_guarded(struct span in, enum cut how)
{
    struct guard g = {.max_line = LINE_MAX_N, .max_bulk = BULK_MAX_N, .max_elements = ELEMENTS_MAX};
    struct buf trace = {0};
    bool good = true;
    uint32_t number = (uint32_t)in.n;
    redisReader *reader = redisReaderCreate();
    REQUIRE(reader);
    while (in.n && good) {
        struct span piece = cut_piece(&in, how, &number);
        good = !guard_check(&g, (struct postern_span){piece.p, piece.n});
        if (good) {
            REQUIRE(redisReaderFeed(reader, piece.p, piece.n) == REDIS_OK);
            good = take_replies(reader, &trace);
        }
        free_piece(piece);
    }
    redisReaderFree(reader);
    if (!good) {
        buf_free(&trace);
        REQUIRE(buf_printf(&trace, "wrong"));
    }
    return trace;
}

/* ---- a host for the client ---- */

struct postern_timer {
    bool armed;
    void (*fire)(void *arg);
    void *arg;
};

struct postern_stream {
    struct world *world;
    struct postern_stream_events events;
    void *arg;
    bool open;
};

struct spied {
    struct redis_call call; /* first: done() gets its address */
    struct redis_item item;
    struct world *world;
    bool waits;
    unsigned overdue;
};

struct world {
    struct postern_host host;
    uint64_t now;
    struct postern_timer timer;
    struct postern_stream stream;
    struct redis *redis;
    struct spied spied[CALLS_MAX];
    size_t made;
    struct buf trace;
};

__attribute__((format(printf, 3, 4))) static void on_log(void *self, enum postern_log_level level,
                                                         const char *format, ...)
{
    char text[600];
    va_list args;
    (void)self;
    (void)level;
    va_start(args, format);
    REQUIRE(vsnprintf(text, sizeof text, format, args) > 0);
    va_end(args);
    for (const char *p = text; *p; p++)
        REQUIRE((unsigned char)*p >= ' ' && *p != 0x7f);
}

static uint64_t on_now(void *self)
{
    return ((struct world *)self)->now;
}

static void on_count(void *self, const char *name, uint64_t add)
{
    (void)self;
    REQUIRE(name && add);
}

static struct postern_timer *on_timer_start(void *self, uint64_t after_us, void (*fire)(void *arg), void *arg)
{
    struct world *w = self;
    (void)after_us;
    REQUIRE(!w->timer.armed);
    w->timer = (struct postern_timer){true, fire, arg};
    return &w->timer;
}

static void on_timer_stop(void *self, struct postern_timer *t)
{
    (void)self;
    REQUIRE(t->armed);
    t->armed = false;
}

static struct postern_stream *on_open(void *self, const struct postern_stream_target *to,
                                      const struct postern_stream_events *events, void *arg)
{
    struct world *w = self;
    (void)to;
    REQUIRE(!w->stream.open);
    w->stream = (struct postern_stream){.world = w, .events = *events, .arg = arg, .open = true};
    return &w->stream;
}

static int on_write(struct postern_stream *s, struct postern_span bytes)
{
    REQUIRE(s->open && bytes.n > 0);
    return 0;
}

static void on_close(struct postern_stream *s)
{
    REQUIRE(s->open);
    s->open = false;
}

/* ---- calls ---- */

static void make_call(struct world *w);

static int on_done(struct redis_call *call, enum redis_event event, const long long *numbers, size_t n)
{
    struct spied *s = (struct spied *)(void *)call;
    struct world *w = s->world;
    REQUIRE(s->waits);
    REQUIRE(buf_printf(&w->trace, "%zu: %d %zu\n", (size_t)(s - w->spied), event, n));
    if (event == REDIS_OVERDUE) {
        REQUIRE(++s->overdue == 1 && n == 0);
        return 0;
    }
    s->waits = false;
    if (event != REDIS_REPLIED) {
        REQUIRE(n == 0);
        return 0;
    }
    REQUIRE(n > 0 && n <= ELEMENTS_MAX);
    if (numbers[0] % 2 == 0)
        make_call(w);
    return numbers[0] < 0 ? -1 : 0;
}

static void make_call(struct world *w)
{
    if (w->made == CALLS_MAX)
        return;
    struct spied *s = &w->spied[w->made];
    *s = (struct spied){.world = w, .item = {.prefix = SPAN("p:"), .text = SPAN("a"), .args = {1, 2, 3}}};
    s->call =
        (struct redis_call){.done = on_done, .script = w->made % REDIS_SCRIPTS, .n = 1, .items = &s->item};
    s->waits = true;
    w->made++;
    if (redis_call(w->redis, &s->call) != 0)
        s->waits = false;
}

/* ---- the client ---- */

static void feed_client(struct world *w, struct span in, enum cut how)
{
    uint32_t number = (uint32_t)in.n;
    while (in.n && w->stream.open) {
        struct span piece = cut_piece(&in, how, &number);
        w->stream.events.data(w->stream.arg, &w->stream, (struct postern_span){piece.p, piece.n});
        free_piece(piece);
    }
}

static void pass_time(struct world *w)
{
    w->now += 2000000;
    if (!w->timer.armed)
        return;
    w->timer.armed = false;
    w->timer.fire(w->timer.arg);
}

/* What the calls were told, and whether the connection lived; empty when it did not, because how far it came
 * before depends on the cuts. */
static struct buf run_client(struct span setup, struct span in, uint8_t choice, enum cut how)
{
    struct world w = {.now = 1000000,
                      .host = {.size = sizeof w.host,
                               .log = on_log,
                               .now_us = on_now,
                               .count = on_count,
                               .timer_start = on_timer_start,
                               .timer_stop = on_timer_stop,
                               .stream_open = on_open,
                               .stream_write = on_write,
                               .stream_close = on_close}};
    struct redis_settings settings = {
        .target = {.size = sizeof settings.target, .server = SPAN("127.0.0.1:6379"), .connect_us = 1000000},
        .password = choice & 64 ? SPAN("secret") : (struct postern_span){0},
        .database = choice & 128 ? 3 : 0,
        .deadline_us = 50000,
        .max_calls = CALLS_MAX};
    w.redis = redis_create(&w.host, &w, &settings);
    REQUIRE(w.redis);
    redis_start(w.redis);
    w.stream.events.connected(w.stream.arg, &w.stream);
    feed_client(&w, setup, CUT_WHOLE);
    for (unsigned i = 0; i < choice % 8; i++)
        make_call(&w);
    feed_client(&w, in, how);
    bool lived = w.stream.open;
    pass_time(&w);
    redis_destroy(&w.redis);
    for (size_t i = 0; i < w.made; i++)
        REQUIRE(!w.spied[i].waits);
    REQUIRE(!w.timer.armed && !w.stream.open);
    if (!lived)
        buf_free(&w.trace);
    return w.trace;
}

static void check_client(struct span setup, struct span in, uint8_t choice)
{
    struct buf whole = run_client(setup, in, choice, CUT_WHOLE);
    for (int how = CUT_WHOLE + 1; how < CUTS; how++) {
        struct buf other = run_client(setup, in, choice, (enum cut)how);
        REQUIRE(span_eq(buf_span(&whole), buf_span(&other)));
        buf_free(&other);
    }
    buf_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct span setups[] = {
        {"+PONG\r\n", 7}, {"+OK\r\n+PONG\r\n", 12}, {"+OK\r\n+OK\r\n+PONG\r\n", 17}};
    uint8_t choice = size ? data[0] : 0;
    struct span in = span_skip(span_make((const char *)data, size), 1);
    struct buf whole = read_guarded(in, CUT_WHOLE);
    for (int how = CUT_WHOLE + 1; how < CUTS; how++) {
        struct buf other = read_guarded(in, (enum cut)how);
        REQUIRE(span_eq(buf_span(&whole), buf_span(&other)));
        buf_free(&other);
    }
    buf_free(&whole);
    check_client(SPAN_NONE, in, choice); /* the setup's replies are the server's as well */
    check_client(setups[(choice >> 6 & 1) + (choice >> 7)], in, choice);
    return 0;
}
