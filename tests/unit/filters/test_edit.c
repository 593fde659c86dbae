/* SPDX-License-Identifier: MIT */
/* The list of edits: what is refused when it is asked for, how texts are folded and encoded, and what a wish
 * makes of those before it. What comes of a list is shown by rewriting a message with it. */
#include "unit/base/check.h"

#include "filters/edit.h"
#include "filters/words.h"

static struct edits *list(void)
{
    const struct edit_limits defaults = {0};
    struct edits *e = edits_create(&defaults);
    assert_non_null(e);
    return e;
}

static void good(const char *why)
{
    if (why)
        fail_msg("refused: %s", why);
}

static void bad(const char *why, const char *part)
{
    if (!why || !strstr(why, part))
        fail_msg("wanted \"%s\", got \"%s\"", part, why ? why : "done");
}

/* The message that the edits make of this one. */
static struct buf rewritten(const struct edits *e, struct span in)
{
    struct rewriter r;
    struct buf out = {0};
    size_t n;
    const struct header_edit *fields = edits_header(e, &n);
    rewrite_begin(&r, fields, n);
    assert_true(rewrite_feed(&r, &in, &out) && buf_append(&out, in) && rewrite_end(&r, &out));
    return out;
}

#define CHECK(e, in, want)                                                                                   \
    do {                                                                                                     \
        struct buf out_ = rewritten(e, SPAN_LIT(in));                                                        \
        assert_span(buf_span(&out_), want);                                                                  \
        buf_free(&out_);                                                                                     \
    } while (0)

#define MESSAGE "Subject: s\r\nX: 1\r\n\r\nb\r\n"

/* ---- what is refused ---- */

static void test_names(void **state)
{
    static const struct span wrong[] = {SPAN_LIT(""),       SPAN_LIT("A B"), SPAN_LIT("A:"),
                                        SPAN_LIT("A\r\nB"), SPAN_LIT("A\0"), SPAN_LIT("\xc3\xa4"),
                                        SPAN_LIT("A\t")};
    struct edits *e = list();
    char name[80];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        bad(edits_add(e, wrong[i], SPAN_LIT("v"), false), "no name");
        bad(edits_replace(e, wrong[i], SPAN_LIT("v"), false), "no name");
        bad(edits_remove(e, wrong[i]), "no name");
    }
    memset(name, 'n', sizeof name);
    bad(edits_add(e, span_make(name, 77), SPAN_LIT("v"), false), "no name");
    good(edits_add(e, span_make(name, 76), SPAN_LIT("v"), false));
    edits_destroy(&e);
    assert_null(e);
}

static void test_values(void **state)
{
    struct edits *e = list();
    (void)state;
    bad(edits_add(e, SPAN_LIT("A"), SPAN_LIT("x\r\nB: y"), false), "without a blank");
    bad(edits_add(e, SPAN_LIT("A"), SPAN_LIT("x\ny"), false), "bare");
    bad(edits_add(e, SPAN_LIT("A"), SPAN_LIT("x\ry"), false), "bare");
    bad(edits_add(e, SPAN_LIT("A"), SPAN_LIT("x\r\n"), false), "without a blank");
    bad(edits_add(e, SPAN_LIT("A"), SPAN_LIT("x\r\n \r\n y"), false), "empty line");
    bad(edits_add(e, SPAN_LIT("A"), SPAN_LIT("x\0y"), false), "control");
    bad(edits_add(e, SPAN_LIT("A"), SPAN_LIT("x\x7fy"), false), "control");
    bad(edits_add(e, SPAN_LIT("A"), SPAN_LIT("caf\xc3\xa9"), false), "SMTPUTF8");
    bad(edits_add(e, SPAN_LIT("A"), SPAN_LIT("caf\xe9"), true), "not UTF-8");
    assert_false(edits_any(e));
    good(edits_add(e, SPAN_LIT("A"), SPAN_LIT("caf\xc3\xa9"), true));
    good(edits_add(e, SPAN_LIT("B"), SPAN_LIT("  x\r\n\ty  "), false));
    good(edits_add(e, SPAN_LIT("C"), SPAN_LIT(""), false));
    CHECK(e, "\r\n", "A: caf\xc3\xa9\r\nB: x\r\n\ty\r\nC: \r\n\r\n");
    edits_destroy(&e);
}

