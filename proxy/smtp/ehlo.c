/* SPDX-License-Identifier: MIT */
/* EHLO keywords: from the upstream's lines to a set, from a set to our own lines. Owns nothing; the struct is
 * the caller's, and all it holds is inside it.
 *
 *   "250-SIZE 1000" -> ehlo_take -> struct ehlo -> ehlo_offer (policy) -> struct ehlo -> ehlo_print -> bytes
 */
#include "smtp/ehlo.h"

#include "smtp/identity.h"

#include "smtp/delivery.h"

#include <inttypes.h>

#define MECHANISM_MAX 20u     /* RFC 4422 3.1 */
#define LIMIT_MAX     999999u /* RFC 9422 4 */

enum how { RELAY, OWN, AUTH, VALUE, LIMITS, NOTE };

struct row {
    struct span keyword;
    uint32_t cap;
    enum how how;
};

static const struct row rows[CAPBITS] = {
#define CAP(id, word, how) {{word, sizeof(word) - 1}, CAP_##id, how},
#include "smtp/ehlo.def"
#undef CAP
};

/* ---- lists of words ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next word of *list; empty at the end. */
static struct span next_word(struct span *list)
{
    *list = span_trim(*list);
    size_t n = 0;
    while (n < list->n && !is_blank(list->p[n]))
        n++;
    struct span word = span_head(*list, n);
    *list = span_skip(*list, n);
    return word;
}

static struct span mechanisms(const struct ehlo *e)
{
    return span_make(e->auth, e->auth_n);
}

bool ehlo_has_mechanism(const struct ehlo *e, struct span mechanism)
{
    struct span list = mechanisms(e);
    for (struct span word = next_word(&list); word.n; word = next_word(&list))
        if (span_ieq(word, mechanism))
            return true;
    return false;
}

static bool mechanism_ok(struct span m)
{
    for (size_t i = 0; i < m.n; i++)
        if (!ascii_alpha(m.p[i]) && !ascii_digit(m.p[i]) && m.p[i] != '-' && m.p[i] != '_')
            return false;
    return m.n > 0 && m.n <= MECHANISM_MAX;
}

static void add_mechanism(struct ehlo *e, struct span m)
{
    size_t blank = e->auth_n ? 1 : 0;
    if (!mechanism_ok(m) || ehlo_has_mechanism(e, m) || m.n + blank > sizeof e->auth - e->auth_n)
        return;
    if (blank)
        e->auth[e->auth_n++] = ' ';
    for (size_t i = 0; i < m.n; i++)
        e->auth[e->auth_n++] = ascii_upper(m.p[i]);
}

/* ---- values ---- */

static const struct value_rule {
    uint32_t cap;
    bool (*ok)(struct span v);
} value_rules[EHLO_VALUES] = {
    [EHLO_DELIVERBY] = {CAP_DELIVERBY, delivery_by_offer_ok},
    [EHLO_MT_PRIORITY] = {CAP_MT_PRIORITY, delivery_priority_offer_ok},
    [EHLO_FUTURERELEASE] = {CAP_FUTURERELEASE, delivery_hold_offer_ok},
};

/* The place of a VALUE capability in `values`. */
static size_t value_index(uint32_t cap)
{
    size_t i = 0;
    while (value_rules[i].cap != cap)
        i++;
    return i;
}

/* false: not a value of this keyword, so that nobody knows what the server means. */
static bool take_value(struct ehlo *e, uint32_t cap, struct span value)
{
    size_t i = value_index(cap);
    struct ehlo_text *to = &e->values[i];
    if (value.n > sizeof to->text || !value_rules[i].ok(value))
        return false;
    to->n = (unsigned char)value.n;
    if (value.n)
        memcpy(to->text, value.p, value.n);
    return true;
}

/* ---- limits ---- */

static const struct span limit_names[EHLO_LIMITS] = {
    [EHLO_RCPTMAX] = {"RCPTMAX", 7},
    [EHLO_MAILMAX] = {"MAILMAX", 7},
    [EHLO_RCPTDOMAINMAX] = {"RCPTDOMAINMAX", 13},
};

/* One to six digits, the first not 0. Else 0: this limit says nothing (RFC 9422 3). */
static uint32_t limit_value(struct span digits)
{
    uint32_t n = 0;
    for (size_t i = 0; i < digits.n; i++) {
        if (!ascii_digit(digits.p[i]) || digits.p[0] == '0' || i == 6)
            return 0;
        n = n * 10 + (uint32_t)(digits.p[i] - '0');
    }
    return n;
}

static void take_limit(struct ehlo *e, struct span word)
{
    size_t n = span_find(word, '=');
    for (size_t i = 0; i < EHLO_LIMITS; i++)
        if (span_ieq(span_head(word, n), limit_names[i]))
            e->limits[i] = limit_value(span_skip(word, n + 1));
}

static bool has_limits(const struct ehlo *e)
{
    bool any = false;
    for (size_t i = 0; i < EHLO_LIMITS; i++)
        any = any || e->limits[i];
    return any;
}

/* ---- from the upstream ---- */

/* A number that does not fit says no more than that there is no limit. */
static uint64_t size_value(struct span digits)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.n; i++) {
        if (!ascii_digit(digits.p[i]) || n > (UINT64_MAX - 9) / 10)
            return 0;
        n = n * 10 + (uint64_t)(digits.p[i] - '0');
    }
    return n;
}

static const struct row *find_row(struct span keyword)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (span_ieq(keyword, rows[i].keyword))
            return &rows[i];
    return NULL;
}

