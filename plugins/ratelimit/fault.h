/* SPDX-License-Identifier: MIT */
/* What an error reply of Redis means for us. Pure. */
#ifndef RATELIMIT_FAULT_H
#define RATELIMIT_FAULT_H

#include "spans.h"

enum fault_kind {
    FAULT_PASSING,   /* this call only; the same connection will do again */
    FAULT_RECONNECT, /* this server cannot, another one behind the same name may */
    FAULT_SETTING,   /* somebody must change a setting, here or there */
    FAULT_NO_SCRIPT  /* send the script's text */
};

#define FAULT_WORD_MAX 24

struct fault {
    enum fault_kind kind;
    char word[FAULT_WORD_MAX +
              1]; /* the error's first word. The rest is never shown: it may repeat what we sent */
};

struct fault fault_of(struct postern_span error);
/* For the log: what will happen now. */
const char *fault_advice(enum fault_kind kind);

#endif
