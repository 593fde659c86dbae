/* SPDX-License-Identifier: MIT */
/* What finds candidates must never change a verdict: all engines, and PCRE2 alone, must say the same of
 * random patterns on random texts; and required literals are what they are said to be. */
#include "fake_host.h"

#include "finder.h"
#include "literal.h"

enum { RULES = 60, TEXT = 400, ROUNDS = 400 };

static uint64_t random_state;

static uint32_t pick(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

/* ---- literals ---- */

static void check_literals(const char *pattern, const char *expected)
{
    struct literals l;
    char text[512] = "";
    literals_of(pattern, strlen(pattern), false, false, true, &l);
    for (size_t i = 0; i < l.n; i++) {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof text - n, "%s%.*s", i ? "," : "", (int)l.all[i].n, l.all[i].text);
    }
    if (l.n > 0 && l.before != LITERAL_ANYWHERE)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "@%zu", l.before);
    if (strcmp(text, expected) != 0)
        fail_msg("%s: expected %s, got %s", pattern, expected, text);
}

static void required_literals(void **state)
{
    (void)state;
    check_literals("wallet", "wallet@0");
    check_literals("\\bcolou?r\\b", "colour,color@0");
    check_literals("\\.(exe|scr|js)$", ".exe,.scr,.js@0");
    check_literals("a.*viagra", "viagra");
    check_literals(".{2}viagra", "viagra@8");
    check_literals("v[i1!]agra", "viagra,v1agra,v!agra@0");
    check_literals("(?:abc|def)+ghi", "abc,def@0");
    check_literals("x*", "");
    check_literals("(abc|d)", "");
    check_literals("(?=foo)bar", "bar@0");
    check_literals("(?<!foo)bar", "bar@0");
    check_literals("(?i)B\\x41r\\t", "bar\t@0");
    check_literals("(?x) a b c # d\n e", "abce@0");
    check_literals("a b{2}c", "a bbc@0");
    check_literals("abc{,3}", "");
    check_literals("(*UCP)abc", "");
    check_literals("[[:alpha:]]abc[]x]", "abc],abcx@4");
    check_literals("\\p{Lu}abc", "abc@4");
    check_literals("ab(?(1)c|d)", "");
    check_literals("one|two|three", "one,two,three@0");
    check_literals("abcdefghijklmnop", "abcdefghijkl@0");
    check_literals("\\d+\\s?%off", "%off");
}

/* ---- engines ---- */

static const char *const atoms[] = {
    "a",     "b",   "k",        "s",      "S",         "ab",       "cab",    "[ab]",    "[^a]",
    ".",     "\\w", "\\b",      "(a|bc)", "(?:ks|ab)", "(?=ab)",   "(?<=b)", "(?i:Ks)", "x?",
    "\\x61", "ab*", "(b)\\1",   "^",      "$",         "\xc3\xa9", "[k-m]",  "a{2}",    "b{1,3}",
    "(?i)s", "c+",  "(?>ab|a)", "\\.",    "[a\\]b]",   "\xc5\xbf", "(|ab)c", "\\s*ab"};
static const char *const pieces[] = {
    "a",    "b", "c", "ab", "bc", "abc", "k",        "K",        "s",        "S",
    "ks",   "x", " ", "\n", ".",  "]",   "\xc3\xa9", "\xc3\x89", "\xc5\xbf", "\xe2\x84\xaa",
    "\xff", "l", "m", "cab"};

static void make_rules(char *to, size_t size)
{
    static const char *const flags[] = {"", "i", "m", "s", "x", "A", "im"};
    static const char *const scopes[] = {"[text]\n", "[body]\n", "[header:Subject]\n"};
    size_t n = 0;
    for (int i = 0; i < RULES; i++) {
        if (i % 20 == 0)
            n += (size_t)snprintf(to + n, size - n, "%s", scopes[i / 20]);
        n += (size_t)snprintf(to + n, size - n, "%s/", pick(8) ? "" : "!");
        for (uint32_t k = 1 + pick(5); k > 0; k--) {
            const char *atom = atoms[pick(sizeof atoms / sizeof atoms[0])];
            n += (size_t)snprintf(to + n, size - n, "%s%s", atom, pick(9) == 0 && k > 1 ? "|" : "");
        }
        n += (size_t)snprintf(to + n, size - n, "/%s SCORE 1 r%d\n", flags[pick(7)], i);
    }
}

