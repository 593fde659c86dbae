/* SPDX-License-Identifier: MIT */
/* Matching under limits: an error is never "no match" (CT-02, CT-03), and long texts are searched in windows
 * of bounded memory without a gap (CT-05, CT-07). */
#include "fake_host.h"

#include "window.h"

enum { TEMPFAIL, SKIP, REJECT, SMALL = 16 * 1024, LONG = 100 * 1000 };

static const char catastrophe[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";

static struct fake *limited(const char *rules, const char *option, int64_t value, int64_t on_error)
{
    struct fake *f = fake_new();
    fake_file(f, "r", rules);
    fake_rules(f, "r");
    fake_option(f, option, value);
    fake_option(f, "on_match_error", on_error);
    if (fake_configure(f) < 0)
        fail_msg("%s", f->errors);
    fake_open(f);
    return f;
}

static char *long_text(char fill)
{
    char *text = malloc(LONG);
    assert_non_null(text);
    memset(text, fill, LONG);
    return text;
}

static void put(char *to, const char *word)
{
    while (*word)
        *to++ = *word++;
}

static struct fake *small_windows(const char *rules)
{
    return limited(rules, "max_text", SMALL, TEMPFAIL);
}

static unsigned text_message(struct fake *f, const char *text, size_t step)
{
    (void)fake_mail(f, "a@example.org");
    fake_text(f, 0, text, LONG, step);
    return fake_end(f);
}

/* The same with PCRE2's compiler and with its interpreter. */
static void match_limit(void **state)
{
    (void)state;
    static const char *const patterns[] = {"[text]\n/(a+)+$/ REJECT\n", "[text]\n/(*NO_JIT)(a+)+$/ REJECT\n"};
    for (int i = 0; i < 2; i++) {
        struct fake *f = limited(patterns[i], "match_limit", 1000, TEMPFAIL);
        assert_int_equal(fake_message(f, catastrophe), 451);
        assert_string_equal(f->enhanced, "4.7.1");
        assert_string_equal(f->text, "The message cannot be checked now, try again later");
        assert_string_equal(f->rule, "r:2");
        assert_string_equal(f->logs,
                            "error session S1: r:2: the pattern could not be matched: match limit exceeded "
                            "(PCRE2 error -47); on_match_error: tempfail\n");
        assert_int_equal(fake_counter(f, "match_error"), 1);
        assert_int_equal(fake_counter(f, "hits"), 0);
        assert_int_equal(fake_message(f, "aaaa"), 550); /* and it goes on working */
        assert_int_equal(fake_message(f, "b"), 0);
        fake_free(f);
    }
}

static void on_match_error(void **state)
{
    (void)state;
    const char *rules = "[text]\n/(a+)+$/ REJECT\n/b/ SCORE 1 b\n[from]\n/(a+)+$/ REJECT\n";
    struct fake *f = limited(rules, "match_limit", 1000, REJECT);
    assert_int_equal(fake_message(f, catastrophe), 550);
    assert_string_equal(f->text, "The message cannot be checked");
    assert_int_equal(fake_mail(f, catastrophe), 550); /* in the envelope at once */
    assert_string_equal(f->rule, "r:5");
    fake_free(f);

    f = limited(rules, "match_limit", 1000, SKIP);
    assert_int_equal(fake_message(f, catastrophe), 0);
    assert_string_equal(f->tx.scores, "b=1;"); /* the rules after it were tried */
    assert_int_equal(fake_counter(f, "match_error"), 1);
    fake_free(f);
}

static void errors_are_logged_once_a_transaction(void **state)
{
    (void)state;
    struct fake *f = limited("[body]\n/(a+)+$/ REJECT\n/(a+)+c/ REJECT\n", "match_limit", 1000, SKIP);
    for (int i = 1; i < 3; i++) {
        (void)fake_mail(f, "a@example.org");
        fake_body(f, "\r\n", 2, 2);
        for (int line = 0; line < 5; line++) {
            fake_body(f, catastrophe, sizeof catastrophe - 1, 100);
            fake_body(f, "c\r\nx\r\n", 6, 6);
        }
        assert_int_equal(fake_end(f), 0);
        assert_int_equal(fake_counter(f, "match_error"), 10 * i);
        assert_int_equal(fake_lines(f->logs), 2 * i);
    }
    fake_free(f);
}

/* "Does not match" must not be said of a text that could not be searched. */
static void a_failed_negation_is_no_hit(void **state)
{
    (void)state;
    struct fake *f = limited("[text]\n!/(a+)+$/ REJECT\n", "match_limit", 1000, SKIP);
    assert_int_equal(fake_message(f, catastrophe), 0);
    assert_int_equal(fake_message(f, "a"), 0);
    assert_int_equal(fake_message(f, "b"), 550);
    fake_free(f);

    /* The first window fails, the others do not have it. */
    char *text = long_text(' ');
    put(text, catastrophe);
    f = fake_new();
    fake_file(f, "r", "[text]\n!/(a+)+$/ REJECT\n");
    fake_rules(f, "r");
    fake_option(f, "match_limit", 1000);
    fake_option(f, "max_text", SMALL);
    fake_option(f, "on_match_error", SKIP);
    assert_int_equal(fake_configure(f), 0);
    fake_open(f);
    assert_int_equal(text_message(f, text, 3000), 0);
    assert_int_equal(fake_counter(f, "match_error"), 1);
    memset(text, ' ', sizeof catastrophe);
    assert_int_equal(text_message(f, text, 3000), 550);
    fake_free(f);
    free(text);
}

/* Nesting meets the limit of the compiler's stack or of the interpreter's heap, never the end of the
 * program's stack; with enough of either the same match is found. */
static void stack_and_heap(void **state)
{
    (void)state;
    static const struct {
        const char *rules, *option, *log;
        int64_t value;
        unsigned code;
    } cases[] = {
        {"[text]\n/^(?:a|b)*$/ REJECT\n", "jit_stack", "(PCRE2 error -46)", 4096, 451},
        {"[text]\n/^(?:a|b)*$/ REJECT\n", "jit_stack", "", 524288, 550},
        {"[text]\n/(*NO_JIT)^(?:a|b)*$/ REJECT\n", "match_heap", "(PCRE2 error -63)", 1024, 451},
        {"[text]\n/(*NO_JIT)^(?:a|b)*$/ REJECT\n", "match_heap", "", 67108864, 550},
        {"[text]\n/^(a(?1)?b?)+$/ REJECT\n", "jit_stack", "(PCRE2 error -4", 4096, 451},
    };
    char text[10001];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake *f = limited(cases[i].rules, cases[i].option, cases[i].value, TEMPFAIL);
        if (fake_message(f, text) != cases[i].code || !strstr(f->logs, cases[i].log))
            fail_msg("case %zu: %s", i, f->logs);
        fake_free(f);
    }
}

