/* SPDX-License-Identifier: MIT */
/* The client for Redis.
 *
 *                 timer                connected              +OK +OK +PONG
 *     DOWN ------------------> CONNECTING ------> SETUP ----------------------> READY
 *      ^  jittered back-off        |       AUTH, SELECT, PING                     |
 *      +---------------------------+----------------+-----------------------------+
 *                          drop(): one place, whatever the reason
 *
 *     redis_call --> line of calls --EVALSHA--> stream --> guard --> hiredis' reader --> done()
 *                    (oldest first)                        NOSCRIPT: back to the line's end, as EVAL
 *
 * The client belongs to the filter and lives as long. Calls belong to their callers, who keep them until
 * `done` has said its last word. One timer serves all: the next attempt, the deadline of the setup, or the
 * oldest call. The log tells each change between answering and not answering once. */
#include "redis.h"

#include "fault.h"
#include "guard.h"
#include "hash.h"
#include "script.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <sys/random.h>

enum phase { DOWN, CONNECTING, SETUP, READY };

enum {
    BACKOFF_FIRST_US = 100000,
    BACKOFF_MOST_US = 5000000,
    BACKOFF_DOUBLINGS = 6, /* then BACKOFF_MOST_US is reached */
    STEADY_US = 1000000,   /* a connection that lasted so long makes the next attempt a quick one */
    STALL_US = 1000000,    /* a call overdue by so much: the connection is given up */
    TRIES = 3,             /* of one call, against a server that keeps losing the script */
    LINE_MAX_BYTES = 512,  /* of a reply */
    BULK_MAX = 1024,
    READER_KEEPS = 4096,
    SCRIPT_ARGS = 3,
    ARGV_MAX = SCRIPT_ARGS + REDIS_ITEMS_MAX * 4,
    NUMBERS_MAX = 1 + REDIS_ITEMS_MAX * 2,
    NUMBER_TEXT = 21
};

static const char reason_connection[] = "no connection", reason_deadline[] = "too slow";

enum health { UNKNOWN, GOOD, BAD };

struct redis {
    const struct postern_host *host;
    void *self;
    struct redis_settings settings;
    char sha[REDIS_SCRIPTS][SHA1_HEX];

    enum phase phase;
    struct postern_stream *stream;
    struct postern_timer *timer;
    redisReader *reader;
    struct guard guard;
    unsigned setup_replies; /* still owed */

    struct redis_call *first, **last; /* in the order of their replies */
    size_t calls, overdue;
    size_t whole[REDIS_SCRIPTS]; /* in flight with the script's text */

    unsigned attempts;
    uint64_t ready_since, random;
    enum health health;
    char reason[FAULT_WORD_MAX + 1]; /* of BAD */
};

static const struct postern_span scripts[REDIS_SCRIPTS] = {
    [REDIS_CHARGE] = {SCRIPT_CHARGE, sizeof(SCRIPT_CHARGE) - 1},
    [REDIS_GIVE_BACK] = {SCRIPT_GIVE_BACK, sizeof(SCRIPT_GIVE_BACK) - 1},
};

static void connect_now(struct redis *r);
static void check_deadlines(struct redis *r);
static void drop(struct redis *r, const char *reason, const char *why);

static uint64_t now_us(const struct redis *r)
{
    return r->host->now_us(r->self);
}

/* ---- health: what the log and the counters say ---- */

static void say_good(struct redis *r)
{
    if (r->health == GOOD)
        return;
    r->health = GOOD;
    r->host->count(r->self, "store_up", 1);
    r->host->log(r->self, POSTERN_LOG_INFO, "redis %.*s: it answers", SPAN_ARGS(r->settings.target.server));
}

static void say_bad(struct redis *r, const char *reason, const char *why)
{
    size_t n = strnlen(reason, FAULT_WORD_MAX);

    if (r->health == BAD && strncmp(r->reason, reason, FAULT_WORD_MAX) == 0)
        return;
    if (r->health != BAD)
        r->host->count(r->self, "store_down", 1);
    r->health = BAD;
    memcpy(r->reason, reason, n);
    r->reason[n] = '\0';
    r->host->log(r->self, POSTERN_LOG_WARN,
                 "redis %.*s: %s: %s; until it answers, each limit does as its on_error says",
                 SPAN_ARGS(r->settings.target.server), reason, why);
}

/* ---- timer ---- */

static void on_timer(void *arg)
{
    struct redis *r = arg;

    r->timer = NULL;
    if (r->phase == DOWN)
        connect_now(r);
    else if (r->phase == SETUP)
        drop(r, reason_connection, "it was reached but did not answer in time");
    else if (r->phase == READY)
        check_deadlines(r);
}

