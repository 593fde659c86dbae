/* SPDX-License-Identifier: MIT */
/* The two sides of the proxy: upstreams and listeners. Beside filling their structs this knows which of their
 * options need each other: TLS a certificate, verification a name, a listener somewhere to send mail to. */
#include "conf/address.h"
#include "conf/build.h"
#include "conf/network.h"
#include "conf/pin.h"

#include <stdlib.h>

/* ---- addresses ---- */

/* Each wrong address is an error at its place and its node is bad, so that afterwards the good nodes and the
 * addresses stand in the same order. */
static size_t build_addresses(struct builder *b, const struct conf_node *list, bool may_be_name,
                              struct conf_address *out)
{
    size_t n = 0;
    for (struct conf_node *m = build_first(list); m && out; m = build_next(m)) {
        const char *error = NULL;
        bool good = address_parse(b->checker->arena, node_text(m), &out[n], &error);
        if (good && !out[n].literal && !may_be_name)
            error = "must be an address, not a name, such as 127.0.0.1:25 or [::]:25";
        if (error)
            node_error(b->checker->diags, m, "'%.*s' %s", SPAN_FMT(span_head(node_text(m), 64)), error);
        else if (good)
            n++;
        else
            b->no_memory = m->bad = true;
    }
    return n;
}

/* ---- upstreams ---- */

static bool needs_verification(enum conf_upstream_tls tls)
{
    return tls == CONF_UP_REQUIRED || tls == CONF_UP_IMPLICIT;
}

/* Certificates carry names. Checking one for an address would fail at every connection; better to say so now.
 */
static void refuse_unverifiable(struct builder *b, const struct conf_node *block,
                                const struct conf_upstream *u)
{
    const struct conf_address *address = u->servers;
    if (!u->verify || u->verify_name || !needs_verification(u->tls) || address == NULL)
        return;
    for (struct conf_node *m = build_first(node_good(block, "servers")); m; m = build_next(m), address++)
        if (address->literal)
            node_error(
                b->checker->diags, m,
                "with 'tls: %s' the certificate of '%s' is verified, but an address is no name to verify: "
                "set verify: { name: NAME }, or verify: no",
                build_text(block, "tls"), address->text);
}

/* Written nowhere: verified exactly where TLS is a must. The node that is added shows it in the dump. */
static struct conf_node *default_verify(struct builder *b, struct conf_node *block,
                                        enum conf_upstream_tls tls)
{
    static const struct postern_option verify = {.name = "verify", .type = POSTERN_BOOL};
    struct conf_node *node = node_new(b->checker->arena, POSTERN_NODE_SCALAR, b->conf->file);
    if (node == NULL) {
        b->no_memory = true;
        return NULL;
    }
    node->option = &verify;
    node->n.name = (struct postern_span){verify.name, strlen(verify.name)};
    node->n.number = needs_verification(tls);
    node->n.text = node->n.number ? (struct postern_span){"yes", 3} : (struct postern_span){"no", 2};
    node_append(block, node);
    return node;
}

/* Each wrong one is an error at its place. */
static void build_pins(struct builder *b, const struct conf_node *list, struct conf_upstream *u)
{
    u->pins = build_array(b, list, sizeof *u->pins);
    for (struct conf_node *m = build_first(list); m && u->pins; m = build_next(m))
        if (!pin_parse(node_text(m), u->pins[u->pin_count++]))
            node_error(b->checker->diags, m,
                       "'%.*s' must be the SHA-256 of a public key: 64 hexadecimal digits, or 44 characters "
                       "of base64",
                       SPAN_FMT(span_head(node_text(m), 64)));
}

static void build_verify(struct builder *b, struct conf_node *block, struct conf_upstream *u)
{
    const struct conf_node *verify = node_find(block, SPAN_LIT("verify"));
    bool written = verify != NULL;
    if (!written)
        verify = default_verify(b, block, u->tls);
    if (verify == NULL || verify->bad)
        return;
    bool is_block = verify->n.kind == POSTERN_NODE_MAP;
    u->verify = is_block || verify->n.number != 0;
    if (is_block) {
        u->verify_name = build_text(verify, "name");
        u->verify_ca = build_path(b, verify, "ca");
        build_pins(b, node_good(verify, "pin"), u);
        if (u->pin_count && !u->verify_name && !u->verify_ca)
            u->verify = false; /* the key alone says who it is */
    }
    if (written && (u->verify || u->pin_count) && u->tls == CONF_UP_NONE && node_good(block, "tls"))
        node_warning(b->checker->diags, verify, "'verify' has no effect with 'tls: none'");
}

