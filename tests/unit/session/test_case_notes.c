/* SPDX-License-Identifier: MIT */
/* Why a connection to the upstream was lost is said in a text of that connection, which goes with it. The
 * line in the log is written later, at the end of the transaction, and must still say why.
 *
 *   upleg_lost(text) -> transaction keeps a copy;  text is freed;  client ends its content -> report(note) */
#include "support/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define WHY "reading: Connection reset by peer"

static void client(struct world *w, const char *text)
{
    world_client(w, span_of(text), 0);
}

static void upstream(struct world *w, const char *text)
{
    world_upstream(w, span_of(text), 0);
}

/* The connection is lost, and its text with it. */
static void lose_upstream(struct world *w)
{
    char *why = strdup(WHY);
    assert_non_null(why);
    upleg_lost(w->leg, why);
    memset(why, '!', strlen(why));
    free(why);
}

static void to_envelope(struct world *w)
{
    world_defaults(w);
    world_begin(w);
    client(w, "EHLO c\r\n");
    client(w, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n");
    upstream(w, "220 up\r\n");
    upstream(w, "250-up\r\n250 PIPELINING\r\n");
    upstream(w, "250 m\r\n250 r\r\n");
}

static void test_lost_while_the_client_sends(void **state)
{
    struct world w;
    (void)state;
    to_envelope(&w);
    client(&w, "DATA\r\n");
    client(&w, "Subject: t\r\n");
    lose_upstream(&w);
    world_wait(&w, 1000000);
    client(&w, "\r\nbody\r\n.\r\n");
    assert_string_equal(w.note, WHY);
    assert_string_equal(w.verdict, "deferred");
    world_end(&w);
}

static void test_lost_in_a_chunk(void **state)
{
    struct world w;
    (void)state;
    to_envelope(&w);
    client(&w, "BDAT 5 LAST\r\nab");
    lose_upstream(&w);
    client(&w, "c\r\n");
    assert_string_equal(w.note, WHY);
    world_end(&w);
}

static void test_lost_behind_the_end(void **state)
{
    struct world w;
    (void)state;
    to_envelope(&w);
    client(&w, "DATA\r\n");
    client(&w, "x\r\n.\r\n");
    upstream(&w, "354 go\r\n");
    lose_upstream(&w);
    assert_string_equal(w.note, WHY);
    assert_string_equal(w.verdict, "unknown");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_while_the_client_sends),
        cmocka_unit_test(test_lost_in_a_chunk),
        cmocka_unit_test(test_lost_behind_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
