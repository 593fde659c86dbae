/* SPDX-License-Identifier: MIT */
/* For the rest of net/ only: things that live on their own in the background (a connection that still
 * flushes) have no owner left to end them when the loop goes. */
#ifndef NET_LOOP_END_H
#define NET_LOOP_END_H

#include "net/loop.h"

/* Calls fn(arg) when the loop is destroyed, unless loop_undefer took the node out before. */
void loop_at_end(struct loop *l, struct loop_deferred *d, void (*fn)(void *arg), void *arg);

#endif