static bool timer_set(struct redis *r, uint64_t after_us)
{
    if (r->timer)
        r->host->timer_stop(r->self, r->timer);
    r->timer = r->host->timer_start(r->self, after_us, on_timer, r);
    return r->timer != NULL;
}

/* Attempts of many workers spread out: half of the delay is random (xorshift). */
static uint64_t backoff(struct redis *r)
{
    uint64_t delay = (uint64_t)BACKOFF_FIRST_US << r->attempts;
    if (delay > BACKOFF_MOST_US)
        delay = BACKOFF_MOST_US;
    if (r->attempts < BACKOFF_DOUBLINGS)
        r->attempts++;
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return delay / 2 + r->random % (delay / 2 + 1);
}

/* ---- the line of calls ---- */

static void line_empty(struct redis *r)
{
    r->first = NULL;
    r->last = &r->first;
    r->calls = r->overdue = 0;
    memset(r->whole, 0, sizeof(r->whole));
}

static void line_push(struct redis *r, struct redis_call *call)
{
    call->next = NULL;
    *r->last = call;
    r->last = &call->next;
    r->calls++;
    r->whole[call->script] += call->whole;
}

static struct redis_call *line_pop(struct redis *r)
{
    struct redis_call *call = r->first;

    if (!call)
        return NULL;
    r->first = call->next;
    if (!r->first)
        r->last = &r->first;
    r->calls--;
    r->overdue -= call->overdue;
    r->whole[call->script] -= call->whole;
    return call;
}

/* ---- commands ---- */

struct argv {
    int n;
    const char *p[ARGV_MAX];
    size_t bytes[ARGV_MAX];
};

static void argv_add(struct argv *a, struct postern_span s)
{
    a->p[a->n] = s.p;
    a->bytes[a->n++] = s.n;
}

static void argv_number(struct argv *a, char text[NUMBER_TEXT], uint64_t number)
{
    int n = snprintf(text, NUMBER_TEXT, "%" PRIu64, number);
    argv_add(a, (struct postern_span){text, (size_t)n});
}

/* Formats and writes a command, and wipes it: it may hold the password. */
static int argv_send(struct redis *r, struct argv *a)
{
    char *bytes = NULL;
    long long n = redisFormatCommandArgv(&bytes, a->n, a->p, a->bytes); /* int before hiredis 1.0 */

    if (n < 0)
        return -1;
    int result = r->host->stream_write(r->stream, (struct postern_span){bytes, (size_t)n});
    explicit_bzero(bytes, (size_t)n);
    redisFreeCommand(bytes);
    return result;
}

/* EVALSHA (or EVAL) sha (or text), how many keys, the keys, three arguments for each. */
static int call_send(struct redis *r, struct redis_call *call)
{
    struct argv a = {.n = 0};
    char keys[REDIS_ITEMS_MAX][REDIS_KEY_MAX], numbers[REDIS_ITEMS_MAX * 3][NUMBER_TEXT], count[NUMBER_TEXT];

    argv_add(&a, call->whole ? SPAN("EVAL") : SPAN("EVALSHA"));
    argv_add(&a, call->whole ? scripts[call->script] : (struct postern_span){r->sha[call->script], SHA1_HEX});
    argv_number(&a, count, call->n);
    for (size_t i = 0; i < call->n; i++) {
        const struct redis_item *item = &call->items[i];
        memcpy(keys[i], item->prefix.p, item->prefix.n);
        memcpy(keys[i] + item->prefix.n, item->text.p, item->text.n);
        argv_add(&a, (struct postern_span){keys[i], item->prefix.n + item->text.n});
    }
    for (size_t i = 0; i < call->n * 3; i++)
        argv_number(&a, numbers[i], call->items[i / 3].args[i % 3]);
    if (argv_send(r, &a) != 0)
        return -1;
    line_push(r, call);
    return 0;
}

static bool fits(const struct redis_call *call)
{
    if (call->n == 0 || call->n > REDIS_ITEMS_MAX)
        return false;
    for (size_t i = 0; i < call->n; i++)
        if (call->items[i].prefix.n + call->items[i].text.n > REDIS_KEY_MAX)
            return false;
    return true;
}

