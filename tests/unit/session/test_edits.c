/* SPDX-License-Identifier: MIT */
/* Messages that filters change, in every order in which client, filters and server may speak: header fields,
 * recipients added and redirected, tags; and what becomes of the message when the server does not go along.
 * Each filter has a list of wishes for one phase. */
#include "support/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND ((uint64_t)1000000)
#define WISHES 6

enum what { NOTHING, ADD, REPLACE, REMOVE, PREFIX, COPY, REDIRECT, TAG };

struct wish {
    enum what what;
    const char *name, *value;
};

static struct wisher {         /* one filter */
    struct postern_node block; /* first, so that configure() finds it */
    enum postern_phase phase;
    struct wish wishes[WISHES];
    enum postern_action action; /* at END */
    int results[WISHES];
    const struct postern_host *host;
    void *self;
    uint64_t ticket;
    struct postern_tx *tx;
    const char *reads; /* a tag, at END */
    char read[64];
    unsigned calls[POSTERN_PHASES], message_code;
} filters[2];

static struct stage {
    struct world w;
    struct filter_instance *instances[2];
    struct chain *chain;
    size_t n;
    struct buf log;
} st;

static struct postern_span text_of(const char *s)
{
    return (struct postern_span){s, s ? strlen(s) : 0};
}

static void do_wishes(struct wisher *f, struct postern_tx *tx)
{
    const struct postern_host *h = f->host;
    for (size_t i = 0; i < WISHES; i++) {
        struct postern_span name = text_of(f->wishes[i].name), value = text_of(f->wishes[i].value);
        switch (f->wishes[i].what) {
        case NOTHING:
            break;
        case ADD:
            f->results[i] = h->header_add(tx, name, value);
            break;
        case REPLACE:
            f->results[i] = h->header_replace(tx, name, value);
            break;
        case REMOVE:
            f->results[i] = h->header_remove(tx, name);
            break;
        case PREFIX:
            f->results[i] = h->subject_prefix(tx, name);
            break;
        case COPY:
            f->results[i] = h->rcpt_add(tx, name);
            break;
        case REDIRECT:
            f->results[i] = h->rcpt_replace(tx, name);
            break;
        case TAG:
            f->results[i] = h->tag(tx, name, value);
            break;
        }
    }
}

static void hook(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                 struct postern_verdict *v)
{
    struct wisher *f = filter;
    (void)session;
    f->calls[ev->phase]++;
    f->tx = tx;
    if (ev->phase == f->phase)
        do_wishes(f, tx);
    if (ev->phase == POSTERN_ON_MESSAGE_REPLY)
        f->message_code = ev->code;
    if (ev->phase != POSTERN_ON_END)
        return;
    if (f->reads) {
        struct postern_span got = f->host->tag_get(tx, text_of(f->reads));
        (void)snprintf(f->read, sizeof(f->read), "%.*s", (int)got.n, got.n ? got.p : "");
    }
    v->action = f->action;
    if (v->action == POSTERN_PENDING)
        f->ticket = f->host->ticket(tx);
}

static int configure(const struct postern_host *host, void *self, const struct postern_node *block,
                     void **filter_r)
{
    struct wisher *f = (struct wisher *)(uintptr_t)block;
    f->host = host;
    f->self = self;
    *filter_r = f;
    return 0;
}

static const struct postern_filter wishing = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "wishing",
    .help = "asks for what the test says",
    .configure = configure,
    .hooks = {[POSTERN_ON_CONNECT] = hook,
              [POSTERN_ON_MAIL] = hook,
              [POSTERN_ON_RCPT] = hook,
              [POSTERN_ON_HEADER] = hook,
              [POSTERN_ON_HEADERS] = hook,
              [POSTERN_ON_END] = hook,
              [POSTERN_ON_RCPT_REPLY] = hook,
              [POSTERN_ON_MESSAGE_REPLY] = hook,
              [POSTERN_ON_ABORT] = hook},
    .wants = POSTERN_WANTS_EDITS,
};

static void note_log(void *ctx, enum postern_log_level level, const char *filter, const char *text)
{
    (void)ctx;
    (void)level;
    assert_true(buf_printf(&st.log, "%s: %s\n", filter, text));
}

/* ---- the stage ---- */

static void prepare(size_t n)
{
    memset(filters, 0, sizeof(filters));
    memset(&st, 0, sizeof(st));
    world_defaults(&st.w);
    st.n = n;
    st.w.services.log = note_log;
    for (size_t i = 0; i < n; i++)
        filters[i].phase = POSTERN_ON_END;
}

