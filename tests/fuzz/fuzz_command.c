/* SPDX-License-Identifier: MIT */
/* What a client sends: line splitter, command, path, parameters, SASL. The input is a stream of commands; it
 * is fed whole, octet by octet and in pieces, and the events must be the same. */
#include "fuzz/fuzz.h"

#include "smtp/command.h"
#include "smtp/ehlo.h"
#include "smtp/line.h"
#include "smtp/params.h"
#include "smtp/path.h"
#include "smtp/text.h"

#define LINE_LIMIT  200u
#define FLOOD_LIMIT 600u

static bool lies_within(struct span part, struct span whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static bool is_clean(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F)
            return false;
    return utf8_ok(s);
}

static void check_params(struct span rest, enum params_of of, struct buf *trace)
{
    struct params p;
    struct span bad;
    enum params_error e = params_parse(rest, of, CAP_ALL, &p, &bad);
    REQUIRE(buf_printf(trace, " params=%d", (int)e));
    REQUIRE(lies_within(bad, rest));
    for (unsigned i = 0; e == PARAMS_OK && i < PARAMS; i++) {
        struct span value = p.value[i];
        REQUIRE(lies_within(value, rest) && is_clean(value) && span_find(value, ' ') == value.n);
        trace_span(trace, "value", value);
    }
}

/* What is forwarded can be no more than one argument of one command. */
static void check_path(const struct command *c, struct buf *trace)
{
    struct path p, again;
    struct span rest, none;
    bool mail = c->verb == VERB_MAIL;
    enum path_error e = path_parse(c->arg, mail ? PATH_FROM : PATH_TO, &p, &rest);
    REQUIRE(buf_printf(trace, " path=%d", (int)e));
    if (e != PATH_OK)
        return;
    REQUIRE(lies_within(p.whole, c->arg) && lies_within(p.mailbox, p.whole) &&
            lies_within(p.local, p.mailbox));
    REQUIRE(lies_within(p.domain, p.mailbox) && lies_within(rest, c->arg));
    REQUIRE(p.whole.n >= 2 && p.whole.n <= 256 && p.whole.p[0] == '<' && p.whole.p[p.whole.n - 1] == '>');
    REQUIRE(p.local.n <= 64 && p.domain.n <= 255 && is_clean(p.whole));
    REQUIRE(p.mailbox.n == 0 || path_mailbox_ok(p.mailbox));

    struct buf forwarded = {0}; /* as it would go to the upstream, it means the same again */
    REQUIRE(buf_append(&forwarded, mail ? SPAN_LIT("FROM:") : SPAN_LIT("TO:")) &&
            buf_append(&forwarded, p.whole));
    REQUIRE(path_parse(buf_span(&forwarded), mail ? PATH_FROM : PATH_TO, &again, &none) == PATH_OK);
    REQUIRE(span_eq(again.mailbox, p.mailbox) && span_eq(again.domain, p.domain) && none.n == 0);
    buf_free(&forwarded);

    trace_span(trace, "mailbox", p.mailbox);
    check_params(rest, mail ? PARAMS_OF_MAIL : PARAMS_OF_RCPT, trace);
}

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
        check_path(&c, trace); /* also where the line is wrong: it must stand alone */
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
