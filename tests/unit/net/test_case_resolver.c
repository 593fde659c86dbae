/* SPDX-License-Identifier: MIT */
/* Name servers that fail, lie or answer nonsense (FT-19). Each question is answered exactly once to who
 * asked, the loop goes on, and a name that was found before is still found while its servers fail.
 *
 *   resolver_ask("bad-pointer.test") --UDP--> on_rude_question: the row of `rude` with that name --UDP--> ?
 */
#include "base/clock.h"
#include "net/resolver.h"
#include "own_dns.h"

#include <strings.h>

#define SECONDS(n) ((uint64_t)(n)*US_PER_S)

enum { ASKED_AT = 12, ANSWER_MAX = 4000 };

struct message {
    unsigned char m[ANSWER_MAX];
    size_t asked, n; /* where the question ends; octets so far */
    bool later;      /* not for the first time */
};

struct rude {
    const char *name; /* up to its first dot */
    void (*answer)(struct message *a);
    int found; /* addresses: exactly so many; -1: any number, as long as it ends */
};

/* ---- what such servers say: the question, with the bit for answers set, and more ---- */

static void add(struct message *a, const void *bytes, size_t count)
{
    assert_true(a->n + count <= sizeof a->m);
    memcpy(a->m + a->n, bytes, count);
    a->n += count;
}

static void add_address(struct message *a, unsigned char last, unsigned char ttl)
{
    const unsigned char record[] = {0xc0, ASKED_AT, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4, 192, 0, 2, last};
    add(a, record, sizeof record);
}

static bool is_for_ipv4(const struct message *a)
{
    return a->m[a->asked - 3] == 1;
}

static void good(struct message *a)
{
    if (!is_for_ipv4(a))
        return;
    a->m[7] = 1;
    add_address(a, 25, 60);
}

static void lives_no_second(struct message *a)
{
    if (!is_for_ipv4(a))
        return;
    a->m[7] = 1;
    add_address(a, 25, 0);
}

static void fails(struct message *a)
{
    a->m[3] = 0x82;
}

static void is_gone(struct message *a)
{
    a->m[3] = 0x83;
}

/* Found the first time, then the server fails. */
static void fails_later(struct message *a)
{
    if (a->later)
        fails(a);
    else
        good(a);
}

static void gone_later(struct message *a)
{
    if (a->later)
        is_gone(a);
    else
        good(a);
}

static void many(struct message *a)
{
    if (!is_for_ipv4(a))
        return;
    a->m[7] = 200;
    for (unsigned char i = 0; i < 200; i++)
        add_address(a, i, 60);
}

static void alias_of_itself(struct message *a)
{
    static const unsigned char record[] = {0xc0, ASKED_AT, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, ASKED_AT};
    a->m[7] = 1;
    add(a, record, sizeof record);
}

static void alias_with_line_ends(struct message *a)
{
    static const unsigned char record[] = {0xc0, ASKED_AT, 0,   5,    0,    1,   0,   0,    0,    60, 0,
                                           9,    7,        'a', '\r', '\n', 'R', 'S', '\r', '\n', 0};
    a->m[7] = 1;
    add(a, record, sizeof record);
    if (!is_for_ipv4(a))
        return;
    a->m[7] = 2;
    add_address(a, 25, 60);
}

static void pointer_to_itself(struct message *a)
{
    unsigned char record[] = {0xc0, (unsigned char)a->asked, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4};
    a->m[7] = 1;
    add(a, record, sizeof record);
}

static void label_beyond_the_end(struct message *a)
{
    static const unsigned char record[] = {63, 'x', 'y'};
    a->m[7] = 1;
    add(a, record, sizeof record);
}

static void promises_more_than_it_has(struct message *a)
{
    good(a);
    a->m[6] = a->m[7] = 0xff;
}

static void length_beyond_the_end(struct message *a)
{
    static const unsigned char record[] = {0xc0, ASKED_AT, 0, 1, 0, 1, 0, 0, 0, 60, 0xff, 0xff, 1, 2};
    a->m[7] = 1;
    add(a, record, sizeof record);
}

static void cut_off(struct message *a)
{
    a->n = 11;
}

static const struct rude rude[] = {
    {"good", good, 1},
    {"no-ttl", lives_no_second, 1},
    {"servfail", fails, 0},
    {"gone", is_gone, 0},
    {"many", many, -1},
    {"alias-loop", alias_of_itself, 0},
    {"alias-crlf", alias_with_line_ends, -1},
    {"bad-pointer", pointer_to_itself, 0},
    {"bad-label", label_beyond_the_end, 0},
    {"bad-count", promises_more_than_it_has, -1},
    {"bad-length", length_beyond_the_end, 0},
    {"cut-off", cut_off, 0},
    {"fails-later", fails_later, 1},
    {"gone-later", gone_later, 1},
};

