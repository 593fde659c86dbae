/* SPDX-License-Identifier: MIT */
/* What the client sends, by mode: lines to commands, content to its decoder, SASL responses to the exchange.
 * Whoever speaks out of turn, or ends lines as nobody may, is answered and then not listened to any more.
 * Owns nothing. */
#include "session/internal.h"

static void refuse_line(struct session *s, enum own_reply r)
{
    struct cmd *c = queue_add(s, SPAN_NONE);
    if (!c) {
        session_over(s, SESSION_CLOSE_FLUSH, "no memory");
        return;
    }
    c->refusal = r;
    session_run(s);
}

/* A line that cannot be trusted, or came out of turn: the answer, and no byte after it is read. */
static void refuse_for_good(struct session *s, struct span *in, enum own_reply r)
{
    in->n = 0;
    s->turn_over = false;
    refuse_line(s, r);
    if (s->mode != MODE_OVER)
        s->eof = true; /* what still comes is thrown away */
}

/* A browser or a scanner: the lines that follow are its headers and its form, not its commands. */
static bool other_protocol(struct span word)
{
    static const struct span words[] = {{"GET", 3},  {"POST", 4},    {"PUT", 3},
                                        {"HEAD", 4}, {"CONNECT", 7}, {"OPTIONS", 7}};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (span_ieq(word, words[i]))
            return true;
    return false;
}

static void refuse_long_line(struct session *s)
{
    session_count(s, SESSION_COUNT_LINE_TOO_LONG);
    refuse_line(s, SAY_LINE_TOO_LONG);
}

static enum own_reply command_refusal(const struct command *c, enum command_error e)
{
    static const enum own_reply by_error[] = {
        [COMMAND_OK] = SAY_NONE,
        [COMMAND_UNKNOWN] = SAY_UNKNOWN,
        [COMMAND_SYNTAX] = SAY_BAD_COMMAND,
        [COMMAND_NO_ARGUMENT] = SAY_NEEDS_ARGUMENT,
        [COMMAND_HAS_ARGUMENT] = SAY_TAKES_NO_ARGUMENT,
        [COMMAND_UTF8] = SAY_BAD_COMMAND,
    };
    if (other_protocol(c->word))
        return SAY_OTHER_PROTOCOL;
    if (c->verb == VERB_BDAT && e != COMMAND_OK)
        return SAY_BAD_BDAT;
    if (verb_info(c->verb)->flags & VERB_IS_REFUSED)
        return SAY_NOT_SERVED;
    return by_error[e];
}

static bool is_too_long(const struct session *s, struct span line)
{
    const struct session_limits *l = &s->policy->limits;
    bool auth = span_istarts(line, SPAN_LIT("AUTH "));
    return line.n + 2 > (auth ? l->auth_line : l->command_line); /* RFC 5321 4.5.3.1.4 counts the CRLF */
}

/* What follows a BDAT is content, and must never be read as commands. Where its end is not known, nothing is
 * read any more. */
static void expect_chunk(struct session *s, struct cmd *c, struct span *in)
{
    if (!s->helo_done || !(s->offered.caps & CAP_CHUNKING))
        c->refusal = SAY_BDAT_NOT_OFFERED;
    else if (!c->refusal && !bdat_parse(c->command.arg, &c->bdat))
        c->refusal = SAY_BAD_BDAT;
    if (c->refusal) {
        in->n = 0;
        s->eof = true;
        return;
    }
    s->chunk_due = true;
    s->chunk = c;
    s->chunk_left = c->bdat.size;
}

static void take_command(struct session *s, struct span line, struct span *in)
{
    struct cmd *c = queue_add(s, line);
    if (!c) {
        session_over(s, SESSION_CLOSE_FLUSH, "no memory");
        return;
    }
    c->refusal = command_refusal(&c->command, command_parse(span_make(c->line, c->line_n), &c->command));
    if (c->command.verb == VERB_BDAT)
        expect_chunk(s, c, in);
    bool last_of_group = verb_info(c->command.verb)->flags & VERB_IS_SYNC;
    if (last_of_group && in->n && (s->enforce_sync || c->command.verb == VERB_STARTTLS)) {
        session_count(s, SESSION_COUNT_SYNC_VIOLATIONS);
        c->refusal = SAY_OUT_OF_TURN;
        in->n = 0;
        s->eof = true; /* what still comes is thrown away */
    } else if (last_of_group) {
        s->turn_over = true;
    }
    session_run(s);
}

