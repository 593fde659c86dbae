/* SPDX-License-Identifier: MIT */
/* ratelimit: so many messages or recipients in so much time, for each client, user, sender, domain, …
 *
 *   MAIL ---> keys of the limits that are charged here -----+
 *   RCPT ---> keys of those that count by recipient --------+--> decide.c: one decision, all or nothing
 *   RCPT_REPLY, not 2xx ------> what this recipient holds --+
 *   ABORT, MESSAGE_REPLY not 2xx -> what the message holds -+--> given back where it was charged
 *
 * A unit is reserved before anybody knows whether the mail will be taken: so a burst over many connections
 * cannot slip through, a message that is taken costs no second step, and a crash leaves nothing to clean up.
 *
 * The filter lives from configure to release and owns limits and stores; a session owns its booking. */
#include "ratelimit.h"

static void end_transaction(struct session *s, bool give_back)
{
    decide_forget_all(s);
    if (s->booking && give_back)
        decide_return_all(s->filter, s->booking);
    booking_destroy(&s->booking);
    s->ended = false;
}

static int session_begin(void *filter, struct postern_tx *tx, void **session_r)
{
    struct ratelimit *f = filter;
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        return -1;
    struct postern_span id = f->host->get(tx, POSTERN_F_SESSION_ID);
    s->filter = f;
    s->id_n = id.n < SESSION_ID_MAX ? id.n : SESSION_ID_MAX;
    if (s->id_n)
        memcpy(s->id, id.p, s->id_n);
    *session_r = s;
    return 0;
}

static void session_end(void *filter, void *session)
{
    struct session *s = session;

    (void)filter;
    if (!s)
        return;
    end_transaction(s, !s->ended); /* after END and without a reply nobody knows: the charge stays */
    free(s);
}

static struct booking *booking_of(struct session *s)
{
    if (!s->booking)
        s->booking = booking_create(s->filter->at_recipient);
    return s->booking;
}

/* ---- keys ---- */

static void gather_values(const struct ratelimit *f, const struct postern_tx *tx, struct key_values *values_r)
{
    static const enum postern_field fields[KEY_KINDS] = {
        [KEY_USER] = POSTERN_F_USER,
        [KEY_SENDER] = POSTERN_F_SENDER,
        [KEY_SENDER_DOMAIN] = POSTERN_F_SENDER_DOMAIN,
        [KEY_RCPT] = POSTERN_F_RCPT,
        [KEY_RCPT_DOMAIN] = POSTERN_F_RCPT_DOMAIN,
        [KEY_LISTENER] = POSTERN_F_LISTENER,
    };
    for (size_t kind = 0; kind < KEY_KINDS; kind++)
        values_r->of[kind] = kind == KEY_CLIENT ? f->host->client_ip(tx) : f->host->get(tx, fields[kind]);
}

/* The limit's name, rate, burst and the value: what it is called in Redis, less the prefix. */
static struct hash128 identify(const struct ratelimit *f, const struct limit *l, const struct key_text *key)
{
    char text[LIMIT_PREFIX_MAX + KEY_TEXT_MAX];
    size_t n = l->prefix_n - l->local;

    memcpy(text, l->prefix + l->local, n);
    memcpy(text + n, key->bytes, key->n);
    return memory_hash(&f->memory, text, n + key->n);
}

/* The holdings to charge now. A limit without a key does not apply; one that this key of the message is
 * charged for already only notes the recipient. -1: no memory. */
static int gather(struct session *s, const struct postern_tx *tx, struct visit *visit,
                  struct holding *wanted_r[LIMITS_MAX], size_t *n_r)
{
    const struct ratelimit *f = s->filter;
    struct key_values values;

    *n_r = 0;
    gather_values(f, tx, &values);
    for (size_t i = 0; i < f->limits.n; i++) {
        const struct limit *l = &f->limits.limits[i];
        struct key_text key;
        if (l->at_recipient != (visit != NULL) || key_build(l->parts, l->n_parts, &values, &key) != 0)
            continue;
        struct booking *b = booking_of(s);
        struct holding *h = b ? booking_holding(b, l, identify(f, l, &key), &key) : NULL;
        if (!h)
            return -1;
        if (visit && l->per_message && holding_held(h))
            visit_hold(visit, h, IN_MEMORY); /* the place is of no account for a shared unit */
        else
            wanted_r[(*n_r)++] = h;
    }
    return 0;
}

