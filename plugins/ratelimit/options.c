/* SPDX-License-Identifier: MIT */
/* The options and what they make: the filter with its limits and stores. configure() only checks and
 * prepares; it is also called where no mail will flow. All mistakes are told in one run. The filter is freed
 * by release(). */
#include "ratelimit.h"

#include <inttypes.h>

enum store_type { STORE_MEMORY, STORE_REDIS };

enum {
    KEYS_DEFAULT = 100000, /* the fallbacks below, for a configuration without a `store` */
    KEYS_LEAST = 64,
    KEYS_MOST = 100000000,
    DEADLINE_DEFAULT_US = 50000,
    CONNECT_DEFAULT_US = 1000000,
    CALLS_DEFAULT = 1000,
    SHARED_NAME_MAX = 64
};

static const struct postern_option store_options[] = {
    {.name = "type",
     .type = POSTERN_ENUM,
     .fallback = "memory",
     .values = "memory|redis",
     .help = "Where the counts are kept: shared by the workers of this host, or in Redis (or Valkey)."},
    {.name = "keys",
     .type = POSTERN_COUNT,
     .fallback = "100000",
     .min = KEYS_LEAST,
     .max = KEYS_MOST,
     .help = "How many keys the memory has room for; then the oldest make room. Some 40 bytes each."},
    {.name = "server",
     .type = POSTERN_STRING,
     .help = "Redis: host:port, [address]:port or the path of a socket."},
    {.name = "user", .type = POSTERN_STRING, .help = "Redis: the user's name; without it the default user."},
    {.name = "password", .type = POSTERN_SECRET, .help = "Redis: the password."},
    {.name = "password_file",
     .type = POSTERN_STRING,
     .help = "Redis: a file whose first line is the password."},
    {.name = "database",
     .type = POSTERN_COUNT,
     .fallback = "0",
     .min = 0,
     .max = 65535,
     .help = "Redis: the database's number."},
    {.name = "tls", .type = POSTERN_BOOL, .fallback = "no", .help = "Redis: speak TLS."},
    {.name = "tls_name",
     .type = POSTERN_STRING,
     .help = "Redis: the name in its certificate; by default the server's. Empty: it is not verified."},
    {.name = "tls_ca",
     .type = POSTERN_STRING,
     .help = "Redis: a file with trusted certificates; by default the system's."},
    {.name = "on_error",
     .type = POSTERN_ENUM,
     .fallback = "local",
     .values = ON_ERROR_NAMES,
     .help = "What limits do while Redis does not answer: count on this host, allow, or answer 451."},
    {.name = "deadline",
     .type = POSTERN_DURATION,
     .fallback = "50ms",
     .min = 1000,
     .max = 4000000,
     .help = "Redis: how long a decision may take before on_error decides."},
    {.name = "connect",
     .type = POSTERN_DURATION,
     .fallback = "1s",
     .min = 1000,
     .max = 60000000,
     .help = "Redis: how long a connection may take. No decision waits for it."},
    {.name = "in_flight",
     .type = POSTERN_COUNT,
     .fallback = "1000",
     .min = 1,
     .max = 100000,
     .help = "Redis: how many decisions may wait for answers; more do as on_error says."},
    {.name = "prefix", .type = POSTERN_STRING, .fallback = "postern", .help = "Redis: how its keys begin."},
    {.name = NULL},
};

static const struct postern_option limit_options[] = {
    {.name = "key",
     .type = POSTERN_STRING,
     .flags = POSTERN_REQUIRED | POSTERN_LIST,
     .help = "What is counted by: client, client/24/64, user, sender, sender_domain, recipient, "
             "recipient_domain, "
             "listener, or several. Upper and lower case are the same. Without a value the limit does not "
             "apply."},
    {.name = "count",
     .type = POSTERN_ENUM,
     .fallback = "messages",
     .values = "messages|recipients",
     .help = "What is counted."},
    {.name = "rate",
     .type = POSTERN_RATE,
     .flags = POSTERN_REQUIRED,
     .help = "How many in the long run: 100/1h."},
    {.name = "burst",
     .type = POSTERN_COUNT,
     .min = 1,
     .max = 1000000000,
     .help = "How many at once; by default as many as in the rate."},
    {.name = "on_error",
     .type = POSTERN_ENUM,
     .values = ON_ERROR_NAMES,
     .help = "What this limit does while Redis does not answer; by default what the store says."},
    {.name = "code",
     .type = POSTERN_COUNT,
     .fallback = "450",
     .min = 400,
     .max = 599,
     .help = "The reply code of a refusal; 421 closes the connection."},
    {.name = "text",
     .type = POSTERN_STRING,
     .help = "The text of a refusal; by default one with the time to wait."},
    {.name = "at",
     .type = POSTERN_ENUM,
     .fallback = "auto",
     .values = "auto|mail|rcpt",
     .help = "When messages are counted: at MAIL, or at the first RCPT. auto: at MAIL if the key is known "
             "there."},
    {.name = NULL},
};

