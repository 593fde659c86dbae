/* SPDX-License-Identifier: MIT */
/* From the configuration to compiled limits. All mistakes are told in one run. The filter owns the set; its
 * spans point into the configuration, which lives as long as the filter.
 *
 *   limits:
 *     per-sender: { key: [sender], count: recipients, rate: 100/1h, burst: 20 }
 *         |              |
 *       name          key.h's parts   -->   struct limit: parts, gcra,
 * "postern:per-sender:100/3600000000:20:" */
#include "limit.h"

#include <inttypes.h>

enum { COUNT_MESSAGES, COUNT_RECIPIENTS };
enum { AT_AUTO, AT_MAIL, AT_RCPT };
enum { CODE_DEFAULT = 450 };

struct compiler {
    const struct postern_host *host;
    void *self;
    const struct limit_defaults *defaults;
    unsigned errors;
};

#define WRONG(c, at, ...) ((c)->errors++, (c)->host->config_error((c)->self, (at), 0, __VA_ARGS__))

const struct postern_node *option_find(const struct postern_node *map, struct postern_span name)
{
    const struct postern_node *option = map ? map->first : NULL;
    while (option && !span_equal(option->name, name))
        option = option->next;
    return option;
}

/* ---- key ---- */

static void wrong_part(struct compiler *c, const struct postern_node *at, enum key_fault fault)
{
    struct postern_span text = at->text;
    const char *near = fault == KEY_UNKNOWN ? key_near(text) : NULL;

    switch (fault) {
    case KEY_UNKNOWN:
        WRONG(c, at, "unknown key '%.*s'%s%s%s; known are: %s", SPAN_ARGS(text),
              near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "", key_names);
        return;
    case KEY_PREFIX4:
        WRONG(c, at, "'%.*s': an IPv4 prefix is 0 to 32; one for IPv6 stands behind it: client/32/64",
              SPAN_ARGS(text));
        return;
    case KEY_PREFIX6:
        WRONG(c, at, "'%.*s': an IPv6 prefix is 0 to 128: client/24/64", SPAN_ARGS(text));
        return;
    case KEY_NO_PREFIX:
        WRONG(c, at, "'%.*s': only 'client' takes a prefix", SPAN_ARGS(text));
        return;
    case KEY_OK:
        return;
    }
}

static void add_part(struct compiler *c, struct limit *l, const struct postern_node *at)
{
    struct key_part part;

    if (l->n_parts == KEY_PARTS_MAX) {
        WRONG(c, at, "a key has at most %d parts", KEY_PARTS_MAX);
        return;
    }
    enum key_fault fault = key_part_parse(at->text, &part);
    if (fault != KEY_OK) {
        wrong_part(c, at, fault);
        return;
    }
    for (size_t i = 0; i < l->n_parts; i++)
        if (l->parts[i].kind == part.kind)
            WRONG(c, at, "'%.*s' stands in this key twice", SPAN_ARGS(at->text));
    l->parts[l->n_parts++] = part;
}

static void compile_key(struct compiler *c, struct limit *l, const struct postern_node *block)
{
    const struct postern_node *key = option_find(block, SPAN("key"));

    if (!key || (key->kind == POSTERN_NODE_LIST && !key->first)) {
        WRONG(c, key ? key : block, "limit '%.*s' needs a key, for instance: key: [sender]",
              SPAN_ARGS(l->name));
        return;
    }
    if (key->kind == POSTERN_NODE_SCALAR) {
        add_part(c, l, key);
        return;
    }
    for (const struct postern_node *part = key->first; part; part = part->next)
        add_part(c, l, part);
}

/* ---- when it is charged ---- */

static bool needs_recipient(const struct limit *l)
{
    for (size_t i = 0; i < l->n_parts; i++)
        if (key_needs_recipient(l->parts[i]))
            return true;
    return false;
}

static void compile_phase(struct compiler *c, struct limit *l, const struct postern_node *block)
{
    const struct postern_node *count = option_find(block, SPAN("count"));
    const struct postern_node *at = option_find(block, SPAN("at"));
    int64_t wish = at ? at->number : AT_AUTO;

    l->per_message = !count || count->number == COUNT_MESSAGES;
    bool must = !l->per_message || needs_recipient(l);
    if (wish == AT_MAIL && must)
        WRONG(c, at, "at MAIL no recipient is known yet: take 'at: rcpt', or count messages by another key");
    l->at_recipient = must || wish == AT_RCPT;
}

/* ---- rate ---- */

