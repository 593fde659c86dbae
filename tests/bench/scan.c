/* SPDX-License-Identifier: MIT */
/* How fast the content filter scans: MB of text per second of processor time, by the number of rules and by
 * engine.
 *
 *   scan [RULES…]     10 100 1000 10000 when none is given
 *
 * Texts are 64 KiB of words, drawn as words of a language are: few of them often. Rules are what people
 * write: phrases, choices, gaps, in both cases; one word in ten of theirs is of the texts' vocabulary. PCRE2
 * rule by rule
 * ("none") is measured in the same run, on less text where it is slow. */
#include "unit/plugins/content/fake_host.h"

#include "finder.h"

#include <time.h>

enum { TEXT = 64 * 1024, TEXTS = 8, VOCABULARY = 20000, COMMON = 2000, WORD = 24, RULE = 120 };

static char vocabulary[VOCABULARY][WORD];
static uint64_t random_state = 42;

static uint32_t pick(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

static void make_vocabulary(void)
{
    static const char *const syllables[] = {
        "ba",  "con", "di",  "er", "fo", "gan", "hu",  "in", "jo", "ka",  "lor",  "men",  "no", "or",  "pre",
        "qui", "ra",  "sta", "ti", "un", "ver", "wal", "xi", "yo", "zen", "ment", "tion", "ly", "let", "ing"};
    for (int i = 0; i < VOCABULARY; i++) {
        vocabulary[i][0] = '\0';
        for (uint32_t k = 3 + pick(2); k > 0; k--)
            strncat(vocabulary[i], syllables[pick(30)], 5);
    }
}

static const char *text_word(void)
{
    return vocabulary[pick(1 + pick(COMMON))];
}

static void make_text(char *to)
{
    size_t n = 0, column = 0;
    while (n + WORD + 2 < TEXT) {
        int length = snprintf(to + n, WORD + 1, "%s ", text_word());
        n += (size_t)length;
        column += (size_t)length;
        if (column > 68) {
            to[n - 1] = '\n';
            column = 0;
        }
    }
    memset(to + n, '\n', TEXT - n);
}

static char *make_rules(uint32_t count)
{
    char *rules = malloc((size_t)count * RULE + 16);
    size_t n = (size_t)snprintf(rules, 16, "[text]\n");
    for (uint32_t i = 0; i < count; i++) {
        const char *w[4];
        for (int k = 0; k < 4; k++)
            w[k] = vocabulary[pick(VOCABULARY)];
        switch (i % 4) {
        case 0:
            n += (size_t)snprintf(rules + n, RULE, "/\\b%s\\s+%s\\b/i SCORE 0.01\n", w[0], w[1]);
            break;
        case 1:
            n += (size_t)snprintf(rules + n, RULE, "/(?:%s|%s|%s)\\s+%s/i SCORE 0.01\n", w[0], w[1], w[2],
                                  w[3]);
            break;
        case 2:
            n += (size_t)snprintf(rules + n, RULE, "/\\b%s[\\s-]?%s\\d{2,}/i SCORE 0.01\n", w[0], w[1]);
            break;
        default:
            n += (size_t)snprintf(rules + n, RULE, "/%s.{0,20}\\b%s/i SCORE 0.01\n", w[0], w[1]);
            break;
        }
    }
    return rules;
}

static double processor_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* MB a second; *score_r: what must be the same for all engines, of the first text. */
static double measure(const char *rules, int engine, char texts[TEXTS][TEXT], double *score_r, double *load_r)
{
    struct fake *f = fake_new();
    double before = processor_seconds(), took = 0;
    size_t bytes = 0;
    fake_file(f, "r", rules);
    fake_rules(f, "r");
    fake_option(f, "engine", engine);
    if (fake_configure(f) < 0)
        fail_msg("%s", f->errors);
    *load_r = processor_seconds() - before;
    fake_open(f);
    for (int round = 0; took < 0.7; round++) {
        before = processor_seconds();
        (void)fake_mail(f, "a@example.org");
        f->tx.scores[sizeof f->tx.scores - 1] = '\0';
        fake_text(f, 0, texts[round % TEXTS], TEXT, 16384);
        (void)fake_end(f);
        took += round == 0 ? 0 : processor_seconds() - before; /* the first compiles what it needs */
        bytes += round == 0 ? 0 : TEXT;
        if (round == 0)
            *score_r = f->tx.score;
    }
    fake_free(f);
    return (double)bytes / took / 1e6;
}

int main(int argc, char **argv)
{
    static char texts[TEXTS][TEXT];
    static const char *const usual[] = {"", "10", "100", "1000", "10000"};
    const char *const *counts = argc > 1 ? (const char *const *)argv : usual;
    int n = argc > 1 ? argc : 5;
    make_vocabulary();
    for (int i = 0; i < TEXTS; i++)
        make_text(texts[i]);
    printf("%8s %12s %12s %12s   %s\n", "rules", "vectorscan", "automaton", "none",
           "MB/s, and ratios to none; load s");
    for (int i = 1; i < n; i++) {
        char *rules = make_rules((uint32_t)strtoul(counts[i], NULL, 10));
        double score[3] = {0}, load[3] = {0}, mb[3] = {0};
        for (int e = 0; e < 3; e++) {
            static const int engines[] = {ENGINE_VECTORSCAN, ENGINE_AUTOMATON, ENGINE_NONE};
            if (e > 0 || finder_has_vectorscan())
                mb[e] = measure(rules, engines[e], texts, &score[e], &load[e]);
        }
        printf("%8s %12.1f %12.1f %12.2f   %.0f %.0f; %.2f %.2f %.2f%s\n", counts[i], mb[0], mb[1], mb[2],
               mb[0] / mb[2], mb[1] / mb[2], load[0], load[1], load[2],
               score[1] == score[2] && (mb[0] == 0 || score[0] == score[2]) ? "" : "  SCORES DIFFER");
        free(rules);
    }
    return 0;
}
