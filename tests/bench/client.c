/* SPDX-License-Identifier: MIT */
/* A load generator: many SMTP sessions from one process, each with some messages.
 *
 *   closed loop  (--concurrency)  a new session starts when another ends
 *   open loop    (--rate)         sessions start on time, whatever became of those before; a session's
 * latency counts from when it should have started
 *
 * It prints one line of JSON and ends, or holds its sessions open until its input ends (--hold). All sessions
 * lie in one array made before the run; each uses its place once. */
#include "content.h"
#include "link.h"
#include "samples.h"
#include "words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_MAX = 4096, EVENTS = 256, COMMANDS = 1024, OPEN_MOST = 4096, US = 1000000 };

/* What the reply that comes next answers. */
enum step {
    STEP_CONNECT,
    STEP_HANDSHAKE,
    STEP_GREETING,
    STEP_EHLO,
    STEP_STARTTLS,
    STEP_NOOP,
    STEP_MAIL,
    STEP_RCPT,
    STEP_DATA,
    STEP_FINAL,
    STEP_QUIT,
    STEP_HELD,
    STEP_OVER
};

static const unsigned expected[] = {
    [STEP_GREETING] = 220, [STEP_EHLO] = 250, [STEP_STARTTLS] = 220, [STEP_NOOP] = 250, [STEP_MAIL] = 250,
    [STEP_RCPT] = 250,     [STEP_DATA] = 354, [STEP_FINAL] = 250,    [STEP_QUIT] = 221,
};

struct piece {
    const char *p;
    size_t n;
};

struct visit {
    struct link link;
    enum step step;
    struct piece out;
    bool wants_room; /* what epoll was told */
    unsigned long messages;
    uint64_t began, asked;
    size_t in_n;
    char *in;
};

struct bench {
    unsigned long port, connections, concurrency, messages, size, rate, seconds;
    bool pipeline, starttls, implicit, bots;
    const char *hold, *recipient, *save;
    SSL_CTX *tls;
    int poll;
    struct visit *visits;
    unsigned long started, over, held, failed, refused, delivered;
    char mail[COMMANDS], rcpt[COMMANDS], group[3 * COMMANDS], why[200];
    struct piece body, body_and_group;
    struct samples sessions, transactions;
};

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * US + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the end of a session ---- */

static void end(struct bench *b, struct visit *v)
{
    link_close(&v->link);
    free(v->in);
    v->in = NULL;
    v->step = STEP_OVER;
    b->over++;
}

static void fail(struct bench *b, struct visit *v, const char *what, struct piece said)
{
    if (!b->failed)
        (void)snprintf(b->why, sizeof(b->why), "step %d: %s %.*s", (int)v->step, what, (int)said.n, said.p);
    b->failed++;
    end(b, v);
}

/* ---- out ---- */

static void tell_epoll(struct bench *b, struct visit *v, bool room)
{
    if (v->wants_room == room)
        return;
    v->wants_room = room;
    struct epoll_event e = {.events = room ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = v};
    (void)epoll_ctl(b->poll, EPOLL_CTL_MOD, v->link.fd, &e);
}

static bool flush(struct bench *b, struct visit *v)
{
    size_t sent;
    while (v->out.n) {
        enum link_result r = link_write(&v->link, v->out.p, v->out.n, &sent);
        if (r == LINK_CLOSED)
            return false;
        if (r != LINK_DONE)
            break;
        v->out.p += sent;
        v->out.n -= sent;
    }
    tell_epoll(b, v, v->out.n > 0);
    return true;
}

static bool say(struct bench *b, struct visit *v, enum step next, const char *p, size_t n)
{
    v->step = next;
    v->out = (struct piece){p, n};
    return flush(b, v);
}

static bool say_text(struct bench *b, struct visit *v, enum step next, const char *text)
{
    return say(b, v, next, text, strlen(text));
}

/* ---- the dialogue: one function for each reply, called when it was the expected one ---- */

static bool start_handshake(struct bench *b, struct visit *v)
{
    v->step = STEP_HANDSHAKE;
    return link_secure(&v->link, b->tls, false);
}

static bool on_greeting(struct bench *b, struct visit *v)
{
    return say_text(b, v, STEP_EHLO, "EHLO client.example\r\n");
}

static bool hold(struct bench *b, struct visit *v)
{
    v->step = STEP_HELD;
    b->held++;
    return true;
}