static void start_with(const struct postern_filter *plugin, bool shadow)
{
    static const char *const names[] = {"one", "two"};
    for (size_t i = 0; i < st.n; i++) {
        struct filter_settings settings = {.name = names[i],
                                           .deadline_us = 1000 * SECOND,
                                           .block = &filters[i].block,
                                           .shadow = shadow && i == 0};
        st.instances[i] = filter_instance_create(plugin, &settings, &st.w.services);
        assert_non_null(st.instances[i]);
    }
    st.chain = chain_create(st.instances, st.n);
    assert_non_null(st.chain);
    st.w.policy.chain = st.chain;
    world_begin(&st.w);
}

static void start(void)
{
    start_with(&wishing, false);
}

static void end(void)
{
    world_end(&st.w);
    assert_int_equal(st.w.policies_out, 0);
    assert_int_equal(st.w.budget.memory_used, 0);
    for (size_t i = 0; i < st.n; i++) {
        const unsigned *calls = filters[i].calls;
        assert_int_equal(calls[POSTERN_ON_MAIL], calls[POSTERN_ON_END] + calls[POSTERN_ON_ABORT]);
        filter_instance_destroy(&st.instances[i]);
    }
    chain_destroy(&st.chain);
    buf_free(&st.log);
}

static void wish(size_t filter, size_t i, enum what what, const char *name, const char *value)
{
    filters[filter].wishes[i].what = what;
    filters[filter].wishes[i].name = name;
    filters[filter].wishes[i].value = value;
}

static void client(const char *text)
{
    world_client(&st.w, span_of(text), 0);
}

static void upstream(const char *text)
{
    world_upstream(&st.w, span_of(text), 0);
}

static void check_taken(struct buf *from, const char *want)
{
    char got[8192];
    struct span s = buf_span(from);
    (void)snprintf(got, sizeof(got), "%.*s", (int)s.n, s.n ? s.p : "");
    assert_string_equal(got, want);
    buf_consume(from, s.n);
}

/* Exactly this went to the client, or to the server, since it was last looked. */
static void to_client(const char *want)
{
    check_taken(&st.w.to_client, want);
}

static void to_upstream(const char *want)
{
    check_taken(&st.w.to_upstream, want);
}

static bool has(const struct buf *b, const char *what)
{
    struct span s = buf_span(b);
    return s.n && memmem(s.p, s.n, what, strlen(what));
}

#define PIPELINED "250-up\r\n250-PIPELINING\r\n250-DSN\r\n250-8BITMIME\r\n250 SIZE 1000\r\n"

/* As far as the first octet of the content; what both sides were told so far is forgotten. */
static void open_with(const char *offer, const char *mail, const char *rcpts, const char *replies)
{
    client("EHLO c\r\n");
    client(mail);
    upstream("220 up\r\n");
    upstream(offer);
    upstream("250 m\r\n");
    while (*rcpts) { /* one at a time, so that a server without PIPELINING is no case of its own */
        const char *line = strchr(rcpts, '\n') + 1, *reply = strchr(replies, '\n') + 1;
        world_client(&st.w, span_make(rcpts, (size_t)(line - rcpts)), 0);
        world_upstream(&st.w, span_make(replies, (size_t)(reply - replies)), 0);
        rcpts = line;
        replies = reply;
    }
    buf_consume(&st.w.to_upstream, buf_len(&st.w.to_upstream));
    buf_consume(&st.w.to_client, buf_len(&st.w.to_client));
}

static void open_message(void)
{
    open_with(PIPELINED, "MAIL FROM:<a@x.test>\r\n", "RCPT TO:<b@y.test>\r\n", "250 r\r\n");
    client("DATA\r\n");
    buf_consume(&st.w.to_client, buf_len(&st.w.to_client));
}

#define MESSAGE "Subject: hi\r\nX-Old: 1\r\n\r\nbody\r\n.\r\n"

static void send_message(void)
{
    open_message();
    client(MESSAGE);
}

/* ---- header fields ---- */

static void test_fields(void **state)
{
    (void)state;
    prepare(1);
    wish(0, 0, ADD, "X-New", "yes");
    wish(0, 1, REMOVE, "x-old", NULL);
    wish(0, 2, PREFIX, "[SPAM]", NULL);
    wish(0, 3, REPLACE, "X-Flag", "on");
    start();
    send_message();
    to_upstream("DATA\r\n");
    upstream("354 go\r\n");
    to_upstream("X-New: yes\r\nSubject: [SPAM] hi\r\nX-Flag: on\r\n\r\nbody\r\n.\r\n");
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    assert_string_equal(st.w.edits, "+X-New -x-old prefix:Subject =X-Flag");
    assert_int_equal(filters[0].message_code, 250);
    for (size_t i = 0; i < WISHES; i++)
        assert_int_equal(filters[0].results[i], 0);
    end();
}

