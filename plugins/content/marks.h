/* SPDX-License-Identifier: MIT */
/* What is remembered of each rule while a transaction lasts: a few bits, by the rule's index. */
#ifndef CONTENT_MARKS_H
#define CONTENT_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mark {
    MARK_DONE,   /* it hit, and works once a transaction */
    MARK_SEEN,   /* an earlier window of the text that is still coming had it */
    MARK_FAILED, /* an earlier window could not be searched for it */
    MARK_LOGGED, /* a failure of it was logged */
    MARKS
};

static inline bool marked(const uint8_t *marks, enum mark m, uint32_t index)
{
    size_t bit = (size_t)index * MARKS + (size_t)m;
    return marks && (marks[bit / 8] >> (bit % 8) & 1);
}

/* Without a transaction (at HELO) a list is tried once on one subject, and nothing needs to be remembered. */
static inline void mark(uint8_t *marks, enum mark m, uint32_t index, bool on)
{
    size_t bit = (size_t)index * MARKS + (size_t)m;
    uint8_t mask = (uint8_t)(1u << (bit % 8));
    if (!marks)
        return;
    if (on)
        marks[bit / 8] |= mask;
    else
        marks[bit / 8] &= (uint8_t)~mask;
}

#endif