static bool next_message(struct bench *b, struct visit *v)
{
    if (v->messages == b->messages)
        return say_text(b, v, STEP_QUIT, "QUIT\r\n");
    v->asked = now_us();
    return say_text(b, v, STEP_MAIL, b->pipeline ? b->group : b->mail);
}

static bool on_ehlo(struct bench *b, struct visit *v)
{
    if (b->starttls && !v->link.ssl)
        return say_text(b, v, STEP_STARTTLS, "STARTTLS\r\n");
    if (b->hold && strcmp(b->hold, "ehlo") == 0)
        return hold(b, v);
    if (b->bots)
        return say_text(b, v, STEP_NOOP, "NOOP\r\n");
    return next_message(b, v);
}

/* Half of the bots just go. */
static bool on_noop(struct bench *b, struct visit *v)
{
    if ((v - b->visits) % 2)
        return say_text(b, v, STEP_QUIT, "QUIT\r\n");
    end(b, v);
    return true;
}

static bool on_mail(struct bench *b, struct visit *v)
{
    if (!b->pipeline)
        return say_text(b, v, STEP_RCPT, b->rcpt);
    v->step = STEP_RCPT;
    return true;
}

static bool on_rcpt(struct bench *b, struct visit *v)
{
    if (!b->pipeline)
        return say_text(b, v, STEP_DATA, "DATA\r\n");
    v->step = STEP_DATA;
    return true;
}

static bool on_data(struct bench *b, struct visit *v)
{
    if (b->hold)
        return say(b, v, STEP_FINAL, b->body.p, b->body.n / 2) && hold(b, v);
    if (!b->pipeline)
        return say(b, v, STEP_FINAL, b->body.p, b->body.n);
    struct piece all = v->messages + 1 < b->messages ? b->body_and_group : b->body;
    v->asked = now_us();
    return say(b, v, STEP_FINAL, all.p, all.n);
}

static bool on_final(struct bench *b, struct visit *v)
{
    samples_add(&b->transactions, now_us() - v->asked);
    b->delivered++;
    v->messages++;
    if (!b->pipeline || v->messages == b->messages)
        return next_message(b, v);
    v->step = STEP_MAIL;
    return true;
}

static bool on_quit(struct bench *b, struct visit *v)
{
    samples_add(&b->sessions, now_us() - v->began);
    end(b, v);
    return true;
}

static bool (*const on_expected[])(struct bench *b, struct visit *v) = {
    [STEP_GREETING] = on_greeting, [STEP_EHLO] = on_ehlo,   [STEP_STARTTLS] = start_handshake,
    [STEP_NOOP] = on_noop,         [STEP_MAIL] = on_mail,   [STEP_RCPT] = on_rcpt,
    [STEP_DATA] = on_data,         [STEP_FINAL] = on_final, [STEP_QUIT] = on_quit,
};