/* The emitter stands behind the rewriter: what it writes has its dots stuffed, whatever a filter put there.
 */
static void test_the_one_emitter(void **state)
{
    (void)state;
    prepare(1);
    wish(0, 0, ADD, ".Dotted", "yes\r\n .\r\n .");
    wish(0, 1, REMOVE, "Subject", NULL);
    start();
    open_message();
    client("Subject: hi\r\n\r\n..body\r\n.\r\n");
    to_upstream("DATA\r\n");
    upstream("354 go\r\n");
    to_upstream("..Dotted: yes\r\n .\r\n .\r\n\r\n..body\r\n.\r\n");
    upstream("250 queued\r\n");
    end();
}

static void test_two_filters(void **state)
{
    (void)state;
    prepare(2);
    filters[0].phase = POSTERN_ON_HEADERS;
    wish(0, 0, ADD, "X-A", "1");
    wish(0, 1, ADD, "X-B", "1");
    wish(0, 2, TAG, "lane", "fast");
    wish(1, 0, REMOVE, "X-A", NULL);
    wish(1, 1, ADD, "X-B", "2");
    filters[1].reads = "lane";
    start();
    send_message();
    upstream("354 go\r\n");
    to_upstream("DATA\r\nX-B: 1\r\nX-B: 2\r\nSubject: hi\r\nX-Old: 1\r\n\r\nbody\r\n.\r\n");
    upstream("250 queued\r\n");
    assert_string_equal(filters[1].read, "fast");
    assert_string_equal(st.w.tags, "lane=fast");
    end();
}

static void test_only_this_message(void **state)
{
    (void)state;
    prepare(1);
    wish(0, 0, ADD, "X-A", "1");
    wish(0, 1, TAG, "a", "1");
    start();
    send_message();
    upstream("354 go\r\n");
    upstream("250 queued\r\n");
    memset(filters[0].wishes, 0, sizeof(filters[0].wishes));
    upstream("221 bye\r\n");
    buf_consume(&st.w.to_upstream, buf_len(&st.w.to_upstream));
    open_message();
    client(MESSAGE);
    upstream("354 go\r\n");
    to_upstream("DATA\r\n" MESSAGE);
    upstream("250 queued\r\n");
    assert_string_equal(st.w.edits, "");
    assert_string_equal(st.w.tags, "");
    end();
}

/* BDAT, and a server that takes it: the chunk is as large as the message has become. */
static void test_chunks(void **state)
{
    (void)state;
    prepare(1);
    wish(0, 0, ADD, "X-A", "1");
    start();
    open_with("250-up\r\n250-PIPELINING\r\n250 CHUNKING\r\n", "MAIL FROM:<a@x.test>\r\n",
              "RCPT TO:<b@y.test>\r\n", "250 r\r\n");
    client("BDAT 7\r\nA: b\r\n\rBDAT 3 LAST\r\n\nxy");
    to_upstream("BDAT 18 LAST\r\nX-A: 1\r\nA: b\r\n\r\nxy");
    upstream("250 queued\r\n");
    to_client("250 2.0.0 Chunk received\r\n250 queued\r\n");
    end();
}

static void test_binary(void **state)
{
    (void)state;
    prepare(1);
    wish(0, 0, REPLACE, "A", "c");
    start();
    st.w.offer.caps |= CAP_CHUNKING | CAP_BINARYMIME;
    open_with("250-up\r\n250-PIPELINING\r\n250-BINARYMIME\r\n250-8BITMIME\r\n250 CHUNKING\r\n",
              "MAIL FROM:<a@x.test> BODY=BINARYMIME\r\n", "RCPT TO:<b@y.test>\r\n", "250 r\r\n");
    world_client(&st.w, SPAN_LIT("BDAT 14 LAST\r\nA: b\r\n\r\n.\n\0\r\r\xff"), 0);
    struct span want = SPAN_LIT("BDAT 14 LAST\r\nA: c\r\n\r\n.\n\0\r\r\xff");
    assert_true(span_eq(buf_span(&st.w.to_upstream), want));
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    end();
}

/* ---- held ---- */