int redis_call(struct redis *r, struct redis_call *call)
{
    if (r->phase == DOWN && !r->timer) /* there was no memory for one */
        (void)timer_set(r, backoff(r));
    if (r->phase != READY || r->overdue || r->calls >= r->settings.max_calls || !fits(call))
        return -1;
    call->due_us = now_us(r) + r->settings.deadline_us;
    call->tries = 1;
    call->overdue = call->whole = false;
    if (!r->timer && !timer_set(r, r->settings.deadline_us))
        return -1;
    return call_send(r, call);
}

/* ---- deadlines ---- */

static void check_deadlines(struct redis *r)
{
    uint64_t now = now_us(r), next = UINT64_MAX;

    for (struct redis_call *call = r->first; call; call = call->next) {
        if (call->overdue && call->due_us + STALL_US <= now) {
            drop(r, reason_deadline, "it has not answered for a second");
            return;
        }
        if (!call->overdue && call->due_us <= now) {
            call->overdue = true;
            r->overdue++;
            say_bad(r, reason_deadline, "it does not answer within the deadline");
            (void)call->done(call, REDIS_OVERDUE, NULL, 0);
        }
        uint64_t due = call->due_us + (call->overdue ? STALL_US : 0);
        if (due < next)
            next = due;
    }
    if (r->first && !timer_set(r, next - now))
        drop(r, reason_connection, "no memory for a timer");
}

/* ---- replies ---- */

/* A script that is not there has not run: the call goes to the end of the line. The text is sent by the first
 * that misses it; those behind it in the pipeline find it there, because Redis keeps the order. */
static bool send_again(struct redis *r, struct redis_call *call)
{
    if (call->overdue || call->tries == TRIES)
        return false;
    call->tries++;
    call->whole = r->whole[call->script] == 0;
    return call_send(r, call) == 0;
}

static void error_replied(struct redis *r, struct redis_call *call, const redisReply *reply)
{
    struct fault f = fault_of((struct postern_span){reply->str, reply->len});

    if (f.kind == FAULT_NO_SCRIPT && send_again(r, call))
        return;
    r->host->count(r->self, "store_error", 1);
    say_bad(r, f.word, fault_advice(f.kind));
    (void)call->done(call, REDIS_FAILED, NULL, 0);
    if (f.kind == FAULT_RECONNECT && r->phase == READY)
        drop(r, f.word, fault_advice(f.kind));
}

/* The numbers of an array; -1 for any other reply. */
static int numbers_of(const redisReply *reply, long long numbers_r[NUMBERS_MAX])
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 || reply->elements > NUMBERS_MAX)
        return -1;
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER)
            return -1;
        numbers_r[i] = reply->element[i]->integer;
    }
    return 0;
}

static void call_replied(struct redis *r, const redisReply *reply)
{
    long long numbers[NUMBERS_MAX];
    struct redis_call *call = line_pop(r);

    if (!call) {
        drop(r, reason_connection, "a reply came that nobody had asked for");
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        error_replied(r, call, reply);
        return;
    }
    if (numbers_of(reply, numbers) != 0) {
        r->host->count(r->self, "store_error", 1);
        (void)call->done(call, REDIS_FAILED, NULL, 0);
        drop(r, reason_connection, "a reply of the wrong kind came");
        return;
    }
    bool in_time = !call->overdue;
    if (call->done(call, REDIS_REPLIED, numbers, reply->elements) != 0)
        drop(r, reason_connection, "a reply came that makes no sense");
    else if (in_time)
        say_good(r);
}

static void setup_replied(struct redis *r, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        struct fault f = fault_of((struct postern_span){reply->str, reply->len});
        r->host->count(r->self, "store_error", 1);
        drop(r, f.word, fault_advice(f.kind));
        return;
    }
    if (reply->type != REDIS_REPLY_STATUS) {
        drop(r, reason_connection, "it does not answer like Redis");
        return;
    }
    if (--r->setup_replies)
        return;
    r->host->timer_stop(r->self, r->timer);
    r->timer = NULL;
    r->phase = READY;
    r->ready_since = now_us(r);
    if (r->health == UNKNOWN || strcmp(r->reason, reason_connection) == 0)
        say_good(r); /* after other troubles only a decision proves that they are over */
}

/* Takes what the reader has, until it has no more or the connection was dropped on the way. */
static void read_replies(struct redis *r)
{
    while (r->reader) {
        void *got = NULL;
        if (redisReaderGetReply(r->reader, &got) != REDIS_OK) {
            drop(r, reason_connection, "it does not speak Redis' protocol");
            return;
        }
        if (!got)
            return;
        if (r->phase == READY)
            call_replied(r, got);
        else
            setup_replied(r, got);
        freeReplyObject(got);
    }
}

