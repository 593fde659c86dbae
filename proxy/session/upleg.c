/* SPDX-License-Identifier: MIT */
/* The upstream leg: the client's side of SMTP, towards the real server.
 *
 *   CONNECTING -> ... -> READY                  upleg_hello.c
 *   any state -> DEAD                                                one way: upleg_die()
 *
 * Owned by whoever owns the connection (upstream.c in the daemon). A leg that died stays as an object until
 * its owner destroys it; its user hears `lost` once. The entries of `owed` live from the command to its
 * reply. */
#include "session/upleg_parts.h"

#include "smtp/text.h"

#include <stdlib.h>

/* Which classes of reply (2yz … 5yz as bits 2 … 5) a command may have, and which deadline it has. */
#define CLASS(n)      (1u << (n))
#define FINAL_CLASSES (CLASS(2) | CLASS(4) | CLASS(5))
static const struct kind_rule {
    unsigned classes;
    size_t deadline; /* offset of a uint64_t in struct upleg_config */
} kind_rules[UPLEG_KINDS] = {
    [UPLEG_GREETING] = {FINAL_CLASSES, offsetof(struct upleg_config, greeting_us)},
    [UPLEG_EHLO] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_HELO] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_STARTTLS] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_PASS] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_MAIL] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_RCPT] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_DATA] = {CLASS(3) | CLASS(4) | CLASS(5), offsetof(struct upleg_config, data_us)},
    [UPLEG_BDAT] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_FINAL] = {FINAL_CLASSES, offsetof(struct upleg_config, final_us)},
    [UPLEG_PRDR] = {FINAL_CLASSES | CLASS(3), offsetof(struct upleg_config, final_us)},
    [UPLEG_AUTH] = {FINAL_CLASSES | CLASS(3), offsetof(struct upleg_config, command_us)},
    [UPLEG_XCLIENT] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_XFORWARD] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_RSET] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_QUERY] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_NOOP] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
    [UPLEG_QUIT] = {FINAL_CLASSES, offsetof(struct upleg_config, command_us)},
};

/* ---- life ---- */

struct upleg *upleg_create(const struct upleg_config *config, const struct upleg_ops *ops, void *ctx)
{
    struct upleg *u = calloc(1, sizeof(*u));
    if (!u)
        return NULL;
    u->config = config;
    u->ops = ops;
    u->ops_ctx = ctx;
    u->owed_last = &u->owed_first;
    reply_parser_init(&u->parser);
    u->parser.max_lines = config->reply_lines;
    u->parser.max_bytes = config->reply_bytes;
    return u;
}

static void free_owed(struct owed *o)
{
    while (o) {
        struct owed *next = o->next;
        free(o);
        o = next;
    }
}

static void drop_owed(struct upleg *u)
{
    free_owed(u->owed_first);
    u->owed_first = NULL;
    u->owed_last = &u->owed_first;
    u->owed_count = 0;
}

void upleg_destroy(struct upleg **u)
{
    if (!*u)
        return;
    drop_owed(*u);
    reply_parser_free(&(*u)->parser);
    buf_free(&(*u)->greeting);
    free(*u);
    *u = NULL;
}

/* The one end. The user hears of it last, with nothing of the leg left to touch. */
void upleg_die(struct upleg *u, bool reset, const char *why, unsigned code, struct span bytes)
{
    const struct upleg_user *user = u->user;
    void *user_ctx = u->user_ctx;
    if (u->state == AT_DEAD)
        return;
    u->securing = u->state == AT_TLS;
    u->state = AT_DEAD;
    u->user = NULL;
    drop_owed(u);
    u->ops->timer(u->ops_ctx, 0);
    u->ops->close(u->ops_ctx, reset);
    if (user)
        user->lost(user_ctx, u, why, code, bytes);
}

/* What it said cannot be trusted, and neither can what it would say next. */
static void disbelieve(struct upleg *u, const char *why)
{
    if (u->state != AT_DEAD)
        u->end = UPLEG_BROKEN;
    upleg_die(u, true, why, 0, SPAN_NONE);
}

void upleg_abort(struct upleg *u, bool reset)
{
    u->user = NULL;
    upleg_die(u, reset, "given up", 0, SPAN_NONE);
}

/* ---- replies owed ---- */

