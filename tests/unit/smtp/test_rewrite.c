/* SPDX-License-Identifier: MIT */
/* The rewriter of header sections: what each edit does, what it leaves as it is, and that the cut of the
 * content does not matter. Every case runs whole and octet by octet. */
#include "unit/base/check.h"

#include "smtp/rewrite.h"

#define ADD(name_, field_)                                                                                   \
    {                                                                                                        \
        .kind = HEADER_ADD, .name = SPAN_LIT(name_), .field = SPAN_LIT(field_)                               \
    }
#define REPLACE(name_, field_)                                                                               \
    {                                                                                                        \
        .kind = HEADER_REPLACE, .name = SPAN_LIT(name_), .field = SPAN_LIT(field_)                           \
    }
#define REMOVE(name_)                                                                                        \
    {                                                                                                        \
        .kind = HEADER_REMOVE, .name = SPAN_LIT(name_)                                                       \
    }
#define PREFIX                                                                                               \
    {                                                                                                        \
        .kind = HEADER_PREFIX, .name = SPAN_LIT("Subject"), .field = SPAN_LIT("Subject: [x]\r\n"),           \
        .text = SPAN_LIT("[x]"), .before_word = SPAN_LIT("[X]"), .join = SPAN_LIT(" ")                       \
    }

static const struct header_edit none[1];
static const struct header_edit top[] = {ADD("A1", "A1: v\r\n"), ADD("A2", "A2: w\r\n")};
static const struct header_edit replace[] = {REPLACE("X-Spam", "X-Spam: no\r\n")};
static const struct header_edit drop[] = {REMOVE("X-Spam")};
static const struct header_edit subject[] = {PREFIX};
static const struct header_edit all[] = {ADD("A1", "A1: v\r\n"), REMOVE("From"), PREFIX,
                                         REPLACE("To", "To: t\r\n")};

/* The content in pieces of `slice` octets, each a copy of exactly its length. */
static void feed(struct rewriter *r, struct span in, size_t slice, struct buf *out)
{
    while (in.n && !rewrite_over(r)) {
        struct span piece = span_head(in, slice);
        char *copy = malloc(piece.n);
        assert_non_null(copy);
        memcpy(copy, piece.p, piece.n);
        struct span left = span_make(copy, piece.n);
        assert_true(rewrite_feed(r, &left, out));
        assert_true(left.n == 0 || rewrite_over(r));
        assert_true(buf_append(out, left));
        free(copy);
        in = span_skip(in, piece.n);
    }
    assert_true(buf_append(out, in)); /* behind the section nobody is asked */
}

static void check(const struct header_edit *edits, size_t n, struct span in, struct span want)
{
    const size_t slices[] = {in.n ? in.n : 1, 1, 2, 3, 7};
    for (size_t i = 0; i < sizeof slices / sizeof slices[0]; i++) {
        struct rewriter r;
        struct buf out = {0};
        rewrite_begin(&r, edits, n);
        feed(&r, in, slices[i], &out);
        assert_true(rewrite_end(&r, &out));
        assert_true(rewrite_over(&r));
        assert_spans_eq(buf_span(&out), want);
        buf_free(&out);
    }
}

#define CHECK(edits, in, want) check(edits, sizeof(edits) / sizeof((edits)[0]), SPAN_LIT(in), SPAN_LIT(want))

