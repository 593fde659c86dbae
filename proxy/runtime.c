/* SPDX-License-Identifier: MIT */
/* Building a runtime, and its life.
 *
 *   conf_load -> certificates -> upstreams -> filters -> policies (chains) -> listeners
 *       |             |              |           |                              |
 *       +-------------+------ every error into the diagnostics ----------------+
 *
 * A step that fails does not stop the others, so that one run tells everything. In the supervisor the same
 * function only checks: it has no loop, so nothing connects and no filter is started.
 *
 * A runtime lives while somebody holds a reference: the process (the newest), and sessions. */
#include "proxy/runtime.h"

#include "filters/loader.h"
#include "proxy/runtime_host.h"

#include <stdio.h>

#define ARENA_MAX  ((size_t)64 * 1024 * 1024)
#define ERROR_TEXT 512

struct runtime_life {         /* behind the public struct */
    struct runtime_host host; /* first: runtime->host points here */
    struct loop *loop;        /* NULL: a check */
    struct loop_deferred last;
    void (*released)(void *ctx);
    void *released_ctx;
};

struct build {
    const struct runtime_env *env;
    struct runtime *r;
    struct runtime_host *host;
    struct diags *diags;
    struct tls_pair *pairs; /* by certificate; a span without bytes: it was refused */
    char error[ERROR_TEXT];
};

static struct runtime_life *life_of(const struct runtime *r)
{
    return (struct runtime_life *)(void *)r->host;
}

static void PRINTF_LIKE(3, 4) wrong(struct build *b, const struct postern_node *at, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    diag_vadd(b->diags, DIAG_ERROR, at ? at->file : b->host->file, at ? at->line : 0, at ? at->column : 0,
              format, ap);
    va_end(ap);
}

static void no_memory(struct build *b)
{
    wrong(b, NULL, "no memory to build this configuration");
}

/* ---- files that are named in the configuration ---- */

static const struct postern_node *member(const struct postern_node *block, const char *name)
{
    for (const struct postern_node *n = block ? block->first : NULL; n; n = n->next)
        if (span_eq(span_make(n->name.p, n->name.n), span_of(name)))
            return n;
    return block;
}

static bool read_at(struct build *b, const struct postern_node *at, const char *path, struct span *bytes_r)
{
    const char *error = "unknown error";
    if (b->env->source->read(b->env->source->ctx, path, bytes_r, &error) == 0)
        return true;
    wrong(b, at, "%s: %s", path, error);
    return false;
}

/* A worker has no access to files, and a filter names the CA of a stream only when it opens it. So every
 * option called tls_ca is read now: a missing file is an error of the configuration, and the bundle has its
 * bytes. */
static void read_stream_cas(struct build *b, const struct postern_node *node)
{
    struct span name = span_make(node->name.p, node->name.n);
    struct span text = span_make(node->text.p, node->text.n);
    if (node->kind == POSTERN_NODE_SCALAR && text.n && span_eq(name, SPAN_LIT("tls_ca"))) {
        const char *path = conf_path(b->host->arena, b->host->file, text);
        struct span bytes;
        if (!path)
            no_memory(b);
        else
            (void)!read_at(b, node, path, &bytes);
    }
    for (const struct postern_node *n = node->first; n; n = n->next)
        read_stream_cas(b, n);
}

/* ---- certificates ---- */

static void check_certificate(struct build *b, const struct conf_certificate *c, struct tls_pair *pair)
{
    bool warning = false;
    pair->name = c->name;
    bool certificate = read_at(b, member(c->at, "certificate"), c->certificate, &pair->certificate);
    bool key = read_at(b, member(c->at, "key"), c->key, &pair->key);
    if (!certificate || !key) {
        *pair = (struct tls_pair){0};
        return;
    }
    if (!tls_pair_check(pair, b->error, sizeof b->error, &warning)) {
        wrong(b, c->at, "%s", b->error);
        *pair = (struct tls_pair){0};
    } else if (warning) {
        diag_add(b->diags, DIAG_WARNING, c->at->file, c->at->line, c->at->column, "%s", b->error);
    }
}

static void build_certificates(struct build *b)
{
    const struct conf *conf = b->r->conf;
    b->pairs = arena_alloc(b->host->arena, (conf->certificate_count + 1) * sizeof *b->pairs);
    if (!b->pairs) {
        no_memory(b);
        return;
    }
    for (size_t i = 0; i < conf->certificate_count; i++)
        check_certificate(b, &conf->certificates[i], &b->pairs[i]);
}

/* ---- upstreams ---- */