/* Where the question ends, or 0; what EDNS adds behind it is not answered. */
static size_t question_end(const unsigned char *m, size_t n)
{
    size_t end = ASKED_AT;
    while (end < n && m[end])
        end += m[end] + 1u;
    end += 5; /* the root, type and class */
    return end <= n ? end : 0;
}

static void on_rude_question(struct ev_loop *ev, ev_io *w, int revents)
{
    struct dns *d = w->data;
    struct message a = {.later = d->n};
    struct sockaddr_in from;
    socklen_t from_n = sizeof from;
    (void)ev;
    (void)revents;
    ssize_t got = recvfrom(w->fd, a.m, 512, 0, (struct sockaddr *)&from, &from_n);
    a.n = a.asked = got > 0 ? question_end(a.m, (size_t)got) : 0;
    if (!a.n)
        return;
    memset(a.m + a.n, 0, sizeof a.m - a.n);
    a.m[2] |= 0x80;
    a.m[3] = 0x80;
    memset(a.m + 6, 0, 6);
    const char *name = (const char *)a.m + ASKED_AT + 1;
    for (size_t i = 0; i < COUNT_OF(rude); i++)
        if (strlen(rude[i].name) == a.m[ASKED_AT] && strncasecmp(rude[i].name, name, a.m[ASKED_AT]) == 0)
            rude[i].answer(&a);
    (void)sendto(w->fd, a.m, a.n, 0, (struct sockaddr *)&from, from_n);
}

/* ---- who asks ---- */

struct asked {
    struct loop *l;
    struct resolver *r;
    struct loop_timer guard;
    size_t found;
    int calls;
};

static void on_done(void *arg, const struct resolver_answer *a)
{
    struct asked *k = arg;
    k->calls++;
    k->found = a->n;
    loop_stop(k->l);
}

static void on_guard(void *arg)
{
    struct asked *k = arg;
    loop_stop(k->l);
}

/* How many addresses this name has; -1: the answer did not come, or came twice. */
static int ask(struct asked *k, const char *name)
{
    char whole[64];
    (void)snprintf(whole, sizeof whole, "%s.test", name);
    k->calls = 0;
    if (!resolver_ask(k->r, whole, 25, on_done, k))
        return -1;
    loop_timer_start(k->l, &k->guard, SECONDS(30), on_guard, k);
    loop_run(k->l);
    loop_timer_stop(&k->guard);
    return k->calls == 1 && k->found <= RESOLVER_ADDRESSES ? (int)k->found : -1;
}

static bool open_asked(struct asked *k, struct dns *d)
{
    if (!own_dns_open(d))
        return false;
    k->l = loop_create();
    k->r = resolver_create(k->l);
    own_dns_serve(d, k->l);
    ev_set_cb(&d->io, on_rude_question);
    return true;
}

static void close_asked(struct asked *k, struct dns *d)
{
    own_dns_close(d, k->l);
    resolver_destroy(&k->r);
    loop_destroy(&k->l);
}

static int ask_each(void)
{
    struct dns d = {0};
    struct asked k = {0};
    if (!open_asked(&k, &d))
        return CHILD_CANNOT;
    for (size_t i = 0; i < COUNT_OF(rude); i++) {
        int found = ask(&k, rude[i].name);
        if (found < 0 || (rude[i].found >= 0 && found != rude[i].found)) {
            (void)fprintf(stderr, "%s: %d addresses\n", rude[i].name, found);
            return CHILD_FAILED;
        }
        CHILD_CHECK(ask(&k, "good") == 1);
    }
    close_asked(&k, &d);
    return CHILD_GOOD;
}

static int ask_again(void)
{
    struct dns d = {0};
    struct asked k = {0};
    if (!open_asked(&k, &d))
        return CHILD_CANNOT;
    CHILD_CHECK(ask(&k, "fails-later") == 1 && ask(&k, "gone-later") == 1);
    d.n = 1;
    CHILD_CHECK(ask(&k, "fails-later") == 1); /* where it was last */
    CHILD_CHECK(ask(&k, "FAILS-later") == 1);
    CHILD_CHECK(ask(&k, "gone-later") == 0);
    CHILD_CHECK(ask(&k, "servfail") == 0); /* never found */
    close_asked(&k, &d);
    return CHILD_GOOD;
}

static void test_every_kind_of_answer(void **state)
{
    (void)state;
    in_a_child(ask_each);
}

static void test_the_last_good_answer_stands_in(void **state)
{
    (void)state;
    in_a_child(ask_again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_answer),
        cmocka_unit_test(test_the_last_good_answer_stands_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
