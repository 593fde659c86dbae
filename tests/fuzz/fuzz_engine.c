/* SPDX-License-Identifier: MIT */
/* The whole engine, two-sided: the input is a script of events, the promises are assertions.
 *
 *   bytes 0, 1 and 3: options. byte 2: the phase in which the one filter has its say, and what: a verdict, or
 * edits of the message. Then records of kind, length, bytes:
 *   0 the client sends      1 the upstream sends      2 the upstream's next expected reply, well-formed (code
 *   by the first byte)      3 time passes             4 the client leaves       5 the upstream leaves
 *   6 a drain               7 upstream output blocks, or not any more           8 the upstream's greeting and
 *   EHLO                    9 the filter's late verdict                         10 the client does not read,
 *   or does again           11 the end of a drain     12 TLS goes on: asked for, or there, on either side
 *
 * Checked: the client is never told 2yz after a message's end without the upstream having said it, and no
 * message is accepted whose end was not sent (promise 1); what goes upstream has no bare CR or LF, whatever
 * came in, unless it is the payload of a chunk of a binary message, and behind each chunk a command of ours
 * begins (promise 2); each session that ends gives back every policy; the engine ends whatever happens. */
#include "smtp/bdat.h"
#include "support/engine.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The filter: fuzzers run one input at a time, so its state may be static. */
static struct {
    enum postern_phase phase;
    enum postern_action action;
    const struct postern_host *host;
    void *self;
    uint64_t ticket;
    long open;       /* MAIL hooks without END or ABORT */
    unsigned wishes; /* bits of enum wish */
} script;

enum wish { WISH_FIELDS = 1, WISH_COPIES = 2, WISH_REDIRECT = 4 };

static int filter_configure(const struct postern_host *host, void *self, const struct postern_node *block,
                            void **filter_r)
{
    (void)block;
    script.host = host;
    script.self = self;
    *filter_r = &script;
    return 0;
}

static void ask_for_edits(struct postern_tx *tx)
{
    const struct postern_host *h = script.host;
    if (script.wishes & WISH_FIELDS) {
        (void)h->header_add(tx, (struct postern_span){".A", 2}, (struct postern_span){"b\r\n .", 5});
        (void)h->header_remove(tx, (struct postern_span){"A", 1});
        (void)h->subject_prefix(tx, (struct postern_span){"\xc3\xa4", 2});
    }
    if (script.wishes & WISH_COPIES) {
        (void)h->rcpt_add(tx, (struct postern_span){"c@y.test", 8});
        (void)h->rcpt_add(tx, (struct postern_span){"d@y.test", 8});
    }
    if (script.wishes & WISH_REDIRECT)
        (void)h->rcpt_replace(tx, (struct postern_span){"q@y.test", 8});
}

static void filter_hook(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                        struct postern_verdict *v)
{
    (void)filter;
    (void)session;
    script.open += ev->phase == POSTERN_ON_MAIL;
    script.open -= ev->phase == POSTERN_ON_END || ev->phase == POSTERN_ON_ABORT;
    if (script.open < 0 || script.open > 1)
        abort();
    if (ev->phase != script.phase)
        return;
    ask_for_edits(tx);
    v->action = script.action;
    v->delay_us = script.action == POSTERN_DELAY ? 1000000 : 0;
    if (v->action == POSTERN_PENDING)
        script.ticket = script.host->ticket(tx);
}

static const struct postern_filter filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "fuzzed",
    .configure = filter_configure,
    .hooks = {[POSTERN_ON_CONNECT] = filter_hook,
              [POSTERN_ON_HELO] = filter_hook,
              [POSTERN_ON_AUTH] = filter_hook,
              [POSTERN_ON_MAIL] = filter_hook,
              [POSTERN_ON_RCPT] = filter_hook,
              [POSTERN_ON_DATA] = filter_hook,
              [POSTERN_ON_HEADERS] = filter_hook,
              [POSTERN_ON_END] = filter_hook,
              [POSTERN_ON_ABORT] = filter_hook},
    .wants = POSTERN_WANTS_EDITS,
};

/* One that changes nothing, so that its messages may stream. */
static struct postern_filter reader(void)
{
    struct postern_filter f = filter;
    f.wants = 0;
    return f;
}

