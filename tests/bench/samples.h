/* SPDX-License-Identifier: MIT */
/* Durations in microseconds, and what is said of them. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct samples {
    uint32_t *us;
    size_t n, room;
};

bool samples_init(struct samples *s, size_t room); /* more than `room` are not kept */
void samples_add(struct samples *s, uint64_t us);
void samples_print(struct samples *s, const char *name, FILE *to); /* a JSON member; sorts */
bool samples_save(const struct samples *s, const char *path);      /* as uint32_t of this machine */
void samples_free(struct samples *s);

#endif