static void test_mailboxes(void **state)
{
    struct edits *e = list();
    size_t n;
    (void)state;
    bad(edits_copy(e, SPAN_LIT("a@b> NOTIFY=NEVER"), false), "no mailbox");
    bad(edits_copy(e, SPAN_LIT("a@b\r\nDATA"), false), "no mailbox");
    bad(edits_redirect(e, SPAN_LIT(""), false), "no mailbox");
    bad(edits_copy(e, SPAN_LIT("<a@b.test>"), false), "no mailbox");
    bad(edits_copy(e, SPAN_LIT("j\xc3\xb6rg@b.test"), false), "SMTPUTF8");
    good(edits_copy(e, SPAN_LIT("j\xc3\xb6rg@b.test"), true));
    good(edits_copy(e, SPAN_LIT("a@b.test"), false));
    good(edits_copy(e, SPAN_LIT("a@b.test"), false));
    (void)edits_copies(e, &n);
    assert_int_equal(n, 2);
    good(edits_redirect(e, SPAN_LIT("q@b.test"), false));
    good(edits_redirect(e, SPAN_LIT("r@b.test"), false));
    assert_span(edits_redirected(e), "r@b.test");
    edits_destroy(&e);
}

static void test_limits(void **state)
{
    const struct edit_limits tight = {.fields = 2, .copies = 1, .tags = 1, .bytes = 100, .prefix = 10};
    struct edits *e = edits_create(&tight);
    char many[101];
    (void)state;
    memset(many, 'v', sizeof many);
    bad(edits_add(e, SPAN_LIT("A"), span_make(many, sizeof many), false), "too much");
    good(edits_add(e, SPAN_LIT("A"), SPAN_LIT("1"), false));
    good(edits_remove(e, SPAN_LIT("B")));
    bad(edits_remove(e, SPAN_LIT("C")), "too much");
    bad(edits_prefix(e, SPAN_LIT("x")), "too much");
    good(edits_replace(e, SPAN_LIT("B"), SPAN_LIT("2"), false)); /* in place of the other */
    good(edits_copy(e, SPAN_LIT("a@b.test"), false));
    bad(edits_copy(e, SPAN_LIT("c@b.test"), false), "too much");
    bad(edits_prefix(e, SPAN_LIT("12345678901")), "too long");
    good(edits_tag(e, SPAN_LIT("t"), SPAN_LIT("1"), false));
    bad(edits_tag(e, SPAN_LIT("u"), SPAN_LIT("1"), false), "too many");
    good(edits_tag(e, SPAN_LIT("t"), SPAN_LIT("2"), false));
    edits_destroy(&e);
}

/* What a filter may ask for again and again comes to its end. */
static void test_asking_for_ever_is_bounded(void **state)
{
    struct edits *e = list();
    const char *why = NULL;
    size_t asked = 0;
    (void)state;
    for (; !why && asked < 100000; asked++)
        why = edits_replace(e, SPAN_LIT("A"), SPAN_LIT("value"), false);
    bad(why, "too much");
    assert_in_range(asked, 1000, 99999);
    CHECK(e, "\r\n", "A: value\r\n\r\n");
    edits_destroy(&e);
}

/* ---- folding ---- */

/* Lines are short, and unfolding gives the value back. */
static void check_fold(struct span value, size_t longest)
{
    struct edits *e = list();
    struct buf unfolded = {0};
    size_t n;
    good(edits_add(e, SPAN_LIT("X-Report"), value, false));
    struct span field = edits_header(e, &n)[0].field;
    assert_true(words_unfold(span_head(field, field.n - 2), &unfolded));
    assert_spans_eq(span_skip(buf_span(&unfolded), strlen("X-Report: ")), value);
    while (field.n) {
        size_t line = span_find(field, '\r');
        assert_true(line <= longest);
        assert_true(line > 0 && span_trim(span_head(field, line)).n > 0);
        field = span_skip(field, line + 2);
    }
    buf_free(&unfolded);
    edits_destroy(&e);
}

static void test_long_values_are_folded(void **state)
{
    char text[900];
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 9 == 8 && i + 1 < sizeof text ? ' ' : 'x';
    check_fold(span_make(text, sizeof text), 78);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 40 > 30 && i + 1 < sizeof text ? (i % 2 ? ' ' : '\t') : 'x';
    check_fold(span_make(text, sizeof text), 87); /* blanks behind a word do not count for it */
    memset(text, 'x', sizeof text);
    check_fold(span_make(text, sizeof text), 910); /* nowhere to fold */
}

static void test_what_cannot_be_folded(void **state)
{
    struct edits *e = list();
    char text[999];
    (void)state;
    memset(text, 'x', sizeof text);
    bad(edits_add(e, SPAN_LIT("A"), span_make(text, 996), false), "998");
    good(edits_add(e, SPAN_LIT("A"), span_make(text, 995), false));
    edits_destroy(&e);
}

