/* SPDX-License-Identifier: MIT */
/* What must hold of the argument of MAIL and RCPT, whatever a client puts there: shared by the fuzzer of
 * whole commands and the one of arguments alone. */
#ifndef TESTS_FUZZ_ENVELOPE_H
#define TESTS_FUZZ_ENVELOPE_H

#include "fuzz/fuzz.h"

#include "smtp/command.h"
#include "smtp/ehlo.h"
#include "smtp/params.h"
#include "smtp/path.h"

static inline bool lies_within(struct span part, struct span whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static inline bool is_clean(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F)
            return false;
    return utf8_ok(s);
}

/* As they would go to the upstream. */
static inline void write_params(const struct params *p, struct buf *out)
{
    static const char *const keywords[PARAMS] = {
#define PARAM(id, keyword, verb, cap, rule) [PARAM_##id] = keyword,
#include "smtp/params.def"
#undef PARAM
    };
    for (unsigned i = 0; i < PARAMS; i++)
        if (p->value[i].p)
            REQUIRE(
                buf_printf(out, " %s%s%.*s", keywords[i], p->value[i].n ? "=" : "", SPAN_FMT(p->value[i])));
}

/* What was taken is taken again by a server that offers the same, and means the same. */
static inline void check_params_again(const struct params *p, enum params_of of, uint32_t caps)
{
    struct buf written = {0};
    struct params again;
    struct span bad;
    write_params(p, &written);
    REQUIRE(params_parse(buf_span(&written), of, caps, &again, &bad) == PARAMS_OK);
    REQUIRE(again.size == p->size);
    for (unsigned i = 0; i < PARAMS; i++) {
        REQUIRE(span_eq(again.value[i], p->value[i]));
        REQUIRE(!again.value[i].p == !p->value[i].p);
    }
    buf_free(&written);
}

static inline void check_offered(const struct params *p, enum params_of of, uint32_t caps)
{
    static const uint32_t needed[PARAMS] = {
#define PARAM(id, keyword, verb, cap, rule) [PARAM_##id] = CAP_##cap,
#include "smtp/params.def"
#undef PARAM
    };
    static const enum params_of belongs_to[PARAMS] = {
#define PARAM(id, keyword, verb, cap, rule) [PARAM_##id] = PARAMS_OF_##verb,
#include "smtp/params.def"
#undef PARAM
    };
    for (unsigned i = 0; i < PARAMS; i++)
        REQUIRE(!p->value[i].p || (belongs_to[i] == of && caps & needed[i]));
    REQUIRE(!p->value[PARAM_HOLDFOR].p || !p->value[PARAM_HOLDUNTIL].p);
}

/* A parameter is refused where it was not offered, and for no other reason than that. */
static inline void check_params(struct span rest, enum params_of of, uint32_t caps, struct buf *trace)
{
    struct params p, with_all;
    struct span bad, ignored;
    enum params_error e = params_parse(rest, of, caps, &p, &bad);
    REQUIRE(buf_printf(trace, " params=%d", (int)e));
    REQUIRE(lies_within(bad, rest) && !bad.p == (e == PARAMS_OK));
    if (e != PARAMS_OK)
        return;
    check_offered(&p, of, caps);
    check_params_again(&p, of, caps);
    REQUIRE(params_parse(rest, of, CAP_ALL, &with_all, &ignored) == PARAMS_OK);
    for (unsigned i = 0; i < PARAMS; i++) {
        struct span value = p.value[i];
        REQUIRE(lies_within(value, rest) && is_clean(value) && span_find(value, ' ') == value.n);
        REQUIRE(span_eq(value, with_all.value[i]));
        trace_span(trace, "value", value);
    }
}

/* What is forwarded can be no more than one argument of one command. */
static inline void check_path(struct span arg, bool mail, uint32_t caps, struct buf *trace)
{
    struct path p, again;
    struct span rest, none;
    enum path_kind kind = mail ? PATH_FROM : PATH_TO;
    enum path_error e = path_parse(arg, kind, PATH_LOCAL_MAX, &p, &rest);
    REQUIRE(buf_printf(trace, " path=%d", (int)e));
    if (e != PATH_OK)
        return;
    REQUIRE(lies_within(p.whole, arg) && lies_within(p.mailbox, p.whole) && lies_within(p.local, p.mailbox));
    REQUIRE(lies_within(p.domain, p.mailbox) && lies_within(rest, arg));
    bool brackets = p.whole.n >= 2 && p.whole.p[0] == '<' && p.whole.p[p.whole.n - 1] == '>';
    REQUIRE(p.whole.n <= 256 && (brackets || (p.domain.n && span_eq(p.whole, p.mailbox))));
    REQUIRE(p.local.n <= 64 && p.domain.n <= 255 && is_clean(p.whole));
    REQUIRE(p.mailbox.n == 0 || path_mailbox_ok(p.mailbox));

    struct buf forwarded = {0}; /* as it would go to the upstream, it means the same again */
    REQUIRE(buf_append(&forwarded, mail ? SPAN_LIT("FROM:") : SPAN_LIT("TO:")) &&
            buf_append(&forwarded, p.whole));
    REQUIRE(path_parse(buf_span(&forwarded), kind, PATH_LOCAL_MAX, &again, &none) == PATH_OK);
    REQUIRE(span_eq(again.mailbox, p.mailbox) && span_eq(again.domain, p.domain) && none.n == 0);
    buf_free(&forwarded);

    trace_span(trace, "mailbox", p.mailbox);
    check_params(rest, mail ? PARAMS_OF_MAIL : PARAMS_OF_RCPT, caps, trace);
}

#endif
