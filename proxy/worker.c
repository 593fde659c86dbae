/* SPDX-License-Identifier: MIT */
/* A worker's life.
 *
 *   fork -> close what is not ours -> drop privileges -> loop
 *             channel: PREPARE -> struct next (beside the current) -> READY
 *                      COMMIT  -> current = next, watch its sockets -> SERVING
 *                      DRAIN   -> no more accepting, transactions finish, then the end
 *
 * There is no other way to get a configuration: the first generation comes like every later one. The worker
 * owns the next generation and holds a reference to the current one; sessions hold references to theirs. */
#include "proxy/worker.h"

#include "base/clock.h"
#include "net/listener.h"
#include "proxy/control.h"
#include "proxy/descriptors.h"
#include "proxy/relay.h"
#include "proxy/worker_generation.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINGER_US ((uint64_t)US_PER_MS * 100) /* for last words that are still on their way out */
#define KILL_US   ((uint64_t)US_PER_S * 5)    /* how long sessions that were killed may take to end */

struct worker;

struct door { /* one listening socket */
    struct worker *worker;
    struct listener *watch;
    struct next_listener at;
};

struct worker {
    const struct worker_env *env;
    struct loop *loop;
    struct resolver *resolver;
    struct relays *relays;
    struct spool_budget budget;
    char *spool_dir; /* the budget's */
    struct runtime *current;
    struct next next;
    struct door *doors;
    size_t door_n;
    ev_io channel;
    struct control_message message;
    struct loop_timer drain, leave;
    bool draining;
    int exit_code;
};

/* ---- the end ---- */

static void close_doors(struct worker *w)
{
    for (size_t i = 0; i < w->door_n; i++) {
        listener_destroy(&w->doors[i].watch);
        (void)close(w->doors[i].at.fd);
        free(w->doors[i].at.name);
    }
    free(w->doors);
    w->doors = NULL;
    w->door_n = 0;
}

/* Runtimes are freed at the end of this loop turn, while the resolver is still there. */
static void leave_now(void *arg)
{
    struct worker *w = arg;
    relays_destroy(&w->relays);
    next_drop(&w->next);
    runtime_unref(&w->current);
    loop_stop(w->loop);
}

static void leave_within(struct worker *w, uint64_t us)
{
    loop_timer_start(w->loop, &w->leave, us, leave_now, w);
}

static void sessions_changed(void *ctx, size_t sessions)
{
    struct worker *w = ctx;
    if (w->draining && sessions == 0)
        leave_within(w, LINGER_US);
}

static void begin_end(struct worker *w)
{
    w->draining = true;
    close_doors(w);
    next_drop(&w->next);
}

static void kill_sessions(void *arg)
{
    struct worker *w = arg;
    loop_timer_stop(&w->drain);
    leave_within(w, KILL_US);
    relays_kill(w->relays);
    if (relays_count(w->relays) == 0)
        leave_within(w, LINGER_US);
}

/* Transactions under way may finish, for as long as the configuration allows. */
static void on_drain(struct worker *w)
{
    if (w->draining)
        return;
    begin_end(w);
    if (w->current)
        loop_timer_start(w->loop, &w->drain, w->current->conf->timeouts.drain, kill_sessions, w);
    relays_drain(w->relays);
    if (relays_count(w->relays) == 0)
        leave_within(w, LINGER_US);
}

static void on_stop(struct worker *w)
{
    begin_end(w);
    kill_sessions(w);
}

/* ---- generations ---- */

static void answer(struct worker *w, enum control_kind kind, uint64_t generation, struct span text)
{
    if (control_send(w->env->channel, kind, generation, text, NULL, 0))
        return;
    log_plain(w->env->log, LOG_AT_ERROR, "worker %u cannot talk to the supervisor: %s", w->env->number,
              strerror(errno));
    w->exit_code = 1;
    on_stop(w);
}

static void on_prepare(struct worker *w)
{
    char error[1024];
    struct next_env env = {.loop = w->loop,
                           .resolver = w->resolver,
                           .log = w->env->log,
                           .counters = w->env->counters,
                           .file = w->env->file};
    next_drop(&w->next);
    if (next_build(&w->next, &env, &w->message, error, sizeof error))
        answer(w, CONTROL_READY, w->message.generation, SPAN_NONE);
    else
        answer(w, CONTROL_FAILED, w->message.generation, span_of(error));
}

