/* SPDX-License-Identifier: MIT */
/* What is wrong with a configuration: every finding of one run, in the manner of a compiler:
 *   file:line:column: error: text */
#ifndef CONF_DIAG_H
#define CONF_DIAG_H

#include "base/arena.h"
#include "base/attr.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

struct diag {
    enum diag_severity severity;
    const char *file;      /* C string; empty: no file */
    uint32_t line, column; /* from 1; 0: none */
    const char *text;
    const struct diag *next;
};

struct diags { /* zeroed: none. Texts live in its own arena, made on first use */
    struct arena *arena;
    struct diag *first, *last;
    size_t errors, warnings;
    size_t max; /* 0: 200; what comes after is counted, not kept */
};

void diag_add(struct diags *d, enum diag_severity s, const char *file, uint32_t line, uint32_t column,
              const char *format, ...) PRINTF_LIKE(6, 7);
void diag_vadd(struct diags *d, enum diag_severity s, const char *file, uint32_t line, uint32_t column,
               const char *format, va_list ap) PRINTF_LIKE(6, 0);
/* The list is as long as it may get: what is added now is only counted, and its text need not be good. */
bool diag_full(const struct diags *d);
/* Sorted by file and line in the order of first mention, one line each, through `put`. */
void diag_print(const struct diags *d, void (*put)(void *ctx, const char *line), void *ctx);
void diag_free(struct diags *d);

/* The nearest of `names` (a NULL-ended list) to what was written, or NULL when none is near: for "did you
 * mean". */
const char *diag_near(const char *const *names, const char *written, size_t written_n);

#endif
