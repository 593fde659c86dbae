/* SPDX-License-Identifier: MIT */
/* What log_record.c needs of log.c. Nobody else includes it. */
#ifndef BASE_LOG_TARGET_H
#define BASE_LOG_TARGET_H

#include "log.h"

enum log_format log_format_of(const struct log *l);
bool log_wants(const struct log *l, enum log_level level);
bool log_names_program(const struct log *l); /* the target itself says "postern: " */
/* Writes one line, its newline included, or counts it as lost. */
void log_write(struct log *l, enum log_level level, struct span line);

#endif