/* ---- the Subject ---- */

static void test_prefix_in_ascii(void **state)
{
    struct edits *e = list();
    (void)state;
    good(edits_prefix(e, SPAN_LIT(" [SPAM] ")));
    CHECK(e, "Subject: hi\r\n\r\n", "Subject: [SPAM] hi\r\n\r\n");
    CHECK(e, "Subject: =?utf-8?q?hi?=\r\n\r\n", "Subject: [SPAM] =?utf-8?q?hi?=\r\n\r\n");
    CHECK(e, "X: 1\r\n\r\n", "X: 1\r\nSubject: [SPAM]\r\n\r\n");
    edits_destroy(&e);
}

/* The decoded text of the Subject that a message has, by the decoder of the message model. */
static void check_decoded(const struct edits *e, struct span in, struct span want)
{
    struct buf out = rewritten(e, in), flat = {0}, text = {0};
    struct charset_pool pool = {0};
    uint64_t flags = 0;
    struct span field = span_head(buf_span(&out), buf_len(&out) - 4);
    for (struct span left = field; left.n;) {
        size_t line = span_find(left, '\r');
        assert_true(line <= 76); /* RFC 2047 2 */
        left = span_skip(left, line + 2);
    }
    assert_true(words_unfold(field, &flat));
    assert_true(words_decode(buf_span(&flat), 10000, &pool, &text, &flags));
    assert_int_equal(flags, 0);
    assert_spans_eq(buf_span(&text), want);
    charset_pool_free(&pool);
    buf_free(&text);
    buf_free(&flat);
    buf_free(&out);
}

static void test_prefix_beyond_ascii(void **state)
{
    struct edits *e = list();
    (void)state;
    good(edits_prefix(e, SPAN_LIT("Verd\xc3\xa4"
                                  "chtig:")));
    check_decoded(e, SPAN_LIT("Subject: hi\r\n\r\n"),
                  SPAN_LIT("Subject: Verd\xc3\xa4"
                           "chtig: hi"));
    check_decoded(e, SPAN_LIT("Subject:\r\n =?utf-8?q?hi_?=\r\n =?utf-8?q?you?=\r\n\r\n"),
                  SPAN_LIT("Subject: Verd\xc3\xa4"
                           "chtig: hi you"));
    bad(edits_prefix(e, SPAN_LIT("\xe4")), "not UTF-8");
    bad(edits_prefix(e, SPAN_LIT("a\r\nb")), "control");
    bad(edits_prefix(e, SPAN_LIT("  ")), "no text");
    edits_destroy(&e);
}

static void test_a_long_prefix_is_cut_between_characters(void **state)
{
    struct edits *e = list();
    struct buf want = {0};
    (void)state;
    assert_true(buf_append(&want, SPAN_LIT("Subject: ")));
    for (size_t i = 0; i < 50; i++)
        assert_true(buf_append(&want, SPAN_LIT("\xf0\x9f\x90\xa2")));
    good(edits_prefix(e, span_skip(buf_span(&want), 9)));
    assert_true(buf_append(&want, SPAN_LIT(" s")));
    check_decoded(e, SPAN_LIT("Subject: s\r\n\r\n"), buf_span(&want));
    buf_free(&want);
    edits_destroy(&e);
}

/* Text that reads like an encoded word is shown as it was meant. */
static void test_a_prefix_that_looks_encoded(void **state)
{
    struct edits *e = list();
    (void)state;
    good(edits_prefix(e, SPAN_LIT("=?utf-8?q?x?=")));
    check_decoded(e, SPAN_LIT("Subject: s\r\n\r\n"), SPAN_LIT("Subject: =?utf-8?q?x?= s"));
    edits_destroy(&e);
}

/* ---- one wish behind another ---- */

static void test_the_next_wish_is_about_what_the_last_one_left(void **state)
{
    struct edits *e = list();
    (void)state;
    good(edits_add(e, SPAN_LIT("X"), SPAN_LIT("2"), false));
    good(edits_add(e, SPAN_LIT("Y"), SPAN_LIT("3"), false));
    CHECK(e, MESSAGE, "X: 2\r\nY: 3\r\n" MESSAGE);
    good(edits_remove(e, SPAN_LIT("x")));
    CHECK(e, MESSAGE, "Y: 3\r\nSubject: s\r\n\r\nb\r\n");
    good(edits_add(e, SPAN_LIT("X"), SPAN_LIT("4"), false));
    CHECK(e, MESSAGE, "Y: 3\r\nX: 4\r\nSubject: s\r\n\r\nb\r\n");
    good(edits_replace(e, SPAN_LIT("X"), SPAN_LIT("5"), false));
    CHECK(e, MESSAGE, "Y: 3\r\nSubject: s\r\nX: 5\r\n\r\nb\r\n");
    edits_destroy(&e);
}

