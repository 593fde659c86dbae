/* SPDX-License-Identifier: MIT */
/* Messages between supervisor and worker: descriptors travel, damage is refused, nothing waits, nothing
 * leaks. */
#include "proxy/control.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct pair {
    int at[2];
    struct control_message *m;
};

static int open_pair(void **state)
{
    static struct pair p;
    p.m = calloc(1, sizeof *p.m);
    assert_non_null(p.m);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p.at), 0);
    *state = &p;
    return 0;
}

static int close_pair(void **state)
{
    struct pair *p = *state;
    (void)close(p->at[0]);
    (void)close(p->at[1]);
    free(p->m);
    return 0;
}

static size_t open_descriptors(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n;
}

static void test_a_message_arrives_whole(void **state)
{
    struct pair *p = *state;
    assert_true(control_send(p->at[0], CONTROL_FAILED, 7, SPAN_LIT("a.yaml:3:1: wrong"), NULL, 0));
    assert_int_equal(control_receive(p->at[1], p->m), CONTROL_OK);
    assert_int_equal(p->m->kind, CONTROL_FAILED);
    assert_int_equal(p->m->generation, 7);
    assert_true(span_eq(p->m->payload, SPAN_LIT("a.yaml:3:1: wrong")));
    assert_int_equal(p->m->fd_n, 0);
    assert_int_equal(control_receive(p->at[1], p->m), CONTROL_NOTHING);
}

static void test_descriptors_travel_in_their_order(void **state)
{
    struct pair *p = *state;
    size_t before = open_descriptors();
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe(ends), 0);
    assert_true(control_send(p->at[0], CONTROL_PREPARE, 1, SPAN_LIT("x"), ends, 2));
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_int_equal(control_receive(p->at[1], p->m), CONTROL_OK);
    assert_int_equal(p->m->fd_n, 2);
    assert_int_equal(write(p->m->fds[1], "!", 1), 1);
    assert_int_equal(read(p->m->fds[0], &byte, 1), 1);
    assert_int_equal(byte, '!');
    control_close_fds(p->m);
    assert_int_equal(open_descriptors(), before);
}

static void test_as_many_descriptors_as_there_may_be(void **state)
{
    struct pair *p = *state;
    int fds[CONTROL_FDS_MAX];
    size_t before = open_descriptors();
    for (size_t i = 0; i < CONTROL_FDS_MAX; i++)
        fds[i] = p->at[0];
    assert_true(control_send(p->at[0], CONTROL_PREPARE, 1, SPAN_NONE, fds, CONTROL_FDS_MAX));
    assert_int_equal(control_receive(p->at[1], p->m), CONTROL_OK);
    assert_int_equal(p->m->fd_n, CONTROL_FDS_MAX);
    control_close_fds(p->m);
    assert_int_equal(open_descriptors(), before);
    assert_false(control_send(p->at[0], CONTROL_PREPARE, 1, SPAN_NONE, fds, CONTROL_FDS_MAX + 1));
}

static void test_the_largest_payload(void **state)
{
    struct pair *p = *state;
    char *big = calloc(1, CONTROL_PAYLOAD_MAX + 1);
    assert_non_null(big);
    memset(big, 'p', CONTROL_PAYLOAD_MAX);
    assert_true(control_send(p->at[0], CONTROL_PREPARE, 1, span_make(big, CONTROL_PAYLOAD_MAX), NULL, 0));
    assert_int_equal(control_receive(p->at[1], p->m), CONTROL_OK);
    assert_true(span_eq(p->m->payload, span_make(big, CONTROL_PAYLOAD_MAX)));
    assert_false(
        control_send(p->at[0], CONTROL_PREPARE, 1, span_make(big, CONTROL_PAYLOAD_MAX + 1), NULL, 0));
    free(big);
}

/* Raw packets, as no supervisor sends them, each with a descriptor that must not stay open. */
static void test_damaged_messages_are_refused(void **state)
{
    struct pair *p = *state;
    static const struct span packets[] = {
        {"", 1},
        {"ctsp", 4},
        {"ctsp\1\0\0\0\0\0\0\0\0\0\0", 15},
        {"XXXX\1\0\0\0\0\0\0\0\0\0\0\0", 16},
        {"ctsp\x63\0\0\0\0\0\0\0\0\0\0\0", 16},
        {"ctsp\xff\xff\xff\xff\0\0\0\0\0\0\0\0", 16},
    };
    size_t before = open_descriptors();
    for (size_t i = 0; i < COUNT_OF(packets); i++) {
        union {
            struct cmsghdr head;
            char bytes[CMSG_SPACE(sizeof(int))];
        } space = {
            .head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
        memcpy(CMSG_DATA(&space.head), &p->at[0], sizeof(int));
        struct iovec part = {(void *)(uintptr_t)packets[i].p, packets[i].n};
        struct msghdr m = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof space};
        assert_int_equal(sendmsg(p->at[0], &m, 0), (ssize_t)packets[i].n);
        assert_int_equal(control_receive(p->at[1], p->m), CONTROL_BROKEN);
        assert_int_equal(open_descriptors(), before);
    }
}

static void test_too_long_a_packet_is_refused(void **state)
{
    struct pair *p = *state;
    size_t n = 16 + CONTROL_PAYLOAD_MAX + 1;
    char *big = calloc(1, n);
    memcpy(big, "ctsp\1", 5);
    assert_int_equal(send(p->at[0], big, n, 0), (ssize_t)n);
    assert_int_equal(control_receive(p->at[1], p->m), CONTROL_BROKEN);
    free(big);
}

