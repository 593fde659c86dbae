/* SPDX-License-Identifier: MIT */
/* EHLO keywords: from the upstream's lines to a set, from a set to our own lines. Owns nothing; the struct is
 * the caller's, and all it holds is inside it.
 *
 *   "250-SIZE 1000" -> ehlo_take -> struct ehlo -> ehlo_offer (policy) -> struct ehlo -> ehlo_print -> bytes
 */
#include "smtp/ehlo.h"

#include <inttypes.h>

#define MECHANISM_MAX 20u /* RFC 4422 3.1 */

enum how { RELAY, OWN, AUTH, NOTE };

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
    if (!row)
        return;
    e->caps |= row->cap;
    if (row->cap == CAP_SIZE)
        e->size = size_value(next_word(&rest));
    if (row->how == AUTH)
        for (struct span m = next_word(&rest); m.n; m = next_word(&rest))
            add_mechanism(e, m);
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
        return upstream->caps & row->cap;
    case OWN:
        return own & row->cap;
    case NOTE:
        break;
    }
    return 0;
}

struct ehlo ehlo_offer(const struct ehlo *upstream, uint32_t own, uint32_t deny, uint64_t max_size)
{
    struct ehlo e = {0};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        e.caps |= offered(&rows[i], upstream, own);
    e.caps &= ~deny;
    if (e.caps & CAP_SIZE)
        e.size = smaller_limit(upstream->size, max_size);
    if (e.caps & CAP_AUTH) {
        struct span list = mechanisms(upstream);
        for (struct span m = next_word(&list); m.n; m = next_word(&list))
            if (mechanism_passes(m))
                add_mechanism(&e, m);
        if (e.auth_n == 0)
            e.caps &= ~(uint32_t)CAP_AUTH;
    }
    return e;
}

static bool print_line(struct buf *out, const struct row *row, const struct ehlo *e, bool last)
{
    const char *code = last ? "250 " : "250-";
    if (row->cap == CAP_SIZE && e->size)
        return buf_printf(out, "%s%.*s %" PRIu64 "\r\n", code, SPAN_FMT(row->keyword), e->size);
    if (row->cap == CAP_AUTH)
        return buf_printf(out, "%s%.*s %.*s\r\n", code, SPAN_FMT(row->keyword), SPAN_FMT(mechanisms(e)));
    return buf_printf(out, "%s%.*s\r\n", code, SPAN_FMT(row->keyword));
}

bool ehlo_print(struct buf *out, struct span hostname, const struct ehlo *e)
{
    uint32_t left = e->caps & CAP_ALL;
    if (e->auth_n == 0)
        left &= ~(uint32_t)CAP_AUTH;
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