void ehlo_take(struct ehlo *e, struct span line)
{
    /* "AUTH=LOGIN" is what servers said before there was a standard, and some still say both. */
    const struct span old_auth = SPAN_LIT("AUTH=");
    struct span rest = span_trim(line);
    bool old = span_istarts(rest, old_auth);
    struct span keyword = old ? span_head(rest, old_auth.n - 1) : next_word(&rest);
    if (old)
        rest = span_skip(rest, old_auth.n);

    const struct row *row = find_row(keyword);
    if (!row || (row->how == VALUE && !take_value(e, row->cap, span_trim(rest))))
        return;
    e->caps |= row->cap;
    if (row->cap == CAP_XCLIENT)
        e->xclient = identity_offered(rest);
    if (row->cap == CAP_XFORWARD)
        e->xforward = identity_offered(rest);
    if (row->cap == CAP_SIZE)
        e->size = size_value(next_word(&rest));
    if (row->how == AUTH)
        for (struct span m = next_word(&rest); m.n; m = next_word(&rest))
            add_mechanism(e, m);
    if (row->how == LIMITS)
        for (struct span l = next_word(&rest); l.n; l = next_word(&rest))
            take_limit(e, l);
}

/* ---- to the client ---- */

/* Mechanisms that end where TLS ends, or that may wrap what follows in a layer of their own. */
static bool mechanism_passes(struct span m)
{
    static const char *const never[] = {"EXTERNAL", "GSSAPI", "DIGEST-MD5", "KERBEROS_V4"};
    const struct span plus = SPAN_LIT("-PLUS");
    if (m.n >= plus.n && span_ieq(span_skip(m, m.n - plus.n), plus))
        return false;
    for (size_t i = 0; i < COUNT_OF(never); i++)
        if (span_ieq(m, span_of(never[i])))
            return false;
    return true;
}

static uint64_t smaller_limit(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

static uint32_t offered(const struct row *row, const struct ehlo *upstream, uint32_t own)
{
    switch (row->how) {
    case RELAY:
    case AUTH:
    case VALUE:
        return upstream->caps & row->cap;
    case OWN:
        return own & row->cap;
    case LIMITS:
    case NOTE:
        break;
    }
    return 0;
}

static void offer_mechanisms(struct ehlo *e, const struct ehlo *upstream)
{
    struct span list = mechanisms(upstream);
    for (struct span m = next_word(&list); m.n; m = next_word(&list))
        if (mechanism_passes(m))
            add_mechanism(e, m);
    if (e->auth_n == 0)
        e->caps &= ~(uint32_t)CAP_AUTH;
}

static void offer_limits(struct ehlo *e, const struct ehlo *upstream, const struct ehlo_policy *policy)
{
    for (size_t i = 0; i < EHLO_LIMITS; i++) {
        uint32_t own = policy->limits[i] <= LIMIT_MAX ? policy->limits[i] : 0;
        e->limits[i] = (uint32_t)smaller_limit(upstream->limits[i], own);
    }
    if (has_limits(e))
        e->caps |= CAP_LIMITS;
}

struct ehlo ehlo_offer(const struct ehlo *upstream, const struct ehlo_policy *policy)
{
    struct ehlo e = {0};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        e.caps |= offered(&rows[i], upstream, policy->own);
    offer_limits(&e, upstream, policy);
    e.caps &= ~policy->deny;
    if (e.caps & CAP_SIZE)
        e.size = smaller_limit(upstream->size, policy->max_size);
    if (e.caps & CAP_AUTH)
        offer_mechanisms(&e, upstream);
    for (size_t i = 0; i < EHLO_VALUES; i++)
        if (e.caps & value_rules[i].cap)
            e.values[i] = upstream->values[i];
    return e;
}

static bool print_limits(struct buf *out, const struct ehlo *e)
{
    bool ok = true;
    for (size_t i = 0; i < EHLO_LIMITS && ok; i++)
        if (e->limits[i])
            ok = buf_printf(out, " %.*s=%" PRIu32, SPAN_FMT(limit_names[i]), e->limits[i]);
    return ok;
}

static bool print_text(struct buf *out, const struct ehlo_text *value)
{
    return value->n == 0 || buf_printf(out, " %.*s", (int)value->n, value->text);
}

/* What stands behind the keyword, with its blank. */
static bool print_value(struct buf *out, const struct row *row, const struct ehlo *e)
{
    switch (row->how) {
    case AUTH:
        return buf_printf(out, " %.*s", SPAN_FMT(mechanisms(e)));
    case LIMITS:
        return print_limits(out, e);
    case VALUE:
        return print_text(out, &e->values[value_index(row->cap)]);
    case RELAY:
    case OWN:
    case NOTE:
        break;
    }
    if (row->cap == CAP_XCLIENT)
        return buf_append(out, SPAN_LIT(" " IDENTITY_TAKEN));
    return row->cap != CAP_SIZE || e->size == 0 || buf_printf(out, " %" PRIu64, e->size);
}

static bool print_line(struct buf *out, const struct row *row, const struct ehlo *e, bool last)
{
    return buf_append(out, last ? SPAN_LIT("250 ") : SPAN_LIT("250-")) && buf_append(out, row->keyword) &&
           print_value(out, row, e) && buf_append(out, SPAN_LIT("\r\n"));
}

bool ehlo_print(struct buf *out, struct span hostname, const struct ehlo *e)
{
    uint32_t left = e->caps & CAP_ALL;
    if (e->auth_n == 0)
        left &= ~(uint32_t)CAP_AUTH;
    if (!has_limits(e))
        left &= ~(uint32_t)CAP_LIMITS;
    if (!buf_printf(out, "250%c%.*s\r\n", left ? '-' : ' ', SPAN_FMT(hostname)))
        return false;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!(left & rows[i].cap))
            continue;
        left &= ~rows[i].cap;
        if (!print_line(out, &rows[i], e, left == 0))
            return false;
    }
    return true;
}