static void late_verdict(uint8_t byte)
{
    struct postern_verdict v = {.size = sizeof(v), .action = (enum postern_action)(byte % POSTERN_DELAY)};
    if (script.ticket)
        script.host->resume(script.self, script.ticket, &v);
}

static void must(bool fact, const char *what)
{
    if (fact)
        return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static void check_line_ends(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n')
            must(i > 0 && s.p[i - 1] == '\r', "a bare LF went upstream");
        if (s.p[i] == '\r' && i + 1 < s.n)
            must(s.p[i + 1] == '\n', "a bare CR went upstream");
    }
}

/* What an upstream that knows BDAT reads: lines, and payloads as long as was said. DATA it sees only where it
 * refused every recipient, and then no content. */
struct wire_reader {
    size_t at;         /* of world.to_upstream, whose earlier bytes are read */
    unsigned connects; /* a new connection begins with a command */
    bool binary;
};

static bool is_command_of_ours(struct span line)
{
    static const char *const words[] = {"EHLO ", "HELO ", "MAIL FROM:", "RCPT TO:", "BDAT ", "RSET",
                                        "DATA",  "NOOP",  "QUIT",       "AUTH ",    "VRFY ", "EXPN ",
                                        "ETRN ", "LHLO ", "HELP",       "STARTTLS"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (span_istarts(line, span_of(words[i])))
            return true;
    return false;
}

static void read_chunks(struct wire_reader *r, struct world *w)
{
    struct span all = buf_span(&w->to_upstream);
    if (r->connects != w->connects) {
        r->connects = w->connects;
        r->at = all.n; /* its first command waits for the greeting */
    }
    while (r->at < all.n) {
        struct span rest = span_skip(all, r->at);
        size_t n = span_find(rest, '\n');
        if (n == rest.n)
            return;
        must(n > 0 && rest.p[n - 1] == '\r', "a line without CRLF");
        struct span line = span_head(rest, n - 1);
        struct bdat bdat = {0};
        must(is_command_of_ours(line), "behind a chunk there is no command");
        bool chunk = span_istarts(line, SPAN_LIT("BDAT "));
        if (chunk)
            must(bdat_parse(span_trim(span_skip(line, 5)), &bdat), "BDAT without a size");
        if (n + 1 + bdat.size > rest.n)
            must(false, "a chunk is shorter than announced");
        if (!r->binary)
            check_line_ends(span_make(rest.p + n + 1, (size_t)bdat.size));
        r->at += n + 1 + (size_t)bdat.size;
    }
}

/* Reads the last line that the session sent upstream and answers it as a server would. */
static void answer_upstream(struct world *w, uint8_t byte)
{
    static const char *const replies[] = {
        "250 2.0.0 fine", "354 go",   "550 5.7.1 no", "451 4.3.0 later", "250-two\r\n250 lines",
        "421 4.3.2 bye",  "334 Z28=", "235 2.7.0 in", "353 each of them"};
    char text[64];
    int n = snprintf(text, sizeof(text), "%s\r\n", replies[byte % COUNT_OF(replies)]);
    world_upstream(w, span_make(text, (size_t)n), 0);
}

static void say_hello(struct world *w)
{
    char offer[220];
    const struct upleg *leg = w->leg;
    if (!leg)
        return;
    int n = snprintf(offer, sizeof(offer),
                     "250-up\r\n%s%s%s250-AUTH PLAIN LOGIN\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
                     "250-BINARYMIME\r\n250 DSN\r\n",
                     w->offer.caps & CAP_PIPELINING ? "250-PIPELINING\r\n" : "",
                     w->offer.caps & CAP_PRDR ? "250-PRDR\r\n" : "",
                     w->leg_config.tls && !upleg_in_tls(leg) ? "250-STARTTLS\r\n" : "");
    world_upstream(w, SPAN_LIT("220 up\r\n"), 0);
    if (w->leg == leg) /* else it was one too many, and the next connection begins with its own */
        world_upstream(w, span_make(offer, (size_t)n), 0);
}

/* Whoever is to read chunks must have offered them: such a server's first words are always the same. */
static bool is_first_word(const struct world *w, unsigned kind)
{
    return (kind == 1 || kind == 2) && w->leg_config.chunking && !w->leg_config.relay && w->leg &&
           !upleg_ready(w->leg);
}

static void tls_goes_on(struct world *w, uint8_t byte)
{
    if (byte & 1) {
        if (w->leg)
            upleg_secured(w->leg);
    } else if (w->client_tls && !(byte & 2)) {
        session_tls_asks(w->session);
    } else if (w->client_tls) {
        w->client_tls = false;
        session_secured(w->session, SPAN_LIT("TLSv1.3"));
    }
}

#define KINDS 13

static void run_record(struct world *w, uint8_t kind, struct span bytes)
{
    switch (is_first_word(w, kind % KINDS) ? 8 : kind % KINDS) {
    case 0:
        world_client(w, bytes, 0);
        break;
    case 1:
        world_upstream(w, bytes, 0);
        break;
    case 2:
        answer_upstream(w, bytes.n ? (uint8_t)bytes.p[0] : 0);
        break;
    case 3:
        world_wait(w, (uint64_t)(bytes.n ? (uint8_t)bytes.p[0] : 1) * 5000000);
        break;
    case 4:
        if (bytes.n > 1)
            session_eof(w->session);
        else
            session_gone(w->session);
        break;
    case 5:
        if (w->leg)
            upleg_lost(w->leg, "gone");
        break;
    case 6:
        session_drain(w->session);
        break;
    case 7:
        w->leg_full = !w->leg_full;
        if (!w->leg_full && w->leg)
            upleg_drained(w->leg);
        break;
    case 8:
        say_hello(w);
        break;
    case 9:
        late_verdict(bytes.n ? (uint8_t)bytes.p[0] : 0);
        break;
    case 10:
        w->client_full = !w->client_full;
        if (!w->client_full)
            session_drained(w->session);
        break;
    case 11:
        session_kill(w->session);
        break;
    default:
        tls_goes_on(w, bytes.n ? (uint8_t)bytes.p[0] : 0);
        break;
    }
    if (w->resume && !w->closed)
        world_offer_bytes(w);
    world_bury(w);
}

static const struct network everywhere = {.ip = {[10] = 0xff, [11] = 0xff}, .bits = 96};

static void more_options(struct world *w, uint8_t bits)
{
    static const uint64_t holds[] = {1 << 18, 0, 8, 64};
    w->policy.limits.hold = holds[bits & 3];
    w->policy.offer_chunking = !(bits & 4);
    w->leg_config.chunking = bits & 8 ? UPLEG_CHUNKS_ALWAYS : UPLEG_CHUNKS_NEVER;
    if (bits & 16)
        w->offer.caps |= CAP_BINARYMIME;
    if (bits & 32)
        w->policy.vrfy = w->policy.expn = w->policy.etrn = SESSION_QUERY_RELAY;
    if (bits & 64)
        w->policy.lenient_sync = w->policy.normalize_for = w->policy.trust_xclient =
            (struct networks){&everywhere, 1};
    if (bits & 128) {
        w->policy.limits.pipelined = 2;
        w->policy.limits.commands = 20;
        w->leg_config.reply_lines = 1;
    }
    if (w->leg_config.chunking) /* else responses, lines of any kind, go upstream */
        w->policy.auth_needs_tls = true;
}

/* What kind of server it is. One that gets DATA as well is not read chunk by chunk. */
static void upstream_options(struct world *w, uint8_t bits)
{
    if (bits & 1) {
        w->leg_config.chunking = UPLEG_CHUNKS_AS_CAME;
        w->offer.caps &= ~(uint32_t)CAP_BINARYMIME;
        w->policy.auth_needs_tls = true;
    }
    w->leg_config.lmtp = bits & 2;
    if (bits & 4)
        w->offer.caps |= CAP_PRDR;
    if (bits & 8)
        w->offer.caps &= ~(uint32_t)CAP_PIPELINING;
    if (bits & 16)
        w->policy.limits.upstream_idle_us = 10000000;
    if (bits & 32)
        w->policy.limits.data_rate = 0;
    if (bits & 64) { /* what it offers is the script's to say, so it may get DATA at any time */
        w->policy.eager = w->policy.relay_greeting = w->leg_config.relay = true;
        w->leg_config.chunking = UPLEG_CHUNKS_NEVER;
    }
    if (bits & 128) {
        w->policy.offer_starttls = true;
        w->policy.pass_tls = bits & 32;
        w->policy.mirror_tls = !(bits & 32);
        w->leg_config.tls = bits & 16 ? UPLEG_REQUIRED : UPLEG_OPPORTUNISTIC;
        w->offer.caps |= CAP_STARTTLS;
    }
}

static void options(struct world *w, uint8_t bits)
{
    world_defaults(w);
    w->offer.caps |= CAP_AUTH;
    ehlo_take(&w->offer, SPAN_LIT("AUTH PLAIN LOGIN"));
    w->policy.enforce_sync = bits & 1;
    w->policy.normalize_newlines = bits & 2;
    w->policy.offer_starttls = bits & 4;
    w->policy.auth_needs_tls = bits & 8;
    w->policy.eager = bits & 16;
    w->refuse_connect = bits & 32;
    w->policy.limits.message_bytes = bits & 64 ? 64 : 4096;
    w->budget.memory_max = bits & 128 ? 16 : 1 << 20;
    w->policy.limits.recipients = 5;
}

static struct chain *chain_of(struct world *w, uint8_t byte, struct filter_instance **instance_r)
{
    static const unsigned wishes[] = {WISH_FIELDS, WISH_COPIES | WISH_FIELDS, WISH_REDIRECT,
                                      WISH_REDIRECT | WISH_COPIES | WISH_FIELDS, WISH_COPIES};
    struct filter_settings settings = {.name = "fuzzed", .deadline_us = 5000000};
    unsigned say = byte / POSTERN_PHASES;
    bool edits = say > POSTERN_PENDING;
    const struct postern_filter plugin = edits ? filter : reader();
    script.phase = (enum postern_phase)(byte % POSTERN_PHASES);
    script.action = edits ? POSTERN_CONTINUE : (enum postern_action)say;
    script.wishes = edits ? wishes[(say - POSTERN_PENDING - 1) % COUNT_OF(wishes)] : 0;
    *instance_r = filter_instance_create(&plugin, &settings, &w->services);
    struct chain *c = *instance_r ? chain_create(instance_r, 1) : NULL;
    if (!c)
        abort();
    return c;
}

/* Only the upstream's words may make a message accepted; a drained output may carry on with one that was
 * decided. */
static void play(struct world *w, const uint8_t *data, size_t size)
{
    struct wire_reader reader = {.binary = w->offer.caps & CAP_BINARYMIME};
    for (size_t at = 4; at + 1 < size && !w->closed;) {
        size_t n = data[at + 1];
        n = n < size - at - 2 ? n : size - at - 2;
        uint64_t before = w->counters[SESSION_COUNT_ACCEPTED];
        uint8_t kind = data[at] % KINDS;
        run_record(w, data[at], span_make((const char *)data + at + 2, n));
        if (kind != 1 && kind != 2 && kind != 8)
            must(w->counters[SESSION_COUNT_ACCEPTED] == before,
                 "acknowledged by what was not the upstream's reply");
        must(w->counters[SESSION_COUNT_ACCEPTED] <= w->releases, "accepted, and its end was not sent");
        if (w->leg_config.chunking == UPLEG_CHUNKS_ALWAYS)
            read_chunks(&reader, w);
        else
            check_line_ends(buf_span(&w->to_upstream));
        at += 2 + n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    struct filter_instance *instance = NULL;
    if (size < 5)
        return 0;
    memset(&script, 0, sizeof(script));
    options(&w, data[0]);
    more_options(&w, data[1]);
    upstream_options(&w, data[3]);
    struct chain *chain = data[2] ? chain_of(&w, data[2], &instance) : NULL;
    w.policy.chain = chain;
    world_begin(&w);
    play(&w, data, size);
    if (!w.client_tls) { /* whatever happened: with time everything ends */
        world_wait(&w, 4000000000u);
        if (!w.closed && w.leg && !upleg_ready(w.leg)) { /* a handshake has its deadline in the connection */
            upleg_lost(w.leg, "not in time");
            world_wait(&w, 4000000000u);
        }
        must(w.closed, "a session that does not end");
    }
    world_end(&w);
    must(w.policies_out == 0, "a policy was not given back");
    must(w.budget.memory_used == 0 && w.budget.disk_used == 0, "content was not given back");
    if (chain) {
        must(script.open == 0, "a transaction without END or ABORT");
        chain_destroy(&chain);
        filter_instance_destroy(&instance);
    }
    return 0;
}
