/* SPDX-License-Identifier: MIT */
/* One message, a reply for each recipient: LMTP (RFC 2033 4.2) and PRDR (draft-hall-prdr).
 *
 *   server            client asked with PRDR         client did not
 *   LMTP, n replies   353, the n, a final one        one reply, folded
 *   353, n, final     passed on                      (is not asked for)
 *
 * Recipients that a filter added come behind the client's: what is said of them is noted, and the client does
 * not hear it. Where a filter has put one in the place of all, what is said of that one holds for each.
 *
 * Folding may not lie. All alike: the server's own words. Else some have the message and some have not, and
 * one reply can say only one thing: 4yz when any recipient may be tried again (those that have it get it
 * twice), 5yz when none may (the sender is told who has it not). Never 2yz, which would lose mail in silence.
 *
 * What is collected is the transaction's. */
#include "session/internal.h"

#define WORDS_MAX ((size_t)1024 * 1024) /* of all replies to one message */

static bool keep_words(struct tx *t, struct span bytes)
{
    return bytes.n <= WORDS_MAX - buf_len(&t->each_bytes) && buf_append(&t->each_bytes, bytes);
}

static bool collect(struct session *s, unsigned code, struct span bytes)
{
    struct tx *t = s->tx;
    size_t at = 0;
    struct span text;
    size_t own = readdress_rcpts(s);
    bool words = t->prdr || (t->envelope.copies && t->each_n + 1 == own);
    if (!t->each)
        t->each = arena_alloc(t->arena, own * sizeof(*t->each));
    if (!t->each || !reply_next_line(bytes, &at, &text))
        return false;
    if (t->each_n == own) {
        readdress_copy_answered(s, readdress_copy(t, t->copies_n++), code, text);
        return true;
    }
    t->each[t->each_n++] = (struct rcpt_reply){code, arena_span(t->arena, text)};
    return !words || keep_words(t, bytes);
}

/* No memory to say it: nothing is said, and the client hears that the connection is gone. */
static bool fall_silent(struct session *s, struct span *bytes)
{
    s->first->closes = true;
    *bytes = SPAN_NONE;
    return true;
}

static size_t count_class(const struct tx *t, unsigned class)
{
    size_t n = 0;
    for (size_t i = 0; i < t->each_n; i++)
        n += t->each[i].code / 100 == class;
    return n;
}

/* The first reply of the class, which there is. */
static const struct rcpt_reply *first_of(const struct tx *t, unsigned class)
{
    size_t i = 0;
    while (i + 1 < t->each_n && t->each[i].code / 100 != class)
        i++;
    return &t->each[i];
}

static bool all_alike(const struct tx *t)
{
    for (size_t i = 1; i < t->each_n; i++)
        if (t->each[i].code != t->each[0].code || !span_eq(t->each[i].text, t->each[0].text))
            return false;
    return true;
}

/* The line of a folded reply for one recipient, and what the server said of it. */
static bool print_recipient(struct buf *b, struct span rcpt, const struct rcpt_reply *r)
{
    return buf_printf(b, "\n<%.*s>: %u %.*s", SPAN_FMT(rcpt), r->code, SPAN_FMT(r->text));
}

static bool print_mixed(struct session *s, struct buf *out, unsigned code)
{
    const struct tx *t = s->tx;
    struct buf text = {0};
    bool ok = buf_printf(&text, "Not all recipients have the message");
    for (size_t i = 0; i < t->each_n && ok; i++)
        ok = print_recipient(&text, s->view.rcpts[i], &t->each[i]);
    ok = ok &&
         reply_print(out, code, code / 100 == 4 ? SPAN_LIT("4.2.0") : SPAN_LIT("5.2.0"), buf_span(&text));
    buf_free(&text);
    return ok;
}

/* For a client that did not ask: one reply for all. */
static bool fold(struct session *s, unsigned *code, struct span *bytes)
{
    struct tx *t = s->tx;
    size_t good = count_class(t, 2);
    unsigned worst = count_class(t, 4) ? 4 : 5;
    if (good == t->each_n || all_alike(t)) {
        *code = t->each[t->each_n - 1].code; /* the last one stands for all */
        if (t->envelope.copies || t->envelope.redirected)
            *bytes = buf_span(&t->each_bytes);
        return true;
    }
    buf_free(&t->each_bytes);
    const struct rcpt_reply *r = first_of(t, worst);
    *code = r->code;
    if (!print_mixed(s, &t->each_bytes, *code))
        return false;
    *bytes = buf_span(&t->each_bytes);
    return true;
}

