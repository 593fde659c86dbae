/* SPDX-License-Identifier: MIT */
/* A mail server that takes everything and keeps nothing, as fast as one process can.
 *
 *   listener -> peer: bytes -> lines -> replies, all of one read in one write
 *                            `-> content, skipped to the final dot
 *
 * It prints its port, and with each SIGUSR1 what it has counted. A peer is freed when its connection ends. */
#include "link.h"
#include "words.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024, REPLIES = 64 * 1024, READ_SIZE = 1024 * 1024, EVENTS = 256 };

enum peer_state { PEER_HANDSHAKE, PEER_COMMANDS, PEER_CONTENT };

struct peer {
    struct link link;
    enum peer_state state;
    bool greeted, leaving, secure_next;
    uint64_t recent; /* the last five bytes of the content */
    size_t line_n;
    char line[LINE_MAX_BYTES];
};

struct sink {
    SSL_CTX *tls;
    bool implicit;
    int poll, listener, signals;
    unsigned long connections, handshakes, messages, bytes;
    size_t replies_n;
    char replies[REPLIES], input[READ_SIZE];
};

/* ---- replies ---- */

static bool send_replies(struct sink *s, struct peer *p)
{
    size_t at = 0, sent = 0;
    while (at < s->replies_n) {
        if (link_write(&p->link, s->replies + at, s->replies_n - at, &sent) != LINK_DONE)
            return false; /* a client that lets this much lie is of no use here */
        at += sent;
    }
    s->replies_n = 0;
    return true;
}

static bool reply(struct sink *s, struct peer *p, const char *text)
{
    size_t n = strlen(text);
    if (n > REPLIES - s->replies_n && !send_replies(s, p))
        return false;
    memcpy(s->replies + s->replies_n, text, n);
    s->replies_n += n;
    return true;
}

/* ---- commands ---- */

static bool on_ehlo(struct sink *s, struct peer *p)
{
    bool offer = s->tls && !p->link.ssl;
    return reply(s, p,
                 "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 1073741824\r\n250-8BITMIME\r\n"
                 "250-ENHANCEDSTATUSCODES\r\n") &&
           (!offer || reply(s, p, "250-STARTTLS\r\n")) && reply(s, p, "250 SMTPUTF8\r\n");
}

static bool on_data(struct sink *s, struct peer *p)
{
    p->state = PEER_CONTENT;
    p->recent = '\r' << 8 | '\n';
    return reply(s, p, "354 go ahead\r\n");
}

static bool on_starttls(struct sink *s, struct peer *p)
{
    if (!s->tls || p->link.ssl)
        return reply(s, p, "503 5.5.1 no\r\n");
    p->secure_next = true;
    return reply(s, p, "220 2.0.0 go ahead\r\n");
}

static bool on_quit(struct sink *s, struct peer *p)
{
    p->leaving = true;
    return reply(s, p, "221 2.0.0 bye\r\n");
}

static bool on_any(struct sink *s, struct peer *p)
{
    return reply(s, p, "250 2.0.0 ok\r\n");
}

static const struct verb {
    const char *name;
    bool (*answer)(struct sink *s, struct peer *p);
} verbs[] = {
    {"EHLO", on_ehlo}, {"HELO", on_any}, {"MAIL", on_any},  {"RCPT", on_any},      {"DATA", on_data},
    {"RSET", on_any},  {"NOOP", on_any}, {"QUIT", on_quit}, {"STAR", on_starttls},
};

static bool on_line(struct sink *s, struct peer *p, const char *line, size_t n)
{
    for (size_t i = 0; n >= 4 && i < sizeof(verbs) / sizeof(*verbs); i++)
        if (strncasecmp(line, verbs[i].name, 4) == 0)
            return verbs[i].answer(s, p);
    return reply(s, p, "500 5.5.2 what?\r\n");
}

/* Takes one line, or what there is of it; 0: the line is too long. */
static size_t take_line(struct sink *s, struct peer *p, const char *in, size_t n, bool *good_r)
{
    const char *end = memchr(in, '\n', n);
    size_t take = end ? (size_t)(end - in) + 1 : n;
    *good_r = p->line_n + take <= LINE_MAX_BYTES;
    if (!*good_r)
        return 0;
    if (end && !p->line_n) {
        *good_r = on_line(s, p, in, take);
        return take;
    }
    memcpy(p->line + p->line_n, in, take);
    p->line_n += take;
    if (end) {
        *good_r = on_line(s, p, p->line, p->line_n);
        p->line_n = 0;
    }
    return take;
}

/* ---- content ---- */

static const char final_dot[] = "\r\n.\r\n";
enum { FINAL_DOT = 5 };

static bool remember(struct peer *p, char c)
{
    p->recent = (p->recent << 8 | (unsigned char)c) & 0xffffffffff;
    return p->recent == 0x0d0a2e0d0a;
}

/* How much of `in` belongs to the content; all of it, or up to the final dot. */
static size_t content_length(struct peer *p, const char *in, size_t n, bool *ended_r)
{
    size_t i = 0;
    *ended_r = true;
    for (; i < n && i < FINAL_DOT - 1; i++)
        if (remember(p, in[i]))
            return i + 1;
    const char *found = memmem(in, n, final_dot, FINAL_DOT);
    if (found)
        return (size_t)(found - in) + FINAL_DOT;
    *ended_r = false;
    for (i = n - i > FINAL_DOT ? n - FINAL_DOT : i; i < n; i++)
        (void)remember(p, in[i]);
    return n;
}