static void on_client(void *ctx, int fd)
{
    const struct door *d = ctx;
    relays_accept(d->worker->relays, d->at.name, fd);
}

/* The sockets come with every generation, also those that were there before: the old descriptors are closed,
 * and what waits in a socket's queue stays there because it is one socket. */
static bool open_doors(struct worker *w)
{
    close_doors(w);
    w->doors = calloc(w->next.listener_n + 1, sizeof *w->doors);
    if (!w->doors)
        return false;
    for (size_t i = 0; i < w->next.listener_n; i++) {
        struct door *d = &w->doors[w->door_n++];
        d->worker = w;
        d->at = w->next.listeners[i];
        w->next.listeners[i] = (struct next_listener){.fd = -1};
        d->watch = listener_watch(w->loop, d->at.fd, on_client, d);
        if (!d->watch)
            return false;
    }
    return true;
}

static void take_patience(struct worker *w, const struct conf *c)
{
    *loop_patience(w->loop) =
        (struct loop_patience){.close_us = c->timeouts.close, .silent_us = c->timeouts.silent_peer};
}

static bool take_budget(struct worker *w, const struct conf *c)
{
    char *dir = strdup(c->state_dir);
    if (!dir)
        return false;
    free(w->spool_dir);
    w->spool_dir = dir;
    w->budget.dir = dir;
    w->budget.memory_max = c->limits.bodies_memory;
    w->budget.disk_max = c->limits.bodies_disk;
    return true;
}

static void limit_sessions(struct worker *w, const struct conf *c)
{
    size_t room = descriptors_sessions(c);
    relays_limit(w->relays, room < c->limits.sessions ? room : c->limits.sessions);
}

static void on_commit(struct worker *w)
{
    if (!w->next.runtime || w->next.runtime->generation != w->message.generation)
        return;
    take_patience(w, w->next.runtime->conf);
    if (!take_budget(w, w->next.runtime->conf) || !open_doors(w)) {
        log_plain(w->env->log, LOG_AT_ERROR, "worker %u: no memory to take generation %llu", w->env->number,
                  (unsigned long long)w->message.generation);
        w->exit_code = 1;
        on_stop(w);
        return;
    }
    struct runtime *old = w->current;
    w->current = w->next.runtime;
    w->next.runtime = NULL;
    next_drop(&w->next);
    limit_sessions(w, w->current->conf);
    runtime_start(w->current);
    runtime_unref(&old);
    answer(w, CONTROL_SERVING, w->message.generation, SPAN_NONE);
}

static void on_abort(struct worker *w)
{
    next_drop(&w->next);
}

/* The supervisor has opened the file anew: a worker may not have the right to. */
static void on_reopen(struct worker *w)
{
    if (w->message.fd_n == 1 && dup3(w->message.fds[0], log_fd(w->env->log), O_CLOEXEC) < 0)
        log_plain(w->env->log, LOG_AT_ERROR, "worker %u: the log cannot be reopened: %s", w->env->number,
                  strerror(errno));
}

/* Between two generations; one that is being built would bring keys of its own. */
static void on_tickets(struct worker *w)
{
    struct tls_ticket_keys keys;
    if (w->current && tickets_read(&keys, w->message.payload))
        runtime_rekey(w->current, &keys);
}

/* ---- the channel ---- */

static void handle(struct worker *w)
{
    static void (*const handlers[CONTROL_KINDS])(struct worker * w) = {
        [CONTROL_PREPARE] = on_prepare, [CONTROL_COMMIT] = on_commit, [CONTROL_ABORT] = on_abort,
        [CONTROL_REOPEN] = on_reopen,   [CONTROL_DRAIN] = on_drain,   [CONTROL_STOP] = on_stop,
        [CONTROL_TICKETS] = on_tickets,
    };
    bool ending_already = w->draining && w->message.kind != CONTROL_STOP && w->message.kind != CONTROL_REOPEN;
    if (handlers[w->message.kind] && !ending_already)
        handlers[w->message.kind](w);
    control_close_fds(&w->message); /* those that nobody took */
}