static void a_pattern_can_only_lower_the_limit(void **state)
{
    (void)state;
    struct fake *f =
        limited("[text]\n/(*LIMIT_MATCH=100000000)(a+)+$/ REJECT\n", "match_limit", 1000, TEMPFAIL);
    assert_int_equal(fake_message(f, catastrophe), 451);
    fake_free(f);
}

/* ---- windows ---- */

/* A word is found wherever it stands: before, on and after each cut. */
static void no_gap_between_windows(void **state)
{
    (void)state;
    struct fake *f = small_windows("[text]\n/needle/ REJECT\n[body]\n/needle/ REJECT\n");
    char *text = long_text(' ');
    for (size_t at = 0; at + 6 <= LONG; at += at % 4096 < 4080 ? 271 : 1) {
        put(text + at, "needle");
        if (text_message(f, text, 5000) != 550)
            fail_msg("not found in text at %zu", at);
        (void)fake_mail(f, "a@example.org");
        fake_body(f, "\r\n", 2, 2);
        fake_body(f, text, LONG, 5000);
        if (fake_end(f) != 550)
            fail_msg("not found in a line at %zu", at);
        memset(text + at, ' ', 6);
    }
    assert_int_equal(text_message(f, text, LONG), 0);
    free(text);
    fake_free(f);
}

/* Up to the overlap, a match is found across any cut. */
static void the_overlap_is_kept(void **state)
{
    (void)state;
    struct fake *f = small_windows("[text]\n/<b{4094}>/ REJECT\n");
    char *text = long_text(' ');
    for (size_t at = 0; at + WINDOW_OVERLAP <= LONG; at += 499) {
        memset(text + at, 'b', WINDOW_OVERLAP);
        text[at] = '<';
        text[at + WINDOW_OVERLAP - 1] = '>';
        if (text_message(f, text, 4000) != 550)
            fail_msg("not found at %zu", at);
        memset(text + at, ' ', WINDOW_OVERLAP);
    }
    free(text);
    fake_free(f);
}

/* The edges of a window are not the edges of the text. */
static void window_edges_are_not_text_edges(void **state)
{
    (void)state;
    struct fake *f =
        small_windows("[text]\n/^x/ SCORE 1 caret\n/^-x*$/ SCORE 1 whole\n/\\Ax/ SCORE 1 A\n/x$/ SCORE 1 "
                      "dollar\n/x\\z/ SCORE 1 z\n"
                      "/\\bx/ SCORE 1 begin\n/x\\b/ SCORE 1 end\n/(?<!x)x/ SCORE 1 behind\n/x(?!x)/ SCORE 1 "
                      "ahead\n/(?m)^x/ SCORE 1 line\n");
    char *text = long_text('x');
    memset(text, '-', 1);
    memset(text + LONG - 1, '-', 1);
    assert_int_equal(text_message(f, text, 3000), 0);
    assert_string_equal(f->tx.scores, "begin=1;behind=1;end=1;ahead=1;"); /* the true edges of the word */
    memset(text, 'a', 1);
    memset(text + LONG - 1, 'a', 1);
    assert_int_equal(text_message(f, text, 3000), 0);
    assert_string_equal(f->tx.scores, "behind=1;ahead=1;");
    memset(text + 1, '\xc3', LONG - 2); /* no UTF-8 either, window after window */
    assert_int_equal(text_message(f, text, 3000), 0);
    assert_string_equal(f->tx.scores, "");
    assert_int_equal(fake_counter(f, "match_error"), 0);
    fake_free(f);
    free(text);
}