static void test_held_past_the_limit_of_holding(void **state)
{
    char line[81];
    (void)state;
    prepare(1);
    st.w.policy.limits.hold = 4;
    st.w.policy.limits.body_memory = 1 << 20;
    wish(0, 0, ADD, "X-A", "1");
    start();
    open_with("250-up\r\n250 PIPELINING\r\n", "MAIL FROM:<a@x.test>\r\n", "RCPT TO:<b@y.test>\r\n",
              "250 r\r\n");
    client("DATA\r\n");
    buf_consume(&st.w.to_client, buf_len(&st.w.to_client));
    (void)snprintf(line, sizeof(line), "%078d\r\n", 0);
    client("Subject: hi\r\n\r\n");
    for (int i = 0; i < 5000; i++)
        client(line);
    to_upstream("");
    client(".\r\n");
    to_client("");
    to_upstream("DATA\r\n");
    upstream("354 go\r\n");
    while (!has(&st.w.to_upstream, "\r\n.\r\n"))
        world_wait(&st.w, 1000);
    assert_true(span_istarts(buf_span(&st.w.to_upstream), SPAN_LIT("X-A: 1\r\nSubject: hi\r\n\r\n0")));
    assert_int_equal(buf_len(&st.w.to_upstream), 8 + 15 + 5000 * 80 + 3);
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    end();
}

static void test_no_room_to_hold_it(void **state)
{
    char line[81];
    (void)state;
    prepare(1);
    st.w.policy.limits.hold = 4;
    st.w.budget.memory_max = 100000;
    st.w.budget.disk_max = 0;
    start();
    open_message();
    (void)snprintf(line, sizeof(line), "%078d\r\n", 0);
    for (int i = 0; i < 5000; i++)
        client(line);
    client(".\r\n");
    to_client("452 4.3.1 No space for the message now; try again later (sid1)\r\n");
    to_upstream("RSET\r\n");
    end();
}

/* A plugin that does not say that it wants edits has its messages stream, and may not edit. */
static void test_without_the_wish(void **state)
{
    struct postern_filter shy = wishing;
    (void)state;
    prepare(1);
    shy.wants = 0;
    wish(0, 0, ADD, "X-A", "1");
    wish(0, 1, TAG, "colour", "green");
    st.w.policy.limits.hold = 4;
    start_with(&shy, false);
    open_message();
    client("Subject: hi\r\n\r\n");
    to_upstream("DATA\r\n");
    upstream("354 go\r\n");
    to_upstream("Subject: hi\r\n\r\n");
    client(".\r\n");
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    assert_int_equal(filters[0].results[0], -1);
    assert_int_equal(filters[0].results[1], 0);
    assert_true(has(&st.log, "one: header_add 'X-A' is not done, session sid1: the plugin's descriptor"));
    assert_string_equal(st.w.tags, "colour=green");
    end();
}

/* ---- when ---- */

static void test_too_early_and_too_late(void **state)
{
    static const enum postern_phase phases[] = {POSTERN_ON_CONNECT, POSTERN_ON_MESSAGE_REPLY};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        prepare(1);
        filters[0].phase = phases[i];
        wish(0, 0, ADD, "X-A", "1");
        wish(0, 1, COPY, "c@y.test", NULL);
        wish(0, 2, TAG, "a", "1");
        start();
        send_message();
        upstream("354 go\r\n");
        to_upstream("DATA\r\n" MESSAGE);
        upstream("250 queued\r\n");
        to_client("250 queued\r\n");
        for (size_t k = 0; k < 3; k++)
            assert_int_equal(filters[0].results[k], -1);
        assert_true(has(&st.log, "there is no message, or END was answered already"));
        end();
    }
}

static void test_while_its_verdict_is_awaited(void **state)
{
    struct postern_verdict v = {.size = sizeof(v), .action = POSTERN_CONTINUE};
    (void)state;
    prepare(1);
    filters[0].phase = POSTERN_PHASES;
    filters[0].action = POSTERN_PENDING;
    wish(0, 0, ADD, "X-A", "1");
    start();
    send_message();
    to_upstream("");
    do_wishes(&filters[0], filters[0].tx);
    assert_int_equal(filters[0].results[0], 0);
    filters[0].host->resume(filters[0].self, filters[0].ticket, &v);
    do_wishes(&filters[0], filters[0].tx);
    assert_int_equal(filters[0].results[0], -1);
    upstream("354 go\r\n");
    to_upstream("DATA\r\nX-A: 1\r\n" MESSAGE);
    upstream("250 queued\r\n");
    end();
}

