/* SPDX-License-Identifier: MIT */
/* The command: reads the words, builds the configuration as a check does (no loop, nothing bound), plays the
 * message and prints the account. What is made here goes before it returns. */
#include "explain/explain.h"

#include "explain/account.h"
#include "explain/play.h"
#include "proxy/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct command {
    struct request request;
    struct offline offline;
    struct facts facts;
    struct runtime *runtime;
    int message;
};

static int usage(const char *what)
{
    if (what && *what)
        (void)fprintf(stderr, "postern: %s\n", what);
    (void)fprintf(stderr, "usage:\n%s", EXPLAIN_USAGE);
    return EXIT_USAGE;
}

static int cannot_read(const struct command *c, const char *why)
{
    (void)fprintf(stderr, "postern: %s: the message cannot be read: %s\n", c->request.message, why);
    return EXIT_USAGE;
}

static bool open_message(struct command *c)
{
    const char *path = c->request.message;
    bool standard = path[0] == '-' && path[1] == '\0';
    c->message = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    return c->message >= 0;
}

/* ---- the configuration ---- */

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    (void)fprintf(stderr, "%s\n", line);
}

static bool build(struct command *c)
{
    struct diags diags = {0};
    struct conf_source *disk = conf_disk_source();
    struct runtime_env env = {.source = disk, .services = offline_services(&c->offline)};
    if (disk)
        c->runtime = runtime_build(&env, c->request.config, 1, &diags);
    else
        diag_add(&diags, DIAG_ERROR, c->request.config, 0, 0, "no memory");
    diag_print(&diags, print_line, NULL);
    diag_free(&diags);
    conf_disk_source_free(&disk); /* the build is over: nothing is read any more */
    return c->runtime != NULL;
}

/* ---- which policy ---- */

static const struct conf_listener *find_listener(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->listener_count; i++)
        if (span_eq(span_of(conf->listeners[i].name), span_of(name)))
            return &conf->listeners[i];
    return NULL;
}

static const struct conf_policy *find_policy(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->policy_count; i++)
        if (span_eq(span_of(conf->policies[i].name), span_of(name)))
            return &conf->policies[i];
    return NULL;
}

/* Where all listeners have one policy there is nothing to ask. */
static const struct conf_policy *only_policy(const struct conf *conf)
{
    const struct conf_policy *policy = conf->policy_count == 1 ? conf->policies : NULL;
    for (size_t i = 0; conf->policy_count > 1 && i < conf->listener_count; i++) {
        if (policy && policy != conf->listeners[i].policy)
            return NULL;
        policy = conf->listeners[i].policy;
    }
    return policy;
}

static void print_policies(const struct conf *conf)
{
    (void)fprintf(stderr, "policies:");
    for (size_t i = 0; i < conf->policy_count; i++)
        (void)fprintf(stderr, " %s", conf->policies[i].name);
    (void)fprintf(stderr, "\nlisteners:");
    for (size_t i = 0; i < conf->listener_count; i++)
        (void)fprintf(stderr, " %s", conf->listeners[i].name);
    (void)fprintf(stderr, "\n");
}

/* false: said on stderr. */
static bool choose(const struct command *c, struct play *p)
{
    const struct request *r = &c->request;
    const struct conf *conf = c->runtime->conf;
    const struct conf_listener *listener = r->listener ? find_listener(conf, r->listener) : NULL;
    if (r->policy)
        p->policy = find_policy(conf, r->policy);
    else if (r->listener)
        p->policy = listener ? listener->policy : NULL;
    else
        p->policy = only_policy(conf);
    for (size_t i = 0; p->policy && !listener && i < conf->listener_count; i++)
        if (conf->listeners[i].policy == p->policy)
            listener = &conf->listeners[i];
    p->listener = listener ? listener->name : "";
    if (p->policy)
        return true;
    (void)fprintf(stderr, "postern: %s\n",
                  r->policy     ? "there is no such policy"
                  : r->listener ? "there is no such listener, or it has no policy"
                                : "which policy? --policy NAME or --listener NAME");
    print_policies(conf);
    return false;
}

/* ---- the whole ---- */

static int print(const struct command *c)
{
    struct buf text = {0};
    const struct facts *f = &c->facts;
    bool made = c->request.json ? account_json(f, &c->request, &text) : account_text(f, &c->request, &text);
    struct span s = buf_span(&text);
    bool good = made && fwrite(s.p, 1, s.n, stdout) == s.n && fflush(stdout) == 0;
    if (!good)
        (void)fprintf(stderr, "postern: %s\n", made ? strerror(errno) : "no memory");
    buf_free(&text);
    return good && f->outcome == FACTS_ACCEPTED ? EXIT_GOOD : EXIT_FAILED;
}

static int play(struct command *c)
{
    struct play p = {
        .request = &c->request, .runtime = c->runtime, .offline = &c->offline, .message = c->message};
    if (!choose(c, &p))
        return EXIT_USAGE;
    runtime_start(c->runtime);
    const char *why = play_run(&p, &c->facts);
    return why ? cannot_read(c, why) : print(c);
}

int explain_main(int argc, char **argv)
{
    struct command c = {.message = -1};
    char why[REQUEST_WHY];
    int exit_code = EXIT_CONFIG;
    if (!request_read(argc, argv, &c.request, why))
        return usage(why);
    if (!open_message(&c))
        return cannot_read(&c, strerror(errno));
    const struct offline_watch watch = {&c.facts, facts_log, facts_hit, facts_answered};
    offline_begin(&c.offline, &watch);
    if (!facts_begin(&c.facts))
        exit_code = cannot_read(&c, "no memory");
    else if (build(&c))
        exit_code = play(&c);
    runtime_unref(&c.runtime);
    facts_end(&c.facts);
    offline_end(&c.offline);
    if (c.message > STDIN_FILENO)
        (void)close(c.message);
    return exit_code;
}
