/* SPDX-License-Identifier: MIT */
/* ESMTP parameters, each checked by the rule that params.def names. Owns nothing: all spans point into the
 * caller's argument.
 *
 *   "SIZE=1000 BODY=8BITMIME"  -->  [ SIZE "1000" ][ BODY "8BITMIME" ]   -> table -> value[]
 */
#include "smtp/params.h"

#include "base/buf.h"
#include "smtp/command.h"
#include "smtp/delivery.h"
#include "smtp/ehlo.h"
#include "smtp/path.h"
#include "smtp/text.h"

#define SIZE_DIGITS 20u
#define ENVID_MAX   100u /* RFC 3461 4.4 */
#define ORCPT_MAX   500u /* RFC 3461 4.2 */
#define AUTH_MAX    500u /* RFC 4954 5 */

/* ---- value rules, named as in params.def ---- */

#define rule_NONE     NULL
#define rule_BY       delivery_by_ok
#define rule_PRIORITY delivery_priority_ok
#define rule_SECONDS  delivery_seconds_ok
#define rule_TIME     delivery_time_ok

static bool rule_SIZE(struct span v)
{
    for (size_t i = 0; i < v.n; i++)
        if (!ascii_digit(v.p[i]))
            return false;
    return v.n > 0 && v.n <= SIZE_DIGITS;
}

static bool rule_BODY(struct span v)
{
    return span_ieq(v, SPAN_LIT("7BIT")) || span_ieq(v, SPAN_LIT("8BITMIME")) ||
           span_ieq(v, SPAN_LIT("BINARYMIME"));
}

static bool rule_RET(struct span v)
{
    return span_ieq(v, SPAN_LIT("FULL")) || span_ieq(v, SPAN_LIT("HDRS"));
}

/* Octets once decoded; v is xtext. */
static size_t decoded_length(struct span v)
{
    size_t n = v.n;
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] == '+')
            n -= 2;
    return n;
}

static bool rule_XTEXT100(struct span v)
{
    return v.n > 0 && xtext_ok(v) && decoded_length(v) <= ENVID_MAX;
}

static bool rule_MAILBOX(struct span v)
{
    if (span_eq(v, SPAN_LIT("<>")))
        return true;
    struct buf mailbox = {0};
    bool good = v.n <= AUTH_MAX && xtext_decode(v, &mailbox) && path_mailbox_ok(buf_span(&mailbox));
    buf_free(&mailbox);
    return good;
}

static bool is_notify_word(struct span word)
{
    return span_ieq(word, SPAN_LIT("SUCCESS")) || span_ieq(word, SPAN_LIT("FAILURE")) ||
           span_ieq(word, SPAN_LIT("DELAY"));
}

static bool rule_NOTIFY(struct span v)
{
    if (span_ieq(v, SPAN_LIT("NEVER")))
        return true;
    for (;;) {
        size_t n = span_find(v, ',');
        if (!is_notify_word(span_head(v, n)))
            return false;
        if (n == v.n)
            return true;
        v = span_skip(v, n + 1);
    }
}

static bool has_eight_bit(struct span v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.p[i] > 0x7F)
            return true;
    return false;
}

/* RFC 6533 3: with SMTPUTF8 an address of the type utf-8 may be written as it is. */
static bool is_utf8_address(struct span type, struct span address)
{
    return span_ieq(type, SPAN_LIT("utf-8")) && utf8_ok(address) && span_find(address, '+') == address.n;
}

static bool rule_ORCPT(struct span v)
{
    size_t n = span_find(v, ';');
    if (n == 0 || n + 1 >= v.n || v.n > ORCPT_MAX)
        return false;
    struct span type = span_head(v, n), address = span_skip(v, n + 1);
    for (size_t i = 0; i < type.n; i++)
        if (!ascii_alpha(type.p[i]) && !ascii_digit(type.p[i]) && type.p[i] != '-')
            return false;
    return has_eight_bit(address) ? is_utf8_address(type, address) : xtext_ok(address);
}

/* Values that need one extension more than their parameter does. */
static uint32_t also_needed(unsigned id, struct span v)
{
    if (id == PARAM_BODY && span_ieq(v, SPAN_LIT("BINARYMIME")))
        return CAP_BINARYMIME;
    return id == PARAM_ORCPT && has_eight_bit(v) ? CAP_SMTPUTF8 : 0;
}

/* ---- the table ---- */

struct row {
    struct span keyword;
    enum params_of of;
    uint32_t cap;
    bool (*value_ok)(struct span value); /* NULL: no value may follow */
};

static const struct row rows[PARAMS] = {
#define PARAM(id, word, verb, need, rule)                                                                    \
    [PARAM_##id] = {{word, sizeof(word) - 1}, PARAMS_OF_##verb, CAP_##need, rule_##rule},
#include "smtp/params.def"
#undef PARAM
};

static unsigned find_row(struct span keyword, enum params_of of)
{
    unsigned id = 0;
    while (id < PARAMS && !(rows[id].of == of && span_ieq(keyword, rows[id].keyword)))
        id++;
    return id;
}

/* ---- one parameter ---- */

static bool keyword_ok(struct span k)
{
    for (size_t i = 0; i < k.n; i++)
        if (!ascii_alpha(k.p[i]) && !ascii_digit(k.p[i]) && (i == 0 || k.p[i] != '-'))
            return false;
    return k.n > 0;
}

/* esmtp-value: no blank, control or "="; octets above 127 are left to the rule. */
static bool value_ok(struct span v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.p[i] <= 0x20 || v.p[i] == 0x7F || v.p[i] == '=')
            return false;
    return v.n > 0;
}

static uint64_t saturating_number(struct span digits)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.n; i++) {
        unsigned digit = (unsigned)(digits.p[i] - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return UINT64_MAX;
        n = n * 10 + digit;
    }
    return n;
}

static enum params_error take_param(struct span word, enum params_of of, uint32_t caps, struct params *out)
{
    size_t n = span_find(word, '=');
    bool has_value = n < word.n;
    struct span keyword = span_head(word, n), value = span_skip(word, n + 1);
    if (!keyword_ok(keyword) || (has_value && !value_ok(value)))
        return PARAMS_SYNTAX;

    unsigned id = find_row(keyword, of);
    if (id == PARAMS)
        return PARAMS_UNKNOWN;
    const struct row *row = &rows[id];
    if (!(caps & row->cap))
        return PARAMS_NOT_OFFERED;
    if (out->value[id].p)
        return PARAMS_TWICE;
    if (has_value != (row->value_ok != NULL) || (has_value && !row->value_ok(value)))
        return PARAMS_SYNTAX;
    if (also_needed(id, value) & ~caps)
        return PARAMS_SYNTAX;
    out->value[id] = value;
    if (out->value[PARAM_HOLDFOR].p && out->value[PARAM_HOLDUNTIL].p) /* RFC 4865: one of the two */
        return PARAMS_SYNTAX;
    if (id == PARAM_SIZE)
        out->size = saturating_number(value);
    return PARAMS_OK;
}

static size_t word_length(struct span s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
        n++;
    return n;
}

enum params_error params_parse(struct span rest, enum params_of of, uint32_t caps, struct params *out,
                               struct span *bad_r)
{
    *out = (struct params){0};
    *bad_r = SPAN_NONE;
    for (rest = span_trim(rest); rest.n; rest = span_trim(rest)) {
        struct span word = span_head(rest, word_length(rest));
        enum params_error e = take_param(word, of, caps, out);
        if (e != PARAMS_OK) {
            *bad_r = word;
            return e;
        }
        rest = span_skip(rest, word.n);
    }
    return PARAMS_OK;
}
