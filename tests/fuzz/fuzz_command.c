/* SPDX-License-Identifier: MIT */
/* What a client sends: line splitter, command, path, parameters, SASL. The input is a stream of commands; it
 * is fed whole, octet by octet and in pieces, and the events must be the same. */
#include "fuzz/envelope.h"

#include "smtp/line.h"
#include "smtp/text.h"

#define LINE_LIMIT  200u
#define FLOOD_LIMIT 600u

/* Every line is also taken for a response of an AUTH exchange. */
static void check_auth(struct sasl_user *user, const struct command *c, struct span line, struct buf *trace)
{
    if (c->verb == VERB_AUTH) {
        size_t n = span_find(c->arg, ' ');
        if (!sasl_user_begin(user, span_head(c->arg, n)))
            *user = (struct sasl_user){0};
        sasl_user_response(user, span_trim(span_skip(c->arg, n)));
    } else {
        sasl_user_response(user, line);
    }
    REQUIRE(is_clean(span_make(user->name, user->name_n)));
    trace_span(trace, "user", span_make(user->name, user->name_n));
}

/* A line has no CR, LF or NUL, so xtext carries it. */
static void check_xtext(struct span line)
{
    struct buf coded = {0}, back = {0}, own = {0};
    REQUIRE(xtext_encode(line, &coded) && xtext_ok(buf_span(&coded)));
    REQUIRE(xtext_decode(buf_span(&coded), &back) && span_eq(buf_span(&back), line));
    REQUIRE(xtext_ok(line) == xtext_decode(line, &own));
    buf_free(&coded);
    buf_free(&back);
    buf_free(&own);
}

static void check_line(struct span line, struct sasl_user *user, struct buf *trace)
{
    struct command c;
    enum command_error e = command_parse(line, &c);
    REQUIRE((unsigned)c.verb < VERBS && lies_within(c.word, line) && lies_within(c.arg, line));
    REQUIRE(buf_printf(trace, " command=%d verb=%d helo=%d", (int)e, (int)c.verb, helo_name_ok(c.arg)));
    trace_span(trace, "arg", c.arg);
    if (c.verb == VERB_MAIL || c.verb == VERB_RCPT)
        check_path(c.arg, c.verb == VERB_MAIL, CAP_ALL, trace); /* also where the line is wrong */
    check_auth(user, &c, line, trace);
    check_xtext(line);
}

static struct buf run(struct span in, enum cut how)
{
    struct buf trace = {0};
    struct line l;
    struct sasl_user user = {0};
    uint32_t number = (uint32_t)in.n;
    enum line_result r = LINE_MORE;
    line_init(&l, LINE_LIMIT, FLOOD_LIMIT);
    while (in.n && r != LINE_FLOOD) {
        struct span piece = cut_piece(&in, how, &number), left = piece, line;
        while ((r = line_feed(&l, &left, &line)) != LINE_MORE && r != LINE_FLOOD) {
            REQUIRE(r != LINE_NO_MEMORY && buf_printf(&trace, "\n%d", (int)r));
            if (r == LINE_READY) {
                REQUIRE(line.n <= LINE_LIMIT);
                check_line(line, &user, &trace);
            }
        }
        REQUIRE(buf_len(&l.held) <= LINE_LIMIT && (r == LINE_FLOOD || left.n == 0));
        free_piece(piece);
    }
    REQUIRE(buf_printf(&trace, "\nend %d %d", (int)r, line_partial(&l)));
    line_free(&l);
    return trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_make((const char *)data, size);
    struct buf whole = run(in, CUT_WHOLE);
    for (int how = CUT_WHOLE + 1; how < CUTS; how++) {
        struct buf other = run(in, (enum cut)how);
        REQUIRE(span_eq(buf_span(&whole), buf_span(&other)));
        buf_free(&other);
    }
    buf_free(&whole);
    return 0;
}