static void test_refused_is_refused(void **state)
{
    (void)state;
    prepare(1);
    filters[0].action = POSTERN_REJECT;
    wish(0, 0, ADD, "X-A", "1");
    wish(0, 1, REDIRECT, "q@y.test", NULL);
    start();
    send_message();
    to_upstream("RSET\r\n");
    assert_true(span_istarts(buf_span(&st.w.to_client), SPAN_LIT("550 ")));
    end();
}

static void test_shadow(void **state)
{
    (void)state;
    prepare(2);
    wish(0, 0, ADD, "X-A", "1");
    wish(0, 1, REDIRECT, "q@y.test", NULL);
    wish(0, 2, TAG, "a", "tried");
    wish(0, 3, ADD, "Bad Name", "1");
    filters[1].reads = "a";
    start_with(&wishing, true);
    send_message();
    upstream("354 go\r\n");
    to_upstream("DATA\r\n" MESSAGE);
    upstream("250 queued\r\n");
    assert_int_equal(filters[0].results[0], 0);
    assert_int_equal(filters[0].results[1], 0);
    assert_int_equal(filters[0].results[3], -1);
    assert_true(has(&st.log, "one: shadow: would have done header_add 'X-A', session sid1\n"));
    assert_true(has(&st.log, "one: shadow: would have done rcpt_replace 'q@y.test', session sid1\n"));
    assert_string_equal(filters[1].read, "");
    assert_string_equal(st.w.tags, "a=tried");
    assert_string_equal(st.w.edits, "");
    end();
}

/* ---- SIZE ---- */

/* A message that becomes so large, where the server takes 1000 octets. */
static void send_grown(int size)
{
    static char value[900];
    char message[200];
    prepare(1);
    memset(value, 'v', sizeof(value) - 1); /* a field of 906 octets */
    wish(0, 0, ADD, "X-A", value);
    wish(0, 1, COPY, "c@y.test", NULL);
    start();
    open_message();
    (void)snprintf(message, sizeof(message), "Subject: hi\r\n\r\n%0*d\r\n.\r\n", size - 906 - 15 - 2, 0);
    client(message);
}

static void test_larger_than_the_server_takes(void **state)
{
    (void)state;
    send_grown(1000);
    to_upstream("RCPT TO:<c@y.test> NOTIFY=NEVER\r\n");
    upstream("250 ok\r\n");
    upstream("354 go\r\n");
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    end();
    send_grown(1001);
    to_client("552 5.3.4 Message size exceeds the limit (sid1)\r\n");
    to_upstream("RSET\r\n");
    assert_string_equal(st.w.verdict, "rejected");
    assert_int_equal(filters[0].message_code, 552);
    end();
}

/* ---- copies ---- */

static void start_with_copies(void)
{
    prepare(1);
    wish(0, 0, COPY, "c@y.test", NULL);
    wish(0, 1, COPY, "d@y.test", NULL);
    start();
}

static void test_copies(void **state)
{
    (void)state;
    start_with_copies();
    send_message();
    to_upstream("RCPT TO:<c@y.test> NOTIFY=NEVER\r\nRCPT TO:<d@y.test> NOTIFY=NEVER\r\n");
    to_client("");
    upstream("250 c\r\n");
    to_upstream("");
    upstream("250 d\r\n");
    to_upstream("DATA\r\n");
    upstream("354 go\r\n");
    to_upstream(MESSAGE);
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    assert_string_equal(st.w.edits, "bcc:c@y.test bcc:d@y.test");
    assert_string_equal(st.w.note, "");
    end();
}

static void test_copy_is_refused(void **state)
{
    (void)state;
    start_with_copies();
    send_message();
    upstream("550 5.1.1 <c@y.test> unknown\r\n250 d\r\n");
    upstream("354 go\r\n");
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    assert_string_equal(st.w.verdict, "accepted");
    assert_string_equal(st.w.note, "the copy to <c@y.test> was refused: 550 5.1.1 <c@y.test> unknown");
    assert_int_equal(st.w.counters[SESSION_COUNT_COPIES_REFUSED], 1);
    end();
}

