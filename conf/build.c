/* SPDX-License-Identifier: MIT */
/* From the checked tree to the snapshot: values into fields, names into pointers. All of it lives in the
 * snapshot's arena. An error does not end the building, so that one run finds all of them; the snapshot is
 * then incomplete and conf_load throws it away.
 *
 *   certificates, upstreams, filters -> policies -> listeners      each refers only to what is left of it */
#include "conf/build.h"

#include <stddef.h>
#include <unistd.h>

/* ---- what the sections share ---- */

const char *build_text(const struct conf_node *block, const char *name)
{
    const struct conf_node *node = node_good(block, name);
    return node ? node->n.text.p : NULL;
}

int64_t build_number(const struct conf_node *block, const char *name)
{
    const struct conf_node *node = node_good(block, name);
    return node ? node->n.number : 0;
}

const char *build_path(struct builder *b, const struct conf_node *block, const char *name)
{
    const struct conf_node *node = node_good(block, name);
    if (node == NULL)
        return NULL;
    const char *path = conf_path(b->checker->arena, b->conf->file, node_text(node));
    if (path == NULL)
        b->no_memory = true;
    return path;
}

static struct conf_node *usable(struct conf_node *member)
{
    while (member && member->bad)
        member = member->next;
    return member;
}

struct conf_node *build_first(const struct conf_node *list)
{
    return list ? usable(list->first) : NULL;
}
struct conf_node *build_next(const struct conf_node *member)
{
    return usable(member->next);
}

size_t build_count(const struct conf_node *list)
{
    size_t n = 0;
    for (const struct conf_node *m = build_first(list); m; m = build_next(m))
        n++;
    return n;
}

void *build_array(struct builder *b, const struct conf_node *list, size_t item)
{
    size_t n = build_count(list);
    if (n == 0)
        return NULL;
    void *array = arena_alloc(b->checker->arena, n * item);
    if (array == NULL)
        b->no_memory = true;
    return array;
}

const struct conf_node *build_section(struct builder *b, const struct conf_node *root, const char *name,
                                      struct names *names)
{
    const struct conf_node *section = node_find(root, span_of(name));
    bool incomplete = section && section->bad;
    if (incomplete)
        section = NULL;
    for (const struct conf_node *m = section ? section->first : NULL; m; m = m->next)
        incomplete = incomplete || m->bad;
    if (!names_create(names, b->checker->arena, build_count(section))) {
        b->no_memory = true;
        return NULL;
    }
    names->incomplete = incomplete;
    return section;
}

const void *build_resolve(struct builder *b, const struct names *names, struct conf_node *text,
                          const char *what)
{
    struct span name = node_text(text);
    const void *object = names_find(names, name);
    if (object)
        return object;
    text->bad = true;
    if (names->incomplete)
        return NULL;
    const char *near = !diag_full(b->checker->diags) ? diag_near(names->list, name.p, name.n) : NULL;
    node_error(b->checker->diags, text, "%s '%.*s' is not defined%s%s%s", what, SPAN_FMT(span_head(name, 64)),
               near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}

/* ---- single values ---- */

struct field { /* a number of the tree and where it goes */
    const char *name;
    size_t offset, size;
};

static const struct field limit_fields[] = {
#define LIMIT(name, field, type, fallback, min, max, help)                                                   \
    {#name, offsetof(struct conf_limits, field), sizeof(((struct conf_limits *)0)->field)},
#define TIMEOUT(name, fallback, help)
#include "conf/limits.def"
};

static const struct field timeout_fields[] = {
#define LIMIT(name, field, type, fallback, min, max, help)
#define TIMEOUT(name, fallback, help) {#name, offsetof(struct conf_timeouts, name), sizeof(uint64_t)},
#include "conf/limits.def"
};

static void fill(void *target, const struct field *fields, size_t n, const struct conf_node *block)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t wide = (uint64_t)build_number(block, fields[i].name);
        uint32_t narrow = (uint32_t)wide; /* the table's range fits */
        const void *from = fields[i].size == sizeof narrow ? (const void *)&narrow : (const void *)&wide;
        memcpy((char *)target + fields[i].offset, from, fields[i].size);
    }
}

/* A line that is allowed must not be taken for a flood. */
static void check_flood(struct builder *b, const struct conf_node *limits)
{
    static const char *const lines[] = {"command_line", "auth_line"};
    struct conf_node *flood = node_good(limits, "line_flood");
    for (size_t i = 0; i < COUNT_OF(lines) && flood; i++) {
        struct conf_node *line = node_good(limits, lines[i]);
        if (line && line->n.number > flood->n.number)
            node_error(b->checker->diags, flood->n.line ? flood : line,
                       "'line_flood' is less than '%s': nobody could send such a line", lines[i]);
    }
}

static void build_limits(struct builder *b, const struct conf_node *root)
{
    const struct conf_node *limits = node_good(root, "limits"), *timeouts = node_good(root, "timeouts");
    struct conf *c = b->conf;
    if (limits) {
        fill(&c->limits, limit_fields, COUNT_OF(limit_fields), limits);
        check_flood(b, limits);
        c->limits.unlimited_clients = build_networks(b, node_good(limits, "unlimited_clients"));
        const struct conf_node *body = node_good(limits, "body_memory");
        if (body && c->limits.bodies_memory && c->limits.body_memory > c->limits.bodies_memory)
            node_warning(b->checker->diags, body,
                         "'body_memory' is more than 'bodies_memory', all bodies together");
    }
    if (timeouts)
        fill(&c->timeouts, timeout_fields, COUNT_OF(timeout_fields), timeouts);
}