static void test_prefixes_and_other_wishes_for_the_subject(void **state)
{
    struct edits *e = list();
    (void)state;
    good(edits_prefix(e, SPAN_LIT("[a]")));
    good(edits_prefix(e, SPAN_LIT("[b]")));
    CHECK(e, MESSAGE, "Subject: [b] [a] s\r\nX: 1\r\n\r\nb\r\n");
    good(edits_replace(e, SPAN_LIT("SUBJECT"), SPAN_LIT("new"), false));
    good(edits_prefix(e, SPAN_LIT("[c]")));
    CHECK(e, MESSAGE, "Subject: [c] new\r\nX: 1\r\n\r\nb\r\n");
    good(edits_remove(e, SPAN_LIT("Subject")));
    CHECK(e, MESSAGE, "X: 1\r\n\r\nb\r\n");
    good(edits_prefix(e, SPAN_LIT("[d]")));
    CHECK(e, MESSAGE, "Subject: [d]\r\nX: 1\r\n\r\nb\r\n");
    good(edits_remove(e, SPAN_LIT("Subject")));
    good(edits_add(e, SPAN_LIT("Subject"), SPAN_LIT("own"), false));
    good(edits_prefix(e, SPAN_LIT("[e]")));
    CHECK(e, MESSAGE, "Subject: [e] own\r\nX: 1\r\n\r\nb\r\n");
    edits_destroy(&e);
}

/* ---- tags and the log ---- */

static void test_tags(void **state)
{
    struct edits *e = list();
    struct buf text = {0};
    (void)state;
    assert_null(edits_tag_get(NULL, SPAN_LIT("a"), false).p);
    good(edits_tag(e, SPAN_LIT("a"), SPAN_LIT("1 x"), false));
    good(edits_tag(e, SPAN_LIT("a"), SPAN_LIT("2\""), true));
    good(edits_tag(e, SPAN_LIT("b=c"), SPAN_LIT(""), true));
    assert_span(edits_tag_get(e, SPAN_LIT("a"), false), "1 x");
    assert_span(edits_tag_get(e, SPAN_LIT("a"), true), "2\"");
    assert_null(edits_tag_get(e, SPAN_LIT("b=c"), false).p);
    assert_non_null(edits_tag_get(e, SPAN_LIT("b=c"), true).p);
    bad(edits_tag(e, SPAN_LIT(""), SPAN_LIT("1"), false), "no name");
    assert_true(edits_print_tags(e, &text));
    assert_span(buf_span(&text), "a=1_x a=2_ b_c=");
    assert_false(edits_any(e));
    buf_free(&text);
    edits_destroy(&e);
}

static void test_what_the_log_says(void **state)
{
    struct edits *e = list();
    struct buf text = {0};
    (void)state;
    good(edits_add(e, SPAN_LIT("A"), SPAN_LIT("1"), false));
    good(edits_replace(e, SPAN_LIT("B"), SPAN_LIT("2"), false));
    good(edits_remove(e, SPAN_LIT("C")));
    good(edits_prefix(e, SPAN_LIT("p")));
    good(edits_copy(e, SPAN_LIT("a@b.test"), false));
    good(edits_redirect(e, SPAN_LIT("q@b.test"), false));
    assert_true(edits_print(e, &text));
    assert_span(buf_span(&text), "+A =B -C prefix:Subject redirect:q@b.test bcc:a@b.test");
    buf_free(&text);
    assert_true(edits_print(NULL, &text));
    assert_int_equal(buf_len(&text), 0);
    edits_destroy(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_mailboxes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_asking_for_ever_is_bounded),
        cmocka_unit_test(test_long_values_are_folded),
        cmocka_unit_test(test_what_cannot_be_folded),
        cmocka_unit_test(test_prefix_in_ascii),
        cmocka_unit_test(test_prefix_beyond_ascii),
        cmocka_unit_test(test_a_long_prefix_is_cut_between_characters),
        cmocka_unit_test(test_a_prefix_that_looks_encoded),
        cmocka_unit_test(test_the_next_wish_is_about_what_the_last_one_left),
        cmocka_unit_test(test_prefixes_and_other_wishes_for_the_subject),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_what_the_log_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
