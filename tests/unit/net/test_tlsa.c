/* SPDX-License-Identifier: MIT */
/* Questions for TLSA records and what name servers say to them: whole, cut at every octet, and wrong in the
 * ways that a message of DNS can be wrong. */
#include "net/resolver.h"
#include "net/tlsa.h"
#include "own_dns.h"

#define HOST "mail.example.org"

/* ---- messages made by hand ---- */

struct message {
    unsigned char octet[4096];
    size_t n;
};

enum { FLAGS_AD = 0x81a0, FLAGS_PLAIN = 0x8180, NXDOMAIN = 3, TLSA = 52, CNAME = 5, SOA = 6, RRSIG = 46 };
enum { ANSWERS = 6, AUTHORITIES = 8 }; /* where their number stands */
enum { ASKED = 12 };                   /* where the name of the question stands */

static void put(struct message *m, const void *bytes, size_t n)
{
    assert_true(m->n + n <= sizeof m->octet);
    memcpy(m->octet + m->n, bytes, n);
    m->n += n;
}

static void put_two(struct message *m, unsigned v)
{
    const unsigned char two[] = {(unsigned char)(v >> 8), (unsigned char)v};
    put(m, two, sizeof two);
}

static void put_name(struct message *m, const char *name)
{
    while (*name) {
        unsigned char n = (unsigned char)strcspn(name, ".");
        put(m, &n, 1);
        put(m, name, n);
        name += n + (name[n] == '.');
    }
    put(m, "", 1);
}

static struct message begin(unsigned flags)
{
    struct message m = {.n = 0};
    put_two(&m, 4711);
    put_two(&m, flags);
    put_two(&m, 1);
    put(&m, "\0\0\0\0\0\0", 6);
    put_name(&m, "_25._tcp." HOST);
    put_two(&m, TLSA);
    put_two(&m, 1);
    return m;
}

static void pointer(struct message *m, size_t to)
{
    put_two(m, 0xc000 | (unsigned)to);
}

/* What follows the owner's name. */
static void rest(struct message *m, int section, unsigned type, unsigned ttl, const void *data, size_t n)
{
    m->octet[section + 1]++;
    put_two(m, type);
    put_two(m, 1);
    put_two(m, 0);
    put_two(m, ttl);
    put_two(m, (unsigned)n);
    put(m, data, n);
}

static void add(struct message *m, int section, const char *owner, unsigned type, unsigned ttl,
                const void *data, size_t n)
{
    if (owner)
        put_name(m, owner);
    else
        pointer(m, ASKED);
    rest(m, section, type, ttl, data, n);
}

static void add_alias(struct message *m, const char *owner, const char *target)
{
    struct message name = {.n = 0};
    put_name(&name, target);
    add(m, ANSWERS, owner, CNAME, 50, name.octet, name.n);
}

static void add_tlsa(struct message *m, const char *owner, unsigned ttl, const char *numbers, size_t digest)
{
    unsigned char data[600] = {(unsigned char)numbers[0], (unsigned char)numbers[1],
                               (unsigned char)numbers[2]};
    for (size_t i = 0; i < 3; i++)
        data[i] = (unsigned char)(data[i] - '0');
    memset(data + 3, 0xab, digest);
    add(m, ANSWERS, owner, TLSA, ttl, data, 3 + digest);
}

static void add_soa(struct message *m, unsigned ttl, unsigned char minimum)
{
    unsigned char data[22] = {[21] = minimum}; /* two names of the root and five numbers */
    add(m, AUTHORITIES, "example.org", SOA, ttl, data, sizeof data);
}

static struct span span_of_message(const struct message *m)
{
    return span_make((const char *)m->octet, m->n);
}

static struct tlsa_answer good(const struct message *m)
{
    struct tlsa_answer a;
    const char *error = NULL;
    if (!tlsa_read(span_of_message(m), HOST, 25, NULL, &a, &error))
        fail_msg("%s", error);
    return a;
}

static void wrong(const struct message *m, const char *why)
{
    struct tlsa_answer a;
    const char *error = NULL;
    assert_false(tlsa_read(span_of_message(m), HOST, 25, NULL, &a, &error));
    assert_string_equal(error, why);
}

/* ---- the question ---- */

