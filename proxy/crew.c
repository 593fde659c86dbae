/* SPDX-License-Identifier: MIT */
/* Workers: one slot each, in a list owned by the crew. A slot lives until its process is reaped and no other
 * shall take its place; numbers are small and never shared by two live workers, since session ids carry them.
 */
#include "proxy/crew.h"

#include "base/clock.h"
#include "proxy/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_US      (60 * (uint64_t)US_PER_S) /* to build a generation, to take it */
#define LEAVE_US       (10 * (uint64_t)US_PER_S) /* to end when nothing keeps it any more */
#define BACKOFF_MIN_US (100 * (uint64_t)US_PER_MS)
#define BACKOFF_MAX_US (5 * (uint64_t)US_PER_S)
#define SHORT_LIFE_US  (1 * (uint64_t)US_PER_S) /* who dies younger than this is started again more slowly */

struct slot {
    struct slot *next;
    uint32_t number;
    enum crew_state state;
    pid_t pid;   /* 0: none */
    int channel; /* -1: none */
    uint64_t started_us, deadline_us, restart_us, backoff_us;
};

struct crew {
    struct crew_env env;
    struct slot *slots;
    size_t wanted;
    const struct generation *current;
    const struct tls_ticket_keys *tickets;
    uint64_t offered; /* the number of the generation of this round */
    bool ending;
    char trouble[1200];
    struct control_message message;
};

struct crew *crew_create(const struct crew_env *env)
{
    struct crew *c = calloc(1, sizeof *c);
    if (c)
        c->env = *env;
    return c;
}

/* ---- slots ---- */

static void set_state(struct slot *s, enum crew_state state)
{
    static const bool owes_answer[CREW_STATES] = {
        [CREW_STARTING] = true, [CREW_OFFERED] = true, [CREW_COMMITTED] = true};
    s->state = state;
    s->deadline_us = owes_answer[state] ? clock_mono_us() + ANSWER_US : 0;
}

static void close_channel(struct slot *s)
{
    if (s->channel >= 0)
        (void)close(s->channel);
    s->channel = -1;
}

static uint32_t free_number(const struct crew *c)
{
    for (uint32_t number = 1;; number++) {
        const struct slot *s = c->slots;
        while (s && s->number != number)
            s = s->next;
        if (!s)
            return number;
    }
}

static bool slot_add(struct crew *c)
{
    struct slot *s = calloc(1, sizeof *s);
    if (!s)
        return false;
    s->number = free_number(c);
    s->channel = -1;
    s->next = c->slots;
    c->slots = s;
    return true;
}

static void slot_remove(struct crew *c, struct slot *gone)
{
    struct slot **at = &c->slots;
    while (*at && *at != gone)
        at = &(*at)->next;
    if (*at)
        *at = gone->next;
    close_channel(gone);
    free(gone);
}

static void PRINTF_LIKE(2, 3) note_trouble(struct crew *c, const char *format, ...)
{
    va_list ap;
    if (c->trouble[0])
        return; /* the first one explains the others */
    va_start(ap, format);
    (void)vsnprintf(c->trouble, sizeof c->trouble, format, ap);
    va_end(ap);
}

const char *crew_trouble(const struct crew *c)
{
    return c->trouble[0] ? c->trouble : NULL;
}

size_t crew_count(const struct crew *c, enum crew_state state)
{
    size_t n = 0;
    for (const struct slot *s = c->slots; s; s = s->next)
        n += s->state == state;
    return n;
}

size_t crew_alive(const struct crew *c)
{
    size_t n = 0;
    for (const struct slot *s = c->slots; s; s = s->next)
        n += s->pid != 0;
    return n;
}

/* ---- talking ---- */

/* A worker that does not read its channel hangs: it can neither be served nor be asked. */
static bool tell(struct crew *c, struct slot *s, enum control_kind kind, uint64_t generation,
                 struct span payload, const int *fds, size_t fd_n)
{
    if (control_send(s->channel, kind, generation, payload, fds, fd_n))
        return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        log_plain(c->env.log, LOG_AT_ERROR, "worker %" PRIu32 " hangs and is killed", s->number);
        (void)kill(s->pid, SIGKILL);
    }
    return false;
}

static void tell_short(struct crew *c, struct slot *s, enum control_kind kind, uint64_t generation)
{
    (void)!tell(c, s, kind, generation, SPAN_NONE, NULL, 0); /* whoever is dead already is reaped */
}

