/* SPDX-License-Identifier: MIT */
/* The two clocks, and the wall clock as text. Owns nothing; keeps no state. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

/* These clocks cannot fail on Linux, where the vDSO answers without a system call. */
static uint64_t read_us(clockid_t which)
{
    struct timespec t = {0};
    (void)clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

void clock_text(uint64_t wall_us, char out[CLOCK_TEXT])
{
    time_t seconds = (time_t)(wall_us / US_PER_S);
    struct tm t = {0};
    (void)gmtime_r(&seconds, &t);
    /* The remainders change nothing; they tell the compiler that the text fits. */
    (void)snprintf(out, CLOCK_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                   (unsigned)(t.tm_year + 1900) % 10000u, (unsigned)(t.tm_mon + 1) % 100u,
                   (unsigned)t.tm_mday % 100u, (unsigned)t.tm_hour % 100u, (unsigned)t.tm_min % 100u,
                   (unsigned)t.tm_sec % 100u, (unsigned)(wall_us % US_PER_S / US_PER_MS));
}