static void on_data(void *arg, struct postern_stream *s, struct postern_span bytes)
{
    struct redis *r = arg;
    const char *wrong = guard_check(&r->guard, bytes);

    (void)s;
    if (wrong)
        drop(r, reason_connection, wrong);
    else if (redisReaderFeed(r->reader, bytes.p, bytes.n) != REDIS_OK)
        drop(r, reason_connection, "no memory for a reply");
    else
        read_replies(r);
}

/* ---- connection ---- */

static int send_setup(struct redis *r)
{
    const struct redis_settings *s = &r->settings;
    char database[NUMBER_TEXT];
    struct argv auth = {.n = 0}, choose = {.n = 0}, ping = {.n = 0};

    argv_add(&auth, SPAN("AUTH"));
    if (s->user.n)
        argv_add(&auth, s->user);
    argv_add(&auth, s->password);
    argv_add(&choose, SPAN("SELECT"));
    argv_number(&choose, database, s->database);
    argv_add(&ping, SPAN("PING"));

    r->setup_replies = 1u + (s->password.n > 0) + (s->database > 0);
    if ((s->password.n && argv_send(r, &auth) != 0) || (s->database && argv_send(r, &choose) != 0))
        return -1;
    return argv_send(r, &ping);
}

static void on_connected(void *arg, struct postern_stream *s)
{
    struct redis *r = arg;

    (void)s;
    r->phase = SETUP;
    r->guard = (struct guard){.max_line = LINE_MAX_BYTES, .max_bulk = BULK_MAX, .max_elements = NUMBERS_MAX};
    r->reader = redisReaderCreate();
    if (r->reader)
        r->reader->maxbuf = READER_KEEPS;
    if (!r->reader || !timer_set(r, r->settings.target.connect_us) || send_setup(r) != 0)
        drop(r, reason_connection, "no memory for it");
}

static void on_closed(void *arg, struct postern_stream *s, const char *why)
{
    struct redis *r = arg;

    (void)s;
    r->stream = NULL;
    drop(r, reason_connection, why ? why : "closed");
}

static void connect_now(struct redis *r)
{
    static const struct postern_stream_events events = {
        .size = sizeof(events), .connected = on_connected, .data = on_data, .closed = on_closed};

    r->phase = CONNECTING;
    r->stream = r->host->stream_open(r->self, &r->settings.target, &events, r);
    if (!r->stream)
        drop(r, reason_connection, "no memory for it");
}

static void hang_up(struct redis *r)
{
    if (r->timer)
        r->host->timer_stop(r->self, r->timer);
    if (r->stream)
        r->host->stream_close(r->stream);
    if (r->reader)
        redisReaderFree(r->reader);
    r->timer = NULL;
    r->stream = NULL;
    r->reader = NULL;
}

static void lose_calls(struct redis *r)
{
    struct redis_call *call = r->first;

    line_empty(r);
    while (call) {
        struct redis_call *next = call->next;
        (void)call->done(call, REDIS_LOST, NULL, 0);
        call = next;
    }
}

/* The end of a connection, or of the attempt to have one. Who waits is told at once. */
static void drop(struct redis *r, const char *reason, const char *why)
{
    if (r->phase == READY && now_us(r) - r->ready_since >= STEADY_US)
        r->attempts = 0;
    hang_up(r);
    r->phase = DOWN;
    say_bad(r, reason, why);
    (void)timer_set(r, backoff(r));
    lose_calls(r);
}

/* ---- the client ---- */

struct redis *redis_create(const struct postern_host *host, void *self, const struct redis_settings *settings)
{
    struct redis *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->host = host;
    r->self = self;
    r->settings = *settings;
    line_empty(r);
    for (size_t i = 0; i < REDIS_SCRIPTS; i++) {
        struct sha1 s;
        sha1_init(&s);
        sha1_add(&s, scripts[i].p, scripts[i].n);
        sha1_hex(&s, r->sha[i]);
    }
    if (getrandom(&r->random, sizeof(r->random), GRND_NONBLOCK) != (ssize_t)sizeof(r->random))
        r->random = now_us(r) ^ (uintptr_t)r;
    r->random |= 1; /* xorshift stays at 0 */
    return r;
}

void redis_start(struct redis *r)
{
    connect_now(r);
}

void redis_destroy(struct redis **r)
{
    if (!*r)
        return;
    hang_up(*r);
    (*r)->phase = CONNECTING; /* neither calls nor attempts any more */
    lose_calls(*r);
    free(*r);
    *r = NULL;
}