static void test_copies_without_pipelining_or_dsn(void **state)
{
    (void)state;
    start_with_copies();
    open_with("250 up\r\n", "MAIL FROM:<a@x.test>\r\n", "RCPT TO:<b@y.test>\r\n", "250 r\r\n");
    client("DATA\r\n");
    client(MESSAGE);
    to_upstream("RCPT TO:<c@y.test>\r\n");
    upstream("250 c\r\n");
    to_upstream("RCPT TO:<d@y.test>\r\n");
    upstream("452 4.5.3 too many\r\n");
    to_upstream("DATA\r\n");
    upstream("354 go\r\n");
    upstream("250 queued\r\n");
    assert_int_equal(st.w.counters[SESSION_COUNT_COPIES_REFUSED], 1);
    end();
}

/* What it says names whom the client did not. */
static void test_server_leaves_at_a_copy(void **state)
{
    (void)state;
    start_with_copies();
    send_message();
    buf_consume(&st.w.to_client, buf_len(&st.w.to_client));
    upstream("421 4.7.0 <c@y.test> not now\r\n");
    to_client("451 4.4.2 Lost the mail server; try again later (sid1)\r\n");
    assert_string_equal(st.w.verdict, "deferred");
    assert_true(st.w.leg_closed);
    end();
}

static void test_client_leaves_at_a_copy(void **state)
{
    (void)state;
    start_with_copies();
    send_message();
    to_upstream("RCPT TO:<c@y.test> NOTIFY=NEVER\r\nRCPT TO:<d@y.test> NOTIFY=NEVER\r\n");
    session_gone(st.w.session);
    assert_true(st.w.closed);
    to_upstream("RSET\r\n");
    assert_string_equal(st.w.verdict, "aborted");
    end();
}

static void test_copies_by_chunks(void **state)
{
    (void)state;
    start_with_copies();
    open_with("250-up\r\n250-PIPELINING\r\n250 CHUNKING\r\n", "MAIL FROM:<a@x.test>\r\n",
              "RCPT TO:<b@y.test>\r\n", "250 r\r\n");
    client("BDAT 10 LAST\r\nA: b\r\n\r\nxy");
    to_upstream("RCPT TO:<c@y.test>\r\nRCPT TO:<d@y.test>\r\n");
    upstream("250 c\r\n250 d\r\n");
    to_upstream("BDAT 10 LAST\r\nA: b\r\n\r\nxy");
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    end();
}

/* ---- LMTP and PRDR ---- */

static void open_lmtp(const char *mail)
{
    st.w.leg_config.lmtp = true;
    open_with("250-up\r\n250 PIPELINING\r\n", mail, "RCPT TO:<b@y.test>\r\nRCPT TO:<e@y.test>\r\n",
              "250 r\r\n250 r\r\n");
    client("DATA\r\n");
    buf_consume(&st.w.to_client, buf_len(&st.w.to_client));
    client(MESSAGE);
}

static void test_lmtp_answers_for_copies_too(void **state)
{
    (void)state;
    start_with_copies();
    open_lmtp("MAIL FROM:<a@x.test>\r\n");
    upstream("250 c\r\n250 d\r\n");
    upstream("354 go\r\n");
    upstream("250 <b> in\r\n250 <e> in\r\n250 <c> in\r\n");
    to_client("");
    upstream("452 4.2.2 <d> full\r\n");
    to_client("250 <e> in\r\n");
    assert_string_equal(st.w.verdict, "accepted");
    assert_string_equal(st.w.note,
                        "the copy to <d@y.test> was refused: 452 4.2.2 <d> full; 2 of 2 recipients have "
                        "the message");
    end();
}

/* The copy is there, and nobody whom the client named: that is what the client hears. */
static void test_lmtp_takes_only_the_copy(void **state)
{
    (void)state;
    start_with_copies();
    open_lmtp("MAIL FROM:<a@x.test>\r\n");
    upstream("550 no\r\n250 d\r\n");
    upstream("354 go\r\n");
    upstream("550 5.2.0 <b> no\r\n450 4.2.0 <e> later\r\n250 <d> in\r\n");
    to_client("450-4.2.0 Not all recipients have the message\r\n450-4.2.0 <b@y.test>: 550 5.2.0 <b> no\r\n"
              "450 4.2.0 <e@y.test>: 450 4.2.0 <e> later\r\n");
    assert_string_equal(st.w.verdict, "deferred");
    end();
}

static void test_lmtp_redirected(void **state)
{
    (void)state;
    prepare(1);
    wish(0, 0, REDIRECT, "q@y.test", NULL);
    wish(0, 1, COPY, "c@y.test", NULL);
    start();
    open_lmtp("MAIL FROM:<a@x.test>\r\n");
    to_upstream("RSET\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<q@y.test>\r\nRCPT TO:<c@y.test>\r\n");
    upstream("250 rset\r\n250 m\r\n250 q\r\n250 c\r\n");
    upstream("354 go\r\n");
    upstream("250 2.1.5 <q@y.test> in\r\n");
    to_client("");
    upstream("250 2.1.5 <c@y.test> in\r\n");
    to_client("250 2.0.0 Ok\r\n");
    end();
}

