/* SPDX-License-Identifier: MIT */
/* The command line: what is asked for, and the exit code. Everything else is the supervisor's (supervisor.c)
 * or a check of the configuration that starts nothing. */
#include "explain/explain.h"
#include "filters/loader.h"
#include "probe/probe.h"
#include "proxy/generation.h"
#include "proxy/privileges.h"
#include "proxy/schema_out.h"
#include "proxy/supervisor.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct request {
    const char *file;
    const char *target, *tls; /* of --probe */
    bool json;
    int (*action)(const struct request *r);
};

struct option_row {
    char letter; /* '\0': the word alone */
    const char *word;
    const char *argument;                                  /* NULL: takes none */
    int (*action)(const struct request *r);                /* NULL: the option only adds to another one */
    void (*keep)(struct request *r, const char *argument); /* NULL: nothing to remember */
    const char *help;
};

static int run_daemon(const struct request *r);
static int run_check(const struct request *r);
static int run_dump(const struct request *r);
static int run_schema(const struct request *r);
static int run_version(const struct request *r);
static int run_probe(const struct request *r);
static int run_help(const struct request *r);
static void keep_file(struct request *r, const char *argument);
static void keep_target(struct request *r, const char *argument);
static void keep_tls(struct request *r, const char *argument);
static void keep_json(struct request *r, const char *argument);

static const struct option_row rows[] = {
    {'c', "config", "FILE", NULL, keep_file,
     "the configuration; without another option, run with it in the foreground"},
    {'t', "check", NULL, run_check, NULL, "check the configuration and end; nothing is bound or connected"},
    {'T', "dump", NULL, run_dump, NULL, "show the configuration in force, defaults included, and end"},
    {'S', "schema", NULL, run_schema, NULL, "show the JSON Schema of configurations and end"},
    {'\0', "probe", "HOST[:PORT]", run_probe, keep_target,
     "ask a mail server what it offers, and show what to write where"},
    {'\0', "tls", "MODE", NULL, keep_tls, "with --probe: none, starttls (default where offered) or implicit"},
    {'\0', "json", NULL, NULL, keep_json, "with --probe: the same for programs"},
    {'v', "version", NULL, run_version, NULL, "show the version and end"},
    {'h', "help", NULL, run_help, NULL, "show this and end"},
};

/* ---- what can be asked for ---- */

static int run_daemon(const struct request *r)
{
    return supervisor_run(r->file);
}

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    (void)fprintf(stderr, "%s\n", line);
}

/* The whole check that a start makes, up to the sockets. NULL: the errors are on stderr. */
static struct generation *check(const char *file)
{
    struct diags diags = {0};
    struct tls_ticket_keys tickets = {0}; /* encrypts nothing: no connection will be made */
    struct generation_env env = {.tickets = &tickets};
    struct generation *g = generation_check(&env, file, 1, &diags);
    diag_print(&diags, print_line, NULL);
    diag_free(&diags);
    return g;
}

static int run_check(const struct request *r)
{
    struct generation *g = check(r->file);
    int exit_code = g ? EXIT_GOOD : EXIT_CONFIG;
    generation_free(&g);
    return exit_code;
}

static int put_out(struct buf *text, bool made)
{
    struct span s = buf_span(text);
    bool good = made && fwrite(s.p, 1, s.n, stdout) == s.n && fflush(stdout) == 0;
    if (!good)
        (void)fprintf(stderr, "postern: %s\n", made ? strerror(errno) : "no memory");
    buf_free(text);
    return good ? EXIT_GOOD : EXIT_FAILED;
}

static int usage(const char *what);

static int run_probe(const struct request *r)
{
    struct probe_request probe = {.json = r->json};
    struct buf text = {0};
    const char *error = NULL;
    if (!probe_target(r->target, &probe, &error)) {
        (void)fprintf(stderr, "postern: --probe %s\n", error);
        return usage(NULL);
    }
    if (r->tls && !probe_tls_word(r->tls, &probe.tls))
        return usage("--tls takes none, starttls or implicit");
    bool reached = probe_run(&probe, &text);
    int exit_code = put_out(&text, buf_len(&text) > 0);
    return exit_code == EXIT_GOOD && !reached ? EXIT_FAILED : exit_code;
}

static int run_dump(const struct request *r)
{
    struct buf text = {0};
    struct generation *g = check(r->file);
    if (!g)
        return EXIT_CONFIG;
    int exit_code = put_out(&text, conf_dump(g->check->conf, &text));
    generation_free(&g);
    return exit_code;
}