/* DANE needs TLS to be of use, and a name whose records are sought. A key that is pinned and one that DNS has
 * may differ, and then nothing would be right. */
static void build_dane(struct builder *b, const struct conf_node *block, struct conf_upstream *u)
{
    struct conf_node *dane = node_good(block, "dane");
    const struct conf_address *address = u->servers;
    u->dane = (enum conf_dane)build_number(block, "dane");
    if (dane == NULL || u->dane == CONF_DANE_NONE)
        return;
    if (u->tls == CONF_UP_NONE && node_good(block, "tls"))
        node_error(b->checker->diags, dane,
                   "'dane: %s' needs TLS with the servers: set tls to opportunistic, required or implicit",
                   dane->n.text.p);
    if (u->pin_count)
        node_error(b->checker->diags, dane,
                   "'dane: %s' and 'pin' both say which key the server has: choose one of them",
                   dane->n.text.p);
    if (u->verify_name || address == NULL)
        return;
    for (struct conf_node *m = build_first(node_good(block, "servers")); m; m = build_next(m), address++)
        if (address->literal && u->dane == CONF_DANE_REQUIRED)
            node_error(
                b->checker->diags, m,
                "with 'dane: required' the TLSA records of '%s' are sought, but an address has none: set "
                "verify: { name: NAME }",
                address->text);
        else if (address->literal)
            node_warning(
                b->checker->diags, m,
                "'dane' has no effect on '%s': an address has no TLSA records, unless 'verify' has a name",
                address->text);
}

static void build_upstream_certificate(struct builder *b, const struct conf_node *block,
                                       struct conf_upstream *u)
{
    struct conf_node *name = node_find(block, SPAN_LIT("certificate"));
    if (name == NULL || name->bad)
        return;
    u->certificate = build_resolve(b, &b->certificates, name, "certificate");
    if (u->tls == CONF_UP_NONE && node_good(block, "tls"))
        node_warning(b->checker->diags, name, "'certificate' has no effect with 'tls: none'");
}

static void build_upstream(struct builder *b, struct conf_node *block, struct conf_upstream *u)
{
    const struct conf_node *servers = node_good(block, "servers");
    u->name = block->n.name.p;
    u->at = &block->n;
    u->servers = build_array(b, servers, sizeof *u->servers);
    u->server_count = build_addresses(b, servers, true, u->servers);
    u->tls = (enum conf_upstream_tls)build_number(block, "tls");
    u->identity = (enum conf_identity)build_number(block, "identity");
    u->connect = (enum conf_connect)build_number(block, "connect");
    u->lmtp = build_number(block, "protocol") != 0;
    u->chunking = (enum conf_chunking)build_number(block, "chunking");
    u->keep = (uint32_t)build_number(block, "keep");
    u->keep_us = (uint64_t)build_number(block, "keep_time");
    u->probe_us = (uint64_t)build_number(block, "probe");
    u->tls_min = (enum conf_tls_min)build_number(block, "tls_min");
    build_verify(b, block, u);
    build_dane(b, block, u);
    build_upstream_certificate(b, block, u);
    refuse_unverifiable(b, block, u);
}

void build_upstreams(struct builder *b, const struct conf_node *section)
{
    struct conf *c = b->conf;
    c->upstreams = build_array(b, section, sizeof *c->upstreams);
    for (struct conf_node *m = build_first(section); m && c->upstreams; m = build_next(m)) {
        struct conf_upstream *upstream = &c->upstreams[c->upstream_count++];
        build_upstream(b, m, upstream);
        names_add(&b->upstreams, upstream->name, upstream);
    }
    names_sort(&b->upstreams);
}

/* ---- listeners ---- */

/* What was written under `tls` is also what errors are about. */
static const char *tls_text(const struct conf_node *block)
{
    const struct conf_node *tls = node_good(block, "tls");
    return tls ? tls->n.text.p : "";
}