static void test_question(void **state)
{
    unsigned char out[TLSA_QUERY_MAX];
    struct message want = {.n = 0};
    char longest[300];
    (void)state;
    put(&want, "\x12\x34\x01\x20\0\1\0\0\0\0\0\1", 12); /* RD and AD, and one record: OPT */
    put_name(&want, "_465._tcp." HOST);
    put(&want, "\0\x34\0\1\0\0\x29\x04\xd0\0\0\0\0\0\0", 15);
    assert_int_equal(tlsa_query(HOST, 465, 0x1234, out), want.n);
    assert_memory_equal(out, want.octet, want.n);
    assert_int_equal(tlsa_query("MAIL.example.org.", 465, 0x1234, out), want.n);
    assert_memory_equal(out, want.octet, want.n);

    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    const char *none[] = {"", ".", "a..b", "a..", ".a", longest, longest + sizeof longest - 1 - 64};
    for (size_t i = 0; i < COUNT_OF(none); i++)
        assert_int_equal(tlsa_query(none[i], 25, 1, out), 0);
    for (size_t i = 9; i < sizeof longest; i += 10)
        longest[i] = '.';
    longest[244] = '\0'; /* with _25._tcp in front exactly 255 octets */
    assert_int_equal(tlsa_query(longest, 25, 1, out), 12 + 255 + 4 + 11);
    longest[244] = 'a';
    longest[245] = '\0';
    assert_int_equal(tlsa_query(longest, 25, 1, out), 0);
}

/* ---- answers ---- */

static void test_records(void **state)
{
    struct message m = begin(FLAGS_AD);
    (void)state;
    add_tlsa(&m, NULL, 300, "311", 32);
    add_tlsa(&m, "_25._TCP.Mail.example.org", 200, "202", 64);
    add_tlsa(&m, "_25._tcp.other.example.org", 100, "300", 10);
    add(&m, ANSWERS, NULL, RRSIG, 9, "sig", 3);
    struct tlsa_answer a = good(&m);
    assert_true(a.authenticated && a.exists);
    assert_int_equal(a.n, 2);
    assert_int_equal(a.skipped, 0);
    assert_int_equal(a.ttl_s, 200);
    assert_int_equal(a.record[0].usage * 100 + a.record[0].selector * 10 + a.record[0].matching, 311);
    assert_int_equal(a.record[1].usage * 100 + a.record[1].selector * 10 + a.record[1].matching, 202);
    assert_int_equal(a.record[0].data.n, 32);
    assert_int_equal((unsigned char)a.record[1].data.p[63], 0xab);

    m = begin(FLAGS_PLAIN);
    add_tlsa(&m, NULL, 300, "311", 32);
    assert_false(good(&m).authenticated);
}

static void test_none(void **state)
{
    struct message m = begin(FLAGS_AD);
    (void)state;
    add_soa(&m, 100, 60);
    struct tlsa_answer a = good(&m);
    assert_true(a.authenticated && a.exists && a.n == 0);
    assert_int_equal(a.ttl_s, 60);
    m = begin(FLAGS_AD | NXDOMAIN);
    add_soa(&m, 30, 60);
    a = good(&m);
    assert_true(a.authenticated && !a.exists && a.n == 0);
    assert_int_equal(a.ttl_s, 30);
    m = begin(FLAGS_PLAIN | NXDOMAIN);
    a = good(&m);
    assert_true(!a.authenticated && a.ttl_s == 0);
}

static void test_aliases(void **state)
{
    struct message m = begin(FLAGS_AD);
    char from[40] = "", to[40];
    (void)state;
    add_tlsa(&m, "b.example.net", 300, "311", 32); /* in front of what leads to it */
    add_alias(&m, "a.example.net", "B.example.net");
    add_alias(&m, NULL, "a.example.net");
    struct tlsa_answer a = good(&m);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.ttl_s, 50); /* of the aliases */

    m = begin(FLAGS_AD);
    add_alias(&m, NULL, "nowhere.example.net");
    add_tlsa(&m, "b.example.net", 300, "311", 32);
    assert_int_equal(good(&m).n, 0);

    m = begin(FLAGS_AD);
    add_alias(&m, NULL, "a.example.net");
    add_alias(&m, "a.example.net", "_25._tcp." HOST);
    wrong(&m, "too many aliases");

    for (int last = 8; last <= 9; last++) {
        m = begin(FLAGS_AD);
        for (int i = 1; i <= last; i++) {
            (void)snprintf(to, sizeof to, "n%d.example.net", i);
            add_alias(&m, i == 1 ? NULL : from, to);
            memcpy(from, to, sizeof from);
        }
        add_tlsa(&m, from, 300, "311", 32);
        if (last == 8)
            assert_int_equal(good(&m).n, 1);
        else
            wrong(&m, "too many aliases");
    }

    m = begin(FLAGS_AD);
    add(&m, ANSWERS, NULL, CNAME, 50, "\1a\0x", 4); /* more data than a name */
    wrong(&m, "malformed answer");
}