static const enum tls_floor floors[] = {[CONF_TLS_12] = TLS_FLOOR_12, [CONF_TLS_13] = TLS_FLOOR_13};

/* NULL: refused or unread, which is told already. */
static const struct tls_pair *pair_of(const struct build *b, const struct conf_certificate *c)
{
    const struct tls_pair *pair = b->pairs ? &b->pairs[c - b->r->conf->certificates] : NULL;
    return pair && pair->name ? pair : NULL;
}

/* `judge`: whatever comes out, the handshake goes on; for who shows copies of what servers show. */
static struct tls_client *upstream_tls(struct build *b, const struct conf_upstream *conf, bool judge)
{
    struct tls_client_options o = {.verify = conf->verify,
                                   .judge = judge && !conf->verify,
                                   .ca_name = conf->verify_ca,
                                   .pins = (const unsigned char(*)[TLS_PIN])conf->pins,
                                   .pin_n = conf->pin_count,
                                   .floor = floors[conf->tls_min]};
    if (conf->verify_ca && !read_at(b, member(conf->at, "verify"), conf->verify_ca, &o.ca))
        return NULL;
    if (conf->certificate && !(o.pair = pair_of(b, conf->certificate)))
        return NULL;
    struct tls_client *tls = tls_client_create(&o, b->error, sizeof b->error);
    if (!tls)
        wrong(b, member(conf->at, "verify"), "upstream \"%s\": %s", conf->name, b->error);
    return tls;
}

static struct upstream_env upstream_env_of(const struct build *b)
{
    struct upstream_env env = b->env->upstream;
    env.hostname = b->r->conf->hostname;
    env.reply_lines = b->r->conf->limits.reply_lines;
    env.reply_bytes = b->r->conf->limits.reply_bytes;
    return env;
}

static void build_upstreams(struct build *b)
{
    const struct conf *conf = b->r->conf;
    struct upstream_env env = upstream_env_of(b);
    for (size_t i = 0; i < conf->upstream_count; i++) {
        struct runtime_upstream *u = &b->r->upstreams[i];
        const struct conf_upstream *c = &conf->upstreams[i];
        if (c->tls != CONF_UP_NONE)
            u->tls = upstream_tls(b, c, false);
        if (!env.loop || (c->tls != CONF_UP_NONE && !u->tls))
            continue;
        u->set = upstream_create(&env, c, &conf->timeouts, u->tls);
        if (!u->set)
            no_memory(b);
    }
}

/* ---- filters and policies ---- */

static void build_filter(struct build *b, const struct conf_filter *c, struct filter_instance **out_r)
{
    static const enum filter_on_error on_error[] = {[CONF_ON_ERROR_TEMPFAIL] = FILTER_ON_ERROR_TEMPFAIL,
                                                    [CONF_ON_ERROR_ACCEPT] = FILTER_ON_ERROR_ACCEPT,
                                                    [CONF_ON_ERROR_REJECT] = FILTER_ON_ERROR_REJECT};
    const struct postern_filter *plugin =
        loader_open(b->r->conf->plugins_path, span_of(c->plugin), b->error, sizeof b->error);
    if (!plugin) {
        wrong(b, member(c->at, "plugin"), "%s", b->error);
        return;
    }
    if (c->block)
        read_stream_cas(b, c->block);
    struct filter_settings settings = {.name = c->name,
                                       .shadow = c->shadow,
                                       .on_error = on_error[c->on_error],
                                       .deadline_us = c->deadline_us,
                                       .block = c->block};
    size_t before = b->diags->errors;
    *out_r = filter_instance_create(plugin, &settings, &b->r->services);
    if (!*out_r && b->diags->errors == before)
        wrong(b, c->at, "filter \"%s\" could not be made, and does not say why", c->name);
}

static void build_filters(struct build *b)
{
    const struct conf *conf = b->r->conf;
    for (size_t i = 0; i < conf->filter_count; i++)
        build_filter(b, &conf->filters[i], &b->r->filters[i]);
}

static void build_policy(struct build *b, const struct conf_policy *policy, struct chain **out_r)
{
    struct filter_instance **in_order =
        arena_alloc(b->host->arena, (policy->filter_count + 1) * sizeof(struct filter_instance *));
    if (!in_order) {
        no_memory(b);
        return;
    }
    for (size_t i = 0; i < policy->filter_count; i++) {
        in_order[i] = b->r->filters[policy->filters[i] - b->r->conf->filters];
        if (!in_order[i])
            return; /* its error is told already */
    }
    *out_r = chain_create(in_order, policy->filter_count);
    if (!*out_r)
        no_memory(b);
}