static void arm(struct upleg *u)
{
    uint64_t at = 0;
    if (u->owed_first) {
        const char *config = (const char *)u->config;
        uint64_t allowed = 0;
        memcpy(&allowed, config + kind_rules[u->owed_first->kind].deadline, sizeof(allowed));
        at = u->ops->now_us(u->ops_ctx) + allowed;
    }
    u->ops->timer(u->ops_ctx, at);
}

/* All of them or none: a reply that is owed and was not asked for shifts every one behind it. */
static bool owe_many(struct upleg *u, enum upleg_kind kind, size_t replies, void *tag)
{
    struct owed *first = NULL, **last = &first;
    bool idle = !u->owed_first;
    for (size_t i = 0; i < replies; i++) {
        *last = calloc(1, sizeof(**last));
        if (!*last) {
            free_owed(first);
            return false;
        }
        (*last)->kind = kind;
        (*last)->tag = tag;
        last = &(*last)->next;
    }
    if (!first)
        return true;
    *u->owed_last = first;
    u->owed_last = last;
    u->owed_count += replies;
    if (idle)
        arm(u);
    return true;
}

bool upleg_owe(struct upleg *u, enum upleg_kind kind, void *tag)
{
    return owe_many(u, kind, 1, tag);
}

static struct owed pop_owed(struct upleg *u)
{
    struct owed *first = u->owed_first;
    struct owed copy = *first;
    u->owed_first = first->next;
    if (!u->owed_first)
        u->owed_last = &u->owed_first;
    u->owed_count--;
    free(first);
    arm(u);
    return copy;
}

bool upleg_send_line(struct upleg *u, struct span line)
{
    char small[600];
    if (line.n + 2 <= sizeof(small)) {
        memcpy(small, line.p, line.n);
        memcpy(small + line.n, "\r\n", 2);
        bool sent = u->ops->send(u->ops_ctx, span_make(small, line.n + 2));
        wipe(small, line.n + 2); /* it may be a password */
        return sent;
    }
    return u->ops->send(u->ops_ctx, line) && u->ops->send(u->ops_ctx, SPAN_LIT("\r\n"));
}

/* ---- events of the connection ---- */

/* Of 3yz, one alone promises replies for each recipient. */
static bool is_fit(const struct owed *o, unsigned code)
{
    bool right_class = kind_rules[o->kind].classes & CLASS(code / 100);
    return right_class && (o->kind != UPLEG_PRDR || code / 100 != 3 || code == 353);
}

/* 421 says that the server closes: the reply goes to whom it is for, then the leg is over (RFC 5321 3.8). */
static void deliver(struct upleg *u, unsigned code, struct span bytes)
{
    struct owed o = pop_owed(u);
    if (!is_fit(&o, code)) {
        disbelieve(u, "the server's reply does not fit the command");
        return;
    }
    if (o.kind == UPLEG_BDAT && code / 100 != 2) /* also when nobody waits for the reply any more */
        u->marks.spent = true;
    if (o.kind == UPLEG_DATA && code / 100 == 3)
        u->content = true;
    if (u->content && o.forgotten) {
        disbelieve(u, "the server waits for content that nobody has");
        return;
    }
    if (upleg_own_steps[o.kind])
        upleg_own_steps[o.kind](u, code, bytes);
    else if (code == 421)
        upleg_die(u, u->content, "the server closes the connection (421)", code, bytes);
    else if (!o.forgotten && u->user)
        u->user->reply(u->user_ctx, u, o.kind, o.tag, code, bytes);
}

static void unexpected(struct upleg *u, unsigned code, struct span bytes)
{
    if (u->content || (u->owed_first && u->owed_first->kind == UPLEG_FINAL))
        upleg_die(u, true, "the server replied in the middle of the content", code, bytes);
    else if (code == 421)
        upleg_die(u, false, "the server closes the connection (421)", code, bytes);
    else
        disbelieve(u, "the server sent a reply that it does not owe");
}

/* Behind a 354 the server has nothing to say until it has seen the end. */
static bool speaks_into_content(const struct upleg *u, struct span rest)
{
    return rest.n && u->owed_first && u->owed_first->kind == UPLEG_DATA && u->parser.code / 100 == 3;
}

/* Only commands that were on the wire before these bytes came can be answered by them: what lies behind the
 * 354 in the same read is not the reply to the end that is written meanwhile. */
