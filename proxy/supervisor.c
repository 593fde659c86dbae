/* SPDX-License-Identifier: MIT */
/* The supervisor: one loop over its signals and the channels of its workers.
 *
 *   start:   check -> bind -> workers build -> they serve -> "ready"
 *   SIGHUP:  check -> bind -> workers build beside the old -> all said ok -> all commit -> "reload:
 * generation N" \        \          \__ one failed: abort to all
 *                  \________\____________ "reload: refused: why", and nothing has changed
 *   SIGTERM: sockets closed, workers drain, "stopped"; again, or SIGINT: at once
 *
 * It owns the newest generation and during a reload the next one; everything else belongs to the crew. */
#include "proxy/supervisor.h"

#include "base/clock.h"
#include "proxy/countlog.h"
#include "proxy/crew.h"
#include "proxy/descriptors.h"
#include "proxy/notify.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define POLL_MAX 1024

enum phase {
    PHASE_STARTING,
    PHASE_RUNNING,
    PHASE_PREPARING,  /* reload: workers build */
    PHASE_COMMITTING, /* reload: workers change over */
    PHASE_STOPPING
};

struct supervisor {
    const char *file;
    struct log *log;
    struct counters *counters;
    struct clients *clients;
    struct released *released;
    struct crew *crew;
    struct generation *current, *next;
    uint64_t last_number; /* of a generation that workers were ever offered */
    struct tls_ticket_keys tickets;
    uint64_t tickets_made_us;
    enum phase phase;
    bool reload_wanted, drained;
    int signals;
    int exit_code;
};

static void count(struct supervisor *s, const char *name)
{
    counters_add(s->counters, counters_find(s->counters, name), 1);
}

/* How the start went, also for whoever waits at the terminal while the log goes elsewhere. */
static void PRINTF_LIKE(3, 4)
    announce(const struct supervisor *s, enum log_level level, const char *format, ...)
{
    char text[1400];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    log_plain(s->log, level, "%s", text);
    if (log_fd(s->log) != STDERR_FILENO)
        (void)fprintf(stderr, "postern: %s\n", text);
}

/* ---- ticket keys ---- */

static bool make_tickets(struct tls_ticket_keys *t)
{
    return getrandom(t->key[0], TLS_TICKET_KEY, 0) == TLS_TICKET_KEY;
}

/* A new key for all workers at once; the one before is honoured for one more period. A reload keeps the keys:
 * whether an old session fits the new settings is the listener's to say (tls.h). */
static void change_tickets(struct supervisor *s)
{
    struct tls_ticket_keys next = {.previous = true};
    s->tickets_made_us = clock_mono_us();
    if (!make_tickets(&next)) {
        log_plain(s->log, LOG_AT_ERROR, "no random bytes: the keys of TLS session tickets stay");
        return;
    }
    memcpy(next.key[1], s->tickets.key[0], TLS_TICKET_KEY);
    s->tickets = next;
    crew_rekey(s->crew);
}

static uint64_t tickets_due_us(const struct supervisor *s)
{
    return s->tickets_made_us + s->current->check->conf->timeouts.tls_tickets;
}

/* ---- reload ---- */

static void reload_refused(struct supervisor *s, const char *why)
{
    log_plain(s->log, LOG_AT_ERROR, "reload: refused: %s", why);
    count(s, "daemon.reloads_refused");
    generation_free(&s->next);
    s->phase = PHASE_RUNNING;
}

static void log_diagnostic(void *ctx, const char *line)
{
    const struct supervisor *s = ctx;
    log_plain(s->log, LOG_AT_ERROR, "%s", line);
}

/* Only a start opens the log or chooses a user: a worker could do neither. */
static void warn_of_what_stays(const struct supervisor *s)
{
    const struct conf *now = s->current->check->conf, *next = s->next->check->conf;
    if (!span_eq(span_of(now->log_to), span_of(next->log_to)) || now->log_json != next->log_json ||
        now->log_level != next->log_level)
        log_plain(s->log, LOG_AT_WARN, "reload: changes under \"log\" wait for the next start");
    if (!span_eq(span_of(now->user), span_of(next->user)))
        log_plain(s->log, LOG_AT_WARN, "reload: a changed \"user\" holds for workers started from now on");
}