static size_t make_text(char *to)
{
    size_t n = 0, want = pick(TEXT);
    while (n < want) {
        const char *piece = pieces[pick(sizeof pieces / sizeof pieces[0])];
        size_t length = strlen(piece);
        memcpy(to + n, piece, length);
        n += length;
    }
    return n;
}

static struct fake *with_engine(const char *rules, int engine)
{
    struct fake *f = fake_new();
    fake_file(f, "r", rules);
    fake_rules(f, "r");
    fake_option(f, "engine", engine);
    if (fake_configure(f) < 0) {
        fake_free(f);
        return NULL;
    }
    fake_open(f);
    return f;
}

static void run_message(struct fake *f, const char *text, size_t n)
{
    struct postern_event ev = {.phase = POSTERN_ON_HEADER, .name = fake_span("Subject"), .text = {text, n}};
    (void)fake_mail(f, "a@example.org");
    (void)fake_hook(f, &ev, NULL);
    fake_body(f, "\r\n", 2, 2);
    fake_body(f, text, n, 1 + n);
    fake_text(f, 0, text, n, 1 + n);
    (void)fake_end(f);
}

static void check_same(const char *rules, const char *alone, const char *other, uint64_t seed)
{
    char name[16] = "";
    if (strcmp(alone, other) == 0)
        return;
    while (*alone && *alone == *other)
        alone++, other++;
    while (*alone && alone[-1] != ';')
        alone--, other--;
    (void)snprintf(name, sizeof name, " %.*s\n", (int)strcspn(alone, "="), alone);
    const char *line = strstr(rules, name);
    while (line && line > rules && line[-1] != '\n')
        line--;
    fail_msg("seed %llu: alone %.30s, other %.30s: %.*s", (unsigned long long)seed, alone, other,
             line ? (int)strcspn(line, "\n") : 0, line ? line : "");
}

static void all_engines_say_the_same(void **state)
{
    (void)state;
    static char rules[64 * 1024];
    size_t hits = 0;
    for (random_state = 1; random_state < ROUNDS; random_state++) {
        uint64_t seed = random_state;
        char text[TEXT + 8];
        make_rules(rules, sizeof rules);
        struct fake *alone = with_engine(rules, ENGINE_NONE);
        if (alone) { /* some patterns are none */
            struct fake *automaton = with_engine(rules, ENGINE_AUTOMATON);
            struct fake *best = with_engine(rules, ENGINE_AUTO);
            for (int i = 0; i < 8; i++) {
                size_t n = make_text(text);
                run_message(alone, text, n);
                run_message(automaton, text, n);
                run_message(best, text, n);
                hits += strlen(alone->tx.scores);
                check_same(rules, alone->tx.scores, automaton->tx.scores, seed);
                check_same(rules, alone->tx.scores, best->tx.scores, seed);
            }
            fake_free(automaton);
            fake_free(best);
            fake_free(alone);
        }
        random_state = seed;
    }
    assert_true(hits > 10000);
}

/* A literal more often than the tries around it, and places that overlap. */
static void many_occurrences(void **state)
{
    (void)state;
    char text[4000];
    for (int engine = ENGINE_AUTO; engine <= ENGINE_NONE; engine++) {
        struct fake *f = with_engine(
            "[text]\n/(re: )?cheap x/ SCORE 1 a\n/.{3}abab!/ SCORE 1 b\n/^.?cheap/ SCORE 1 c\n", engine);
        if (!f) { /* Vectorscan is not there */
            assert_int_equal(engine, ENGINE_VECTORSCAN);
            assert_false(finder_has_vectorscan());
            continue;
        }
        memset(text, ' ', sizeof text);
        for (size_t i = 100; i + 4 <= 3000; i += 2)
            memcpy(text + i, "ab", 2);
        memcpy(text + 3500, "re: cheap x abab!", 17);
        (void)fake_mail(f, "a@example.org");
        fake_text(f, 0, text, sizeof text, 1000);
        (void)fake_end(f);
        assert_string_equal(f->tx.scores, "a=1;b=1;");
        fake_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(required_literals),
        cmocka_unit_test(all_engines_say_the_same),
        cmocka_unit_test(many_occurrences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
