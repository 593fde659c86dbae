/* SPDX-License-Identifier: MIT */
/* The generic cell rate algorithm: arithmetic only, no state of its own.
 *
 *   now                          tat (theoretical arrival time)
 *    |<-------- ahead ----------->|
 *    |<----------------- burst ----------------->|      allowed while ahead + cost <= burst
 *
 * A key's whole state is one time, `tat`: when all that was charged will have been paid back by waiting. A
 * key whose tat has passed is idle, and the same as one that was never seen.
 *
 * Times are in ticks of 1/1024 µs. One unit is a whole number of ticks, so that units add up exactly: from
 * idle, `burst` of them fit at once and not one more, whatever the rate. (The rate itself is rounded to one
 * tick in a unit: 5e-10 at one a second.) */
#ifndef RATELIMIT_GCRA_H
#define RATELIMIT_GCRA_H

#include "spans.h"

#include <stdint.h>

#define GCRA_TICKS     1024u               /* of one µs */
#define GCRA_BURST_MAX (UINT64_C(1) << 52) /* ticks; Redis' Lua counts exactly to 2^53 */

struct gcra {
    uint64_t interval; /* ticks that one unit costs */
    uint64_t burst;    /* ticks that may be ahead */
};

struct gcra_result {
    bool allowed;
    uint64_t tat;     /* ticks; after the charge, or as it was when refused */
    uint64_t wait_us; /* refused: until the same cost would be allowed */
    uint64_t left;    /* whole units that are still free */
};

enum gcra_fault { GCRA_OK, GCRA_NO_RATE, GCRA_NO_BURST, GCRA_TOO_FAST, GCRA_TOO_LONG };

/* count/window with room for `burst` units at once. */
MUST_CHECK enum gcra_fault gcra_init(struct gcra *g, uint64_t count, uint64_t window_us, uint64_t burst);

/* Would (and, if the caller stores the tat, will) `units` be allowed now? A tat farther ahead than the burst
 * can only come from a clock that went back; it counts as a full burst, so that nobody waits for longer. */
struct gcra_result gcra_charge(const struct gcra *g, uint64_t tat, uint64_t now_us, uint64_t units);

/* The tat after giving `units` back, whose charge ended at `end_us` (gcra_end_us of its tat). What has been
 * paid back by waiting since is not given a second time: else whoever keeps transactions open could save up
 * more than a burst. */
uint64_t gcra_give_back(const struct gcra *g, uint64_t tat, uint64_t now_us, uint64_t units, uint64_t end_us);

static inline uint64_t gcra_end_us(uint64_t tat)
{
    return tat / GCRA_TICKS + (tat % GCRA_TICKS != 0);
}

#endif
