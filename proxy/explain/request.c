/* SPDX-License-Identifier: MIT */
/* The words behind `postern explain`, by a table. Owns nothing: texts stay argv's. Whoever is not named is an
 * address or a name from documentation (RFC 5737, RFC 2606). */
#include "explain/request.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>

struct reading {
    struct request *r;
    char *why;
};

struct word {
    const char *name;
    const char *argument; /* NULL: takes none */
    bool (*keep)(struct reading *g, const char *argument);
};

static bool wrong(struct reading *g, const char *what, const char *argument)
{
    (void)snprintf(g->why, REQUEST_WHY, "%s: %s", argument, what);
    return false;
}

static bool keep_config(struct reading *g, const char *argument)
{
    g->r->config = argument;
    return true;
}

static bool keep_policy(struct reading *g, const char *argument)
{
    g->r->policy = argument;
    return true;
}

static bool keep_listener(struct reading *g, const char *argument)
{
    g->r->listener = argument;
    return true;
}

static bool keep_helo(struct reading *g, const char *argument)
{
    g->r->helo = argument;
    return true;
}

static bool keep_user(struct reading *g, const char *argument)
{
    g->r->user = argument;
    return true;
}

static bool keep_json(struct reading *g, const char *argument)
{
    (void)argument;
    g->r->json = true;
    return true;
}

/* "local@domain", with its brackets or without. The path keeps to the argument: MAIL's own parser wants a
 * keyword in front, which is why this looks at the mailbox alone. */
static bool read_path(const char *argument, struct path *out)
{
    struct span s = span_trim(span_of(argument));
    if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
        s = span_head(span_skip(s, 1), s.n - 2);
    size_t at = s.n;
    while (at > 0 && s.p[at - 1] != '@')
        at--;
    *out = (struct path){.whole = s, .mailbox = s};
    if (s.n == 0)
        return true;
    out->local = span_head(s, at ? at - 1 : s.n);
    out->domain = at ? span_skip(s, at) : SPAN_NONE;
    for (size_t i = 0; i < s.n; i++)
        out->utf8 = out->utf8 || (unsigned char)s.p[i] > 127;
    return path_mailbox_ok(s);
}

static bool keep_from(struct reading *g, const char *argument)
{
    return read_path(argument, &g->r->from) ||
           wrong(g, "is no sender, such as a@example.org or <>", argument);
}

static bool keep_to(struct reading *g, const char *argument)
{
    struct request *r = g->r;
    if (r->to_n == REQUEST_RCPTS)
        return wrong(g, "is a recipient too many: 100 at most", argument);
    struct path *path = &r->to[r->to_n];
    if (!read_path(argument, path) || path->mailbox.n == 0)
        return wrong(g, "is no recipient, such as b@example.org", argument);
    r->to_n++;
    return true;
}

static bool keep_client(struct reading *g, const char *argument)
{
    static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    struct request *r = g->r;
    int family = AF_INET;
    r->ip_n = 4;
    if (inet_pton(AF_INET, argument, r->ip) != 1) {
        family = AF_INET6;
        r->ip_n = 16;
        if (inet_pton(AF_INET6, argument, r->ip) != 1)
            return wrong(g, "is no address, such as 192.0.2.1 or 2001:db8::1", argument);
        if (memcmp(r->ip, mapped, sizeof mapped) == 0) {
            family = AF_INET;
            r->ip_n = 4;
            memmove(r->ip, r->ip + 12, 4);
        }
    }
    return inet_ntop(family, r->ip, r->client, sizeof r->client) != NULL;
}

static const struct word words[] = {
    {"config", "FILE", keep_config}, {"policy", "NAME", keep_policy}, {"listener", "NAME", keep_listener},
    {"from", "ADDR", keep_from},     {"to", "ADDR", keep_to},         {"client", "IP", keep_client},
    {"helo", "NAME", keep_helo},     {"user", "NAME", keep_user},     {"json", NULL, keep_json},
};

static bool read_words(struct reading *g, int argc, char **argv)
{
    struct option options[COUNT_OF(words) + 1] = {{0}};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        options[i] =
            (struct option){words[i].name, words[i].argument ? required_argument : no_argument, NULL,
                            words[i].name[0] == 'c' && words[i].keep == keep_config ? 'c' : 256 + (int)i};
    optind = 1;
    for (int code; (code = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        size_t i = code == 'c' ? 0 : (size_t)(code - 256);
        if (code == '?' || i >= COUNT_OF(words) || !words[i].keep(g, optarg))
            return false;
    }
    return true;
}

static void set_defaults(struct reading *g)
{
    *g->r = (struct request){.helo = "client.example.org", .user = ""};
    (void)(keep_from(g, "sender@example.org") && keep_client(g, "192.0.2.1"));
}

static bool complain(struct reading *g, const char *what)
{
    (void)snprintf(g->why, REQUEST_WHY, "%s", what);
    return false;
}

bool request_read(int argc, char **argv, struct request *r, char why[REQUEST_WHY])
{
    struct reading g = {r, why};
    set_defaults(&g);
    why[0] = '\0';
    if (!read_words(&g, argc, argv))
        return false;
    if (r->to_n == 0 && !keep_to(&g, "recipient@example.org"))
        return false;
    if (optind + 1 < argc)
        return complain(&g, "explain takes one message");
    if (optind == argc)
        return complain(&g, "which message? explain FILE, or - for standard input");
    if (!r->config)
        return complain(&g, "which configuration? -c FILE is missing");
    if (r->policy && r->listener)
        return complain(&g, "--policy or --listener, not both");
    r->message = argv[optind];
    return true;
}