static void reserve(struct session *s, const struct postern_tx *tx, struct visit *visit,
                    struct postern_verdict *v)
{
    struct holding *wanted[LIMITS_MAX];
    size_t n;

    if (gather(s, tx, visit, wanted, &n) == 0)
        decide(s, tx, visit, wanted, n, v);
    else
        answer_unavailable(NULL, v);
}

/* ---- hooks ---- */

static void on_mail(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    struct session *s = session;

    (void)filter, (void)ev;
    end_transaction(s, !s->ended);
    reserve(s, tx, NULL, v);
}

static struct hash128 recipient_id(const struct ratelimit *f, struct postern_span recipient)
{
    return memory_hash(&f->memory, recipient.p, recipient.n);
}

static void on_rcpt(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                    struct postern_verdict *v)
{
    struct ratelimit *f = filter;
    struct session *s = session;

    if (f->at_recipient == 0)
        return;
    struct booking *b = booking_of(s);
    struct visit *visit = b ? booking_visit(b, recipient_id(f, ev->text)) : NULL;
    if (visit)
        reserve(s, tx, visit, v);
    else
        answer_unavailable(NULL, v);
}

static bool taken(unsigned code)
{
    return code / 100 == 2;
}

static void on_rcpt_reply(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                          struct postern_verdict *v)
{
    struct ratelimit *f = filter;
    struct session *s = session;
    struct visit *visit = s->booking ? booking_leave(s->booking, recipient_id(f, ev->text)) : NULL;

    (void)tx, (void)v;
    if (!visit)
        return;
    decide_forget_visit(s, visit);
    if (!taken(ev->code))
        decide_return_visit(f, visit);
    free(visit);
}

static void on_end(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                   struct postern_verdict *v)
{
    struct session *s = session;
    (void)filter, (void)tx, (void)ev, (void)v;
    s->ended = true;
}

/* Code 0: nobody knows whether the upstream took the message. It may have: the charge stays. */
static void on_message_reply(void *filter, void *session, struct postern_tx *tx,
                             const struct postern_event *ev, struct postern_verdict *v)
{
    (void)filter, (void)tx, (void)v;
    end_transaction(session, ev->code != 0 && !taken(ev->code));
}

static void on_abort(void *filter, void *session, struct postern_tx *tx, const struct postern_event *ev,
                     struct postern_verdict *v)
{
    (void)filter, (void)tx, (void)ev, (void)v;
    end_transaction(session, true);
}

static void cancel(void *filter, void *session, uint64_t ticket)
{
    (void)filter;
    decide_forget(session, ticket);
}

static void start(void *filter)
{
    struct ratelimit *f = filter;
    if (f->redis)
        redis_start(f->redis);
}

const struct postern_filter postern_filter = {
    .magic = POSTERN_FILTER_MAGIC,
    .abi_major = POSTERN_ABI_MAJOR,
    .abi_minor = POSTERN_ABI_MINOR,
    .size = sizeof(struct postern_filter),
    .name = "ratelimit",
    .help = "Limits messages and recipients by client, user, sender, domain or listener.",
    .options = ratelimit_options,
    .configure = ratelimit_configure,
    .start = start,
    .release = ratelimit_release,
    .session_begin = session_begin,
    .session_end = session_end,
    .cancel = cancel,
    .hooks =
        {
            [POSTERN_ON_MAIL] = on_mail,
            [POSTERN_ON_RCPT] = on_rcpt,
            [POSTERN_ON_RCPT_REPLY] = on_rcpt_reply,
            [POSTERN_ON_END] = on_end,
            [POSTERN_ON_MESSAGE_REPLY] = on_message_reply,
            [POSTERN_ON_ABORT] = on_abort,
        },
};