static int run_schema(const struct request *r)
{
    struct buf text = {0};
    (void)r;
    return put_out(&text, schema_out(&text));
}

static int run_version(const struct request *r)
{
    (void)r;
    struct buf text = {0};
    return put_out(&text, buf_printf(&text, "postern %s\n", POSTERN_VERSION));
}

#define USAGE                                                                                                \
    "usage: postern -c FILE [-t | -T]\n"                                                                     \
    "       postern --probe HOST[:PORT] [--tls none|starttls|implicit] [--json]\n" EXPLAIN_USAGE             \
    "       postern --schema | --version | --help\n"

static bool help_text(struct buf *text)
{
    bool good = buf_printf(text, USAGE "\n");
    for (size_t i = 0; good && i < COUNT_OF(rows); i++) {
        const struct option_row *o = &rows[i];
        char left[64], letter[] = {'-', o->letter, ',', ' ', '\0'};
        (void)snprintf(left, sizeof left, "%s--%s%s%s", o->letter ? letter : "    ", o->word,
                       o->argument ? " " : "", o->argument ? o->argument : "");
        good = buf_printf(text, "  %-25s %s\n", left, o->help);
    }
    return good &&
           buf_printf(text, "\nExit codes: 0 good, 1 failed, 2 usage, 78 the configuration has errors.\n");
}

static int run_help(const struct request *r)
{
    (void)r;
    struct buf text = {0};
    return put_out(&text, help_text(&text));
}

/* ---- the command line ---- */

/* `what` NULL: getopt has said it. */
static int usage(const char *what)
{
    if (what)
        (void)fprintf(stderr, "postern: %s\n", what);
    (void)fprintf(stderr, USAGE);
    return EXIT_USAGE;
}

static void keep_file(struct request *r, const char *argument)
{
    r->file = argument;
}

static void keep_target(struct request *r, const char *argument)
{
    r->target = argument;
}

static void keep_tls(struct request *r, const char *argument)
{
    r->tls = argument;
}

static void keep_json(struct request *r, const char *argument)
{
    (void)argument;
    r->json = true;
}

/* What getopt_long returns for a row: past all letters, and so also for a row without one. */
enum { ROW_CODE = 256 };

/* getopt's own tables, made from ours. */
static void fill_getopt(char letters[2 * COUNT_OF(rows) + 1], struct option words[COUNT_OF(rows) + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].letter)
            letters[n++] = rows[i].letter;
        if (rows[i].letter && rows[i].argument)
            letters[n++] = ':';
        words[i] = (struct option){rows[i].word, rows[i].argument ? required_argument : no_argument, NULL,
                                   ROW_CODE + (int)i};
    }
    letters[n] = '\0';
    words[COUNT_OF(rows)] = (struct option){0};
}

static const struct option_row *row_of(int code)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (code == ROW_CODE + (int)i || (rows[i].letter && rows[i].letter == code))
            return &rows[i];
    return NULL;
}

/* false: getopt has said why. */
static bool parse(int argc, char **argv, struct request *r)
{
    char letters[2 * COUNT_OF(rows) + 1];
    struct option words[COUNT_OF(rows) + 1];
    fill_getopt(letters, words);
    for (int code; (code = getopt_long(argc, argv, letters, words, NULL)) != -1;) {
        const struct option_row *row = row_of(code);
        if (!row)
            return false;
        if (row->keep)
            row->keep(r, optarg);
        if (row->action)
            r->action = row->action;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct request r = {.action = run_daemon};
    char error[200] = "";
    (void)signal(SIGPIPE, SIG_IGN);
    if (!privileges_no_core(error, sizeof(error))) {
        (void)fprintf(stderr, "postern: cannot start: %s\n", error);
        return EXIT_FAILURE;
    }
    if (argc > 1 && span_eq(span_of(argv[1]), SPAN_LIT("explain")))
        return explain_main(argc - 1, argv + 1);
    if (!parse(argc, argv, &r))
        return usage(NULL);
    if (optind < argc)
        return usage("there is an argument too many");
    bool needs_file = r.action == run_daemon || r.action == run_check || r.action == run_dump;
    if ((r.tls || r.json) && r.action != run_probe)
        return usage("--tls and --json go with --probe");
    if (needs_file && !r.file)
        return usage("which configuration? -c FILE is missing");
    return r.action(&r);
}