static void test_lmtp_redirected_with_prdr(void **state)
{
    (void)state;
    prepare(1);
    wish(0, 0, REDIRECT, "q@y.test", NULL);
    st.w.offer.caps |= CAP_PRDR;
    start();
    open_lmtp("MAIL FROM:<a@x.test> PRDR\r\n");
    to_upstream("RSET\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<q@y.test>\r\n");
    upstream("250 rset\r\n250 m\r\n250 q\r\n");
    upstream("354 go\r\n");
    upstream("452 4.2.2 <q@y.test> full\r\n");
    to_client(
        "353 Replies for each recipient follow\r\n452 4.0.0 Not delivered\r\n452 4.0.0 Not delivered\r\n"
        "452 No recipient has the message\r\n");
    end();
}

static void test_prdr_answers_for_copies_too(void **state)
{
    (void)state;
    prepare(1);
    wish(0, 0, COPY, "c@y.test", NULL);
    st.w.offer.caps |= CAP_PRDR;
    start();
    open_with("250-up\r\n250-PIPELINING\r\n250 PRDR\r\n", "MAIL FROM:<a@x.test> PRDR\r\n",
              "RCPT TO:<b@y.test>\r\nRCPT TO:<e@y.test>\r\n", "250 r\r\n250 r\r\n");
    client("DATA\r\n");
    buf_consume(&st.w.to_client, buf_len(&st.w.to_client));
    client(MESSAGE);
    upstream("250 c\r\n");
    upstream("354 go\r\n");
    upstream("353 each\r\n250 b\r\n550 e\r\n550 c no\r\n250 done\r\n");
    to_client("353 each\r\n250 b\r\n550 e\r\n250 done\r\n");
    assert_string_equal(st.w.note, "the copy to <c@y.test> was refused: 550 c no");
    end();
}

/* ---- redirected ---- */

static void start_redirect(void)
{
    prepare(1);
    wish(0, 0, REDIRECT, "q@y.test", NULL);
    wish(0, 1, ADD, "X-A", "1");
    start();
}

static void test_redirected(void **state)
{
    (void)state;
    start_redirect();
    open_with(PIPELINED, "MAIL FROM:<a@x.test> SIZE=200 BODY=8BITMIME RET=HDRS ENVID=x\r\n",
              "RCPT TO:<b@y.test> NOTIFY=SUCCESS\r\nRCPT TO:<e@y.test> NOTIFY=NEVER\r\n",
              "250 r\r\n250 r\r\n");
    client("DATA\r\n");
    client(MESSAGE);
    to_upstream(
        "RSET\r\nMAIL FROM:<a@x.test> SIZE=39 BODY=8BITMIME RET=HDRS ENVID=x\r\nRCPT TO:<q@y.test>\r\n");
    upstream("250 rset\r\n250 m\r\n250 q\r\n");
    to_upstream("DATA\r\n");
    upstream("354 go\r\n");
    to_upstream("X-A: 1\r\n" MESSAGE);
    buf_consume(&st.w.to_client, buf_len(&st.w.to_client));
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    assert_string_equal(st.w.edits, "+X-A redirect:q@y.test");
    end();
}

static void test_redirected_without_pipelining(void **state)
{
    (void)state;
    start_redirect();
    st.w.offer.xforward = 0;
    open_with("250-up\r\n250-DSN\r\n250 XFORWARD ADDR\r\n", "MAIL FROM:<a@x.test>\r\n", "", "");
    /* XFORWARD was said first, and MAIL when it was answered */
    upstream("250 m\r\n");
    client("RCPT TO:<b@y.test> NOTIFY=NEVER\r\n");
    upstream("250 r\r\n");
    client("DATA\r\n");
    buf_consume(&st.w.to_upstream, buf_len(&st.w.to_upstream));
    buf_consume(&st.w.to_client, buf_len(&st.w.to_client));
    client(MESSAGE);
    to_upstream("RSET\r\n");
    upstream("250 rset\r\n");
    to_upstream("XFORWARD ADDR=192.0.2.1\r\n");
    upstream("250 x\r\n");
    to_upstream("MAIL FROM:<a@x.test>\r\n");
    upstream("250 m\r\n");
    to_upstream("RCPT TO:<q@y.test> NOTIFY=NEVER\r\n");
    upstream("250 q\r\n");
    to_upstream("DATA\r\n");
    upstream("354 go\r\n");
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    end();
}

