/* SPDX-License-Identifier: MIT */
/* Time in microseconds. What measures a duration or a deadline uses the monotonic clock; the wall clock is
 * for people (logs). */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define US_PER_MS 1000u
#define US_PER_S  1000000u

uint64_t clock_mono_us(void);
uint64_t clock_wall_us(void); /* since 1970-01-01 UTC */
/* "2026-11-23T13:05:37.123Z" into out, which has room for CLOCK_TEXT bytes, NUL included. */
#define CLOCK_TEXT 25
void clock_text(uint64_t wall_us, char out[CLOCK_TEXT]);

#endif