static void build_policies(struct build *b)
{
    const struct conf *conf = b->r->conf;
    for (size_t i = 0; i < conf->policy_count; i++)
        build_policy(b, &conf->policies[i], &b->r->chains[i]);
}

/* ---- listeners ---- */

static struct tls_server *listener_tls(struct build *b, const struct conf_listener *c)
{
    static const enum tls_ask asks[] = {[CONF_ASK_NONE] = TLS_ASK_NOTHING,
                                        [CONF_ASK_REQUEST] = TLS_ASK_REQUEST,
                                        [CONF_ASK_REQUIRE] = TLS_ASK_REQUIRE};
    struct tls_pair *pairs = arena_alloc(b->host->arena, (c->certificate_count + 1) * sizeof *pairs);
    struct tls_server_options o = {.pairs = pairs,
                                   .pair_n = c->mint ? 0 : c->certificate_count,
                                   .context = span_of(c->name),
                                   .keys = &b->env->tickets,
                                   .floor = floors[c->tls_min],
                                   .ask = asks[c->client_certificate],
                                   .client_ca_name = c->client_ca};
    if (!pairs)
        return NULL;
    if (c->mint && !(o.mint = pair_of(b, c->mint)))
        return NULL;
    for (size_t i = 0; i < o.pair_n; i++) {
        const struct tls_pair *pair = pair_of(b, c->certificates[i]);
        if (!pair)
            return NULL;
        pairs[i] = *pair;
    }
    if (c->client_ca && o.ask != TLS_ASK_NOTHING &&
        !read_at(b, member(c->at, "client_ca"), c->client_ca, &o.client_ca))
        return NULL;
    struct tls_server *tls = tls_server_create(&o, b->error, sizeof b->error);
    if (!tls)
        wrong(b, c->at, "listener \"%s\": %s", c->name, b->error);
    return tls;
}

static struct session_limits limits_of(const struct conf *c)
{
    return (struct session_limits){
        .message_bytes = c->limits.message_bytes,
        .body_memory = c->limits.body_memory,
        .hold = c->limits.hold,
        .local_part = c->limits.local_part,
        .recipients = c->limits.recipients,
        .command_line = c->limits.command_line,
        .auth_line = c->limits.auth_line,
        .errors = c->limits.errors,
        .junk_commands = c->limits.junk_commands,
        .header_bytes = c->limits.header_bytes,
        .transactions = c->limits.transactions,
        .commands = c->limits.commands,
        .pipelined = c->limits.pipelined,
        .line_flood = c->limits.line_flood,
        .data_rate = c->limits.data_rate,
        .hops = c->limits.hops,
        .greeting_us = c->timeouts.greeting,
        .command_us = c->timeouts.command,
        .content_us = c->timeouts.content,
        .upstream_idle_us = c->timeouts.upstream_idle,
    };
}

static const enum session_query queries[] = {[CONF_QUERY_REFUSE] = SESSION_QUERY_REFUSE,
                                             [CONF_QUERY_RELAY] = SESSION_QUERY_RELAY,
                                             [CONF_QUERY_ANSWER] = SESSION_QUERY_ANSWER};

/* A PROXY header goes with the connection: the session has nothing to say of it. */
static enum session_identity identity_of(const struct conf_listener *c)
{
    static const enum session_identity identities[] = {
        [CONF_IDENTITY_AUTO] = SESSION_IDENTITY_AUTO,
        [CONF_IDENTITY_NONE] = SESSION_IDENTITY_NONE,
        [CONF_IDENTITY_XCLIENT] = SESSION_IDENTITY_XCLIENT,
        [CONF_IDENTITY_XFORWARD] = SESSION_IDENTITY_XFORWARD,
        [CONF_IDENTITY_PROXY_V1] = SESSION_IDENTITY_CONNECTION,
        [CONF_IDENTITY_PROXY_V2] = SESSION_IDENTITY_CONNECTION,
        [CONF_IDENTITY_TPROXY] = SESSION_IDENTITY_CONNECTION,
    };
    return c->upstream ? identities[c->upstream->identity] : SESSION_IDENTITY_NONE;
}

