/* SPDX-License-Identifier: MIT */
/* The answer of a DNS server to a question for TLSA records.
 *
 *   header | question | answer: CNAME TLSA TLSA … | authority: SOA | additional: not read
 *
 * The records wanted are those of the name asked for, or of the name that its CNAMEs lead to, in whatever
 * order they stand. Nothing here is owned: data stay in the message. */
#include "net/tlsa.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_OPT = 41, TYPE_TLSA = 52, CLASS_IN = 1 };
enum { HEADER = 12, NAME_MAX_WIRE = 255, LABEL_MAX = 63, POINTERS_MAX = 32 };
enum { RCODE_NOERROR = 0, RCODE_NXDOMAIN = 3 };
enum { EDNS_SIZE = 1232 }; /* an answer that no network has to cut */

struct name { /* as on the wire, without compression; letters in lower case */
    unsigned char octet[NAME_MAX_WIRE];
    size_t n;
};

struct reader {
    struct span m;
    size_t at;
    bool bad;
};

struct record { /* of any type */
    struct name owner;
    unsigned type, class;
    uint32_t ttl;
    size_t data, data_n; /* where in the message */
};

/* ---- names ---- */

static bool add_label(struct name *to, struct span label)
{
    if (label.n == 0 || label.n > LABEL_MAX || to->n + 1 + label.n >= NAME_MAX_WIRE)
        return false;
    to->octet[to->n++] = (unsigned char)label.n;
    for (size_t i = 0; i < label.n; i++)
        to->octet[to->n++] = (unsigned char)ascii_lower(label.p[i]);
    return true;
}

/* _PORT._tcp.HOST; a host with the dot of the root is the same host. */
static bool make_name(const char *host, uint16_t port, struct name *to)
{
    char service[8];
    int n = snprintf(service, sizeof service, "_%u", (unsigned)port);
    struct span rest = span_of(host);
    to->n = 0;
    if (rest.n && rest.p[rest.n - 1] == '.')
        rest.n--;
    bool good =
        rest.n && n > 0 && add_label(to, span_make(service, (size_t)n)) && add_label(to, SPAN_LIT("_tcp"));
    while (good && rest.n) {
        size_t dot = span_find(rest, '.');
        good = add_label(to, span_head(rest, dot)) && dot + 1 != rest.n;
        rest = span_skip(rest, dot + 1);
    }
    if (good)
        to->octet[to->n++] = 0;
    return good;
}

static bool same_name(const struct name *a, const struct name *b)
{
    return a->n == b->n && memcmp(a->octet, b->octet, a->n) == 0;
}

/* ---- reading ---- */

static unsigned octet(struct reader *r)
{
    if (r->at >= r->m.n) {
        r->bad = true;
        return 0;
    }
    return (unsigned char)r->m.p[r->at++];
}

static unsigned two(struct reader *r)
{
    unsigned high = octet(r);
    return high << 8 | octet(r);
}

static uint32_t four(struct reader *r)
{
    uint32_t high = two(r);
    return high << 16 | two(r);
}

static void skip(struct reader *r, size_t n)
{
    if (n > r->m.n - r->at)
        r->bad = true;
    else
        r->at += n;
}

/* A label, or the end. Compression jumps; each jump must go towards the front, so it ends. */
static void read_name(struct reader *r, struct name *to)
{
    size_t back = 0, before = r->at;
    to->n = 0;
    for (unsigned jumps = 0; !r->bad;) {
        unsigned n = octet(r);
        if ((n & 0xc0) == 0xc0) {
            size_t target = (n & 0x3f) << 8 | octet(r);
            if (!back)
                back = r->at;
            r->bad = r->bad || target >= before || ++jumps > POINTERS_MAX;
            r->at = before = r->bad ? r->at : target;
        } else if (n == 0) {
            to->octet[to->n++] = 0; /* add_label has left room */
            break;
        } else {
            struct span label = n <= LABEL_MAX && !r->bad ? span_head(span_skip(r->m, r->at), n) : SPAN_NONE;
            r->bad = r->bad || label.n != n || !add_label(to, label);
            r->at += label.n;
        }
    }
    if (back && !r->bad)
        r->at = back;
}