static void test_without_edits_not_an_octet_changes(void **state)
{
    static const struct span messages[] = {
        SPAN_LIT(""),
        SPAN_LIT("A: b\r\n\r\nbody"),
        SPAN_LIT("A: b\r\n c\r\n\td\r\n\r\n\r\n"),
        SPAN_LIT("no header at all\r\nx: y\r\n"),
        SPAN_LIT("A: b\nB: c\n\nbody\n"),
        SPAN_LIT("A: b\rc\r\n\r\r\n\r\n"),
        SPAN_LIT("\r"),
        SPAN_LIT("A: b\r"),
        SPAN_LIT("A"),
        SPAN_LIT("A \t: b"),
        SPAN_LIT("From x\r\nA: b\r\n\r\n"),
        SPAN_LIT(" leading\r\n\r\n"),
        SPAN_LIT("A: \0\xff\r\n\r\n\0"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        check(none, 0, messages[i], messages[i]);
}

static void test_added_at_the_top_in_their_order(void **state)
{
    (void)state;
    CHECK(top, "S: x\r\n\r\nb\r\n", "A1: v\r\nA2: w\r\nS: x\r\n\r\nb\r\n");
    CHECK(top, "\r\nb\r\n", "A1: v\r\nA2: w\r\n\r\nb\r\n");
    CHECK(top, "S: x", "A1: v\r\nA2: w\r\nS: x");
    CHECK(top, "", "A1: v\r\nA2: w\r\n");
}

/* A body that begins without an empty line must not be read as part of our fields. */
static void test_added_where_there_is_no_header_section(void **state)
{
    (void)state;
    CHECK(top, "hello there\r\nX: y\r\n", "A1: v\r\nA2: w\r\n\r\nhello there\r\nX: y\r\n");
    CHECK(top, " hello\r\n", "A1: v\r\nA2: w\r\n\r\n hello\r\n");
    CHECK(top, "hello", "A1: v\r\nA2: w\r\n\r\nhello");
    CHECK(top, "\rx", "A1: v\r\nA2: w\r\n\r\n\rx");
    CHECK(top, "\r", "A1: v\r\nA2: w\r\n\r\n\r");
    CHECK(top, "S: x\r\nno field\r\n", "A1: v\r\nA2: w\r\nS: x\r\nno field\r\n");
}

static void test_the_line_of_a_mailbox_file_stays_first(void **state)
{
    (void)state;
    CHECK(top, "From a@b Mon\r\nS: x\r\n\r\n", "From a@b Mon\r\nA1: v\r\nA2: w\r\nS: x\r\n\r\n");
    CHECK(top, ">From a@b\r\n\r\n", ">From a@b\r\nA1: v\r\nA2: w\r\n\r\n");
    CHECK(top, "From a@b\r\n cont\r\n", "From a@b\r\nA1: v\r\nA2: w\r\n\r\n cont\r\n");
    CHECK(top, "From a@b", "From a@b\r\nA1: v\r\nA2: w\r\n");
    CHECK(drop, "From a@b", "From a@b");
}

static void test_replaced_in_its_place(void **state)
{
    (void)state;
    CHECK(replace, "A: 1\r\nx-SPAM: yes\r\n very\r\nB: 2\r\nX-Spam: 3\r\nC: 4\r\n\r\nX-Spam: body\r\n",
          "A: 1\r\nX-Spam: no\r\nB: 2\r\nC: 4\r\n\r\nX-Spam: body\r\n");
    CHECK(replace, "X-Spam \t: yes\r\n\r\n", "X-Spam: no\r\n\r\n");
    CHECK(replace, "X-Spam: unfinished", "X-Spam: no\r\n");
    CHECK(replace, "X-Spam:\nB: 2\n\n", "X-Spam: no\r\nB: 2\n\n");
}

static void test_replaced_where_there_is_none_comes_last(void **state)
{
    (void)state;
    CHECK(replace, "A: 1\r\n\r\nb", "A: 1\r\nX-Spam: no\r\n\r\nb");
    CHECK(replace, "X-Spammy: 1\r\nX-Spa: 2\r\n\r\n", "X-Spammy: 1\r\nX-Spa: 2\r\nX-Spam: no\r\n\r\n");
    CHECK(replace, "A: 1\r\nno field\r\n", "A: 1\r\nX-Spam: no\r\nno field\r\n");
    CHECK(replace, "A: unfinished", "A: unfinished\r\nX-Spam: no\r\n");
    CHECK(replace, "A: 1\r\n cont", "A: 1\r\n cont\r\nX-Spam: no\r\n");
    CHECK(replace, "", "X-Spam: no\r\n");
}

static void test_removed(void **state)
{
    (void)state;
    CHECK(drop, "X-Spam: a\r\n b\r\n\tc\r\nA: 1\r\n d\r\nX-SPAM: e\r\n\r\nX-Spam: body\r\n",
          "A: 1\r\n d\r\n\r\nX-Spam: body\r\n");
    CHECK(drop, "X-Spam: a\r\n\r\nb", "\r\nb");
    CHECK(drop, "X-Spam: a\rb\r\n\r\nb", "\r\nb");
    CHECK(drop, "X-Spam: a", "");
    CHECK(drop, "A: X-Spam: a\r\n X-Spam: b\r\n\r\n", "A: X-Spam: a\r\n X-Spam: b\r\n\r\n");
}

static void test_prefix_of_the_subject(void **state)
{
    (void)state;
    CHECK(subject, "subject: hello\r\n\r\n", "subject: [x] hello\r\n\r\n");
    CHECK(subject, "Subject:hello\r\n\r\n", "Subject: [x] hello\r\n\r\n");
    CHECK(subject, "Subject:\r\n hello\r\n more\r\n\r\n", "Subject: [x] hello\r\n more\r\n\r\n");
    CHECK(subject, "Subject: \t \r\nB: 1\r\n\r\n", "Subject: [x]\r\nB: 1\r\n\r\n");
    CHECK(subject, "Subject:\r\n\r\nb", "Subject: [x]\r\n\r\nb");
    CHECK(subject, "Subject: =?utf-8?q?a?=\r\n\r\n", "Subject: [X] =?utf-8?q?a?=\r\n\r\n");
    CHECK(subject, "Subject: =a\r\n\r\n", "Subject: [x] =a\r\n\r\n");
    CHECK(subject, "Subject: =\r\n\r\n", "Subject: [x] =\r\n\r\n");
    CHECK(subject, "Subject: a\r\nSubject: b\r\n\r\n", "Subject: [x] a\r\nSubject: [x] b\r\n\r\n");
    CHECK(subject, "Subject: a: b\r\n\r\n", "Subject: [x] a: b\r\n\r\n");
}

static void test_prefix_without_a_subject(void **state)
{
    (void)state;
    CHECK(subject, "A: 1\r\n\r\nb", "A: 1\r\nSubject: [x]\r\n\r\nb");
    CHECK(subject, "hello\r\n", "Subject: [x]\r\n\r\nhello\r\n");
    CHECK(subject, "Subject:", "Subject: [x]");
    CHECK(subject, "Subject: =", "Subject: [x] =");
    CHECK(subject, "Subject: \r\n", "Subject: [x]\r\n");
    CHECK(subject, "Subject: \r", "Subject: [x] \r");
}

static void test_all_at_once(void **state)
{
    (void)state;
    CHECK(all, "From: f\r\nSubject: s\r\nDate: d\r\n\r\nbody",
          "A1: v\r\nSubject: [x] s\r\nDate: d\r\nTo: t\r\n\r\nbody");
    CHECK(all, "From: f\r\nno field", "A1: v\r\nSubject: [x]\r\nTo: t\r\n\r\nno field");
}

static void test_a_name_that_never_ends_is_no_field(void **state)
{
    char in[1200], want[1300];
    (void)state;
    memset(in, 'n', sizeof in);
    in[1100] = ':';
    int n = snprintf(want, sizeof want, "A1: v\r\nA2: w\r\n\r\n%.*s", (int)sizeof in, in);
    check(top, 2, span_make(in, sizeof in), span_make(want, (size_t)n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_edits_not_an_octet_changes),
        cmocka_unit_test(test_added_at_the_top_in_their_order),
        cmocka_unit_test(test_added_where_there_is_no_header_section),
        cmocka_unit_test(test_the_line_of_a_mailbox_file_stays_first),
        cmocka_unit_test(test_replaced_in_its_place),
        cmocka_unit_test(test_replaced_where_there_is_none_comes_last),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_prefix_of_the_subject),
        cmocka_unit_test(test_prefix_without_a_subject),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_a_name_that_never_ends_is_no_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