/* The last line of a reply. A refused recipient is an answer too: the session leaves politely. */
static void on_reply(struct bench *b, struct visit *v, struct piece line)
{
    unsigned code = (unsigned)((line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0'));
    if (v->step < STEP_GREETING || v->step > STEP_QUIT) {
        fail(b, v, "a reply that nobody asked for:", line);
        return;
    }
    bool good;
    if (code == expected[v->step]) {
        good = on_expected[v->step](b, v);
    } else if (v->step == STEP_RCPT && !b->pipeline) {
        b->refused++;
        good = say_text(b, v, STEP_QUIT, "QUIT\r\n");
    } else {
        fail(b, v, "refused:", line);
        return;
    }
    if (!good)
        fail(b, v, "the connection is lost", (struct piece){"", 0});
}

/* ---- in ---- */

static size_t take_lines(struct bench *b, struct visit *v)
{
    size_t at = 0;
    char *end_of_line;
    while (v->step != STEP_OVER && (end_of_line = memchr(v->in + at, '\n', v->in_n - at))) {
        struct piece line = {v->in + at, (size_t)(end_of_line - v->in) - at};
        at += line.n + 1;
        if (line.n < 4)
            fail(b, v, "no reply:", line);
        else if (line.p[3] != '-')
            on_reply(b, v, line);
    }
    return at;
}

static void read_replies(struct bench *b, struct visit *v)
{
    do {
        size_t got;
        enum link_result r = link_read(&v->link, v->in + v->in_n, REPLY_MAX - v->in_n, &got);
        if (r == LINK_WANTS_READ || r == LINK_WANTS_WRITE)
            return;
        if (r == LINK_CLOSED) {
            fail(b, v, "closed by the other side", (struct piece){"", 0});
            return;
        }
        v->in_n += got;
        size_t taken = take_lines(b, v);
        if (v->step == STEP_OVER)
            return;
        memmove(v->in, v->in + taken, v->in_n - taken);
        v->in_n -= taken;
    } while (v->step != STEP_HANDSHAKE && link_pending(&v->link));
}

static bool shake_hands(struct bench *b, struct visit *v)
{
    enum link_result r = link_handshake(&v->link);
    tell_epoll(b, v, r == LINK_WANTS_WRITE);
    if (r == LINK_CLOSED)
        return false;
    if (r != LINK_DONE)
        return true;
    if (b->implicit)
        v->step = STEP_GREETING;
    return b->implicit || on_greeting(b, v);
}

static bool on_connected(struct bench *b, struct visit *v)
{
    tell_epoll(b, v, false);
    if (!link_connected(&v->link))
        return false;
    v->step = STEP_GREETING;
    return !b->implicit || start_handshake(b, v);
}

static void on_event(struct bench *b, struct visit *v, uint32_t events)
{
    bool good = true;
    if (v->step == STEP_OVER)
        return;
    if (v->step == STEP_CONNECT)
        good = on_connected(b, v);
    else if (events & EPOLLOUT)
        good = v->step == STEP_HANDSHAKE || flush(b, v);
    if (good && v->step != STEP_HANDSHAKE && (events & ~(unsigned)EPOLLOUT))
        read_replies(b, v);
    if (good && v->step == STEP_HANDSHAKE)
        good = shake_hands(b, v);
    if (!good)
        fail(b, v, "the connection is lost", (struct piece){"", 0});
}

/* ---- the run ---- */

static void start(struct bench *b, uint64_t due)
{
    struct visit *v = &b->visits[b->started++];
    *v = (struct visit){.link.fd = -1, .began = due, .in = malloc(REPLY_MAX), .wants_room = true};
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = v};
    if (!v->in || !link_connect(&v->link, (uint16_t)b->port) ||
        epoll_ctl(b->poll, EPOLL_CTL_ADD, v->link.fd, &e) != 0)
        fail(b, v, strerror(errno), (struct piece){"", 0});
}

/* Starts what is due, and says how long nothing will be. */
static uint64_t start_due(struct bench *b, uint64_t began)
{
    for (;;) {
        unsigned long active = b->started - b->over - (b->hold ? b->held : 0);
        if (b->started == b->connections || active >= b->concurrency)
            return US / 10;
        uint64_t now = now_us(), due = b->rate ? began + b->started * US / b->rate : now;
        if (due > now)
            return due - now;
        start(b, due);
    }
}

static bool finished(const struct bench *b)
{
    return b->over + b->held >= b->connections;
}

static void run(struct bench *b)
{
    uint64_t began = now_us(), last = began + b->seconds * US;
    struct epoll_event e[EVENTS];
    while (!finished(b) && now_us() < last) {
        uint64_t wait = start_due(b, began);
        struct timespec t = {.tv_sec = (time_t)(wait / US), .tv_nsec = (long)(wait % US) * 1000};
        int n = epoll_pwait2(b->poll, e, EVENTS, &t, NULL);
        for (int i = 0; i < n; i++)
            on_event(b, e[i].data.ptr, e[i].events);
    }
    if (!finished(b) && !b->failed)
        (void)snprintf(b->why, sizeof(b->why), "out of time: %lu of %lu sessions are over", b->over,
                       b->connections);
    b->failed += b->connections - (b->over + b->held);
}

/* ---- before and after ---- */

static bool prepare_texts(struct bench *b)
{
    (void)snprintf(b->mail, sizeof(b->mail), "MAIL FROM:<bench@client.example>\r\n");
    (void)snprintf(b->rcpt, sizeof(b->rcpt), "RCPT TO:<%s>\r\n", b->recipient);
    (void)snprintf(b->group, sizeof(b->group), "%s%sDATA\r\n", b->mail, b->rcpt);
    b->body.p = content_make(b->size, "", 0, &b->body.n);
    b->body_and_group.p = content_make(b->size, b->group, strlen(b->group), &b->body_and_group.n);
    return b->body.p && b->body_and_group.p;
}

static bool prepare(struct bench *b)
{
    b->visits = calloc(b->connections, sizeof(*b->visits));
    b->poll = epoll_create1(EPOLL_CLOEXEC);
    if (b->starttls || b->implicit)
        b->tls = link_tls_client();
    return b->visits && b->poll >= 0 && (b->tls || !(b->starttls || b->implicit)) && prepare_texts(b) &&
           samples_init(&b->sessions, b->connections) &&
           samples_init(&b->transactions, b->connections * b->messages);
}

static void print_result(struct bench *b, uint64_t took)
{
    for (char *c = b->why; *c; c++)
        if (*c < ' ' || *c == '"' || *c == '\\')
            *c = ' ';
    printf("{\"sessions\": %lu, \"messages\": %lu, \"failed\": %lu, \"refused\": %lu, \"held\": %lu, "
           "\"seconds\": %.6f, \"why\": \"%s\", ",
           b->over, b->delivered, b->failed, b->refused, b->held, (double)took / US, b->why);
    samples_print(&b->sessions, "session_us", stdout);
    printf(", ");
    samples_print(&b->transactions, "message_us", stdout);
    printf("}\n");
    (void)fflush(stdout);
}

static void release(struct bench *b)
{
    for (unsigned long i = 0; i < b->started; i++)
        if (b->visits[i].step != STEP_OVER)
            end(b, &b->visits[i]);
    free(b->visits);
    free((void *)(uintptr_t)b->body.p);
    free((void *)(uintptr_t)b->body_and_group.p);
    samples_free(&b->sessions);
    samples_free(&b->transactions);
    SSL_CTX_free(b->tls);
    close(b->poll);
}

static void wait_for_end_of_input(void)
{
    char c;
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
}

static bool read_options(struct bench *b, int argc, char **argv)
{
    const struct word table[] = {
        {"--port", WORD_NUMBER, &b->port, "on 127.0.0.1"},
        {"--connections", WORD_NUMBER, &b->connections, "sessions in all"},
        {"--concurrency", WORD_NUMBER, &b->concurrency, "sessions at once"},
        {"--rate", WORD_NUMBER, &b->rate, "sessions a second, started on time (open loop)"},
        {"--messages", WORD_NUMBER, &b->messages, "in each session"},
        {"--size", WORD_NUMBER, &b->size, "bytes of a message"},
        {"--pipeline", WORD_FLAG, &b->pipeline, "content, MAIL, RCPT and DATA in one write"},
        {"--starttls", WORD_FLAG, &b->starttls, ""},
        {"--implicit", WORD_FLAG, &b->implicit, "TLS from the first byte"},
        {"--bots", WORD_FLAG, &b->bots, "EHLO and NOOP, then QUIT or nothing: never MAIL"},
        {"--recipient", WORD_TEXT, &b->recipient, "address"},
        {"--hold", WORD_TEXT, &b->hold, "ehlo or body: stay there until the input ends"},
        {"--save", WORD_TEXT, &b->save, "file for the sessions' latencies (uint32, microseconds)"},
        {"--seconds", WORD_NUMBER, &b->seconds, "give up after so long"},
        {NULL, WORD_FLAG, NULL, NULL},
    };
    if (!words_read(table, argc, argv))
        return false;
    if (b->port && b->port <= UINT16_MAX && b->connections && b->messages && b->size >= 2)
        return true;
    (void)fprintf(stderr, "%s: --port, --connections, --messages and --size must be set to something\n",
                  argv[0]);
    return false;
}

int main(int argc, char **argv)
{
    static struct bench b = {
        .connections = 1, .messages = 1, .size = 4096, .seconds = 60, .recipient = "sink@server.example"};
    if (!read_options(&b, argc, argv))
        return 2;
    if (!b.concurrency)
        b.concurrency = b.rate ? OPEN_MOST : 1;
    if (!prepare(&b)) {
        (void)fprintf(stderr, "bench_client: out of memory or descriptors\n");
        return 1;
    }
    begin_process(b.seconds + 60);
    uint64_t began = now_us();
    run(&b);
    print_result(&b, now_us() - began);
    if (b.hold)
        wait_for_end_of_input();
    bool saved = !b.save || samples_save(&b.sessions, b.save);
    bool good = saved && !b.failed;
    release(&b);
    return good ? 0 : 1;
}