static size_t take_content(struct sink *s, struct peer *p, const char *in, size_t n, bool *good_r)
{
    bool ended;
    size_t take = content_length(p, in, n, &ended);
    s->bytes += take;
    *good_r = true;
    if (ended) {
        p->state = PEER_COMMANDS;
        s->messages++;
        *good_r = reply(s, p, "250 2.0.0 taken\r\n");
    }
    return take;
}

static bool feed(struct sink *s, struct peer *p, const char *in, size_t n)
{
    bool good = true;
    while (n && good && !p->secure_next) {
        size_t took =
            p->state == PEER_CONTENT ? take_content(s, p, in, n, &good) : take_line(s, p, in, n, &good);
        in += took;
        n -= took;
    }
    return good && send_replies(s, p) && !p->leaving;
}

/* ---- connections ---- */

static bool greet(struct sink *s, struct peer *p)
{
    p->state = PEER_COMMANDS;
    if (p->greeted)
        return true;
    p->greeted = true;
    return reply(s, p, "220 sink.example ESMTP\r\n") && send_replies(s, p);
}

static bool shake_hands(struct sink *s, struct peer *p)
{
    enum link_result r = link_handshake(&p->link);
    if (r == LINK_CLOSED)
        return false;
    if (r != LINK_DONE)
        return true;
    s->handshakes++;
    return greet(s, p);
}

static bool secure(struct sink *s, struct peer *p)
{
    p->secure_next = false;
    p->state = PEER_HANDSHAKE;
    return link_secure(&p->link, s->tls, true);
}

static bool read_peer(struct sink *s, struct peer *p)
{
    size_t got;
    do {
        enum link_result r = link_read(&p->link, s->input, READ_SIZE, &got);
        if (r != LINK_DONE)
            return r == LINK_WANTS_READ;
        if (!feed(s, p, s->input, got))
            return false;
    } while (link_pending(&p->link));
    return !p->secure_next || secure(s, p);
}

static void drop(struct sink *s, struct peer *p)
{
    s->replies_n = 0;
    link_close(&p->link);
    free(p);
}

static void on_peer(struct sink *s, struct peer *p)
{
    bool good = p->state == PEER_HANDSHAKE ? shake_hands(s, p) : true;
    if (good && p->state != PEER_HANDSHAKE)
        good = read_peer(s, p);
    if (!good)
        drop(s, p);
}

static void accept_peer(struct sink *s)
{
    struct peer *p = calloc(1, sizeof(*p));
    if (!p)
        return;
    if (!link_accept(&p->link, s->listener)) {
        free(p);
        return;
    }
    s->connections++;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    bool good = epoll_ctl(s->poll, EPOLL_CTL_ADD, p->link.fd, &e) == 0;
    if (good)
        good = s->implicit ? secure(s, p) : greet(s, p);
    if (!good)
        drop(s, p);
}

/* ---- the process ---- */

static bool on_signal(struct sink *s)
{
    struct signalfd_siginfo info;
    if (read(s->signals, &info, sizeof(info)) != sizeof(info))
        return true;
    if (info.ssi_signo != SIGUSR1)
        return false;
    printf("{\"connections\": %lu, \"handshakes\": %lu, \"messages\": %lu, \"bytes\": %lu}\n", s->connections,
           s->handshakes, s->messages, s->bytes);
    return fflush(stdout) == 0;
}

static bool turn(struct sink *s)
{
    struct epoll_event e[EVENTS];
    int n = epoll_wait(s->poll, e, EVENTS, -1);
    if (n < 0)
        return errno == EINTR;
    for (int i = 0; i < n; i++) {
        if (e[i].data.ptr == &s->signals) {
            if (!on_signal(s))
                return false;
        } else if (e[i].data.ptr == &s->listener) {
            accept_peer(s);
        } else {
            on_peer(s, e[i].data.ptr);
        }
    }
    return true;
}

static bool watch(struct sink *s, int fd, void *tag)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = tag};
    return fd >= 0 && epoll_ctl(s->poll, EPOLL_CTL_ADD, fd, &e) == 0;
}

static bool begin(struct sink *s)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC);
    s->poll = epoll_create1(EPOLL_CLOEXEC);
    s->listener = link_listen(0);
    if (!watch(s, s->signals, &s->signals) || !watch(s, s->listener, &s->listener)) {
        (void)fprintf(stderr, "bench_sink: cannot listen: %s\n", strerror(errno));
        return false;
    }
    printf("%u\n", link_port(s->listener));
    return fflush(stdout) == 0;
}

int main(int argc, char **argv)
{
    static struct sink s;
    const char *certificate = NULL, *key = NULL;
    unsigned long seconds = 600;
    const struct word table[] = {
        {"--certificate", WORD_TEXT, &certificate, "PEM file: offer STARTTLS"},
        {"--key", WORD_TEXT, &key, "PEM file"},
        {"--implicit", WORD_FLAG, &s.implicit, "TLS from the first byte"},
        {"--seconds", WORD_NUMBER, &seconds, "end after so long"},
        {NULL, WORD_FLAG, NULL, NULL},
    };
    if (!words_read(table, argc, argv))
        return 2;
    if (certificate && key && !(s.tls = link_tls_server(certificate, key))) {
        (void)fprintf(stderr, "bench_sink: cannot use %s and %s\n", certificate, key);
        return 1;
    }
    begin_process(seconds);
    if (!begin(&s))
        return 1;
    while (turn(&s))
        ;
    SSL_CTX_free(s.tls);
    return 0;
}