const struct postern_option ratelimit_options[] = {
    {.name = "store", .type = POSTERN_BLOCK, .children = store_options, .help = "Where the counts are kept."},
    {.name = "limits",
     .type = POSTERN_MAP,
     .flags = POSTERN_REQUIRED,
     .children = limit_options,
     .help = "The limits, by name."},
    {.name = NULL},
};

/* ---- reading the store's options ---- */

struct reader {
    const struct postern_host *host;
    void *self;
    const struct postern_node *block, *store; /* store: NULL without one */
    unsigned errors;
};

#define WRONG(r, at, ...) ((r)->errors++, (r)->host->config_error((r)->self, (at), 0, __VA_ARGS__))

static uint64_t number_of(const struct reader *r, struct postern_span name, uint64_t otherwise)
{
    const struct postern_node *option = option_find(r->store, name);
    return option && option->number >= 0 ? (uint64_t)option->number : otherwise;
}

static struct postern_span text_of(const struct reader *r, struct postern_span name)
{
    const struct postern_node *option = option_find(r->store, name);
    return option ? option->text : (struct postern_span){NULL, 0};
}

/* Where an error of a store's option is shown, whether it is there or not. */
static const struct postern_node *place_of(const struct reader *r, struct postern_span name)
{
    const struct postern_node *option = option_find(r->store, name);
    if (option)
        return option;
    return r->store ? r->store : r->block;
}

static struct postern_span prefix_of(struct reader *r)
{
    const struct postern_node *option = option_find(r->store, SPAN("prefix"));
    struct postern_span prefix = option ? option->text : SPAN("postern");
    bool good = prefix.n > 0 && prefix.n <= STORE_PREFIX_MAX;

    for (size_t i = 0; good && i < prefix.n; i++)
        good = prefix.p[i] > ' ' && prefix.p[i] < 0x7f;
    if (!good)
        WRONG(r, place_of(r, SPAN("prefix")), "a prefix is of 1 to %d visible characters", STORE_PREFIX_MAX);
    return good ? prefix : SPAN("postern");
}

/* ---- Redis ---- */

static bool is_port(const char *p, size_t n)
{
    unsigned port = 0;

    if (n == 0 || n > 5)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        port = port * 10 + (unsigned)(p[i] - '0');
    }
    return port >= 1 && port <= 65535;
}

/* The host in "host:port" or "[address]:port"; the path of a socket has none. False: it is none of these. */
static bool server_host(struct postern_span server, struct postern_span *host_r)
{
    *host_r = (struct postern_span){NULL, 0};
    if (server.n && server.p[0] == '/')
        return server.n > 1;
    const char *colon = server.n ? memrchr(server.p, ':', server.n) : NULL;
    if (!colon || !is_port(colon + 1, (size_t)(server.p + server.n - colon - 1)))
        return false;
    *host_r = (struct postern_span){server.p, (size_t)(colon - server.p)};
    if (host_r->n > 2 && host_r->p[0] == '[' && host_r->p[host_r->n - 1] == ']') {
        host_r->p++;
        host_r->n -= 2;
        return true;
    }
    return host_r->n > 0 && !memchr(host_r->p, ':', host_r->n) && host_r->p[0] != '[';
}

static void read_target(struct reader *r, struct postern_stream_target *target_r)
{
    const struct postern_node *name = option_find(r->store, SPAN("tls_name"));
    struct postern_span server = text_of(r, SPAN("server")), host;

    if (server.n == 0)
        WRONG(r, place_of(r, SPAN("server")), "a redis store needs its server: \"host:port\" or \"/path\"");
    else if (!server_host(server, &host))
        WRONG(r, place_of(r, SPAN("server")),
              "'%.*s' is no server: write \"host:port\", \"[address]:port\" or \"/path\"", SPAN_ARGS(server));
    else
        *target_r = (struct postern_stream_target){
            .size = sizeof(*target_r),
            .server = server,
            .tls = number_of(r, SPAN("tls"), 0) != 0,
            .tls_name = name ? name->text : host,
            .tls_ca = text_of(r, SPAN("tls_ca")),
            .connect_us = number_of(r, SPAN("connect"), CONNECT_DEFAULT_US),
        };
}

/* Copies the first line of the file: its bytes are gone after configure(). */
static struct postern_span read_password_file(struct reader *r, struct ratelimit *f,
                                              const struct postern_node *option)
{
    struct postern_span bytes;
    const char *name, *error;

    if (r->host->read_file(r->self, option->text, &bytes, &name, &error) != 0) {
        WRONG(r, option, "cannot read the password: %s", error);
        return (struct postern_span){NULL, 0};
    }
    const char *end = bytes.n ? memchr(bytes.p, '\n', bytes.n) : NULL;
    size_t n = end ? (size_t)(end - bytes.p) : bytes.n;
    if (n > 0 && bytes.p[n - 1] == '\r')
        n--;
    f->password = n ? malloc(n) : NULL;
    if (!f->password) {
        WRONG(r, option, n ? "no memory for the password" : "the first line of that file is empty");
        return (struct postern_span){NULL, 0};
    }
    memcpy(f->password, bytes.p, n);
    f->password_n = n;
    return (struct postern_span){f->password, n};
}

