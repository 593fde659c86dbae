/* SPDX-License-Identifier: MIT */
/* See gcra.h for the algorithm. Pure functions: they own nothing and keep nothing. */
#include "gcra.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

enum gcra_fault gcra_init(struct gcra *g, uint64_t count, uint64_t window_us, uint64_t burst)
{
    if (count == 0 || window_us == 0)
        return GCRA_NO_RATE;
    if (burst == 0)
        return GCRA_NO_BURST;
    if (window_us > GCRA_BURST_MAX / GCRA_TICKS)
        return GCRA_TOO_LONG;
    uint64_t ticks = window_us * GCRA_TICKS;
    g->interval = ticks / count + (ticks % count > (count - 1) / 2); /* rounded to the nearest */
    if (g->interval == 0)
        return GCRA_TOO_FAST;
    if (burst > GCRA_BURST_MAX / g->interval)
        return GCRA_TOO_LONG;
    g->burst = burst * g->interval;
    return GCRA_OK;
}

static uint64_t ahead_of(const struct gcra *g, uint64_t tat, uint64_t now)
{
    return tat > now ? least(tat - now, g->burst) : 0;
}

struct gcra_result gcra_charge(const struct gcra *g, uint64_t tat, uint64_t now_us, uint64_t units)
{
    uint64_t now = now_us * GCRA_TICKS;
    uint64_t ahead = ahead_of(g, tat, now);
    uint64_t room = g->burst - ahead;

    if (units > room / g->interval) {
        uint64_t cost = units > g->burst / g->interval ? g->burst + 1 : units * g->interval;
        return (struct gcra_result){
            .tat = tat, .wait_us = gcra_end_us(cost - room), .left = room / g->interval};
    }
    uint64_t cost = units * g->interval;
    return (struct gcra_result){
        .allowed = true, .tat = now + ahead + cost, .left = (room - cost) / g->interval};
}

uint64_t gcra_give_back(const struct gcra *g, uint64_t tat, uint64_t now_us, uint64_t units, uint64_t end_us)
{
    uint64_t now = now_us * GCRA_TICKS;
    uint64_t ahead = ahead_of(g, tat, now);
    uint64_t cost = units > g->burst / g->interval ? g->burst : units * g->interval;
    uint64_t unpaid = end_us > now_us ? end_us * GCRA_TICKS - now : 0;

    return now + ahead - least(ahead, least(cost, unpaid));
}