/* Which certificates a listener has use for. */
static bool shows_own(const struct conf_listener *l)
{
    return l->tls != CONF_TLS_NONE && l->tls != CONF_TLS_PASS && !l->mint;
}

static void build_listener_certificates(struct builder *b, const struct conf_node *block,
                                        struct conf_listener *l, bool mints)
{
    struct conf_node *list = node_find(block, SPAN_LIT("certificate"));
    bool own = shows_own(l) && !mints;
    if (list == NULL && own)
        node_error_at_name(b->checker->diags, block, "listener '%s' has 'tls: %s' but no 'certificate'",
                           l->name, tls_text(block));
    if (list == NULL || list->bad)
        return;
    if (!own && node_good(block, "tls"))
        node_warning(b->checker->diags, list, "'certificate' has no effect with '%s'",
                     l->mint                   ? "mint_ca"
                     : l->tls == CONF_TLS_PASS ? "tls: pass"
                                               : "tls: none");
    l->certificates = build_array(b, list, sizeof(const struct conf_certificate *));
    for (struct conf_node *m = build_first(list); m && l->certificates; m = build_next(m)) {
        const struct conf_certificate *certificate = build_resolve(b, &b->certificates, m, "certificate");
        if (certificate)
            l->certificates[l->certificate_count++] = certificate;
    }
}

/* The words that only an intercepting listener knows are turned into what they mean. true: certificates are
 * minted, as far as this goes. */
static bool build_listener_tls(struct builder *b, const struct conf_node *block, struct conf_listener *l)
{
    static const enum conf_tls means[] = {
        [CONF_TLS_NONE] = CONF_TLS_NONE,         [CONF_TLS_STARTTLS] = CONF_TLS_STARTTLS,
        [CONF_TLS_REQUIRED] = CONF_TLS_REQUIRED, [CONF_TLS_IMPLICIT] = CONF_TLS_IMPLICIT,
        [CONF_TLS_MIRROR] = CONF_TLS_MIRROR,     [CONF_TLS_PASS] = CONF_TLS_PASS,
        [CONF_TLS_TERMINATE] = CONF_TLS_MIRROR,  [CONF_TLS_MINT] = CONF_TLS_MIRROR,
        [CONF_TLS_FORBID] = CONF_TLS_NONE};
    struct conf_node *written = node_good(block, "tls");
    struct conf_node *ca = node_find(block, SPAN_LIT("mint_ca"));
    enum conf_tls tls = (enum conf_tls)build_number(block, "tls");
    bool mints = tls == CONF_TLS_MINT || (ca && tls == CONF_TLS_IMPLICIT);
    l->tls = means[tls];
    if (written && tls >= CONF_TLS_PASS && !l->intercept && node_good(block, "intercept"))
        node_error(b->checker->diags, written, "'tls: %s' is for listeners with 'intercept'",
                   tls_text(block));
    if (mints && !ca)
        node_error_at_name(b->checker->diags, block,
                           "listener '%s' has 'tls: mint' but no 'mint_ca': who signs what it mints?",
                           l->name);
    if (ca && !ca->bad && mints)
        l->mint = build_resolve(b, &b->certificates, ca, "certificate");
    else if (ca && !ca->bad && written)
        node_warning(b->checker->diags, ca, "'mint_ca' has no effect with 'tls: %s'", tls_text(block));
    return mints;
}

/* Without an authority any certificate, or none at all, would verify. */
static void build_client_certificate(struct builder *b, const struct conf_node *block,
                                     struct conf_listener *l)
{
    const struct conf_node *ask = node_good(block, "client_certificate");
    const struct conf_node *ca = node_find(block, SPAN_LIT("client_ca"));
    l->client_certificate = (enum conf_ask)build_number(block, "client_certificate");
    l->client_ca = build_path(b, block, "client_ca");
    if (l->client_certificate == CONF_ASK_NONE) {
        if (ca && !ca->bad && ask)
            node_warning(b->checker->diags, ca, "'client_ca' has no effect with 'client_certificate: none'");
        return;
    }
    if (ca == NULL)
        node_error_at_name(b->checker->diags, ask,
                           "'client_certificate: %s' needs 'client_ca': whose certificates are good?",
                           ask->n.text.p);
    if (l->tls == CONF_TLS_NONE && node_good(block, "tls"))
        node_warning(b->checker->diags, ask, "'client_certificate' has no effect with 'tls: none'");
}

