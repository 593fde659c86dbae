/* SPDX-License-Identifier: MIT */
/* The error replies of Redis, by their first word. Pure, owns nothing. */
#include "fault.h"

static const struct {
    struct postern_span word;
    enum fault_kind kind;
} faults[] = {
    {{"NOSCRIPT", 8}, FAULT_NO_SCRIPT},
    {{"READONLY", 8}, FAULT_RECONNECT},
    {{"LOADING", 7}, FAULT_RECONNECT},
    {{"MASTERDOWN", 10}, FAULT_RECONNECT},
    {{"NOAUTH", 6}, FAULT_SETTING},
    {{"WRONGPASS", 9}, FAULT_SETTING},
    {{"NOPERM", 6}, FAULT_SETTING},
    {{"DENIED", 6}, FAULT_SETTING}, /* protected mode */
    {{"WRONGTYPE", 9}, FAULT_SETTING},
    {{"CROSSSLOT", 9}, FAULT_SETTING}, /* a cluster, as are the next two: never followed */
    {{"MOVED", 5}, FAULT_SETTING},
    {{"ASK", 3}, FAULT_SETTING},
};

/* BUSY, OOM, MISCONF, EXECABORT, TRYAGAIN, CLUSTERDOWN, NOREPLICAS and whatever else there may be. */
enum { FAULT_ELSE = FAULT_PASSING };

struct fault fault_of(struct postern_span error)
{
    struct fault f = {.kind = (enum fault_kind)FAULT_ELSE};
    size_t n = 0;

    while (n < error.n && n < FAULT_WORD_MAX && error.p[n] >= 'A' && error.p[n] <= 'Z') {
        f.word[n] = error.p[n];
        n++;
    }
    if (n < error.n && error.p[n] != ' ') /* cut within a word, or no such word at all */
        n = 0;
    if (n == 0)
        memcpy(f.word, "error", sizeof("error"));
    f.word[n ? n : sizeof("error") - 1] = '\0';
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (span_equal((struct postern_span){f.word, n}, faults[i].word))
            f.kind = faults[i].kind;
    return f;
}

const char *fault_advice(enum fault_kind kind)
{
    static const char *const advice[] = {
        [FAULT_PASSING] = "it is asked again with the next decision",
        [FAULT_RECONNECT] = "another connection is tried",
        [FAULT_SETTING] = "a setting must change: check user, password, rights and type of that server",
        [FAULT_NO_SCRIPT] = "it forgets scripts faster than it runs them",
    };
    return advice[kind];
}