static bool read_record(struct reader *r, struct record *to)
{
    read_name(r, &to->owner);
    to->type = two(r);
    to->class = two(r);
    to->ttl = four(r);
    to->ttl = to->ttl > INT32_MAX ? 0 : to->ttl; /* RFC 2181 8 */
    to->data_n = two(r);
    to->data = r->at;
    skip(r, to->data_n);
    return !r->bad;
}

/* ---- the answer section ---- */

struct section {
    struct reader begin;
    unsigned count;
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void take_tlsa(struct span message, const struct record *record, const struct tlsa_limits *limits,
                      struct tlsa_answer *a)
{
    const unsigned char *p = (const unsigned char *)message.p + record->data;
    a->ttl_s = least(a->ttl_s, record->ttl);
    if (record->data_n <= 3 || record->data_n - 3 > limits->data || a->n == limits->records) {
        a->skipped++;
        return;
    }
    a->record[a->n++] =
        (struct tlsa_record){p[0], p[1], p[2], span_make(message.p + record->data + 3, record->data_n - 3)};
}

/* The records of `name`; with an alias there, *name becomes what it leads to. false: malformed. */
static bool look_for(const struct section *s, struct name *name, const struct tlsa_limits *limits,
                     struct tlsa_answer *a, bool *alias_r)
{
    struct reader r = s->begin;
    struct record record;
    struct name next = {.n = 0};
    for (unsigned i = 0; i < s->count; i++) {
        if (!read_record(&r, &record))
            return false;
        if (record.class != CLASS_IN || !same_name(&record.owner, name))
            continue;
        if (record.type == TYPE_TLSA)
            take_tlsa(r.m, &record, limits, a);
        if (record.type == TYPE_CNAME && !next.n) {
            struct reader target = {r.m, record.data, false};
            read_name(&target, &next);
            if (target.bad || target.at != record.data + record.data_n)
                return false;
            a->ttl_s = least(a->ttl_s, record.ttl);
        }
    }
    *alias_r = next.n && a->n + a->skipped == 0;
    if (*alias_r)
        *name = next;
    return true;
}

static const char *read_answer(struct section *s, struct name *name, const struct tlsa_limits *limits,
                               struct tlsa_answer *a)
{
    bool alias = true;
    for (size_t i = 0; alias; i++) {
        if (i > limits->aliases)
            return "too many aliases";
        if (!look_for(s, name, limits, a, &alias))
            return "malformed answer";
    }
    struct record last;
    for (unsigned i = 0; i < s->count; i++) /* to its end */
        if (!read_record(&s->begin, &last))
            return "malformed answer";
    return NULL;
}

/* How long it is good that there is nothing: the smaller of the SOA's TTL and its last field. */
static const char *read_authority(struct reader *r, unsigned count, struct tlsa_answer *a)
{
    struct record record;
    uint32_t ttl = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!read_record(r, &record))
            return "malformed answer";
        if (record.type != TYPE_SOA || record.data_n < 22)
            continue;
        struct reader minimum = {r->m, record.data + record.data_n - 4, false};
        ttl = least(record.ttl, four(&minimum));
    }
    if (a->n + a->skipped == 0)
        a->ttl_s = least(a->ttl_s, ttl);
    return NULL;
}

/* ---- the whole ---- */

struct header {
    unsigned flags, questions, answers, authorities;
};

static const char *what_failed(const struct header *h)
{
    static const char *const rcodes[] = {[1] = "FORMERR", [2] = "SERVFAIL", [4] = "NOTIMP", [5] = "REFUSED"};
    unsigned rcode = h->flags & 0xf;
    if (!(h->flags & 0x8000) || (h->flags & 0x7800))
        return "not an answer";
    if (h->flags & 0x0200)
        return "truncated answer";
    if (rcode == RCODE_NOERROR || rcode == RCODE_NXDOMAIN)
        return h->questions == 1 ? NULL : "not the answer to our question";
    return rcode < sizeof rcodes / sizeof *rcodes && rcodes[rcode] ? rcodes[rcode] : "unknown error code";
}