static struct session_policy policy_of(struct runtime *r, const struct conf_listener *c)
{
    return (struct session_policy){
        .owner = r,
        .generation = r->generation,
        .listener = c->name,
        .hostname = r->conf->hostname,
        .chain = r->chains[c->policy - r->conf->policies],
        .services = &r->services,
        .limits = limits_of(r->conf),
        .offer_starttls = c->tls != CONF_TLS_NONE && c->tls != CONF_TLS_IMPLICIT,
        .mirror_tls = c->tls == CONF_TLS_MIRROR,
        .pass_tls = c->tls == CONF_TLS_PASS,
        .require_tls = c->tls == CONF_TLS_REQUIRED,
        .identity = identity_of(c),
        .offer_chunking = c->chunking,
        .auth_needs_tls = c->auth_needs_tls,
        .enforce_sync = c->enforce_sync,
        .lenient_sync = c->lenient_sync,
        .normalize_newlines = c->bare_newline == CONF_BARE_NORMALIZE,
        .normalize_for = c->normalize_newlines,
        .trust_xclient = c->trust_xclient,
        .vrfy = queries[c->vrfy],
        .expn = queries[c->expn],
        .etrn = queries[c->etrn],
        .eager = c->upstream && c->upstream->connect == CONF_EAGER,
    };
}

/* Nothing is known of an intercepted server before a client wants to go there: it is connected to at once,
 * and it greets the client itself. */
static void build_interception(struct build *b, struct runtime_listener *l)
{
    const struct conf_listener *c = l->conf;
    struct upstream_env env = upstream_env_of(b);
    l->toward = destination_settings(c);
    if (c->upstream && !c->mint)
        l->toward_tls = tls_client_ref(b->r->upstreams[c->upstream - b->r->conf->upstreams].tls);
    else
        l->toward_tls = upstream_tls(b, &l->toward, c->mint != NULL);
    l->intercepted = policy_of(b->r, c);
    l->intercepted.eager = l->intercepted.relay_greeting = true;
    if (!env.loop || (l->toward.tls != CONF_UP_NONE && !l->toward_tls))
        return;
    l->destinations = destinations_create(&env, &l->toward, &b->r->conf->timeouts, l->toward_tls);
    if (!l->destinations)
        no_memory(b);
}

/* The supervisor may be root; it is the worker that connects. */
static void check_borrowing(struct build *b, const struct conf_listener *c)
{
    if (b->env->upstream.loop && conf_source_is_client(c, true) && !origin_may_be_borrowed())
        wrong(
            b, c->at,
            "listener '%s' sends from its clients' own addresses, for which postern must be started as root "
            "(or with CAP_NET_RAW) and with a configuration that says so: a reload cannot add it",
            c->name);
}

static void build_listeners(struct build *b)
{
    const struct conf *conf = b->r->conf;
    for (size_t i = 0; i < conf->listener_count; i++) {
        const struct conf_listener *c = &conf->listeners[i];
        struct runtime_listener *l = &b->r->listeners[i];
        l->conf = c;
        l->tls = c->tls == CONF_TLS_NONE || c->tls == CONF_TLS_PASS ? NULL : listener_tls(b, c);
        l->upstream = c->upstream ? b->r->upstreams[c->upstream - conf->upstreams].set : NULL;
        l->policy = policy_of(b->r, c);
        if (c->mint || c->tls == CONF_TLS_PASS) /* that is between clients and the servers that they mean */
            l->policy.offer_starttls = false;
        check_borrowing(b, c);
        if (c->intercept)
            build_interception(b, l);
    }
}

/* ---- the build ---- */

/* conf_plugins: the option table of a plugin, and why there is none. */
static const struct postern_option *plugin_options(void *ctx, const char *plugins_path, struct span plugin,
                                                   const char **error_r)
{
    static const struct postern_option none[] = {{0}};
    struct build *b = ctx;
    const struct postern_filter *f = loader_open(plugins_path, plugin, b->error, sizeof b->error);
    *error_r = b->error;
    if (!f)
        return NULL;
    return f->options ? f->options : none;
}

/* Arrays are zeroed and of at least one element, so that no count needs a special case. */
static bool allocate(struct runtime *r)
{
    const struct conf *c = r->conf;
    r->listeners = calloc(c->listener_count + 1, sizeof *r->listeners);
    r->upstreams = calloc(c->upstream_count + 1, sizeof *r->upstreams);
    r->filters = calloc(c->filter_count + 1, sizeof(struct filter_instance *));
    r->chains = calloc(c->policy_count + 1, sizeof(struct chain *));
    return r->listeners && r->upstreams && r->filters && r->chains;
}

static void build_parts(struct build *b, const char *file)
{
    struct conf_plugins plugins = {.ctx = b, .options = plugin_options};
    b->r->conf = conf_load(file, b->env->source, &plugins, b->diags);
    if (!b->r->conf)
        return;
    if (!allocate(b->r)) {
        no_memory(b);
        return;
    }
    build_certificates(b);
    build_upstreams(b);
    build_filters(b);
    build_policies(b);
    build_listeners(b);
}

