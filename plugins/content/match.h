/* SPDX-License-Identifier: MIT */
/* PCRE2 behind one small door: compile a pattern, try it on a subject, never swallow an error. */
#ifndef CONTENT_MATCH_H
#define CONTENT_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum {
    PATTERN_MAX = 8192,     /* bytes of one pattern */
    PATTERN_LOOKBACK = 255, /* characters a pattern may look behind a match */
    MATCH_NO_MEMORY = -48,  /* PCRE2's code for it */
    MATCH_TOO_LONG = -1000  /* ours: the budget is spent */
};

struct pattern;
struct literals; /* literal.h */

struct pattern_error {
    size_t offset; /* from the pattern's first byte */
    char text[256];
};

/* Turns on what `letter` stands for. false: it stands for nothing. */
MUST_CHECK bool pattern_flag(char letter, uint32_t *options_io);
extern const char pattern_flags_help[]; /* the letters and their meanings, for an error text */

/* utf: subjects are UTF-8, though perhaps broken; else they are bytes. NULL: see *error_r. */
MUST_CHECK struct pattern *pattern_compile(const char *p, size_t n, uint32_t options, bool utf,
                                           struct pattern_error *error_r);
void pattern_destroy(struct pattern **p);
const struct literals *pattern_literals(const struct pattern *p);

/* What a pattern is tried on: p[0..n). A match may begin at from..to; bytes before `from` are there to be
 * looked back at. More text follows in a later subject unless `last`. */
struct subject {
    const char *p;
    size_t n, from, to;
    bool last;
};
struct subject subject_whole(const char *p, size_t n);

struct matcher_limits {
    uint32_t match_limit;
    size_t heap, jit_stack; /* bytes */
};

/* The memory that matching needs: one for all patterns of an instance. */
struct matcher;
MUST_CHECK struct matcher *matcher_create(const struct matcher_limits *limits);
void matcher_destroy(struct matcher **m);
/* Processor time that a match may still take, and what it took is taken from it. */
struct budget {
    uint64_t left_ns;
};
/* 1: found, 0: not found, below 0: MATCH_TOO_LONG or PCRE2's error code; matcher_error puts it into words. */
MUST_CHECK int matcher_try(struct matcher *m, const struct pattern *p, const struct subject *s,
                           struct budget *budget);
/* Where the last match was that was found, in its subject. */
void matcher_last(const struct matcher *m, size_t *from_r, size_t *to_r);
void matcher_error(int code, char *text_r, size_t size);
bool matcher_has_jit(void); /* PCRE2 was built with it, and the system lets it run */

#endif