/* Nobody whom the client named may have the message. */
static void test_redirect_is_refused(void **state)
{
    static const char *const replies[] = {"250 rset\r\n250 m\r\n550 5.1.1 <q@y.test> unknown\r\n",
                                          "250 rset\r\n550 no mail\r\n503 what\r\n",
                                          "500 no rset\r\n503 what\r\n503 what\r\n"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        start_redirect();
        send_message();
        buf_consume(&st.w.to_upstream, buf_len(&st.w.to_upstream));
        upstream(replies[i]);
        to_client("451 4.3.0 The message cannot go now where it has to go; try again later (sid1)\r\n");
        assert_false(has(&st.w.to_upstream, "DATA"));
        assert_true(has(&st.w.to_upstream, "RSET\r\n"));
        assert_string_equal(st.w.verdict, "deferred");
        assert_true(strstr(st.w.note, "<q@y.test> was refused: 5") != NULL);
        assert_int_equal(filters[0].message_code, 451);
        end();
    }
}

static void test_server_dies_after_rset(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        start_redirect();
        send_message();
        upstream("250 rset\r\n");
        if (i)
            upleg_lost(st.w.leg, "reset");
        else
            upstream("421 going\r\n");
        to_client("451 4.4.2 Lost the mail server; try again later (sid1)\r\n");
        assert_string_equal(st.w.verdict, "deferred");
        end();
    }
}

static void test_server_is_mute_after_rset(void **state)
{
    (void)state;
    start_redirect();
    send_message();
    upstream("250 rset\r\n");
    world_wait(&st.w, 301 * SECOND);
    to_client("451 4.4.2 Lost the mail server; try again later (sid1)\r\n");
    end();
}

/* A reply too many is no answer to what comes next. */
static void test_reply_that_nobody_owes(void **state)
{
    (void)state;
    start_redirect();
    send_message();
    upstream("250 rset\r\n250 m\r\n250 q\r\n250 more\r\n");
    to_client("451 4.4.2 Lost the mail server; try again later (sid1)\r\n");
    assert_true(st.w.leg_closed);
    end();
}

static void test_next_message_after_a_redirect(void **state)
{
    (void)state;
    start_redirect();
    send_message();
    upstream("250 rset\r\n250 m\r\n550 no\r\n");
    buf_consume(&st.w.to_client, buf_len(&st.w.to_client));
    memset(filters[0].wishes, 0, sizeof(filters[0].wishes));
    upstream("250 rset\r\n221 bye\r\n");
    send_message();
    upstream("354 go\r\n");
    to_upstream("DATA\r\n" MESSAGE);
    upstream("250 queued\r\n");
    to_client("250 queued\r\n");
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_the_one_emitter),
        cmocka_unit_test(test_two_filters),
        cmocka_unit_test(test_only_this_message),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_held_past_the_limit_of_holding),
        cmocka_unit_test(test_no_room_to_hold_it),
        cmocka_unit_test(test_without_the_wish),
        cmocka_unit_test(test_too_early_and_too_late),
        cmocka_unit_test(test_while_its_verdict_is_awaited),
        cmocka_unit_test(test_refused_is_refused),
        cmocka_unit_test(test_shadow),
        cmocka_unit_test(test_larger_than_the_server_takes),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_copy_is_refused),
        cmocka_unit_test(test_copies_without_pipelining_or_dsn),
        cmocka_unit_test(test_server_leaves_at_a_copy),
        cmocka_unit_test(test_client_leaves_at_a_copy),
        cmocka_unit_test(test_copies_by_chunks),
        cmocka_unit_test(test_lmtp_answers_for_copies_too),
        cmocka_unit_test(test_lmtp_takes_only_the_copy),
        cmocka_unit_test(test_lmtp_redirected),
        cmocka_unit_test(test_lmtp_redirected_with_prdr),
        cmocka_unit_test(test_prdr_answers_for_copies_too),
        cmocka_unit_test(test_redirected),
        cmocka_unit_test(test_redirected_without_pipelining),
        cmocka_unit_test(test_redirect_is_refused),
        cmocka_unit_test(test_server_dies_after_rset),
        cmocka_unit_test(test_server_is_mute_after_rset),
        cmocka_unit_test(test_reply_that_nobody_owes),
        cmocka_unit_test(test_next_message_after_a_redirect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