static void test_limits(void **state)
{
    struct tlsa_limits small = {.records = 2, .data = 32, .scanned = 5};
    struct message m = begin(FLAGS_AD);
    struct tlsa_answer a;
    const char *error;
    (void)state;
    add_tlsa(&m, NULL, 300, "300", 33);
    add_tlsa(&m, NULL, 300, "311", 32);
    add_tlsa(&m, NULL, 300, "311", 0);
    add_tlsa(&m, NULL, 300, "311", 32);
    assert_true(tlsa_read(span_of_message(&m), HOST, 25, &small, &a, &error));
    assert_int_equal(a.n, 2);
    assert_int_equal(a.skipped, 2);
    add_tlsa(&m, NULL, 300, "311", 32);
    assert_true(tlsa_read(span_of_message(&m), HOST, 25, &small, &a, &error));
    assert_int_equal(a.n, 2);
    assert_int_equal(a.skipped, 3);
    add_soa(&m, 1, 1);
    assert_false(tlsa_read(span_of_message(&m), HOST, 25, &small, &a, &error));
    assert_string_equal(error, "too many records");

    m = begin(FLAGS_AD);
    for (int i = 0; i < TLSA_RECORDS + 3; i++)
        add_tlsa(&m, NULL, 300, "311", 32);
    a = good(&m);
    assert_int_equal(a.n, TLSA_RECORDS);
    assert_int_equal(a.skipped, 3);
}

static void test_failures(void **state)
{
    static const struct {
        unsigned flags;
        const char *why;
    } cases[] = {
        {0x8182, "SERVFAIL"},           {0x8185, "REFUSED"},       {0x8181, "FORMERR"},
        {0x818f, "unknown error code"}, {0x0120, "not an answer"}, {0xa180, "not an answer"},
        {0x8380, "truncated answer"},
    };
    struct tlsa_answer a;
    const char *error;
    struct message m;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        m = begin(cases[i].flags);
        wrong(&m, cases[i].why);
    }
    m = begin(FLAGS_AD);
    assert_false(tlsa_read(span_of_message(&m), HOST, 465, NULL, &a, &error));
    assert_false(tlsa_read(span_of_message(&m), "mail.example.com", 25, NULL, &a, &error));
    assert_string_equal(error, "not the answer to our question");
    m.octet[m.n - 3] = 1; /* as if asked for A */
    wrong(&m, "not the answer to our question");
    m = begin(FLAGS_AD);
    m.octet[5] = 2;
    wrong(&m, "not the answer to our question");
}

static void test_bad_names(void **state)
{
    struct message m = begin(FLAGS_AD);
    size_t here = m.n;
    (void)state;
    pointer(&m, here); /* to itself */
    rest(&m, ANSWERS, TLSA, 1, "", 0);
    wrong(&m, "malformed answer");
    m = begin(FLAGS_AD);
    pointer(&m, here + 2); /* forward */
    rest(&m, ANSWERS, TLSA, 1, "", 0);
    wrong(&m, "malformed answer");
    m = begin(FLAGS_AD);
    put(&m, "\x40", 1); /* a label of a kind that nobody uses */
    rest(&m, ANSWERS, TLSA, 1, "", 0);
    wrong(&m, "malformed answer");
    m = begin(FLAGS_AD);
    put(&m, "\77", 1);
    put(&m, m.octet + ASKED, 30); /* shorter than its label */
    m.octet[ANSWERS + 1] = 1;
    wrong(&m, "malformed answer");
}

/* A question that is all there, then each octet less is an error; what follows the sections is nobody's. */
static void test_cut(void **state)
{
    struct message m = begin(FLAGS_AD);
    struct tlsa_answer a;
    const char *error;
    (void)state;
    add_alias(&m, NULL, "a.example.net");
    add_tlsa(&m, "a.example.net", 300, "311", 32);
    add_soa(&m, 9, 9);
    assert_int_equal(good(&m).n, 1);
    for (size_t n = 0; n < m.n; n++) {
        char *copy = malloc(n ? n : 1); /* of exactly that length, for AddressSanitizer */
        assert_non_null(copy);
        memcpy(copy, m.octet, n);
        error = NULL;
        assert_false(tlsa_read(span_make(copy, n), HOST, 25, NULL, &a, &error));
        assert_non_null(error);
        free(copy);
    }
    put(&m, "\xff\xff\xff", 3);
    assert_int_equal(good(&m).n, 1);
}