void upleg_feed(struct upleg *u, struct span bytes)
{
    u->answerable = u->owed_count;
    while (bytes.n && u->state != AT_DEAD) {
        if (u->state == AT_TLS || u->state == AT_CONNECT) {
            disbelieve(u, "the server sent plaintext where TLS must begin");
            return;
        }
        enum reply_result r = reply_feed(&u->parser, &bytes);
        if (r == REPLY_MORE)
            break;
        if (r != REPLY_READY) {
            disbelieve(u, r == REPLY_NO_MEMORY ? "no memory for a reply" : u->parser.why);
            return;
        }
        if (speaks_into_content(u, bytes)) {
            disbelieve(u, "the server replied in the middle of the content");
        } else if (u->answerable && !u->premature) {
            u->answerable--;
            deliver(u, u->parser.code, u->parser.bytes);
        } else {
            unexpected(u, u->parser.code, u->parser.bytes);
        }
    }
    if (!u->answerable && reply_partial(&u->parser))
        u->premature = true;
}

void upleg_drained(struct upleg *u)
{
    if (u->state == AT_READY && u->user && u->user->drained)
        u->user->drained(u->user_ctx, u);
}

void upleg_timeout(struct upleg *u)
{
    if (u->state != AT_DEAD)
        u->end = UPLEG_MUTE;
    upleg_die(u, true, u->state == AT_GREETING ? "no greeting in time" : "no reply in time", 0, SPAN_NONE);
}

void upleg_lost(struct upleg *u, const char *why)
{
    upleg_die(u, false, why, 0, SPAN_NONE);
}

/* ---- the user's calls ---- */

void upleg_use(struct upleg *u, const struct upleg_user *user, void *ctx)
{
    if (u->state == AT_DEAD)
        return;
    u->user = user;
    u->user_ctx = ctx;
}

bool upleg_ready(const struct upleg *u)
{
    return u->state == AT_READY;
}

bool upleg_dead(const struct upleg *u)
{
    return u->state == AT_DEAD;
}

bool upleg_in_tls(const struct upleg *u)
{
    return u->in_tls;
}

const struct ehlo *upleg_offer(const struct upleg *u)
{
    return &u->offer;
}

bool upleg_was_securing(const struct upleg *u)
{
    return u->securing;
}

enum upleg_end upleg_end(const struct upleg *u)
{
    return u->end;
}

void *upleg_owner(const struct upleg *u)
{
    return u->ops_ctx;
}

size_t upleg_owed(const struct upleg *u)
{
    return u->owed_count;
}

bool upleg_command(struct upleg *u, enum upleg_kind kind, struct span line, void *tag)
{
    return u->state == AT_READY && !u->content && upleg_owe(u, kind, tag) && upleg_send_line(u, line);
}

void upleg_forget(struct upleg *u, const void *tag)
{
    for (struct owed *o = u->owed_first; o; o = o->next)
        if (o->tag == tag)
            o->forgotten = true;
}

bool upleg_content(struct upleg *u, struct span bytes)
{
    return u->state == AT_READY && u->content && u->ops->send(u->ops_ctx, bytes);
}

bool upleg_content_end(struct upleg *u, struct span bytes, enum upleg_kind kind, size_t replies, void *tag)
{
    if (u->state != AT_READY || !u->content || !owe_many(u, kind, replies, tag))
        return false;
    u->content = false;
    return u->ops->send(u->ops_ctx, bytes);
}

bool upleg_chunk(struct upleg *u, struct span bytes, enum upleg_kind kind, size_t replies, void *tag)
{
    char line[40];
    int n = snprintf(line, sizeof(line), "BDAT %zu%s\r\n", bytes.n, kind == UPLEG_BDAT ? "" : " LAST");
    return u->state == AT_READY && n > 0 && owe_many(u, kind, replies, tag) &&
           u->ops->send(u->ops_ctx, span_make(line, (size_t)n)) &&
           (!bytes.n || u->ops->send(u->ops_ctx, bytes));
}

bool upleg_expect(struct upleg *u, size_t replies, void *tag)
{
    if (!owe_many(u, UPLEG_FINAL, replies, tag))
        return false;
    u->answerable += replies;
    return true;
}

enum upleg_chunking upleg_chunking(const struct upleg *u)
{
    return u->offer.caps & CAP_CHUNKING ? u->config->chunking : UPLEG_CHUNKS_NEVER;
}

bool upleg_lmtp(const struct upleg *u)
{
    return u->config->lmtp;
}

bool upleg_full(const struct upleg *u)
{
    return u->ops->full(u->ops_ctx);
}

struct upleg_marks *upleg_marks(struct upleg *u)
{
    return &u->marks;
}