static void warn_of_few_descriptors(const struct supervisor *s, const struct generation *g)
{
    const struct conf *c = g->check->conf;
    size_t sessions = descriptors_sessions(c);
    if (sessions < c->limits.sessions)
        log_plain(
            s->log, LOG_AT_WARN,
            "limits.sessions is %u, but a limit of %zu open files is enough for %zu sessions of a worker",
            c->limits.sessions, descriptors_limit(), sessions);
}

static bool check_next(struct supervisor *s)
{
    struct diags diags = {0};
    struct generation_env env = {
        .log = s->log, .counters = s->counters, .older = s->current, .tickets = &s->tickets};
    s->next = generation_check(&env, s->file, s->last_number + 1, &diags);
    diag_print(&diags, log_diagnostic, s);
    size_t errors = diags.errors;
    diag_free(&diags);
    if (s->next)
        return true;
    char why[96];
    (void)snprintf(why, sizeof why, "the configuration has %zu error%s", errors, errors == 1 ? "" : "s");
    reload_refused(s, why);
    return false;
}

static void reload_begin(struct supervisor *s)
{
    char error[512];
    s->reload_wanted = false;
    if (!check_next(s))
        return;
    if (!generation_bind(s->next, s->current, error, sizeof error)) {
        reload_refused(s, error);
        return;
    }
    warn_of_what_stays(s);
    warn_of_few_descriptors(s, s->next);
    s->last_number = s->next->number;
    s->phase = PHASE_PREPARING;
    crew_offer(s->crew, s->next, &s->tickets);
}

static void reload_commit(struct supervisor *s)
{
    struct generation *old = s->current;
    s->current = s->next;
    s->next = NULL;
    s->phase = PHASE_COMMITTING;
    crew_commit(s->crew);
    if (!crew_set(s->crew, s->current->check->conf->workers, s->current, &s->tickets))
        log_plain(s->log, LOG_AT_ERROR, "no memory for more workers");
    generation_free(&old);
}

static void reload_done(struct supervisor *s)
{
    s->phase = PHASE_RUNNING;
    count(s, "daemon.reloads");
    log_plain(s->log, LOG_AT_INFO, "reload: generation %llu", (unsigned long long)s->current->number);
}

static void reload_abort(struct supervisor *s, const char *why)
{
    char text[1400];
    (void)snprintf(text, sizeof text, "%s", why); /* crew_abort forgets it */
    crew_abort(s->crew);
    reload_refused(s, text);
}

/* ---- the end ---- */

static void begin_stop(struct supervisor *s, bool at_once)
{
    if (s->phase == PHASE_PREPARING)
        reload_abort(s, "postern is stopping");
    if (s->phase != PHASE_STOPPING) {
        notify_manager("STOPPING=1");
        log_plain(s->log, LOG_AT_INFO, "stopping");
    }
    s->phase = PHASE_STOPPING;
    generation_unbind(s->current);
    if (at_once)
        crew_stop(s->crew);
    else
        crew_drain(s->crew);
}

static void start_failed(struct supervisor *s, const char *why)
{
    announce(s, LOG_AT_ERROR, "cannot start: %s", why);
    s->exit_code = EXIT_FAILED;
    begin_stop(s, true);
}

/* ---- signals ---- */

static void on_hup(struct supervisor *s)
{
    s->reload_wanted = true; /* done when nothing else is under way; several become one */
}

static void on_term(struct supervisor *s)
{
    bool again = s->drained;
    s->drained = true;
    begin_stop(s, again);
}

static void on_int(struct supervisor *s)
{
    begin_stop(s, true);
}

static void on_usr1(struct supervisor *s)
{
    if (!log_reopen(s->log))
        log_plain(s->log, LOG_AT_ERROR, "the log cannot be reopened: %s", strerror(errno));
    else
        crew_reopen_logs(s->crew);
}