static void line_event(struct session *s, enum line_result r, struct span line, struct span *in)
{
    switch (r) {
    case LINE_MORE:
        break;
    case LINE_READY:
        if (is_too_long(s, line))
            refuse_long_line(s);
        else
            take_command(s, line, in);
        break;
    case LINE_TOO_LONG:
        refuse_long_line(s);
        break;
    case LINE_FLOOD:
        session_count(s, SESSION_COUNT_LINE_TOO_LONG);
        refuse_for_good(s, in, SAY_LINE_FLOOD);
        break;
    case LINE_BARE_LF:
    case LINE_BARE_CR:
    case LINE_NUL:
        session_count(s, SESSION_COUNT_BARE_NEWLINES);
        refuse_for_good(s, in, SAY_BAD_LINE_END);
        break;
    case LINE_NO_MEMORY:
        refuse_for_good(s, in, SAY_NO_MEMORY);
        break;
    }
}

/* What comes behind STARTTLS in the clear may have been put there by anybody: nobody may hold it until it
 * looks like something said under TLS. */
static bool tls_is_next(const struct session *s)
{
    const struct cmd *c = s->first;
    while (c && c->next)
        c = c->next;
    return c && c->command.verb == VERB_STARTTLS;
}

/* false: no more is taken now. */
static bool feed_command(struct session *s, struct span *in)
{
    if (s->chunk_due)
        return chunk_feed(s, in);
    if (s->turn_over && (s->enforce_sync || tls_is_next(s))) {
        session_count(s, SESSION_COUNT_SYNC_VIOLATIONS);
        refuse_for_good(s, in, SAY_OUT_OF_TURN);
        return true;
    }
    if (s->turn_over || queue_full(s))
        return false;
    struct span line;
    s->line.max = s->policy->limits.auth_line;
    enum line_result r = line_feed(&s->line, in, &line);
    line_event(s, r, line, in);
    return true;
}

static bool feed_auth(struct session *s, struct span *in)
{
    struct span line;
    if (!s->auth || s->auth->state == CMD_SENT)
        return feed_command(s, in); /* the upstream's turn: bytes now are out of turn */
    enum line_result r = line_feed(&s->line, in, &line);
    if (r == LINE_READY) {
        auth_line(s, line);
    } else if (r == LINE_TOO_LONG) {
        auth_give_up(s, SAY_AUTH_LINE_TOO_LONG);
    } else if (r != LINE_MORE) {
        in->n = 0;
        auth_give_up(s, SAY_BAD_LINE_END);
    }
    return true;
}

/* Before the greeting: whoever talks now does not listen (RFC 5321 3.1). */
static bool feed_new(struct session *s, struct span *in)
{
    if (!s->enforce_sync || s->in_tls)
        return false;
    session_count(s, SESSION_COUNT_SYNC_VIOLATIONS);
    phases_stop(s);
    s->mode = MODE_COMMAND;
    refuse_for_good(s, in, SAY_OUT_OF_TURN);
    return true;
}

static bool feed_content(struct session *s, struct span *in)
{
    if (content_waits(s))
        return false;
    content_receive(s, in);
    return true;
}

static bool feed_step(struct session *s, struct span *in)
{
    if (s->eof || s->gone) {
        in->n = 0;
        return true;
    }
    switch (s->mode) {
    case MODE_NEW:
        return feed_new(s, in);
    case MODE_COMMAND:
        return feed_command(s, in);
    case MODE_AUTH:
        return feed_auth(s, in);
    case MODE_CONTENT:
        return feed_content(s, in);
    case MODE_TLS:
    case MODE_OVER:
        in->n = 0;
        break;
    }
    return true;
}

size_t session_feed(struct session *s, struct span in)
{
    struct span rest = in;
    while (rest.n && feed_step(s, &rest))
        ;
    if (rest.n)
        s->held_input = true;
    if (s->mode != MODE_OVER)
        session_arm(s);
    return in.n - rest.n;
}