/* Strangers can use up our descriptors. That costs the reload, not the sessions. */
static void on_no_room(struct worker *w)
{
    if (w->message.kind == CONTROL_PREPARE && !w->draining)
        answer(w, CONTROL_FAILED, w->message.generation, SPAN_LIT("out of file descriptors"));
    else if (w->message.kind == CONTROL_REOPEN)
        log_plain(w->env->log, LOG_AT_ERROR, "worker %u: the log cannot be reopened: out of file descriptors",
                  w->env->number);
}

static void on_channel(struct ev_loop *ev, ev_io *io, int revents)
{
    struct worker *w = io->data;
    (void)revents;
    for (;;) {
        enum control_result r = control_receive(w->env->channel, &w->message);
        if (r == CONTROL_NOTHING)
            return;
        if (r == CONTROL_OK) {
            handle(w);
            continue;
        }
        if (r == CONTROL_NO_ROOM) {
            on_no_room(w);
            continue;
        }
        ev_io_stop(ev, io); /* nobody is there to tell us anything any more */
        w->exit_code = 1;
        on_stop(w);
        return;
    }
}

/* ---- the start ---- */

/* Signals come to the supervisor, which tells us; those of a terminal go to the whole group. */
static void settle_signals(void)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM};
    const struct sigaction ignore = {.sa_handler = SIG_IGN}, standard = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        (void)sigaction(ignored[i], &ignore, NULL);
    (void)sigaction(SIGCHLD, &standard, NULL);
    (void)sigaction(SIGQUIT, &standard,
                    NULL); /* shells leave it ignored in what they put in the background */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* All descriptors of the supervisor but the channel, the log and the standard ones: among them the channels
 * of other workers, which must not stay open here. */
static void close_inherited(int channel, int log)
{
    unsigned keep[2] = {(unsigned)channel, (unsigned)channel};
    unsigned from = STDERR_FILENO + 1;
    if (log > STDERR_FILENO)
        keep[log < channel ? 0 : 1] = (unsigned)log;
    for (size_t i = 0; i < COUNT_OF(keep); i++) {
        if (keep[i] > from)
            (void)close_range(from, keep[i] - 1, 0);
        if (keep[i] >= from)
            from = keep[i] + 1;
    }
    (void)close_range(from, ~0u, 0);
}

static bool set_up(struct worker *w)
{
    w->loop = loop_create();
    w->resolver = w->loop ? resolver_create(w->loop) : NULL;
    if (!w->resolver)
        return false;
    struct relays_env env = {.loop = w->loop,
                             .log = w->env->log,
                             .counters = w->env->counters,
                             .released = w->env->released,
                             .clients = w->env->clients,
                             .budget = &w->budget,
                             .current = &w->current,
                             .worker = w->env->number,
                             .changed = sessions_changed,
                             .ctx = w};
    w->relays = relays_create(&env);
    if (!w->relays)
        return false;
    ev_io_init(&w->channel, on_channel, w->env->channel, EV_READ);
    w->channel.data = w;
    ev_io_start(loop_ev(w->loop), &w->channel);
    return true;
}

static void tear_down(struct worker *w)
{
    if (w->loop)
        ev_io_stop(loop_ev(w->loop), &w->channel);
    loop_timer_stop(&w->drain);
    loop_timer_stop(&w->leave);
    close_doors(w);
    relays_destroy(&w->relays);
    resolver_destroy(&w->resolver);
    loop_destroy(&w->loop);
    free(w->spool_dir);
}

int worker_run(const struct worker_env *env)
{
    char error[256];
    struct worker *w = calloc(1, sizeof *w);
    int exit_code = 1;
    settle_signals();
    close_inherited(env->channel, log_fd(env->log));
    if (!w || !privileges_drop(&env->identity, env->supervisor, error, sizeof error)) {
        log_plain(env->log, LOG_AT_ERROR, "worker %u cannot start: %s", env->number, w ? error : "no memory");
        goto out;
    }
    w->env = env;
    if (!set_up(w)) {
        log_plain(env->log, LOG_AT_ERROR, "worker %u cannot start: no memory, no poller or no resolver",
                  env->number);
        tear_down(w);
        goto out;
    }
    loop_run(w->loop);
    tear_down(w);
    exit_code = w->exit_code;
out:
    free(w);
    return exit_code;
}