static void test_a_reader_that_hangs_does_not_hang_the_writer(void **state)
{
    struct pair *p = *state;
    size_t sent = 0;
    while (sent < 100000 && control_send(p->at[0], CONTROL_COMMIT, sent, SPAN_NONE, NULL, 0))
        sent++;
    assert_in_range(sent, 10, 99999);
    assert_int_equal(errno, EAGAIN);
}

/* The kernel hands over what it can and cuts the rest: the message is known, its descriptors are not. */
static void test_no_room_for_the_descriptors(void **state)
{
    struct pair *p = *state;
    struct rlimit before, none;
    int fds[3] = {p->at[0], p->at[0], p->at[0]};
    size_t count = open_descriptors();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)p->at[1] + 2, .rlim_max = before.rlim_max};
    assert_true(control_send(p->at[0], CONTROL_PREPARE, 9, SPAN_LIT("x"), fds, COUNT_OF(fds)));
    assert_true(control_send(p->at[0], CONTROL_DRAIN, 0, SPAN_NONE, NULL, 0));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum control_result r = control_receive(p->at[1], p->m);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, CONTROL_NO_ROOM);
    assert_int_equal(p->m->kind, CONTROL_PREPARE);
    assert_int_equal(p->m->generation, 9);
    assert_int_equal(p->m->fd_n, 0);
    assert_int_equal(open_descriptors(), count);
    assert_int_equal(control_receive(p->at[1], p->m), CONTROL_OK); /* the next one is not harmed */
    assert_int_equal(p->m->kind, CONTROL_DRAIN);
}

static void test_the_other_side_is_gone(void **state)
{
    struct pair *p = *state;
    (void)close(p->at[1]);
    p->at[1] = dup(p->at[0]);
    assert_int_equal(control_receive(p->at[0], p->m), CONTROL_CLOSED);
    assert_false(control_send(p->at[0], CONTROL_COMMIT, 1, SPAN_NONE, NULL, 0));
}

/* ---- offers ---- */

static void fill(struct offer *o)
{
    memset(o->tickets.key, 0x5a, sizeof o->tickets.key);
    o->tickets.previous = true;
    assert_true(offer_add(o, OFFER_BUNDLE, SPAN_NONE, 0));
    assert_true(offer_add(o, OFFER_SHARED, SPAN_LIT("limits/counters"), 4096));
    assert_true(offer_add(o, OFFER_LISTENER, SPAN_LIT("submission"), 0));
}

static void test_an_offer_comes_back(void **state)
{
    struct offer *in = calloc(2, sizeof *in), *out = in + 1;
    struct buf text = {0};
    (void)state;
    fill(in);
    assert_true(offer_encode(in, &text));
    assert_true(offer_decode(out, buf_span(&text)));
    assert_int_equal(out->n, 3);
    assert_memory_equal(out->tickets.key, in->tickets.key, sizeof in->tickets.key);
    assert_true(out->tickets.previous);
    assert_int_equal(out->items[1].kind, OFFER_SHARED);
    assert_int_equal(out->items[1].bytes, 4096);
    assert_string_equal(out->items[1].name, "limits/counters");
    assert_string_equal(out->items[2].name, "submission");
    buf_free(&text);
    free(in);
}

static void test_an_offer_with_too_much(void **state)
{
    struct offer *o = calloc(1, sizeof *o);
    char name[OFFER_NAME_MAX + 1];
    (void)state;
    memset(name, 'n', sizeof name);
    assert_false(offer_add(o, OFFER_LISTENER, span_make(name, sizeof name), 0));
    for (size_t i = 0; i < CONTROL_FDS_MAX; i++)
        assert_true(offer_add(o, OFFER_LISTENER, SPAN_LIT("x"), 0));
    assert_false(offer_add(o, OFFER_LISTENER, SPAN_LIT("x"), 0));
    free(o);
}

static void test_a_damaged_offer(void **state)
{
    struct offer *in = calloc(2, sizeof *in), *out = in + 1;
    struct buf text = {0};
    (void)state;
    fill(in);
    assert_true(offer_encode(in, &text));
    struct span all = buf_span(&text);
    assert_non_null(all.p);
    size_t whole_items = 0;
    for (size_t cut = 0; cut < all.n; cut++)
        whole_items += offer_decode(out, span_head(all, cut));
    assert_int_equal(whole_items, 3); /* with none, one, two items: cut exactly between two */
    char *copy = malloc(all.n + 1);
    assert_non_null(copy);
    for (size_t at = 0; all.p && at < all.n; at++) {
        memcpy(copy, all.p, all.n);
        copy[at] = (char)0xff;
        (void)!offer_decode(out, span_make(copy, all.n));
    }
    free(copy);
    buf_free(&text);
    free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_message_arrives_whole, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_descriptors_travel_in_their_order, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_as_many_descriptors_as_there_may_be, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_the_largest_payload, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_damaged_messages_are_refused, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_too_long_a_packet_is_refused, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_a_reader_that_hangs_does_not_hang_the_writer, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(test_no_room_for_the_descriptors, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_the_other_side_is_gone, open_pair, close_pair),
        cmocka_unit_test(test_an_offer_comes_back),
        cmocka_unit_test(test_an_offer_with_too_much),
        cmocka_unit_test(test_a_damaged_offer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
