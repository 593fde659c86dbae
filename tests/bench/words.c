/* SPDX-License-Identifier: MIT */
/* Reads a command line by a table of words, and sets a process up to be a good child. Nothing is kept: values
 * point into argv. */
#include "words.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static bool usage(const struct word *table, const char *program, const char *why, const char *word)
{
    (void)fprintf(stderr, "%s: %s %s\n", program, why, word);
    for (; table->name; table++)
        (void)fprintf(stderr, "  %-14s %s\n", table->name, table->help);
    return false;
}

static bool read_number(const char *text, unsigned long *number_r)
{
    char *end = NULL;
    errno = 0;
    *number_r = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

static const struct word *find(const struct word *table, const char *name)
{
    while (table->name && strcmp(table->name, name) != 0)
        table++;
    return table->name ? table : NULL;
}

bool words_read(const struct word *table, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const struct word *w = find(table, argv[i]);
        if (!w)
            return usage(table, argv[0], "unknown word", argv[i]);
        if (w->type == WORD_FLAG) {
            *(bool *)w->value = true;
            continue;
        }
        if (++i == argc)
            return usage(table, argv[0], "a value is missing after", w->name);
        if (w->type == WORD_TEXT)
            *(const char **)w->value = argv[i];
        else if (!read_number(argv[i], w->value))
            return usage(table, argv[0], "not a number:", argv[i]);
    }
    return true;
}

void begin_process(unsigned long seconds)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)alarm((unsigned)seconds);
}