static bool is_log_word(struct span to)
{
    return span_eq(to, SPAN_LIT("stderr")) || span_eq(to, SPAN_LIT("syslog")) ||
           span_eq(to, SPAN_LIT("journal"));
}

static void build_log(struct builder *b, const struct conf_node *log)
{
    const struct conf_node *to = node_good(log, "to");
    b->conf->log_json = build_number(log, "format") != 0;
    b->conf->log_level = (unsigned)build_number(log, "level");
    if (to)
        b->conf->log_to = is_log_word(node_text(to)) ? to->n.text.p : build_path(b, log, "to");
}

/* Goes into greetings, so nothing but the letters of a name. */
static void check_hostname(struct builder *b, struct conf_node *node)
{
    struct span name = node_text(node);
    bool good = name.n <= 253;
    for (size_t i = 0; i < name.n; i++)
        good = good && names_letter(name.p[i]);
    if (!good)
        node_error(b->checker->diags, node, "'hostname' must be a name of letters, digits, '-' and '.'");
}

/* Without one in the file the machine's own becomes part of the tree, so that the dump shows it. */
static void build_hostname(struct builder *b, struct conf_node *root)
{
    struct conf_node *node = node_find(root, SPAN_LIT("hostname"));
    char machine[256] = "";
    if (node == NULL) {
        if (gethostname(machine, sizeof machine - 1) != 0 || machine[0] == '\0')
            memcpy(machine, "localhost", sizeof "localhost");
        node = node_new(b->checker->arena, POSTERN_NODE_SCALAR, b->conf->file);
        struct span text = arena_span(b->checker->arena, span_of(machine));
        if (node == NULL || text.p == NULL) {
            b->no_memory = true;
            return;
        }
        node->n.name = (struct postern_span){"hostname", sizeof "hostname" - 1};
        node->n.text = (struct postern_span){text.p, text.n};
        node_append(root, node);
    }
    if (!node->bad)
        check_hostname(b, node);
    if (!node->bad)
        b->conf->hostname = node->n.text.p;
}

static void build_top(struct builder *b, struct conf_node *root)
{
    const struct conf_node *log = node_good(root, "log"), *plugins = node_good(root, "plugins");
    b->conf->workers = (uint32_t)build_number(root, "workers");
    b->conf->user = build_text(root, "user");
    b->conf->state_dir = build_path(b, root, "state_dir");
    build_hostname(b, root);
    if (log)
        build_log(b, log);
    if (plugins)
        b->conf->plugins_path = build_path(b, plugins, "path");
    build_limits(b, root);
}

/* ---- certificates and policies ---- */

static void build_certificates(struct builder *b, const struct conf_node *section)
{
    struct conf *c = b->conf;
    c->certificates = build_array(b, section, sizeof *c->certificates);
    for (const struct conf_node *m = build_first(section); m && c->certificates; m = build_next(m)) {
        struct conf_certificate *certificate = &c->certificates[c->certificate_count++];
        certificate->name = m->n.name.p;
        certificate->certificate = build_path(b, m, "certificate");
        certificate->key = build_path(b, m, "key");
        certificate->at = &m->n;
        names_add(&b->certificates, certificate->name, certificate);
    }
    names_sort(&b->certificates);
}

static bool has_filter(const struct conf_policy *policy, const struct conf_filter *filter)
{
    for (size_t i = 0; i < policy->filter_count; i++)
        if (policy->filters[i] == filter)
            return true;
    return false;
}

static void build_policy(struct builder *b, const struct conf_node *block, struct conf_policy *policy)
{
    const struct conf_node *list = node_good(block, "filters");
    policy->name = block->n.name.p;
    policy->filters = build_array(b, list, sizeof(const struct conf_filter *));
    for (struct conf_node *m = build_first(list); m && policy->filters; m = build_next(m)) {
        const struct conf_filter *filter = build_resolve(b, &b->filters, m, "filter");
        if (filter && has_filter(policy, filter))
            node_error(b->checker->diags, m, "filter '%s' is in this list already", filter->name);
        else if (filter)
            policy->filters[policy->filter_count++] = filter;
    }
}

static void build_policies(struct builder *b, const struct conf_node *section)
{
    struct conf *c = b->conf;
    c->policies = build_array(b, section, sizeof *c->policies);
    for (const struct conf_node *m = build_first(section); m && c->policies; m = build_next(m)) {
        struct conf_policy *policy = &c->policies[c->policy_count++];
        build_policy(b, m, policy);
        names_add(&b->policies, policy->name, policy);
    }
    names_sort(&b->policies);
}

bool build_conf(struct builder *b, struct conf_node *root)
{
    build_top(b, root);
    build_certificates(b, build_section(b, root, "certificates", &b->certificates));
    build_upstreams(b, build_section(b, root, "upstreams", &b->upstreams));
    build_filters(b, build_section(b, root, "filters", &b->filters));
    build_policies(b, build_section(b, root, "policies", &b->policies));
    build_listeners(b, node_good(root, "listeners"));
    return !b->no_memory && !b->checker->no_memory;
}