/* TLS with intercepted clients depends on TLS with their servers, for which `upstream` is the pattern. */
static void refuse_unlike_upstream(struct builder *b, const struct conf_node *block,
                                   const struct conf_listener *l)
{
    const struct conf_upstream *u = l->upstream;
    struct conf_node *tls = node_good(block, "tls");
    if (!u || !tls)
        return;
    if (l->tls == CONF_TLS_MIRROR && u->tls == CONF_UP_NONE)
        node_error(b->checker->diags, tls,
                   "'tls: %s' needs TLS with the upstream, but '%s' has 'tls: none': set it to "
                   "opportunistic, required or implicit",
                   tls_text(block), u->name);
    if (l->tls == CONF_TLS_PASS && u->tls != CONF_UP_NONE)
        node_error(
            b->checker->diags, tls,
            "'tls: pass' leaves TLS to clients, but upstream '%s' begins it itself: set 'tls: none' there",
            u->name);
    if (l->tls == CONF_TLS_IMPLICIT && l->mint && u->tls != CONF_UP_IMPLICIT)
        node_error(
            b->checker->diags, tls,
            "'tls: implicit' with 'mint_ca' shows what the server shows from the first byte: upstream '%s' "
            "needs 'tls: implicit' too",
            u->name);
}

static void build_listener_references(struct builder *b, const struct conf_node *block,
                                      struct conf_listener *l)
{
    struct conf_node *upstream = node_find(block, SPAN_LIT("upstream"));
    struct conf_node *policy = node_good(block, "policy");
    const struct conf_node *intercept = node_good(block, "intercept");
    bool fixed = intercept && l->intercept == CONF_INTERCEPT_NONE; /* else clients bring their destination */
    if (upstream == NULL && fixed)
        node_error_at_name(b->checker->diags, block,
                           "listener '%s' has no 'upstream': where does its mail go?", l->name);
    if (upstream && !upstream->bad)
        l->upstream = build_resolve(b, &b->upstreams, upstream, "upstream");
    if (policy)
        l->policy = build_resolve(b, &b->policies, policy, "policy");
}

struct networks build_networks(struct builder *b, const struct conf_node *list)
{
    struct network *room = build_array(b, list, sizeof *room);
    struct networks all = {.list = room};
    for (struct conf_node *m = build_first(list); m && room; m = build_next(m)) {
        const char *error = NULL;
        if (network_parse(node_text(m), &room[all.count], &error))
            all.count++;
        else
            node_error(b->checker->diags, m, "'%.*s' %s", SPAN_FMT(span_head(node_text(m), 64)), error);
    }
    return all;
}

/* An intercepted server is known by its address alone. */
static void refuse_nameless(struct builder *b, const struct conf_node *block, const struct conf_listener *l)
{
    const struct conf_upstream *u = l->upstream;
    if (l->intercept && u && u->tls != CONF_UP_NONE && u->verify && !u->verify_name)
        node_error_at_name(
            b->checker->diags, block,
            "listener '%s' intercepts, and upstream '%s' verifies the name of the server, but the "
            "address is all that is known of an intercepted one: set verify: { name: NAME } there, "
            "or verify: no",
            l->name, u->name);
    else if (l->intercept && u && u->dane != CONF_DANE_NONE && !u->verify_name)
        node_error_at_name(
            b->checker->diags, block,
            "listener '%s' intercepts, and upstream '%s' seeks the TLSA records of the server, but the "
            "address is all that is known of an intercepted one: set verify: { name: NAME } there, "
            "or dane: none",
            l->name, u->name);
}

static void build_interception(struct builder *b, const struct conf_node *block, struct conf_listener *l)
{
    static const char *const settings[] = {"allow", "deny", "source"};
    l->allow = build_networks(b, node_good(block, "allow"));
    l->deny = build_networks(b, node_good(block, "deny"));
    refuse_nameless(b, block, l);
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        struct conf_node *written = node_good(block, settings[i]);
        if (written && written->n.line && !l->intercept && node_good(block, "intercept"))
            node_warning(b->checker->diags, written, "'%s' has no effect without 'intercept'", settings[i]);
    }
}