/* Who cannot be told is dying: SIGCHLD will say so, and its successor gets what is current then. */
static void offer_to(struct crew *c, struct slot *s, const struct generation *g,
                     const struct tls_ticket_keys *tickets)
{
    struct buf payload = {0};
    int fds[CONTROL_FDS_MAX];
    size_t fd_n = 0;
    if (!generation_offer(g, tickets, &payload, fds, &fd_n))
        note_trouble(c, "worker %" PRIu32 ": no memory for its message", s->number);
    else if (!tell(c, s, CONTROL_PREPARE, g->number, buf_span(&payload), fds, fd_n))
        close_channel(s);
    buf_free(&payload);
}

/* ---- starting ---- */

static void run_worker(const struct crew *c, const struct slot *s, int channel, pid_t supervisor)
{
    struct worker_env env = {.number = s->number,
                             .channel = channel,
                             .file = c->env.file,
                             .log = c->env.log,
                             .counters = c->env.counters,
                             .clients = c->env.clients,
                             .released = c->env.released,
                             .identity = c->current->workers,
                             .supervisor = supervisor};
    exit(worker_run(&env));
}

/* At once, unless it died young: then later and later, so that a worker that cannot live costs little. */
static void start_later(struct slot *s)
{
    uint64_t now = clock_mono_us();
    if (now - s->started_us >= SHORT_LIFE_US)
        s->backoff_us = 0;
    else
        s->backoff_us = s->backoff_us ? s->backoff_us * 2 : BACKOFF_MIN_US;
    if (s->backoff_us > BACKOFF_MAX_US)
        s->backoff_us = BACKOFF_MAX_US;
    s->restart_us = now + s->backoff_us;
    set_state(s, CREW_DOWN);
}

static void start(struct crew *c, struct slot *s)
{
    int pair[2];
    pid_t supervisor = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        log_plain(c->env.log, LOG_AT_ERROR, "worker %" PRIu32 " cannot be started: %s", s->number,
                  strerror(errno));
        start_later(s);
        return;
    }
    s->started_us = clock_mono_us();
    s->pid = fork();
    if (s->pid == 0)
        run_worker(c, s, pair[1], supervisor);
    (void)close(pair[1]);
    if (s->pid < 0) {
        log_plain(c->env.log, LOG_AT_ERROR, "worker %" PRIu32 " cannot be started: %s", s->number,
                  strerror(errno));
        (void)close(pair[0]);
        s->pid = 0;
        start_later(s);
        return;
    }
    s->channel = pair[0];
    set_state(s, CREW_STARTING);
    offer_to(c, s, c->current, c->tickets);
}

/* Not while a round is on: whoever is started then would miss it. */
static bool round_is_on(const struct crew *c)
{
    return crew_count(c, CREW_OFFERED) || crew_count(c, CREW_PREPARED);
}

static void leave(struct crew *c, struct slot *s, enum control_kind how)
{
    if (s->state == CREW_STARTING)
        how = CONTROL_STOP; /* who has not taken a generation yet has no session */
    uint64_t drain = how == CONTROL_DRAIN ? c->current->check->conf->timeouts.drain : 0;
    tell_short(c, s, how, 0);
    set_state(s, CREW_LEAVING);
    s->deadline_us = clock_mono_us() + drain + LEAVE_US;
}

static size_t staying(const struct crew *c)
{
    size_t all = 0;
    for (const struct slot *s = c->slots; s; s = s->next)
        all += s->state != CREW_LEAVING;
    return all;
}

static void dismiss(struct crew *c, size_t surplus)
{
    struct slot *next;
    for (struct slot *s = c->slots; s && surplus; s = next) {
        next = s->next;
        if (s->state == CREW_LEAVING)
            continue;
        surplus--;
        if (s->state == CREW_DOWN)
            slot_remove(c, s);
        else
            leave(c, s, CONTROL_DRAIN);
    }
}

bool crew_set(struct crew *c, size_t workers, const struct generation *g,
              const struct tls_ticket_keys *tickets)
{
    c->current = g;
    c->tickets = tickets;
    c->wanted = workers;
    for (size_t n = staying(c); n < workers; n++)
        if (!slot_add(c))
            return false;
    size_t now = staying(c);
    if (now > workers)
        dismiss(c, now - workers);
    return true;
}

/* ---- a round ---- */