static struct postern_span read_password(struct reader *r, struct ratelimit *f)
{
    const struct postern_node *file = option_find(r->store, SPAN("password_file"));
    struct postern_span password = text_of(r, SPAN("password"));

    if (file && password.n)
        WRONG(r, file, "either password or password_file, not both");
    else if (file)
        password = read_password_file(r, f, file);
    else if (text_of(r, SPAN("user")).n && !password.n)
        WRONG(r, place_of(r, SPAN("user")), "a user without a password: add password or password_file");
    return password;
}

static void make_redis(struct reader *r, struct ratelimit *f)
{
    struct redis_settings settings = {
        .user = text_of(r, SPAN("user")),
        .password = read_password(r, f),
        .database = number_of(r, SPAN("database"), 0),
        .deadline_us = number_of(r, SPAN("deadline"), DEADLINE_DEFAULT_US),
        .max_calls = (size_t)number_of(r, SPAN("in_flight"), CALLS_DEFAULT),
    };

    read_target(r, &settings.target);
    if (r->errors)
        return;
    f->deadline_us = settings.deadline_us;
    f->redis = redis_create(r->host, r->self, &settings);
    if (!f->redis)
        WRONG(r, r->store, "no memory for the store");
}

/* ---- memory: the store, or what is counted in while Redis does not answer ---- */

static void make_memory(struct reader *r, struct ratelimit *f)
{
    uint64_t keys = number_of(r, SPAN("keys"), KEYS_DEFAULT);
    char name[SHARED_NAME_MAX];

    if (keys < KEYS_LEAST || keys > KEYS_MOST) {
        WRONG(r, place_of(r, SPAN("keys")), "keys: %d to %d", KEYS_LEAST, KEYS_MOST);
        return;
    }
    (void)snprintf(name, sizeof(name), "ratelimit/%d/%" PRIu64, MEMORY_LAYOUT, keys);
    void *mapping = r->host->shared(r->self, name, memory_bytes(keys));
    if (!mapping)
        WRONG(r, place_of(r, SPAN("keys")), "cannot have %zu bytes of shared memory for %" PRIu64 " keys",
              memory_bytes(keys), keys);
    else if (memory_attach(&f->memory, mapping, keys) != 0)
        WRONG(r, place_of(r, SPAN("keys")), "the system gives no random numbers to hash keys with");
}

static void make_stores(struct reader *r, struct ratelimit *f)
{
    make_memory(r, f);
    if (number_of(r, SPAN("type"), STORE_MEMORY) == STORE_REDIS)
        make_redis(r, f);
    else if (option_find(r->store, SPAN("server")))
        WRONG(r, place_of(r, SPAN("server")), "a memory store has no server: write 'type: redis' beside it");
}

/* ---- the filter ---- */

static void make_limits(struct reader *r, struct ratelimit *f)
{
    const struct postern_node *map = option_find(r->block, SPAN("limits"));
    struct limit_defaults defaults = {
        .prefix = prefix_of(r),
        .on_error = (enum on_error)number_of(r, SPAN("on_error"), ON_ERROR_LOCAL),
    };

    if (!map)
        WRONG(r, r->block, "'limits' is missing: without limits the filter has nothing to do");
    else if (limits_compile(r->host, r->self, map, &defaults, &f->limits) != 0)
        r->errors++;
    for (size_t i = 0; i < f->limits.n; i++)
        f->at_recipient += f->limits.limits[i].at_recipient;
}

int ratelimit_configure(const struct postern_host *host, void *self, const struct postern_node *block,
                        void **filter_r)
{
    struct reader r = {
        .host = host, .self = self, .block = block, .store = option_find(block, SPAN("store"))};
    struct ratelimit *f = calloc(1, sizeof(*f));

    if (!f) {
        WRONG(&r, block, "no memory for the filter");
        return -1;
    }
    f->host = host;
    f->self = self;
    make_limits(&r, f);
    make_stores(&r, f);
    if (r.errors) {
        ratelimit_release(f);
        return -1;
    }
    *filter_r = f;
    return 0;
}

void ratelimit_release(void *filter)
{
    struct ratelimit *f = filter;

    redis_destroy(&f->redis); /* first: what is on its way points to limits */
    limits_free(&f->limits);
    if (f->password)
        explicit_bzero(f->password, f->password_n);
    free(f->password);
    free(f);
}
