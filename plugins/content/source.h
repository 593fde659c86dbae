/* SPDX-License-Identifier: MIT */
/* One rule file as text: logical lines, and where each of their bytes stands in the file. */
#ifndef CONTENT_SOURCE_H
#define CONTENT_SOURCE_H

#include "match.h"

#include "postern/filter.h"

enum {
    SOURCE_LINE_MAX = 16 * 1024, /* bytes of one rule with its continuations */
    SOURCE_PIECES = 64,          /* lines that one rule may span */
    RULE_NAME_MAX = 64           /* bytes of the name of a rule or of a score */
};

struct source {
    const struct postern_host *host;
    void *self;
    const char *file; /* the name to show */
    size_t errors;

    const char *next, *end;
    uint32_t next_line;

    char text[SOURCE_LINE_MAX]; /* the logical line: what source_next() found last */
    size_t n;
    struct {
        size_t at;
        uint32_t line;
    } pieces[SOURCE_PIECES]; /* where in `text` each line of the file begins */
    size_t pieces_n;
};

void source_open(struct source *s, const struct postern_host *host, void *self, const char *file,
                 struct postern_span bytes);
/* The next logical line. false: the file is over. */
MUST_CHECK bool source_next(struct source *s);
/* The line of the file on which the logical line begins. */
uint32_t source_line(const struct source *s);
/* Where in the file text[at] stands. */
void source_place(const struct source *s, size_t at, uint32_t *line_r, uint32_t *column_r);
/* An error at text[at]. */
void source_error(struct source *s, size_t at, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The first place from `at` on that is no blank; the end of the word that begins at `at`. */
size_t source_skip_blanks(const struct source *s, size_t at);
size_t source_word_end(const struct source *s, size_t at);
/* The end of the line without trailing blanks. */
size_t source_trimmed_end(const struct source *s);

#endif