void crew_offer(struct crew *c, const struct generation *g, const struct tls_ticket_keys *tickets)
{
    c->trouble[0] = '\0';
    c->offered = g->number;
    for (struct slot *s = c->slots; s; s = s->next) {
        if (s->state != CREW_SERVING || s->channel < 0)
            continue;
        offer_to(c, s, g, tickets);
        if (s->channel >= 0)
            set_state(s, CREW_OFFERED);
    }
}

static void end_round(struct crew *c, enum control_kind kind, enum crew_state then)
{
    for (struct slot *s = c->slots; s; s = s->next) {
        if (s->state != CREW_OFFERED && s->state != CREW_PREPARED)
            continue;
        tell_short(c, s, kind, c->offered);
        set_state(s, then);
    }
    c->trouble[0] = '\0';
}

void crew_commit(struct crew *c)
{
    end_round(c, CONTROL_COMMIT, CREW_COMMITTED);
}

/* A worker that is still building answers for a generation that nobody wants; see on_answer. */
void crew_abort(struct crew *c)
{
    end_round(c, CONTROL_ABORT, CREW_SERVING);
}

/* ---- answers ---- */

static void on_ready(struct crew *c, struct slot *s)
{
    if (s->state == CREW_OFFERED && c->message.generation == c->offered) {
        set_state(s, CREW_PREPARED);
    } else if (s->state == CREW_STARTING) {
        tell_short(c, s, CONTROL_COMMIT, c->message.generation);
        set_state(s, CREW_COMMITTED);
    }
}

static void on_failed(struct crew *c, struct slot *s)
{
    struct span why = c->message.payload;
    if (s->state != CREW_STARTING && c->message.generation != c->offered)
        return; /* of a round that is over: it must not spoil this one */
    note_trouble(c, "worker %" PRIu32 ": %.*s", s->number, SPAN_FMT(why));
    if (s->state == CREW_STARTING) {
        log_plain(c->env.log, LOG_AT_ERROR, "worker %" PRIu32 " cannot start: %.*s", s->number,
                  SPAN_FMT(why));
        (void)kill(s->pid, SIGKILL);
    } else if (s->state == CREW_OFFERED && c->message.generation == c->offered) {
        set_state(s, CREW_PREPARED); /* it has answered; the round is lost */
    }
}

static void on_serving(struct crew *c, struct slot *s)
{
    (void)c;
    if (s->state == CREW_COMMITTED)
        set_state(s, CREW_SERVING);
}

static void on_answer(struct crew *c, struct slot *s)
{
    static void (*const handlers[CONTROL_KINDS])(struct crew * c, struct slot * s) = {
        [CONTROL_READY] = on_ready, [CONTROL_FAILED] = on_failed, [CONTROL_SERVING] = on_serving};
    if (handlers[c->message.kind])
        handlers[c->message.kind](c, s);
    control_close_fds(&c->message);
}

void crew_read(struct crew *c)
{
    for (struct slot *s = c->slots; s; s = s->next) {
        enum control_result r = CONTROL_NOTHING;
        while (s->channel >= 0 && (r = control_receive(s->channel, &c->message)) == CONTROL_OK)
            on_answer(c, s);
        if (r == CONTROL_CLOSED || r == CONTROL_BROKEN)
            close_channel(s); /* it is dying; SIGCHLD says how */
        if (r == CONTROL_BROKEN && s->pid)
            (void)kill(s->pid, SIGKILL);
    }
}

/* ---- deaths ---- */

static void log_death(struct crew *c, const struct slot *s, int status, bool expected)
{
    struct log_record r;
    log_begin(&r, c->env.log, expected ? LOG_AT_DEBUG : LOG_AT_ERROR, "worker_ended");
    log_int(&r, "worker", s->number);
    log_int(&r, "pid", s->pid);
    if (WIFSIGNALED(status))
        log_int(&r, "signal", WTERMSIG(status));
    else
        log_int(&r, "exit", WEXITSTATUS(status));
    log_end(&r);
}

/* What it had released may be at the upstream or not, and its client will send it again. */
static void log_unknown(void *arg, const struct released_message *m)
{
    struct crew *c = arg;
    struct log_record r;
    log_begin(&r, c->env.log, LOG_AT_WARN, "transaction");
    log_str(&r, "sid", m->sid);
    log_str(&r, "client", m->client);
    log_str(&r, "from", m->from);
    log_str(&r, "to", m->to);
    log_cstr(&r, "verdict", "unknown");
    log_cstr(&r, "stage", "upstream");
    log_cstr(&r, "note", "the worker died before the mail server's reply was passed on");
    log_end(&r);
}