static void wrong_rate(struct compiler *c, const struct postern_node *at, enum gcra_fault fault)
{
    static const char *const why[] = {
        [GCRA_NO_RATE] = "a rate of 0 would never allow anything: write at least 1 in some time",
        [GCRA_NO_BURST] = "a burst of 0 would never allow anything: write at least 1",
        [GCRA_TOO_FAST] = "so high a rate cannot be counted: at most 1,000 in a microsecond",
        [GCRA_TOO_LONG] =
            "at this rate a used-up burst takes over 50 days to come back: shorten window or burst",
    };
    if (fault != GCRA_OK)
        WRONG(c, at, "%s", why[fault]);
}

static void name_prefix(struct limit *l, struct postern_span store, uint64_t count, uint64_t window,
                        uint64_t burst)
{
    int n = snprintf(l->prefix, sizeof(l->prefix), "%.*s:%.*s:%" PRIu64 "/%" PRIu64 ":%" PRIu64 ":",
                     SPAN_ARGS(store), SPAN_ARGS(l->name), count, window, burst);
    l->prefix_n = (size_t)n;
    l->local = store.n + 1;
}

static void compile_rate(struct compiler *c, struct limit *l, const struct postern_node *block)
{
    const struct postern_node *rate = option_find(block, SPAN("rate"));
    const struct postern_node *burst = option_find(block, SPAN("burst"));

    if (!rate) {
        WRONG(c, block, "limit '%.*s' needs a rate, for instance: rate: 100/1h", SPAN_ARGS(l->name));
        return;
    }
    uint64_t count = rate->number > 0 ? (uint64_t)rate->number : 0;
    uint64_t window = rate->real >= 1 && rate->real < 0x1p62 ? (uint64_t)rate->real : 0;
    uint64_t most = count;
    if (burst)
        most = burst->number > 0 ? (uint64_t)burst->number : 0;
    enum gcra_fault fault = gcra_init(&l->rate, count, window, most);
    wrong_rate(c, fault == GCRA_NO_BURST || (fault == GCRA_TOO_LONG && burst) ? burst : rate, fault);
    name_prefix(l, c->defaults->prefix, count, window, most);
}

/* ---- what a refusal says ---- */

static void compile_answer(struct compiler *c, struct limit *l, const struct postern_node *block)
{
    const struct postern_node *code = option_find(block, SPAN("code"));
    const struct postern_node *text = option_find(block, SPAN("text"));
    const struct postern_node *on_error = option_find(block, SPAN("on_error"));

    l->code = CODE_DEFAULT;
    if (code && (code->number < 400 || code->number > 599))
        WRONG(c, code, "a refusal's code is 400 to 599");
    else if (code)
        l->code = (unsigned)code->number;
    if (text)
        l->text = text->text;
    l->on_error = on_error ? (enum on_error)on_error->number : c->defaults->on_error;
}

/* The name stands in replies, logs and Redis keys. */
static bool good_name(struct postern_span name)
{
    if (name.n == 0 || name.n > LIMIT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char low = ascii_lower(name.p[i]);
        if (!(low >= 'a' && low <= 'z') && !(low >= '0' && low <= '9') && low != '-' && low != '_' &&
            low != '.')
            return false;
    }
    return true;
}

static void compile_limit(struct compiler *c, struct limit *l, const struct postern_node *block)
{
    l->name = block->name;
    if (!good_name(l->name)) {
        WRONG(c, block, "a limit's name is of letters, digits, '-', '_' and '.', at most %d", LIMIT_NAME_MAX);
        return;
    }
    compile_key(c, l, block);
    compile_phase(c, l, block);
    compile_rate(c, l, block);
    compile_answer(c, l, block);
}

static size_t count_members(const struct postern_node *map)
{
    size_t n = 0;
    for (const struct postern_node *m = map ? map->first : NULL; m; m = m->next)
        n++;
    return n;
}

int limits_compile(const struct postern_host *host, void *self, const struct postern_node *map,
                   const struct limit_defaults *defaults, struct limit_set *set_r)
{
    struct compiler c = {.host = host, .self = self, .defaults = defaults};
    size_t n = count_members(map);

    *set_r = (struct limit_set){NULL, 0};
    if (n == 0 || n > LIMITS_MAX) {
        WRONG(&c, map, "'limits' holds 1 to %d limits, here are %zu", LIMITS_MAX, n);
        return -1;
    }
    set_r->limits = calloc(n, sizeof(*set_r->limits));
    if (!set_r->limits) {
        WRONG(&c, map, "no memory for %zu limits", n);
        return -1;
    }
    for (const struct postern_node *block = map->first; block; block = block->next)
        compile_limit(&c, &set_r->limits[set_r->n++], block);
    if (c.errors == 0)
        return 0;
    limits_free(set_r);
    return -1;
}

void limits_free(struct limit_set *set)
{
    free(set->limits);
    *set = (struct limit_set){NULL, 0};
}