/* For a client that asked: the final reply behind theirs is 250 when anybody has the message. */
static bool answer_each(struct session *s, unsigned *code, struct span *bytes)
{
    struct tx *t = s->tx;
    struct buf all = {0};
    bool any = count_class(t, 2) > 0;
    unsigned final = any ? 250 : first_of(t, count_class(t, 4) ? 4 : 5)->code;
    bool ok = reply_print(&all, 353, SPAN_NONE, SPAN_LIT("Replies for each recipient follow")) &&
              buf_append(&all, buf_span(&t->each_bytes)) &&
              reply_print(&all, final, SPAN_NONE,
                          any ? SPAN_LIT("Delivered as said") : SPAN_LIT("No recipient has the message"));
    if (ok) {
        buf_free(&t->each_bytes);
        t->each_bytes = all;
        *code = final;
        *bytes = buf_span(&t->each_bytes);
    } else {
        buf_free(&all);
    }
    return ok;
}

/* What the server said of the recipient in the place of all, without its words: they may name it. */
static bool print_redirected(struct session *s, unsigned code)
{
    struct tx *t = s->tx;
    size_t n = t->prdr ? s->view.rcpt_count : 1;
    bool good = code / 100 == 2, ok = true;
    char enhanced[] = {(char)('0' + code / 100), '.', '0', '.', '0'};
    buf_free(&t->each_bytes);
    for (size_t i = 0; i < n && ok; i++)
        ok = reply_print(&t->each_bytes, code, span_make(enhanced, sizeof(enhanced)),
                         good ? SPAN_LIT("Ok") : SPAN_LIT("Not delivered"));
    return ok;
}

static void note(struct session *s)
{
    struct tx *t = s->tx;
    char text[80];
    int n =
        snprintf(text, sizeof(text), "%zu of %zu recipients have the message", count_class(t, 2), t->each_n);
    if (n > 0)
        tx_note_more(t, text);
}

static bool fold_lmtp(struct session *s, unsigned *code, struct span *bytes)
{
    struct tx *t = s->tx;
    if (t->each_n + t->copies_n < readdress_rcpts(s) + t->envelope.copies)
        return false;
    note(s);
    if (t->envelope.redirected && !print_redirected(s, t->each[0].code))
        return fall_silent(s, bytes);
    return (t->prdr ? answer_each(s, code, bytes) : fold(s, code, bytes)) || fall_silent(s, bytes);
}

/* Of the replies behind 353: is it to a recipient that a filter added? */
static bool is_for_copy(struct session *s, enum upleg_kind kind, bool more)
{
    struct tx *t = s->tx;
    if (kind == UPLEG_PRDR || !more)
        return false;
    if (t->each_n == s->view.rcpt_count)
        return true;
    t->each_n++;
    return false;
}

/* 353, then one reply for each recipient, then the last word: passed on together. */
static bool gather_prdr(struct session *s, enum upleg_kind kind, unsigned code, struct span *bytes)
{
    struct tx *t = s->tx;
    if (kind == UPLEG_PRDR && code / 100 != 3)
        return true; /* the server had one for all */
    bool more = kind == UPLEG_PRDR || upleg_owed(s->leg) > 0;
    if (is_for_copy(s, kind, more)) {
        struct span text = SPAN_NONE;
        size_t at = 0;
        (void)!reply_next_line(*bytes, &at, &text);
        readdress_copy_answered(s, readdress_copy(t, t->copies_n++), code, text);
        return false;
    }
    size_t all = s->view.rcpt_count + t->envelope.copies;
    if (!keep_words(t, *bytes) || (kind == UPLEG_PRDR && !upleg_expect(s->leg, all + 1, t)))
        return fall_silent(s, bytes);
    *bytes = buf_span(&t->each_bytes);
    return !more;
}

/* Takes a reply to the end of the message. true: it was the last, and *code and *bytes are for the client. */
bool recipients_fold(struct session *s, enum upleg_kind kind, unsigned *code, struct span *bytes)
{
    struct tx *t = s->tx;
    if (upleg_lmtp(s->leg))
        return collect(s, *code, *bytes) ? fold_lmtp(s, code, bytes) : fall_silent(s, bytes);
    return !t->prdr || gather_prdr(s, kind, *code, bytes);
}
