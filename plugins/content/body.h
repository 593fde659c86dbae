/* SPDX-License-Identifier: MIT */
/* Raw content in pieces -> the lines after the header section. */
#ifndef CONTENT_BODY_H
#define CONTENT_BODY_H

#include "window.h"

#include "postern/filter.h"

enum body_state { BODY_START, BODY_IN_HEADER, BODY_IN_LINES };

struct body {
    enum body_state state;
    bool passing;       /* this line is a header field, for sure: its rest is passed over */
    struct window line; /* the line so far; max is the user's to set */
};

/* Scans every line that is complete, without its line end. -1: no memory. */
MUST_CHECK int body_feed(struct body *b, struct postern_span bytes, window_scan scan, void *arg);
/* The content is over: scans a last line that has no end. */
void body_close(struct body *b, window_scan scan, void *arg);
void body_free(struct body *b);

#endif
