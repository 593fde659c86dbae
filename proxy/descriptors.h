/* SPDX-License-Identifier: MIT */
/* How many sessions the descriptors of a worker are enough for. */
#ifndef PROXY_DESCRIPTORS_H
#define PROXY_DESCRIPTORS_H

#include "conf/conf.h"

#include <stddef.h>

/* By the limit of open files that this process has now; 0: not even for one. */
size_t descriptors_sessions(const struct conf *c);
/* The limit itself, for messages. */
size_t descriptors_limit(void);

#endif