static void build_listener(struct builder *b, const struct conf_node *block, struct conf_listener *l)
{
    const struct conf_node *bind = node_good(block, "bind");
    l->name = block->n.name.p;
    l->at = &block->n;
    l->bind = build_array(b, bind, sizeof *l->bind);
    l->bind_count = build_addresses(b, bind, false, l->bind);
    l->bare_newline = (enum conf_bare)build_number(block, "bare_newline");
    l->intercept = (enum conf_intercept)build_number(block, "intercept");
    l->source = (enum conf_source_address)build_number(block, "source");
    l->trust_proxy = build_networks(b, node_good(block, "trust_proxy"));
    l->trust_xclient = build_networks(b, node_good(block, "trust_xclient"));
    l->chunking = build_number(block, "chunking") != 0;
    l->auth_needs_tls = build_number(block, "auth_needs_tls") != 0;
    l->enforce_sync = build_number(block, "enforce_sync") != 0;
    l->lenient_sync = build_networks(b, node_good(block, "lenient_sync"));
    l->normalize_newlines = build_networks(b, node_good(block, "normalize_newlines"));
    l->vrfy = (enum conf_query)build_number(block, "vrfy");
    l->expn = (enum conf_query)build_number(block, "expn");
    l->etrn = (enum conf_query)build_number(block, "etrn");
    l->tls_min = (enum conf_tls_min)build_number(block, "tls_min");
    bool mints = build_listener_tls(b, block, l);
    build_listener_certificates(b, block, l, mints);
    build_client_certificate(b, block, l);
    build_listener_references(b, block, l);
    build_interception(b, block, l);
    refuse_unlike_upstream(b, block, l);
}

/* ---- what is bound, over all listeners ---- */

struct bound {
    struct address_key key;
    struct conf_node *at;
};

static int compare_bound(const void *a, const void *b)
{
    const struct bound *l = a, *r = b;
    int c = memcmp(l->key.ip, r->key.ip, sizeof l->key.ip);
    if (c == 0)
        c = (l->key.port > r->key.port) - (l->key.port < r->key.port);
    if (c == 0)
        c = (l->at->n.line > r->at->n.line) - (l->at->n.line < r->at->n.line);
    return c ? c : (l->at->n.column > r->at->n.column) - (l->at->n.column < r->at->n.column);
}

static size_t collect_binds(const struct conf_node *block, const struct conf_listener *l, struct bound *out)
{
    size_t n = 0;
    for (struct conf_node *m = build_first(node_good(block, "bind")); m && n < l->bind_count;
         m = build_next(m)) {
        out[n].at = m;
        if (address_key(&l->bind[n], &out[n].key))
            n++;
    }
    return n;
}

static void refuse_double_binds(struct builder *b, const struct conf_node *section)
{
    size_t room = 0, n = 0;
    const struct conf_listener *l = b->conf->listeners;
    for (size_t i = 0; i < b->conf->listener_count; i++)
        room += l[i].bind_count;
    struct bound *bound = room ? calloc(room, sizeof *bound) : NULL;
    if (bound == NULL) {
        b->no_memory = b->no_memory || room;
        return;
    }
    for (const struct conf_node *m = build_first(section); m; m = build_next(m))
        n += collect_binds(m, l++, bound + n);
    qsort(bound, n, sizeof *bound, compare_bound);
    for (size_t i = 1; i < n; i++)
        if (memcmp(&bound[i].key, &bound[i - 1].key, sizeof bound[i].key) == 0)
            node_error(b->checker->diags, bound[i].at, "'%s' is bound already in line %u",
                       bound[i].at->n.text.p, bound[i - 1].at->n.line);
    free(bound);
}

void build_listeners(struct builder *b, const struct conf_node *section)
{
    struct conf *c = b->conf;
    c->listeners = build_array(b, section, sizeof *c->listeners);
    for (const struct conf_node *m = build_first(section); m && c->listeners; m = build_next(m))
        build_listener(b, m, &c->listeners[c->listener_count++]);
    refuse_double_binds(b, section);
}
