/* SPDX-License-Identifier: MIT */
/* Options of the form NAME VALUE, for both programs. */
#ifndef BENCH_WORDS_H
#define BENCH_WORDS_H

#include <stdbool.h>
#include <stddef.h>

enum word_type { WORD_FLAG, WORD_NUMBER, WORD_TEXT };

struct word {
    const char *name;
    enum word_type type;
    void *value; /* bool, unsigned long or const char * */
    const char *help;
};

/* Fills what the words name; false: it has said on stderr what is wrong. The table ends with a NULL name. */
bool words_read(const struct word *table, int argc, char **argv);

/* Bounded in time, and never left behind by the program that started us. */
void words_end_with_parent(unsigned long seconds);

#endif
