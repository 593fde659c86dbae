/* SPDX-License-Identifier: MIT */
/* The message that is sent, over and over. */
#ifndef BENCH_CONTENT_H
#define BENCH_CONTENT_H

#include <stddef.h>

/* A message of `size` bytes in lines that end with CRLF, then the final dot, then `more`. NULL: no memory.
 * The caller frees it. */
char *content_make(size_t size, const char *more, size_t more_n, size_t *length_r);

#endif