static struct tlsa_limits with_defaults(const struct tlsa_limits *given)
{
    struct tlsa_limits l = given ? *given : (struct tlsa_limits){0};
    l.records = l.records && l.records < TLSA_RECORDS ? l.records : TLSA_RECORDS;
    l.data = l.data ? l.data : 4096;
    l.aliases = l.aliases ? l.aliases : 8;
    l.scanned = l.scanned ? l.scanned : 128;
    return l;
}

static const char *read_question(struct reader *r, const struct name *asked)
{
    struct name name;
    read_name(r, &name);
    unsigned type = two(r), class = two(r);
    if (r->bad)
        return "malformed answer";
    return same_name(&name, asked) && type == TYPE_TLSA && class == CLASS_IN
               ? NULL
               : "not the answer to our question";
}

bool tlsa_read(struct span message, const char *host, uint16_t port, const struct tlsa_limits *limits,
               struct tlsa_answer *answer_r, const char **error_r)
{
    const struct tlsa_limits l = with_defaults(limits);
    struct reader r = {message, 0, false};
    struct header h;
    struct name name;
    *answer_r = (struct tlsa_answer){.ttl_s = INT32_MAX};
    (void)two(&r); /* c-ares knows the id */
    h.flags = two(&r);
    h.questions = two(&r);
    h.answers = two(&r);
    h.authorities = two(&r);
    skip(&r, 2);
    const char *error = r.bad ? "malformed answer" : what_failed(&h);
    if (!error && (h.answers > l.scanned || h.authorities > l.scanned - h.answers))
        error = "too many records";
    if (!error && !make_name(host, port, &name))
        error = "not a name";
    if (!error)
        error = read_question(&r, &name);
    struct section answers = {r, h.answers};
    if (!error)
        error = read_answer(&answers, &name, &l, answer_r);
    if (!error)
        error = read_authority(&answers.begin, h.authorities, answer_r);
    answer_r->authenticated = h.flags & 0x20;
    answer_r->exists = (h.flags & 0xf) != RCODE_NXDOMAIN;
    *error_r = error;
    return !error;
}

static size_t put(unsigned char *out, size_t at, const unsigned char *bytes, size_t n)
{
    memcpy(out + at, bytes, n);
    return at + n;
}

size_t tlsa_query(const char *host, uint16_t port, uint16_t id, unsigned char out[TLSA_QUERY_MAX])
{
    static const unsigned char rest_of_header[] = {0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1}; /* RD, AD; one OPT */
    static const unsigned char type_and_class[] = {0, TYPE_TLSA, 0, CLASS_IN};
    static const unsigned char opt[] = {0, 0, TYPE_OPT, EDNS_SIZE >> 8, EDNS_SIZE & 0xff, 0, 0, 0, 0, 0, 0};
    struct name name;
    size_t n = 2;
    if (!make_name(host, port, &name))
        return 0;
    out[0] = (unsigned char)(id >> 8);
    out[1] = (unsigned char)id;
    n = put(out, n, rest_of_header, sizeof rest_of_header);
    n = put(out, n, name.octet, name.n);
    n = put(out, n, type_and_class, sizeof type_and_class);
    return put(out, n, opt, sizeof opt);
}

bool tlsa_well_formed(const struct tlsa_record *r)
{
    static const size_t length[] = {[TLSA_WHOLE] = 0, [TLSA_SHA256] = 32, [TLSA_SHA512] = 64};
    bool known = (r->usage == TLSA_DANE_TA || r->usage == TLSA_DANE_EE) && r->selector <= TLSA_KEY &&
                 r->matching <= TLSA_SHA512;
    return known && (r->matching == TLSA_WHOLE ? r->data.n > 0 : r->data.n == length[r->matching]);
}

size_t tlsa_print(const struct tlsa_record *r, size_t octets, char *out, size_t size)
{
    int n = snprintf(out, size, "%u %u %u ", r->usage, r->selector, r->matching);
    size_t at = n > 0 ? (size_t)n : 0, shown = r->data.n < octets ? r->data.n : octets;
    for (size_t i = 0; i < shown && at + 3 <= size; i++, at += 2)
        (void)snprintf(out + at, size - at, "%02x", (unsigned char)r->data.p[i]);
    if (shown < r->data.n && at + 4 <= size)
        at += (size_t)snprintf(out + at, size - at, "...");
    return at < size ? at : size - 1;
}