static struct runtime *runtime_new(const struct runtime_env *env, const char *file, struct diags *diags)
{
    struct runtime *r = calloc(1, sizeof *r);
    struct runtime_life *life = calloc(1, sizeof *life);
    struct arena *arena = arena_create(ARENA_MAX);
    const char *kept = arena ? arena_span(arena, span_of(file)).p : NULL;
    if (!r || !life || !kept) {
        diag_add(diags, DIAG_ERROR, file, 0, 0, "no memory to build this configuration");
        arena_destroy(&arena);
        free(life);
        free(r);
        return NULL;
    }
    life->host = (struct runtime_host){
        .daemon = env->services, .arena = arena, .file = kept, .source = env->source, .diags = diags};
    life->loop = env->upstream.loop;
    life->released = env->released;
    life->released_ctx = env->released_ctx;
    r->refs = 1;
    r->host = &life->host;
    r->services = runtime_host_services(r->host);
    return r;
}

static void runtime_free(struct runtime *r);

struct runtime *runtime_build(const struct runtime_env *env, const char *file, uint64_t generation,
                              struct diags *diags)
{
    size_t before = diags->errors;
    struct runtime *r = runtime_new(env, file, diags);
    if (!r) {
        if (env->released)
            env->released(env->released_ctx);
        return NULL;
    }
    r->generation = generation;
    struct build b = {.env = env, .r = r, .host = r->host, .diags = diags};
    build_parts(&b, r->host->file);
    r->host->diags = NULL;
    if (diags->errors == before && r->conf)
        return r;
    if (diags->errors == before)
        diag_add(diags, DIAG_ERROR, file, 0, 0, "the configuration could not be loaded");
    runtime_free(r);
    return NULL;
}

void runtime_start(struct runtime *r)
{
    for (size_t i = 0; i < r->conf->filter_count; i++)
        filter_instance_start(r->filters[i]);
    for (size_t i = 0; i < r->conf->upstream_count; i++)
        if (r->upstreams[i].set)
            upstream_start(r->upstreams[i].set);
}

void runtime_rekey(struct runtime *r, const struct tls_ticket_keys *keys)
{
    for (size_t i = 0; i < r->conf->listener_count; i++)
        if (r->listeners[i].tls)
            tls_server_rekey(r->listeners[i].tls, keys);
}

/* ---- the end ---- */

static void free_parts(struct runtime *r)
{
    const struct conf *c = r->conf;
    for (size_t i = 0; r->chains && i < c->policy_count; i++)
        chain_destroy(&r->chains[i]);
    for (size_t i = 0; r->filters && i < c->filter_count; i++)
        filter_instance_destroy(&r->filters[i]);
    for (size_t i = 0; r->listeners && i < c->listener_count; i++) {
        destinations_release(&r->listeners[i].destinations);
        tls_client_unref(&r->listeners[i].toward_tls);
        tls_server_unref(&r->listeners[i].tls);
    }
    for (size_t i = 0; r->upstreams && i < c->upstream_count; i++) {
        if (r->upstreams[i].set)
            upstream_release(&r->upstreams[i].set); /* has taken over the reference to the TLS context */
        else
            tls_client_unref(&r->upstreams[i].tls);
    }
}

static void runtime_free(struct runtime *r)
{
    struct runtime_life *life = life_of(r);
    if (r->conf)
        free_parts(r);
    free(r->chains);
    free(r->filters);
    free(r->listeners);
    free(r->upstreams);
    conf_free(&r->conf);
    free(r);
    arena_destroy(&life->host.arena);
    if (life->released)
        life->released(life->released_ctx);
    free(life);
}

static void free_later(void *arg)
{
    runtime_free(arg);
}

struct runtime *runtime_ref(struct runtime *r)
{
    r->refs++;
    return r;
}

void runtime_unref(struct runtime **rp)
{
    struct runtime *r = *rp;
    *rp = NULL;
    if (!r || --r->refs > 0)
        return;
    struct runtime_life *life = life_of(r);
    if (life->loop)
        loop_defer(life->loop, &life->last, free_later, r);
    else
        runtime_free(r);
}

struct runtime_listener *runtime_listener(struct runtime *r, const char *name)
{
    for (size_t i = 0; i < r->conf->listener_count; i++)
        if (span_eq(span_of(r->conf->listeners[i].name), span_of(name)))
            return &r->listeners[i];
    return NULL;
}