static void on_usr2(struct supervisor *s)
{
    countlog_write(s->log, s->counters);
}

static void on_chld(struct supervisor *s)
{
    crew_reap(s->crew);
}

static const struct {
    int number;
    void (*handle)(struct supervisor *s);
} signals[] = {
    {SIGCHLD, on_chld}, {SIGHUP, on_hup},   {SIGTERM, on_term},
    {SIGINT, on_int},   {SIGUSR1, on_usr1}, {SIGUSR2, on_usr2},
};

/* Before anything else: a signal that comes during the start waits for its turn. */
static int catch_signals(void)
{
    const struct sigaction standard = {.sa_handler = SIG_DFL}, ignore = {.sa_handler = SIG_IGN};
    sigset_t all;
    (void)sigemptyset(&all);
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        (void)sigaddset(&all, signals[i].number);
        (void)sigaction(signals[i].number, &standard, NULL); /* nohup and shells leave some ignored */
    }
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGALRM, &ignore, NULL); /* nobody here sets an alarm */
    if (sigprocmask(SIG_BLOCK, &all, NULL) != 0)
        return -1;
    return signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void read_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info)
        for (size_t i = 0; i < COUNT_OF(signals); i++)
            if (signals[i].number == (int)info.ssi_signo)
                signals[i].handle(s);
}

/* ---- the loop ---- */

static bool all_serve(const struct supervisor *s)
{
    return crew_count(s->crew, CREW_SERVING) >= s->current->check->conf->workers;
}

static void go_on_starting(struct supervisor *s)
{
    const char *trouble = crew_trouble(s->crew);
    if (trouble) {
        start_failed(s, trouble);
    } else if (all_serve(s)) {
        s->phase = PHASE_RUNNING;
        announce(s, LOG_AT_INFO, "ready");
        notify_manager("READY=1");
    }
}

/* A worker that just starts would miss the next generation, and new keys; the start is short. */
static bool somebody_starts(const struct supervisor *s)
{
    return crew_count(s->crew, CREW_STARTING) || crew_count(s->crew, CREW_COMMITTED);
}

static void go_on_running(struct supervisor *s)
{
    if (somebody_starts(s))
        return;
    if (clock_mono_us() >= tickets_due_us(s))
        change_tickets(s);
    if (s->reload_wanted)
        reload_begin(s);
}

static void go_on_preparing(struct supervisor *s)
{
    const char *trouble = crew_trouble(s->crew);
    if (trouble)
        reload_abort(s, trouble);
    else if (!crew_count(s->crew, CREW_OFFERED))
        reload_commit(s);
}

static void go_on_committing(struct supervisor *s)
{
    if (!crew_count(s->crew, CREW_COMMITTED))
        reload_done(s);
}

static void go_on_stopping(struct supervisor *s)
{
    (void)s; /* the loop ends when the last worker is reaped */
}

static void go_on(struct supervisor *s)
{
    static void (*const steps[])(struct supervisor * s) = {
        [PHASE_STARTING] = go_on_starting,   [PHASE_RUNNING] = go_on_running,
        [PHASE_PREPARING] = go_on_preparing, [PHASE_COMMITTING] = go_on_committing,
        [PHASE_STOPPING] = go_on_stopping,
    };
    enum phase before;
    do {
        before = s->phase;
        steps[s->phase](s);
    } while (s->phase != before);
    crew_tick(s->crew);
}

/* Until the crew or the tickets want something; -1: until something happens. */
static int wait_ms(const struct supervisor *s)
{
    int crew = crew_wait_ms(s->crew);
    if (s->phase != PHASE_RUNNING || somebody_starts(s))
        return crew;
    uint64_t now = clock_mono_us(), due = tickets_due_us(s);
    int tickets = due <= now ? 0 : (int)((due - now) / US_PER_MS + 1); /* a day at most */
    return crew >= 0 && crew < tickets ? crew : tickets;
}