static void characters_are_not_cut(void **state)
{
    (void)state;
    struct fake *f = small_windows("[text]\n/[^\xe2\x82\xac]/ REJECT\n");
    char *text = long_text(' ');
    size_t whole = LONG - LONG % 3;
    for (size_t i = 0; i < whole; i += 3)
        put(text + i, "\xe2\x82\xac");
    (void)fake_mail(f, "a@example.org");
    fake_text(f, 0, text, whole, 1000);
    assert_int_equal(fake_end(f), 0);
    free(text);
    fake_free(f);
}

static void check_character_start(void *arg, const struct subject *s)
{
    (void)arg;
    assert_int_equal((unsigned char)s->p[s->from], 0xe2);
    assert_true(s->last || (unsigned char)s->p[s->to + 1] == 0xe2);
}

static void windows_begin_with_a_character(void **state)
{
    (void)state;
    struct window w = {.max = WINDOW_MIN};
    for (int i = 0; i < LONG / 3; i++)
        assert_int_equal(window_feed(&w, "\xe2\x82\xac", 3, check_character_start, NULL), 0);
    window_close(&w, check_character_start, NULL);
    window_free(&w);
}

static void negation_over_windows(void **state)
{
    (void)state;
    struct fake *f = small_windows("[text]\n!/needle/ REJECT\n");
    char *text = long_text(' ');
    assert_int_equal(text_message(f, text, 7000), 550);
    for (size_t at = 0; at + 6 <= LONG; at += 9973) {
        put(text + at, "needle");
        assert_int_equal(text_message(f, text, 7000), 0);
        memset(text + at, ' ', 6);
    }
    assert_int_equal(text_message(f, text, 7000), 550); /* what was seen is forgotten with its text */
    (void)fake_mail(f, "a@example.org");
    fake_text(f, 0, "needle", 6, 6);
    fake_text(f, 1, "hay", 3, 3);
    assert_int_equal(fake_end(f), 550);
    free(text);
    fake_free(f);
}

static void long_header_fields(void **state)
{
    (void)state;
    struct fake *f = small_windows("[header]\n/^X: .*needle$/ REJECT\n/needle$/ DEFER\n");
    char *text = long_text('x');
    put(text + LONG - 7, "needle");
    text[LONG - 1] = '\0';
    (void)fake_mail(f, "a@example.org");
    fake_header(f, "X", text + LONG - 10007);
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 550);
    (void)fake_mail(f, "a@example.org");
    fake_header(f, "X", text);
    assert_int_equal(fake_phase(f, POSTERN_ON_HEADERS, NULL), 450);
    free(text);
    fake_free(f);
}

static void count_scan(void *arg, const struct subject *s)
{
    size_t *next = arg;
    assert_int_equal(*next, (size_t)s->p[s->from] - 'a'); /* each window goes on where the last one ended */
    *next = s->last ? 0 : (size_t)(s->p[s->to] - 'a' + 1) % 26;
}

/* Bounded memory, every start tried once. */
static void windows_join_without_overlap_of_work(void **state)
{
    (void)state;
    struct window w = {.max = WINDOW_MIN};
    size_t next = 0;
    for (size_t i = 0; i < LONG; i++) {
        char c = (char)('a' + i % 26);
        assert_int_equal(window_feed(&w, &c, 1, count_scan, &next), 0);
        assert_true(w.size <= WINDOW_MIN);
    }
    window_close(&w, count_scan, &next);
    window_free(&w);
    assert_null(w.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match_limit),
        cmocka_unit_test(on_match_error),
        cmocka_unit_test(errors_are_logged_once_a_transaction),
        cmocka_unit_test(a_failed_negation_is_no_hit),
        cmocka_unit_test(stack_and_heap),
        cmocka_unit_test(a_pattern_can_only_lower_the_limit),
        cmocka_unit_test(no_gap_between_windows),
        cmocka_unit_test(the_overlap_is_kept),
        cmocka_unit_test(window_edges_are_not_text_edges),
        cmocka_unit_test(characters_are_not_cut),
        cmocka_unit_test(windows_begin_with_a_character),
        cmocka_unit_test(negation_over_windows),
        cmocka_unit_test(long_header_fields),
        cmocka_unit_test(windows_join_without_overlap_of_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
