/* SPDX-License-Identifier: MIT */
/* The command line of both programs, in the form NAME VALUE, and how they begin. */
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

/* What both programs begin with: bounded in time, never left behind by the program that started them, and not
 * ended by a peer that goes while OpenSSL writes. */
void begin_process(unsigned long seconds);

#endif