static void run(struct supervisor *s)
{
    struct pollfd fds[POLL_MAX];
    go_on(s);
    while (s->phase != PHASE_STOPPING || crew_alive(s->crew)) {
        fds[0] = (struct pollfd){.fd = s->signals, .events = POLLIN};
        size_t n = 1 + crew_poll(s->crew, fds + 1, POLL_MAX - 1);
        if (poll(fds, n, wait_ms(s)) < 0 && errno != EINTR)
            break;
        crew_read(s->crew); /* answers before deaths: the last word of a worker counts */
        read_signals(s);
        go_on(s);
    }
}

/* ---- start ---- */

static void print_diagnostic(void *ctx, const char *line)
{
    (void)ctx;
    (void)fprintf(stderr, "%s\n", line);
}

static int check_first(struct supervisor *s)
{
    struct diags diags = {0};
    struct generation_env env = {.counters = s->counters, .tickets = &s->tickets};
    s->last_number = 1;
    s->current = generation_check(&env, s->file, s->last_number, &diags);
    diag_print(&diags, print_diagnostic, NULL);
    diag_free(&diags);
    return s->current ? EXIT_GOOD : EXIT_CONFIG;
}

static int open_log(struct supervisor *s)
{
    const struct conf *c = s->current->check->conf;
    s->log = log_open(span_of(c->log_to), c->log_json ? LOG_JSON : LOG_LOGFMT, (enum log_level)c->log_level);
    if (s->log)
        return EXIT_GOOD;
    (void)fprintf(stderr, "postern: the log %s cannot be opened: %s\n", c->log_to, strerror(errno));
    return EXIT_FAILED;
}

static int bind_first(struct supervisor *s)
{
    char error[512];
    warn_of_few_descriptors(s, s->current);
    if (generation_bind(s->current, NULL, error, sizeof error))
        return EXIT_GOOD;
    announce(s, LOG_AT_ERROR, "cannot start: %s", error);
    return EXIT_FAILED;
}

static int gather_crew(struct supervisor *s)
{
    struct crew_env env = {.log = s->log,
                           .counters = s->counters,
                           .clients = s->clients,
                           .released = s->released,
                           .file = s->file};
    s->crew = crew_create(&env);
    if (s->crew && crew_set(s->crew, s->current->check->conf->workers, s->current, &s->tickets))
        return EXIT_GOOD;
    announce(s, LOG_AT_ERROR, "cannot start: no memory");
    return EXIT_FAILED;
}

static int set_up(struct supervisor *s)
{
    s->signals = catch_signals();
    s->counters = counters_create();
    s->clients = clients_create();
    s->released = released_create();
    s->tickets_made_us = clock_mono_us();
    privileges_raise_files();
    if (s->signals >= 0 && s->counters && s->clients && s->released && make_tickets(&s->tickets))
        return EXIT_GOOD;
    (void)fprintf(stderr, "postern: cannot start: no memory, no descriptors or no random bytes\n");
    return EXIT_FAILED;
}

static void tear_down(struct supervisor *s)
{
    crew_destroy(&s->crew);
    generation_free(&s->next);
    generation_free(&s->current);
    counters_destroy(&s->counters);
    clients_destroy(&s->clients);
    released_destroy(&s->released);
    log_close(&s->log);
    if (s->signals >= 0)
        (void)close(s->signals);
}

int supervisor_run(const char *file)
{
    static int (*const steps[])(struct supervisor * s) = {set_up, check_first, open_log, bind_first,
                                                          gather_crew};
    struct supervisor s = {.file = file, .signals = -1};
    for (size_t i = 0; i < COUNT_OF(steps) && s.exit_code == EXIT_GOOD; i++)
        s.exit_code = steps[i](&s);
    if (s.exit_code == EXIT_GOOD) {
        run(&s);
        countlog_write(s.log, s.counters);
        log_plain(s.log, LOG_AT_INFO, "stopped");
    }
    tear_down(&s);
    return s.exit_code;
}