static void on_death(struct crew *c, struct slot *s, int status)
{
    bool expected = s->state == CREW_LEAVING && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    bool leaving = s->state == CREW_LEAVING || c->ending;
    log_death(c, s, status, expected);
    clients_worker_gone(c->env.clients, s->number);
    released_of_the_dead(c->env.released, s->number, log_unknown, c);
    if (!leaving)
        counters_add(c->env.counters, counters_find(c->env.counters, "daemon.workers_died"), 1);
    if (s->state == CREW_STARTING || s->state == CREW_OFFERED || s->state == CREW_PREPARED)
        note_trouble(c, "worker %" PRIu32 " ended while it built the configuration", s->number);
    s->pid = 0;
    close_channel(s);
    if (leaving)
        slot_remove(c, s);
    else
        start_later(s);
}

void crew_reap(struct crew *c)
{
    struct slot *next;
    for (struct slot *s = c->slots; s; s = next) {
        int status = 0;
        next = s->next;
        if (s->pid && waitpid(s->pid, &status, WNOHANG) == s->pid)
            on_death(c, s, status);
    }
}

/* ---- time ---- */

static void kill_overdue(struct crew *c, struct slot *s, uint64_t now)
{
    if (!s->deadline_us || now < s->deadline_us)
        return;
    log_plain(c->env.log, LOG_AT_ERROR, "worker %" PRIu32 " does not answer and is killed", s->number);
    if (s->state != CREW_LEAVING)
        note_trouble(c, "worker %" PRIu32 " does not answer", s->number);
    s->deadline_us = 0;
    (void)kill(s->pid, SIGKILL);
}

void crew_tick(struct crew *c)
{
    uint64_t now = clock_mono_us();
    bool may_start = !c->ending && c->current && !round_is_on(c);
    for (struct slot *s = c->slots; s; s = s->next) {
        kill_overdue(c, s, now);
        if (may_start && s->state == CREW_DOWN && now >= s->restart_us)
            start(c, s);
    }
}

int crew_wait_ms(const struct crew *c)
{
    uint64_t now = clock_mono_us(), at = UINT64_MAX;
    for (const struct slot *s = c->slots; s; s = s->next) {
        if (s->deadline_us && s->deadline_us < at)
            at = s->deadline_us;
        if (s->state == CREW_DOWN && !c->ending && !round_is_on(c) && s->restart_us < at)
            at = s->restart_us;
    }
    if (at == UINT64_MAX)
        return -1;
    return at <= now ? 0 : (int)((at - now) / US_PER_MS + 1);
}

size_t crew_poll(const struct crew *c, struct pollfd *out, size_t room)
{
    size_t n = 0;
    for (const struct slot *s = c->slots; s && n < room; s = s->next)
        if (s->channel >= 0)
            out[n++] = (struct pollfd){.fd = s->channel, .events = POLLIN};
    return n;
}

/* ---- the end ---- */

static void all_leave(struct crew *c, enum control_kind how)
{
    struct slot *next;
    c->ending = true;
    for (struct slot *s = c->slots; s; s = next) {
        next = s->next;
        if (s->state == CREW_DOWN)
            slot_remove(c, s);
        else
            leave(c, s, how);
    }
}

void crew_drain(struct crew *c)
{
    all_leave(c, CONTROL_DRAIN);
}

void crew_stop(struct crew *c)
{
    all_leave(c, CONTROL_STOP);
}

void crew_kill(struct crew *c)
{
    for (const struct slot *s = c->slots; s; s = s->next)
        if (s->pid)
            (void)kill(s->pid, SIGKILL);
}

void crew_reopen_logs(struct crew *c)
{
    int fd = log_fd(c->env.log);
    for (struct slot *s = c->slots; s; s = s->next)
        if (s->channel >= 0)
            (void)!tell(c, s, CONTROL_REOPEN, 0, SPAN_NONE, &fd, 1);
}

void crew_destroy(struct crew **cp)
{
    struct crew *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    crew_kill(c);
    while (c->slots) {
        struct slot *s = c->slots;
        if (s->pid)
            (void)waitpid(s->pid, NULL, 0);
        slot_remove(c, s);
    }
    free(c);
}

void crew_rekey(struct crew *c)
{
    for (struct slot *s = c->slots; s; s = s->next)
        if (s->state == CREW_SERVING && s->channel >= 0)
            (void)!tell(c, s, CONTROL_TICKETS, 0, tickets_payload(c->tickets), NULL, 0);
}