static void test_well_formed(void **state)
{
    static const struct {
        uint8_t usage, selector, matching;
        size_t n;
        bool good;
    } cases[] = {
        {3, 1, 1, 32, true},  {3, 0, 2, 64, true},    {2, 0, 1, 32, true},      {2, 1, 0, 1, true},
        {0, 0, 1, 32, false}, {1, 1, 1, 32, false},   {4, 1, 1, 32, false},     {3, 2, 1, 32, false},
        {3, 1, 3, 32, false}, {3, 1, 1, 31, false},   {3, 1, 1, 33, false},     {3, 1, 2, 32, false},
        {3, 0, 0, 0, false},  {255, 1, 1, 32, false}, {3, 255, 255, 32, false},
    };
    static const char data[64];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tlsa_record r = {cases[i].usage, cases[i].selector, cases[i].matching,
                                span_make(data, cases[i].n)};
        assert_int_equal(tlsa_well_formed(&r), cases[i].good);
    }
}

static void test_print(void **state)
{
    struct tlsa_record r = {3, 1, 255, SPAN_LIT("\x0a\xff\x00")};
    char text[24];
    (void)state;
    assert_int_equal(tlsa_print(&r, 3, text, sizeof text), 14);
    assert_string_equal(text, "3 1 255 0aff00");
    assert_int_equal(tlsa_print(&r, 2, text, sizeof text), 15);
    assert_string_equal(text, "3 1 255 0aff...");
    for (size_t size = 1; size < sizeof text; size++) {
        size_t n = tlsa_print(&r, 3, text, size);
        assert_true(n < size && text[n] == '\0');
    }
}

/* ---- by the resolver ---- */

struct asked {
    struct loop *l;
    int calls;
    bool failed, authenticated;
    size_t n;
    unsigned usage;
    char error[200];
};

static void on_done(void *arg, const struct tlsa_answer *a, const char *error)
{
    struct asked *k = arg;
    k->calls++;
    k->failed = a == NULL;
    k->authenticated = a && a->authenticated;
    k->n = a ? a->n : 0;
    k->usage = k->n ? a->record[0].usage : 0;
    (void)snprintf(k->error, sizeof k->error, "%s", error ? error : "");
    loop_stop(k->l);
}

static void ask(struct asked *k, struct resolver *r, const char *host)
{
    k->calls = 0;
    if (resolver_ask_tlsa(r, host, 25, on_done, k) && !k->calls)
        loop_run(k->l);
}

static int ask_dns(void)
{
    static const char record[35] = {3, 1, 1};
    struct dns d = {.tlsa = span_make(record, sizeof record)};
    if (!own_dns_open(&d))
        return CHILD_CANNOT;
    struct asked k = {.l = loop_create()};
    struct resolver *r = resolver_create(k.l);
    own_dns_serve(&d, k.l);
    ask(&k, r, HOST);
    CHILD_CHECK(k.calls == 1 && !k.failed && !k.authenticated && k.n == 1 && k.usage == 3);
    d.authenticates = true; /* those that ask for it */
    ask(&k, r, HOST);
    CHILD_CHECK(!k.failed && k.authenticated && k.n == 1);
    d.tlsa = SPAN_NONE;
    ask(&k, r, "none.example.org");
    CHILD_CHECK(!k.failed && k.authenticated && k.n == 0);
    ask(&k, r, "broken.example.org");
    CHILD_CHECK(k.failed && k.error[0]);
    ask(&k, r, "not..a.name");
    CHILD_CHECK(k.failed && strcmp(k.error, "not a name") == 0);

    k.calls = 0;
    struct resolver_query *one = resolver_ask_tlsa(r, HOST, 25, on_done, &k);
    struct resolver_query *two = resolver_ask_tlsa(r, "not..a.name", 25, on_done, &k);
    CHILD_CHECK(one && two && resolver_ask_tlsa(r, "left.example.org", 25, on_done, &k));
    resolver_cancel(&one);
    resolver_cancel(&two);
    resolver_destroy(&r);
    ev_run(loop_ev(k.l), EVRUN_NOWAIT);
    CHILD_CHECK(k.calls == 0);
    own_dns_close(&d, k.l);
    loop_destroy(&k.l);
    return CHILD_GOOD;
}

static void test_resolver(void **state)
{
    (void)state;
    in_a_child(ask_dns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question),  cmocka_unit_test(test_records),  cmocka_unit_test(test_none),
        cmocka_unit_test(test_aliases),   cmocka_unit_test(test_limits),   cmocka_unit_test(test_failures),
        cmocka_unit_test(test_bad_names), cmocka_unit_test(test_cut),      cmocka_unit_test(test_well_formed),
        cmocka_unit_test(test_print),     cmocka_unit_test(test_resolver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
